"""Files from before what happened since make no SUs out of nothing. On a model of Slurm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from freezegun import freeze_time

from bank.operations import applying, dumps, movements, upkeep
from bank.operations.bank import Bank
from bank.operations.differences import Plan, plan_import, plan_repopulate
from bank.operations.enforcement import enforce
from bank.operations.movements import Command
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
