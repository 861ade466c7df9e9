"""Refunds where jobs charge: exactly what a job was charged, each run once."""

from pathlib import Path
from typing import Any

import pytest

from bank.errors import Refusal
from bank.operations import job_refunds, movements, outage_refunds
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.job_refunds import JobCommand
from bank.operations.outage_refunds import Outage
from bank.operations.source_changes import change_source
from tests.fake_slurm import HALF, FakeSlurm
from tests.operations.jobs import utc
from tests.operations.test_reconcile import NOW, World


@pytest.fixture
def world(fake: FakeSlurm, tmp_path: Path) -> World:
    world = World(fake, tmp_path)
    world.open()
    return world


def refund(world: World, job: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return job_refunds.refund_job(world.bank, JobCommand(job, **more))


def test_what_a_job_was_charged_is_given_back_whatever_it_would_cost_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ran(1, "17", partition="half", tres="cpu=1,node=1", seconds=7)
    world.ran(2, "18", partition="half", tres="cpu=1,node=1", seconds=100)
    world.look()
    dearer = HALF.replace("CPU=0.5", "CPU=0.7")
    monkeypatch.setattr("tests.fake_slurm.HALF", dearer)
    rehearsed = refund(world, "17", dry_run=True)
    done = refund(world, "17")
    assert done["refund_billing_seconds"] == rehearsed["refund_billing_seconds"] == 4
    with pytest.raises(Refusal) as again:
        refund(world, "17")
    assert again.value.code == "already_refunded"
    assert world.used() == 50
    assert world.agrees()


def test_a_job_that_was_not_charged_yet_is_charged_and_given_back(world: World) -> None:
    world.look()
    world.ran(1, "17", seconds=10)
    assert refund(world, "17", dry_run=True)["refund_billing_seconds"] == 10
    assert world.query("SELECT count(*) FROM job_charge") == [(0,)]
    assert refund(world, "17")["refund_billing_seconds"] == 10
    assert world.look().counts == {"same": 1}
    assert world.used() == 0
    assert world.agrees()


def test_what_slurmdbd_says_after_a_refund_is_not_taken_off_twice(world: World) -> None:
    world.ran(1, "17", seconds=1000, start=NOW - 3000)
    world.ran(2, "18", seconds=2000, start=NOW - 3000)
    refund(world, "17")
    world.ran(1, "17", seconds=400, start=NOW - 3000)
    world.look()
    assert world.used() == 2000
    world.ran(1, "17", seconds=1600, start=NOW - 3000)
    world.look()
    assert world.used() == 2600
    assert world.agrees()


def test_what_a_period_that_is_over_has_settled_is_not_given_back(world: World) -> None:
    world.ran(1, "17")
    world.look()
    movements.reset_usage(world.bank, Command("reset_usage", "proj"))
    with pytest.raises(Refusal) as refusal:
        refund(world, "17")
    assert refusal.value.code == "not_used_now"


def test_an_outage_gives_back_what_the_jobs_it_hit_were_charged(world: World) -> None:
    world.ran(1, "17", seconds=100)
    world.ran(2, "18", seconds=200, qos="double")
    world.ran(3, "19", seconds=300, qos="gone")
    world.bank = world.bank._replace(warn=print)
    outage = Outage(utc(NOW - 1000), utc(NOW))
    plan = outage_refunds.plan_refunds(world.bank, outage, dry_run=False)
    done = outage_refunds.refund(world.bank, plan, dry_run=False)
    given = {one["job"]: (one["refund_billing_seconds"], one["code"]) for one in done["runs"]}
    assert given == {"17": (100, None), "18": (400, None), "19": (0, "cost_unknown")}
    assert world.used() == 0
    assert world.agrees()


def test_what_was_given_back_of_a_job_that_meters_counted_is_not_charged_by_its_job(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    world = World(fake, tmp_path, usage_source="meters")
    world.open()
    world.ran(1, "17", seconds=3000, start=NOW - 3100)
    fake.use(next(iter(fake.users)), 3000)
    enforce(world.bank)
    assert refund(world, "17")["refund_billing_seconds"] == 3000
    settings = world.bank.settings._replace(usage_source="jobs")
    world.bank = world.bank._replace(settings=settings)
    world.now += 5
    change_source(world.bank, pytest.fail)
    world.look()
    # And once slurmdbd says something else of it.
    world.ran(1, "17", seconds=3050, start=NOW - 3100)
    world.look()
    assert world.used() == 0
    assert world.agrees()
