"""What in slurm.conf stops the bank, and that each reason is named."""

import pytest

from bank.policy.configuration import obstacles

GOOD = {
    "priority_type": "priority/multifactor",
    "decay_half_life": "00:00:00",
    "usage_reset_period": "NONE",
    "enforce": frozenset({"associations", "limits", "qos", "safe"}),
    "allow_hold_without_safe": False,
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"decay_half_life": "0-00:00:00"}, None),
        ({"decay_half_life": "01:00:00"}, "PriorityDecayHalfLife=01:00:00"),
        ({"decay_half_life": "7-00:00:00"}, "PriorityDecayHalfLife"),
        ({"decay_half_life": ""}, "PriorityDecayHalfLife"),
        ({"usage_reset_period": "MONTHLY"}, "PriorityUsageResetPeriod=MONTHLY"),
        ({"priority_type": "priority/basic"}, "PriorityType=priority/basic"),
        ({"enforce": frozenset({"associations"})}, "'limits'"),
        ({"enforce": frozenset({"none"})}, "'limits'"),
        ({"enforce": frozenset({"associations", "limits"})}, "'safe'"),
        ({"enforce": frozenset({"limits"}), "allow_hold_without_safe": True}, None),
        # Source: slurm.conf(5): safe sets limits and associations too.
        ({"enforce": frozenset({"safe"})}, None),
    ],
)
def test_obstacles(changes: dict[str, object], named: str | None) -> None:
    found = obstacles(**{**GOOD, **changes})  # type: ignore[arg-type]
    assert len(found) == (0 if named is None else 1)
    if named is not None:
        assert named in found[0]
