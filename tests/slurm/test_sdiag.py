"""What waits in the controller for slurmdbd, as sdiag says it."""

import pytest

from bank.errors import OutputNotUnderstood
from bank.slurm import sdiag

# Slurm 22.05.
PRINTED = """\
*******************************************************
sdiag output at Sat Nov 21 05:16:22 2026 (1795238182)
*******************************************************
Server thread count:  1
Agent queue size:     3
Agent count:          0
Agent thread count:   0
DBD Agent queue size: 17

Jobs submitted: 1
"""


def test_the_queue_to_slurmdbd_is_read_and_not_the_other_one() -> None:
    assert sdiag.read_waiting(PRINTED) == 17


def test_an_answer_without_it_is_an_error() -> None:
    with pytest.raises(OutputNotUnderstood):
        sdiag.read_waiting("Agent queue size: 0\n")


def test_another_cluster_is_named() -> None:
    assert sdiag.arguments(None) == ["sdiag"]
    assert sdiag.arguments("other") == ["sdiag", "-M", "other"]
