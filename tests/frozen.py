"""A date and an hour that stand still for the bank, while waiting goes on as ever."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from unittest.mock import patch

from freezegun import freeze_time

# The first of January 2026, 12:00 UTC: no day that is counted from it begins or ends near a change
# of the clocks.
NOON = 1_767_268_800_000_000


def from_noon() -> Callable[[], int]:
    """Return a clock for a bank by which no test begins before midnight and ends after it."""
    began = time.monotonic_ns()
    return lambda: NOON + (time.monotonic_ns() - began) // 1000


@contextmanager
def frozen(moment: str | datetime) -> Iterator[None]:
    """Let it be a moment, in UTC where it names no zone, until the end of the block.

    freezegun stops the clock of waits as well, and with it every wait of the bank would last for
    ever. What it offers against that, `ignore`, is of modules: all that these call would see the
    true date.
    """
    # A name of this module would be frozen with all others.
    goes_on = time.monotonic
    with freeze_time(moment, ignore=["subprocess"]), patch("time.monotonic", goes_on):
        yield
