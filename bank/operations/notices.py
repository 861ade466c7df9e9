"""Notices: what people are to be told, once for each time that it comes about."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bank.errors import BankError, Busy, NotPermitted, NotTold, SettingsError
from bank.ledger.amounts import format_known_su, format_su
from bank.operations.bank import Bank, utc_text
from bank.operations.files import log, only_one
from bank.policy import periods, thresholds
from bank.store import notices, read
from bank.store.connect import reading, writing
from bank.store.notices import Notice
from bank.store.read import Standing

# All telling of one pass together: a slow mail server must not make passes pile up.
_ALL_SECONDS = 60
# A program that failed so often in a pass fails for all; the next pass begins with the others.
_MOST_FAILURES = 10

# What is so now, by account and event, with what is to be told of it.
Events = Mapping[tuple[str, str], dict[str, Any]]


def record_thresholds(bank: Bank, standings: Mapping[str, Standing], only: str | None) -> None:
    """Write down which thresholds accounts have reached, and which they have left."""
    record(bank, partial(_reached, bank), thresholds.THRESHOLDS, standings, only)


def _reached(bank: Bank, standings: Mapping[str, Standing]) -> Events:
    settings = bank.settings
    return {
        (name, event): _use(standing)
        for name, standing in standings.items()
        for event in thresholds.reached(
            limit=standing.limit,
            used=standing.used,
            lower_percent=settings.lower_limit_percent,
            upper_percent=settings.upper_limit_percent,
        )
    }


def _use(standing: Standing) -> dict[str, Any]:
    limit, used = standing.limit, standing.used
    return {
        "limit_su": format_known_su(limit),
        "used_su": format_su(used),
        "percent": thresholds.percent(limit=limit, used=used),
    }


def record(
    bank: Bank,
    find: Callable[[Mapping[str, Standing]], Events],
    kinds: Sequence[str],
    standings: Mapping[str, Standing],
    only: str | None,
) -> None:
    """Bring the record of some kinds of event to what is so now.

    Args:
        bank: see `Bank`.
        find: says what is so of accounts that stand so.
        kinds: the events that were looked for.
        standings: the accounts that are open; the events of the others are over.
        only: the one account that was looked at, None for all.
    """
    with reading(bank.database) as reader:
        is_open = notices.find_open(reader)
    raised, cleared = _difference(find(standings), is_open, kinds, standings, only)
    if not raised and not cleared:
        return
    with writing(bank.database) as writer:
        # Since we looked, a limit may have been changed, or somebody else have been quicker.
        is_open = notices.find_open(writer)
        standings = read.standings_of(writer, only)
        now = find(standings)
        raised, cleared = _difference(now, is_open, kinds, standings, only)
        notices.write_cleared(writer, cleared, now=bank.clock())
        contents = {key: json.dumps(now[key]) for key in raised}
        # A clock that was set back over midnight ends no period twice.
        notices.reopen(writer, {key: contents[key] for key in raised if key[1] in periods.EVENTS})
        notices.write_raised(writer, contents, now=bank.clock())
        notices.show_flags(writer, bank.database, {name for name, _ in (*raised, *cleared)})
    for name, event in raised:
        log(bank, event, account=name, **now[name, event])


def _difference(
    now: Events,
    is_open: Mapping[tuple[str, str], str],
    kinds: Sequence[str],
    standings: Mapping[str, Standing],
    only: str | None,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return what has come about and what is over."""
    # In the order in which they were found: the lower threshold before the upper one.
    raised = [
        key
        for key, content in now.items()
        if only in (None, key[0]) and not _is_told_by(is_open.get(key), key[1], content)
    ]
    anew = {*raised}
    cleared = [
        key
        for key in is_open
        if only in (None, key[0])
        and (key[1] in kinds or key[0] not in standings)
        and (key not in now or key in anew)
    ]
    return raised, cleared


def _is_told_by(told: str | None, event: str, content: dict[str, Any]) -> bool:
    """Tell whether an open notice says what is so; of another period it does not."""
    return told is not None and (event not in periods.EVENTS or json.loads(told) == content)


def tell_all(bank: Bank) -> None:
    """Tell what has come about and was not told yet, to the site's program.

    It is told again until the program says that it was told; a failure is warned of, logged, and
    keeps nothing else from being done. Killed between the program's end and the record of it, the
    bank tells once more, with the same id.
    """
    path = bank.settings.notify_command
    if not path:
        return
    try:
        with only_one(bank, "notify", wait_seconds=0):
            _tell_unsent(bank, path)
    except Busy:
        # Another process is telling them.
        return


def _tell_unsent(bank: Bank, path: str) -> None:
    try:
        with reading(bank.database) as reader:
            unsent = notices.find_unsent(reader)
        _tell_some(bank, path, unsent)
    except Busy as error:
        bank.warn(f"not all was told, the next pass goes on: {error}")


def _tell_some(bank: Bank, path: str, unsent: Sequence[Notice]) -> None:
    # Imported here: without a program of the site's nothing is told.
    from bank.notify import program

    deadline = time.monotonic() + _ALL_SECONDS
    failures: list[BankError] = []
    for notice in unsent:
        # One that is begun has all its time: if it were ended early, it might be told twice.
        if time.monotonic() + program.LONGEST_SECONDS > deadline:
            bank.warn(f"not all was told within {_ALL_SECONDS} s, the next pass goes on")
            break
        with writing(bank.database) as writer:
            is_to_tell = notices.write_try(writer, notice)
        if not is_to_tell:
            continue
        try:
            program.tell(path, _event(notice))
        except (NotTold, NotPermitted, SettingsError) as error:
            failures.append(error)
            log(bank, "not_told", account=notice.account, what=notice.event, why=str(error))
            if len(failures) == _MOST_FAILURES or not isinstance(error, NotTold):
                break
            continue
        with writing(bank.database) as writer:
            notices.write_sent(writer, notice, now=bank.clock())
        log(bank, "told", account=notice.account, what=notice.event, crossing=notice.crossing)
    if failures:
        bank.warn(
            f"{len(failures)} of {len(unsent)} events could not be told, the next pass tries again:"
            f" {failures[0]}"
        )


def _event(notice: Notice) -> str:
    """Return what the site's program is given: JSON on one line."""
    head = {
        "id": f"{notice.account}/{notice.event}/{notice.crossing}",
        "event": notice.event,
        "account": notice.account,
        "at": utc_text(notice.raised_at),
    }
    return json.dumps({**head, **json.loads(notice.content)}) + "\n"
