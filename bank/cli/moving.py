"""The verbs that change the books."""

from collections.abc import Callable
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.looking import has_sus
from bank.cli.output import print_json, print_line, require_yes
from bank.errors import InputError
from bank.ledger.amounts import parse_su
from bank.operations import movements
from bank.operations.bank import Bank
from bank.operations.movements import Command

_TAKES_AMOUNT = {"insert", "modify", "add", "withdraw"}
_TAKES_UNLIMITED = {"insert", "modify"}


def _moving(
    act: Callable[[Bank, Command], dict[str, Any]],
) -> Callable[[Bank, Arguments], int]:
    def run(bank: Bank, arguments: Arguments) -> int:
        command = _command(arguments)
        if arguments.verb == "delete" and not (arguments.is_dry_run or arguments.is_yes):
            # What would be refused is refused before anybody is asked.
            act(bank, command._replace(dry_run=True))
            require_yes(f"Close account {command.account} in the bank?")
        answer = act(bank, command)
        if arguments.is_json:
            print_json(answer)
        else:
            print_line(_said(answer))
        return 0

    return run


def _command(arguments: Arguments) -> Command:
    assert arguments.account is not None
    amount = None
    if arguments.verb in _TAKES_AMOUNT and not (
        arguments.su == "-1" and arguments.verb in _TAKES_UNLIMITED
    ):
        if arguments.su.startswith("-") and arguments.verb not in _TAKES_UNLIMITED:
            raise InputError(
                f"{arguments.verb} takes an amount above 0, not {arguments.su!r}:"
                " to take SUs back use withdraw, for no limit use modify with -1"
            )
        amount = parse_su(arguments.su)
    return Command(
        verb=arguments.verb,
        account=arguments.account,
        amount=amount,
        reason=arguments.reason,
        key=arguments.key,
        dry_run=arguments.is_dry_run,
        force=arguments.is_forced,
    )


def _said(answer: dict[str, Any]) -> str:
    is_dry_run = answer["is_dry_run"]
    if answer["is_open"]:
        text = has_sus(answer) + _rest(answer)
    else:
        is_closed = "would be closed" if is_dry_run else "is closed"
        text = f"Account {answer['account']} {is_closed}; its history stays"
        if answer["is_held"]:
            text += f"; it stays held until 'release_hold {answer['account']}'"
    if answer["is_repeat"]:
        return f"{text} (done before: this key was answered then)"
    return f"{text} (dry run: nothing was done)" if is_dry_run else text


def _rest(answer: dict[str, Any]) -> str:
    """Say what became of the limit, and whether the account is held for it."""
    text = f", {answer['used_su']} used"
    if answer["set_aside_billing_seconds"]:
        text += f", {answer['set_aside_su']} set aside for running jobs"
    if answer["available_su"] is not None:
        text += f", {answer['available_su']} available"
    return text if answer["held"] == "no" else f"{text}; held {answer['held']}"


VERBS = {
    "insert": _moving(movements.insert),
    "modify": _moving(movements.modify),
    "add": _moving(movements.add),
    "withdraw": _moving(movements.withdraw),
    "reset_usage": _moving(movements.reset_usage),
    "hold": _moving(movements.hold),
    "delete": _moving(movements.delete),
}
