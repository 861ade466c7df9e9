"""Movements: SUs given to accounts and taken back, and what else an admin changes in the books."""

from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU, format_su
from bank.ledger.grants import Part, taken, unused
from bank.operations import periods, shares
from bank.operations.bank import Bank
from bank.operations.closing import close_use, payers
from bank.operations.commands import (
    Command,
    do,
    read_meters_before,
    resets_on_top_up,
)
from bank.operations.named import standing_of
from bank.operations.periods import Opening, deposit_drafts
from bank.policy.periods import is_held_for
from bank.store import accounts, grants, limits, meters, read
from bank.store.accounts import Account
from bank.store.connect import Reader, Writer
from bank.store.grants import Grant
from bank.store.post import post
from bank.store.read import Standing


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


def refuse_nothing(command: Command) -> int:
    """Return the amount of a command.

    Raises:
        Refusal: it is 0.
    """
    assert command.amount is not None
    if command.amount == 0:
        raise Refusal(
            f"nothing_to_{command.verb}",
            f"{command.verb} of 0 SUs changes nothing: give an amount above 0",
        )
    return command.amount


def promised_to(reader: Reader, account: Account) -> int:
    """Return what an account is given by grants that have not started: billing-seconds."""
    living = grants.find_living(reader, account.account_id)
    return sum(grant.promised for grant in living)


def refuse_too_much(reader: Reader, account: Account) -> None:
    """Refuse what would give an account more than a limit can be.

    What one command cannot give, and so no dump or export take back, several cannot either.

    Args:
        reader: the transaction that has given it.
        account: as it was before.
    """
    after = accounts.find(reader, account.name)
    assert after is not None
    if after.books.granted + promised_to(reader, account) >= MAX_SU * BILLING_SECONDS_PER_SU:
        raise Refusal(
            "too_much",
            f"Account {account.name} has {format_su(account.books.granted)} SUs, and with that it"
            f" would not have less than {MAX_SU:,}, which is what a limit must be: give less",
        )


def named_grant(writer: Writer, account: Account, grant_id: int | None) -> Grant:
    """Return an account's grant of this number, with None the one without an end.

    Raises:
        Refusal: it has none such, or that is over.
    """
    living = grants.find_living(writer, account.account_id)
    wanted = account.grant_id if grant_id is None else grant_id
    found = next((grant for grant in living if grant.grant_id == wanted), None)
    if found is None or found.state == grants.ENDING:
        known = ", ".join(str(grant.grant_id) for grant in living if grant.state != grants.ENDING)
        raise Refusal(
            "no_such_grant",
            f"Account {account.name} has no grant {wanted} that is in force or promised; it has"
            f" {known}: 'grants {account.name}' shows them",
        )
    return found


def _deposit(bank: Bank, writer: Writer, command: Command) -> None:
    account = standing_of(writer, command.account).account
    amount = refuse_nothing(command)
    give(bank, writer, command, named_grant(writer, account, command.grant_id), amount)
    refuse_too_much(writer, account)
    shares.refuse_larger(bank, writer, command, account.name)


def give(
    bank: Bank,
    writer: Writer,
    command: Command,
    grant: Grant,
    amount: int,
    *,
    reference: str | None = None,
) -> None:
    """Give a grant more, or promise it more where it has not started; below 0, take from it."""
    now = bank.clock()
    if grant.state != grants.PROMISED:
        drafts = deposit_drafts(
            bank,
            grant.account,
            amount,
            grant.grant_id,
            reason=command.reason,
            key=command.key,
            reference=reference,
        )
        post(writer, drafts, now=now)
        return
    promised = grant.promised + amount
    state = grants.PROMISED if promised else grants.OVER
    after = grant._replace(promised=promised, state=state)
    grants.change(writer, grant, after, actor=bank.actor, reason=command.reason, now=now)


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
        set_limit(bank, writer, command, account, command.amount)
        refuse_too_much(writer, account)
        shares.refuse_smaller(bank, writer, command, account.name)
    shares.refuse_larger(bank, writer, command, account.name)


def set_limit(bank: Bank, writer: Writer, command: Command, account: Account, amount: int) -> None:
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


def available_parts(writer: Writer, standing: Standing) -> tuple[int, list[Part]]:
    """Return what can be taken from an account, and what of it each grant has.

    Returns:
        Billing-seconds that are neither used nor set aside, with its credit; and by grant, in the
        order of use, what is not used: more than that where jobs run, less where it has credit.
    """
    account = standing.account
    there = account.books.granted + account.credit - standing.used - standing.set_aside
    living = grants.find_living(writer, account.account_id)
    # What one that has ended still has is for the jobs that run.
    ending = {grant.grant_id for grant in living if grant.state == grants.ENDING}
    parts = unused(grants.paying(living), max(standing.used, 0))
    return there, [part for part in parts if part.grant_id not in ending]


def refuse_more_than_there(standing: Standing, command: Command, there: int) -> None:
    """Refuse to take more than an account has.

    Raises:
        Refusal: with what it has, and what is done with the rest.
    """
    assert command.amount is not None
    if command.amount <= there:
        return
    account = standing.account
    unlimited = "; it may use without limit, and only what was granted can be taken back"
    credit = f", {format_su(account.credit)} of credit" if account.credit else ""
    done = {"withdraw": "withdrawn", "transfer": "transferred"}[command.verb]
    raise Refusal(
        "insufficient_funds",
        f"{format_su(command.amount)} SUs cannot be {done} from {account.name}:"
        f" available are {format_su(max(there, 0))} ({format_su(account.books.granted)} granted"
        f"{credit}, {format_su(standing.used)} used, {format_su(standing.set_aside)} set aside"
        f" for running jobs{unlimited if standing.limit is None else ''})",
    )


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
