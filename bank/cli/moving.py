"""The verbs that change the books."""

from collections.abc import Callable
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.looking import has_sus
from bank.cli.output import print_json, print_line, require_yes
from bank.errors import InputError, UsageError
from bank.ledger.amounts import parse_su
from bank.operations import corrections, grants, movements, transfers
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.days import moment

_TAKES_UNLIMITED = {"insert", "modify"}
_LARGEST_PERCENT = 100


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
    start, end = arguments.text("--start"), arguments.text("--end")
    if arguments.verb == "grant" and (start is None or end is None or not arguments.su):
        raise UsageError(
            "a grant needs an amount, --start and --end: insert and add give SUs without dates"
        )
    return Command(
        verb=arguments.verb,
        account=arguments.account,
        amount=_amount(arguments),
        reason=arguments.reason,
        key=arguments.key,
        dry_run=arguments.is_dry_run,
        force=arguments.is_forced,
        to=arguments.to,
        grant_id=_grant_id(arguments.text("--grant")),
        start_at=None if start is None else moment(start, "--start"),
        end_at=None if end is None else moment(end, "--end"),
        kind=arguments.text("--kind"),
        carry_percent=_percent(arguments.text("--carry")),
        cluster=arguments.text("--cluster"),
    )


def _amount(arguments: Arguments) -> int | None:
    """Return the amount in billing-seconds; None is unlimited, or none given."""
    su, verb = arguments.su, arguments.verb
    if not su or (su == "-1" and verb in _TAKES_UNLIMITED):
        return None
    if su.startswith("-") and verb == "adjust":
        return -parse_su(su[1:])
    if su.startswith("-") and verb not in _TAKES_UNLIMITED:
        raise InputError(
            f"{verb} takes an amount above 0, not {su!r}:"
            " to take SUs back use withdraw, for no limit use modify with -1"
        )
    return parse_su(su)


def _grant_id(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**63))):
        raise InputError(f"--grant {text[:40]!r} is not the number of a grant: 'grants' shows them")
    return int(text)


def _percent(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdigit() and int(number[:4]) <= _LARGEST_PERCENT):
        raise InputError(f"--carry {text[:40]!r} is not a whole number from 0 to 100")
    return int(number)


def _said(answer: dict[str, Any]) -> str:
    is_dry_run = answer["is_dry_run"]
    if answer["is_open"]:
        text = has_sus(answer) + _rest(answer)
    else:
        is_closed = "would be closed" if is_dry_run else "is closed"
        text = f"Account {answer['account']} {is_closed}; its history stays"
        if answer["is_held"]:
            text += f"; it stays held until 'release_hold {answer['account']}'"
    if "grant" in answer:
        text += f"; {_granted(answer['grant'])}"
    if "to_state" in answer:
        text += f"; {has_sus(answer['to_state'])}{_rest(answer['to_state'])}"
    if answer["is_repeat"]:
        return f"{text} (done before: this key was answered then)"
    return f"{text} (dry run: nothing was done)" if is_dry_run else text


def _granted(grant: dict[str, Any]) -> str:
    """Say what was given, and for which span."""
    return (
        f"grant {grant['grant']} of {grant['given_su']} SUs is {grant['state']}, from"
        f" {grant['start']} until before {grant['end']} ({grant['zone']})"
    )


def _rest(answer: dict[str, Any]) -> str:
    """Say what became of the limit, and whether the account is held for it."""
    text = ""
    # An answer kept for a key may be from before there was credit.
    if answer.get("credit_billing_seconds"):
        text = f", {answer['credit_su']} of credit"
    text += f", {answer['used_su']} used"
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
    "deposit": _moving(movements.deposit),
    "set_credit": _moving(movements.set_credit),
    "transfer": _moving(transfers.transfer),
    "refund": _moving(corrections.refund),
    "adjust": _moving(corrections.adjust),
    "grant": _moving(grants.grant),
    "renew": _moving(grants.renew),
}
