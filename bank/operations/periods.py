"""Periods: an account's first one, and use that is closed so that the next begins with none."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.ledger.entries import AVAILABLE, TREASURY, USED, Draft
from bank.operations.bank import Bank
from bank.policy.periods import is_held_for
from bank.store import accounts, meters, notices, read
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


def deposit(
    bank: Bank, name: str, amount: int, grant_id: int | None, *, reason: str, key: str | None
) -> Draft:
    """Return the entry that gives an account SUs from the treasury."""
    return Draft(
        name,
        "deposit",
        TREASURY,
        AVAILABLE,
        amount,
        bank.actor,
        reason,
        grant_id,
        idempotency_key=key,
    )


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
    grants = accounts.open_grants(writer, ids, kind="allocation", now=now)
    changes: dict[str, dict[str, accounts.Value]] = {}
    deposits = []
    for name, amount, reason, started_on in openings:
        account = found[name]
        grant_id = grants[account.account_id]
        changes[name] = {
            "is_open": True,
            "is_unlimited": amount is None,
            **beginning(account, started_on or bank.today()),
            "grant_id": grant_id,
        }
        if account.hold_reason == DELETED_WHILE_HELD:
            changes[name]["hold_reason"] = None
        if amount:
            deposits.append(deposit(bank, name, amount, grant_id, reason=reason, key=key))
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
    meters.forgive_away(writer, account.name)
    for cluster, child, _ in below:
        meters.forgive(writer, cluster, [(account.name, child)], what="closed")


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


def close_use(
    bank: Bank,
    writer: Writer,
    standing: Standing,
    *,
    at_most: int,
    reason: str = "",
    command_key: str | None = None,
) -> int:
    """Close what an account has used: its own use first, then that of all below it.

    Closed use is settled with the treasury, so used and granted fall by the same amount and what
    is available stays.

    Args:
        bank: clock and actor.
        writer: the transaction.
        standing: where the account stands.
        at_most: billing-seconds to close.
        reason: free text.
        command_key: the key the command was given.

    Returns:
        Billing-seconds that were closed.
    """
    account = standing.account
    drafts: list[Draft] = []
    left = at_most
    own = writer.query(
        "SELECT cluster, charged - closed FROM place WHERE account_id = :id ORDER BY cluster",
        id=account.account_id,
    )
    for cluster, used in own:
        if amount := min(used, left):
            drafts.append(_closing(bank, standing, USED, amount, cluster, reason, "own use"))
            left -= amount
    settled: list[tuple[str, str, int]] = []
    for cluster, child, used in read.used_below_by_child(writer, account.account_id):
        if amount := min(used, left):
            what = f"child {child}"
            drafts.append(_closing(bank, standing, AVAILABLE, amount, cluster, reason, what))
            settled.append((cluster, child, amount))
            left -= amount
    keyed = [
        draft._replace(idempotency_key=command_key, leg=number)
        for number, draft in enumerate(drafts, start=1)
    ]
    post(writer, keyed, now=bank.clock())
    for cluster, child, amount in settled:
        meters.settle(writer, cluster, [(account.name, child, amount)])
    return at_most - left


def _closing(
    bank: Bank, standing: Standing, source: str, amount: int, cluster: str, reason: str, what: str
) -> Draft:
    return Draft(
        standing.account.name,
        "closing",
        source,
        TREASURY,
        amount,
        bank.actor,
        reason,
        standing.account.grant_id,
        cluster,
        reference=what,
    )


def close_books(
    bank: Bank, writer: Writer, standing: Standing, reason: str, key: str | None
) -> None:
    """Close all use, and give back what is left or write off what is missing."""
    meters.forgive_away(writer, standing.account.name)
    close_use(bank, writer, standing, at_most=max(standing.used, 0), reason=reason, command_key=key)
    account = accounts.find(writer, standing.account.name)
    assert account is not None
    rest = account.books.available
    if rest:
        over = rest < 0
        expiry = Draft(
            account.name,
            "expiry",
            TREASURY if over else AVAILABLE,
            AVAILABLE if over else TREASURY,
            abs(rest),
            bank.actor,
            reason or ("written off" if over else "given back"),
            account.grant_id,
        )
        post(writer, [expiry], now=bank.clock())


def close_account(
    bank: Bank, writer: Writer, standing: Standing, *, reason: str, key: str | None = None
) -> None:
    """Close an account: its books are closed, its chain stays, and what was held stays held."""
    close_books(bank, writer, standing, reason, key)
    has_nothing = standing.left is not None and standing.left <= 0
    fields: dict[str, accounts.Value] = {
        "is_open": False,
        "is_unlimited": False,
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


def start(
    bank: Bank,
    writer: Writer,
    standing: Standing,
    reason: str,
    key: str | None,
    *,
    started_on: str | None = None,
) -> None:
    """Start a new period with a new grant of the same limit; it begins today, or on a day given."""
    limit = standing.account.books.granted
    close_books(bank, writer, standing, reason, key)
    now = bank.clock()
    grant_id = accounts.open_grant(writer, standing.account.account_id, kind="allocation", now=now)
    fields: dict[str, accounts.Value] = {
        **beginning(standing.account, started_on or bank.today()),
        "grant_id": grant_id,
    }
    name = standing.account.name
    accounts.change(writer, name, fields, actor=bank.actor, reason=reason, now=now)
    if limit > 0:
        again = deposit(bank, name, limit, grant_id, reason=reason, key=key)
        post(writer, [again], now=now)
