"""The command as a function: arguments in, status and both outputs out."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import slurm_bank
from bank.cli.main import run
from tests.fake_slurm import FakeSlurm, take_over


class Done(NamedTuple):
    """What a command gave back."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A model of Slurm with two accounts."""
    fake = take_over(monkeypatch)
    fake.add_account("test1")
    fake.add_account("test2")
    return fake


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file with its database and log in an empty directory."""
    path = tmp_path / "settings.py"
    path.write_text(f"DATABASE = '{tmp_path}/bank.db'\nLOGFILE = '{tmp_path}/bank.log'\n")
    path.chmod(0o600)
    monkeypatch.setenv("SLURM_BANK_SETTINGS", str(path))
    return path


@pytest.fixture
def command(fake: FakeSlurm, settings: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run one command of a bank that has a database."""
    del fake
    assert os.environ["SLURM_BANK_SETTINGS"] == str(settings)

    def call(*argv: str) -> Done:
        status = run(slurm_bank.__doc__ or "", argv)
        out, err = capfd.readouterr()
        return Done(status, out, err)

    assert call("migrate").status == 0
    return call
