"""kill -9 of a pass that limits users, in both ways, and of the command that says how much."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.steps import worth_killing
from tests.crash.world import Limits, World, killed_at_each, make_world, set_fenced
from tests.lab import Lab

COMMIT = "COMMIT"
FREE: Limits = (None, None)
HELD: Limits = (0, None)
# A user's associations in the account, by user and partition: what each has when the pass begins,
# and must have when it is done. Nothing is used, so the limit of billing is what is left.
HAD: Limits = (400, 7777)
Shown = dict[tuple[str, str], Limits]
BEFORE: Shown = {
    ("raised", ""): (None, 6000),
    ("freed", ""): HELD,
    ("freed", "fast"): HELD,
    ("stopped", ""): (None, 6000),
    ("unlimited", ""): HELD,
    ("had", ""): HAD,
}
NATIVE: Shown = {
    ("raised", ""): (None, 12000),
    ("freed", ""): (None, 300),
    ("freed", "fast"): (None, 300),
    ("stopped", ""): HELD,
    ("unlimited", ""): FREE,
    ("had", ""): (400, 6000),
}
HOLDS: Shown = {
    **dict.fromkeys(BEFORE, FREE),
    ("stopped", ""): HELD,
    ("had", ""): HAD,
}


def limits(world: World) -> Shown:
    """Return what each association has, as the controller has it."""
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", "accounts=team")
    found: Shown = {}
    for line in world.lab.look(*question).splitlines():
        row = re.search(r" UserName=(\w+)\([0-9]+\) Partition=(\w*) .* GrpTRESMins=(\S+) ", line)
        if row:
            parts = dict(re.findall(r"(cpu|billing)=([0-9]+)\(", row.group(3)))
            cpu, billing = (int(parts[name]) if name in parts else None for name in _TRES)
            found[row.group(1), row.group(2)] = (cpu, billing)
    return found


_TRES = ("cpu", "billing")


def set_limits(world: World, wanted: Shown) -> None:
    set_fenced(world, wanted, limits, _modify)


def _modify(world: World, whose: Sequence[tuple[str, str]], values: Limits) -> None:
    cpu, billing = (-1 if value is None else value for value in values)
    for partition in {partition for _, partition in whose}:
        names = ",".join(user for user, one in whose if one == partition)
        where = (f"cluster={world.lab.cluster}", "account=team", f"name={names}")
        which = ("where", *where, f"partition={partition}")
        change = f"GrpTRESMins=cpu={cpu},billing={billing}"
        world.lab.run("sacctmgr", "-i", "modify", "user", *which, "set", change)


def records(world: World) -> list[tuple[object, ...]]:
    return world.query(
        "SELECT user_name, partition_name, limit_name, original, intent, value, replaced,"
        " confirmed_at IS NULL FROM slurm_limit ORDER BY user_name, partition_name"
    )


def restart(world: World, template: dict[Path, bytes], start: Shown) -> None:
    world.put_back(template)
    set_limits(world, start)


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> World:
    """Users of whom each wants something else of the next pass."""
    lab.make_account("team", users=sorted({user for user, _ in BEFORE}))
    where = ("account=team", f"cluster={lab.cluster}")
    lab.run("sacctmgr", "-i", "add", "user", "freed", *where, "partition=fast")
    world = make_world(lab, tmp_path, ENFORCEMENT="limit")
    world.do("insert", "team", "1000")
    lab.wait_for(lambda: limits(world).keys() == BEFORE.keys(), "all associations")
    for user, su in (("raised", "100"), ("stopped", "100"), ("freed", "0"), ("unlimited", "0")):
        world.do("limit_user", "team", user, su)
    set_limits(world, BEFORE)
    # What was written and not brought to Slurm, because it was killed then.
    for line in ("raised 200", "freed 5", "stopped 0", "unlimited -1", "had 100"):
        assert world.run("limit_user", "team", *line.split(), at=COMMIT).status is None
    return world


@pytest.mark.parametrize("way", ["limit", "hold"])
def test_pass_killed_anywhere_is_healed_by_the_next(world: World, way: str) -> None:
    template = world.files()
    settings = world.settings.read_text()
    start, done = BEFORE, NATIVE
    if way == "hold":
        # From native limits back to holds: nothing is left behind but the one hold.
        world.do("enforce")
        template = world.files()
        world.settings.write_text(settings.replace("'limit'", "'hold'"))
        start, done = NATIVE, HOLDS
    restart(world, template, start)
    whole = world.do("enforce")
    assert limits(world) == done
    wanted = records(world)
    points = worth_killing(whole.trace)
    healed: set[str] = set()

    def begin() -> None:
        restart(world, template, start)

    for point, ended in killed_at_each(world, ["enforce"], points, begin):
        ended.wait_for_left()
        state = repr((records(world), limits(world)))
        if state not in healed:
            again = world.run("enforce")
            # Nothing that the bank set itself is taken for a change or a stop by others.
            said = (again.status, again.err, "by others" in again.out)
            assert said == (0, "", False), again
            assert limits(world) == done, point
            assert records(world) == wanted, point
            assert COMMIT not in world.do("enforce").trace
            healed.add(state)
    print(f"enforce: killed at {len(points)} moments, {len(healed)} healed")
    assert len(healed) > 3


def test_command_killed_anywhere_is_done_or_not_begun(world: World) -> None:
    world.do("enforce")
    # Of several associations it would say how much they may overrun.
    world.do("limit_user", "team", "freed", "-1")
    template = world.files()
    before = {**NATIVE, ("freed", ""): FREE, ("freed", "fast"): FREE}
    after = {**before, ("raised", ""): HELD}
    argv = ("limit_user", "team", "raised", "0", "--key=k1")
    whole = world.do(*argv)
    assert limits(world) == after

    def begin() -> None:
        restart(world, template, before)

    for point, ended in killed_at_each(world, argv, worth_killing(whole.trace), begin):
        ended.wait_for_left()
        is_done = world.query("SELECT amount FROM user_limit WHERE user_name = 'raised'") == [(0,)]
        assert world.query("SELECT count(*) FROM request") == [(int(is_done),)]
        world.do("enforce")
        assert limits(world) == (after if is_done else before), point
        # Said again, with the same key.
        world.do(*argv)
        assert limits(world) == after, point
