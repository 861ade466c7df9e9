"""Runs a command as on a terminal, so that what is shown is what a person sees."""

import fcntl
import os
import pty
import pwd
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

COLUMNS, LINES = 100, 40
PATIENCE_SECONDS = 100
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Shown(NamedTuple):
    """What a command left on the terminal, and its exit status."""

    text: str
    status: int


def run_in_terminal(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    user: str | None = None,
    columns: int = COLUMNS,
) -> Shown:
    """Run a command whose output goes to a terminal of its own, with nobody to answer it.

    Args:
        argv: the command and its arguments.
        environment: all that it gets to see.
        directory: where it runs.
        user: whom it runs as; None for the caller.
        columns: how wide the terminal is.

    Raises:
        TimeoutError: it did not end in time, and was killed.
    """
    screen, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    account = pwd.getpwnam(user) if user else None
    sys.stdout.flush()
    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=inside,
        stderr=inside,
        env=dict(environment),
        cwd=directory,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    ) as process:
        os.close(inside)
        try:
            text = _all_of(screen, time.monotonic() + PATIENCE_SECONDS)
        except BaseException:
            process.kill()
            raise
        finally:
            os.close(screen)
        status = process.wait()
    return Shown(text.replace("\r\n", "\n"), status)


def _all_of(screen: int, deadline: float) -> str:
    parts = []
    while select.select([screen], [], [], max(deadline - time.monotonic(), 0))[0]:
        try:
            parts.append(os.read(screen, 65536))
        except OSError:
            # Linux says so when the last one who could write has gone.
            return b"".join(parts).decode(errors="replace")
    raise TimeoutError(f"a command did not end within {PATIENCE_SECONDS} s")


def without_colours(text: str) -> str:
    """Return what a terminal shows, without the codes that colour it."""
    return _ESCAPES.sub("", text)
