"""squeue, asked for all that says why a job waits."""

from bank.errors import OutputNotUnderstood
from bank.policy.queue import Job
from bank.slurm import tres
from bank.slurm.clusters import on, without_heading
from bank.slurm.spans import minutes

# No name and no text of Slurm's holds it, so a reason in free words ends where it ends.
_SEPARATOR = "\x1f"
_FIELDS = (
    *("JobID", "JobArrayID", "State", "UserName", "Partition", "QOS", "TimeLimit", "StartTime"),
    *("PriorityLong", "tres-alloc", "Licenses", "Reservation", "Dependency", "Reason", "Account"),
)
_NOTHING = {"", "(null)", "N/A"}


def arguments(cluster: str | None) -> list[str]:
    """Build the question for all jobs that the controller knows; `cluster` None is the local one.

    Source:
        squeue(1), --Format: a field with a suffix and no size is printed as long as it is.
    """
    fields = ",".join(f"{field}:{_SEPARATOR}" for field in _FIELDS)
    return ["squeue", *on(cluster), "-h", "-a", "-t", "all", "-O", fields]


def read(output: str) -> list[Job]:
    """Read squeue's answer.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.
    """
    return [_job(line) for line in without_heading(output)]


def _job(line: str) -> Job:
    parts = line.split(_SEPARATOR)
    if len(parts) != len(_FIELDS) + 1 or parts[-1].strip():
        raise OutputNotUnderstood(f"squeue printed {line[:200]!r}")
    said = dict(zip(_FIELDS, (part.strip() for part in parts), strict=False))
    whole = (said["JobID"], said["PriorityLong"])
    start = said["StartTime"]
    if not (all(text.isdigit() for text in whole) and (start.isdigit() or start in _NOTHING)):
        raise OutputNotUnderstood(f"squeue printed {line[:200]!r}")
    asked = said["tres-alloc"]
    return Job(
        job_id=int(said["JobID"]),
        shown_id=said["JobArrayID"],
        state=said["State"],
        user=said["UserName"],
        account=said["Account"],
        partitions=tuple(said["Partition"].split(",")),
        qos=said["QOS"],
        limit_minutes=minutes(said["TimeLimit"]),
        starts_at=int(start) if start.isdigit() else None,
        priority=int(said["PriorityLong"]),
        tres={} if asked in _NOTHING else tres.quantities(asked),
        licenses=_text(said["Licenses"]),
        reservation=_text(said["Reservation"]),
        dependency=_text(said["Dependency"]),
        reason=said["Reason"],
    )


def _text(said: str) -> str:
    return "" if said in _NOTHING else said
