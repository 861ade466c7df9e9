"""squeue, asked for what liens are compared with: which jobs there are, what they were given."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from bank.errors import OutputNotUnderstood
from bank.slurm import tres
from bank.slurm.clusters import on
from bank.slurm.spans import minutes

# No name of Slurm's holds it. The comment comes last, because people write it.
_SEPARATOR = "\x1f"
_FIELDS = (
    *("JobID", "ArrayJobID", "ArrayTaskID", "State", "UserName", "Account", "Partition", "QOS"),
    *("TimeLimit", "StartTime", "tres-alloc", "PriorityLong", "admin_comment"),
)
_NOTHING = {"", "(null)", "N/A"}
# Of these nothing runs any more, and nothing will. A job that is completing may be one that is
# being requeued.
_OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
}
_TASKS = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?")


class LiveJob(NamedTuple):
    """A job that the controller knows, or the tasks of an array that wait together.

    Attributes:
        job_id: Slurm's number; a task that has started has its own.
        array_job_id: number of its array, None without one.
        tasks: how many tasks of an array it stands for, 1 without one; None where squeue has cut
            their list off.
        state: as printed.
        limit_minutes: its time limit, None where there is none.
        started_at: seconds since 1970; None where it has not started.
        allocated: TRES that it was given, memory in megabytes; of one that waits those asked for.
        is_held: whether its priority is 0, so that it is not looked at.
        comment: its AdminComment.
    """

    job_id: int
    array_job_id: int | None
    tasks: int | None
    state: str
    user: str
    account: str
    partition: str
    qos: str
    limit_minutes: int | None
    started_at: int | None
    allocated: Mapping[str, Fraction]
    is_held: bool
    comment: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as the controller knows."""
        return self.state in _OVER

    @property
    def is_running(self) -> bool:
        """Whether it holds resources that are charged."""
        return self.state in ("RUNNING", "SUSPENDED") and self.started_at is not None


def arguments(cluster: str | None) -> list[str]:
    """Build the question for all jobs that the controller knows; `cluster` None is the local one.

    Source:
        squeue(1), --Format: a field with a suffix and no size is printed as long as it is.
    """
    fields = ",".join(f"{field}:{_SEPARATOR}" for field in _FIELDS)
    return ["squeue", *on(cluster), "-h", "-a", "-t", "all", "-O", fields]


def read(output: str) -> list[LiveJob]:
    """Read squeue's answer.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.
    """
    # A comment may have lines of its own, so rows are told apart by the number of their fields.
    if output.startswith("CLUSTER: "):
        output = output.partition("\n")[2]
    *parts, end = output.split(_SEPARATOR)
    count = len(_FIELDS)
    if len(parts) % count or end.strip():
        raise OutputNotUnderstood(f"squeue ended with {output[-200:]!r}")
    rows = [parts[start : start + count] for start in range(0, len(parts), count)]
    return [_job(dict(zip(_FIELDS, (part.strip() for part in row), strict=True))) for row in rows]


def _job(said: Mapping[str, str]) -> LiveJob:
    start, array = said["StartTime"], said["ArrayJobID"]
    is_task = said["ArrayTaskID"] not in _NOTHING
    whole = (said["JobID"], array if is_task else "0", said["PriorityLong"])
    is_known = all(text.isdigit() for text in whole) and (start.isdigit() or start in _NOTHING)
    if not (is_known and said["State"]):
        raise OutputNotUnderstood(f"squeue printed of a job {list(said.values())!r}"[:300])
    asked = said["tres-alloc"]
    return LiveJob(
        job_id=int(said["JobID"]),
        array_job_id=int(array) if is_task else None,
        tasks=count_tasks(said["ArrayTaskID"]) if is_task else 1,
        state=said["State"],
        user=said["UserName"],
        account=said["Account"],
        partition=said["Partition"],
        qos=said["QOS"],
        limit_minutes=minutes(said["TimeLimit"]),
        started_at=int(start) if start.isdigit() else None,
        allocated={} if asked in _NOTHING else tres.quantities(asked),
        is_held=int(said["PriorityLong"]) == 0,
        comment="" if said["admin_comment"] in _NOTHING else said["admin_comment"],
    )


def count_tasks(text: str) -> int | None:
    """Count the tasks in such a list as "3-8%2" or "1,4,10-20:2"; None where it is cut off.

    Raises:
        OutputNotUnderstood: it is none.

    Source:
        squeue(1), SLURM_BITSTR_LEN: a list that is longer ends with "...".
    """
    listed = text.partition("%")[0]
    if listed.endswith("..."):
        return None
    count = 0
    for part in listed.split(","):
        match = _TASKS.fullmatch(part)
        if match is None:
            raise OutputNotUnderstood(f"squeue printed {text[:200]!r} for tasks of an array")
        first, last, step = match.groups()
        count += len(range(int(first), int(last or first) + 1, int(step or 1)))
    return count
