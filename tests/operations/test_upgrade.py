"""A database of the bank's first schema: brought up to date, or put back from a backup."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bank.errors import Refusal, SettingsError
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.settings import Settings
from bank.store.migrations import NEWEST
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

RECORDED = Path(__file__).parents[1] / "store" / "recorded" / "schema-1.sql"
LIMIT = "GrpTRESMins=cpu"


def make_first_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(RECORDED.read_text(encoding="utf-8"))


def schema(path: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT max(version) FROM schema_version").fetchone()[0])


@pytest.fixture
def slurm(fake: FakeSlurm) -> FakeSlurm:
    """Slurm as it was when the database was recorded."""
    fake.use(fake.add_user("test1"), 10 * SU)
    fake.use(fake.add_user("proj"), 5 * SU + 7)
    fake.limits["test1"][LIMIT] = fake.limits["proj"][LIMIT] = 0
    return fake


@pytest.fixture
def first(slurm: FakeSlurm, tmp_path: Path) -> Bank:
    """A bank whose database is of the first schema."""
    del slurm
    make_first_schema(tmp_path / "bank.db")
    return Bank(Settings(str(tmp_path / "bank.db"), logfile=str(tmp_path / "log")), "ada", print)


def agrees(bank: Bank, fake: FakeSlurm) -> None:
    assert schema(bank.settings.database) == NEWEST
    assert upkeep.verify(bank) == []
    (done,) = enforce(bank)
    assert (done.charged, done.held, done.held_by_others) == (0, ["proj", "test1"], [])
    movements.add(bank, Command("add", "test1", 90 * SU))
    # What was there before the hold is known still.
    assert fake.limits["test1"] == {LIMIT: 500}
    assert upkeep.verify(bank) == []


def test_is_brought_up_to_date_after_a_copy_of_it(first: Bank, slurm: FakeSlurm) -> None:
    with pytest.raises(SettingsError, match="run 'slurm_bank.py migrate'"):
        upkeep.verify(first)
    rehearsed = upkeep.migrate(first, dry_run=True)
    assert (rehearsed["from"], rehearsed["to"], rehearsed["kept"]) == (1, NEWEST, None)
    done = upkeep.migrate(first, dry_run=False)
    assert (done["from"], done["to"]) == (1, NEWEST)
    assert schema(done["kept"]) == 1
    agrees(first, slurm)
    assert upkeep.migrate(first, dry_run=False)["kept"] is None


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_backup_of_it_is_put_back(
    first: Bank, slurm: FakeSlurm, tmp_path: Path, *, is_lost: bool
) -> None:
    backup = tmp_path / "monday"
    make_first_schema(backup)
    content = backup.read_bytes()
    if is_lost:
        Path(first.settings.database).unlink()
    else:
        upkeep.migrate(first, dry_run=False)
        movements.add(first, Command("add", "dept", 500 * SU))
    assert upkeep.restore(first, str(backup), dry_run=True)["is_dry_run"]
    done = upkeep.restore(first, str(backup), dry_run=False)
    assert (done["kept"] is None) == is_lost
    assert backup.read_bytes() == content
    agrees(first, slurm)
    assert not list(tmp_path.glob("*.part-*"))


def test_a_backup_of_it_that_does_not_agree_with_itself_is_refused(
    bank: Bank, tmp_path: Path
) -> None:
    insert(bank, "test1", 10)
    backup = tmp_path / "monday"
    make_first_schema(backup)
    with closing(sqlite3.connect(backup)) as database, database:
        database.execute("UPDATE account SET granted = granted + 1 WHERE name = 'dept'")
    with pytest.raises(Refusal, match="monday does not agree with itself"):
        upkeep.restore(bank, str(backup), dry_run=False)
    assert upkeep.verify(bank) == []


def test_nothing_is_put_over_a_database_that_is_not_up_to_date(first: Bank, tmp_path: Path) -> None:
    backup = tmp_path / "monday"
    make_first_schema(backup)
    before = Path(first.settings.database).read_bytes()
    with pytest.raises(SettingsError, match="run 'slurm_bank.py migrate'"):
        upkeep.restore(first, str(backup), dry_run=False)
    assert Path(first.settings.database).read_bytes() == before
    assert not list(tmp_path.glob("*.before-restore-*"))


def test_nor_is_a_backup_of_the_newest_schema(first: Bank, bank: Bank, tmp_path: Path) -> None:
    # The fixture `bank` has brought the first schema up to date, at the same path.
    backup = tmp_path / "tuesday"
    upkeep.backup(bank, str(backup))
    Path(first.settings.database).unlink()
    for log in tmp_path.glob("bank.db-*"):
        log.unlink()
    make_first_schema(tmp_path / "bank.db")
    before = Path(first.settings.database).read_bytes()
    with pytest.raises(SettingsError, match="run 'slurm_bank.py migrate'"):
        upkeep.restore(first, str(backup), dry_run=False)
    assert Path(first.settings.database).read_bytes() == before
    assert not list(tmp_path.glob("*.before-restore-*"))


def test_a_newer_one_is_neither_migrated_nor_put_back(bank: Bank, tmp_path: Path) -> None:
    backup = tmp_path / "monday"
    upkeep.backup(bank, str(backup))
    for path in (backup, Path(bank.settings.database)):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(
                "INSERT INTO schema_version VALUES (?, 'later', 0, '9')", (NEWEST + 1,)
            )
    with pytest.raises(SettingsError, match="newer program"):
        upkeep.restore(bank, str(backup), dry_run=False)
    with pytest.raises(SettingsError, match="newer program"):
        upkeep.migrate(bank, dry_run=False)
    assert not list(tmp_path.glob("*.schema-*"))
