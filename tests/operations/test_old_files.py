"""Files from before what happened since make no SUs out of nothing. On a model of Slurm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from freezegun import freeze_time

from bank.errors import InputError
from bank.operations import applying, dumps, movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import Plan, plan_import, plan_repopulate
from bank.operations.enforcement import enforce
from bank.store import read
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

HELD = {"GrpTRESMins=cpu": 0}
VERBS = ("repopulate_json", "import_csv")


@pytest.fixture
def old_day() -> Iterator[None]:
    """Let it be the first day of 2026 until a test says otherwise."""
    with freeze_time("2026-01-01T12:00:00"):
        yield


def written(bank: Bank, verb: str, directory: Path) -> str:
    path = str(directory / "old")
    (dumps.export_csv if verb == "import_csv" else dumps.dump_json)(bank, path)
    return path


def compared(bank: Bank, verb: str, path: str) -> Plan:
    if verb == "import_csv":
        return plan_import(bank, path, reason="")
    return plan_repopulate(bank, verb, path, reason="")


def standing(bank: Bank, name: str = "proj") -> read.Standing:
    with reading(bank.database) as reader:
        found = read.standing(reader, name)
    assert found is not None
    return found


@pytest.mark.usefixtures("old_day")
@pytest.mark.parametrize("verb", VERBS)
def test_a_file_from_before_the_present_period_forgives_nothing(
    bank: Bank, fake: FakeSlurm, tmp_path: Path, verb: str
) -> None:
    settings = bank.settings._replace(check_dates=True, on_end="renew")
    bank = bank._replace(settings=settings, warn=print)
    association = fake.add_user("proj")
    insert(bank, "proj", 100)
    path = written(bank, verb, tmp_path)
    with freeze_time("2027-01-02T12:00:00"):
        enforce(bank)
    with freeze_time("2027-03-02T12:00:00"):
        fake.use(association, 100 * SU)
        enforce(bank)
        assert fake.limits["proj"] == HELD
        for _ in range(2):
            plan = compared(bank, verb, path)
            assert plan.differences == []
            assert "(ON_END): proj" in plan.notes[-1]
            applying.apply(bank, plan, dry_run=False)
        # What else the file says is done.
        movements.add(bank, Command("add", "proj", SU))
        applying.apply(bank, compared(bank, verb, path), dry_run=False)
        found = standing(bank)
    assert (found.limit, found.used, found.account.period_started_on) == (
        100 * SU, 100 * SU, "2027-01-02",
    )  # fmt: skip
    assert fake.limits["proj"] == HELD
    assert upkeep.verify(bank) == []


@pytest.mark.usefixtures("old_day")
@pytest.mark.parametrize("verb", VERBS)
def test_a_first_day_that_is_not_over_is_taken_from_the_file(
    bank: Bank, tmp_path: Path, verb: str
) -> None:
    bank = bank._replace(settings=bank.settings._replace(check_dates=True, on_end="renew"))
    insert(bank, "proj", 100)
    path = written(bank, verb, tmp_path)
    with freeze_time("2026-12-01T12:00:00"):
        movements.reset_usage(bank, Command("reset_usage", "proj"))
        applying.apply(bank, compared(bank, verb, path), dry_run=False)
        assert standing(bank).account.period_started_on == "2026-01-01"


@pytest.mark.parametrize("verb", VERBS)
def test_who_would_be_held_is_said_first(
    bank: Bank, fake: FakeSlurm, tmp_path: Path, verb: str
) -> None:
    association = fake.add_user("proj")
    insert(bank, "proj", 10)
    insert(bank, "dept", 10)
    insert(bank, "test1", 0)
    path = written(bank, verb, tmp_path)
    movements.modify(bank, Command("modify", "dept", 100 * SU))
    movements.modify(bank, Command("modify", "proj", 100 * SU))
    movements.modify(bank, Command("modify", "test1", SU))
    fake.use(association, 10 * SU)
    enforce(bank)
    # dept is above proj, and has used the same.
    note = "with nothing left, and so held: dept, proj, test1"
    assert note in compared(bank, verb, path).notes
    applying.apply(bank, compared(bank, verb, path), dry_run=False)
    assert {name for name, limits in fake.limits.items() if limits} == {"dept", "proj", "test1"}
    # Who has nothing left anyhow is not named.
    movements.modify(bank, Command("modify", "proj", 9 * SU))
    assert not any("nothing left" in note for note in compared(bank, verb, path).notes)


def test_a_dump_from_before_a_top_up_says_what_it_does_not_know(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "proj", 10)
    path = written(bank, "repopulate_json", tmp_path)
    assert not any("ON_TOP_UP" in note for note in compared(bank, "repopulate_json", path).notes)
    resetting = bank._replace(settings=bank.settings._replace(on_top_up="reset"))
    assert any("ON_TOP_UP" in note for note in compared(resetting, "repopulate_json", path).notes)


def test_a_rehearsal_is_refused_where_what_was_there_could_not_be_kept(
    bank: Bank, tmp_path: Path
) -> None:
    insert(bank, "proj", 10)
    path = written(bank, "repopulate_json", tmp_path)
    gone = bank._replace(
        settings=bank.settings._replace(database_backup_json=f"{tmp_path}/gone/last.json")
    )
    # Nothing to change, nothing to keep.
    assert compared(gone, "repopulate_json", path).differences == []
    movements.add(bank, Command("add", "proj", SU))
    with pytest.raises(InputError, match=f"files cannot be made in {tmp_path}/gone"):
        compared(gone, "repopulate_json", path)
    (tmp_path / "gone").mkdir()
    assert compared(gone, "repopulate_json", path).differences != []
