"""Runs one program to its end, and waits for things by looking often.

No shell, no inherited environment: what a program sees is what the caller wrote down.
"""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .errors import CommandFailed, Missing, NotInTime

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLAIN_ENVIRONMENT = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"}
LOOK_EVERY_SECONDS = 0.02

T = TypeVar("T")


def find_user(name: str) -> pwd.struct_passwd:
    """Return the operating system's entry of a user, or say that there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise Missing(f"there is no user {name!r} on this machine") from None


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] = PLAIN_ENVIRONMENT,
    user: str | None = None,
    stdin: str = "",
    timeout_seconds: float = 30,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its status and output.

    Args:
        argv: the program and its arguments, never a line for a shell.
        environment: all that the program gets to see.
        user: the user to run it as; None for the caller.
        stdin: text for its standard input.
        timeout_seconds: after this its whole process group is killed.

    Raises:
        CommandFailed: it did not end in time (its status is None).
        Missing: there is no such program or user.
    """
    account = find_user(user) if user else None
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env=dict(environment),
            cwd="/",
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            # A group of its own, so that a timeout ends what the program started, too.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Missing(f"the program {argv[0]!r} is not installed") from None
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise CommandFailed(argv, None, stdout, stderr, time.monotonic() - began) from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)


def run_or_raise(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] = PLAIN_ENVIRONMENT,
    user: str | None = None,
    stdin: str = "",
    timeout_seconds: float = 30,
) -> str:
    """Run a program that must succeed; return what it wrote to standard output."""
    began = time.monotonic()
    done = run(
        argv, environment=environment, user=user, stdin=stdin, timeout_seconds=timeout_seconds
    )
    if done.returncode != 0:
        raise CommandFailed(
            argv, done.returncode, done.stdout, done.stderr, time.monotonic() - began
        )
    return done.stdout


def wait_for(
    look: Callable[[], T],
    what: str,
    timeout_seconds: float = 30,
    every_seconds: float = LOOK_EVERY_SECONDS,
) -> T:
    """Call ``look`` until what it returns is true; return that.

    Args:
        look: asked again and again; it must not wait itself.
        what: what is waited for, as it should read in the error.
        timeout_seconds: looks at least once more after this, then gives up.
        every_seconds: pause between two looks.

    Raises:
        NotInTime: with the last value seen.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        late = time.monotonic() >= deadline
        seen = look()
        if seen:
            return seen
        if late:
            raise NotInTime(what, timeout_seconds, seen)
        time.sleep(every_seconds)
