"""The log, which several banks may write: each proves itself by its own lines."""

import json
from pathlib import Path

import pytest

from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from tests.operations.conftest import SU, insert


@pytest.fixture
def bank(bank: Bank, tmp_path: Path) -> Bank:
    """A bank with "test1", and a log."""
    bank = bank._replace(settings=bank.settings._replace(logfile=str(tmp_path / "log")))
    insert(bank, "test1", 100)
    return bank


@pytest.fixture
def other(bank: Bank, tmp_path: Path) -> Bank:
    """Another bank with the same account, and the same log."""
    other = bank._replace(settings=bank.settings._replace(database=str(tmp_path / "other.db")))
    upkeep.migrate(other, dry_run=False)
    insert(other, "test1", 7)
    movements.add(other, Command("add", "test1", 7 * SU))
    return other


def cut_off(bank: Bank) -> None:
    """Put the database of a bank back to when nothing was in it, as SQLite alone would."""
    path = Path(bank.settings.database)
    path.unlink()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    silent = bank._replace(settings=bank.settings._replace(logfile=""))
    upkeep.migrate(silent, dry_run=False)
    insert(silent, "test1", 100)


def test_banks_that_share_a_log_agree_each_with_its_own_lines(bank: Bank, other: Bank) -> None:
    assert upkeep.verify(bank) == []
    assert upkeep.verify(other) == []
    cut_off(bank)
    (problem, *_) = upkeep.verify(bank)
    assert "was logged with another digest" in problem
    assert upkeep.verify(other) == []


def test_a_backup_that_is_put_back_into_another_bank_hides_nothing(
    bank: Bank, other: Bank, tmp_path: Path
) -> None:
    path = str(tmp_path / "backup")
    upkeep.backup(other, path)
    upkeep.restore(other, path, dry_run=False)
    cut_off(bank)
    assert any("was logged with another digest" in one for one in upkeep.verify(bank))


def test_lines_of_older_versions_are_compared_as_before(bank: Bank) -> None:
    log = Path(bank.settings.logfile)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line.pop("database") for line in lines} == {bank.settings.database}
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert upkeep.verify(bank) == []
    cut_off(bank)
    assert any("was logged with another digest" in one for one in upkeep.verify(bank))


def test_a_database_has_one_name_whatever_it_is_called(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(bank.settings.database)
    called = bank._replace(settings=bank.settings._replace(database=str(tmp_path / "link.db")))
    movements.add(called, Command("add", "test1", SU))
    lines = Path(bank.settings.logfile).read_text().splitlines()
    assert {json.loads(line)["database"] for line in lines} == {bank.settings.database}
