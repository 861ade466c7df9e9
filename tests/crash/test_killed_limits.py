"""kill -9 of a pass that gives accounts native limits, changes them, and takes them back."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.steps import worth_killing
from tests.crash.world import Limits, World, killed_at_each, make_world, set_fenced
from tests.lab import Lab

COMMIT = "COMMIT"
ORIGINAL = 7777
FREE: Limits = (None, None)
HELD: Limits = (0, None)
# What each account has when the pass begins, and what it must have when it is done. Nothing is
# used, so the limit of billing is what is left, in minutes.
BEFORE: dict[str, Limits] = {
    "kept": (None, 6000),
    "raised": (None, 6000),
    "freed": HELD,
    "stopped": (None, 6000),
    "fresh": FREE,
    "had": (None, ORIGINAL),
}
AFTER: dict[str, Limits] = {
    "kept": (None, 6000),
    "raised": (None, 12000),
    "freed": (None, 300),
    "stopped": HELD,
    "fresh": (None, 6000),
    "had": (None, 6000),
}
ORIGINALS: dict[str, Limits] = {
    **dict.fromkeys(BEFORE, FREE),
    "had": (None, ORIGINAL),
    "stopped": HELD,
}


def limits(world: World) -> dict[str, Limits]:
    """Return what each account has, as the controller has it."""
    text = world.lab.look("sshare", "-n", "-P", "-o", "Account,User,GrpTRESMins")
    found: dict[str, Limits] = {}
    for line in text.splitlines():
        account, user, shown = line.rsplit("|", 2)
        parts = {name: int(value) for name, value in re.findall(r"(cpu|billing)=([0-9]+)", shown)}
        if not user and account.strip() in BEFORE:
            found[account.strip()] = (parts.get("cpu"), parts.get("billing"))
    return found


def set_limits(world: World, wanted: dict[str, Limits]) -> None:
    set_fenced(world, wanted, limits, _modify)


def _modify(world: World, names: Sequence[str], values: Limits) -> None:
    cpu, billing = (-1 if value is None else value for value in values)
    where = ("where", f"account={','.join(names)}", f"cluster={world.lab.cluster}")
    change = f"GrpTRESMins=cpu={cpu},billing={billing}"
    world.lab.run("sacctmgr", "-i", "modify", "account", *where, "set", change)


def records(world: World) -> list[tuple[object, ...]]:
    return world.query(
        "SELECT account, limit_name, original, intent, value, replaced, confirmed_at IS NULL"
        " FROM slurm_limit ORDER BY account"
    )


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> World:
    """Accounts of which each wants something else of the next pass."""
    lab.make_accounts(list(BEFORE))
    world = make_world(lab, tmp_path, ENFORCEMENT="limit")
    for name in ("kept", "raised", "stopped"):
        world.do("insert", name, "100")
    world.do("insert", "freed", "0")
    set_limits(world, BEFORE)
    # What was written and not brought to Slurm, because it was killed then.
    for line in ("add raised 100", "add freed 5", "modify stopped 0", "insert fresh 100"):
        assert world.run(*line.split(), at=COMMIT).status is None
    assert world.run("insert", "had", "100", at=COMMIT).status is None
    return world


@pytest.mark.parametrize("way", ["limit", "hold"])
def test_pass_killed_anywhere_is_healed_by_the_next(world: World, way: str) -> None:
    template = world.files()
    settings = world.settings.read_text()
    start, done, mine = BEFORE, AFTER, sorted(AFTER)
    if way == "hold":
        # From native limits back to holds: nothing is left behind but the one hold.
        world.do("enforce")
        template = world.files()
        world.settings.write_text(settings.replace("'limit'", "'hold'"))
        start, done, mine = AFTER, ORIGINALS, ["stopped"]

    def restart() -> None:
        world.put_back(template)
        set_limits(world, start)

    restart()
    whole = world.do("enforce")
    assert limits(world) == done
    wanted = records(world)
    assert [record[0] for record in wanted] == mine
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for point, ended in killed_at_each(world, ["enforce"], points, restart):
        ended.wait_for_left()
        state = repr((records(world), limits(world)))
        if state not in healed:
            again = world.run("enforce")
            # Nothing that the bank set itself is taken for a change or a stop by others.
            assert (again.status, again.err, "others" in again.out) == (0, "", False), again
            assert limits(world) == done, point
            assert records(world) == wanted, point
            assert COMMIT not in world.do("enforce").trace
            healed.add(state)
    print(f"enforce: killed at {len(points)} moments, {len(healed)} healed")
    assert len(healed) > 3
