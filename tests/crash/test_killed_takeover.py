"""kill -9 in what takes the predecessor's database over, or brings an older schema up to date."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bank.store.migrations import NEWEST
from tests.crash.steps import worth_killing
from tests.crash.world import World, check_books, left_behind, make_world
from tests.lab import Lab
from tests.predecessor.old_file import make_old_database, old_row, read_rows

ROWS = [
    old_row(2, "copied", 10, upper_limit_informed=1),
    old_row(5, "Stopped", 0, max_limit_informed=1),
    old_row(6, "left", 7),
    old_row(7, "left", 8),
]
CHOSEN = ("migrate", "--choose", "7")
FIRST_SCHEMA = Path(__file__).parents[1] / "store" / "recorded" / "schema-1.sql"


def tables(world: World) -> list[str]:
    return [str(name) for (name,) in world.query("SELECT name FROM sqlite_master ORDER BY name")]


def kept_files(directory: Path) -> list[Path]:
    """Return the copies of the predecessor's database that stand there as whole ones."""
    found = directory.glob("bank.db.predecessor-*")
    return [path for path in found if ".part-" not in path.name]


def test_takeover_killed_anywhere_leaves_the_old_or_the_new(lab: Lab, tmp_path: Path) -> None:
    lab.make_accounts(["copied", "stopped"])
    world = make_world(lab, tmp_path)
    world.set_limit("stopped", 0)

    def begin() -> None:
        world.put_back({})
        make_old_database(world.database, ROWS)

    begin()
    whole = world.do(*CHOSEN)
    points = worth_killing(whole.trace)
    seen = set()
    healed: set[str] = set()
    for point in points:
        begin()
        before = read_rows(world.database)
        ended = world.run(*CHOSEN, at=point)
        assert ended.status is None, ended
        is_old = "schema_version" not in tables(world)
        seen.add(is_old)
        if is_old:
            assert tables(world) == ["sbank"]
            assert read_rows(world.database) == before
        kept = kept_files(tmp_path)
        assert kept or is_old
        assert all(read_rows(path) == before for path in kept)
        left = left_behind(world)
        if left in healed:
            continue
        healed.add(left)
        if is_old:
            assert "was taken over" in world.do(*CHOSEN).out
        else:
            assert "nothing to do" in world.do("migrate").out
        check_books(world)
        assert kept_files(tmp_path)
        assert world.query("SELECT id, account, su_limit_hrs FROM sbank ORDER BY id") == [
            (2, "copied", 10),
            (5, "stopped", 0),
            (7, "left", 8),
        ]
        assert world.query("SELECT account, confirmed_at IS NOT NULL FROM slurm_limit") == [
            ("stopped", 1)
        ]
    print(
        f"takeover: killed at {len(points)} moments in {len(whole.trace)} steps,"
        f" {len(healed)} healed"
    )
    assert seen == {True, False}
    assert len(healed) > 3
    if is_old:
        world.do(*CHOSEN)
    # The last of them is what the killed ones come to: a top-up releases what was taken over.
    world.do("add", "stopped", "5")
    assert world.limits()["stopped"] is None


def test_upgrade_killed_anywhere_is_done_by_the_next(lab: Lab, tmp_path: Path) -> None:
    world = make_world(lab, tmp_path)

    def begin() -> None:
        world.put_back({})
        with closing(sqlite3.connect(world.database)) as database:
            database.executescript(FIRST_SCHEMA.read_text(encoding="utf-8"))

    begin()
    whole = world.do("migrate")
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for point in points:
        begin()
        ended = world.run("migrate", at=point)
        assert ended.status is None, ended
        (version,) = world.query("SELECT max(version) FROM schema_version")
        assert version in {(1,), (NEWEST,)}
        left = left_behind(world)
        if left in healed:
            continue
        healed.add(left)
        world.do("migrate")
        check_books(world)
        for path in tmp_path.glob("bank.db.schema-1-*"):
            if ".part-" not in path.name:
                world.do("restore", str(path), "--dry-run")
    print(
        f"upgrade: killed at {len(points)} moments in {len(whole.trace)} steps,"
        f" {len(healed)} healed"
    )
    assert len(points) > 10
    assert len(healed) > 3
