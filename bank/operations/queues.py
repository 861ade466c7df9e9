"""Reading one cluster for `explain`: its jobs, limits, partitions, and what their reasons name."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.errors import SlurmError
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.policy import job_reasons, tree
from bank.policy.queue import PENDING, Job, License, Node, Queue, Reservation
from bank.slurm import (
    assoc_limits,
    assoc_mgr,
    availability,
    jobs,
    partitions,
    qos,
    sacct,
)
from bank.slurm.assoc_mgr import Associations
from bank.slurm.command import run

_MICROSECONDS = 1_000_000
_OF_NODES = {"ReqNodeNotAvail", "NodesUnavailable", "NodeDown", "PartitionNodeLimit"}
_OF_RESERVATIONS = {"Reservation", "ReservationDeleted"}


class Look(NamedTuple):
    """What one cluster said."""

    cluster: Cluster
    queue: Queue
    slurm: Associations


def read_jobs(bank: Bank, cluster: Cluster) -> list[Job]:
    """Return all jobs that a cluster's controller knows.

    Raises:
        SlurmError: it did not answer or was not understood.
    """
    return jobs.read(run(bank.slurm, jobs.arguments(cluster.on)))


def read_ended_job(bank: Bank, cluster: Cluster, job: str) -> Job | None:
    """Return a job that only slurmdbd knows any more, None where it knows none.

    Raises:
        SlurmError: it did not answer or was not understood.
    """
    return sacct.read_job(run(bank.slurm, sacct.job_arguments(cluster.name, job)))


def read_queue(bank: Bank, cluster: Cluster, account: str, known: Sequence[Job]) -> Look:
    """Read all that a cluster says of an account and of its jobs.

    Args:
        bank: how to reach Slurm.
        cluster: which one.
        account: the account.
        known: its jobs, from `read_jobs`.

    Raises:
        SlurmError: it did not answer or was not understood.
    """
    output = run(bank.slurm, assoc_mgr.arguments(cluster.on))
    slurm = assoc_mgr.read_all(output, cluster.name)
    parents = {name: row.parent for name, row in slurm.accounts.items()}
    chain = {account, *tree.ancestors(parents, account)}
    waiting = [job for job in known if job.account == account and job.state == PENDING]
    codes = {job_reasons.code_of(job.reason) for job in waiting}
    queue = Queue(
        cluster=cluster.name,
        enforce=cluster.config.enforce,
        max_tres=cluster.config.max_tres,
        parents=parents,
        holders=tuple(assoc_limits.read_holders(output, chain)),
        qos=assoc_limits.read_qos(output),
        partitions=partitions.read(run(bank.slurm, partitions.arguments(cluster.on))),
        usage_factors={},
        jobs=tuple(known),
        nodes=_nodes(bank, cluster) if codes & _OF_NODES else (),
        reservations=_reservations(bank, cluster) if codes & _OF_RESERVATIONS else (),
        licenses=_licenses(bank, cluster) if "Licenses" in codes else (),
        accounts_of=assoc_limits.read_accounts_of_users(output),
        asked_at=bank.clock() // _MICROSECONDS,
    )
    try:
        found = qos.read(run(bank.slurm, qos.arguments()))
        factors = {name: one.factor for name, one in found.items()}
        queue = queue._replace(usage_factors=factors)
    except SlurmError as error:
        # Of all that is asked only this is slurmdbd's to say.
        bank.warn(f"what jobs may cost is not said: {error}")
    return Look(cluster, queue, slurm)


def _nodes(bank: Bank, cluster: Cluster) -> tuple[Node, ...]:
    output = run(bank.slurm, availability.nodes_arguments(cluster.on))
    return tuple(availability.read_nodes(output))


def _reservations(bank: Bank, cluster: Cluster) -> tuple[Reservation, ...]:
    output = run(bank.slurm, availability.reservations_arguments(cluster.on))
    return tuple(availability.read_reservations(output))


def _licenses(bank: Bank, cluster: Cluster) -> tuple[License, ...]:
    output = run(bank.slurm, availability.licenses_arguments(cluster.on))
    return tuple(availability.read_licenses(output))
