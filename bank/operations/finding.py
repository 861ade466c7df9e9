"""Finding: the accounts that 'list' is asked for, and when they end, as plain data."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from bank.operations.bank import Bank
from bank.operations.looking import shown_all
from bank.operations.spans import day_of
from bank.policy import finding
from bank.policy.finding import Candidate
from bank.policy.periods import period
from bank.store import forecast as store
from bank.store import read
from bank.store.connect import reading
from bank.store.read import Standing


def find(
    bank: Bank,
    *,
    is_held: bool = False,
    over: str | None = None,
    ending: str | None = None,
    match: str | None = None,
) -> list[dict[str, Any]]:
    """Return where the accounts that are asked for stand, in the order of `finding.order`.

    Each is as in `looking.balance`, with the last day of its period or of a grant of its, and how
    many days are left until then.

    Args:
        bank: settings and clock.
        is_held: the option --held.
        over: the option --over as typed, None where it was not given.
        ending: likewise --ending.
        match: likewise --match.

    Raises:
        InputError: one of them cannot be used.
    """
    wanted = finding.read(is_held=is_held, over=over, ending=ending, match=match)
    with reading(bank.database) as reader:
        standings = read.standings(reader)
        states = shown_all(bank.settings, reader, standings)
        ends = store.first_ends(reader)
    today = bank.today()
    found: list[tuple[Candidate, dict[str, Any]]] = []
    for name, standing in standings.items():
        last_day = _last_day(bank, standing, ends, today)
        days_left = None if last_day is None else (last_day - date.fromisoformat(today)).days
        state = {
            **states[name],
            "last_day": None if last_day is None else last_day.isoformat(),
            "days_left": days_left,
        }
        one = Candidate(name, state["is_held"], standing.limit, standing.used, days_left)
        if finding.is_wanted(one, wanted):
            found.append((one, state))
    found.sort(key=lambda pair: finding.order(pair[0], wanted))
    return [state for _, state in found]


def _last_day(bank: Bank, standing: Standing, ends: Mapping[str, int], today: str) -> date | None:
    """Return the last day of an account's period or of a grant of its, whichever comes first.

    None where it means nothing: an account without a limit, or with a limit of 0, is neither
    reported nor held when its period is over.
    """
    account = standing.account
    if not standing.limit or account.period_started_on is None:
        return None
    length = bank.settings.proposal_length_days
    last_day = period(account.period_started_on, length_days=length, today=today).last_day
    end_at = ends.get(account.name)
    return last_day if end_at is None else min(last_day, day_of(end_at - 1))
