"""Commands that change the books: done once, whole, and then in Slurm."""

from collections.abc import Callable
from typing import Any, NamedTuple

from bank.errors import NotConfirmed
from bank.ledger.amounts import format_su
from bank.operations import grant_dates
from bank.operations.bank import Bank
from bank.operations.booking import book_all_use
from bank.operations.files import log, newest
from bank.operations.following import enforce_soon
from bank.operations.keys import Request, find_answer, find_earlier, keep_answer
from bank.operations.looking import describe, describe_soon
from bank.store import accounts
from bank.store.connect import Writer, reading, writing


class Command(NamedTuple):
    """What an admin asks for.

    Attributes:
        verb: "insert", "add" and so on.
        account: a plain name.
        amount: billing-seconds; None is unlimited, or no amount where the verb takes none.
        reason: free text.
        key: makes a repeat an answer; None where the caller gave none.
        dry_run: rehearse it.
        force: delete what still has something left; give more than the account above has.
        to: the account that is given what is transferred.
        grant_id: the grant that is meant.
        start_at, end_at: UTC microseconds of a grant with dates; None where none were given.
        kind: what a grant is for.
        carry_percent: how much of what is unused at its end is carried over.
        cluster: where the use was.
        user: the user of the account that is meant.
        above: of an account that the bank need not have seen yet, those above it, the nearest
            first, on each cluster that has it.
    """

    verb: str
    account: str
    amount: int | None = None
    reason: str = ""
    key: str | None = None
    dry_run: bool = False
    force: bool = False
    to: str | None = None
    grant_id: int | None = None
    start_at: int | None = None
    end_at: int | None = None
    kind: str | None = None
    carry_percent: int | None = None
    cluster: str | None = None
    user: str | None = None
    above: tuple[tuple[str, ...], ...] | None = None

    @property
    def accounts(self) -> list[str]:
        """The accounts whose books it changes."""
        return [self.account] if self.to is None else [self.account, self.to]

    @property
    def stops(self) -> str:
        """Whom it is to stop at once, "" for nobody."""
        if self.verb == "limit_user" and self.amount == 0:
            return f"{self.user} in {self.account}"
        return self.account if self.verb == "hold" else ""


# What changes the books, and returns what else its answer says.
Act = Callable[[Bank, Writer, Command], dict[str, Any] | None]

# What only some commands say: it is part of what a key stands for where it was said.
_DETAILS = ("to", "grant_id", "start_at", "end_at", "kind", "carry_percent", "cluster", "user")


def do(
    bank: Bank,
    command: Command,
    act: Act,
    *,
    before: Callable[[Bank, Command], Command] | None = None,
) -> dict[str, Any]:
    """Do one command: once, whole, and then in Slurm.

    Args:
        bank: see `Bank`.
        command: what is asked for.
        act: changes the books, in one transaction.
        before: what Slurm must be asked before; returns the command with what it said.

    Returns:
        The verb, its amount, whether it is a repeat, and what `describe` says of the account: once
        Slurm has followed, and for a repeat the amounts of the first time.
    """
    request = Request(command.key, _content(command))
    answer = find_earlier(bank, request)
    if answer is None:
        if before is not None:
            command = before(bank, command)
        answer = _post(bank, command, request, act)
    if command.dry_run:
        return answer
    only = None if _is_wide(bank, command) else command.account
    has_followed = enforce_soon(bank, command.accounts, only=only)
    with reading(bank.database) as reader:
        state = describe(bank, reader, command.account)
    if command.stops and not has_followed:
        raise NotConfirmed(
            f"the hold of {command.stops} is on record, and Slurm does not have it yet: the next"
            " pass holds it"
        )
    if answer["is_repeat"]:
        return {**answer, **{what: state[what] for what in ("held", "is_held") if what in state}}
    return {**answer, **state}


def _is_wide(bank: Bank, command: Command) -> bool:
    """Tell whether more accounts than the one named may have to be held or released."""
    # A reset of RawUsage changes what Slurm counts for all above and below as well.
    is_reset = command.verb == "reset_usage" or resets_on_top_up(bank, command)
    if is_reset and bank.settings.enforcement == "limit":
        return True
    # What an account has used counts for those above it.
    return command.to is not None or command.verb in ("refund", "adjust")


def _content(command: Command) -> list[Any]:
    """Return what a key stands for."""
    details = [f"{name}={value}" for name, value in _details(command).items()]
    return [command.verb, command.account, _shown(command), *details]


def _details(command: Command) -> dict[str, Any]:
    return {name: getattr(command, name) for name in _DETAILS if getattr(command, name) is not None}


def _shown(command: Command) -> str:
    return "" if command.amount is None else format_su(command.amount)


def _post(bank: Bank, command: Command, request: Request, act: Act) -> dict[str, Any]:
    with writing(bank.database, dry_run=command.dry_run) as writer:
        answer = find_answer(writer, request)
        if answer is not None:
            return answer
        grant_dates.turn(bank, writer, command.accounts, at=bank.clock())
        said = act(bank, writer, command) or {}
        accounts.show(writer, bank.database, command.accounts)
        answer = {
            "verb": command.verb,
            "amount_su": _shown(command) or None,
            **_details(command),
            **said,
            **describe_soon(bank, writer, command.account),
            "is_repeat": False,
            "is_dry_run": command.dry_run,
        }
        keep_answer(bank, writer, request, answer)
        changed = accounts.find_many(writer, command.accounts)
    if not command.dry_run:
        log(
            bank,
            command.verb,
            account=command.account,
            amount_su=_shown(command),
            **_details(command),
            reason=command.reason,
            **newest(changed.values()),
        )
    return answer


def resets_on_top_up(bank: Bank, command: Command) -> bool:
    """Tell whether a command books use off and sets RawUsage to 0."""
    return command.verb == "add" and bank.settings.on_top_up == "reset"


def read_meters_before(bank: Bank, command: Command) -> Command:
    """Book what was used until now, for what depends on it."""
    book_all_use(bank, dry_run=command.dry_run)
    return command
