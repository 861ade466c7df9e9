"""scontrol show config: Slurm's configuration, as the controller runs it."""

import re
from typing import NamedTuple

from bank.errors import OutputNotUnderstood
from bank.slurm import spans
from bank.slurm.clusters import on

# The last thing it prints: without it, what is missing may only have been cut off.
_CONFIG_END = re.compile(r"^Slurmctld\(primary\) at .* is (?:UP|DOWN)$", re.MULTILINE)
_CONFIG_LINE = re.compile(r"(\w+)\s*= ?(.*)")


class Config(NamedTuple):
    """What the bank needs to know of slurm.conf as the controller runs it.

    Attributes:
        cluster: ClusterName.
        started: BOOT_TIME as printed; another value means another controller process.
        priority_type, decay_half_life, usage_reset_period: as printed.
        calc_period_seconds: how often the use of running jobs is counted.
        enforce: the parts of AccountingStorageEnforce.
        max_tres: whether PriorityFlags has MAX_TRES, which changes what a job costs.
    """

    cluster: str
    started: str
    priority_type: str
    decay_half_life: str
    usage_reset_period: str
    calc_period_seconds: int
    enforce: frozenset[str]
    max_tres: bool


def release_arguments(cluster: str | None, job_id: int) -> list[str]:
    """Build the command that lets a held job go; `cluster` None is the local one."""
    return ["scontrol", *on(cluster), "release", str(job_id)]


def start_now_arguments(cluster: str | None, job_id: int) -> list[str]:
    """Build the command that lets a requeued job start at once; `cluster` None is the local one.

    The controller does not look at a requeued job for two minutes, because nodes may still know its
    last run; of one that its prolog sent back no node was ever told (Slurm 22.05).
    """
    return ["scontrol", *on(cluster), "update", f"jobid={job_id}", "starttime=now"]


def config_arguments(cluster: str | None) -> list[str]:
    """Build the question for the configuration; `cluster` None is the local one."""
    return ["scontrol", *on(cluster), "show", "config"]


def read_config(output: str) -> Config:
    """Read `scontrol show config`.

    Raises:
        OutputNotUnderstood: a value that decisions rest on is missing.

    Source:
        scontrol(1), show config; slurm.conf(5) for the parameters.
    """
    values = config_values(output)
    try:
        return Config(
            cluster=values["ClusterName"],
            started=values["BOOT_TIME"],
            priority_type=values["PriorityType"],
            # Only the multifactor plugin prints what follows; without it the type alone is enough
            # to say that RawUsage is no meter.
            decay_half_life=values.get("PriorityDecayHalfLife", ""),
            usage_reset_period=values.get("PriorityUsageResetPeriod", ""),
            calc_period_seconds=spans.seconds(values.get("PriorityCalcPeriod", "00:05:00")),
            enforce=frozenset(values["AccountingStorageEnforce"].lower().split(",")),
            max_tres="MAX_TRES" in values.get("PriorityFlags", "").upper().split(","),
        )
    except KeyError as error:
        raise OutputNotUnderstood(f"scontrol show config does not say {error.args[0]}") from error


def config_values(output: str) -> dict[str, str]:
    """Return all that `scontrol show config` says, by name.

    Raises:
        OutputNotUnderstood: its end is missing.
    """
    if _CONFIG_END.search(output) is None:
        raise OutputNotUnderstood("scontrol show config does not end with the state of slurmctld")
    values: dict[str, str] = {}
    for line in output.splitlines():
        match = _CONFIG_LINE.fullmatch(line.rstrip())
        if match:
            values.setdefault(match.group(1), match.group(2).strip())
    return values
