"""Notices: what people are to be told, once for each time that it comes about."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bank.errors import Busy, NotPermitted, NotTold
from bank.ledger.amounts import format_su
from bank.operations.bank import Bank
from bank.operations.files import log, only_one
from bank.policy import periods, thresholds
from bank.store import notices
from bank.store.connect import reading, writing
from bank.store.notices import Notice
from bank.store.read import Standing

# All telling of one pass together: a slow mail server must not make passes pile up.
_ALL_SECONDS = 60

# What is so now, by account and event, with what is to be told of it.
Events = Mapping[tuple[str, str], dict[str, Any]]


def mind_use(bank: Bank, standings: Mapping[str, Standing], only: str | None) -> None:
    """Write down which thresholds accounts have reached, and which they have left."""
    settings = bank.settings
    now: dict[tuple[str, str], dict[str, Any]] = {}
    for name, standing in standings.items():
        for event in thresholds.reached(
            limit=standing.limit,
            used=standing.used,
            lower_percent=settings.lower_limit_percent,
            upper_percent=settings.upper_limit_percent,
        ):
            now[name, event] = _use(standing)
    mind(bank, now, thresholds.THRESHOLDS, standings, only)


def _use(standing: Standing) -> dict[str, Any]:
    limit, used = standing.limit, standing.used
    return {
        "limit_su": None if limit is None else format_su(limit),
        "used_su": format_su(used),
        "percent": used * 100 // limit if limit else None,
    }


def mind(
    bank: Bank,
    now: Events,
    kinds: Sequence[str],
    standings: Mapping[str, Standing],
    only: str | None,
) -> set[tuple[str, str]]:
    """Bring the record of some kinds of event to what is so now.

    Args:
        bank: see `Bank`.
        now: what is so.
        kinds: the events that were looked for.
        standings: the accounts that are open; the events of the others are over.
        only: the one account that was looked at, None for all.

    Returns:
        What has come about since.
    """
    with reading(bank.database) as reader:
        is_open = notices.find_open(reader)
    raised, cleared = _difference(now, is_open, kinds, standings, only)
    if not raised and not cleared:
        return set()
    with writing(bank.database) as writer:
        # Another process may have been quicker since we looked.
        is_open = notices.find_open(writer)
        raised, cleared = _difference(now, is_open, kinds, standings, only)
        contents = {key: json.dumps(now[key]) for key in raised}
        notices.write_raised(writer, contents, now=bank.clock())
        notices.write_cleared(writer, cleared, now=bank.clock())
        notices.show_flags(writer, bank.database, {name for name, _ in (*raised, *cleared)})
    for name, event in raised:
        log(bank, event, account=name, **now[name, event])
    return set(raised)


def _difference(
    now: Events,
    is_open: set[tuple[str, str]],
    kinds: Sequence[str],
    standings: Mapping[str, Standing],
    only: str | None,
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return what has come about and what is over."""
    mine = {key for key in now if only in (None, key[0])}
    before = {
        (name, event)
        for name, event in is_open
        if only in (None, name) and (event in kinds or name not in standings)
    }
    # In the order in which they were found: the lower threshold before the upper one.
    return [key for key in now if key in mine - before], sorted(before - mine)


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
            with reading(bank.database) as reader:
                unsent = notices.find_unsent(reader)
            _tell_some(bank, path, unsent)
    except Busy:
        # Another process is telling them.
        return


def _tell_some(bank: Bank, path: str, unsent: Iterable[Notice]) -> None:
    # Imported here: without a program of the site's nothing is told.
    from bank.notify import program

    deadline = time.monotonic() + _ALL_SECONDS
    for notice in unsent:
        if time.monotonic() > deadline:
            bank.warn(f"not all was told within {_ALL_SECONDS} s: the next pass goes on")
            return
        with writing(bank.database) as writer:
            notices.write_try(writer, notice)
        try:
            program.tell(path, _event(notice))
        except (NotTold, NotPermitted) as error:
            what = f"{notice.event} of {notice.account}"
            bank.warn(f"{what} was not told, the next pass tries again: {error}")
            log(bank, "not_told", account=notice.account, what=notice.event, why=str(error))
            if isinstance(error, NotPermitted):
                return
            continue
        with writing(bank.database) as writer:
            notices.write_sent(writer, notice, now=bank.clock())
        log(bank, "told", account=notice.account, what=notice.event, crossing=notice.crossing)


def _event(notice: Notice) -> str:
    """Return what the site's program is given: JSON on one line."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(notice.raised_at // 1_000_000))
    head = {
        "id": f"{notice.account}/{notice.event}/{notice.crossing}",
        "event": notice.event,
        "account": notice.account,
        "at": at,
    }
    return json.dumps({**head, **json.loads(notice.content)}) + "\n"


ALL_EVENTS = (*thresholds.THRESHOLDS, *periods.EVENTS)
