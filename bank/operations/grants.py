"""Grants with dates: given, and renewed."""

from typing import Any

from bank.errors import InputError, Refusal
from bank.ledger.grants import USUAL_KIND
from bank.operations import periods, shares
from bank.operations.bank import Bank
from bank.operations.commands import Command, do
from bank.operations.days import day_text, same_span_after
from bank.operations.giving import refuse_nothing, refuse_too_much
from bank.operations.grant_dates import CARRY_OVER, turn
from bank.operations.movements import before_opening
from bank.operations.named import standing_of
from bank.operations.periods import Opening
from bank.operations.shown_grants import shown
from bank.store import grants as rows
from bank.store import read
from bank.store.connect import Writer, reading
from bank.store.grants import PROMISED, Grant


def grant(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account SUs from one time until before another; it is opened where it is not yet.

    Raises:
        InputError: the span is reversed, or over.
        Refusal: Slurm has no such account, or the one above it has less.
    """
    with reading(bank.database) as reader:
        is_open = read.standing(reader, command.account) is not None
    return do(bank, command, _grant, before=None if is_open else before_opening)


def _grant(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    if read.standing(writer, command.account) is None:
        # It has nothing but what it is given for a span.
        periods.open_accounts(bank, writer, [Opening(command.account, 0, command.reason)])
    return _give(bank, writer, command)


def _give(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    """Promise a grant, put it in force where it has started, and return what it is."""
    account = standing_of(writer, command.account).account
    now = bank.clock()
    _refuse_span(command, now)
    kind = command.kind or USUAL_KIND
    if _is_carried_over(kind):
        raise InputError(
            f"--kind {kind!r} is what the bank itself says of what is carried over: say it"
            " otherwise"
        )
    promised = Grant(
        0,
        account.name,
        kind,
        command.start_at or 0,
        command.end_at,
        PROMISED,
        granted=0,
        promised=refuse_nothing(command),
        paid=0,
        carry_percent=_carry_percent(bank, command),
        is_dated=1,
    )
    given = rows.promise(writer, promised, actor=bank.actor, reason=command.reason, now=now)
    turn(bank, writer, [account.name], at=now)
    refuse_too_much(writer, account)
    shares.refuse_larger(bank, writer, command, account.name)
    made = rows.find(writer, given.grant_id)
    return {"grant": shown(made, given.promised, 0)}


def _refuse_span(command: Command, now: int) -> None:
    """Refuse a span that is none.

    Raises:
        InputError: it is reversed, or over.
    """
    assert command.start_at is not None
    assert command.end_at is not None
    start, end = day_text(command.start_at), day_text(command.end_at)
    if command.end_at <= command.start_at:
        raise InputError(
            f"--end {end} is not after --start {start}: a grant is from its start until before its"
            " end"
        )
    if command.end_at <= now:
        raise InputError(
            f"a grant from {start} until before {end} is over and gives nothing: say --start and"
            " --end"
        )


def _carry_percent(bank: Bank, command: Command) -> int:
    if command.carry_percent is None:
        return bank.settings.carry_over_percent
    return command.carry_percent


def renew(bank: Bank, command: Command) -> dict[str, Any]:
    """Give an account the grant that follows: as much, as long and of the same kind.

    It follows the one that is named, or the one that ends last.

    Raises:
        Refusal: it has had no such grant with dates, or is not open.
        InputError: the span is reversed, over, or only half given.
    """
    return do(bank, command, _renew)


def _renew(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    account = standing_of(writer, command.account).account
    before = _renewable(command, rows.find_all(writer, account.account_id))
    assert before.end_at is not None
    if command.start_at is not None and command.end_at is None:
        raise InputError("renew with --start needs --end as well")
    end_at = command.end_at
    if end_at is None:
        end_at = same_span_after(before.start_at, before.end_at)
    amount = command.amount
    if amount is None:
        amount = before.promised or rows.given(writer, before)
    following = command._replace(
        amount=amount,
        start_at=before.end_at if command.start_at is None else command.start_at,
        end_at=end_at,
        kind=command.kind or before.kind,
        carry_percent=(
            before.carry_percent if command.carry_percent is None else command.carry_percent
        ),
    )
    return _give(bank, writer, following)


def _is_carried_over(kind: str) -> bool:
    return kind.startswith(f"{CARRY_OVER} ")


def _renewable(command: Command, found: list[Grant]) -> Grant:
    """Return the grant that is named, or the one with dates that ends last.

    What was only carried over is not given again.

    Raises:
        Refusal: there is none.
    """
    dated = {one.grant_id: one for one in found if one.is_dated and not _is_carried_over(one.kind)}
    name, wanted = command.account, command.grant_id
    if not dated:
        raise Refusal(
            "no_such_grant",
            f"Account {name} has had no grant with dates: give it one with 'grant {name} SU"
            " --start DAY --end DAY'",
        )
    if wanted is None:
        return max(dated.values(), key=lambda one: (one.end_at or 0, one.grant_id))
    if wanted not in dated:
        known = ", ".join(str(number) for number in dated)
        raise Refusal(
            "no_such_grant",
            f"Account {name} has no grant {wanted} that can be renewed; it has had {known}:"
            f" 'grants {name}' shows them",
        )
    return dated[wanted]
