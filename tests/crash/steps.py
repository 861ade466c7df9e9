"""Runs a command of the bank in a forked child and does something to it between two of its steps.

A step is every SQL statement (each row of a bulk one), every page of a copy, every external command
(before it is started, while it runs, after it) and every file operation of the bank. The program
knows nothing of it: in the child, and only there, what it uses is replaced by what counts.
"""

# ruff: noqa: ANN401 -- what is only passed on may be anything

import fcntl
import importlib
import os
import pkgutil
import re
import select
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bank
import slurm_bank
from bank.cli.main import run
from tests.children import FAILED, in_child, status_of

# Loaded here once: each child would load what its command needs anew, and take four times as long;
# one that becomes another user might not be able to.
for _module in pkgutil.walk_packages(bank.__path__, "bank."):
    importlib.import_module(_module.name)

Act = Callable[[], None]
_FILE_OPERATIONS = ("open", "write", "fsync", "fchown", "unlink", "link", "rename", "replace")


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        status: its exit status, None where it was killed.
        out, err: what it printed.
        trace: the steps it came to, the last one not taken if it was killed there.
        left: commands that it had started and that may go on without it.
    """

    status: int | None
    out: str
    err: str
    trace: list[str]
    left: list[int]

    def wait_for_left(self) -> None:
        """Wait until no command that it started goes on."""
        for process in self.left:
            try:
                descriptor = os.pidfd_open(process)
            except ProcessLookupError:
                continue
            select.select([descriptor], [], [], 60)
            os.close(descriptor)


# What only looks; all else may leave something behind.
_LOOKS = re.compile(
    "SELECT|WITH|BEGIN|PRAGMA foreign|PRAGMA sync|open the|flock"
    "|(start|running|ended) (scontrol|squeue|sacct |sdiag)"
)


def is_change(step: str, before: str) -> bool:
    """Say whether a step may leave something behind when it is cut off.

    Args:
        step: its name.
        before: the name of the step before it.
    """
    if step == "close the database":
        # Then what was committed may be moved from SQLite's log into its file.
        return before in ("COMMIT", "ROLLBACK")
    return not _LOOKS.match(step)


def worth_killing(trace: Sequence[str]) -> list[int]:
    """Return at which moments a kill of a command may leave different things behind.

    Moment 2n - 1 is right before the n-th step that changes something, moment 2n right after it.
    How often the command looks in between differs from run to run, what it changes does not.
    """
    moments = [1]
    count, before, is_after = 0, "", False
    for step in trace:
        if is_change(step, before):
            count += 1
            # Right before it is right after the change before it, if that was the last step.
            moments += [2 * count - 1] if not is_after else []
            moments += [2 * count]
            is_after = True
        else:
            is_after = False
        before = step
    # After the last change nothing comes any more unless something looks.
    if is_after:
        moments.pop()
    return sorted(set(moments))


def die() -> None:
    """End this process as a power cut would: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Counts steps, writes each down, and acts at one of them.

    Args:
        at: the moment to act at, see `worth_killing`; 0 for never; or how the name of a step
            begins, to act as soon as that is done.
        act: what to do there.
        trace: descriptor of the file that gets the name of each step.
    """

    def __init__(self, at: int | str, act: Act, trace: int) -> None:
        self._at = at
        self._name = ""
        self._act = act
        self._trace = trace
        self._changes = 0
        self._write = os.write
        # Several threads change Slurm side by side: what is counted is in the order of the trace.
        self._one_at_a_time = threading.Lock()

    def note(self, text: str) -> None:
        """Write something down for the parent."""
        self._write(self._trace, f"{text}\n".encode())

    def __call__(self, name: str) -> None:
        """Come to the next step."""
        name = " ".join(name.split())[:90]
        with self._one_at_a_time:
            self.note(name)
            if self._is_there(name):
                self._at = 0
                self._act()
            self._changes += is_change(name, self._name)
            self._name = name

    def _is_there(self, name: str) -> bool:
        if isinstance(self._at, str):
            return bool(self._name) and self._name.startswith(self._at)
        changes, is_before = divmod(self._at, 2)
        if self._at == 0 or self._changes != changes:
            return False
        return is_change(name, self._name) if is_before else True


def _count_sql(steps: Steps) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            steps(sql)
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
            def one_by_one() -> Iterator[Any]:
                for row in parameters:
                    steps(sql)
                    yield row

            return super().executemany(sql, one_by_one())

        def backup(self, target: sqlite3.Connection, **options: Any) -> None:
            def page(_status: int, left: int, _all: int) -> None:
                steps(f"copied up to page -{left}")

            super().backup(target, **{**options, "pages": 4, "progress": page})

        def close(self) -> None:
            steps("close the database")
            super().close()

    connect = sqlite3.connect

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        steps("open the database")
        opened: sqlite3.Connection = connect(*arguments, **{**options, "factory": Connection})
        return opened

    sqlite3.connect = counted  # type: ignore[assignment]


def _count_commands(steps: Steps) -> None:
    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, argv: Sequence[str], **options: Any) -> None:
            self.name = " ".join([os.path.basename(argv[0]), *argv[1:]])  # noqa: PTH119
            steps(f"start {self.name}")
            super().__init__(argv, **options)
            steps.note(f"pid {self.pid}")

        def communicate(self, *arguments: Any, **options: Any) -> tuple[Any, Any]:
            steps(f"running {self.name}")
            found = super().communicate(*arguments, **options)
            steps(f"ended {self.name}")
            return found

    setattr(subprocess, "Popen", Popen)  # noqa: B010 -- a class cannot be assigned to


def _count_files(steps: Steps) -> None:
    """Count what the bank itself does with files, and not what the library does for others."""

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if sys._getframe(1).f_globals["__name__"].startswith("bank."):
                steps(name)
            return function(*arguments, **options)

        return call

    for name in _FILE_OPERATIONS:
        setattr(os, name, counted(name, getattr(os, name)))
    fcntl.flock = counted("flock", fcntl.flock)


def start(
    settings: Path,
    argv: Sequence[str],
    *,
    at: int | str = 0,
    act: Act = die,
    prepare: Act = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> Callable[[], Ended]:
    """Start one command of the bank in a child.

    Args:
        settings: the settings file.
        argv: the command line, without the name of the command.
        at: the moment to act at, or after which step, by name; 0 for never; see `Steps`.
        act: what to do there, in the child.
        prepare: done in the child before anything else.
        environment: further variables for it.

    Returns:
        A function that waits for its end.
    """
    files = [os.memfd_create(name) for name in ("out", "err", "trace")]

    def work() -> int:
        sys.stdout = open(files[0], "w", encoding="utf-8")  # noqa: PTH123, SIM115
        sys.stderr = open(files[1], "w", encoding="utf-8")  # noqa: PTH123, SIM115
        os.environ.update({"SLURM_BANK_SETTINGS": str(settings), **(environment or {})})
        prepare()
        steps = Steps(at, act, files[2])
        _count_sql(steps)
        _count_commands(steps)
        _count_files(steps)
        return run(slurm_bank.__doc__ or "", argv)

    child = in_child(work)

    def wait() -> Ended:
        status = status_of(child)
        out, err, trace = (_text(descriptor) for descriptor in files)
        assert status in (-signal.SIGKILL, *range(FAILED)), f"{argv} ended with {status}: {err}"
        lines = trace.splitlines()
        return Ended(
            None if status < 0 else status,
            out,
            err,
            [line for line in lines if not line.startswith("pid ")],
            [int(line[4:]) for line in lines if line.startswith("pid ")],
        )

    return wait


def _text(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as file:
        file.seek(0)
        return file.read()


def command(settings: Path, *argv: str, at: int | str = 0, act: Act = die, **options: Any) -> Ended:
    """Run one command of the bank to its end; see `start`."""
    return start(settings, argv, at=at, act=act, **options)()
