"""Faults of the disk and the database file: nothing half done, the message says what to do."""

import codecs
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.store import connect, copies
from tests.crash.steps import Ended
from tests.crash.world import World, check_books, make_world
from tests.lab import Lab

NOBODY = 65534


@pytest.fixture
def tmp_path(public_directory: Path) -> Path:
    """Where everything is, for a command that somebody else runs."""
    return public_directory


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> World:
    """A bank with one account that has 10 SUs."""
    lab.make_account("stored")
    world = make_world(lab, tmp_path)
    world.do("insert", "stored", "10")
    return world


def said(ended: Ended) -> tuple[int | None, str]:
    """Return the exit status and the one line that was said; more is a fault."""
    assert ended.out == "", ended
    assert ended.err.count("\n") == 1, ended.err
    line = ended.err.rstrip()
    assert line.startswith("slurm_bank: "), ended
    return ended.status, line


def unchanged(world: World) -> None:
    check_books(world)
    assert world.query("SELECT granted / 3600 FROM account") == [(10,)]
    assert world.query("SELECT count(*) FROM entry") == [(1,)]


@pytest.fixture
def small_disk(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for hardly more than an empty bank."""
    point = tmp_path / "disk"
    point.mkdir()
    lab.run("mount", "-t", "tmpfs", "-o", "size=1536k,mode=0700", "none", str(point))
    try:
        yield point
    finally:
        lab.run("umount", "--lazy", str(point))


def fill(directory: Path, leave: int) -> None:
    """Leave only so many bytes free on a file system."""
    free = os.statvfs(directory)
    size = free.f_bavail * free.f_frsize - leave
    with (directory / "filler").open("wb") as file:
        file.write(b"x" * size)


def test_full_disk_while_posting_leaves_the_books_as_they_were(lab: Lab, small_disk: Path) -> None:
    lab.make_account("stored")
    world = make_world(lab, small_disk, LOGFILE="")
    world.do("insert", "stored", "10")
    for leave in (0, 4096, 8192, 16384):
        fill(small_disk, leave)
        ended = world.run("add", "stored", "1", "--key", f"k{leave}", "--reason", "r" * 500)
        if ended.status == 0:
            break
        status, line = said(ended)
        assert (status, "no space left" in line) == (69, True), ended
        (small_disk / "filler").unlink()
        unchanged(world)
    (small_disk / "filler").unlink(missing_ok=True)
    world.do("add", "stored", "1", "--key", f"k{leave}", "--reason", "r" * 500)
    assert world.query("SELECT granted / 3600 FROM account") == [(11,)]
    check_books(world)


def test_full_disk_during_a_backup_leaves_no_file(world: World, small_disk: Path) -> None:
    for leave in (0, 8192, 40960):
        fill(small_disk, leave)
        path = small_disk / "copy"
        status, line = said(world.run("backup", str(path)))
        assert (status, "no space left" in line, str(path) in line) == (69, True, True), line
        assert [one.name for one in small_disk.iterdir()] == ["filler"]
        unchanged(world)
        (small_disk / "filler").unlink()
    world.do("backup", str(path))


def test_full_log_is_said_and_changes_nothing(world: World) -> None:
    log = Path(world.bank.settings.logfile)
    log.unlink()
    log.symlink_to("/dev/full")
    ended = world.run("add", "stored", "1")
    assert ended.status == 0
    assert "done, but not logged" in ended.err
    log.unlink()
    assert world.query("SELECT granted / 3600 FROM account") == [(11,)]


def as_nobody() -> None:
    # The program may lie where nobody else can read it; that is not what is tried here.
    codecs.lookup("ascii")
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def test_database_that_may_not_be_written_is_said(world: World) -> None:
    world.settings.chmod(0o644)
    world.database.chmod(0o644)
    status, line = said(world.run("add", "stored", "1", prepare=as_nobody))
    assert (status, "run as the user who owns it" in line) == (77, True), line
    unchanged(world)
    world.database.chmod(0o600)
    status, line = said(world.run("add", "stored", "1", prepare=as_nobody))
    assert status == 77, line
    unchanged(world)


def test_locked_database_is_waited_for_and_then_said(world: World) -> None:
    other = sqlite3.connect(world.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def be_impatient() -> None:
        for module in (connect, copies):
            setattr(module, "BUSY_SECONDS", 0.2)  # noqa: B010 -- it is meant to be constant

    status, line = said(world.run("add", "stored", "1", prepare=be_impatient))
    assert (status, "locked by another process: try again" in line) == (75, True), line
    # Who only looks does not wait.
    world.do("balance", "stored")
    other.execute("COMMIT")
    other.close()
    unchanged(world)


def test_missing_database_is_said_and_not_made(world: World) -> None:
    for path in world.directory.glob("bank.*"):
        path.unlink()
    for command in ("list", "add stored 1", "enforce", "verify", "backup copy"):
        status, line = said(world.run(*command.split()))
        assert (status, "migrate" in line) == (78, True), (command, line)
        assert not world.database.exists()


def test_database_of_another_schema_or_program_is_refused(world: World) -> None:
    connection = sqlite3.connect(world.database)
    connection.execute("INSERT INTO schema_version VALUES (99, 'later', 0, '9.9')")
    connection.commit()
    for command in ("list", "add stored 1", "migrate"):
        status, line = said(world.run(*command.split()))
        assert (status, "use the newer program" in line) == (78, True), (command, line)
    connection.close()
    for path in world.directory.glob("bank.*"):
        path.unlink()
    connection = sqlite3.connect(world.database)
    connection.execute("CREATE TABLE guests (name TEXT)")
    connection.commit()
    connection.close()
    content = world.database.read_bytes()
    for command in ("list", "add stored 1", "migrate"):
        status, line = said(world.run(*command.split()))
        assert (status, "DATABASE" in line) == (78, True), (command, line)
    assert world.query("SELECT name FROM sqlite_master") == [("guests",)]
    assert len(content) == len(world.database.read_bytes())


def test_file_that_is_no_database_is_said(world: World) -> None:
    for path in world.directory.glob("bank.*"):
        path.unlink()
    world.database.write_bytes(b"This is a letter to my bank.\n" * 400)
    for command in ("list", "add stored 1"):
        status, line = said(world.run(*command.split()))
        assert (status, "restore a backup" in line) == (69, True), (command, line)


SETTINGS = {
    "DATABSE = '/tmp/x'": "did you mean DATABASE?",
    "ON_TOP_UP = 'later'": "ON_TOP_UP = 'later' is not allowed: 'keep' or 'reset'",
    "SLURM_TIMEOUT_SECONDS = 0": "a whole number from 1 to 3600",
    "SLURM_TIMEOUT_SECONDS = True": "a whole number from 1 to 3600",
    "SLURM_BIN = 'bin'": "an absolute path",
    "DB_TABLE_NAME = 'entry'": "not a table of the bank's own",
    "DB_TABLE_NAME = 'x; DROP TABLE entry'": "letters, digits",
    "CLUSTERS = 'one'": "a list of cluster names",
    "LOWER_LIMIT_PERCENT = 95": "above UPPER_LIMIT_PERCENT",
    "import os": "only NAME = value is allowed",
    "LOGFILE = open('/etc/passwd').read()": "must be a plain value",
    "DEFAULT_ALLOCATION = -5": "0 or more",
    "if True:": "not readable as NAME = value",
}


def test_wrong_settings_are_named_with_what_is_allowed(world: World) -> None:
    text = world.settings.read_text()
    for line, expected in SETTINGS.items():
        world.settings.write_text(f"{text}{line}\n")
        status, said_line = said(world.run("add", "stored", "1"))
        assert (status, expected in said_line) == (78, True), (line, said_line)
    world.settings.write_text(text)
    for mode in (0o620, 0o602):
        world.settings.chmod(mode)
        status, said_line = said(world.run("add", "stored", "1"))
        assert (status, "chmod go-w" in said_line) == (78, True), said_line
    world.settings.chmod(0o600)
    os.chown(world.settings, NOBODY, NOBODY)
    status, said_line = said(world.run("add", "stored", "1"))
    assert (status, "belongs to nobody" in said_line) == (78, True), said_line
    unchanged(world)
