"""What the bank has now, as far as a file of accounts can say it."""

from collections.abc import Collection
from typing import NamedTuple

from bank.operations.bank import Bank
from bank.operations.days import exact_text, moment, zone_name
from bank.operations.grant_dates import turn
from bank.policy.difference import Dated, State
from bank.policy.grant_files import GrantLine, Span, Times
from bank.policy.thresholds import FLAGS
from bank.store import accounts, grants, notices, read
from bank.store.connect import Reader, Writer, reading, writing

TIMES = Times(moment, exact_text, zone_name)


class Present(NamedTuple):
    """Every open account.

    Attributes:
        states: what a file can say of each.
        used: the billing-seconds that each and all below it have used.
        besides: the billing-seconds that each may use and a file does not say: its credit, and
            what grants that have ended keep for running jobs. Below 0 what was used of grants with
            dates in periods that are over.
    """

    states: dict[str, State]
    used: dict[str, int]
    besides: dict[str, int]


def find_present(bank: Bank, *, of_grants: bool, names: Collection[str] | None) -> Present:
    """Return what there will be once all is started and ended that is due; nothing is changed.

    Args:
        bank: see `Bank`.
        of_grants: whether for a file of grants, or for a dump.
        names: the accounts whose grants are to be started and ended, None for all.
    """
    now = bank.clock()
    with reading(bank.database) as reader:
        if not _due(reader, names, now):
            return _find(reader, now, of_grants=of_grants)
    with writing(bank.database, dry_run=True) as writer:
        return turn_and_find(bank, writer, now, of_grants=of_grants, names=names)


def turn_and_find(
    bank: Bank, writer: Writer, now: int, *, of_grants: bool, names: Collection[str] | None
) -> Present:
    """Start and end what is due, as every command that writes does first; return what there is."""
    turn(bank, writer, _due(writer, names, now), at=now)
    return _find(writer, now, of_grants=of_grants)


def _due(reader: Reader, names: Collection[str] | None, now: int) -> list[str]:
    due = dict.fromkeys(grant.account for grant in grants.find_due(reader, now))
    return [name for name in due if names is None or name in names]


def _find(reader: Reader, now: int, *, of_grants: bool) -> Present:
    told: dict[str, set[str]] = {}
    for name, event in notices.find_open(reader):
        if event in FLAGS:
            told.setdefault(name, set()).add(event)
    standings = read.standings(reader)
    states = {
        name: State(
            standing.limit,
            standing.account.period_started_on or "",
            frozenset(told.get(name, ())),
        )
        for name, standing in standings.items()
    }
    besides = {name: standing.account.credit for name, standing in standings.items()}
    if of_grants:
        for grant in find_grants(reader, now=now):
            states[grant.account] = _with(states[grant.account], grant)
        base = grants.find_base_amounts(reader)
        for name, state in states.items():
            said = state._replace(limit=base[name]).allocation(now) or 0
            besides[name] += standings[name].account.books.granted - said
    used = {name: standing.used for name, standing in standings.items()}
    return Present(states, used, besides)


def _with(state: State, grant: GrantLine) -> State:
    if grant.span is None:
        return state._replace(limit=grant.amount)
    dated = Dated(grant.amount or 0, grant.carry_percent)
    return state._replace(dated={**state.dated, grant.span: dated})


def find_grants(reader: Reader, *, now: int) -> list[GrantLine]:
    """Return every line that a file of grants has; those that have ended by now have none.

    Grants of one span and kind are one line, which says a share that is carried over where they
    agree.
    """
    known = accounts.find_all(reader)
    given = grants.find_given(reader)
    lines: dict[tuple[str, Span | None], GrantLine] = {}
    for grant, reason in grants.find_with_reasons(reader):
        account = known[grant.account]
        if not grant.is_dated:
            amount = None if account.is_unlimited else grant.granted
            started_on = account.period_started_on or ""
            lines[account.name, None] = GrantLine(account.name, amount, reason, started_on)
        elif (span := span_of(grant, now=now)) is not None:
            more = grant.promised or given.get(grant.grant_id, 0)
            line = GrantLine(account.name, more, reason, "", span, grant.carry_percent)
            lines[account.name, span] = _together(lines.get((account.name, span)), line)
    return list(lines.values())


def _together(first: GrantLine | None, line: GrantLine) -> GrantLine:
    if first is None:
        return line
    agree = first.carry_percent == line.carry_percent
    return first._replace(
        amount=(first.amount or 0) + (line.amount or 0),
        carry_percent=first.carry_percent if agree else None,
    )


def span_of(grant: grants.Grant, *, now: int) -> Span | None:
    """Return the span by which a file knows a grant, None where it has ended or has no end."""
    if grant.end_at is None or grant.end_at <= now or grant.state == grants.ENDING:
        return None
    return Span(grant.start_at, grant.end_at, grant.kind)
