"""Rows of a file: taken all together or not at all."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from bank.errors import InputError

Values = TypeVar("Values")
Row = TypeVar("Row")
# What stands in a row may be a whole file long; a message is a line.
_LONGEST_MESSAGE = 300
# More than these in one message nobody reads.
_MOST_NAMED = 20


def taken(
    rows: Iterable[tuple[str, Values]],
    read: Callable[[Values], Row],
    names: Callable[[Row], Iterable[str]],
) -> list[Row]:
    """Read every row.

    Args:
        rows: where each stands, and what is in it.
        read: reads one, or raises InputError.
        names: says what of a row no other may have too.

    Raises:
        InputError: names the first that are wrong, and says how many more there are; has all.
    """
    found: list[Row] = []
    wrong: list[str] = []
    seen: dict[str, str] = {}
    for place, values in rows:
        try:
            row = read(values)
        except InputError as error:
            wrong.append(f"{place}: {str(error)[:_LONGEST_MESSAGE]}")
            continue
        for name in names(row):
            if name in seen:
                wrong.append(f"{place}: {name} stands in {seen[name]} already")
            seen.setdefault(name, place)
        found.append(row)
    if wrong:
        more = f" (and {len(wrong) - _MOST_NAMED} more)" if wrong[_MOST_NAMED:] else ""
        raise InputError("; ".join(wrong[:_MOST_NAMED]) + more, wrong)
    return found
