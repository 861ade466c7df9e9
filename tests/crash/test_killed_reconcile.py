"""kill -9 between any two steps of what charges jobs: repeated, each run is charged once."""

from pathlib import Path
from typing import Any

import pytest

from tests.crash.steps import worth_killing
from tests.crash.test_together import run_tasks, statuses, together
from tests.crash.world import World, check_books, killed_at_each, left_behind, make_world
from tests.lab import Lab

ACCOUNTS = ("jora", "jobel")
RUNS = 4


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> World:
    """A bank that charges by jobs, and four runs that were not charged yet."""
    lab.make_accounts(ACCOUNTS, users=["lab-ada"])
    world = make_world(lab, tmp_path, USAGE_SOURCE="jobs")
    for account in ACCOUNTS:
        world.do("insert", account, "1000")
    run_tasks(lab, "jobel", 1)
    run_tasks(lab, "jora", 3)
    return world


def essence(world: World) -> dict[str, Any]:
    """Return what is on record of charges, without times and numbers."""
    return {
        "entries": world.query(
            "SELECT name, kind, reference, amount FROM entry JOIN account USING (account_id)"
            " WHERE target = 'used' ORDER BY name, reference"
        ),
        "charges": world.query(
            "SELECT job_index, revision, amount FROM job_charge ORDER BY job_index, revision"
        ),
        "used": world.query("SELECT name, used FROM account ORDER BY name"),
        "source": world.query("SELECT name, source FROM cluster"),
        "sources": world.query("SELECT seq, source FROM usage_source ORDER BY seq"),
        "set_aside": world.query("SELECT sum(running) FROM place"),
    }


def heals(world: World, command: list[str], template: dict[Path, bytes]) -> None:
    """Kill a command at each moment; the same command again does what is left."""
    whole = world.do(*command)
    wanted = essence(world)
    # Those of an earlier test in accounts of these names are still known to slurmdbd.
    assert len(wanted["charges"]) == len(wanted["entries"]) >= RUNS
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for _, ended in killed_at_each(world, command, points, lambda: world.put_back(template)):
        ended.wait_for_left()
        state = left_behind(world)
        if state in healed:
            continue
        healed.add(state)
        again = world.run(*command)
        assert again.status == 0, again
        check_books(world)
        assert essence(world) == wanted
    print(f"{command}: killed at {len(points)} moments, {len(healed)} healed")
    assert len(points) > 10
    assert len(healed) > 2


def test_a_reconcile_killed_anywhere_charges_each_run_once(world: World) -> None:
    heals(world, ["reconcile"], world.files())


def test_a_pass_killed_anywhere_charges_each_run_once(world: World) -> None:
    heals(world, ["enforce"], world.files())


def test_a_change_over_killed_anywhere_is_done_by_the_next(world: World) -> None:
    settings = world.settings.read_text()
    world.settings.write_text(settings.replace("'jobs'", "'meters'"))
    heals(world, ["change_source"], world.files())


def test_four_reconciles_at_once_charge_each_run_once(world: World) -> None:
    ended = together(world, *([["reconcile"]] * 4), at_start=True)
    assert statuses(ended) == {0: 4}, [one.err for one in ended]
    found = essence(world)
    assert len(found["charges"]) == len(found["entries"]) >= RUNS
    check_books(world)
