"""Finding: the accounts that 'list' is asked for, and when they end, as plain data."""

from datetime import date
from typing import Any

from bank.operations.bank import Bank
from bank.operations.days import day_of
from bank.operations.looking import shown_all
from bank.operations.spans import period_from
from bank.policy import finding
from bank.policy.finding import Candidate
from bank.policy.periods import has_end
from bank.store import grants, read
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
        ends = grants.find_first_ends(reader)
        dated = grants.find_dated_totals(reader)
    today = bank.today()
    found: list[tuple[Candidate, dict[str, Any]]] = []
    for name, standing in standings.items():
        last_day = _last_day(bank, standing, ends.get(name), dated.get(name, 0))
        days_left = None if last_day is None else (last_day - date.fromisoformat(today)).days
        state = {
            **states[name],
            "last_day": None if last_day is None else last_day.isoformat(),
            "days_left": days_left,
        }
        is_stopped = state["is_held"] or bool(state["held_above"])
        one = Candidate(name, is_stopped, standing.limit, standing.used, days_left)
        if finding.is_wanted(one, wanted):
            found.append((one, state))
    found.sort(key=lambda pair: finding.order(pair[0], wanted))
    return [state for _, state in found]


def _last_day(bank: Bank, standing: Standing, end_at: int | None, dated: int) -> date | None:
    """Return the last day of an account's period or of a grant of its, whichever comes first.

    Args:
        bank: settings.
        standing: where the account stands.
        end_at: when its first grant with dates ends, None where it has none.
        dated: billing-seconds of those in force: where they are all that it has, or it has no
            limit, the end of its period means nothing.
    """
    days = [] if end_at is None else [day_of(end_at - 1)]
    started_on = standing.account.period_started_on
    if started_on is not None and has_end(standing.limit, dated):
        days.append(period_from(bank, started_on).last_day)
    return min(days, default=None)
