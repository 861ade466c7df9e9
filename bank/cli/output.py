"""Text for people, lines for programs. The only place that prints."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bank.errors import BankError, UsageError


def print_line(text: str) -> None:
    """Print one line of the answer."""
    print(text)


def print_json(value: object) -> None:
    """Print the answer as JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def warn(text: str) -> None:
    """Say what a person should look at; the work itself is done."""
    print(f"slurm_bank: warning: {text}", file=sys.stderr)


def print_error(error: BankError, *, is_json: bool) -> None:
    """Say what was wrong, in one line."""
    if is_json:
        import json

        print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
    else:
        print(f"slurm_bank: {error} ({error.code})", file=sys.stderr)


def print_fault() -> None:
    """Show where the program broke."""
    import traceback

    traceback.print_exc()
    print(
        "slurm_bank: this is a fault of the program; what it had begun to write is not written:"
        " please report the lines above",
        file=sys.stderr,
    )


def print_table(headings: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table on a terminal, as tab-separated lines elsewhere.

    Args:
        headings: the keys of the rows to print, which are the headings too.
        rows: what to print; None is printed as "-".
    """
    lines = [[_cell(row[heading]) for heading in headings] for row in rows]
    if sys.stdout.isatty():
        _print_pretty(headings, lines)
        return
    print("\t".join(headings))
    for line in lines:
        print("\t".join(line))


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def _print_pretty(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _print_plain(headings, lines)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        is_number = heading in _NUMBERS
        table.add_column(
            heading.replace("_su", "").replace("_", " "),
            justify="right" if is_number else "left",
            no_wrap=is_number or heading in _WHOLE,
        )
    for line in lines:
        # Names and reasons are text, not markup.
        table.add_row(*(cell.replace("[", r"\[") for cell in line))
    Console(highlight=False).print(table)


# What is of no use when it is cut off.
_WHOLE = {"account", "at", "kind", "actor", "period_started_on"}
_NUMBERS = {"limit_su", "used_su", "set_aside_su", "available_su", "percent", "amount_su"}


def _print_plain(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    rows = [list(headings), *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def require_yes(question: str, *, is_yes: bool) -> None:
    """Ask before what cannot be taken back.

    Raises:
        UsageError: nobody is there to answer, or the answer is not yes.
    """
    if is_yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} Nobody can be asked here: say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if os.read(sys.stdin.fileno(), 80).strip().lower() not in (b"y", b"yes"):
        raise UsageError("nothing was done")
