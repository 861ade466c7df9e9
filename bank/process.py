"""The one place where a process is started."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

_COMPLAINT_BYTES = 4096
_LOOK_SECONDS = 0.05


class TimedOut(Exception):
    """The process did not end in time; it was ended, with all that it had started."""


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: its exit status; below 0 the signal that ended it.
        output: what it wrote to standard output.
        complaint: what it wrote to standard error, as one line.
    """

    status: int
    output: bytes
    complaint: str


def run_process(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout_seconds: float,
) -> Ended:
    """Run a program until it, and all that it started, have nothing more to print.

    Args:
        argv: its path and its arguments; never a string for a shell.
        environment: all of its environment; nothing is inherited.
        timeout_seconds: after which it is ended, with all that it started.

    Raises:
        OSError: it cannot be started.
        TimedOut: it did not end in time.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    with _ended_with_all(process):
        try:
            output, complaint = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise TimedOut from error
    return Ended(process.returncode, output, _one_line(complaint))


def run_site_program(
    path: str, *, environment: Mapping[str, str], timeout_seconds: float, given: bytes
) -> Ended:
    """Run a program of the site's until it ends, whatever it prints and whatever it leaves running.

    Args:
        path: of the program, which gets no arguments and runs in the directory /.
        environment: all of its environment; nothing is inherited.
        timeout_seconds: after which it is ended, with all that it started.
        given: what it can read from standard input.

    Raises:
        OSError: it cannot be started.
        TimedOut: it did not end in time.
    """
    deadline = time.monotonic() + timeout_seconds
    # A file and not a pipe: whether and when it is read is the program's own business.
    stdin = os.memfd_create("given")
    try:
        os.write(stdin, given)
        os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(
            [path],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(stdin)
    with _ended_with_all(process):
        complaint = _listen(process, deadline)
    return Ended(process.returncode, b"", _one_line(complaint))


def _listen(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """Wait for a program's end, and return the first that it wrote to standard error.

    The rest is read too, as a full pipe would stop it, and kept nowhere. What it has started may
    hold the pipe open for ever; so that is not waited for.
    """
    assert process.stderr is not None
    pipe = process.stderr.fileno()
    heard = b""
    is_open = True
    while process.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut
        if not is_open:
            _wait(process, left)
        elif select.select([pipe], [], [], min(left, _LOOK_SECONDS))[0]:
            chunk = os.read(pipe, 65536)
            is_open = bool(chunk)
            heard = (heard + chunk)[:_COMPLAINT_BYTES]
    while is_open and len(heard) < _COMPLAINT_BYTES and select.select([pipe], [], [], 0)[0]:
        chunk = os.read(pipe, _COMPLAINT_BYTES)
        is_open = bool(chunk)
        heard += chunk
    return heard[:_COMPLAINT_BYTES]


def _wait(process: "subprocess.Popen[bytes]", timeout_seconds: float) -> None:
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise TimedOut from error


@contextmanager
def _ended_with_all(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a process, with all in its session, if it cannot be waited for to the end."""
    # Leaving closes our ends of its pipes, so that nothing which got away can keep us waiting.
    with process:
        try:
            yield
        except BaseException:
            # Its number stays its own until it has been waited for.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _one_line(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").split())
