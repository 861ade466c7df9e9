"""Periods: an account's first one, and use that is closed so that the next begins with none."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.ledger.entries import AVAILABLE, TREASURY, Draft
from bank.ledger.grants import USUAL_KIND
from bank.ledger.references import GIVEN_AGAIN
from bank.operations.bank import Bank
from bank.operations.closing import close_all_use, close_books, expire
from bank.policy.periods import is_held_for
from bank.store import accounts, grants, notices, read, settled, user_limits
from bank.store.accounts import Account
from bank.store.connect import Writer
from bank.store.post import post
from bank.store.read import Standing

# Why an account that the bank has no more stays held.
DELETED_WHILE_HELD = "deleted while it was held"


class Opening(NamedTuple):
    """An account that is to be opened.

    Attributes:
        name: the account.
        amount: billing-seconds; None is unlimited.
        reason: free text.
        started_on: ISO date on which the period began, None is today.
    """

    name: str
    amount: int | None
    reason: str
    started_on: str | None = None


def is_held_by_hand(account: Account) -> bool:
    """Tell whether an account is held until `release_hold`, and not for a reason of the bank's."""
    reason = account.hold_reason
    return reason is not None and reason != DELETED_WHILE_HELD and not is_held_for(reason)


def deposit_drafts(
    bank: Bank,
    name: str,
    amount: int,
    grant_id: int | None,
    *,
    reason: str,
    key: str | None = None,
    reference: str | None = None,
) -> list[Draft]:
    """Return the entries that give an account SUs from the treasury, or take them below 0."""
    if amount == 0:
        return []
    kind, source, target = "deposit", TREASURY, AVAILABLE
    if amount < 0:
        kind, source, target = "withdrawal", AVAILABLE, TREASURY
    return [
        Draft(
            name,
            kind,
            source,
            target,
            abs(amount),
            bank.actor,
            reason,
            grant_id,
            reference=reference,
            idempotency_key=key,
        )
    ]


def open_accounts(
    bank: Bank, writer: Writer, openings: Sequence[Opening], *, key: str | None = None
) -> None:
    """Open accounts with one grant each.

    Args:
        bank: clock and actor.
        writer: the transaction.
        openings: the accounts, none of them open.
        key: the key the command was given.
    """
    now = bank.clock()
    names = [opening.name for opening in openings]
    known = accounts.find_many(writer, names)
    accounts.ensure(writer, names)
    found = accounts.find_many(writer, names)
    for opening in openings:
        # Of one that the bank never heard of nothing was counted.
        if opening.name in known:
            _begin_counting(bank, writer, known[opening.name], opening.reason)
    ids = [account.account_id for account in found.values()]
    opened = grants.open_base(writer, ids, kind=USUAL_KIND, now=now)
    changes: dict[str, dict[str, accounts.Value]] = {}
    deposits: list[Draft] = []
    for name, amount, reason, started_on in openings:
        account = found[name]
        grant_id = opened[account.account_id]
        changes[name] = {
            "is_open": True,
            "is_unlimited": amount is None,
            **beginning(account, started_on or bank.today()),
            "grant_id": grant_id,
        }
        if account.hold_reason == DELETED_WHILE_HELD:
            changes[name]["hold_reason"] = None
        if amount:
            deposits += deposit_drafts(bank, name, amount, grant_id, reason=reason, key=key)
    reasons = {opening.name: opening.reason for opening in openings}
    accounts.change_many(writer, changes, actor=bank.actor, reasons=reasons, now=now)
    # A backup that was put back may have taken away an account, and not what came about for it.
    notices.clear_all(writer, names, now=now)
    post(writer, deposits, now=now)
    accounts.show(writer, bank.database, names)


def _begin_counting(bank: Bank, writer: Writer, account: Account, reason: str) -> None:
    """Settle what of its use so far counts for an account that is opened: see USAGE_BASELINE.

    All of it, but for what those below it used in periods of their own that are over; or nothing.
    """
    below = read.used_below_by_child(writer, account.account_id)
    if bank.settings.usage_baseline == "now":
        used = account.books.used + sum(amount for _, _, amount in below)
        standing = Standing(account, used, 0, (), is_held_by_others=False)
        close_books(bank, writer, standing, reason, None)
        return
    settled.forgive_away(writer, account.name)
    for cluster, child, _ in below:
        settled.forgive(writer, cluster, [(account.name, child)], what="closed")


def beginning(account: Account, started_on: str) -> dict[str, accounts.Value]:
    """Return what changes in an account's row when a period of it begins.

    Args:
        account: the account as it is.
        started_on: ISO date.
    """
    fields: dict[str, accounts.Value] = {"period_started_on": started_on}
    if is_held_for(account.hold_reason):
        fields["hold_reason"] = None
    return fields


def close_account(
    bank: Bank, writer: Writer, standing: Standing, *, reason: str, key: str | None = None
) -> None:
    """Close an account: its books are closed, its chain stays, and what was held stays held.

    Its users have no limits any more: whoever opens it again says anew who may use how much.
    """
    close_books(bank, writer, standing, reason, key)
    has_nothing = standing.left is not None and standing.left <= 0
    fields: dict[str, accounts.Value] = {
        "is_open": False,
        "is_unlimited": False,
        "credit": 0,
    }
    # An account that was out of SUs must not run for nothing once nobody watches it. A hold by hand
    # stays one until release_hold.
    hold_reason = standing.account.hold_reason
    is_held = (
        has_nothing or standing.within(bank.settings.clusters).holds or is_held_for(hold_reason)
    )
    if is_held and (hold_reason is None or is_held_for(hold_reason)):
        fields["hold_reason"] = DELETED_WHILE_HELD
    name, now = standing.account.name, bank.clock()
    notices.clear_all(writer, [name], now=now)
    accounts.change(writer, name, fields, actor=bank.actor, reason=reason, now=now)
    user_limits.end_all(writer, name, actor=bank.actor, reason=reason, now=now)


def start(
    bank: Bank,
    writer: Writer,
    standing: Standing,
    reason: str,
    key: str | None,
    *,
    started_on: str | None = None,
    is_refilled: bool,
) -> None:
    """Start a new period: nothing is used, and the grant without an end is given anew.

    Args:
        bank: clock and actor.
        writer: the transaction.
        standing: where the account stands.
        reason: free text.
        key: the key the command was given.
        started_on: ISO date on which it begins, None is today.
        is_refilled: whether grants with dates get back what they have paid, so that the limit is
            the same; where a period is over by itself they go on with what they have left.
    """
    account = standing.account
    found = close_all_use(bank, writer, standing, reason, key)
    paid = dict(found.parts)
    base = next(grant for grant in found.living if grant.grant_id == account.grant_id)
    again = [
        (grant.grant_id, paid.get(grant.grant_id, 0), GIVEN_AGAIN)
        for grant in found.living
        if is_refilled and grant.is_dated and grant.state == grants.IN_FORCE
    ]
    left = base.granted - paid.get(base.grant_id, 0) - found.overdraft
    expire(bank, writer, account.name, base.grant_id, left, reason)
    now = bank.clock()
    ids = [account.account_id]
    grant_id = grants.open_base(writer, ids, kind=base.kind, now=now)[account.account_id]
    fields: dict[str, accounts.Value] = {
        **beginning(account, started_on or bank.today()),
        "grant_id": grant_id,
    }
    accounts.change(writer, account.name, fields, actor=bank.actor, reason=reason, now=now)
    for number, amount, reference in (*again, (grant_id, base.granted, None)):
        drafts = deposit_drafts(
            bank, account.name, amount, number, reason=reason, key=key, reference=reference
        )
        post(writer, drafts, now=now)
