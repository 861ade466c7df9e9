"""Grants as CSV: one line for each open account, exact, to be edited and read back."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from bank.errors import InputError
from bank.ledger.amounts import format_su, parse_su
from bank.ledger.names import account_name
from bank.policy import csv_text
from bank.policy.rows import taken

COLUMNS = ("account", "su", "start", "kind", "reason")
KIND = "allocation"
_UNLIMITED = "-1"
# As --reason on the command line.
_LONGEST_REASON = 500
_LONGEST_SU = 40


class Grant(NamedTuple):
    """The grant of an account.

    Attributes:
        amount: billing-seconds; None is unlimited.
        started_on: ISO date.
        kind: only "allocation" so far.
        reason: why it was given, may be empty.
    """

    account: str
    amount: int | None
    started_on: str
    kind: str
    reason: str


def text(grants: Iterable[Grant]) -> str:
    """Return grants as CSV."""
    rows = (
        (account, _UNLIMITED if amount is None else format_su(amount), started_on, kind, reason)
        for account, amount, started_on, kind, reason in grants
    )
    return csv_text.written(COLUMNS, rows)


def read(content: str) -> list[Grant]:
    """Read grants from CSV, all of it.

    Raises:
        InputError: names the lines that are wrong.
    """
    # Spreadsheets begin a file of UTF-8 with a mark.
    rows = csv_text.cells(content.removeprefix("\ufeff"), COLUMNS)
    found = ((f"line {line}", cells) for line, cells in rows)
    return taken(found, _grant, _names)


def _names(grant: Grant) -> tuple[str]:
    return (f"account {grant.account}",)


def _grant(cells: dict[str, str]) -> Grant:
    su, start, kind, reason = (cells[name] for name in COLUMNS[1:])
    if kind != KIND:
        raise InputError(f"kind {kind[:80]!r} is not known: it is {KIND!r}")
    if len(reason) > _LONGEST_REASON or not (reason == "" or reason.isprintable()):
        raise InputError(
            f"reason {reason[:40]!r} is not one line of at most {_LONGEST_REASON} printable"
            " characters"
        )
    if len(su) > _LONGEST_SU:
        raise InputError(f"su {su[:_LONGEST_SU]!r}... is not an amount")
    amount = None if su == _UNLIMITED else parse_su(su)
    return Grant(account_name(cells["account"]), amount, _day(start), kind, reason)


def _day(cell: str) -> str:
    try:
        # Python reads other forms of ISO 8601 too; dates are written in this one.
        if date.fromisoformat(cell).isoformat() == cell:
            return cell
    except ValueError:
        pass
    raise InputError(f"start {cell[:80]!r} is not a day such as 2022-04-08")
