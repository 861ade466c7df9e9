"""The command that takes the predecessor's database over: what it says, and its exit status."""

import json
import os
from pathlib import Path

import pytest

import slurm_bank
from bank.cli.main import run
from tests.cli.conftest import Command, Done
from tests.fake_slurm import FakeSlurm
from tests.predecessor.old_file import make_old_database, old_row

SU = 3600


@pytest.fixture
def migrate(
    fake: FakeSlurm, settings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run migrate on a database of the predecessor in which much is awkward."""
    del settings
    fake.use(fake.add_user("test1"), 10 * SU)
    fake.limits["test2"]["GrpTRESMins=cpu"] = 0
    rows = [
        old_row(1, "test1", 10),
        old_row(2, "test2", -1, max_limit_informed=1),
        old_row(3, "gone", 5, evil="x"),
        old_row(4, "Gone", 7),
        old_row(5, "-h", 7),
    ]
    make_old_database(tmp_path / "bank.db", rows)

    def call(*argv: str) -> Done:
        status = run(slurm_bank.__doc__ or "", ["migrate", *argv])
        return Done(status, *capfd.readouterr())

    return call


def test_refuses_with_each_choice_as_it_is_to_be_typed(migrate: Command, tmp_path: Path) -> None:
    done = migrate()
    assert (done.status, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[-1] == f"{tmp_path}/bank.db is not taken over: nothing was written"
    assert any(line.endswith("keep one with --choose 3 or --choose 4") for line in lines)
    assert any("leave it out with --choose out:5 and insert" in line for line in lines)


def test_takes_over_what_was_chosen_and_says_what_differs(migrate: Command, tmp_path: Path) -> None:
    rehearsed = migrate("--choose", "4,out:5", "--dry-run")
    assert rehearsed.status == 0
    assert rehearsed.out.endswith(f"{tmp_path}/bank.db would be taken over: 3 accounts\n")
    done = migrate("--choose", "4,out:5")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[:-2] == rehearsed.out.splitlines()[:-1]
    assert lines[-2] == f"{tmp_path}/bank.db was taken over: 3 accounts"
    (kept,) = tmp_path.glob("bank.db.predecessor-*")
    assert lines[-1] == f"as it was it is {kept}"
    assert "row 4: 'Gone' is gone, as Slurm has it" in lines
    assert "columns that stay in the copy only: evil" in lines
    assert "in the bank and not in Slurm: gone" in lines
    table = [line.split("\t") for line in lines if "\t" in line]
    assert [row[:6] for row in table] == [
        ["account", "limit_su", "used_su", "old_check", "first_pass", "defect"],
        ["test1", "10", "10", "nothing", "hold", "9"],
        ["test2", "unlimited", "0", "stays held", "release", "6"],
    ]
    again = migrate()
    assert again.out.endswith("has schema 4: nothing to do\n")


def test_programs_get_all_of_it(migrate: Command) -> None:
    done = migrate("--json", "--dry-run")
    found = json.loads(done.out)
    assert (done.status, found["is_refused"], found["is_dry_run"]) == (1, True, True)
    assert [row["number"] for row in found["conflicts"][0]["rows"]] == [3, 4]
    assert [row["number"] for row in found["unusable"]] == [5]
    found = json.loads(migrate("--json", "--choose", "3,out:5").out)
    assert (found["from"], found["taken"], Path(found["kept"]).is_file()) == (
        "predecessor",
        3,
        True,
    )
    assert {one["account"]: one["number"] for one in found["compared"]} == {
        "gone": None,
        "test1": 9,
        "test2": 6,
    }


@pytest.mark.parametrize(
    ("choices", "status", "said"),
    [("4,out:5,out:9", 1, "cannot be chosen: out:9: there is no such row"), ("x", 65, "'x'")],
)
def test_a_choice_that_makes_no_sense_is_refused(
    migrate: Command, choices: str, status: int, said: str
) -> None:
    done = migrate("--choose", choices)
    assert done.status == status
    assert said in done.out + done.err


def test_nothing_is_to_be_chosen_in_a_database_of_the_bank(command: Command) -> None:
    done = command("migrate", "--choose", "7")
    assert done.status == 1
    assert "nothing_to_choose" in done.err


def test_a_missing_file_is_said_before_an_empty_bank_is_made(
    migrate: Command, tmp_path: Path
) -> None:
    for left in tmp_path.glob("bank.db*"):
        left.unlink()
    done = migrate("--choose", "4", "--dry-run")
    assert done.status == 1
    assert f"there is no database at {tmp_path}/bank.db: copy the predecessor's" in done.err
    done = migrate("--dry-run")
    assert done.status == 0
    assert "that is an empty bank, because there is nothing yet: to move in, copy" in done.out
    assert not list(tmp_path.glob("bank.db*"))


@pytest.mark.parametrize("choose", [[], ["--choose", "4,out:5"]])
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("DB_TABLE_NAME", "crc", "holds a table sbank and is not the bank's"),
        ("DATABASE", "/nowhere/at/all.db", "the directory of DATABASE, /nowhere/at, is not there"),
    ],
)
def test_a_rehearsal_refuses_what_the_takeover_does(
    migrate: Command, settings: Path, choose: list[str], setting: str, value: str, said: str
) -> None:
    text = "".join(
        line for line in settings.read_text().splitlines(True) if not line.startswith(setting)
    )
    settings.write_text(f"{text}{setting} = {value!r}\n")
    for more in ([], ["--dry-run"]):
        done = migrate(*choose, *more)
        assert (done.status, said in done.err) == (78, True), done


@pytest.mark.parametrize("choose", [[], ["--choose", "4,out:5"]])
def test_a_rehearsal_refuses_where_nothing_can_be_written(
    migrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choose: list[str]
) -> None:
    access = os.access

    # Root may write everywhere but on a read-only file system, which a test cannot mount.
    def is_allowed(path: str, mode: int) -> bool:
        return path != str(tmp_path) and access(path, mode)

    monkeypatch.setattr(os, "access", is_allowed)
    for more in ([], ["--dry-run"]):
        done = migrate(*choose, *more)
        assert (done.status, f"{tmp_path} cannot be written" in done.err) == (77, True), done


@pytest.mark.parametrize("verb", [["list"], ["enforce"], ["verify"], ["balance", "test1"]])
def test_every_verb_says_that_the_predecessors_database_is_to_be_migrated(
    migrate: Command, capfd: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    del migrate
    assert run(slurm_bank.__doc__ or "", verb) == 78
    assert "is the predecessor's database: take it over with" in capfd.readouterr().err


def test_a_database_of_the_predecessor_is_no_backup(command: Command, tmp_path: Path) -> None:
    make_old_database(tmp_path / "old.db", [old_row(1, "test1", 10)])
    done = command("restore", str(tmp_path / "old.db"), "--yes")
    assert (done.status, "old.db is not a copy of the bank" in done.err) == (65, True)
    assert "correct DATABASE" not in done.err
