"""What a file of accounts would change: the difference between what is and what it says."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_SU, format_su
from bank.policy.grant_files import GrantLine, Span


class Dated(NamedTuple):
    """What an account was given for a span.

    Attributes:
        amount: billing-seconds, less what was taken back.
        carry_percent: how much of what is unused at its end is carried over; None where it was
            given in several grants that do not agree.
    """

    amount: int
    carry_percent: int | None


class State(NamedTuple):
    """What of an open account a file can say.

    Attributes:
        limit: billing-seconds; None is unlimited. For a dump all that the account has, for a file
            of grants what it has in the one without an end.
        started_on: ISO date of the period's first day.
        told: which thresholds people were told of: see `bank.policy.thresholds.THRESHOLDS`.
        dated: its grants with dates; none for a dump, which cannot say them.
    """

    limit: int | None
    started_on: str
    told: frozenset[str] = frozenset()
    dated: Mapping[Span, Dated] = {}

    def allocation(self, at: int | None = None) -> int | None:
        """Return what it was given in all; None is unlimited.

        Args:
            at: UTC microseconds: without what starts later.
        """
        if self.limit is None:
            return None
        return self.limit + sum(
            dated.amount for span, dated in self.dated.items() if at is None or span.start_at <= at
        )


class Difference(NamedTuple):
    """One account that is not as the file says.

    Attributes:
        before: as it is; None where it is not open.
        after: as it is to be; None where it is to be closed.
    """

    account: str
    before: State | None
    after: State | None


class Line(NamedTuple):
    """One difference for people to read: what becomes of an account, from what to what.

    Attributes:
        span: the grant with dates that it is about, None for what the whole account has.
    """

    account: str
    change: str
    before: str | None
    after: str | None
    span: Span | None = None


def with_grants(
    present: Mapping[str, State], found: Iterable[GrantLine], *, today: str, carry_percent: int
) -> dict[str, State]:
    """Return what a file of grants wants of each account in it; what no line says stays as it is.

    Args:
        present: every open account.
        found: the lines of the file.
        today: ISO date on which an account is opened that has grants with dates only.
        carry_percent: how much a new grant carries over that does not say it.
    """
    wanted: dict[str, State] = {}
    for grant in found:
        name = grant.account
        state = wanted.get(name) or present.get(name) or State(0, today)
        if grant.span is None:
            wanted[name] = state._replace(limit=grant.amount, started_on=grant.started_on)
            continue
        before = state.dated.get(grant.span)
        if before is None and not grant.amount:
            # Nothing is given, and nothing was: taken back, or never there.
            continue
        share = carry_percent if before is None else before.carry_percent
        if grant.carry_percent is not None:
            share = grant.carry_percent
        dated = {**state.dated, grant.span: Dated(grant.amount or 0, share)}
        wanted[name] = state._replace(dated=dated)
    return wanted


def with_fractions(present: Mapping[str, State], wanted: Mapping[str, State]) -> dict[str, State]:
    """Return what a file of whole SUs wants, with the fractions and debts that it could not carry.

    Where a limit as the accounts table shows it is the file's, it is what the file says already.
    """
    return {
        name: state._replace(limit=present[name].limit)
        if name in present and _is_rounded(present[name].limit, state.limit)
        else state
        for name, state in wanted.items()
    }


def with_days(
    present: Mapping[str, State], wanted: Mapping[str, State], over: Collection[str]
) -> dict[str, State]:
    """Return what a file wants, with the first days of periods that must not begin earlier.

    Args:
        present: every open account.
        wanted: every account of the file.
        over: accounts in both whose periods, with the file's first days, would be over.
    """
    return {
        name: state._replace(started_on=max(state.started_on, present[name].started_on))
        if name in over
        else state
        for name, state in wanted.items()
    }


def with_told(
    present: Mapping[str, State],
    wanted: Mapping[str, State],
    reached: Mapping[str, Collection[str]],
) -> dict[str, State]:
    """Return what a dump wants, with what is known better here of what people were told.

    A flag of the dump is taken over where the account is opened, so that nobody is told again, or
    where it has reached the threshold and nobody was told. What was told stays told; what is so no
    more the next pass clears.

    Args:
        present: every open account.
        wanted: every account of the file.
        reached: by account that is in both, the thresholds that it has reached.
    """
    return {
        name: state._replace(told=present[name].told | (state.told & frozenset(reached[name])))
        if name in present
        else state
        for name, state in wanted.items()
    }


def _is_rounded(limit: int | None, whole: int | None) -> bool:
    if limit is None or whole is None:
        return False
    # What an account owes, which credit allows, reads as nothing.
    return max(limit - limit % BILLING_SECONDS_PER_SU, 0) == whole


def compare(
    present: Mapping[str, State], wanted: Mapping[str, State], *, is_complete: bool
) -> list[Difference]:
    """Return the differences in the order of the accounts' names.

    Args:
        present: every open account.
        wanted: every account of the file.
        is_complete: whether the file has all accounts, so that others are to be closed.
    """
    names = {*wanted, *present} if is_complete else set(wanted)
    found = [Difference(name, present.get(name), wanted.get(name)) for name in sorted(names)]
    return [difference for difference in found if difference.before != difference.after]


def without_flags(found: Iterable[Difference]) -> list[Difference]:
    """Return the differences but for what people were told."""
    rest = [
        Difference(name, _without_flags(before), _without_flags(after))
        for name, before, after in found
    ]
    return [difference for difference in rest if difference.before != difference.after]


def _without_flags(state: State | None) -> State | None:
    return None if state is None else state._replace(told=frozenset())


def lines(difference: Difference) -> Iterator[Line]:
    """Yield what is different about one account."""
    account, before, after = difference
    if after is None:
        assert before is not None
        yield Line(account, "closed", _limit(before), None)
        return
    if before is None:
        yield Line(account, "opened", None, _limit(after))
    elif before.limit != after.limit:
        yield Line(account, _direction(before.limit, after.limit), _limit(before), _limit(after))
    started_on = before.started_on if before else None
    if started_on != after.started_on:
        yield Line(account, "date", started_on, after.started_on)
    told = before.told if before else frozenset()
    if told != after.told:
        yield Line(account, "flags", _told(told), _told(after.told))
    for span in sorted(after.dated):
        yield from _dated_lines(account, span, before and before.dated.get(span), after.dated[span])


def _dated_lines(account: str, span: Span, before: Dated | None, after: Dated) -> Iterator[Line]:
    amount = format_su(after.amount)
    if before is None:
        yield Line(account, "granted", None, amount, span)
    elif before.amount != after.amount:
        change = _direction(before.amount, after.amount)
        yield Line(account, change, format_su(before.amount), amount, span)
    share = before.carry_percent if before else 0
    if share != after.carry_percent:
        yield Line(account, "carry", _percent(share), _percent(after.carry_percent), span)


def _percent(share: int | None) -> str | None:
    return None if share is None else f"{share} %"


def _limit(state: State) -> str:
    return "unlimited" if state.limit is None else format_su(state.limit)


def _direction(before: int | None, after: int | None) -> str:
    if after is None:
        return "unlimited"
    if before is None:
        return "limited"
    return "raised" if after > before else "lowered"


def _told(events: frozenset[str]) -> str:
    return ", ".join(sorted(events)) or "none"
