"""Taking over the predecessor's database, on a model of Slurm."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import Busy, InputError, Refusal, SettingsError, SlurmError, StoreError
from bank.operations import movements, takeover, takeover_plan, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.takeover_plan import Report
from bank.settings import Settings
from bank.slurm.command import Slurm
from bank.store import accounts, read
from bank.store import takeover as stored
from bank.store.connect import reading, writing
from bank.store.create import own_names
from bank.store.limits import find_limits
from bank.store.migrations import TABLES
from tests.fake_slurm import FakeSlurm, take_over
from tests.frozen import from_noon
from tests.operations.conftest import SU, insert
from tests.predecessor.old_file import make_old_database, old_row, read_rows

LIMIT = "GrpTRESMins=cpu"
TOLD = {"max_limit_informed": 1}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(str(tmp_path / "bank.db"), logfile=str(tmp_path / "log"))


@pytest.fixture
def old(fake: FakeSlurm, settings: Settings) -> Bank:
    """A bank whose database is still to be made: by the predecessor."""
    del fake
    return Bank(settings, "ada", pytest.fail, from_noon())


def make(bank: Bank, *rows: dict[str, object], **options: bool) -> Path:
    path = Path(bank.settings.database)
    make_old_database(path, rows, **options)
    return path


def take(bank: Bank, choices: str = "", *, dry_run: bool = False) -> Report:
    return takeover.take_over(bank, choices=choices, dry_run=dry_run)


def files(bank: Bank) -> dict[str, bytes]:
    """Return every file of the old database, but for the memory that its readers share."""
    path = Path(bank.settings.database)
    return {
        one.name: one.read_bytes()
        for one in path.parent.iterdir()
        if one.name.startswith(path.name) and not one.name.endswith("-shm")
    }


def standings(bank: Bank) -> dict[str, tuple[int | None, int]]:
    with reading(bank.database) as reader:
        return {name: (one.limit, one.used) for name, one in read.standings(reader).items()}


# -- what becomes of the rows ------------------------------------------------------------------


@pytest.mark.parametrize("is_in_log", [True, False])
def test_rows_are_taken_as_they_are(old: Bank, *, is_in_log: bool) -> None:
    path = make(
        old,
        old_row(3, "test1", 10000, upper_limit_informed=1),
        old_row(7, "proj", -1, date="2024-02-29", lower_limit_informed=None),
        old_row(9, "dept", 0, max_limit_informed=1),
        is_in_log=is_in_log,
    )
    before = read_rows(path)
    report = take(old)
    assert (report.rows, report.taken, report.is_refused) == (3, 3, False)
    # The numbers of the rows too, because scripts know them.
    after = [tuple(0 if value is None else value for value in row) for row in before]
    assert read_rows(path) == after
    assert standings(old) == {"dept": (0, 0), "proj": (None, 0), "test1": (10000 * SU, 0)}
    assert upkeep.verify(old) == []
    assert report.kept is not None
    assert read_rows(Path(report.kept)) == before
    assert stat.S_IMODE(os.stat(report.kept).st_mode) == 0o600  # noqa: PTH116
    (opened,) = [event for event in _history(old, "test1") if event.kind == "deposit"]
    assert opened.reason == takeover.REASON
    with pytest.raises(Refusal, match="taken over by now"):
        take(old)
    assert not takeover.is_due(old)


def _history(bank: Bank, name: str) -> list[read.Event]:
    with reading(bank.database) as reader:
        account = accounts.find(reader, name)
        assert account is not None
        return read.history(reader, account)


def test_what_was_told_is_not_told_again(old: Bank) -> None:
    make(old, old_row(1, "test1", 10, upper_limit_informed=1, max_limit_informed=1))
    take(old)
    with reading(old.database) as reader:
        rows = reader.query("SELECT account, event, sent_at IS NULL, cleared_at FROM notice")
    assert sorted(rows) == [("test1", "max_limit", 0, None), ("test1", "upper_limit", 0, None)]


@pytest.mark.parametrize(
    ("rows", "needed"),
    [
        ([old_row(1, "test1", 5), old_row(2, "TEST1", 7)], "1 2"),
        ([old_row(1, "test1", 5), old_row(2, "test1", 5)], "1 2"),
        ([old_row(4, "test1", None)], "out:4"),
        ([old_row(4, "test1", -500)], "out:4"),
        ([old_row(4, "-h", 5)], "out:4"),
        ([old_row(4, "b,root", 5)], "out:4"),
        ([old_row(4, "root", 5)], "out:4"),
        ([old_row(4, "x; touch /tmp/x", 5)], "out:4"),
        ([old_row(4, None, 5)], "out:4"),
        ([old_row(4, "test1", 5, date=None)], "out:4"),
        ([old_row(4, "test1", 5, max_limit_informed="yes")], "out:4"),
        ([old_row(-4, "test1", 5)], "out:-4"),
        ([old_row(4, "test1", "many")], "out:4"),
        ([old_row(4, "test1", 2.5)], "out:4"),
    ],
)
def test_what_cannot_be_taken_stops_it_until_somebody_chooses(
    old: Bank, rows: list[dict[str, object]], needed: str
) -> None:
    make(old, *rows)
    before = files(old)
    report = take(old)
    assert report.is_refused
    wanted = [str(row.number) for conflict in report.conflicts for row in conflict.rows]
    wanted += [f"out:{row.number}" for row in report.unusable]
    assert " ".join(wanted) == needed
    assert {name: files(old)[name] for name in before} == before
    report = take(old, wanted[-1])
    assert not report.is_refused
    assert report.taken == len(rows) - 1
    assert upkeep.verify(old) == []


def test_an_account_that_is_not_decided_is_in_none_of_the_lists(old: Bank, fake: FakeSlurm) -> None:
    fake.limits["test1"][LIMIT] = 0
    make(old, old_row(1, "test1", 5), old_row(2, "TEST1", None), old_row(3, "proj", 5))
    report = take(old)
    assert [one.account for one in report.compared] == ["dept", "proj"]
    assert (report.unknown, report.adopted, report.others) == ([], [], [])
    assert take(old, "out:2").taken == 2


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("1,2", "choose one of them"),
        ("3", "row 3 conflicts with no other"),
        ("1,8", "row 8 is not one that can be taken"),
        ("1,out:3", "out:3: it can be taken"),
        ("1,out:8", "out:8: there is no such row"),
        ("1,ours:test1", "ours:test1: there is no hold"),
    ],
)
def test_a_choice_that_chooses_nothing_is_refused(old: Bank, choices: str, said: str) -> None:
    make(old, old_row(1, "test1", 5), old_row(2, "Test1", 7), old_row(3, "proj", 7))
    report = take(old, choices)
    assert report.is_refused
    assert [line for line in report.wrong_choices if said in line] == report.wrong_choices != []
    # Whatever is not chosen rightly is still to be chosen.
    assert bool(report.conflicts) == (choices in ("1,2", "3"))
    assert takeover.is_due(old)


@pytest.mark.parametrize("date", ["9999-12-31", "0001-01-01"])
def test_a_date_far_away_is_a_date(old: Bank, date: str) -> None:
    settings = old.settings._replace(check_dates=True)
    # That a period is over is said.
    old = old._replace(settings=settings, warn=lambda _: None)
    make(old, old_row(1, "test1", 5, date=date))
    assert take(old).taken == 1
    (done,) = enforce(old)
    assert done.held == []


@pytest.mark.parametrize("choices", ["keep:1", "1,,2", "out:", "out:x", "ours:a b", "1,1", "¹"])
def test_choices_that_cannot_be_read_are_refused(old: Bank, choices: str) -> None:
    make(old, old_row(1, "test1", 5))
    with pytest.raises(InputError, match="--choose"):
        take(old, choices)


def test_names_in_other_cases_and_strange_columns_are_said(old: Bank, fake: FakeSlurm) -> None:
    fake.add_account("forgotten")
    make(old, old_row(1, "TEST1", 5, evil="x"), old_row(2, "left", 5))
    report = take(old)
    assert [(row.number, row.written, row.account) for row in report.folded] == [
        (1, "TEST1", "test1")
    ]
    assert report.extra_columns == ["evil"]
    assert report.gone == ["left"]
    assert report.unknown == ["dept", "forgotten", "proj"]
    assert set(standings(old)) == {"left", "test1"}


def test_what_else_lies_in_the_file_stays(old: Bank) -> None:
    path = make(old, old_row(1, "test1", 5))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE INDEX ix_sbank ON sbank (account)")
        database.execute("CREATE VIEW rich AS SELECT account FROM sbank WHERE su_limit_hrs > 2")
        database.execute("CREATE TABLE notes (text TEXT)")
    take(old)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM rich").fetchall() == [("test1",)]
        assert database.execute("SELECT * FROM notes").fetchall() == []


def test_a_table_that_lacks_a_column_is_not_the_predecessors(old: Bank) -> None:
    with closing(sqlite3.connect(old.settings.database)) as database:
        database.execute("CREATE TABLE sbank (id INTEGER PRIMARY KEY, account TEXT)")
    with pytest.raises(SettingsError, match="no column su_limit_hrs, date"):
        take(old)


def test_a_rehearsal_changes_no_file(old: Bank) -> None:
    make(old, old_row(1, "test1", 5), old_row(2, "proj", -1))
    before = files(old)
    report = take(old, dry_run=True)
    assert (report.taken, report.kept, report.is_refused) == (2, None, False)
    assert {name: content for name, content in files(old).items() if content} == before
    assert takeover.is_due(old)


def test_without_slurm_nothing_is_taken_over(old: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    make(old, old_row(1, "test1", 5))

    def fail(_: Slurm, __: object) -> str:
        raise SlurmError("no answer")

    monkeypatch.setattr(takeover_plan, "run", fail)
    before = files(old)
    with pytest.raises(SlurmError):
        take(old)
    assert {name: files(old)[name] for name in before} == before


def test_what_the_old_program_writes_meanwhile_is_not_lost(
    old: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(old, old_row(1, "test1", 5))
    ask = takeover_plan._ask

    def write_and_ask(bank: Bank) -> Any:  # noqa: ANN401
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE sbank SET su_limit_hrs = 500")
        return ask(bank)

    monkeypatch.setattr(takeover_plan, "_ask", write_and_ask)
    with pytest.raises(Busy, match="stop the old cron line"):
        take(old)
    assert read_rows(path)[0][2] == 500
    monkeypatch.undo()
    assert not list(path.parent.glob("*.predecessor-*"))


def test_a_copy_that_cannot_be_made_leaves_the_old_database(
    old: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(old, old_row(1, "test1", 5))

    def full(_: object, __: str) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(stored, "copy_to", full)
    with pytest.raises(StoreError):
        take(old)
    assert read_rows(path)[0][1] == "test1"
    assert takeover.is_due(old)


# -- what a site keeps beside the table --------------------------------------------------------


def type_sql(bank: Bank, *statements: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bank.settings.database)) as database, database:
        return [row for sql in statements for row in database.execute(sql).fetchall()]


@pytest.mark.parametrize("how", ["REFERENCES sbank", "REFERENCES SBANK (id) ON DELETE CASCADE"])
def test_rows_of_a_site_that_refer_to_the_table_stay(old: Bank, how: str, tmp_path: Path) -> None:
    make(old, old_row(1, "test1", 5), old_row(2, "proj", None))
    type_sql(
        old,
        f"CREATE TABLE owner (sbank_id INTEGER {how}, mail TEXT)",
        "INSERT INTO owner VALUES (1, 'ada'), (2, 'bob'), (77, 'eve')",
    )
    rows = type_sql(old, "SELECT * FROM owner")
    take(old, "out:2")
    # Some of them refer to a row that is gone: that is not the bank's to judge.
    assert upkeep.verify(old) == []
    movements.delete(old, Command("delete", "test1", force=True))
    assert upkeep.verify(old) == []
    upkeep.backup(old, str(tmp_path / "copy"))
    upkeep.restore(old, str(tmp_path / "copy"), dry_run=False)
    assert type_sql(old, "SELECT * FROM owner") == rows


def test_a_dangling_row_of_the_banks_own_is_found(old: Bank) -> None:
    make(old, old_row(1, "test1", 5))
    take(old)
    type_sql(old, "INSERT INTO usage_reset VALUES ('c', 'a', 1)")
    assert upkeep.verify(old) == []
    type_sql(old, "INSERT INTO allocation_grant (account_id, start_at, kind) VALUES (99, 1, 'x')")
    assert "table allocation_grant, row 2: what it refers to in account is not there" in (
        upkeep.verify(old)
    )


def test_the_banks_own_foreign_keys_are_enforced(old: Bank) -> None:
    make(old, old_row(1, "test1", 5))
    take(old)
    with pytest.raises(StoreError, match="FOREIGN KEY"), writing(old.database) as writer:
        writer.insert(
            "INSERT INTO allocation_grant (account_id, start_at, kind) VALUES (99, 1, 'x')"
        )


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE Account (x)",
        "CREATE TABLE notice (x PRIMARY KEY)",
        "CREATE VIEW place AS SELECT account FROM sbank",
        "CREATE TABLE own (x)",
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_that_the_bank_needs_is_refused_also_in_a_rehearsal(
    old: Bank, made: str, *, dry_run: bool
) -> None:
    path = make(old, old_row(1, "test1", 5))
    type_sql(old, made, "CREATE INDEX meter_account ON sbank (account)")
    if "own" in made:
        assert take(old, dry_run=dry_run).lost == ["index meter_account"]
        return
    what = " ".join(made.split()[1:3]).lower()
    with pytest.raises(SettingsError, match=f"(?i)needs: {what}: rename it"):
        take(old, dry_run=dry_run)
    assert takeover.is_due(old)
    assert not list(path.parent.glob("*.predecessor-*"))


def test_what_somebody_made_on_the_table_is_said_to_go(old: Bank) -> None:
    make(old, old_row(1, "test1", 5))
    type_sql(
        old,
        "CREATE TRIGGER told AFTER UPDATE ON sbank BEGIN SELECT 1; END",
        "CREATE TABLE notes (text TEXT)",
        "CREATE TRIGGER kept AFTER UPDATE ON notes BEGIN SELECT 1; END",
    )
    assert take(old).lost == ["trigger told"]
    assert ("kept",) in type_sql(old, "SELECT name FROM sqlite_master")


def test_own_tables_are_those_that_are_made(old: Bank) -> None:
    make(old, old_row(1, "test1", 5))
    take(old)
    made = type_sql(old, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in made} == {*TABLES, "sbank"}
    made = type_sql(old, "SELECT name FROM sqlite_master WHERE sql IS NOT NULL")
    assert {name for (name,) in made} == own_names(old.database)


def test_a_table_in_capitals_is_the_predecessors_too(old: Bank) -> None:
    make(old, old_row(1, "test1", 5))
    type_sql(old, "ALTER TABLE sbank RENAME TO x", "ALTER TABLE x RENAME TO SBANK")
    assert take(old).taken == 1
    assert upkeep.verify(old) == []


def test_what_fails_leaves_no_copy_behind(old: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(old, old_row(1, "test1", 5))

    def fail(*_: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(takeover, "_write", fail)
    with pytest.raises(StoreError):
        take(old)
    assert takeover.is_due(old)
    assert not list(path.parent.glob("*.predecessor-*"))


def test_the_database_has_the_rights_of_one_that_was_made(old: Bank) -> None:
    path = make(old, old_row(1, "test1", 5))
    path.chmod(0o644)
    take(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_root_takes_over_is_the_directory_owners(old: Bank) -> None:
    path = make(old, old_row(1, "test1", 5))
    os.chown(path.parent, 12345, 12345)
    take(old)
    left = [one for one in path.parent.glob("bank.db*") if "predecessor" not in one.name]
    assert {one.stat().st_uid for one in left} == {12345}
    assert len(left) > 1


# -- holds in force ----------------------------------------------------------------------------


def test_a_hold_that_the_row_tells_of_is_released_by_a_top_up(old: Bank, fake: FakeSlurm) -> None:
    fake.use(fake.add_user("test1"), 12 * SU)
    fake.limits["test1"][LIMIT] = 0
    make(old, old_row(1, "test1", 10, max_limit_informed=1))
    report = take(old)
    assert [(held.account, held.why) for held in report.adopted] == [
        ("test1", "their rows say max_limit_informed")
    ]
    with reading(old.database) as reader:
        (limit,) = find_limits(reader)
    assert (limit.account, limit.limit, limit.original) == ("test1", LIMIT, None)
    assert (limit.intent, limit.value, limit.confirmed_at is not None) == ("hold", 0, True)
    (done,) = enforce(old)
    assert (done.held, done.held_now, done.held_by_others) == (["test1"], [], [])
    movements.add(old, Command("add", "test1", 90 * SU))
    assert fake.limits["test1"] == {}


def test_a_hold_on_what_is_over_its_limit_is_the_predecessors(old: Bank, fake: FakeSlurm) -> None:
    # The flag is not set for a limit of 0.
    fake.use(fake.add_user("test1"), SU)
    fake.limits["test1"][LIMIT] = 0
    make(old, old_row(1, "test1", 0))
    report = take(old)
    assert [held.why for held in report.adopted] == ["they are over their limits"]


def test_a_hold_that_nobody_accounts_for_stays_until_somebody_says_whose_it_is(
    old: Bank, fake: FakeSlurm
) -> None:
    fake.limits["test1"][LIMIT] = 0
    fake.limits["proj"][LIMIT] = 0
    make(old, old_row(1, "test1", 10), old_row(2, "proj", -1))
    report = take(old, "ours:PROJ")
    assert [held.account for held in report.adopted] == ["proj"]
    assert [(held.account, held.choose) for held in report.others] == [("test1", "ours:test1")]
    (done,) = enforce(old)
    assert (done.released, done.held_by_others) == (["proj"], ["test1"])
    assert fake.limits["proj"] == {}
    assert fake.limits["test1"] == {LIMIT: 0}


@pytest.mark.parametrize(
    "limit", ["GrpTRESMins=cpu", "GrpTRES=cpu", "GrpTRESRunMins=cpu", "GrpJobs", "GrpSubmitJobs"]
)
def test_a_hold_by_another_limit_is_found_and_moved(old: Bank, fake: FakeSlurm, limit: str) -> None:
    fake.use(fake.add_user("test1"), 12 * SU)
    fake.limits["test1"][limit] = 0
    make(old, old_row(1, "test1", 10, max_limit_informed=1))
    old = old._replace(settings=old.settings._replace(account_hold="GrpTRES"))
    assert [(held.account, held.limit) for held in take(old).adopted] == [("test1", limit)]
    (done,) = enforce(old)
    assert done.held == ["test1"]
    assert fake.limits["test1"] == {"GrpTRES=cpu": 0}


def test_of_several_limits_only_the_one_that_is_set_now_is_taken_for_the_predecessors(
    old: Bank, fake: FakeSlurm
) -> None:
    for limit in (LIMIT, "GrpJobs"):
        fake.limits["test1"][limit] = 0
    for limit in ("GrpTRES=cpu", "GrpJobs"):
        fake.limits["proj"][limit] = 0
    make(old, old_row(1, "test1", 10, max_limit_informed=1), old_row(2, "proj", 10, **TOLD))
    report = take(old, dry_run=True)
    assert [(held.account, held.limit) for held in report.adopted] == [("test1", LIMIT)]
    assert [(held.account, held.limit, held.choose) for held in report.others] == [
        ("proj", "GrpJobs", "ours:proj"),
        ("proj", "GrpTRES=cpu", "ours:proj"),
        ("test1", "GrpJobs", ""),
    ]
    report = take(old, "ours:proj")
    assert [held.account for held in report.adopted] == ["proj", "proj", "test1"]
    enforce(old)
    assert (fake.limits["test1"], fake.limits["proj"]) == ({"GrpJobs": 0}, {})


def test_a_hold_on_an_account_whose_row_is_left_out_can_be_taken_over(
    old: Bank, fake: FakeSlurm
) -> None:
    for name in ("test1", "proj"):
        fake.limits[name][LIMIT] = 0
    make(old, old_row(1, "test1", None, **TOLD), old_row(2, "proj", None))
    report = take(old, "out:1,out:2", dry_run=True)
    assert [(held.account, held.choose) for held in report.others] == [
        ("proj", "ours:proj"),
        ("test1", "ours:test1"),
    ]
    report = take(old, "out:1,out:2,ours:test1,ours:proj")
    assert {one.account: one.new for one in report.compared}["test1"] == "release"
    insert(old, "test1", 100)
    assert fake.limits["test1"] == {}
    (done,) = enforce(old)
    assert (done.released, fake.limits["proj"]) == (["proj"], {})


@pytest.mark.parametrize(("written", "name"), [("physi\u212as", "physiks"), (None, "none")])
def test_a_row_is_about_no_account_but_its_own(
    old: Bank, fake: FakeSlurm, written: str | None, name: str
) -> None:
    fake.add_account(name)
    fake.limits[name][LIMIT] = 0
    make(old, old_row(1, name, 100), old_row(2, written, 100, **TOLD))
    assert [one.account for one in take(old, dry_run=True).compared] == [
        *sorted(["dept", name, "proj", "test1"])
    ]
    report = take(old, "out:2")
    assert (report.adopted, [held.account for held in report.others]) == ([], [name])


def test_a_hold_can_be_chosen_before_the_row_is(old: Bank, fake: FakeSlurm) -> None:
    fake.limits["test1"][LIMIT] = 0
    make(old, old_row(1, "test1", None))
    report = take(old, "ours:test1,ours:proj")
    assert (len(report.unusable), report.is_refused) == (1, True)
    assert [line.partition(" ")[0] for line in report.wrong_choices] == ["ours:proj:"]


def test_a_hold_on_an_account_without_a_row_is_left_alone(old: Bank, fake: FakeSlurm) -> None:
    fake.limits["dept"][LIMIT] = 0
    make(old, old_row(1, "test1", 10))
    report = take(old)
    assert [(held.account, held.choose) for held in report.others] == [("dept", "")]
    with pytest.raises(Refusal):
        take(old)


# -- what no comparison shows ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check_dates", "on_end", "notify", "said"),
    [
        (True, "renew", "/bin/mail", ["ON_END = 'renew': the first pass begins"]),
        (True, "report", "/bin/mail", ["CHECK_DATES and NOTIFY_COMMAND: the first pass tells"]),
        (True, "report", "", []),
        (False, "renew", "/bin/mail", []),
    ],
)
def test_what_an_old_date_brings_is_said(
    old: Bank, fake: FakeSlurm, *, check_dates: bool, on_end: str, notify: str, said: list[str]
) -> None:
    fake.use(fake.add_user("test1"), 90 * SU)
    make(
        old,
        old_row(1, "test1", 100),
        old_row(2, "proj", 100, date=old.today()),
        old_row(3, "dept", -1),
    )
    settings = old.settings._replace(check_dates=check_dates, on_end=on_end, notify_command=notify)
    notes = take(old._replace(settings=settings), dry_run=True).notes
    assert [note[: len(start)] for note, start in zip(notes, said, strict=True)] == said
    assert all("test1" in note for note in notes)
    assert not any(name in note for note in notes for name in ("proj", "dept"))
    assert on_end != "renew" or all("test1 (90)" in note for note in notes)


@pytest.mark.parametrize("policy", ["report", "hold", "allocate"])
def test_accounts_that_the_bank_cannot_name_are_said(
    old: Bank, fake: FakeSlurm, policy: str
) -> None:
    for name in ("t\u00e9st", "x y", "-h"):
        fake.add_account(name)
    make(old, old_row(17, "x y", 5), old_row(18, "test1", None))
    old = old._replace(settings=old.settings._replace(unknown_accounts=policy))
    report = take(old, "out:17,out:18")
    said = "nothing limits '-h', 't\u00e9st', 'x y': the bank takes"
    assert [note for note in report.notes if note.startswith(said)] != []
    inserted = [note for note in report.notes if "test1 until somebody inserts" in note]
    assert bool(inserted) == (policy == "report")
    (done,) = enforce(old)
    assert [note for note in done.notes if note.startswith(said)] != []
    (done,) = enforce(old, only="proj")
    assert [note for note in done.notes if note.startswith(said)] == []


# -- the comparison ----------------------------------------------------------------------------

ROWS = st.fixed_dictionaries(
    {
        "limit": st.sampled_from([-1, 0, 1, 2, 3]),
        "used": st.sampled_from([0, 1, 3599, 3600, 3601, 7199, 7200, 7201, 4 * 3600]),
        "is_told": st.booleans(),
        "held_by": st.sampled_from([None, LIMIT, "GrpJobs"]),
        "name": st.sampled_from(["{}", "B{}", "{}" + "x" * 30]),
        "parent": st.sampled_from(["root", "dept"]),
        "has_row": st.booleans(),
        "running": st.sampled_from([0, 30, 60]),
        "date": st.sampled_from(["2022-04-08", "2090-01-01"]),
    }
)


@given(
    rows=st.lists(ROWS, min_size=1, max_size=6),
    baseline=st.sampled_from(["all", "now"]),
    unknown=st.sampled_from(["report", "hold", "allocate"]),
    on_end=st.sampled_from([None, "report", "hold", "renew"]),
    counts_running=st.booleans(),
    gone=st.booleans(),
)
def test_the_first_pass_does_what_the_comparison_says(
    rows: list[dict[str, Any]],
    baseline: str,
    unknown: str,
    on_end: str | None,
    *,
    counts_running: bool,
    gone: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        fake = take_over(monkeypatch)
        fake.add_account("dept")
        path = tmp_path_factory.mktemp("old") / "bank.db"
        settings = Settings(
            str(path),
            usage_baseline=baseline,
            unknown_accounts=unknown,
            check_dates=on_end is not None,
            on_end=on_end or "report",
            hold_counts_running=counts_running,
        )
        written = []
        for number, row in enumerate(rows, start=1):
            name = row["name"].format(f"a{number}")
            fake.add_account(name.lower(), row["parent"])
            fake.use(fake.add_user(name.lower()), row["used"])
            fake.running[name.lower()] = row["running"]
            if row["held_by"]:
                fake.limits[name.lower()][row["held_by"]] = 0
            if row["has_row"]:
                flag = {"max_limit_informed": row["is_told"], "date": row["date"]}
                written.append(old_row(number, name, row["limit"], **flag))
        if gone:
            written.append(old_row(99, "gone", 1))
        make_old_database(path, written)
        bank = Bank(settings, "ada", lambda _: None)
        report = take(bank)
        (done,) = enforce(bank)
        said = {one.account: one.new for one in report.compared}
        held = {name for name, new in said.items() if new == "hold"}
        # One that somebody else holds already is left to them.
        others = {one.account for one in report.others if one.limit == LIMIT}
        assert set(done.held) == held - others
        assert set(done.released) == {name for name, new in said.items() if new == "release"}
        assert all(one.is_same or one.why for one in report.compared)
        if (baseline, counts_running) == ("all", False) and on_end in (None, "report"):
            assert all(one.is_same or one.number for one in report.compared)
        assert upkeep.verify(bank) == []
        # Nothing is left over for the second pass.
        (again,) = enforce(bank)
        assert (again.held_now, again.released) == ([], [])
