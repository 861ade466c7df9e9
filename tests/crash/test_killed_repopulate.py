"""kill -9 in what takes accounts from files and puts them there: the old state or the new one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from bank.policy.dumps import json_text
from tests.crash.steps import worth_killing
from tests.crash.world import World, check_books, check_slurm, left_behind, make_world
from tests.lab import Lab

DAY = "2022-04-08"
NAMES = ("gone", "held", "less", "more", "new")
# What each is to have; "gone" is not in the files.
WANTED = {"held": 0, "less": 4, "more": 70, "new": 5}


# Grants with dates that there are before, and that the file of these gives.
SPAN, LATER = ("2020-01-01", "2100-01-01"), ("2090-01-01", "2100-01-01")
DATED = {"less": (8, SPAN), "more": (4, LATER), "gone": (1, SPAN)}
WANTED_DATED = {"less": (3, SPAN), "more": (9, LATER), "new": (6, SPAN)}


def rows(world: World) -> list[tuple[Any, ...]]:
    """Return the accounts table; the numbers of its rows do not matter here."""
    return world.query("SELECT account, su_limit_hrs, date FROM sbank ORDER BY account")


def dated(world: World) -> list[tuple[Any, ...]]:
    """Return what each grant with dates has, or is promised, in SUs."""
    return world.query(
        "SELECT name, max(allocation_grant.granted, promised) / 3600, carry_percent"
        " FROM allocation_grant JOIN account USING (account_id)"
        " WHERE is_dated = 1 AND state <> 'over' ORDER BY name"
    )


def dump_of(directory: Path) -> Path:
    path = directory / "dump.json"
    wanted = enumerate(WANTED.items(), start=1)
    path.write_text(
        json_text((number, name, su, DAY, False, False, False) for number, (name, su) in wanted)
    )
    return path


def grants_of(directory: Path) -> Path:
    path = directory / "grants.csv"
    lines = [f"{name},{su},{DAY},allocation,\n" for name, su in WANTED.items()]
    path.write_text("account,su,start,kind,reason\n" + "".join(lines))
    return path


def grants_with_dates_of(directory: Path) -> Path:
    path = grants_of(directory)
    text = path.read_text().replace("reason\n", "reason,end,carry\n").replace(",\n", ",,,\n")
    lines = [
        f"{name},{su},{start},call,,{end},20\n" for name, (su, (start, end)) in WANTED_DATED.items()
    ]
    path.write_text(text + "".join(lines))
    return path


def put_back(world: World, files: dict[Path, bytes]) -> None:
    """Let all be as it was before anything was applied."""
    for path in world.directory.glob("kept*"):
        path.unlink()
    world.put_back(files)
    if world.limits()["held"] is not None:
        world.set_limit("held", -1)


@pytest.mark.parametrize(
    ("verb", "write", "has_dates"),
    [
        ("repopulate_json", dump_of, False),
        ("import_csv", grants_of, False),
        ("import_csv", grants_with_dates_of, True),
    ],
)
def test_a_file_that_is_applied_and_killed_leaves_the_old_or_the_new(
    lab: Lab,
    tmp_path: Path,
    verb: str,
    write: Any,  # noqa: ANN401
    has_dates: bool,
) -> None:
    lab.make_accounts(NAMES)
    world = make_world(lab, tmp_path, DATABASE_BACKUP_JSON=str(tmp_path / "kept.json"))
    for name in NAMES[:-1]:
        world.do("insert", name, "10")
    for name, (su, (start, end)) in DATED.items() if has_dates else ():
        world.do("grant", name, str(su), "--start", start, "--end", end, "--kind", "call")
    old = rows(world), dated(world)
    before = world.files()
    argv = (verb, str(write(tmp_path)), "--yes")
    whole = world.do(*argv)
    new = rows(world), dated(world)
    in_force = {name: su for name, (su, span) in WANTED_DATED.items() if has_dates and span == SPAN}
    limits = {name: su + in_force.get(name, 0) for name, su in WANTED.items()}
    assert [row[:2] for row in new[0] if row[0] != "gone"] == list(limits.items())
    wanted_dated = {"gone": (1, 0), **{name: (su, 20) for name, (su, _) in WANTED_DATED.items()}}
    assert new[1] == [(name, *has) for name, has in wanted_dated.items() if has_dates]
    healed: set[str] = set()
    seen = set()
    points = worth_killing(whole.trace)
    for point in points:
        put_back(world, before)
        ended = world.run(*argv, at=point)
        assert ended.status is None, ended
        check_books(world)
        state = rows(world), dated(world)
        assert state in (old, new), (point, ended.trace[-3:])
        seen.add(state == new)
        # A change of Slurm that goes on without it may come at any time.
        if not ended.trace[-1].startswith("running"):
            left = left_behind(world)
            if left in healed:
                continue
            healed.add(left)
        # What was kept is whole, or not there.
        for kept in tmp_path.glob("bank.db.before-repopulate-*"):
            if ".part-" not in kept.name:
                world.do("restore", str(kept), "--dry-run")
        # Nothing that the killed one left is in the way of the next.
        world.do(*argv)
        if state == new:
            world.do("enforce")
        assert (rows(world), dated(world)) == new
        check_books(world)
        check_slurm(world, lambda _: None)
        ended.wait_for_left()
    print(
        f"{verb}: killed at {len(points)} moments in {len(whole.trace)} steps, {len(healed)} healed"
    )
    assert seen == {True, False}
    assert len(healed) > 3
    assert len(points) > 15


@pytest.mark.parametrize("verb", ["dump_json", "dump_csv", "export_csv"])
def test_a_dump_that_is_killed_leaves_a_whole_file_or_none(
    lab: Lab, tmp_path: Path, verb: str
) -> None:
    lab.make_accounts(["dumped"])
    world = make_world(lab, tmp_path)
    world.do("insert", "dumped", "10")
    whole = world.do(verb, str(tmp_path / "whole"))
    points = worth_killing(whole.trace)
    seen = set()
    for point in points:
        path = tmp_path / f"dump{point}"
        ended = world.run(verb, str(path), at=point)
        assert ended.status is None, ended
        seen.add(path.exists())
        if path.exists():
            assert path.read_bytes() == (tmp_path / "whole").read_bytes()
            if verb != "export_csv":
                # It never stands there without its checksum.
                check = ["sha256sum", "--strict", "-c", f"{path}.sha256"]
                subprocess.run(check, cwd=tmp_path, check=True, capture_output=True)
            continue
        beside = Path(f"{path}.sha256")
        if beside.exists():
            refused = world.run(verb, str(path))
            assert f"{beside} is there already without {path}" in refused.err
            beside.unlink()
        world.do(verb, str(path))
    print(f"{verb}: killed at {len(points)} moments in {len(whole.trace)} steps")
    assert seen == {True, False}
    assert len(points) >= 8
