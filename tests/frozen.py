"""A date and an hour that stand still for the bank, while waiting goes on as ever."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from unittest.mock import patch

from freezegun import freeze_time


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
