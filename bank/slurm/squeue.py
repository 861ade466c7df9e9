"""squeue: which jobs the controller itself holds to be running."""

from typing import NamedTuple

from bank.errors import OutputNotUnderstood
from bank.slurm.clusters import on, without_heading

_STARTED = "RUNNING,SUSPENDED,COMPLETING,CONFIGURING,STOPPED"
_FIELDS = "%A|%S|%T"
_FIELD_COUNT = 3


class Started(NamedTuple):
    """A job that holds resources now.

    Attributes:
        job_id: a task of an array has its own.
        started_at: seconds since 1970.
        has_ended: whether only its nodes are being cleaned up.
    """

    job_id: int
    started_at: int
    has_ended: bool


def arguments(cluster: str | None) -> list[str]:
    """Build the question; `cluster` None is the local one."""
    return ["squeue", *on(cluster), "-h", "-a", "-t", _STARTED, "-o", _FIELDS]


def read(output: str) -> list[Started]:
    """Read squeue's answer.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.

    Source:
        squeue(1): %A the job id, %S when it started, as SLURM_TIME_FORMAT says, %T its state.
    """
    return [_started(line) for line in without_heading(output)]


def _started(line: str) -> Started:
    parts = line.split("|")
    if len(parts) != _FIELD_COUNT or not (parts[0].isdigit() and parts[1].isdigit() and parts[2]):
        raise OutputNotUnderstood(f"squeue printed {line[:200]!r}")
    return Started(int(parts[0]), int(parts[1]), parts[2] == "COMPLETING")
