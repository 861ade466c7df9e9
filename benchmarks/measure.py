"""Timing of whole processes, two commands in turn, so that a machine whose speed drifts is fair."""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

Action = Callable[[], None]


class Compared(NamedTuple):
    """Two things that were timed in turn.

    Attributes:
        seconds: median of the first.
        against_seconds: median of the second.
        ratio: median of the ratios, pair by pair.
    """

    seconds: float
    against_seconds: float
    ratio: float


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        what: what was timed.
        milliseconds: its median.
        against: what it was timed against.
        against_milliseconds: the median of that.
        ratio: median of the ratios, pair by pair.
        allowed: what the ratio should not be above, in words; "" where nothing is promised.
        unit: of the two figures, where they are not milliseconds.
    """

    what: str
    milliseconds: float
    against: str
    against_milliseconds: float
    ratio: float
    allowed: str
    unit: str = ""


def process(argv: Sequence[str], environment: dict[str, str]) -> Action:
    """Return what runs one command to its end; a status that is not 0 is an error."""

    def run() -> None:
        # Without a timeout: with one, Python looks for the end in steps of up to 50 ms.
        subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL, cwd="/")

    return run


class Peak(NamedTuple):
    """How long one process took, and the most memory it had at once."""

    seconds: float
    megabytes: float


def peak(argv: Sequence[str], environment: dict[str, str]) -> Peak:
    """Run one command to its end; a status that is not 0 is an error.

    Source:
        proc(5), VmHWM. What wait4(2) says is never less than what the caller had when it forked.
    """
    begun, kilobytes = time.perf_counter(), 0
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, cwd="/") as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
            # The most so far never falls, so of the last moment little is missed.
            kilobytes = int(found.group(1)) if found else kilobytes
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - begun
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Peak(seconds, kilobytes * 1024 / 1e6)


_LOOK_SECONDS = 0.02


def both(first: Action, second: Action) -> Action:
    """Return what does one thing after the other."""

    def run() -> None:
        first()
        second()

    return run


def compare(action: Action, against: Action, runs: int) -> Compared:
    """Time two things in turn, after one run of each that is not counted."""
    action()
    against()
    pairs = [(seconds_of(action), seconds_of(against)) for _ in range(runs)]
    return Compared(
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(one / other for one, other in pairs),
    )


def seconds_of(action: Action) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def machine() -> str:
    """Describe the machine in a line: figures mean nothing without it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {models[0] if models else 'unknown processor'}"
