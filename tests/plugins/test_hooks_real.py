"""The hooks on a real cluster: what the bank says is what Slurm does."""

import pytest

from tests.lab import CommandFailed
from tests.plugins.hooked import Hooked


def refusal(hooked: Hooked, *options: str, minutes: int = 10) -> str:
    with pytest.raises(CommandFailed) as caught:
        hooked.sbatch("test1", *options, minutes=minutes)
    return caught.value.stderr


def test_job_that_cannot_be_paid_for_is_refused_with_the_numbers(hooked: Hooked) -> None:
    text = refusal(hooked, "-n4", minutes=60 * 60)
    assert "this job may cost up to 240.0 SUs; account test1 has 100.0 available" in text
    assert "(100 granted, 0 used)" in text
    assert hooked.sbatch("test1", "-n4", minutes=25 * 60) > 0
    assert hooked.liens() == [] or hooked.liens()[0].placed_by == "start"
