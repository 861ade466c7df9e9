"""Prices by date: what weights and factors were in force when a run began, and what it costs.

Slurm keeps no earlier ones, so each look writes down what it sees; a run is priced with what was
seen last before it began. Weights that changed between two looks show in sacct's whole number.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

from bank.policy import prices

# Slurm computes with floating-point numbers: a billing of 5 may be one of 4.9999 and be cut to 4.
HAIR = Fraction(1, 1_000_000)

PARTITION, QOS, MAX_TRES = "partition", "qos", "max_tres"
# What a price rests on.
BY_WEIGHTS = "weights"
BY_LATER_WEIGHTS = "weights seen next"
BY_EARLIER_WEIGHTS = "weights seen before"
BY_BILLING = "billing"
NO_TIME = "no time"

Weights = Mapping[str, Fraction]
Value = TypeVar("Value")
# Since when something was seen so, in UTC microseconds, and what; oldest first.
Versions = Sequence[tuple[int, Value]]


class Tariffs(NamedTuple):
    """What prices on one cluster rest on, by date.

    Attributes:
        weights: TRESBillingWeights, by partition.
        factors: UsageFactor, by QOS.
        max_tres: whether PriorityFlags has MAX_TRES.
    """

    weights: Mapping[str, Versions[Weights]]
    factors: Mapping[str, Versions[Fraction]]
    max_tres: Versions[bool]


class Price(NamedTuple):
    """What a run costs each second, and what that rests on.

    Attributes:
        billing: its billing TRES.
        factor: UsageFactor of its QOS.
        priced_by: BY_WEIGHTS in force when it began, those of a look nearby, or BY_BILLING, the
            whole number that sacct shows.
    """

    billing: Fraction
    factor: Fraction
    priced_by: str


class Unpriced(NamedTuple):
    """Why nobody knows what a run costs, for people."""

    why: str


def price(
    tariffs: Tariffs,
    allocated: Mapping[str, Fraction],
    *,
    partition: str,
    qos: str,
    began_at: int,
) -> Price | Unpriced:
    """Return what a run costs each second.

    Args:
        tariffs: of its cluster.
        allocated: its AllocTRES, with sacct's whole "billing"; that is absent where it is below 1,
            and that is not 0.
        partition: "" where slurmdbd was never told of its start.
        qos: likewise not known then.
        began_at: UTC microseconds.
    """
    # Of a run whose start was never told the QOS is not known: any may have been its.
    names = [qos] if partition else list(tariffs.factors)
    known = [tariffs.factors[name] for name in names if name in tariffs.factors]
    factors = {in_force(versions, began_at) for versions in known}
    if len(factors) != 1:
        whose = f"QOS {qos}" if partition else "its QOS, which slurmdbd was never told,"
        return Unpriced(f"the UsageFactor of {whose} is not known")
    factor = factors.pop()
    whole = allocated.get("billing")
    # Of a run that was requeued before slurmdbd was told of its start all partitions that its job
    # may run in are listed: what sacct shows is then of one of them.
    listed = [_by_weights(tariffs, one, allocated, began_at) for one in partition.split(",")]
    found = [one for one in listed if one is not None]
    if len({billing for billing, _ in found}) == 1:
        billing, priced_by = found[0]
        return Price(billing, factor, priced_by)
    if whole is not None:
        return Price(whole, factor, BY_BILLING)
    if partition in tariffs.weights:
        weights = in_force(tariffs.weights[partition], began_at)
        max_tres = in_force(tariffs.max_tres, began_at)
        return Price(prices.billing(allocated, weights, max_tres=max_tres), factor, BY_WEIGHTS)
    where = f"partition {partition}" if partition else "its partition, which slurmdbd was not told,"
    return Unpriced(f"the weights of {where} are not known, and sacct shows no billing")


def _by_weights(
    tariffs: Tariffs, partition: str, allocated: Mapping[str, Fraction], began_at: int
) -> tuple[Fraction, str] | None:
    """Return the billing by the likeliest weights with which sacct's whole number agrees.

    Returns:
        It, and which weights those are; None where there are none.
    """
    whole = allocated.get("billing") or 0
    for when, priced_by in _instants(tariffs, partition, began_at):
        weights = in_force(tariffs.weights[partition], when)
        max_tres = in_force(tariffs.max_tres, when)
        billing = prices.billing(allocated, weights, max_tres=max_tres)
        if int(billing - HAIR) <= whole <= int(billing + HAIR):
            return billing, priced_by
    return None


def in_force(versions: Versions[Value], at: int) -> Value:
    """Return what was seen last before an instant, or first where that was later."""
    return next((value for seen_at, value in reversed(versions) if seen_at <= at), versions[0][1])


def _instants(tariffs: Tariffs, partition: str, began_at: int) -> list[tuple[int, str]]:
    """Return when what a run may be priced with was in force, the likeliest first.

    What was changed before it began may have been seen only after that; what a change that was seen
    before it began has not reached yet counts as it was.
    """
    if partition not in tariffs.weights:
        return []
    seen = [at for at, _ in (*tariffs.weights[partition], *tariffs.max_tres)]
    later = [at for at in seen if at > began_at]
    earlier = [at for at in seen if at <= began_at]
    found = [(began_at, BY_WEIGHTS)]
    if later:
        found.append((min(later), BY_LATER_WEIGHTS))
    if earlier:
        found.append((max(earlier) - 1, BY_EARLIER_WEIGHTS))
    return found


def weights_text(weights: Weights) -> str:
    """Write weights as they stand on record: exact, "cpu=1,mem=1/4096"."""
    return ",".join(f"{name}={weight}" for name, weight in sorted(weights.items()))


def read_weights(text: str) -> dict[str, Fraction]:
    """Read what `weights_text` wrote."""
    pairs = (part.rsplit("=", 1) for part in text.split(",") if part)
    return {name: Fraction(weight) for name, weight in pairs}
