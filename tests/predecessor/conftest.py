"""A bank on a model of Slurm, as operations and as the command: both on one database."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bank.errors import SlurmError
from tests.cli.conftest import Command, command, settings
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import bank, fake
from tests.predecessor.programs import Programs

__all__ = ["bank", "command", "fake", "settings"]

SU = 3600
HELD = {"GrpTRESMins=cpu": 0}


@pytest.fixture
def tmp_path(public_directory: Path) -> Path:
    """Where everything is, for a command that somebody else runs."""
    return public_directory


def open_to_all(settings: Path) -> None:
    """Let everybody read the settings and the database."""
    settings.chmod(0o644)
    for database in settings.parent.rglob("bank.db"):
        database.chmod(0o644)


@pytest.fixture
def log(settings: Path) -> Callable[[], list[dict[str, Any]]]:
    """Return the lines of the log."""
    return lambda: [
        json.loads(line) for line in (settings.parent / "bank.log").read_text().splitlines()
    ]


@pytest.fixture
def sbank(tmp_path: Path) -> Callable[[str], tuple[Any, ...] | None]:
    """Return limit, date and the three flags of an account, as other programs read them."""

    def row(account: str) -> tuple[Any, ...] | None:
        connection = sqlite3.connect(f"file:{tmp_path}/bank.db?mode=ro", uri=True)
        try:
            found: tuple[Any, ...] | None = connection.execute(
                "SELECT su_limit_hrs, date, upper_limit_informed, lower_limit_informed,"
                " max_limit_informed FROM sbank WHERE account = ?",
                [account],
            ).fetchone()
        finally:
            connection.close()
        return found

    return row


@pytest.fixture
def is_refused(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Say whether Slurm refuses every change."""
    real = fake._modify

    def refuse(names: list[str], change: str) -> str:
        raise SlurmError(f"sacctmgr ended with status 1: {names} cannot be set to {change}")

    def switch(is_on: bool) -> None:
        monkeypatch.setattr(fake, "_modify", refuse if is_on else real)

    return switch


@pytest.fixture
def programs(command: Command, fake: FakeSlurm, settings: Path) -> Programs:
    """Programs in Slurm's place, for a bank that has a database; test1 has 10 SUs."""
    assert command("insert", "test1", "10").status == 0
    return Programs(fake, settings)
