"""Grants with dates: given, renewed, and shown."""

from typing import Any

from bank.errors import InputError, Refusal
from bank.ledger.amounts import format_su
from bank.ledger.grants import payments
from bank.operations import periods, shares
from bank.operations.bank import Bank, utc_text
from bank.operations.commands import Command, do, standing_of
from bank.operations.days import day_text, same_span_after, zone_name
from bank.operations.grant_dates import CARRY_OVER, turn
from bank.operations.looking import no_such_account
from bank.operations.movements import refuse_nothing, refuse_too_much
from bank.operations.periods import Opening
from bank.store import grants as rows
from bank.store import read
from bank.store.connect import Writer, reading
from bank.store.grants import PROMISED, Grant

KIND = "allocation"


def grant(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account SUs from one time until before another; it is opened where it is not yet.

    Raises:
        InputError: the span is reversed, or over.
        Refusal: Slurm has no such account, or the one above it has less.
    """
    assert command.start_at is not None
    assert command.end_at is not None
    if command.end_at <= command.start_at:
        raise InputError(
            f"--end {day_text(command.end_at)} is not after --start {day_text(command.start_at)}:"
            " a grant is from its start until before its end"
        )
    if command.end_at <= bank.clock():
        raise InputError(
            f"--end {day_text(command.end_at)} is over: a grant that has ended gives nothing"
        )
    with reading(bank.database) as reader:
        is_open = read.standing(reader, command.account) is not None
    return do(bank, command, _grant, before=None if is_open else shares.placed_in_slurm)


def _grant(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    if read.standing(writer, command.account) is None:
        # It has nothing but what it is given for a span.
        periods.open_accounts(bank, writer, [Opening(command.account, 0, command.reason)])
    return _give(bank, writer, command)


def _give(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    """Promise a grant, put it in force where it has started, and return what it is."""
    account = standing_of(writer, command.account).account
    promised = Grant(
        0,
        account.name,
        command.kind or KIND,
        command.start_at or 0,
        command.end_at,
        PROMISED,
        granted=0,
        promised=refuse_nothing(command),
        paid=0,
        carry_percent=_carry_percent(bank, command),
        is_dated=1,
    )
    now = bank.clock()
    given = rows.promise(writer, promised, actor=bank.actor, reason=command.reason, now=now)
    turn(bank, writer, [account.name], at=now)
    refuse_too_much(writer, account)
    shares.refuse_larger(writer, command, account.name)
    made = rows.find(writer, given.grant_id)
    return {"grant": _shown(made, given.promised, 0, zone_name())}


def _carry_percent(bank: Bank, command: Command) -> int:
    if command.carry_percent is None:
        return bank.settings.carry_over_percent
    return command.carry_percent


def renew(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account the grant that follows its last one: as much, as long and of the same kind.

    Raises:
        Refusal: it has had no grant with dates, or is not open.
        InputError: the end is not after the start.
    """
    return do(bank, command, _renew)


def _renew(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    account = standing_of(writer, command.account).account
    before = _last(rows.find_all(writer, account.account_id))
    if before is None:
        raise Refusal(
            "no_such_grant",
            f"Account {account.name} has had no grant with dates: give it one with 'grant"
            f" {account.name} SU --start DAY --end DAY'",
        )
    assert before.end_at is not None
    start_at = before.end_at if command.start_at is None else command.start_at
    if command.end_at is not None:
        end_at = command.end_at
    elif command.start_at is None:
        end_at = same_span_after(before.start_at, before.end_at)
    else:
        raise InputError("renew with --start needs --end as well")
    if end_at <= start_at:
        raise InputError(
            f"--end {day_text(end_at)} is not after {day_text(start_at)}, where the grant starts"
        )
    amount = command.amount
    if amount is None:
        amount = before.promised or rows.given(writer, before)
    following = command._replace(
        amount=amount,
        start_at=start_at,
        end_at=end_at,
        kind=command.kind or before.kind,
        carry_percent=(
            before.carry_percent if command.carry_percent is None else command.carry_percent
        ),
    )
    return _give(bank, writer, following)


def _last(found: list[Grant]) -> Grant | None:
    """Return the grant with dates that ends last, but for what was only carried over."""
    dated = [
        (one.end_at, one.grant_id, one)
        for one in found
        if one.is_dated and not one.kind.startswith(f"{CARRY_OVER} ")
    ]
    return max(dated)[2] if dated else None


def grants(bank: Bank, name: str) -> list[dict[str, Any]]:
    """Return every grant of an account, oldest first, with what of it is used and left.

    Raises:
        Refusal: the account is not open in the bank.
    """
    with reading(bank.database) as reader:
        standing = read.standing(reader, name)
        if standing is None:
            raise no_such_account(name)
        found = rows.find_all(reader, standing.account.account_id)
        given = {one.grant_id: rows.given(reader, one) for one in found}
    paid = payments(rows.paying(found), max(standing.used, 0))
    zone = zone_name()
    return [_shown(one, given[one.grant_id], paid.get(one.grant_id, 0), zone) for one in found]


def _shown(one: Grant, given: int, paid: int, zone: str) -> dict[str, Any]:
    """Return a grant as plain data: dates in the site's zone and as UTC, SUs and billing-seconds.

    Of one that is over nothing is left, and what it paid is in the account's entries.
    """
    left = one.granted - paid if one.is_paying else one.promised
    return {
        "grant": one.grant_id,
        "kind": one.kind,
        "state": one.state,
        "start": day_text(one.start_at),
        "end": day_text(one.end_at) or None,
        "given_su": format_su(given or one.promised),
        "used_su": format_su(paid),
        "left_su": format_su(left),
        "carry_percent": one.carry_percent if one.is_dated else None,
        "zone": zone,
        "start_at": utc_text(one.start_at),
        "end_at": None if one.end_at is None else utc_text(one.end_at),
        "given_billing_seconds": given or one.promised,
        "used_billing_seconds": paid,
        "left_billing_seconds": left,
    }
