"""Dumps: the accounts table as the predecessor wrote it in JSON and CSV, and read back."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from bank.errors import InputError
from bank.policy import csv_text
from bank.policy.predecessor import COLUMNS, Row, checked_row
from bank.policy.rows import taken

_KEYS = ("count", "results", "meta")
_FLAGS = COLUMNS[4:]
_NUMBERS = ("id", "su_limit_hrs")
# What a column of a table can hold.
_LARGEST_ID = 2**63 - 1


def check(rows: Iterable[Sequence[object]]) -> None:
    """Check that rows, in the order of `COLUMNS`, can be read back from a dump of them.

    Raises:
        InputError: names the first that cannot.
    """
    taken(((f"id {row[0]}", dict(zip(COLUMNS, row, strict=True))) for row in rows), _row, _names)


def json_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows, in the order of `COLUMNS`, in the predecessor's JSON."""
    results = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return json.dumps({"count": len(results), "results": results, "meta": {}}, indent=2)


def csv_dump(rows: Iterable[Sequence[object]]) -> str:
    """Return rows, in the order of `COLUMNS`, in the predecessor's CSV."""
    return csv_text.written(COLUMNS, rows)


def rows_of_json(text: str) -> list[Row]:
    """Read a JSON dump whole.

    Raises:
        InputError: it is not one, or not all in it can be taken as it is.
    """
    try:
        dump = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InputError("is nested too deeply to be a dump") from error
    except ValueError as error:
        raise InputError(f"is not JSON, or is cut off: {error}") from error
    if not isinstance(dump, dict):
        raise InputError(f"is not a dump: {', '.join(_KEYS)} are expected at the top")
    _refuse_keys(dump)
    results = dump["results"]
    if type(dump["count"]) is not int or dump["count"] != len(results):
        raise InputError(
            f"says count {_shown(dump['count'])} and has {len(results)} results: rows are missing,"
            " or were added"
        )
    found = [(f"result {number}", values) for number, values in enumerate(results, start=1)]
    return taken(found, _row, _names)


def rows_of_csv(text: str) -> list[Row]:
    """Read a CSV dump whole; that rows are missing at its end does not show in it.

    Raises:
        InputError: it is not one, or not all in it can be taken as it is.
    """
    found = (
        (f"line {line}", {name: _value(name, cell) for name, cell in cells.items()})
        for line, cells in csv_text.cells(text, COLUMNS)
    )
    return taken(found, _row, _names)


def _refuse_keys(dump: Mapping[str, Any]) -> None:
    if more := [key for key in dump if key not in _KEYS]:
        raise InputError(
            f"is of a later version: it has {_shown(more[0])}, and this one knows"
            f" {', '.join(_KEYS)}"
        )
    if missing := [key for key in _KEYS if key not in dump]:
        raise InputError(f"is not a dump: it has no {', '.join(missing)}")
    if dump["meta"] != {}:
        raise InputError("is of a later version: its meta is not empty")
    if not isinstance(dump["results"], list):
        raise InputError("is not a dump: its results are not a list")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has {_shown(twice)} twice in one object")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise InputError(f"holds {word}, which is no number")


def _value(name: str, cell: str) -> object:
    """Return what stands in a cell of CSV as JSON would have it, or the cell where it is nothing.

    The predecessor writes None as an empty cell, and flags as Python does.
    """
    if cell == "":
        return None
    if name in _FLAGS:
        return {"True": True, "False": False}.get(cell, cell)
    if name in _NUMBERS and re.fullmatch("-?[0-9]{1,19}", cell):
        return int(cell)
    return cell


def _names(row: Row) -> tuple[str, str]:
    return f"id {row.number}", f"account {row.account}"


def _row(values: object) -> Row:
    if not isinstance(values, dict):
        raise InputError(f"{_shown(values)} is not a row")
    if more := [name for name in values if name not in COLUMNS]:
        raise InputError(
            f"is of a later version: column {_shown(more[0])} is not one of {', '.join(COLUMNS)}"
        )
    row = checked_row(values)
    if row.number > _LARGEST_ID:
        raise InputError(f"id {_shown(row.number)} is too large")
    return row


def _shown(value: object) -> str:
    return repr(value)[:80]
