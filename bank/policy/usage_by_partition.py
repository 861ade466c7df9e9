"""Use by partition: what ran as sacct has it, and what of the books that leaves over.

A meter counts whatever partition a job ran in, so only sacct can tell them apart. What is booked
in a span is not what ran in it to the second; the lines of the rest hold the difference, so that
all lines together are what is booked.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.policy.reconciliation import AFTER, BY_HAND, REFUNDED
from bank.policy.usage import Sum

NOT_TOLD = "not told by sacct"


class RunInPartition(NamedTuple):
    """One run of a job in a partition.

    Attributes:
        partition: "" where slurmdbd was never told.
        began_at, ended_at: seconds since 1970; ended_at is None while it runs.
        per_second: billing-seconds each second.
    """

    partition: str
    began_at: int
    ended_at: int | None
    per_second: Fraction


def summed_by_partition(
    runs: Iterable[RunInPartition], since: Fraction, until: Fraction
) -> list[Sum]:
    """Return what ran in a span of time in each partition, the largest first.

    Args:
        runs: also such as reach over the edges of the span, or lie beside it.
        since: seconds since 1970.
        until: likewise.
    """
    costs: dict[str, Fraction] = defaultdict(Fraction)
    for run in runs:
        if not run.partition:
            continue
        end = until if run.ended_at is None else min(Fraction(run.ended_at), until)
        seconds = end - max(Fraction(run.began_at), since)
        costs[run.partition] += run.per_second * max(seconds, Fraction(0))
    found = [Sum(partition, round(cost), 0) for partition, cost in costs.items() if round(cost)]
    return sorted(found, key=lambda one: (-one.used, one.key or ""))


def rest_of(booked: Sum, partitions: Sequence[Sum], *, by_hand: int) -> list[Sum]:
    """Return what leads from what ran in the partitions to what is booked, each under its cause.

    Args:
        booked: all that is booked in the span.
        partitions: see `summed_by_partition`.
        by_hand: billing-seconds of what is booked that were charged by hand.
    """
    left = booked.charged - by_hand - sum(one.charged for one in partitions)
    lines = [
        Sum(NOT_TOLD if left > 0 else AFTER, left, 0),
        Sum(BY_HAND, by_hand, 0),
        Sum(REFUNDED, 0, booked.refunded),
    ]
    return [line for line in lines if line.used]
