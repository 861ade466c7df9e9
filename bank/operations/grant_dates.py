"""Dates of grants: what becomes of each when it starts, and when it ends."""

from collections.abc import Iterable, Iterator, Sequence

from bank.ledger.amounts import format_su
from bank.ledger.grants import Part, at_end
from bank.operations.bank import Bank
from bank.operations.closing import close_use, expire, payers
from bank.operations.days import day_text, same_span_after
from bank.operations.files import log, newest
from bank.operations.periods import given
from bank.store import accounts, grants, read
from bank.store.connect import Writer, reading, writing
from bank.store.grants import ENDING, IN_FORCE, OVER, PROMISED, Grant
from bank.store.post import post

# The kind of a grant that takes what another one had left at its end.
CARRY_OVER = "carry-over"


def turn_all(bank: Bank, *, at: int, dry_run: bool = False) -> list[str]:
    """Start and end the grants of all accounts that are due.

    Args:
        bank: see `Bank`.
        at: UTC microseconds: when the meters were read whose use is booked next.
        dry_run: do it and take it back.

    Returns:
        Sentences for a person.
    """
    with reading(bank.database) as reader:
        names = grants.due(reader, at)
    notes: list[str] = []
    for some in _slices(names):
        with writing(bank.database, dry_run=dry_run) as writer:
            before = accounts.find_many(writer, some)
            said = turn(bank, writer, some, at=at)
            after = accounts.find_many(writer, some)
        changed = [account for name, account in after.items() if account != before[name]]
        if changed and not dry_run:
            log(bank, "grants", notes=said, **newest(changed))
        notes += said
    return notes


# Accounts of which grants are started and ended in one transaction.
_AT_ONCE = 200


def _slices(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def turn(bank: Bank, writer: Writer, names: Iterable[str], *, at: int) -> list[str]:
    """Start and end the grants of accounts that are due, each in the order of its dates.

    Returns:
        Sentences for a person.
    """
    notes: list[str] = []
    due = set(grants.due(writer, at))
    turned = [name for name in names if name in due]
    for name in turned:
        account = accounts.find(writer, name)
        assert account is not None
        for grant in grants.find_living(writer, account.account_id):
            if grant.state == ENDING:
                notes += _end(bank, writer, grant)
        while (grant_due := _next_due(writer, account.account_id, at)) is not None:
            act = begin if grant_due.state == PROMISED else _end
            notes += act(bank, writer, grant_due)
    accounts.show(writer, bank.database, turned)
    return notes


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
    for other in found.living:
        if other.is_paying:
            after = other._replace(paid=paid.get(other.grant_id, 0))
            grants.change(writer, other, after, actor=bank.actor, reason="", now=now)
    begun = grant._replace(state=IN_FORCE, promised=0)
    grants.change(writer, grant, begun, actor=bank.actor, reason="", now=now)
    reason = f"grant {grant.grant_id} starts"
    drafts = given(bank, grant.account, grant.promised, grant.grant_id, reason=reason, key=None)
    post(writer, drafts, now=now)
    what = f"account {grant.account}: grant {grant.grant_id} of {format_su(grant.promised)} SUs"
    return [f"{what} is in force until before {day_text(grant.end_at)}"]


def _end(bank: Bank, writer: Writer, grant: Grant) -> list[str]:
    """End a grant: what it has paid is closed, what it has left expires or is carried over.

    What running jobs may still use of it stays until they have ended.
    """
    standing = read.standing(writer, grant.account)
    assert standing is not None
    now = bank.clock()
    found = payers(writer, standing)
    paid = dict(found.parts).get(grant.grant_id, 0)
    end = at_end(
        grant.granted - paid,
        set_aside=standing.set_aside,
        carry_percent=grant.carry_percent,
    )
    reason = f"grant {grant.grant_id} has ended"
    expire(bank, writer, grant.account, grant.grant_id, end.expired, reason)
    if not end.kept and paid:
        close_use(bank, writer, standing, [Part(grant.grant_id, paid)], reason=reason)
    # What it has paid is closed, or its granted total has changed.
    present = grants.find(writer, grant.grant_id)
    after = present._replace(state=ENDING if end.kept else OVER)
    grants.change(writer, present, after, actor=bank.actor, reason="", now=now)
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
        drafts = given(bank, account.name, amount, follows.grant_id, reason=reason, key=None)
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
