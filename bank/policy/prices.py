"""What a job costs: its billing, as Slurm's priority plugin computes it, for the time that it ran.

The one place where TRESBillingWeights, MAX_TRES, UsageFactor and seconds become an amount. All of
it is exact; whoever books or shows an amount rounds once, at the end. RawUsage is a sum of such
fractions over all jobs of a user, of which Slurm shows the whole part; so one job's cost in whole
billing-seconds is `int(cost)`, and at most `at_most(cost)`.
"""

from collections.abc import Mapping
from fractions import Fraction


def cost(
    allocated: Mapping[str, Fraction],
    weights: Mapping[str, Fraction],
    *,
    factor: Fraction,
    seconds: Fraction | int,
    max_tres: bool,
) -> Fraction:
    """Return what a job costs, in billing-seconds, before it is rounded.

    Args:
        allocated: AllocTRES of the job; memory in megabytes.
        weights: TRESBillingWeights of its partition, memory for each megabyte; empty for none.
        factor: UsageFactor of its QOS.
        seconds: from its start to its end, with the time that it was suspended.
        max_tres: whether PriorityFlags has MAX_TRES.
    """
    return per_second(billing(allocated, weights, max_tres=max_tres), factor) * seconds


def per_second(exact_billing: Fraction, factor: Fraction) -> Fraction:
    """Return the billing-seconds that a job costs each second.

    Args:
        exact_billing: as `billing` has it.
        factor: UsageFactor of its QOS.

    Source:
        sacctmgr(1), UsageFactor: RawUsage is multiplied by it.
    """
    return exact_billing * factor


def at_most(exact: Fraction) -> int:
    """Return the billing-seconds that a cost is at most: rounded up."""
    return -int(-exact // 1)


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
    costs = parts(allocated, weights)
    if not (weights and max_tres):
        return sum(costs.values(), Fraction(0))
    on_nodes = [part for name, part in costs.items() if not _is_global(name)]
    return max(on_nodes, default=Fraction(0)) + sum(
        (part for name, part in costs.items() if _is_global(name)), Fraction(0)
    )


def parts(
    allocated: Mapping[str, Fraction], weights: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """Return what each TRES of an allocation adds to its billing; as `billing`."""
    if not weights:
        return {"cpu": allocated.get("cpu", Fraction(0))}
    return {name: allocated.get(name, Fraction(0)) * weight for name, weight in weights.items()}


def _is_global(name: str) -> bool:
    return name.startswith(("license/", "bb/"))


def cost_of_run(rate: Fraction, seconds: int) -> int:
    """Return what a run costs that is over, in whole billing-seconds, rounded down.

    Args:
        rate: what it cost each second, see `per_second`.
        seconds: from its start to its end. RawUsage counts on while a job is suspended (measured
            with Slurm 22.05: 54 s of which 54 were suspended counted as 54).
    """
    return int(rate * seconds)


def rounded(exact: Fraction) -> int:
    """Return a cost in whole billing-seconds: the nearest, half of one is a whole."""
    return int((exact + Fraction(1, 2)) // 1)
