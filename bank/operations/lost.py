"""What a meter lost: asked of sacct, for the span since its last good reading."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.rates import ask_rates, in_sizes, rate_of
from bank.operations.sacct_rows import find_rows
from bank.policy.metering import Run
from bank.slurm import squeue
from bank.slurm.command import run
from bank.slurm.sacct import JobRow


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
    jobs = find_rows(bank, cluster, names, since_seconds, until_seconds)
    if not jobs:
        return {}
    started = squeue.read(run(bank.slurm, squeue.arguments(cluster.on)))
    alive = {one.job_id: one for one in started}
    rates = ask_rates(bank, cluster)
    found: dict[int, Found] = {}
    for job, began_at in in_sizes(jobs):
        rate = rate_of(job, rates)
        association = _association(job, whose, found)
        mine = found.setdefault(association, Found(job.account, job.user, job.partition, [], []))
        if rate is None:
            mine.unpriced.append(job.job_id)
        else:
            is_disputed = _is_disputed(job, alive)
            mine.runs.append(Run(began_at, job.ended_at, is_disputed, rate.per_second))
    return found


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
