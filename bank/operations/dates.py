"""Dates: which periods are over or end soon, and what is then done."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from bank.ledger.names import listed
from bank.operations import notices, periods
from bank.operations.bank import Bank
from bank.operations.files import log, newest
from bank.operations.named import no_such_account
from bank.operations.slices import slices
from bank.operations.spans import period_from
from bank.policy import periods as calendar
from bank.policy.periods import ENDED, ENDING, Period, is_held_for
from bank.store import accounts, grants, read
from bank.store.accounts import Account
from bank.store.connect import Writer, reading, writing
from bank.store.read import Standing


class _Look(NamedTuple):
    """The accounts that were looked at.

    Attributes:
        standings: where each of them stands.
        periods: the present period of each.
        dated: billing-seconds that those have in grants with dates, which have ends of their own.
    """

    standings: dict[str, Standing]
    periods: dict[str, Period]
    dated: dict[str, int]


class Dates(NamedTuple):
    """What came of looking at the periods.

    Attributes:
        ended: accounts whose periods are over, with their last days.
        renewed: accounts for which a new period was started.
        holds: accounts that are to be held from now on because their periods are over, with the
            reason, and with None those that are so no more.
        notes: sentences for a person.
    """

    ended: dict[str, str]
    renewed: list[str]
    holds: dict[str, str | None]
    notes: list[str]


def check_periods(
    bank: Bank, only: str | None, *, is_asked: bool, is_all_read: bool, dry_run: bool
) -> Dates:
    """Look at the periods of all accounts, and do what ON_END says where one is over.

    Every pass lets go what is held for a period that is not over any more; the rest is done where
    CHECK_DATES says so, or where it was asked for.

    Args:
        bank: see `Bank`.
        only: look at this account alone.
        is_asked: whether a person asked for it.
        is_all_read: whether all use is booked; a period that has use unread is not renewed.
        dry_run: do nothing.
    """
    is_on = is_asked or bank.settings.check_dates
    report = Dates({}, [], {}, [])
    if not is_on and not _held_for_dates(bank):
        return report
    look = _look(bank, only)
    is_to_renew = bank.settings.on_end == "renew"
    if is_on and is_to_renew:
        over = sorted(
            name
            for name, period in look.periods.items()
            if period.event == ENDED
            and not calendar.has_dates_only(look.standings[name].limit, look.dated.get(name, 0))
        )
        if over and not is_all_read:
            report.notes.append("no period is renewed before all clusters were read")
        elif over:
            report.renewed.extend(_renew(bank, over, dry_run=dry_run))
            look = _look(bank, only)
    ended = {
        name: period.last_day.isoformat()
        for name, period in look.periods.items()
        if period.event == ENDED and _has_an_end(look, name) and not is_to_renew
    }
    report.holds.update(_holds(bank, look, ended, is_on=is_on))
    if not dry_run:
        _hold(bank, report.holds, look.standings)
    if is_on:
        report.ended.update(ended)
        report.notes.extend(_sentences(bank, report, dry_run=dry_run))
        if not dry_run:
            # One that is to be renewed does not end for its people.
            told = (ENDING,) if is_to_renew else calendar.EVENTS
            find = partial(_events, bank, told)
            notices.record(bank, find, calendar.EVENTS, look.standings, only)
    return report


def _held_for_dates(bank: Bank) -> bool:
    with reading(bank.database) as reader:
        reasons = accounts.hold_reasons(reader)
    return any(is_held_for(reason) for reason in reasons)


def three_months(bank: Bank, name: str, *, dry_run: bool) -> dict[str, Any]:
    """Look whether an account's period ends within three months, and let people be told once.

    Returns:
        What `describe` says.

    Raises:
        Refusal: it is not open in the bank.
    """
    look = _look_at(bank, name)
    if not dry_run:
        find = partial(_events, bank, (ENDING,))
        notices.record(bank, find, (ENDING,), look.standings, name)
    return _described(look, name)


def describe(bank: Bank, name: str) -> dict[str, Any]:
    """Return when an account's period began and ends.

    Raises:
        Refusal: it is not open in the bank.
    """
    return _described(_look_at(bank, name), name)


def _described(look: _Look, name: str) -> dict[str, Any]:
    period = look.periods[name]
    return {
        "account": name,
        "period_started_on": look.standings[name].account.period_started_on,
        "period_ends_on": period.last_day.isoformat(),
        "days_left": period.days_left,
        "has_end": _has_an_end(look, name),
        "event": period.event if _has_an_end(look, name) else None,
    }


def _look_at(bank: Bank, name: str) -> _Look:
    look = _look(bank, name)
    if name not in look.standings:
        raise no_such_account(name)
    return look


def _look(bank: Bank, only: str | None) -> _Look:
    """Look at all accounts, or at one."""
    with reading(bank.database) as reader:
        standings = read.standings_of(reader, only)
    return _with_periods(bank, standings)


def _with_periods(bank: Bank, standings: Mapping[str, Standing]) -> _Look:
    with reading(bank.database) as reader:
        dated = grants.find_dated_totals(reader)
    return _Look(dict(standings), _periods(bank, standings), dated)


def _periods(bank: Bank, standings: Mapping[str, Standing]) -> dict[str, Period]:
    return {name: _period(bank, one) for name, one in standings.items()}


def _period(bank: Bank, standing: Standing) -> Period:
    started_on = standing.account.period_started_on
    assert started_on is not None
    return period_from(bank, started_on)


def _has_an_end(look: _Look, name: str) -> bool:
    """Tell whether the end of its period means anything.

    It does not without a limit, nor where all that an account has ends when its grants do.
    """
    return calendar.has_end(look.standings[name].limit, look.dated.get(name, 0))


def _events(bank: Bank, kinds: Sequence[str], standings: Mapping[str, Standing]) -> notices.Events:
    """Return what of some kinds of event is so of the periods of accounts."""
    look = _with_periods(bank, standings)
    return {
        (name, period.event): {
            "period_started_on": standings[name].account.period_started_on,
            "period_ends_on": period.last_day.isoformat(),
        }
        for name, period in look.periods.items()
        if period.event is not None and period.event in kinds and _has_an_end(look, name)
    }


def _renew(bank: Bank, names: Sequence[str], *, dry_run: bool) -> list[str]:
    """Start the next period of each account, with the same limit."""
    renewed: list[str] = []
    for some in slices(names):
        with writing(bank.database, dry_run=dry_run) as writer:
            begun = [name for name in some if _start(bank, writer, name)]
            accounts.show(writer, bank.database, begun)
            changed = accounts.find_many(writer, begun)
        if begun and not dry_run:
            started = {name: account.period_started_on for name, account in changed.items()}
            log(bank, "renew", period_started_on=started, **newest(changed.values()))
        renewed.extend(begun)
    return renewed


def _start(bank: Bank, writer: Writer, name: str) -> bool:
    """Start the next period of an account, unless somebody has done so since."""
    standing = read.standing(writer, name)
    if standing is None or _period(bank, standing).event != ENDED:
        return False
    living = grants.find_living(writer, standing.account.account_id)
    dated = sum(grant.granted for grant in living if grant.is_dated)
    if calendar.has_dates_only(standing.limit, dated):
        return False
    started_on = standing.account.period_started_on
    assert started_on is not None
    length_days = bank.settings.proposal_length_days
    begins = calendar.next_start(started_on, length_days=length_days, today=bank.today())
    reason = f"the period that began on {started_on} is over"
    periods.start(bank, writer, standing, reason, None, started_on=begins, is_refilled=False)
    return True


def _holds(
    bank: Bank, look: _Look, ended: Mapping[str, str], *, is_on: bool
) -> dict[str, str | None]:
    """Return which holds that are there because a period is over are to be changed, and to what."""
    wanted: dict[str, str | None] = {}
    for name, standing in look.standings.items():
        reason = standing.account.hold_reason
        if name in ended and bank.settings.on_end == "hold":
            why = calendar.hold_reason(ended[name])
            # One that is held by hand has its reason.
            if (is_on and reason is None) or (is_held_for(reason) and reason != why):
                wanted[name] = why
        elif is_held_for(reason):
            wanted[name] = None
    return wanted


def _hold(bank: Bank, wanted: Mapping[str, str | None], standings: Mapping[str, Standing]) -> None:
    """Write down the holds that are there because a period is over."""
    for names in slices(list(wanted)):
        with writing(bank.database) as writer:
            known = accounts.find_many(writer, names)
            # Somebody may have held, deleted or renewed one since we looked.
            some = [name for name in names if _is_as_it_was(known[name], standings[name].account)]
            for name in some:
                fields: dict[str, accounts.Value] = {"hold_reason": wanted[name]}
                now = bank.clock()
                accounts.change(writer, name, fields, actor=bank.actor, reason="", now=now)
            changed = accounts.find_many(writer, some)
        reasons = {name: wanted[name] for name in some}
        log(bank, "period_hold", hold_reasons=reasons, **newest(changed.values()))


def _is_as_it_was(now: Account, then: Account) -> bool:
    what = ("is_open", "period_started_on", "hold_reason")
    return all(getattr(now, field) == getattr(then, field) for field in what)


def _sentences(bank: Bank, report: Dates, *, dry_run: bool) -> Iterable[str]:
    if report.renewed:
        were = "would be" if dry_run else "were"
        yield f"new periods {were} started for {listed(report.renewed)}"
    if report.ended:
        what = "held until a new one is started" if bank.settings.on_end == "hold" else "reported"
        days = [f"{name} on {day}" for name, day in report.ended.items()]
        yield f"periods that are over ({what}): {listed(days)}"
