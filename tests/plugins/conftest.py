"""What the tests of hooks share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.operations.branch import Branch
from tests.plugins.hooked import Hooked


@pytest.fixture
def hooked(lab: Lab, public_directory: Path) -> Iterator[Hooked]:
    """A bank charging by jobs, its service, and a controller with all hooks in force."""
    branch = Branch(
        lab,
        public_directory,
        usage_source="jobs",
        hooks="enforce",
        # Tests share two cores: what is measured is measured elsewhere.
        hook_wait_ms=1000,
        service_socket=str(public_directory / "bank.sock"),
        spool=str(public_directory / "spool"),
    )
    branch.open("test1", 100)
    hooked = Hooked(lab, branch, public_directory)
    try:
        hooked.serve()
        hooked.install()
        yield hooked
    finally:
        hooked.stop()
        for path in hooked.etc.glob("*slurm_bank*"):
            path.unlink()
        for path in hooked.etc.glob("job_submit*.lua"):
            path.unlink()
