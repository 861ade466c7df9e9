"""The verb that limits a user of an account."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import print_json, print_line
from bank.errors import InputError
from bank.ledger.amounts import parse_su
from bank.operations import user_limits
from bank.operations.bank import Bank
from bank.operations.commands import Command


def _limit_user(bank: Bank, arguments: Arguments) -> int:
    assert arguments.account is not None
    command = Command(
        verb=arguments.verb,
        account=arguments.account,
        amount=_amount(arguments.su),
        reason=arguments.reason,
        key=arguments.key,
        dry_run=arguments.is_dry_run,
        user=arguments.user,
    )
    answer = user_limits.limit_user(bank, command)
    if arguments.is_json:
        print_json(answer)
    else:
        print_line(_said(answer))
    return 0


def _amount(su: str) -> int | None:
    if su.startswith("-") and su != "-1":
        raise InputError(
            f"limit_user takes what the user may use, not {su!r}: 0 is nothing, and -1 takes the"
            " limit away"
        )
    return None if su == "-1" else parse_su(su)


def _said(answer: dict[str, Any]) -> str:
    is_dry_run = answer["is_dry_run"]
    text = f"User {answer['user']} in account {answer['account']}"
    state = next((one for one in answer["users"] if one["user"] == answer["user"]), None)
    if state is None:
        text += " would have no limit" if is_dry_run else " has no limit"
    else:
        text += (
            f" may use {state['limit_su']} SUs in a period, {state['used_su']} used,"
            f" {state['left_su']} left"
        )
        if state["held"] != "no":
            text += f"; held {state['held']}"
    if answer["is_repeat"]:
        return f"{text} (done before: this key was answered then)"
    return f"{text} (dry run: nothing was done)" if is_dry_run else text


VERBS = {"limit_user": _limit_user}
