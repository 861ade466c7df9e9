"""Transfers: SUs that go from one account to another, and keep the dates of their grants."""

from typing import Any

from bank.errors import Refusal
from bank.ledger.entries import AVAILABLE, CLEARING, Draft
from bank.ledger.grants import taken
from bank.ledger.references import of_transfer
from bank.operations import grant_dates, shares
from bank.operations.bank import Bank
from bank.operations.commands import Command, do, read_meters_before
from bank.operations.giving import (
    available_parts,
    refuse_more_than_there,
    refuse_nothing,
    refuse_too_much,
)
from bank.operations.looking import describe_soon
from bank.operations.named import standing_of
from bank.store import grants
from bank.store.accounts import Account
from bank.store.connect import Writer
from bank.store.grants import IN_FORCE, PROMISED, Grant
from bank.store.post import post


def transfer(bank: Bank, command: Command) -> dict[str, Any]:
    """Give SUs of one account to another, in the order in which the first would use them.

    Raises:
        Refusal: more than is available, the two are the same, one of them is not open, or the
            second would have more than the account above it.
    """
    return do(bank, command, _transfer, before=read_meters_before)


def _transfer(bank: Bank, writer: Writer, command: Command) -> dict[str, Any]:
    assert command.to is not None
    if command.to == command.account:
        raise Refusal("same_account", f"{command.account} and {command.to} are the same account")
    giving = standing_of(writer, command.account)
    taking = standing_of(writer, command.to).account
    amount = refuse_nothing(command)
    there, parts = available_parts(writer, giving)
    refuse_more_than_there(giving, command, there)
    living = {
        grant.grant_id: grant for grant in grants.find_living(writer, giving.account.account_id)
    }
    # Both sides name the first entry, so that what one gave can be found with what the other took.
    reference = of_transfer(command.account, giving.account.books.entry_count + 1)
    drafts: list[Draft] = []
    for grant_id, some in taken(parts, amount, giving.account.grant_id):
        assert grant_id is not None
        theirs = _same_dates(bank, writer, living[grant_id], taking, command)
        gives = Draft(
            command.account,
            "transfer",
            AVAILABLE,
            CLEARING,
            some,
            bank.actor,
            command.reason,
            grant_id,
            reference=reference,
            idempotency_key=command.key,
        )
        takes = gives._replace(
            account=command.to, source=CLEARING, target=AVAILABLE, grant_id=theirs
        )
        drafts += [gives, takes]
    post(writer, drafts, now=bank.clock())
    refuse_too_much(writer, taking)
    shares.refuse_larger(bank, writer, command, command.to)
    shares.refuse_smaller(bank, writer, command, command.account)
    return {"to_state": describe_soon(bank, writer, command.to)}


def _same_dates(
    bank: Bank, writer: Writer, grant: Grant, taking: Account, command: Command
) -> int | None:
    """Return the grant of an account with the dates and the kind of another account's grant.

    Where it has none, one is made: what is given away ends when it would have ended.
    """
    if not grant.is_dated:
        return taking.grant_id
    wanted = (grant.kind, grant.start_at, grant.end_at, grant.carry_percent, IN_FORCE)
    for known in grants.find_living(writer, taking.account_id):
        its = (known.kind, known.start_at, known.end_at, known.carry_percent, known.state)
        if its == wanted:
            return known.grant_id
    same = grant._replace(account=taking.name, state=PROMISED, granted=0, promised=0, paid=0)
    now = bank.clock()
    made = grants.promise(writer, same, actor=bank.actor, reason=command.reason, now=now)
    grant_dates.begin(bank, writer, made)
    return made.grant_id
