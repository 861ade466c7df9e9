"""Movements: SUs given to accounts and taken back, and what else an admin changes in the books."""

from collections.abc import Callable
from typing import Any, NamedTuple

from bank.errors import NotConfirmed, Refusal
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU, format_su
from bank.ledger.entries import AVAILABLE, TREASURY, Draft
from bank.operations import periods
from bank.operations.bank import Bank
from bank.operations.enforcement import enforce_soon
from bank.operations.files import log, newest
from bank.operations.looking import describe, describe_soon, no_such_account
from bank.operations.metering import missing_in_slurm, read_all_meters
from bank.operations.periods import Opening
from bank.policy.periods import is_held_for
from bank.store import accounts, limits, read, requests
from bank.store.accounts import Account
from bank.store.connect import Writer, reading, writing
from bank.store.post import post


class Command(NamedTuple):
    """What an admin asks for.

    Attributes:
        verb: "insert", "add" and so on.
        account: a plain name.
        amount: billing-seconds; None is unlimited, or no amount where the verb takes none.
        reason: free text.
        key: makes a repeat an answer; None where the caller gave none.
        dry_run: rehearse it.
        force: delete what still has something left.
    """

    verb: str
    account: str
    amount: int | None = None
    reason: str = ""
    key: str | None = None
    dry_run: bool = False
    force: bool = False


def insert(bank: Bank, command: Command) -> dict[str, Any]:
    """Open an account with one grant.

    Raises:
        Refusal: it is open already, or Slurm has no such account.
    """
    return _do(bank, command, _insert, before=_before_insert)


def add(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account more in the same period; an unlimited one stays unlimited.

    Raises:
        Refusal: it would have more than a limit can be.
    """
    if _resets_on_top_up(bank, command):
        return _do(bank, command, _add_and_book_off, before=_read_all_meters)
    return _do(bank, command, _add)


def _resets_on_top_up(bank: Bank, command: Command) -> bool:
    return command.verb == "add" and bank.settings.on_top_up == "reset"


def modify(bank: Bank, command: Command) -> dict[str, Any]:
    """Set an account's limit and start its period's clock again; None is unlimited."""
    return _do(bank, command, _modify)


def withdraw(bank: Bank, command: Command) -> dict[str, Any]:
    """Take SUs back.

    Raises:
        Refusal: more than is available.
    """
    return _do(bank, command, _withdraw, before=_read_all_meters)


def reset_usage(bank: Bank, command: Command) -> dict[str, Any]:
    """Open a new period: nothing used, the same limit; RawUsage becomes 0 in Slurm."""
    return _do(bank, command, _reset_usage, before=_read_all_meters)


def hold(bank: Bank, command: Command) -> dict[str, Any]:
    """Hold an account until `release_hold`, whatever it has left.

    Raises:
        Refusal: the reason is one that only the bank gives.
    """
    return _do(bank, command, _hold)


def delete(bank: Bank, command: Command) -> dict[str, Any]:
    """Close an account. Its chain stays, and goes on if it is opened again.

    Raises:
        Refusal: it has something left and `force` is not given.
    """
    return _do(bank, command, _delete, before=_read_all_meters)


def _do(
    bank: Bank,
    command: Command,
    act: Callable[[Bank, Writer, Command], None],
    *,
    before: Callable[[Bank, Command], None] | None = None,
) -> dict[str, Any]:
    """Do one command: once, whole, and then in Slurm.

    Returns:
        The verb, its amount, whether it is a repeat, and what `describe` says of the account: once
        Slurm has followed, and for a repeat the amounts of the first time.
    """
    content = [command.verb, command.account, _shown(command)]
    answer = _earlier_answer(bank, command, content)
    if answer is None:
        if before is not None:
            before(bank, command)
        answer = _post(bank, command, content, act)
    if command.dry_run:
        return answer
    # A reset of RawUsage changes what Slurm counts for all above and below as well.
    is_reset = command.verb == "reset_usage" or _resets_on_top_up(bank, command)
    only = None if is_reset and bank.settings.enforcement == "limit" else command.account
    has_followed = enforce_soon(bank, [command.account], only=only)
    with reading(bank.database) as reader:
        state = describe(bank, reader, command.account)
    if command.verb == "hold" and not has_followed:
        raise NotConfirmed(
            f"the hold of {command.account} is on record, and Slurm does not have it yet: the next"
            " pass holds it"
        )
    if answer["is_repeat"]:
        return {**answer, **{what: state[what] for what in ("held", "is_held") if what in state}}
    return {**answer, **state}


def _shown(command: Command) -> str:
    return "" if command.amount is None else format_su(command.amount)


def _earlier_answer(bank: Bank, command: Command, content: list[Any]) -> dict[str, Any] | None:
    if command.key is None:
        return None
    with reading(bank.database) as reader:
        answer = requests.find_answer(reader, command.key, content)
    return None if answer is None else {**answer, "is_repeat": True}


def _post(
    bank: Bank,
    command: Command,
    content: list[Any],
    act: Callable[[Bank, Writer, Command], None],
) -> dict[str, Any]:
    with writing(bank.database, dry_run=command.dry_run) as writer:
        if command.key is not None:
            # Another process may have been quicker since we looked.
            answer = requests.find_answer(writer, command.key, content)
            if answer is not None:
                return {**answer, "is_repeat": True}
        act(bank, writer, command)
        accounts.show(writer, bank.database, [command.account])
        answer = {
            "verb": command.verb,
            "amount_su": _shown(command) or None,
            **describe_soon(bank, writer, command.account),
            "is_repeat": False,
            "is_dry_run": command.dry_run,
        }
        if command.key is not None:
            requests.write_answer(writer, command.key, content, answer, now=bank.clock())
        account = accounts.find(writer, command.account)
    assert account is not None
    if not command.dry_run:
        log(
            bank,
            command.verb,
            account=command.account,
            amount_su=_shown(command),
            reason=command.reason,
            **newest([account]),
        )
    return answer


def _require_in_slurm(bank: Bank, command: Command) -> None:
    """Refuse an account that no cluster has."""
    if missing_in_slurm(bank, [command.account]):
        raise Refusal(
            "no_such_account",
            f"Slurm has no account {command.account}: make it with"
            f" 'sacctmgr add account {command.account}', then insert it here",
        )


def _before_insert(bank: Bank, command: Command) -> None:
    _require_in_slurm(bank, command)
    if bank.settings.usage_baseline == "now":
        _read_all_meters(bank, command)


def _read_all_meters(bank: Bank, command: Command) -> None:
    """Book what was used until now, so that a new period begins here."""
    read_all_meters(bank, dry_run=command.dry_run)


def _standing(writer: Writer, name: str) -> read.Standing:
    standing = read.standing(writer, name)
    if standing is None:
        raise no_such_account(name)
    return standing


def _insert(bank: Bank, writer: Writer, command: Command) -> None:
    if read.standing(writer, command.account) is not None:
        raise Refusal(
            "account_exists",
            f"Account {command.account} already exists in the bank, did you want to modify it?",
        )
    opening = Opening(command.account, command.amount, command.reason)
    periods.open_accounts(bank, writer, [opening], key=command.key)


def _add(bank: Bank, writer: Writer, command: Command) -> None:
    account = _standing(writer, command.account).account
    assert command.amount is not None
    if command.amount == 0:
        raise Refusal("nothing_to_add", "adding 0 SUs changes nothing: give an amount above 0")
    if account.books.granted + command.amount >= MAX_SU * BILLING_SECONDS_PER_SU:
        # What one command cannot give, and so no dump or export take back, several cannot either.
        raise Refusal(
            "too_much",
            f"Account {account.name} has {format_su(account.books.granted)} SUs, and with"
            f" {format_su(command.amount)} more it would not have less than {MAX_SU:,}, which is"
            " what a limit must be: add less",
        )
    deposit = _deposit(bank, command, command.amount, account)
    post(writer, [deposit], now=bank.clock())


def _add_and_book_off(bank: Bank, writer: Writer, command: Command) -> None:
    _add(bank, writer, command)
    standing = _standing(writer, command.account)
    at_most = max(standing.account.books.granted, 0)
    periods.close_use(bank, writer, standing, at_most=at_most, command_key=command.key)
    _want_reset(bank, writer, command.account)


def _want_reset(bank: Bank, writer: Writer, name: str) -> None:
    """Write down that RawUsage is to be set to 0 wherever the account is."""
    rows = writer.query(
        "SELECT cluster FROM place JOIN account ON account.account_id = place.account_id"
        " WHERE name = :name",
        name=name,
    )
    for (cluster,) in rows:
        limits.write_reset(writer, cluster, name, now=bank.clock())


def _modify(bank: Bank, writer: Writer, command: Command) -> None:
    account = _standing(writer, command.account).account
    now = bank.clock()
    fields: dict[str, accounts.Value] = {
        "is_unlimited": command.amount is None,
        **periods.beginning(account, bank.today()),
    }
    accounts.change(writer, account.name, fields, actor=bank.actor, reason=command.reason, now=now)
    if command.amount is None:
        return
    difference = command.amount - account.books.granted
    if difference > 0:
        post(writer, [_deposit(bank, command, difference, account)], now=now)
    if difference < 0:
        post(writer, [_withdrawal(bank, command, -difference, account)], now=now)


def _deposit(bank: Bank, command: Command, amount: int, account: Account) -> Draft:
    return periods.deposit(
        bank,
        command.account,
        amount,
        account.grant_id,
        reason=command.reason,
        key=command.key,
    )


def _withdrawal(bank: Bank, command: Command, amount: int, account: Account) -> Draft:
    draft = _deposit(bank, command, amount, account)
    return draft._replace(kind="withdrawal", source=AVAILABLE, target=TREASURY)


def _withdraw(bank: Bank, writer: Writer, command: Command) -> None:
    standing = _standing(writer, command.account)
    assert command.amount is not None
    granted = standing.account.books.granted
    there = granted - standing.used - standing.set_aside
    if command.amount == 0:
        raise Refusal("nothing_to_withdraw", "withdrawing 0 SUs changes nothing")
    if command.amount > there:
        unlimited = "; it may use without limit, and only what was granted can be taken back"
        raise Refusal(
            "insufficient_funds",
            f"{format_su(command.amount)} SUs cannot be withdrawn from {command.account}:"
            f" available are {format_su(max(there, 0))} ({format_su(granted)} granted,"
            f" {format_su(standing.used)} used, {format_su(standing.set_aside)} set aside"
            f" for running jobs{unlimited if standing.limit is None else ''})",
        )
    withdrawal = _withdrawal(bank, command, command.amount, standing.account)
    post(writer, [withdrawal], now=bank.clock())


def _reset_usage(bank: Bank, writer: Writer, command: Command) -> None:
    periods.start(bank, writer, _standing(writer, command.account), command.reason, command.key)
    _want_reset(bank, writer, command.account)


def _hold(bank: Bank, writer: Writer, command: Command) -> None:
    if is_held_for(command.reason) or command.reason == periods.DELETED_WHILE_HELD:
        raise Refusal(
            "reserved_reason",
            f"{command.reason!r} is what the bank itself says of a hold that it lifts by itself,"
            " and a hold by hand stays until release_hold: say why in other words",
        )
    account = _standing(writer, command.account).account
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
    standing = _standing(writer, command.account)
    if (standing.left is None or standing.left > 0) and not command.force:
        left = "no limit" if standing.left is None else f"{format_su(standing.left)} SUs left"
        raise Refusal(
            "not_empty",
            f"Account {command.account} has {left}: withdraw them first, or delete it with --force",
        )
    periods.close_account(bank, writer, standing, reason=command.reason, key=command.key)
