"""sdiag: what the controller has still to tell slurmdbd."""

import re

from bank.errors import OutputNotUnderstood
from bank.slurm.clusters import on


def arguments(cluster: str | None) -> list[str]:
    """Build the question; `cluster` None is the local one."""
    return ["sdiag", *on(cluster)]


def read_waiting(output: str) -> int:
    """Return how many messages to slurmdbd wait in the controller.

    Source:
        sdiag(1), DBD Agent queue size.
    """
    match = re.search(r"^DBD Agent queue size:\s*([0-9]+)\s*$", output, re.MULTILINE)
    if match is None:
        raise OutputNotUnderstood("sdiag does not say its DBD Agent queue size")
    return int(match.group(1))
