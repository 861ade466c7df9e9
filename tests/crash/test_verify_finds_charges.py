"""verify finds what was changed behind the bank's back of what jobs were charged."""

from pathlib import Path

import pytest

from bank.operations import upkeep
from bank.store.connect import writing
from tests.fake_slurm import FakeSlurm, take_over
from tests.operations.test_reconcile import NOW, World


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = take_over(monkeypatch)
    for name, parent in (("test1", "root"), ("dept", "root"), ("proj", "dept")):
        fake.add_account(name, parent)
    return fake


@pytest.fixture
def world(fake: FakeSlurm, tmp_path: Path) -> World:
    """Books with a run that was charged, one that was changed since, one that has no price."""
    world = World(fake, tmp_path)
    world.bank = world.bank._replace(warn=print)
    world.open()
    world.ran(1, "17", seconds=100)
    world.ran(2, "18", seconds=100, start=NOW - 1000)
    world.ran(3, "19", seconds=100, qos="gone")
    world.look()
    world.ran(2, "18", seconds=300, start=NOW - 1000)
    world.look()
    assert world.agrees()
    return world


@pytest.mark.parametrize(
    ("forgery", "told"),
    [
        ("UPDATE job_charge SET amount = 99 WHERE job_index = 1", "its price and time make 100"),
        ("UPDATE job_charge SET amount = 101 WHERE job_index = 1", "its entries 100"),
        ("UPDATE job_charge SET seconds = 99 WHERE job_index = 1", "its price and time make 99"),
        ("UPDATE job_charge SET seconds = 101 WHERE job_index = 1", "it had its size for 100"),
        ("UPDATE job_charge SET billing = '2' WHERE job_index = 1", "its price and time make 200"),
        ("UPDATE job_charge SET usage_factor = 'x' WHERE job_index = 1", "its price is no price"),
        ("UPDATE job_charge SET amount = 5 WHERE job_index = 3", "has no price, and is charged 5"),
        ("UPDATE job_charge SET job_index = 9 WHERE job_index = 1", "no row says so"),
        ("DELETE FROM job_charge WHERE job_index = 1", "100 billing-seconds are charged, no row"),
        ("DELETE FROM job_charge WHERE job_index = 2 AND revision = 1", "and there are 1"),
        ("DELETE FROM job_charge WHERE job_index = 2 AND revision = 2", "its entries 300"),
        ("UPDATE entry SET reference = 'job fake/7' WHERE reference = 'job fake/1'", "no row says"),
        ("UPDATE reading SET booked = 1", "where jobs charge a meter books nothing"),
    ],
)
def test_each_forgery_is_found(world: World, forgery: str, told: str) -> None:
    world.fake.use(1000, 500)
    world.look()
    with writing(world.bank.database) as writer:
        for (name,) in writer.query("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            writer.execute(f"DROP TRIGGER {name}", [{}])
        writer.execute(forgery, [{}])
    found = [line for line in upkeep.verify(world.bank) if "what refuses to" not in line]
    assert any(told in line for line in found), found


def test_each_trigger_of_what_jobs_are_charged_is_missed(world: World) -> None:
    with writing(world.bank.database) as writer:
        for table in ("job_charge", "tariff", "usage_source", "changeover_job"):
            writer.execute(f"DROP TRIGGER {table}_delete_refused", [{}])
    assert len(upkeep.verify(world.bank)) == 4
