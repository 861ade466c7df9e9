"""Corrections: use that is given back, or booked by hand."""

from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import format_su
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.references import BY_HAND
from bank.operations.bank import Bank
from bank.operations.closing import paid_by_grants, settle_given_back
from bank.operations.commands import Command, do, read_meters_before
from bank.operations.giving import refuse_nothing
from bank.operations.named import standing_of
from bank.store import meters
from bank.store.connect import Writer
from bank.store.post import post


def refund(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account back some of what it has used in its present period.

    Raises:
        Refusal: more than it has used itself.
    """
    return do(bank, command, _refund, before=read_meters_before)


def adjust(bank: Bank, command: Command) -> dict[str, Any]:
    """Book use that no meter saw, or take booked use off where the amount is below 0.

    Raises:
        Refusal: no reason is given, more is to be taken off than was used, or it is not clear on
            which cluster.
    """
    return do(bank, command, _adjust, before=read_meters_before)


def correction_draft(
    bank: Bank,
    command: Command,
    kind: str,
    *,
    cluster: str,
    amount: int,
    user: str | None = None,
    reference: str = BY_HAND,
) -> Draft:
    """Return the entry that corrects what an account has used on a cluster.

    Args:
        bank: the actor.
        command: account, reason and key.
        kind: "refund" or "adjustment".
        cluster: where it was used.
        amount: billing-seconds that are booked as used; below 0 they are given back.
        user: whose use it is, None where it is nobody's.
        reference: what the entry rests on.
    """
    source, target = (AVAILABLE, USED) if amount > 0 else (USED, AVAILABLE)
    return Draft(
        command.account,
        kind,
        source,
        target,
        abs(amount),
        bank.actor,
        command.reason,
        None,
        cluster,
        user,
        reference,
        command.key,
    )


def _refund(bank: Bank, writer: Writer, command: Command) -> None:
    amount = refuse_nothing(command)
    drafts = []
    for cluster, used in _own_use(writer, command, amount):
        some = min(used, amount)
        if some:
            drafts.append(correction_draft(bank, command, "refund", cluster=cluster, amount=-some))
        amount -= some
    post(writer, drafts, now=bank.clock())
    settle_given_back(bank, writer, [command.account])


def _own_use(writer: Writer, command: Command, amount: int) -> list[tuple[str, int]]:
    """Return what an account has used itself in its present period, by cluster.

    Raises:
        Refusal: that is less than is to be given back.
    """
    standing = standing_of(writer, command.account)
    own = [
        (cluster, used)
        for cluster, used in meters.find_own_use(writer, standing.account.account_id)
        if command.cluster in (None, cluster)
    ]
    used = sum(used for _, used in own)
    if amount > used:
        where = f" on {command.cluster}" if command.cluster else ""
        below = standing.used - standing.account.books.used
        others = f"; accounts below it have used {format_su(below)}: refund those" if below else ""
        raise Refusal(
            "more_than_used",
            f"{format_su(amount)} SUs cannot be given back: account {command.account} itself has"
            f" used {format_su(used)} SUs in its present period{where}{others}",
        )
    return own


def _adjust(bank: Bank, writer: Writer, command: Command) -> None:
    assert command.amount is not None
    standing = standing_of(writer, command.account)
    amount = refuse_nothing(command)
    if not command.reason:
        raise Refusal("no_reason", "an adjustment needs a reason: say --reason TEXT")
    cluster = _cluster(writer, command, standing.account.account_id)
    if amount < 0:
        _own_use(writer, command._replace(cluster=cluster), -amount)
    draft = correction_draft(bank, command, "adjustment", cluster=cluster, amount=amount)
    drafts = paid_by_grants(writer, [draft]) if amount > 0 else [draft]
    post(writer, drafts, now=bank.clock())
    if amount < 0:
        settle_given_back(bank, writer, [command.account])


def _cluster(writer: Writer, command: Command, account_id: int) -> str:
    """Return the cluster that is meant.

    Raises:
        Refusal: the account is on several, and none was named; or not on the one that was.
    """
    known = [cluster for cluster, _ in meters.find_own_use(writer, account_id)]
    if command.cluster in known:
        return command.cluster
    if command.cluster is None and len(known) == 1:
        return known[0]
    if not known:
        raise Refusal(
            "never_read",
            f"account {command.account} was not read on any cluster yet: run 'enforce' first",
        )
    raise Refusal(
        "which_cluster",
        f"account {command.account} is on {', '.join(known)}: say --cluster with one of them",
    )
