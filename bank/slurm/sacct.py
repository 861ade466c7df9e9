"""sacct: what jobs really ran. Asked where a meter has lost something, and what a job cost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bank.errors import InputError, OutputNotUnderstood
from bank.policy import hostlists
from bank.policy.queue import Job
from bank.slurm import spans, tres
from bank.slurm.clusters import on

# Names of users, partitions and QOS do not hold the separator. The account may, so it stands last.
_FIELDS = (
    "DBIndex,JobIDRaw,JobID,AssocID,User,Partition,QOS,State,Start,End,Suspended,AllocTRES,"
    "NodeList,Account"
)
_FIELD_COUNT = 14
_NEVER = {"Unknown", "None", ""}
# Of a run that got no node.
_NOWHERE = ("None assigned", "")


class JobRow(NamedTuple):
    """One run of one job: a requeued job has a row for each run, a resized one for each size.

    Attributes:
        db_index: DBIndex, slurmdbd's own number of the row: no other of its cluster ever has it.
        job_id: JobIDRaw, a task of an array has its own.
        shown_id: JobID as people know it: "12", "12_3" of an array, "12+1" of a het job.
        association: association id, which is the meter it was counted on.
        started_at, ended_at: seconds since 1970; ended_at is None while it runs. The span between
            them is what the meter counts: unlike sacct's Elapsed, it counts suspended time too.
        suspended_seconds: how much of that it was suspended.
        alloc_tres: AllocTRES as printed.
        node_list: where it ran, as Slurm writes hosts.
    """

    db_index: int
    job_id: int
    shown_id: str
    association: int
    account: str
    user: str
    partition: str
    qos: str
    state: str
    started_at: int
    ended_at: int | None
    suspended_seconds: int
    alloc_tres: str
    node_list: str


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
    return [*_every_run(cluster), *span, *whose, "-o", _FIELDS]


def runs_arguments(cluster: str, job: str) -> list[str]:
    """Build the question for every run of one job, whenever it was.

    Args:
        cluster: where.
        job: "12" for a job, all tasks of an array or all components of a het job; "12_3" for one
            task, "12+1" for one component.

    Source:
        sacct(1): with -j and without -S, all of time is looked at.
    """
    return [*_every_run(cluster), "-j", job, "-o", _FIELDS]


def resized_arguments(cluster: str, *, since_seconds: int, until_seconds: int) -> list[str]:
    """Build the question for the earlier sizes of jobs that were resized in a span of time.

    A question for a later span shows the last size only, with the start of the first.
    """
    question = arguments(
        cluster, since_seconds=since_seconds, until_seconds=until_seconds, accounts=None
    )
    return [*question, "-s", "RESIZING"]


def _every_run(cluster: str) -> list[str]:
    return ["sacct", *on(cluster), "-a", "-X", "-n", "-P", "-D"]


_ALL_STATES = (
    "BOOT_FAIL,CANCELLED,COMPLETED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,REQUEUED,"
    "RESIZING,REVOKED,RUNNING,SUSPENDED,TIMEOUT"
)


def complete_arguments(
    cluster: str, *, since_seconds: int, until_seconds: int, accounts: Sequence[str] | None
) -> list[str]:
    """Build the question for every run that slurmdbd knows of, even if only its end.

    The controller tells of a job's start up to five seconds late, and of its end at once. In
    between the row has no partition, and no other question shows it (Slurm 22.05).
    """
    question = arguments(
        cluster, since_seconds=since_seconds, until_seconds=until_seconds, accounts=accounts
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
        if parts[8] in _NEVER:
            continue
        try:
            rows.append(_row(parts))
        except ValueError as error:
            raise OutputNotUnderstood(f"sacct printed {line[:200]!r}") from error
    return rows


def _row(parts: Sequence[str]) -> JobRow:
    db_index, job_id, shown_id, association, user, partition, qos, state, start, end = parts[:10]
    suspended, alloc_tres, node_list, account = parts[10:]
    return JobRow(
        db_index=int(db_index),
        job_id=int(job_id),
        shown_id=shown_id,
        association=int(association),
        account=account,
        user=user,
        partition=partition,
        qos=qos,
        state=state.split(" ", 1)[0],
        started_at=int(start),
        ended_at=None if end in _NEVER else int(end),
        suspended_seconds=spans.seconds(suspended),
        alloc_tres=alloc_tres,
        node_list=node_list,
    )


def hosts(job: JobRow) -> frozenset[str]:
    """Return the nodes that a run had.

    sacct can look for nodes by itself, but by numbers that are of the cluster as it is now; where
    nodes were added since, it may show others.

    Raises:
        OutputNotUnderstood: its NodeList is not a list of nodes.
    """
    if job.node_list in _NOWHERE:
        return frozenset()
    try:
        return frozenset(hostlists.names(job.node_list))
    except InputError as error:
        raise OutputNotUnderstood(f"sacct printed of job {job.shown_id}: {error}") from error


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
    return ["sacct", *on(cluster), "-a", "-X", "-n", "-P", *which, "-o", _JOB_FIELDS]


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
