"""Giving and taking back: of which grant, how much at most, and what an account can have."""

from bank.errors import Refusal
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU, format_su
from bank.ledger.grants import Part, unused
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.periods import deposit_drafts
from bank.store import accounts, grants
from bank.store.accounts import Account
from bank.store.connect import Reader, Writer
from bank.store.grants import Grant
from bank.store.post import post
from bank.store.read import Standing


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
