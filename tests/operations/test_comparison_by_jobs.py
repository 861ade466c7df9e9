"""Charges of jobs beside sacct and beside the meters: each difference has its cause."""

from pathlib import Path
from typing import Any

import pytest

from bank.operations import comparison_with_slurm, job_refunds
from bank.operations.job_refunds import JobCommand
from bank.policy import reconciliation as because
from bank.store.connect import writing
from tests.fake_slurm import FakeSlurm
from tests.operations.test_reconcile import NOW, World


@pytest.fixture
def world(fake: FakeSlurm, tmp_path: Path) -> World:
    world = World(fake, tmp_path)
    world.bank = world.bank._replace(warn=print)
    world.open()
    return world


def compared(world: World) -> dict[str, Any]:
    """Return the one row that there is, a second later."""
    world.now += 10
    (row,) = comparison_with_slurm.compare(world.bank, None, None)["rows"]
    assert isinstance(row, dict)
    return row


def causes(parts: list[dict[str, Any]]) -> dict[str, int]:
    return {part["cause"]: part["amount_billing_seconds"] for part in parts}


def count(world: World, amount: int) -> None:
    """Let the meter count."""
    world.fake.use(next(iter(world.fake.users)), amount)


@pytest.mark.parametrize(
    ("given", "counted", "charge_because", "meter_because"),
    [
        ({"seconds": 100}, 100, {}, {}),
        ({"seconds": 100, "suspended": "00:00:40"}, 100, {}, {because.SUSPENDED: 40}),
        (
            {"seconds": 101, "partition": "half", "tres": "cpu=1"},
            50,
            {because.FRACTION: 50, because.ROUNDED: 1},
            {because.RUNNING: -1},
        ),
        ({"seconds": 100, "qos": "double"}, 200, {because.FACTOR: 100}, {}),
        ({"seconds": 100}, 0, {}, {because.LOST: -99, because.RUNNING: -1}),
        (
            {"seconds": 100, "qos": "gone"},
            100,
            {because.UNPRICED: -100},
            {because.UNPRICED: 99, because.RUNNING: 1},
        ),
    ],
)
def test_each_difference_has_its_cause(
    world: World,
    given: dict[str, Any],
    counted: int,
    charge_because: dict[str, int],
    meter_because: dict[str, int],
) -> None:
    world.ran(1, "17", **given)
    count(world, counted)
    world.now += 70
    world.look()
    row = compared(world)
    assert causes(row["causes"]) == charge_because
    assert row["booked_billing_seconds"] == world.used()
    assert row["meters_billing_seconds"] == counted
    assert causes(row["meters_causes"]) == meter_because


def test_what_a_counter_lost_is_said_of_it_alone(world: World) -> None:
    world.ran(1, "17", seconds=100, start=NOW - 200)
    count(world, 100)
    world.look()
    world.ran(2, "18", seconds=100, start=NOW + 100)
    world.fake.users[1000][3] = 0
    world.now += 1000
    world.look()
    row = compared(world)
    assert (row["booked_billing_seconds"], row["meters_billing_seconds"]) == (200, 100)
    assert causes(row["meters_causes"]) == {because.LOST: -100}


def test_a_run_that_is_not_charged_as_it_should_be_is_found(world: World) -> None:
    world.ran(1, "17", seconds=100)
    count(world, 100)
    world.look()
    world.ran(2, "18", seconds=50, start=world.now - 60)
    found = comparison_with_slurm.compare(world.bank, None, None)
    assert not found["agrees"]
    world.ran(2, "18", seconds=50, start=world.now)
    world.now += 60
    row = compared(world)
    assert causes(row["causes"]) == {because.NOT_YET: -50}
    world.ran(1, "17", seconds=40, start=NOW - 110)
    assert causes(compared(world)["causes"]) == {because.NOT_YET: -50, because.CHANGED: 60}


def test_refunds_and_runs_that_sacct_forgot_are_told_apart(world: World) -> None:
    world.ran(1, "17", seconds=100)
    world.ran(2, "18", seconds=50)
    count(world, 150)
    world.now += 70
    world.look()
    job_refunds.refund_job(world.bank, JobCommand("18"))
    del world.rows[1]
    world.fake.sacct = "".join(world.rows.values())
    row = compared(world)
    assert row["booked_billing_seconds"] == 100
    assert causes(row["causes"]) == {because.FORGOTTEN: 100, because.REFUNDED: -50}


def test_entries_that_are_not_what_the_row_says_are_unexplained(world: World) -> None:
    world.ran(1, "17", seconds=100)
    count(world, 100)
    world.now += 70
    world.look()
    with writing(world.bank.database) as writer:
        writer.execute("DROP TRIGGER entry_update_refused", [{}])
        writer.execute("UPDATE entry SET amount = 90 WHERE amount = 100", [{}])
    assert causes(compared(world)["causes"]) == {because.UNEXPLAINED: -10}


def test_what_ended_in_the_present_second_is_compared_too(world: World) -> None:
    world.ran(1, "17", seconds=100, start=NOW - 100)
    world.bank = world.bank._replace(clock=lambda: NOW * 1_000_000 + 500_000)
    world.look()
    (row,) = comparison_with_slurm.compare(world.bank, None, None)["rows"]
    assert row["booked_billing_seconds"] == 100
