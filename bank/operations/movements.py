"""Movements: SUs given to accounts and taken back, and what else an admin changes in the books."""

from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import format_su
from bank.ledger.grants import Part, taken
from bank.operations import periods, shares
from bank.operations.bank import Bank
from bank.operations.closing import close_use, payers
from bank.operations.commands import (
    Command,
    do,
    read_meters_before,
    resets_on_top_up,
)
from bank.operations.giving import (
    available_parts,
    give,
    named_grant,
    promised_to,
    refuse_more_than_there,
    refuse_nothing,
    refuse_too_much,
)
from bank.operations.named import standing_of
from bank.operations.periods import Opening
from bank.policy.periods import is_held_for
from bank.store import accounts, grants, limits, meters, read
from bank.store.accounts import Account
from bank.store.connect import Writer


def insert(bank: Bank, command: Command) -> dict[str, Any]:
    """Open an account with one grant.

    Raises:
        Refusal: it is open already, Slurm has no such account, or the one above it has less.
    """
    return do(bank, command, _insert, before=before_opening)


def add(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account more in the same period; an unlimited one stays unlimited.

    Raises:
        Refusal: it would have more than a limit can be, or than the account above it.
    """
    if resets_on_top_up(bank, command):
        return do(bank, command, _add_and_book_off, before=read_meters_before)
    return do(bank, command, _deposit)


def deposit(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account more, in the grant that is named or the one without an end.

    Unlike `add` it never books use off, whatever ON_TOP_UP says.

    Raises:
        Refusal: as `add`, or the account has no such grant.
    """
    return do(bank, command, _deposit)


def modify(bank: Bank, command: Command) -> dict[str, Any]:
    """Set an account's limit and start its period's clock again; None is unlimited.

    Raises:
        Refusal: less than its grants with dates have.
    """
    return do(bank, command, _modify)


def withdraw(bank: Bank, command: Command) -> dict[str, Any]:
    """Take SUs back, of the grant that is named or in the order in which grants are used.

    Raises:
        Refusal: more than is available.
    """
    return do(bank, command, _withdraw, before=read_meters_before)


def set_credit(bank: Bank, command: Command) -> dict[str, Any]:
    """Set by how much an account may be overdrawn: by its jobs, `withdraw` and `transfer`."""
    return do(bank, command, _set_credit)


def reset_usage(bank: Bank, command: Command) -> dict[str, Any]:
    """Open a new period: nothing used, the same limit; RawUsage becomes 0 in Slurm."""
    return do(bank, command, _reset_usage, before=read_meters_before)


def hold(bank: Bank, command: Command) -> dict[str, Any]:
    """Hold an account until `release_hold`, whatever it has left.

    Raises:
        Refusal: the reason is one that only the bank gives.
    """
    return do(bank, command, _hold)


def delete(bank: Bank, command: Command) -> dict[str, Any]:
    """Close an account. Its chain stays, and goes on if it is opened again.

    Raises:
        Refusal: it has something left and `force` is not given.
    """
    return do(bank, command, _delete, before=read_meters_before)


def before_opening(bank: Bank, command: Command) -> Command:
    """Ask Slurm what must be known before an account is opened.

    Raises:
        Refusal: no cluster has it.
        BankError: its use until now is not to count, and a cluster could not be read.
    """
    placed = shares.placed_in_slurm(bank, command)
    return read_meters_before(bank, placed) if bank.settings.usage_baseline == "now" else placed


def _insert(bank: Bank, writer: Writer, command: Command) -> None:
    if read.standing(writer, command.account) is not None:
        raise Refusal(
            "account_exists",
            f"Account {command.account} already exists in the bank, did you want to modify it?",
        )
    opening = Opening(command.account, command.amount, command.reason)
    periods.open_accounts(bank, writer, [opening], key=command.key)
    shares.refuse_larger(bank, writer, command, command.account)


def _deposit(bank: Bank, writer: Writer, command: Command) -> None:
    account = standing_of(writer, command.account).account
    amount = refuse_nothing(command)
    give(bank, writer, command, named_grant(writer, account, command.grant_id), amount)
    refuse_too_much(writer, account)
    shares.refuse_larger(bank, writer, command, account.name)


def _add_and_book_off(bank: Bank, writer: Writer, command: Command) -> None:
    _deposit(bank, writer, command)
    standing = standing_of(writer, command.account)
    parts = payers(writer, standing).parts
    close_use(bank, writer, standing, parts, command_key=command.key)
    _want_reset(bank, writer, command.account)


def _want_reset(bank: Bank, writer: Writer, name: str) -> None:
    """Write down that RawUsage is to be set to 0 wherever the account is."""
    for cluster in meters.find_clusters_of(writer, name):
        limits.write_reset(writer, cluster, name, now=bank.clock())


def _modify(bank: Bank, writer: Writer, command: Command) -> None:
    account = standing_of(writer, command.account).account
    now = bank.clock()
    fields: dict[str, accounts.Value] = {
        "is_unlimited": command.amount is None,
        **periods.beginning(account, bank.today()),
    }
    accounts.change(writer, account.name, fields, actor=bank.actor, reason=command.reason, now=now)
    if command.amount is not None:
        _set_limit(bank, writer, command, account, command.amount)
        refuse_too_much(writer, account)
        shares.refuse_smaller(bank, writer, command, account.name)
    shares.refuse_larger(bank, writer, command, account.name)


def _set_limit(bank: Bank, writer: Writer, command: Command, account: Account, amount: int) -> None:
    """Give or take what makes an account's limit so much, of the grant without an end.

    Raises:
        Refusal: its grants with dates have more.
    """
    living = grants.find_living(writer, account.account_id)
    dated = sum(grant.granted for grant in living if grant.is_dated)
    if amount < dated:
        raise Refusal(
            "less_than_dated",
            f"Account {account.name} has {format_su(dated)} SUs in grants with dates, so its limit"
            f" cannot be {format_su(amount)}: 'grants {account.name}' shows them, and 'withdraw"
            " --grant' takes SUs back from one",
        )
    difference = amount - account.books.granted
    give(bank, writer, command, named_grant(writer, account, None), difference)


def _withdraw(bank: Bank, writer: Writer, command: Command) -> None:
    standing = standing_of(writer, command.account)
    amount = refuse_nothing(command)
    account = standing.account
    there, parts = available_parts(writer, standing)
    if command.grant_id is None:
        refuse_more_than_there(standing, command, there)
        split = taken(parts, amount, account.grant_id)
    else:
        grant = named_grant(writer, account, command.grant_id)
        its = {part.grant_id: part.amount for part in parts}.get(grant.grant_id, grant.promised)
        if grant.state != grants.PROMISED:
            its = min(its, there)
        if amount > its:
            raise Refusal(
                "insufficient_funds",
                f"{format_su(amount)} SUs cannot be withdrawn from grant {grant.grant_id} of"
                f" {account.name}: it has {format_su(max(its, 0))} that are neither used nor set"
                " aside",
            )
        split = [Part(grant.grant_id, amount)]
    for grant_id, some in split:
        give(bank, writer, command, named_grant(writer, account, grant_id), -some)
    shares.refuse_smaller(bank, writer, command, account.name)


def _set_credit(bank: Bank, writer: Writer, command: Command) -> None:
    assert command.amount is not None
    accounts.change(
        writer,
        standing_of(writer, command.account).account.name,
        {"credit": command.amount},
        actor=bank.actor,
        reason=command.reason,
        now=bank.clock(),
    )


def _reset_usage(bank: Bank, writer: Writer, command: Command) -> None:
    standing = standing_of(writer, command.account)
    periods.start(bank, writer, standing, command.reason, command.key, is_refilled=True)
    _want_reset(bank, writer, command.account)


def _hold(bank: Bank, writer: Writer, command: Command) -> None:
    if is_held_for(command.reason) or command.reason == periods.DELETED_WHILE_HELD:
        raise Refusal(
            "reserved_reason",
            f"{command.reason!r} is what the bank itself says of a hold that it lifts by itself,"
            " and a hold by hand stays until release_hold: say why in other words",
        )
    account = standing_of(writer, command.account).account
    before = None if is_held_for(account.hold_reason) else account.hold_reason
    reason = command.reason or before or f"ordered by {bank.actor}"
    accounts.change(
        writer,
        account.name,
        {"hold_reason": reason},
        actor=bank.actor,
        reason=command.reason,
        now=bank.clock(),
    )


def _delete(bank: Bank, writer: Writer, command: Command) -> None:
    standing = standing_of(writer, command.account)
    promised = promised_to(writer, standing.account)
    if (standing.left is None or standing.left > 0 or promised) and not command.force:
        left = "no limit" if standing.left is None else f"{format_su(standing.left)} SUs left"
        if promised:
            left += f" and {format_su(promised)} promised"
        raise Refusal(
            "not_empty",
            f"Account {command.account} has {left}: withdraw them first, or delete it with --force",
        )
    owed = -standing.account.books.granted
    if owed > 0 and not command.force:
        raise Refusal(
            "owes",
            f"Account {command.account} owes {format_su(owed)} SUs that it gave away on credit:"
            " deposit them first, or forgive them with --force",
        )
    periods.close_account(bank, writer, standing, reason=command.reason, key=command.key)
