"""The one place where a process is started."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple


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
    given: bytes = b"",
) -> Ended:
    """Run a program to its end.

    Args:
        argv: its path and its arguments; never a string for a shell.
        environment: all of its environment; nothing is inherited.
        timeout_seconds: after which it is ended, with all that it started.
        given: what it can read from standard input.

    Raises:
        OSError: it cannot be started.
        TimedOut: it did not end in time.
    """
    # A session of its own, so that what the program started ends with it.
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        output, complaint = process.communicate(given or None, timeout=timeout_seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimedOut from error
        raise
    return Ended(process.returncode, output, " ".join(complaint.decode(errors="replace").split()))
