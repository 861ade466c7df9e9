"""What a job is billed: figures that were seen on a real cluster."""

from fractions import Fraction

import pytest

from bank.policy.prices import billing
from bank.slurm.tres import quantities, weights


@pytest.mark.parametrize(
    ("alloc_tres", "weights_text", "max_tres", "billed"),
    [
        ("billing=4,cpu=4,mem=4G,node=1", "CPU=1.0", False, Fraction(4)),
        ("billing=1,cpu=3,mem=3G,node=1", "CPU=0.5", False, Fraction(3, 2)),
        ("cpu=1,mem=1G,node=1", "CPU=0.5", False, Fraction(1, 2)),
        # RawUsage was 111 for 60 s where sacct's billing said 1.
        ("billing=1,cpu=1,mem=3500M,node=1", "CPU=1.0,Mem=0.25G", False, 1 + Fraction(3500, 4096)),
        ("cpu=3,mem=3G", "CPU=0.5,Mem=0.25G", False, Fraction(9, 4)),
        ("cpu=1,gres/gpu=2,mem=1G", "CPU=1.0,GRES/gpu=1.0", False, Fraction(3)),
        ("cpu=2,gres/gpu=2,mem=8G", "CPU=1.0,Mem=0.25G,GRES/gpu=5.0", True, Fraction(10)),
        ("cpu=2,license/x=3", "CPU=1.0,license/x=2", True, Fraction(8)),
        ("cpu=64,mem=100G", "", False, Fraction(64)),
        ("", "CPU=1.0", False, Fraction(0)),
    ],
)
def test_billing(alloc_tres: str, weights_text: str, max_tres: bool, billed: Fraction) -> None:
    found = billing(quantities(alloc_tres), weights(weights_text), max_tres=max_tres)
    assert found == billed
