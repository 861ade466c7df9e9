"""Text for people, lines for programs. The only place that prints."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from bank.errors import BankError, InputError, NotPrinted, Refusal, UsageError


@contextmanager
def _printing() -> Iterator[None]:
    """Tell an answer that cannot be printed from work that was not done.

    Raises:
        NotPrinted: the disk is full, or the like.
        BrokenPipeError: whoever read has gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NotPrinted(
            f"the command came to its end, and its answer cannot be printed ({error.strerror}):"
            " look with 'balance' or 'history' before you repeat it"
        ) from error


def open_output() -> None:
    """Make standard output ready for any text, whatever it can encode.

    Raises:
        UsageError: it is closed; nothing was done.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed: nothing was done, it could not be told")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def close_output() -> None:
    """Print what is still in memory."""
    with _printing():
        if sys.stdout is not None:
            sys.stdout.flush()


def forget_output() -> None:
    """Give up what could not be printed."""
    _forget(sys.stdout)


def _forget(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere: Python must not try again while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _tell(text: str) -> None:
    """Write to standard error, where there is one: what a person misses must not stop the work."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _forget(sys.stderr)


def print_line(text: str) -> None:
    """Print one line of the answer."""
    with _printing():
        print(text)


def print_text(text: str) -> None:
    """Print text whose lines have their ends already: a file, for example."""
    with _printing():
        print(text, end="")


def terminal_width() -> int | None:
    """Return how many characters a line of the terminal has, None where there is no terminal."""
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None


def can_print(text: str) -> bool:
    """Tell whether standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def counted(number: int, what: str) -> str:
    """Return how many there are of something whose plural has an s."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def print_json(value: object) -> None:
    """Print the answer as JSON."""
    import json

    print_line(json.dumps(value, indent=2, ensure_ascii=False))


_warned: set[str] = set()


def say_beside(text: str) -> None:
    """Say what belongs to an answer and is no part of it, which programs may read."""
    _tell(f"slurm_bank: {text}")


def warn(text: str) -> None:
    """Say what a person should look at, once; the work itself is done."""
    if text not in _warned:
        _warned.add(text)
        _tell(f"slurm_bank: warning: {text}")


def print_error(error: BankError, *, is_json: bool) -> None:
    """Say what was wrong, in one line."""
    if is_json and sys.stdout is not None:
        import json

        what: dict[str, Any] = {"code": error.code, "message": str(error)}
        if isinstance(error, InputError) and error.problems:
            what["problems"] = error.problems
        print_line(json.dumps({"error": what}))
    else:
        _tell(f"slurm_bank: {error} ({error.code})")


def print_fault() -> None:
    """Show where the program broke."""
    import traceback

    _tell(
        f"{traceback.format_exc()}slurm_bank: this is a fault of the program; what it had begun to"
        " write is not written: please report the lines above"
    )


def print_table(headings: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table on a terminal, as tab-separated lines elsewhere.

    Args:
        headings: the keys of the rows to print, which are the headings too.
        rows: what to print; None is printed as "-".
    """
    lines = [[_cell(row[heading]) for heading in headings] for row in rows]
    with _printing():
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
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    needed = 0
    for number, heading in enumerate(headings):
        is_whole = heading in NUMBERS or heading in _WHOLE
        title = _title(heading)
        widest = max([len(title), *(len(line[number]) for line in lines)])
        least = widest if is_whole else min(widest, _LEAST_TEXT)
        needed += least + 2
        table.add_column(
            title,
            justify="right" if heading in NUMBERS else "left",
            no_wrap=is_whole,
            min_width=least,
            overflow="fold",
        )
    if needed - 2 > console.width:
        # Longer lines than the terminal has are better than numbers that are cut off.
        _print_plain(headings, lines)
        return
    for line in lines:
        # Names and reasons are text, not markup.
        table.add_row(*(cell.replace("[", r"\[") for cell in line))
    console.print(table)


# What is of no use when it is cut off.
_WHOLE = {"account", "at", "kind", "actor", "period_started_on", "start", "end"}
# Narrower columns of text cannot be read.
_LEAST_TEXT = 8
NUMBERS = frozenset(
    (
        *("limit_su", "granted_su", "used_su", "set_aside_su", "available_su", "amount_su"),
        *("left_su", "charged_su", "refunded_su", "expected_su", "least_su", "most_su"),
        *("cost_su", "refund_su", "sacct_su", "booked_su", "difference_su"),
        *("credit_su", "su_a_day", "percent", "entries", "days", "days_left"),
    )
)


def _title(heading: str) -> str:
    return heading.replace("_su", "").replace("_", " ")


def _print_plain(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    rows = [[_title(heading) for heading in headings], *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


# Who waits no longer need not be told how far it is.
_LONG_SECONDS = 1.0


@contextmanager
def progress(what: str, *, is_shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show on a terminal how far work is that takes long, until it is done.

    Args:
        what: the work, in a word.
        is_shown: whether it is to be shown where somebody looks.

    Yields:
        What is to be told how much of how much is done; None where nobody looks.
    """
    if not is_shown or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    begun = time.monotonic()
    with ExitStack() as shown:
        update: Callable[[int, int], None] | None = None

        def tell(done: int, total: int) -> None:
            nonlocal update
            if update is None and time.monotonic() - begun >= _LONG_SECONDS:
                update = _bar(shown, what)
            if update is not None:
                update(done, total)

        yield tell


def _bar(shown: ExitStack, what: str) -> Callable[[int, int], None]:
    """Show a bar until `shown` is closed; return what moves it."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        return lambda _done, _total: None
    bar = Progress(console=Console(stderr=True), transient=True, refresh_per_second=4)
    shown.enter_context(bar)
    task = bar.add_task(what, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def require_yes(question: str) -> None:
    """Ask before what cannot be taken back.

    Raises:
        UsageError: nobody is there to answer.
        Refusal: the answer is not yes.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} Nobody can be asked here: say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if os.read(sys.stdin.fileno(), 80).strip().lower() not in (b"y", b"yes"):
        raise Refusal("not_confirmed", "nothing was done")
