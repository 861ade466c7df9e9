"""Backups that are put back over sound, damaged and lost databases. On a model of Slurm."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bank.errors import StoreError
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.settings import Settings
from bank.store import copies
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert


def add(bank: Bank, name: str, su: int) -> None:
    movements.add(bank, Command("add", name, su * SU))


@pytest.fixture
def backup(bank: Bank, fake: FakeSlurm, tmp_path: Path) -> str:
    """A backup of a bank in which test1 is held, in place of a limit of 500."""
    fake.limits["test1"]["GrpTRESMins=cpu"] = 500
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, 10 * SU)
    enforce(bank)
    path = str(tmp_path / "backup")
    upkeep.backup(bank, path)
    return path


def lose(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)


def spoil(path: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'entry'"
        ).fetchone()
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def spoil_first_page(path: str) -> None:
    Path(path).write_bytes(b"\xff" * 8192)


@pytest.mark.parametrize("misfortune", [lose, spoil, spoil_first_page])
def test_a_damaged_or_lost_database_is_replaced(
    bank: Bank, fake: FakeSlurm, backup: str, misfortune: object
) -> None:
    assert callable(misfortune)
    path = bank.settings.database
    misfortune(path)
    done = upkeep.restore(bank, backup, dry_run=False)
    assert upkeep.verify(bank) == []
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640  # noqa: PTH116
    kept = done["kept"]
    assert kept is None if misfortune is lose else os.path.exists(kept)  # noqa: PTH110
    add(bank, "test1", 90)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 500}


def test_a_backup_put_into_a_new_database_brings_its_holds(
    bank: Bank, fake: FakeSlurm, backup: str
) -> None:
    lose(bank.settings.database)
    upkeep.migrate(bank, dry_run=False)
    upkeep.restore(bank, backup, dry_run=False)
    add(bank, "test1", 90)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 500}


def test_an_interrupted_restore_leaves_books_that_agree_with_the_log(
    bank: Bank, backup: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = bank._replace(settings=bank.settings._replace(logfile=str(tmp_path / "log")))
    add(bank, "test1", 1)
    kept = upkeep.restore(bank, backup, dry_run=False)["kept"]
    add(bank, "test1", 2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(copies, "_replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upkeep.restore(bank, kept, dry_run=False)
    assert upkeep.verify(bank) == []


def test_a_chain_of_changes_cut_off_after_a_restore_is_found(
    bank: Bank, backup: str, tmp_path: Path
) -> None:
    bank = bank._replace(settings=bank.settings._replace(logfile=str(tmp_path / "log")))
    upkeep.restore(bank, backup, dry_run=False)
    with closing(sqlite3.connect(bank.settings.database)) as database, database:
        ((trigger, sql),) = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE name = 'account_change_delete_refused'"
        )
        database.execute(f"DROP TRIGGER {trigger}")
        database.execute(
            "DELETE FROM account_change WHERE seq = (SELECT max(seq) FROM account_change)"
        )
        database.execute(
            "UPDATE account SET change_count = change_count - 1, change_digest ="
            " (SELECT digest FROM account_change ORDER BY seq DESC LIMIT 1)"
        )
        database.execute(sql)
    assert any("was logged with another digest" in line for line in upkeep.verify(bank))


def test_what_a_site_has_added_to_the_database_is_no_obstacle(bank: Bank, backup: str) -> None:
    del backup
    with closing(sqlite3.connect(bank.settings.database)) as database, database:
        database.execute("CREATE VIEW rich AS SELECT * FROM sbank WHERE su_limit_hrs > 5")
    path = f"{bank.settings.database}.monday"
    upkeep.backup(bank, path)
    upkeep.restore(bank, path, dry_run=False)
    with closing(sqlite3.connect(bank.settings.database)) as database:
        assert database.execute("SELECT account FROM rich").fetchall() == [("test1",)]


def test_the_accounts_table_may_be_named_almost_like_sqlites_own(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    del fake
    settings = Settings(str(tmp_path / "bank.db"), db_table_name="sqlitebank")
    bank = Bank(settings, "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    insert(bank, "test1", 10)
    path = str(tmp_path / "backup")
    upkeep.backup(bank, path)
    add(bank, "test1", 5)
    upkeep.restore(bank, path, dry_run=False)
    assert upkeep.verify(bank) == []


def test_a_copy_that_cannot_be_made_leaves_nothing(
    bank: Bank, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def full(_: object, path: str) -> None:
        modes.append(stat.S_IMODE(os.stat(path).st_mode))  # noqa: PTH116
        raise StoreError(f"no space left on the disk of {path}")

    monkeypatch.setattr(copies, "_copy", full)
    with pytest.raises(StoreError, match="no space"):
        upkeep.restore(bank, backup, dry_run=False)
    assert modes == [0o600]
    assert not list(Path(bank.settings.database).parent.glob("*.part-*"))
