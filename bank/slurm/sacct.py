"""sacct: what jobs really ran. Asked where a meter has lost something."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bank.errors import OutputNotUnderstood
from bank.policy.queue import Job
from bank.slurm import tres

# Names of users, partitions and QOS do not hold the separator. The account may, so it stands last.
_FIELDS = "JobIDRaw,AssocID,User,Partition,QOS,State,Start,End,AllocTRES,Account"
_FIELD_COUNT = 10
_NEVER = {"Unknown", "None", ""}


class JobRow(NamedTuple):
    """One run of one job: a requeued job has a row for each run.

    Attributes:
        job_id: JobIDRaw, a task of an array has its own.
        association: association id, which is the meter it was counted on.
        started_at, ended_at: seconds since 1970; ended_at is None while it runs. The span between
            them is what the meter counts: unlike sacct's Elapsed, it counts suspended time too.
        alloc_tres: AllocTRES as printed.
    """

    job_id: int
    association: int
    account: str
    user: str
    partition: str
    qos: str
    state: str
    started_at: int
    ended_at: int | None
    alloc_tres: str


def arguments(
    cluster: str, *, since_seconds: int, until_seconds: int, accounts: Sequence[str] | None
) -> list[str]:
    """Build the question for every run, finished or not, that overlaps a span of time.

    Args:
        cluster: the cluster whose jobs are asked for.
        since_seconds: seconds since 1970; TZ is UTC for all commands.
        until_seconds: likewise.
        accounts: plain names, or None for all.

    Source:
        sacct(1): -D shows requeued runs too, -X leaves out steps, without --state a job is listed
        when it was eligible before the end of the span and had not ended before its start.
    """
    span = ["-S", _time(since_seconds), "-E", _time(until_seconds)]
    whose = ["-A", ",".join(accounts)] if accounts is not None else []
    return ["sacct", "-M", cluster, "-a", "-X", "-n", "-P", "-D", *span, *whose, "-o", _FIELDS]


_ALL_STATES = (
    "BOOT_FAIL,CANCELLED,COMPLETED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,REQUEUED,"
    "RESIZING,REVOKED,RUNNING,SUSPENDED,TIMEOUT"
)


def complete_arguments(cluster: str, *, since_seconds: int, until_seconds: int) -> list[str]:
    """Build the question for every run that slurmdbd knows of, even if only its end.

    The controller tells of a job's start up to five seconds late, and of its end at once. In
    between the row has no partition, and no other question shows it (Slurm 22.05).
    """
    question = arguments(
        cluster, since_seconds=since_seconds, until_seconds=until_seconds, accounts=None
    )
    return [*question, "-s", _ALL_STATES]


def read(output: str) -> list[JobRow]:
    """Read sacct's answer; runs that never started are left out, for they used nothing.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.
    """
    rows = []
    for line in output.splitlines():
        parts = line.split("|", _FIELD_COUNT - 1)
        if len(parts) != _FIELD_COUNT:
            raise OutputNotUnderstood(f"sacct printed a row that is not {_FIELDS}: {line[:200]!r}")
        job_id, association, user, partition, qos, state, start, end, alloc, account = parts
        if start in _NEVER:
            continue
        try:
            rows.append(
                JobRow(
                    job_id=int(job_id),
                    association=int(association),
                    account=account,
                    user=user,
                    partition=partition,
                    qos=qos,
                    state=state.split(" ", 1)[0],
                    started_at=int(start),
                    ended_at=None if end in _NEVER else int(end),
                    alloc_tres=alloc,
                )
            )
        except ValueError as error:
            raise OutputNotUnderstood(f"sacct printed {line[:200]!r}") from error
    return rows


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


_JOB_FIELDS = "JobIDRaw,JobID,State,User,Partition,QOS,TimelimitRaw,Start,AllocTRES,Reason,Account"
_JOB_FIELD_COUNT = 11


def job_arguments(cluster: str, job: str) -> list[str]:
    """Build the question for the last run of one job, whenever it was.

    Args:
        cluster: where.
        job: "17", or "14_3" for a task of an array.
    """
    # Without a span sacct knows only the jobs of today.
    which = ["-j", job, "-S", _time(0)]
    return ["sacct", "-M", cluster, "-a", "-X", "-n", "-P", *which, "-o", _JOB_FIELDS]


def read_job(output: str) -> Job | None:
    """Read the answer about one job; None where slurmdbd knows none of this number.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.
    """
    lines = output.splitlines()
    if not lines:
        return None
    parts = lines[-1].split("|", _JOB_FIELD_COUNT - 1)
    if len(parts) != _JOB_FIELD_COUNT or not parts[0].isdigit():
        raise OutputNotUnderstood(f"sacct printed {lines[-1][:200]!r}")
    raw, shown, state, user, partition, qos, minutes, start, used, reason, account = parts
    return Job(
        job_id=int(raw),
        shown_id=shown,
        state=state,
        user=user,
        account=account,
        partitions=tuple(partition.split(",")),
        qos=qos,
        limit_minutes=int(minutes) if minutes.isdigit() else None,
        starts_at=int(start) if start.isdigit() else None,
        priority=0,
        tres=tres.quantities(used),
        licenses="",
        reservation="",
        dependency="",
        reason=reason,
    )
