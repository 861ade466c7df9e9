"""What the tests of operations share."""

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.operations.branch import Branch


@pytest.fixture
def branch(lab: Lab, tmp_path: Path) -> Branch:
    """A bank without accounts on the real cluster."""
    return Branch(lab, tmp_path)
