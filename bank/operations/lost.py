"""What a meter lost: asked of sacct, for the span since its last good reading."""

import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.errors import SlurmError
from bank.ledger.names import is_plain
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.policy import prices
from bank.policy.metering import Run
from bank.slurm import sacct, sacctmgr, scontrol, sdiag, squeue, tres
from bank.slurm.command import chunked, run
from bank.slurm.sacct import JobRow

_PAUSE_SECONDS = 0.2
# The controller tells slurmdbd of new jobs every five seconds; its own work takes a moment more.
_LATE_SECONDS = 7
# Slurm computes with floating-point numbers: a billing of 5 may be one of 4.9999 and be cut to 4.
_HAIR = Fraction(1, 1_000_000)


class Found(NamedTuple):
    """What sacct knows of one association.

    Attributes:
        account, user, partition: whose it was.
        runs: its jobs' runs in the span asked for.
        unpriced: ids of jobs that ran, of which sacct does not say what they were billed.
    """

    account: str
    user: str
    partition: str
    runs: list[Run]
    unpriced: list[int]


def find_runs(
    bank: Bank,
    cluster: Cluster,
    names: Sequence[str],
    whose: Mapping[tuple[str, str, str], int],
    *,
    since_seconds: int,
    until_seconds: int,
) -> dict[int, Found]:
    """Return, by association, what ran in a span of time.

    Args:
        bank: settings and Slurm.
        cluster: where.
        names: the accounts in question.
        whose: associations by account, user and partition, for jobs where sacct does not say it.
        since_seconds: seconds since 1970.
        until_seconds: likewise.

    Raises:
        SlurmError: sacct, squeue, scontrol or sacctmgr did not answer. Then nothing is booked.
    """
    jobs = _jobs(bank, cluster, names, since_seconds, until_seconds)
    if not jobs:
        return {}
    started = squeue.read(run(bank.slurm, squeue.arguments(cluster.on)))
    alive = {one.job_id: one for one in started}
    weights = scontrol.read_partition_weights(
        run(bank.slurm, scontrol.partitions_arguments(cluster.on))
    )
    factors = sacctmgr.read_qos_factors(run(bank.slurm, sacctmgr.qos_factors_arguments()))
    found: dict[int, Found] = {}
    resized_at: dict[tuple[int, int], int] = {}
    for job in sorted(jobs, key=_end):
        rate = _rate(job, weights, factors, max_tres=cluster.config.max_tres)
        association = _association(job, whose, found)
        mine = found.setdefault(association, Found(job.account, job.user, job.partition, [], []))
        if rate is None:
            mine.unpriced.append(job.job_id)
        else:
            # All sizes of a job have the start of the first; each one ran since the one before it.
            began_at = resized_at.get((job.job_id, job.started_at), job.started_at)
            mine.runs.append(Run(began_at, job.ended_at, _is_disputed(job, alive), rate))
        if job.state == "RESIZING" and job.ended_at is not None:
            resized_at[job.job_id, job.started_at] = job.ended_at
    return found


def _end(job: JobRow) -> tuple[bool, int, bool]:
    return job.ended_at is None, job.ended_at or 0, job.state != "RESIZING"


def _is_disputed(job: JobRow, alive: Mapping[int, squeue.Started]) -> bool:
    """Tell whether sacct and the controller do not agree that a job has ended.

    A controller that was killed does not know a job that it had not saved, and lets one run on
    whose end it had not saved: that one it counts again itself.
    """
    there = alive.get(job.job_id)
    if there is None or job.ended_at is None:
        return there is None and job.ended_at is None
    # A run that was requeued has ended, whatever the next one does; so has one of another size.
    is_same_run = there.started_at == job.started_at and job.state != "RESIZING"
    return is_same_run and not there.has_ended


def _association(
    job: JobRow, whose: Mapping[tuple[str, str, str], int], found: Mapping[int, Found]
) -> int:
    """Return the association that a job ran on.

    Where it was removed before slurmdbd heard of the job's start, sacct says 0. If it was never
    read either, it gets a number that no association has: minus that of its first job.
    """
    if job.association:
        return job.association
    for partition in (job.partition, ""):
        if (job.account, job.user, partition) in whose:
            return whose[job.account, job.user, partition]
    for number, other in found.items():
        if number < 0 and (other.account, other.user) == (job.account, job.user):
            return number
    return -job.job_id


def _jobs(
    bank: Bank, cluster: Cluster, names: Sequence[str], since: int, until: int
) -> list[JobRow]:
    wanted = set(names)
    incomplete = _incomplete(bank, cluster, wanted, since, until)
    # A name that could be misread on a command line is not put on one; then all are asked for.
    chunks = chunked(sorted(wanted)) if all(is_plain(name) for name in wanted) else [None]
    rows: list[JobRow] = []
    for chunk in chunks:
        question = sacct.arguments(
            cluster.name, since_seconds=since, until_seconds=until, accounts=chunk
        )
        rows += sacct.read(run(bank.slurm, question))
    # Where slurmdbd has been told the rest since, that is what counts.
    told = [row for row in rows if row.account in wanted]
    known = {(row.job_id, row.started_at) for row in told}
    return told + [row for row in incomplete if (row.job_id, row.started_at) not in known]


def _incomplete(
    bank: Bank, cluster: Cluster, wanted: set[str], since: int, until: int
) -> list[JobRow]:
    """Wait until slurmdbd knows what the controller knows; return the runs it has only the end of.

    Those that stay so belong to a controller that was killed before it told of their start.

    Raises:
        SlurmError: it takes too long; nothing is booked, the next pass asks again.
    """
    question = sacct.complete_arguments(cluster.name, since_seconds=since, until_seconds=until)
    began = time.monotonic()
    while True:
        waiting = sdiag.read_waiting(run(bank.slurm, sdiag.arguments(cluster.on)))
        rows = sacct.read(run(bank.slurm, question))
        found = [row for row in rows if row.account in wanted and not row.partition]
        waited = time.monotonic() - began
        may_come = any((row.ended_at or until) > until - _LATE_SECONDS for row in found)
        if not waiting and (not may_come or waited > _LATE_SECONDS):
            return found
        if waited > bank.settings.slurm_timeout_seconds:
            raise SlurmError(
                f"slurmdbd is behind the controller of {cluster.name} ({waiting} messages wait):"
                " what a meter lost cannot be told yet; the next pass asks again"
            )
        time.sleep(_PAUSE_SECONDS)


def _rate(
    job: JobRow,
    weights: dict[str, dict[str, Fraction]],
    factors: dict[str, Fraction],
    *,
    max_tres: bool,
) -> Fraction | None:
    """Return the billing-seconds that a job uses each second, as RawUsage counts them.

    None where slurmdbd does not say: it was never told the partition, or that is gone, and the
    whole number that it keeps of a billing below 1 is none; or the QOS is gone, or was never told
    and not all have the same factor.
    """
    allocated = tres.quantities(job.alloc_tres)
    if job.partition in weights:
        billing = prices.billing(allocated, weights[job.partition], max_tres=max_tres)
        whole = allocated.get("billing", int(billing))
        if not int(billing - _HAIR) <= whole <= int(billing + _HAIR):
            # The partition had other weights then: the whole number is the best there is.
            billing = Fraction(whole)
    elif "billing" in allocated:
        billing = allocated["billing"]
    else:
        return Fraction(0) if job.ended_at == job.started_at else None
    # Of a job whose start was never told, the QOS is not known either.
    possible = {factors.get(job.qos)} if job.partition else set(factors.values())
    factor = possible.pop() if len(possible) == 1 else None
    return None if factor is None else billing * factor
