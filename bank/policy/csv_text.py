"""Tables as CSV: a line of names, then a line for each row, each ended as RFC 4180 says."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from bank.errors import InputError


class _Text(list[str]):
    """What csv writes to: a list of lines."""

    write = list.append


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV; None is an empty cell."""
    lines = _Text()
    csv.writer(lines).writerows([columns, *rows])
    return "".join(lines)


def cells(
    text: str, columns: Sequence[str], *, optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of the line on which it ends; the columns in any order.

    Args:
        text: the file.
        columns: those that it must have.
        optional: those that it may have; where one is not there, its cells are empty.

    Raises:
        InputError: it is not CSV, is cut off within a line, or has not these columns.
    """
    if not text.endswith("\n"):
        raise InputError("does not end with the end of a line: it is cut off, or not CSV")
    lines = csv.reader((f"{line}\n" for line in text[:-1].split("\n")), strict=True)
    empty = dict.fromkeys(optional, "")
    try:
        names = next(lines)
        _refuse_columns(names, columns, optional)
        for row in lines:
            if len(row) != len(names):
                raise InputError(
                    f"line {lines.line_num}: has {len(row)} columns, not {len(names)} as the first"
                )
            yield lines.line_num, {**empty, **dict(zip(names, row, strict=True))}
    except csv.Error as error:
        raise InputError(f"line {lines.line_num}: is not CSV ({error})") from error


def _refuse_columns(names: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> None:
    known = (*columns, *optional)
    more = [name for name in names if name not in known]
    if more:
        raise InputError(
            f"has a column {more[0]!r} that this version does not know; known are"
            f" {', '.join(known)}"
        )
    if missing := [name for name in columns if name not in names]:
        raise InputError(f"has no column {', '.join(missing)}")
    if len(names) > len(set(names)):
        raise InputError("has a column twice")


def harmless(text: str | None) -> str | None:
    """Return text that no spreadsheet takes for a formula: such has an apostrophe before it.

    Source:
        OWASP, CSV Injection: cells that begin with = + - @, a tab or a carriage return.
    """
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text
