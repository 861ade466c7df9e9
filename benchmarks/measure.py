"""Timing of whole processes, two commands in turn, so that a machine whose speed drifts is fair."""

import os
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


def process(argv: Sequence[str], environment: dict[str, str]) -> Action:
    """Return what runs one command to its end; a status that is not 0 is an error."""

    def run() -> None:
        # Without a timeout: with one, Python looks for the end in steps of up to 50 ms.
        subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL, cwd="/")

    return run


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
    pairs = [(_seconds(action), _seconds(against)) for _ in range(runs)]
    return Compared(
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(one / other for one, other in pairs),
    )


def _seconds(action: Action) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def machine() -> str:
    """Describe the machine in a line: figures mean nothing without it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {models[0] if models else 'unknown processor'}"
