"""Whether a cluster lets the bank work: RawUsage must be a meter, and holds must hold."""

from collections.abc import Set as AbstractSet

_NO_TIME = {"00:00:00", "0-00:00:00"}


def obstacles(
    *,
    priority_type: str,
    decay_half_life: str,
    usage_reset_period: str,
    enforce: AbstractSet[str],
    allow_hold_without_safe: bool,
) -> list[str]:
    """Return why the bank must not read meters or set holds; nothing means it may.

    Args:
        priority_type: as `scontrol show config` prints it.
        decay_half_life: likewise.
        usage_reset_period: likewise.
        enforce: the parts of AccountingStorageEnforce, in lower case.
        allow_hold_without_safe: whether the site accepts that a hold ends running jobs.

    Source:
        slurm.conf(5): PriorityType, PriorityDecayHalfLife, PriorityUsageResetPeriod,
        AccountingStorageEnforce.
    """
    found = []
    if priority_type != "priority/multifactor":
        found.append(f"PriorityType={priority_type}: RawUsage moves with priority/multifactor only")
    else:
        if decay_half_life not in _NO_TIME:
            found.append(
                f"PriorityDecayHalfLife={decay_half_life}: RawUsage decays and is no meter; set 0"
            )
        if usage_reset_period != "NONE":
            found.append(
                f"PriorityUsageResetPeriod={usage_reset_period}: Slurm sets RawUsage back; set NONE"
            )
    if "limits" not in enforce and "safe" not in enforce:
        found.append("AccountingStorageEnforce has no 'limits': a hold has no effect")
    elif "safe" not in enforce and not allow_hold_without_safe:
        found.append(
            "AccountingStorageEnforce has no 'safe': a hold ends running jobs; add it, or set"
            " ALLOW_HOLD_WITHOUT_SAFE = True"
        )
    return found
