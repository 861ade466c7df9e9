"""Telling: each notice reaches the site's program until it is told, and never after. On a model."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bank.errors import NotTold
from bank.notify import program
from bank.operations import movements, notices, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.store.connect import reading, writing
from bank.store.notices import write_raised
from tests.children import in_child, is_running, status_of
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert


class Site:
    """A bank whose site has a program.

    Attributes:
        bank: the bank.
        warnings: what it told a person beside the work.
    """

    def __init__(self, bank: Bank, directory: Path) -> None:
        directory.chmod(0o755)
        self.directory = directory
        self.path = directory / "tell"
        self.warnings: list[str] = []
        settings = bank.settings._replace(
            notify_command=str(self.path), logfile=str(directory / "bank.log")
        )
        self.bank = bank._replace(settings=settings, warn=self.warnings.append)
        self.write("cat >> $d/told")

    def write(self, lines: str) -> None:
        """Write the program, of shell lines."""
        self.path.write_text(f"#!/bin/sh\nd={self.directory}\n{lines}\n")
        self.path.chmod(0o755)

    def tell(self) -> list[str]:
        """Let all be told; return what was warned of."""
        self.warnings.clear()
        notices.tell_all(self.bank)
        return self.warnings

    def told(self) -> list[str]:
        """Return the ids that the program was given, in their order."""
        file = self.directory / "told"
        if not file.exists():
            return []
        return [json.loads(line)["id"] for line in file.read_text().splitlines()]

    def raise_many(self, count: int) -> None:
        """Let something come about for many accounts."""
        what = {(f"many{number:05}", "lower_limit"): "{}" for number in range(count)}
        with writing(self.bank.database) as writer:
            write_raised(writer, what, now=self.bank.clock())

    def unsent(self) -> int:
        """Return how much is not told yet."""
        with reading(self.bank.database) as reader:
            return int(reader.query("SELECT count(*) FROM notice WHERE sent_at IS NULL")[0][0])

    def logged(self, event: str) -> int:
        """Return how many lines of the log are of one kind."""
        lines = (self.directory / "bank.log").read_text().splitlines()
        return sum(json.loads(line)["event"] == event for line in lines)


@pytest.fixture
def site(bank: Bank, tmp_path: Path) -> Site:
    return Site(bank, tmp_path)


@pytest.fixture
def full(site: Site, fake: FakeSlurm) -> Site:
    """One where test1 has reached all three thresholds."""
    fake.use(fake.add_user("test1"), 100 * SU)
    insert(site.bank, "test1", 100)
    return site


ALL = ["test1/lower_limit/1", "test1/upper_limit/1", "test1/max_limit/1"]


def test_each_event_is_told_once(full: Site) -> None:
    assert full.tell() == []
    assert full.told() == ALL
    enforce(full.bank)
    assert full.tell() == []
    assert full.told() == ALL
    assert full.logged("told") == 3


def test_an_event_says_what_came_about(full: Site) -> None:
    full.tell()
    first = json.loads((full.directory / "told").read_text().splitlines()[0])
    assert len(first.pop("at")) == len("2026-11-21T05:29:37Z")
    assert first == {
        "id": "test1/lower_limit/1",
        "event": "lower_limit",
        "account": "test1",
        "limit_su": "100",
        "used_su": "100",
        "percent": 100,
    }


def test_a_second_crossing_is_another_event(full: Site, fake: FakeSlurm) -> None:
    full.tell()
    movements.add(full.bank, Command("add", "test1", 900 * SU))
    fake.use(1000, 500 * SU)
    enforce(full.bank)
    full.tell()
    assert full.told() == [*ALL, "test1/lower_limit/2"]


def test_what_is_over_before_it_could_be_told_is_not_told(full: Site) -> None:
    full.write("exit 1")
    full.tell()
    movements.add(full.bank, Command("add", "test1", 20 * SU))
    full.write("cat >> $d/told")
    full.tell()
    # 83 %: the lower threshold still is reached.
    assert full.told() == ["test1/lower_limit/1"]


def test_what_is_over_while_another_is_told_is_not_told(
    full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = program.tell

    def top_up(path: str, event: str) -> None:
        tell(path, event)
        movements.add(full.bank, Command("add", "test1", 900 * SU))

    monkeypatch.setattr(program, "tell", top_up)
    assert full.tell() == []
    assert full.told() == ALL[:1]


def test_what_failed_is_tried_by_the_next_pass(full: Site) -> None:
    full.write("echo 'no mail today' >&2; exit 1")
    for _ in range(2):
        (warning,) = full.tell()
        assert "3 of 3 events could not be told, the next pass tries again" in warning
        assert "no mail today" in warning
    assert full.logged("not_told") == 6
    full.write("cat >> $d/told")
    assert full.tell() == []
    assert full.told() == ALL


def test_one_that_always_fails_keeps_no_other_waiting(full: Site) -> None:
    full.write('read line; case $line in *lower_limit*) exit 1;; *) echo "$line" >> $d/told;; esac')
    for _ in range(2):
        (warning,) = full.tell()
        assert "1 of" in warning
    assert full.told() == ALL[1:]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda path: path.unlink(), "cannot be run (No such file"),
        (lambda path: path.chmod(0o644), "cannot be run (Permission denied)"),
        (lambda path: path.chmod(0o777), "can be written by others"),
        (lambda path: path.write_bytes(b"\x00"), "cannot be run (Exec format error)"),
    ],
)
def test_a_program_that_cannot_be_run_is_said_once_a_pass(
    site: Site, break_it: Callable[[Path], None], said: str
) -> None:
    site.raise_many(50)
    break_it(site.path)
    (warning,) = site.tell()
    assert "1 of 50 events could not be told" in warning
    assert said in warning
    site.path.unlink(missing_ok=True)
    site.write("cat >> $d/told")
    assert site.tell() == []
    assert len(set(site.told())) == len(site.told()) == 50


def test_a_program_that_fails_for_all_is_not_asked_for_all(site: Site) -> None:
    site.raise_many(50)
    site.write("exit 1")
    (warning,) = site.tell()
    assert "10 of 50" in warning
    assert site.logged("not_told") == 10
    # The next pass begins with the others, so that each has its turn.
    site.write("cat >> $d/told; test $(wc -l < $d/told) -lt 41")
    site.tell()
    assert site.told()[:40] == [f"many{number:05}/lower_limit/1" for number in range(10, 50)]


def test_a_program_that_hangs_keeps_no_pass_for_more_than_a_minute(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def hang(path: str, event: str) -> None:
        clock[0] += program.LONGEST_SECONDS
        raise NotTold(path + event)

    monkeypatch.setattr(program, "tell", hang)
    monkeypatch.setattr("bank.operations.notices.time.monotonic", lambda: clock[0])
    site.raise_many(50)
    warnings = site.tell()
    assert clock[0] <= 60
    assert warnings[0] == "not all was told within 60 s, the next pass goes on"
    assert "6 of 50" in warnings[1]


def test_many_are_told_each_once_by_as_many_passes_as_it_takes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    tell = program.tell

    def take_a_second(path: str, event: str) -> None:
        tell(path, event)
        clock[0] += 1

    monkeypatch.setattr(program, "tell", take_a_second)
    monkeypatch.setattr("bank.operations.notices.time.monotonic", lambda: clock[0])
    site.raise_many(100)
    # None is begun unless it could take 10 of the 60 s.
    assert site.tell() == ["not all was told within 60 s, the next pass goes on"]
    assert site.unsent() == 100 - 51
    assert site.tell() == []
    assert site.unsent() == 0
    assert site.told() == [f"many{number:05}/lower_limit/1" for number in range(100)]
    assert upkeep.verify(site.bank) == []


def test_two_passes_at_once_tell_once(site: Site, tmp_path: Path) -> None:
    site.raise_many(5)
    # The first waits in the program until the second has come and gone.
    site.write("while test ! -e $d/go; do sleep 0.01; done; cat >> $d/told")
    first = in_child(lambda: notices.tell_all(site.bank))
    try:
        while site_tries(site) == 0:
            assert is_running(first)
        assert site.tell() == []
        assert site.told() == []
    finally:
        (tmp_path / "go").touch()
        status = status_of(first)
    assert status == 0
    assert site.tell() == []
    assert site.told() == [f"many{number:05}/lower_limit/1" for number in range(5)]


def site_tries(site: Site) -> int:
    with reading(site.bank.database) as reader:
        return int(reader.query("SELECT sum(tries) FROM notice")[0][0])


def test_a_database_that_is_locked_for_long_is_said(
    full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bank.store.connect.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(full.bank.settings.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        (warning,) = full.tell()
    assert "not all was told, the next pass goes on" in warning
    assert full.told() == []


@pytest.mark.parametrize("lines", ["kill -9 $PPID", "cat >> $d/told; kill -9 $PPID"])
def test_killed_while_the_program_runs_it_is_told_again_with_the_same_id(
    full: Site, lines: str
) -> None:
    full.write(lines)
    child = in_child(lambda: notices.tell_all(full.bank))
    assert status_of(child) == -signal.SIGKILL
    before = full.told()
    assert before == (ALL[:1] if "told" in lines else [])
    full.write("cat >> $d/told")
    full.tell()
    # What failed least often comes first.
    assert full.told() == [*before, *ALL[1:], ALL[0]]
    full.tell()
    assert len(full.told()) == len(before) + 3


def test_killed_between_any_two_steps_all_is_told_and_never_after_it_is_on_record(
    full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforce(full.bank)
    on_record: set[str] = set()
    steps = 0
    for moment in range(1, 100):
        with writing(full.bank.database) as writer:
            writer.execute("UPDATE notice SET sent_at = NULL, tries = 0", [{}])
        (full.directory / "told").unlink(missing_ok=True)
        status = status_of(in_child(partial(tell_and_die, full.bank, moment, monkeypatch)))
        assert status in (0, -signal.SIGKILL)
        before = full.told()
        with reading(full.bank.database) as reader:
            rows = reader.query("SELECT account, event, crossing FROM notice WHERE sent_at > 0")
        on_record = {"/".join(map(str, row)) for row in rows}
        assert on_record <= set(before)
        assert full.tell() == []
        after = full.told()[len(before) :]
        assert not on_record & set(after), moment
        assert set(before) | set(after) == set(ALL), moment
        # At most the one that was being told is told twice.
        assert len(before) + len(after) <= len(ALL) + 1
        if status == 0:
            break
        steps = moment
    assert steps > 20
    assert on_record == set(ALL)


def tell_and_die(bank: Bank, moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    die_at(moment, monkeypatch)
    notices.tell_all(bank)


def die_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be killed at its n-th step in the database, the program or the files."""
    left = moment

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    class Connection(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            step()
            return super().execute(*arguments)  # type: ignore[arg-type]

        def executemany(self, *arguments: object) -> sqlite3.Cursor:
            step()
            return super().executemany(*arguments)  # type: ignore[arg-type]

    connect, tell, write = sqlite3.connect, program.tell, os.write

    def counted(*arguments: object, **options: object) -> sqlite3.Connection:
        return connect(*arguments, **options, factory=Connection)  # type: ignore[call-overload, no-any-return]

    def telling(path: str, event: str) -> None:
        step()
        tell(path, event)
        step()

    def writing_file(descriptor: int, data: bytes) -> int:
        step()
        return write(descriptor, data)

    monkeypatch.setattr(sqlite3, "connect", counted)
    monkeypatch.setattr(program, "tell", telling)
    monkeypatch.setattr(os, "write", writing_file)


def test_nothing_is_told_without_a_program(full: Site) -> None:
    silent = full.bank._replace(settings=full.bank.settings._replace(notify_command=""))
    notices.tell_all(silent)
    assert full.unsent() == 3
