"""Part of a test in a process of its own, which may be killed without the test runner."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress

# No command of the bank ends with it.
FAILED = 99


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked child, and nothing after it: no other test, no tidying up.

    Args:
        work: done in the child; what it returns is the exit status if it is an integer, else that
            is 0, and `FAILED` if something was raised, which is printed.

    Returns:
        The child's process id; it is the caller's to wait for it.
    """
    with warnings.catch_warnings():
        # Newer Pythons warn of threads; the child uses none of what the test runner's hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    status = FAILED
    try:
        found = work()
        status = found if isinstance(found, int) else 0
    except BaseException:  # noqa: BLE001 -- whatever it is, the parent must see it
        traceback.print_exc(file=sys.stderr)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def is_running(child: int) -> bool:
    """Say whether a child still runs; when it does not, it can still be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def status_of(child: int) -> int:
    """Wait for a child's end; return its exit status, below 0 the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
