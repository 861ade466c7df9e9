"""What jobs cost: each run as sacct knows it, priced as RawUsage counts it."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bank.errors import InputError, Refusal
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, all_clusters, find_cluster
from bank.operations.rates import Rate, Rates, ask_rates, in_sizes, rate_of
from bank.operations.sacct_rows import find_sized
from bank.policy import prices
from bank.slurm import sacct, squeue
from bank.slurm.command import run
from bank.slurm.sacct import JobRow
from bank.store.job_charges import NOT_PRICED, JobCharge

_JOB = re.compile(r"[1-9][0-9]{0,9}(?:[_+][0-9]{1,9})?")


class CostedRun(NamedTuple):
    """One run of a job, and what it costs.

    Attributes:
        job: as sacct has it.
        began_at: since when it had the size that it has; seconds since 1970.
        rate: what it costs each second, None where nobody knows.
        charge: what its job was charged, None where meters counted it.
    """

    job: JobRow
    began_at: int
    rate: Rate | None
    charge: JobCharge | None = None

    @property
    def cost(self) -> int | None:
        """Billing-seconds; None while it runs, and where nobody knows."""
        if self.charge is not None:
            return None if self.charge.priced_by == NOT_PRICED else self.charge.amount
        if self.job.ended_at is None or self.rate is None:
            return None
        return prices.cost_of_run(self.rate.per_second, self.job.ended_at - self.began_at)


def find_job(bank: Bank, name: str, cluster_name: str | None) -> tuple[Cluster, list[CostedRun]]:
    """Return where a job was, and every run of it that started, in the order of their ends.

    Args:
        bank: settings and Slurm.
        name: its id; that of an array or a het job is all of its tasks or components.
        cluster_name: where it was; None is wherever there is one.

    Raises:
        InputError: the id is none.
        Refusal: there is no such job; there is one on more than one cluster; it never started.
        SlurmError: Slurm did not answer or was not understood.
    """
    if _JOB.fullmatch(name) is None:
        raise InputError(
            f"{name[:40]!r} is not the id of a job: give one such as 123, 123_4 (a task of an"
            " array) or 123+1 (a component of a het job)"
        )
    found: list[tuple[Cluster, list[JobRow]]] = []
    clusters = all_clusters(bank) if cluster_name is None else [find_cluster(bank, cluster_name)]
    for cluster in clusters:
        output = run(bank.slurm, sacct.runs_arguments(cluster.name, name))
        if output.strip():
            found.append((cluster, sacct.read(output)))
    names = ", ".join(cluster.name for cluster in clusters)
    if not found:
        raise Refusal("no_such_job", f"sacct knows no job {name} on {names}")
    if len(found) > 1:
        names = ", ".join(cluster.name for cluster, _ in found)
        raise Refusal("many_jobs", f"there is a job {name} on each of {names}: say --cluster")
    cluster, rows = found[0]
    if not rows:
        raise Refusal("nothing_to_refund", f"job {name} on {cluster.name} never started")
    return cluster, _costed(in_sizes(rows), ask_rates(bank, cluster))


def find_overlapping(
    bank: Bank,
    cluster: Cluster,
    *,
    since_seconds: int,
    until_seconds: int,
    accounts: Sequence[str] | None = None,
) -> list[CostedRun]:
    """Return every run of a span of time, half-open, in the order of their ends.

    Args:
        bank: settings and Slurm.
        cluster: where.
        since_seconds: seconds since 1970.
        until_seconds: likewise.
        accounts: whose; None for all.

    Raises:
        SlurmError: Slurm did not answer or was not understood.
    """
    rows = find_sized(bank, cluster, accounts, since_seconds, until_seconds)
    return [
        one
        for one in _costed(rows, ask_rates(bank, cluster))
        # sacct's spans have no sharp edges.
        if one.began_at < until_seconds and (one.job.ended_at or until_seconds) > since_seconds
    ]


def find_alive(bank: Bank, cluster: Cluster, costed: Sequence[CostedRun]) -> set[int]:
    """Return the ids of the jobs that the controller knows, where one of the runs has not ended.

    A run that has not ended for sacct and is of none of them runs for sacct alone.

    Raises:
        SlurmError: squeue did not answer or was not understood.
    """
    if all(one.job.ended_at is not None for one in costed):
        return set()
    return {one.job_id for one in squeue.read(run(bank.slurm, squeue.arguments(cluster.on)))}


def _costed(rows: Iterable[tuple[JobRow, int]], rates: Rates) -> list[CostedRun]:
    return [CostedRun(row, began_at, rate_of(row, rates)) for row, began_at in rows]
