"""Dates of grants: what becomes of each when it starts, and when it ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_MINUTE, format_su
from bank.ledger.grants import End, Part, at_end
from bank.operations.bank import Bank
from bank.operations.closing import close_use, expire, payers
from bank.operations.days import day_text, same_span_after
from bank.operations.files import log, newest
from bank.operations.periods import deposit_drafts
from bank.operations.slices import slices
from bank.slurm.assoc_mgr import Associations
from bank.store import accounts, grants, meters, read, user_limits
from bank.store.connect import Reader, Writer, reading, writing
from bank.store.grants import ENDING, IN_FORCE, OVER, PROMISED, Grant
from bank.store.post import post
from bank.store.read import Standing

# Accounts of which grants are started and ended in one transaction. One takes 2 to 3 ms, and nobody
# is to wait long for the lock where a year begins for all.
_AT_ONCE = 50
# The kind of a grant that takes what another one had left at its end.
CARRY_OVER = "carry-over"


class Turned(NamedTuple):
    """What came of looking at the dates of grants.

    Attributes:
        notes: sentences for a person.
        rehearsed: after a dry run, where each account would stand, and with which living grants.
    """

    notes: list[str]
    rehearsed: dict[str, tuple[Standing, list[Grant]]]


def both_turned(first: Turned, second: Turned) -> Turned:
    """Return what two looks gave; what both only rehearsed is said once."""
    notes = dict.fromkeys((*first.notes, *second.notes))
    return Turned(list(notes), {**first.rehearsed, **second.rehearsed})


def turn_all(
    bank: Bank, cluster: str, slurm: Associations | None, *, at: int, dry_run: bool = False
) -> Turned:
    """Start and end the grants of all accounts that are due.

    Args:
        bank: see `Bank`.
        cluster: the one that was read.
        slurm: what it said; None where liens set aside what running jobs may still use.
        at: UTC microseconds: when that was; its use is booked next.
        dry_run: do it and take it back.
    """
    with reading(bank.database) as reader:
        due = dict.fromkeys(grant.account for grant in grants.find_due(reader, at))

    def act(writer: Writer, some: Sequence[str]) -> list[str]:
        if slurm is not None:
            _keep_for_jobs(writer, cluster, slurm, some)
        return turn(bank, writer, some, at=at)

    return turn_with(bank, list(due), act, dry_run=dry_run)


def turn_with(
    bank: Bank,
    names: Sequence[str],
    act: Callable[[Writer, Sequence[str]], list[str]],
    *,
    dry_run: bool,
) -> Turned:
    """Do what is due about accounts, some of them in each transaction, and log what changed.

    Args:
        bank: see `Bank`.
        names: the accounts.
        act: does it for some of them, and returns sentences for a person.
        dry_run: do it and take it back.
    """
    turned = Turned([], {})
    for some in slices(names, at_once=_AT_ONCE):
        with writing(bank.database, dry_run=dry_run) as writer:
            before = accounts.find_many(writer, some)
            said = act(writer, some)
            after = accounts.find_many(writer, some)
            if dry_run:
                turned.rehearsed.update(_rehearsed(writer, some))
        changed = [account for name, account in after.items() if account != before[name]]
        if changed and not dry_run:
            log(bank, "grants", notes=said, **newest(changed))
        turned.notes.extend(said)
    return turned


def _keep_for_jobs(writer: Writer, cluster: str, slurm: Associations, names: Iterable[str]) -> None:
    """Let what jobs may still use that began since the last reading be set aside as well.

    Not less than was: what the others have used since is not booked yet.
    """
    rows = slurm.accounts
    running = {
        name: rows[name].running_minutes * BILLING_SECONDS_PER_MINUTE
        for name in names
        if name in rows
    }
    meters.raise_running(writer, cluster, running)


def _rehearsed(
    reader: Reader, names: Iterable[str]
) -> Iterator[tuple[str, tuple[Standing, list[Grant]]]]:
    for name in names:
        standing = read.standing(reader, name)
        if standing is not None:
            yield name, (standing, grants.find_living(reader, standing.account.account_id))


def turn(bank: Bank, writer: Writer, names: Iterable[str], *, at: int) -> list[str]:
    """Start and end the grants of accounts that are due, each in the order of its dates.

    Returns:
        Sentences for a person.
    """
    notes: list[str] = []
    due = {grant.account for grant in grants.find_due(writer, at)}
    turned = [name for name in names if name in due]
    for name in turned:
        account = accounts.find(writer, name)
        assert account is not None
        for grant in grants.find_living(writer, account.account_id):
            if grant.state == ENDING:
                notes += end_grant(bank, writer, grant)
        while (grant_due := _next_due(writer, account.account_id, at)) is not None:
            act = begin if grant_due.state == PROMISED else end_grant
            notes += act(bank, writer, grant_due)
    accounts.show(writer, bank.database, turned)
    return notes


def _by_end(grant: Grant) -> tuple[int, int]:
    assert grant.end_at is not None
    return grant.end_at, grant.grant_id


def _next_due(writer: Writer, account_id: int, at: int) -> Grant | None:
    """Return the grant that starts or ends first; one ends before another starts."""
    due = []
    for grant in grants.find_living(writer, account_id):
        if grant.state == PROMISED and grant.start_at <= at:
            due.append((grant.start_at, 1, grant))
        elif grant.state == IN_FORCE and grant.end_at is not None and grant.end_at <= at:
            due.append((grant.end_at, 0, grant))
    return min(due)[2] if due else None


def begin(bank: Bank, writer: Writer, grant: Grant) -> list[str]:
    """Put a grant in force. What was used before is the others' to pay, as far as they can."""
    standing = read.standing(writer, grant.account)
    assert standing is not None
    now = bank.clock()
    found = payers(writer, standing)
    paid = dict(found.parts)
    if _begins_period(writer, standing):
        user_limits.begin_period(writer, standing.account.account_id)
    for other in found.living:
        if other.is_paying:
            after = other._replace(paid=paid.get(other.grant_id, 0))
            grants.change(writer, other, after, actor=bank.actor, reason="", now=now)
    begun = grant._replace(state=IN_FORCE, promised=0)
    grants.change(writer, grant, begun, actor=bank.actor, reason="", now=now)
    reason = f"grant {grant.grant_id} starts"
    drafts = deposit_drafts(bank, grant.account, grant.promised, grant.grant_id, reason=reason)
    post(writer, drafts, now=now)
    what = f"account {grant.account}: grant {grant.grant_id} of {format_su(grant.promised)} SUs"
    return [f"{what} is in force until before {day_text(grant.end_at)}"]


def _begins_period(reader: Reader, standing: Standing) -> bool:
    """Tell whether what starts now begins a period, for limits of users.

    It does where an account has nothing but grants with dates, and those that it had have ended.
    While one is in force another begins none, or each would let users use their limits once more.
    """
    account = standing.account
    every = grants.find_all(reader, account.account_id)
    if account.is_unlimited or any(one.granted for one in every if not one.is_dated):
        return False
    dated = [one for one in every if one.is_dated]
    return any(one.state in (ENDING, OVER) for one in dated) and not any(
        one.state == IN_FORCE for one in dated
    )


class _Ended(NamedTuple):
    """A grant that has ended: where its account stands, what it has paid, and what becomes of it.

    Amounts are billing-seconds.
    """

    standing: Standing
    paid: int
    end: End


def _ended(reader: Reader, grant: Grant, *, is_kept: bool) -> _Ended:
    standing = read.standing(reader, grant.account)
    assert standing is not None
    found = payers(reader, standing)
    paid = dict(found.parts)
    # What running jobs may use they use of the one that ended first, and of the others the rest.
    kept = sum(
        other.granted - paid.get(other.grant_id, 0)
        for other in found.living
        if other.state == ENDING and _by_end(other) < _by_end(grant)
    )
    its = paid.get(grant.grant_id, 0)
    set_aside = standing.set_aside - kept if is_kept else 0
    end = at_end(grant.granted - its, set_aside=set_aside, carry_percent=grant.carry_percent)
    return _Ended(standing, its, end)


def end_grant(bank: Bank, writer: Writer, grant: Grant, *, is_kept: bool = True) -> list[str]:
    """End a grant: what it has paid is closed, what it has left expires or is carried over.

    What running jobs may still use of it stays until they have ended.

    Args:
        bank: clock and actor.
        writer: the transaction.
        grant: one that has ended.
        is_kept: whether there may be a job that began before its end.
    """
    standing, paid, end = _ended(writer, grant, is_kept=is_kept)
    reason = f"grant {grant.grant_id} has ended"
    expire(bank, writer, grant.account, grant.grant_id, end.expired, reason)
    if not end.kept and paid:
        close_use(bank, writer, standing, [Part(grant.grant_id, paid)], reason=reason)
    # What it has paid is closed, or its granted total has changed.
    present = grants.find(writer, grant.grant_id)
    after = present._replace(state=ENDING if end.kept else OVER)
    grants.change(writer, present, after, actor=bank.actor, reason="", now=bank.clock())
    if end.carried:
        _carry_over(bank, writer, grant, end.carried)
    if grant.state == ENDING and end.kept:
        return []
    lost = f"{format_su(end.expired - end.carried)} SUs expired"
    carried = f", {format_su(end.carried)} were carried over" if end.carried else ""
    kept = f", {format_su(end.kept)} stay for running jobs" if end.kept else ""
    return [f"account {grant.account}: grant {grant.grant_id} has ended; {lost}{carried}{kept}"]


def _carry_over(bank: Bank, writer: Writer, ended: Grant, amount: int) -> None:
    """Give what is carried over, in a grant that follows the one that has ended and is as long."""
    account = accounts.find(writer, ended.account)
    assert account is not None
    assert ended.end_at is not None
    reason = f"carried over from grant {ended.grant_id}"
    follows = next(
        (
            grant
            for grant in grants.find_living(writer, account.account_id)
            if (grant.kind, grant.start_at) == (f"{CARRY_OVER} {ended.grant_id}", ended.end_at)
        ),
        None,
    )
    now = bank.clock()
    if follows is not None and follows.state == IN_FORCE:
        drafts = deposit_drafts(bank, account.name, amount, follows.grant_id, reason=reason)
        post(writer, drafts, now=now)
        return
    follower = ended._replace(
        kind=f"{CARRY_OVER} {ended.grant_id}",
        start_at=ended.end_at,
        end_at=same_span_after(ended.start_at, ended.end_at),
        state=PROMISED,
        granted=0,
        promised=amount,
        paid=0,
        carry_percent=0,
    )
    promised = grants.promise(writer, follower, actor=bank.actor, reason=reason, now=now)
    begin(bank, writer, promised)
