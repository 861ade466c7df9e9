"""Closing: use that is settled with the treasury, each grant for what it pays."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from bank.ledger.entries import AVAILABLE, TREASURY, USED, Draft
from bank.ledger.grants import Part, less, payments, taken, unused
from bank.ledger.references import OWN_USE, of_child
from bank.operations.bank import Bank
from bank.store import accounts, grants, meters, read, settled, user_limits
from bank.store.above import find_parents
from bank.store.connect import Reader, Writer
from bank.store.grants import Grant
from bank.store.post import post
from bank.store.read import Standing


class Payers(NamedTuple):
    """The grants of an account that pay for its use.

    Attributes:
        living: all of its grants that are not over.
        parts: what each of them pays of the use so far, in the order of use; what the account is
            overdrawn by is not in it.
        overdraft: billing-seconds that nobody pays.
    """

    living: list[Grant]
    parts: list[Part]
    overdraft: int


def payers(reader: Reader, standing: Standing) -> Payers:
    """Return which grants pay for what an account has used."""
    living = grants.find_living(reader, standing.account.account_id)
    used = max(standing.used, 0)
    paid = payments(grants.paying(living), used)
    parts = [Part(grant_id, amount) for grant_id, amount in paid.items() if amount]
    return Payers(living, parts, used - sum(paid.values()))


def paid_by_grants(writer: Writer, drafts: Sequence[Draft]) -> list[Draft]:
    """Return charges with the grant that pays for each; one that two pay for becomes two.

    What an account is overdrawn by is for the grant without an end.

    Args:
        writer: the transaction in which they are to be posted.
        drafts: charges and adjustments, without grants.
    """
    names = list(dict.fromkeys(draft.account for draft in drafts))
    base = {name: one.grant_id for name, one in accounts.find_many(writer, names).items()}
    parts: dict[str, list[Part]] = {}
    for name in grants.find_paid_by_dated(writer).intersection(names):
        standing = read.standing(writer, name)
        if standing is not None:
            living = grants.find_living(writer, standing.account.account_id)
            parts[name] = unused(grants.paying(living), max(standing.used, 0))
    split: list[Draft] = []
    for draft in drafts:
        name = draft.account
        left = parts.get(name, [])
        paid = taken(left, draft.amount, base[name])
        split += [draft._replace(grant_id=number, amount=amount) for number, amount in paid]
        parts[name] = less(left, paid)
    return split


def close_use(
    bank: Bank,
    writer: Writer,
    standing: Standing,
    parts: Sequence[Part],
    *,
    reason: str = "",
    command_key: str | None = None,
) -> None:
    """Close what an account has used: its own use first, then that of all below it.

    Closed use is settled with the treasury, so used and granted fall by the same amount and what
    is available stays. That begins no period: what users have used goes on counting for limits of
    theirs, or each top-up that books use off would let them use their limits once more.

    Args:
        bank: clock and actor.
        writer: the transaction.
        standing: where the account stands.
        parts: what is closed, by the grant that pays for it.
        reason: free text.
        command_key: the key the command was given.
    """
    uses = _uses(writer, standing.account.account_id)
    drafts: list[Draft] = []
    of_children: list[tuple[str, str, int]] = []
    for cluster, child, amount, grant_id in _paired(uses, parts):
        drafts.append(
            Draft(
                standing.account.name,
                "closing",
                AVAILABLE if child else USED,
                TREASURY,
                amount,
                bank.actor,
                reason,
                grant_id,
                cluster,
                reference=of_child(child) if child else OWN_USE,
                idempotency_key=command_key,
            )
        )
        if child:
            of_children.append((cluster, child, amount))
    post(writer, drafts, now=bank.clock())
    for cluster, child, amount in of_children:
        settled.settle(writer, cluster, [(standing.account.name, child, amount)])
    _forget_paid(bank, writer, standing, parts)


def _uses(writer: Writer, account_id: int) -> list[tuple[str, str, int]]:
    """Return what counts for an account as used, by cluster and child; "" is its own use."""
    found = [(cluster, "", used) for cluster, used in meters.find_own_use(writer, account_id)]
    return [use for use in (*found, *read.used_below_by_child(writer, account_id)) if use[2]]


def _paired(
    uses: Sequence[tuple[str, str, int]], parts: Sequence[Part]
) -> list[tuple[str, str, int, int | None]]:
    """Return (cluster, child, amount, grant): each use with the grant that pays for it."""
    pairs = []
    waiting = list(reversed(uses))
    for grant_id, amount in parts:
        rest = amount
        while rest:
            cluster, child, used = waiting.pop()
            some = min(used, rest)
            pairs.append((cluster, child, some, grant_id))
            rest -= some
            if used > some:
                waiting.append((cluster, child, used - some))
    return pairs


def _forget_paid(bank: Bank, writer: Writer, standing: Standing, parts: Sequence[Part]) -> None:
    """What is closed is not to be paid any more."""
    closed = {part.grant_id: part.amount for part in parts}
    for grant in grants.find_living(writer, standing.account.account_id):
        if grant.paid and grant.grant_id in closed:
            after = grant._replace(paid=max(grant.paid - closed[grant.grant_id], 0))
            grants.change(writer, grant, after, actor=bank.actor, reason="", now=bank.clock())


def settle_given_back(bank: Bank, writer: Writer, names: Collection[str]) -> None:
    """Let grants have paid less where use was given back, of accounts and of those above them.

    Else what is used next would be taken for what was given back, and not be paid by the grant that
    is used first now.

    Args:
        bank: clock and actor.
        writer: the transaction that has given it back.
        names: the accounts whose use it was, or that a child left with what it has used.
    """
    settled_with = grants.find_with_paid(writer)
    if not settled_with:
        return
    touched = set(names)
    for name in names:
        for parents in find_parents(writer, name).values():
            touched.update(parents.values())
    for name in sorted(touched & settled_with):
        standing = read.standing(writer, name)
        if standing is None:
            continue
        found = payers(writer, standing)
        paid = dict(found.parts)
        for grant in found.living:
            after = grant._replace(paid=min(grant.paid, paid.get(grant.grant_id, 0)))
            grants.change(writer, grant, after, actor=bank.actor, reason="", now=bank.clock())


def close_all_use(
    bank: Bank, writer: Writer, standing: Standing, reason: str, key: str | None
) -> Payers:
    """Close all use; what an account is overdrawn by is closed with the grant without an end.

    What comes after is of another period, for limits of users too.

    Returns:
        Who paid for it.
    """
    settled.forgive_away(writer, standing.account.name)
    found = payers(writer, standing)
    # One entry a grant and use, also where the grant without an end pays and is overdrawn.
    parts = taken(found.parts, max(standing.used, 0), standing.account.grant_id)
    close_use(bank, writer, standing, parts, reason=reason, command_key=key)
    user_limits.begin_period(writer, standing.account.account_id)
    return found


def close_books(
    bank: Bank, writer: Writer, standing: Standing, reason: str, key: str | None
) -> None:
    """Close all use, end all grants, give back what is left and write off what is missing."""
    close_all_use(bank, writer, standing, reason, key)
    account = accounts.find(writer, standing.account.name)
    assert account is not None
    rest = account.books.available
    for grant in grants.find_living(writer, account.account_id):
        if grant.is_dated:
            rest -= grant.granted
            expire(bank, writer, account.name, grant.grant_id, grant.granted, reason)
            over = grant._replace(state=grants.OVER, promised=0)
            grants.change(writer, grant, over, actor=bank.actor, reason=reason, now=bank.clock())
    expire(bank, writer, account.name, account.grant_id, rest, reason)


def expire(
    bank: Bank, writer: Writer, name: str, grant_id: int | None, rest: int, reason: str
) -> None:
    """Give back what a grant has left, or write off what is missing where that is below 0."""
    if not rest:
        return
    over = rest < 0
    expiry = Draft(
        name,
        "expiry",
        TREASURY if over else AVAILABLE,
        AVAILABLE if over else TREASURY,
        abs(rest),
        bank.actor,
        reason or ("written off" if over else "given back"),
        grant_id,
    )
    post(writer, [expiry], now=bank.clock())
