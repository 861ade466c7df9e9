"""kill -9 of a pass in which grants start, end, carry over, and stay for jobs that run."""

import time
from pathlib import Path

import pytest

from bank.operations.bank import utc_text
from tests.crash.steps import worth_killing
from tests.crash.world import World, check_books, check_slurm, killed_at_each, make_world
from tests.lab import Lab

COMMIT = "COMMIT"
# From when the grants are made until they are due: each takes a command.
SECONDS = 12
# The state of each grant with dates, before the pass and after it.
BEFORE = {
    "carries": ["in force"],
    "ends": ["in force"],
    "follows": ["in force", "promised"],
    "keeps": ["in force"],
    "starts": ["promised"],
}
AFTER = {
    "carries": ["over", "in force"],
    "ends": ["over"],
    "follows": ["over", "in force"],
    "keeps": ["ending"],
    "starts": ["in force"],
}
HELD_BEFORE, HELD_AFTER = {"starts"}, {"ends"}


def states(world: World) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, state in world.query(
        "SELECT name, state FROM allocation_grant JOIN account USING (account_id)"
        " WHERE is_dated = 1 ORDER BY name, allocation_grant.grant_id"
    ):
        found.setdefault(name, []).append(state)
    return found


def essence(world: World) -> str:
    """Return what is on record and in Slurm, without times, and what a job has used."""
    return repr(
        [
            states(world),
            world.query(
                "SELECT name, granted, used, entry_count, change_count FROM account"
                " WHERE name <> 'keeps' ORDER BY name"
            ),
            world.query(
                "SELECT account, intent, confirmed_at IS NULL FROM slurm_limit ORDER BY account"
            ),
            world.limits(),
        ]
    )


class Stage:
    """Brings accounts to where the grants of each of them are due, again and again."""

    def __init__(self, world: World) -> None:
        self.world = world
        lab = world.lab
        lab.make_accounts(["carries", "ends", "follows", "starts"])
        lab.make_account("keeps", users=["lab-ada"])
        due_at = (int(time.time()) + SECONDS) * 1_000_000
        due = utc_text(due_at)
        world.do("insert", "starts", "0")
        for name, start, end in (
            ("starts", due, "2099-01-01"),
            ("ends", "2020-01-01", due),
            ("carries", "2020-01-01", due),
            ("follows", "2020-01-01", due),
            ("follows", due, "2099-01-01"),
            ("keeps", "2020-01-01", due),
        ):
            world.do(
                *("grant", name, "50", "--start", start, "--end", end),
                *("--carry", "50" if name == "carries" else "0"),
            )
        job = lab.submit("keeps", partition="normal", command="sleep 600", minutes=15)
        lab.wait_for_state(job, {"RUNNING"})
        world.do("enforce")
        assert time.time() * 1_000_000 < due_at, "the machine is too slow for this test"
        assert states(world) == BEFORE
        self.template = world.files()
        lab.wait_for(lambda: time.time() * 1_000_000 > due_at, "the grants to be due")

    def set(self) -> None:
        self.world.put_back(self.template)
        shown = self.world.limits()
        for name in BEFORE:
            wanted = 0 if name in HELD_BEFORE else None
            if shown[name] != wanted:
                self.world.set_limit(name, -1 if wanted is None else wanted)


@pytest.mark.timeout(400)
def test_pass_that_turns_grants_over_killed_anywhere_is_healed_by_the_next(
    lab: Lab, tmp_path: Path
) -> None:
    world = make_world(lab, tmp_path)
    stage = Stage(world)
    stage.set()
    whole = world.do("enforce")
    assert states(world) == AFTER
    wanted = essence(world)
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for _ in killed_at_each(world, ["enforce"], points, stage.set):
        state = essence(world)
        if state not in healed:
            assert world.run("enforce").status == 0
            check_books(world)
            check_slurm(world, lambda _: None)
            assert essence(world) == wanted
            healed.add(state)
    print(f"enforce: killed at {len(points)} moments, {len(healed)} healed")
    assert len(points) > 40
    assert len(healed) > 3
