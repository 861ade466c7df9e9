"""squeue, asked for one job that is about to start, before its first node has begun anything."""

from typing import NamedTuple

from bank.errors import OutputNotUnderstood, Refusal
from bank.slurm import live_jobs
from bank.slurm.live_jobs import LiveJob

_SEPARATOR = "\x1f"
_FIELDS = ("BatchFlag", "Requeue")


class StartingJob(NamedTuple):
    """A job that was given what it gets, and has begun nothing yet.

    Attributes:
        job: what the controller says of it.
        is_batch: whether it is a batch job, and so can wait.
        can_requeue: whether it may be put back into the queue.
    """

    job: LiveJob
    is_batch: bool
    can_requeue: bool


def arguments(job_id: int) -> list[str]:
    """Build the question for a job of the local cluster; for an array's last task it lists others.

    Source:
        squeue(1), --Format: BatchFlag and Requeue are 0 or 1.
    """
    *before, fields = live_jobs.arguments(None)
    own = "".join(f"{field}:{_SEPARATOR}," for field in _FIELDS)
    return [*before[:-1], "-j", str(job_id), "-O", f"{own}{fields}"]


def read(output: str, job_id: int) -> StartingJob:
    """Read squeue's answer.

    Raises:
        OutputNotUnderstood: it is not in the form asked for.
        Refusal: the job is not there.
    """
    *parts, end = output.split(_SEPARATOR)
    count = len(_FIELDS) + live_jobs.arguments(None)[-1].count(_SEPARATOR)
    if len(parts) % count or end.strip():
        raise OutputNotUnderstood(f"squeue ended with {output[-200:]!r}")
    for start in range(0, len(parts), count):
        batch, requeue, *rest = (part.strip() for part in parts[start : start + count])
        (job,) = live_jobs.read("".join(f"{part}{_SEPARATOR}" for part in rest))
        if job.job_id != job_id:
            continue
        if {batch, requeue} - {"0", "1"}:
            raise OutputNotUnderstood(f"squeue says BatchFlag {batch!r} and Requeue {requeue!r}")
        return StartingJob(job, batch == "1", requeue == "1")
    raise Refusal("no_such_job", f"the controller has no job {job_id}")
