"""What a job costs: its billing, as Slurm's priority plugin computes it."""

from collections.abc import Mapping
from fractions import Fraction


def billing(
    allocated: Mapping[str, Fraction], weights: Mapping[str, Fraction], *, max_tres: bool
) -> Fraction:
    """Return the billing TRES of an allocation, before Slurm rounds it.

    Args:
        allocated: AllocTRES of the job; memory in megabytes.
        weights: TRESBillingWeights of its partition, memory for each megabyte; empty for none.
        max_tres: whether PriorityFlags has MAX_TRES.

    Returns:
        Billing as an exact fraction, in SU per hour. RawUsage counts this fraction; the whole
        number that sacct shows as "billing" is cut off.

    Source:
        slurm.conf(5), TRESBillingWeights and PriorityFlags=MAX_TRES: the sum of all, or the
        largest of the TRES on a node (cpu, mem, gres) plus the sum of the global ones (licenses,
        burst buffers). Without weights it is the number of CPUs.
    """
    if not weights:
        return allocated.get("cpu", Fraction(0))
    costs = {name: allocated.get(name, Fraction(0)) * weight for name, weight in weights.items()}
    if not max_tres:
        return sum(costs.values(), Fraction(0))
    on_nodes = [cost for name, cost in costs.items() if not _is_global(name)]
    return max(on_nodes, default=Fraction(0)) + sum(
        (cost for name, cost in costs.items() if _is_global(name)), Fraction(0)
    )


def _is_global(name: str) -> bool:
    return name.startswith(("license/", "bb/"))
