"""What a job costs each second: its billing and its QOS, as Slurm has them now."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.policy import prices
from bank.policy.tariffs import HAIR, Tariffs
from bank.slurm import partitions, qos, tres
from bank.slurm.command import run
from bank.slurm.sacct import JobRow


class Rates(NamedTuple):
    """What prices of jobs on one cluster rest on, as of now: Slurm keeps no older ones.

    Attributes:
        weights: TRESBillingWeights of each partition.
        factors: UsageFactor of each QOS.
        max_tres: whether PriorityFlags has MAX_TRES.
    """

    weights: Mapping[str, Mapping[str, Fraction]]
    factors: Mapping[str, Fraction]
    max_tres: bool

    def seen_at(self, at: int) -> Tariffs:
        """Return them as what was seen at a time; UTC microseconds."""
        return Tariffs(
            {name: [(at, weights)] for name, weights in self.weights.items()},
            {name: [(at, factor)] for name, factor in self.factors.items()},
            [(at, self.max_tres)],
        )


class Rate(NamedTuple):
    """What a job costs each second, as RawUsage counts it.

    Attributes:
        billing: its billing TRES, exact where the partition's weights are those of its time.
        factor: UsageFactor of its QOS.
        whole: the whole number that sacct shows of its billing; 0 where it shows none.
        is_cut: whether `billing` is that number, because the weights have changed since.
    """

    billing: Fraction
    factor: Fraction
    whole: int
    is_cut: bool

    @property
    def per_second(self) -> Fraction:
        """Billing-seconds each second."""
        return prices.per_second(self.billing, self.factor)


def ask_rates(bank: Bank, cluster: Cluster) -> Rates:
    """Ask Slurm for what prices rest on.

    Raises:
        SlurmError: scontrol or sacctmgr did not answer or was not understood.
    """
    weights = partitions.read_weights(run(bank.slurm, partitions.arguments(cluster.on)))
    found = qos.read(run(bank.slurm, qos.arguments()))
    factors = {name: one.factor for name, one in found.items()}
    return Rates(weights, factors, cluster.config.max_tres)


def rate_of(job: JobRow, rates: Rates) -> Rate | None:
    """Return what a job costs each second.

    None where slurmdbd does not say: it was never told the partition, or that is gone, and the
    whole number that it keeps of a billing below 1 is none; or the QOS is gone, or was never told
    and not all have the same factor.
    """
    allocated = tres.quantities(job.alloc_tres)
    whole = allocated.get("billing")
    if job.partition in rates.weights:
        weights = rates.weights[job.partition]
        billing = prices.billing(allocated, weights, max_tres=rates.max_tres)
        least, most = int(billing - HAIR), int(billing + HAIR)
        is_cut = whole is not None and not least <= whole <= most
    elif whole is not None or job.ended_at == job.started_at:
        billing, is_cut = Fraction(0), True
    else:
        return None
    # Of a job whose start was never told, the QOS is not known either.
    possible = {rates.factors.get(job.qos)} if job.partition else set(rates.factors.values())
    factor = possible.pop() if len(possible) == 1 else None
    if factor is None:
        return None
    # Where the partition had other weights then, the whole number is the best there is.
    return Rate((whole or Fraction(0)) if is_cut else billing, factor, int(whole or 0), is_cut)


def in_sizes(jobs: Iterable[JobRow]) -> Iterator[tuple[JobRow, int]]:
    """Yield runs in the order of their ends, each with the second since which it had its size.

    All sizes of a job have the start of the first; each one ran since the one before it.
    """
    resized_at: dict[tuple[int, int], int] = {}
    for job in sorted(jobs, key=_end):
        which = (job.job_id, job.started_at)
        yield job, resized_at.get(which, job.started_at)
        if job.state == "RESIZING" and job.ended_at is not None:
            resized_at[which] = job.ended_at


def _end(job: JobRow) -> tuple[bool, int, bool]:
    return job.ended_at is None, job.ended_at or 0, job.state != "RESIZING"
