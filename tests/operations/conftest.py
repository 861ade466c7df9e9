"""What the tests of operations share."""

from pathlib import Path

import pytest

from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.settings import Settings
from tests.fake_slurm import FakeSlurm, take_over
from tests.lab import Lab
from tests.operations.branch import Branch

SU = 3600


def insert(bank: Bank, name: str, su: int) -> None:
    """Open an account with so many SUs."""
    movements.insert(bank, Command("insert", name, su * SU))


@pytest.fixture
def branch(lab: Lab, tmp_path: Path) -> Branch:
    """A bank without accounts on the real cluster."""
    return Branch(lab, tmp_path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A model of Slurm with "test1", and "proj" below "dept"."""
    fake = take_over(monkeypatch)
    fake.add_account("test1")
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    return fake


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    """A bank without accounts on the model, that must warn of nothing."""
    del fake
    bank = Bank(Settings(str(tmp_path / "bank.db")), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    return bank


@pytest.fixture
def proj(bank: Bank, fake: FakeSlurm) -> int:
    """The only meter of "proj"; it and "dept" above it have 100 SUs each, nothing is used."""
    association = fake.add_user("proj")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return association
