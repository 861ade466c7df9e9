"""sacctmgr show qos: what each QOS multiplies use by, and how long it lets jobs run."""

from fractions import Fraction

from bank.errors import OutputNotUnderstood
from bank.policy.cluster_shape import Qos
from bank.slurm import spans

_FIELDS = "Name,UsageFactor,MaxWall,Flags"
_LIFTS_TIME_LIMIT = "PartitionTimeLimit"


def arguments() -> list[str]:
    """Build the question for every QOS."""
    return ["sacctmgr", "-n", "-P", "show", "qos", f"format={_FIELDS}"]


def read(output: str) -> dict[str, Qos]:
    """Read every QOS, by name.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for, or there is none.

    Source:
        sacctmgr(1), show qos: UsageFactor, MaxWall, Flags.
    """
    found = {}
    for line in output.splitlines():
        name, *rest = line.split("|")
        try:
            factor, wall, flags = rest
            found[name] = Qos(
                name=name,
                factor=Fraction(factor),
                max_minutes=spans.minutes(wall) if wall else None,
                lifts_time_limit=_LIFTS_TIME_LIMIT in flags.split(","),
            )
        except ValueError as error:
            raise OutputNotUnderstood(f"sacctmgr show qos printed {line[:200]!r}") from error
    if not found:
        raise OutputNotUnderstood("sacctmgr show qos printed nothing")
    return found
