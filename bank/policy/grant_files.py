"""Grants as CSV: a line for each grant of each open account, exact, to be edited and read back.

A line without an end is the grant that `insert`, `add` and `modify` change. One with an end is what
an account was given for that span and kind, in one grant or several: given, less taken back,
whatever of it was used since.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import NamedTuple

from bank.errors import InputError
from bank.ledger.amounts import format_su, parse_su
from bank.ledger.grants import USUAL_KIND
from bank.ledger.names import account_name
from bank.policy import csv_text
from bank.policy.rows import taken

# Files of before there were dates end with the reason.
_ALWAYS = ("account", "su", "start", "kind", "reason")
_SINCE_DATES = ("end", "carry", "owed", "zone")
COLUMNS = (*_ALWAYS, *_SINCE_DATES)
_UNLIMITED = "-1"
# As --reason and --kind on the command line.
_LONGEST_TEXT = 500
_LONGEST_SU = 40
_PERCENT = re.compile("(100|[0-9]{1,2})%?")


class Times(NamedTuple):
    """How a site writes times.

    Attributes:
        read: returns the UTC microseconds of a text; takes what it is called in a refusal.
        write: returns the text of UTC microseconds that reads back as exactly these.
        zone: returns the name of the zone that texts are of which do not say it.
    """

    read: Callable[[str, str], int]
    write: Callable[[int], str]
    zone: Callable[[], str]


class Span(NamedTuple):
    """What tells grants with dates of one account apart.

    Attributes:
        start_at, end_at: UTC microseconds, the first that is its own and the first that is not.
    """

    start_at: int
    end_at: int
    kind: str


class GrantLine(NamedTuple):
    """One line of a file.

    Attributes:
        amount: billing-seconds; None is unlimited. Without an end it is below 0 where the account
            has given away more than it had.
        reason: why it was given, may be empty.
        started_on: ISO date of the period's first day; "" where there is a span.
        span: None where it has no end.
        carry_percent: how much of what is unused at its end is carried over; None where the file
            does not say.
    """

    account: str
    amount: int | None
    reason: str
    started_on: str = ""
    span: Span | None = None
    carry_percent: int | None = None


def text(grants: Iterable[GrantLine], times: Times) -> str:
    """Return grants as CSV."""
    return csv_text.written(COLUMNS, (_cells(grant, times) for grant in grants))


def _cells(grant: GrantLine, times: Times) -> tuple[object, ...]:
    account, amount, reason, started_on, span, carry_percent = grant
    if span is not None:
        start, end = times.write(span.start_at), times.write(span.end_at)
        su, zone = format_su(amount or 0), times.zone()
        return account, su, start, span.kind, reason, end, carry_percent, None, zone
    # -1 is unlimited, so what is below 0 needs another column.
    su = _UNLIMITED if amount is None else format_su(max(amount, 0))
    owed = None if amount is None or amount >= 0 else format_su(-amount)
    return account, su, started_on, USUAL_KIND, reason, None, None, owed, None


def read(content: str, times: Times, *, now: int) -> list[GrantLine]:
    """Read grants from CSV, all of it.

    Args:
        content: the file.
        times: how the site writes times.
        now: UTC microseconds: what has ended by then is refused.

    Raises:
        InputError: names the lines that are wrong.
    """
    # Spreadsheets begin a file of UTF-8 with a mark.
    rows = csv_text.cells(content.removeprefix("\ufeff"), _ALWAYS, optional=_SINCE_DATES)
    found = ((f"line {line}", cells) for line, cells in rows)
    return taken(found, partial(_grant, times=times, now=now), partial(_names, times=times))


def _names(grant: GrantLine, times: Times) -> tuple[str]:
    if grant.span is None:
        return (f"account {grant.account}",)
    return (f"grant of {grant.account}, {span_text(grant.span, times)},",)


def span_text(span: Span, times: Times) -> str:
    """Return what tells a grant from others as people read it."""
    return f"{span.kind}, {times.write(span.start_at)} until before {times.write(span.end_at)}"


def _grant(cells: dict[str, str], times: Times, now: int) -> GrantLine:
    reason = cells["reason"]
    _refuse_unprintable("reason", reason)
    _refuse_other_zone(cells["zone"], times)
    if cells["end"]:
        return _dated(cells, reason, times, now)
    kind = cells["kind"]
    if kind != USUAL_KIND:
        raise InputError(f"kind {kind[:80]!r} is not known: without an end it is {USUAL_KIND!r}")
    if cells["carry"]:
        raise InputError("carry without an end: only what ends can be carried over")
    return GrantLine(
        account_name(cells["account"]), _amount(cells), reason, started_on=_day(cells["start"])
    )


def _dated(cells: dict[str, str], reason: str, times: Times, now: int) -> GrantLine:
    kind, su, carry = cells["kind"], cells["su"], cells["carry"]
    if not kind:
        raise InputError(f"has no kind: say what the grant is for, or {USUAL_KIND!r}")
    _refuse_unprintable("kind", kind)
    if su == _UNLIMITED:
        raise InputError("su -1: a grant with an end is an amount, and never unlimited")
    if cells["owed"]:
        raise InputError("owed with an end: only the grant without an end is overdrawn")
    if carry and not _PERCENT.fullmatch(carry):
        raise InputError(f"carry {carry[:40]!r} is not a whole number from 0 to 100")
    span = Span(times.read(cells["start"], "start"), times.read(cells["end"], "end"), kind)
    if span.end_at <= span.start_at:
        raise InputError(
            f"end {cells['end']} is not after start {cells['start']}: a grant is from its start"
            " until before its end"
        )
    refuse_over(span, times, now=now)
    return GrantLine(
        account_name(cells["account"]),
        _billing_seconds("su", su),
        reason,
        span=span,
        carry_percent=int(carry.removesuffix("%")) if carry else None,
    )


def refuse_over(span: Span, times: Times, *, now: int) -> None:
    """Refuse a grant that has ended.

    Raises:
        InputError: with its end.
    """
    if span.end_at <= now:
        raise InputError(
            f"end {times.write(span.end_at)} is over: a grant that has ended gives nothing; take"
            " its line out"
        )


def _refuse_other_zone(cell: str, times: Times) -> None:
    """Refuse times of another zone: they would be read as other instants."""
    here = times.zone()
    if cell not in ("", here):
        raise InputError(
            f"zone {cell[:80]!r}: times are read in {here} here; write them in UTC, with Z at the"
            " end, and leave zone empty, or set TIME_ZONE"
        )


def _amount(cells: dict[str, str]) -> int | None:
    """Return the amount of a line without an end."""
    su, owed = cells["su"], cells["owed"]
    amount = None if su == _UNLIMITED else _billing_seconds("su", su)
    if not owed:
        return amount
    if amount != 0:
        raise InputError(f"su {su} and owed {owed[:_LONGEST_SU]}: what owes SUs has 0")
    return -_billing_seconds("owed", owed)


def _billing_seconds(what: str, cell: str) -> int:
    if len(cell) > _LONGEST_SU:
        raise InputError(f"{what} {cell[:_LONGEST_SU]!r}... is not an amount")
    return parse_su(cell)


def _refuse_unprintable(what: str, cell: str) -> None:
    if len(cell) > _LONGEST_TEXT or not cell.isprintable():
        raise InputError(
            f"{what} {cell[:40]!r} is not one line of at most {_LONGEST_TEXT} printable characters"
        )


def _day(cell: str) -> str:
    try:
        # Python reads other forms of ISO 8601 too; dates are written in this one.
        if date.fromisoformat(cell).isoformat() == cell:
            return cell
    except ValueError:
        pass
    raise InputError(f"start {cell[:80]!r} is not a day such as 2022-04-08")
