"""kill -9 in what works on the database file as a whole: migrate, backup, restore."""

from pathlib import Path

from bank.store.migrations import NEWEST
from tests.crash.steps import worth_killing
from tests.crash.world import World, check_books, make_world
from tests.lab import Lab


def test_migrate_killed_anywhere_is_done_by_the_next(lab: Lab, tmp_path: Path) -> None:
    world = make_world(lab, tmp_path)

    world.put_back({})
    whole = world.do("migrate")
    points = worth_killing(whole.trace)
    for point in points:
        world.put_back({})
        ended = world.run("migrate", at=point)
        assert ended.status is None, ended
        # Half a database is not taken for one.
        assert world.run("list").status in (0, 78), (point, ended)
        world.do("migrate")
        check_books(world)
        assert world.query("SELECT max(version) FROM schema_version") == [(NEWEST,)]
    print(f"migrate: killed at {len(points)} moments in {len(whole.trace)} steps")
    assert len(points) > 15


def _filled(lab: Lab, directory: Path) -> World:
    lab.make_accounts(["copied", "copied2"])
    world = make_world(lab, directory)
    world.do("insert", "copied", "10")
    world.do("add", "copied", "5")
    return world


def test_backup_killed_anywhere_leaves_a_whole_file_or_none(lab: Lab, tmp_path: Path) -> None:
    world = _filled(lab, tmp_path)
    whole = world.do("backup", str(tmp_path / "whole"))
    points = worth_killing(whole.trace)
    for point in points:
        path = tmp_path / f"copy{point}"
        ended = world.run("backup", str(path), at=point)
        assert ended.status is None, ended
        check_books(world)
        if path.exists():
            world.do("restore", str(path), "--dry-run")
        else:
            # A repeat is not in the way of what the killed one left.
            world.do("backup", str(path))
    print(f"backup: killed at {len(points)} moments in {len(whole.trace)} steps")
    assert any(step.startswith("copied up to") for step in whole.trace)


def test_restore_killed_anywhere_leaves_the_old_or_the_new(lab: Lab, tmp_path: Path) -> None:
    world = _filled(lab, tmp_path)
    copy = tmp_path / "copy"
    world.do("backup", str(copy))
    world.do("add", "copied", "100")
    world.do("insert", "copied2", "7")
    before = world.files()
    whole = world.do("restore", str(copy), "--yes")
    points = worth_killing(whole.trace)
    seen = set()
    for point in points:
        world.put_back(before)
        ended = world.run("restore", str(copy), "--yes", at=point)
        assert ended.status is None, ended
        check_books(world)
        granted = world.query("SELECT name, granted / 3600 FROM account ORDER BY name")
        assert granted in ([("copied", 15)], [("copied", 115), ("copied2", 7)])
        seen.add(len(granted))
        # Whatever was there can still be had.
        world.do("restore", str(copy), "--yes")
        check_books(world)
        assert world.query("SELECT name, granted / 3600 FROM account") == [("copied", 15)]
        assert world.do("add", "copied", "1").out
        check_books(world)
    print(f"restore: killed at {len(points)} moments in {len(whole.trace)} steps")
    assert seen == {1, 2}
    assert len(points) > 5
