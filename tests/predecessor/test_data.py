"""Defects 44 to 61 of the predecessor: the database, dumps and the log.

docs/predecessor.md says what went wrong there.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bank.store import create
from tests.cli.conftest import Command
from tests.crash import steps
from tests.crash.test_faults_of_store import NOBODY, as_nobody
from tests.fake_slurm import FakeSlurm
from tests.predecessor.conftest import HELD, SU, open_to_all

ROOT = Path(__file__).resolve().parent.parent.parent


def test_44_no_account_can_have_two_rows(command: Command, tmp_path: Path) -> None:
    command("insert", "test1", "10")
    assert command("insert", "TEST1", "20").status == 1
    connection = sqlite3.connect(tmp_path / "bank.db")
    for statement in (
        "INSERT INTO account (name) VALUES ('test1')",
        "INSERT INTO sbank (account) VALUES ('test1')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(statement)
    connection.close()


def test_47_a_hold_is_on_record_although_it_cannot_be_logged(
    command: Command, fake: FakeSlurm, settings: Path
) -> None:
    command("insert", "test1", "1")
    fake.use(fake.add_user("test1"), 2 * SU)
    (settings.parent / "bank.log").unlink()
    (settings.parent / "bank.log").mkdir()
    done = command("enforce")
    assert done.status == 0
    assert "not logged" in done.err
    assert fake.limits["test1"] == HELD
    assert json.loads(command("balance", "test1", "--json").out)["held"].startswith("by the bank")


def test_58_every_limit_that_an_account_ever_had_stands_in_its_history(command: Command) -> None:
    command("insert", "test1", "10")
    for verb, amount in (("add", "5"), ("withdraw", "2"), ("modify", "100"), ("modify", "1")):
        command(verb, "test1", amount)
    events = json.loads(command("history", "test1", "--json").out)
    granted = [event["granted_su"] for event in events if event["amount_su"] is not None]
    assert granted == ["10", "15", "13", "100", "1"]


def test_59_a_line_of_the_log_says_who_what_and_when_and_cannot_be_forged(
    command: Command,
    log: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bank.cli.main.login", lambda: "ada")
    command("insert", "test1", "10")
    command("add", "test1", "5", "--reason", 'more", "actor": "bob')
    assert command("add", "test1", "5", "--reason", "a\n{}").status == 2
    assert command("add", "test1\n{}", "5").status == 65
    *_, last = log()
    assert last["at"].endswith("Z")
    assert {key: last[key] for key in ("event", "actor", "account", "amount_su", "reason")} == {
        "event": "add",
        "actor": "ada",
        "account": "test1",
        "amount_su": "5",
        "reason": 'more", "actor": "bob',
    }
    # What it was before and what it is now is the ledger's to say, and no log rotates that.
    events = json.loads(command("history", "test1", "--json").out)
    assert [event["granted_su"] for event in events if event["kind"] == "deposit"] == ["10", "15"]


def test_60_who_may_not_use_the_database_is_told_and_no_shared_disk_is_taken(
    command: Command, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    database = state / "bank.db"
    settings.write_text(settings.read_text().replace(f"{tmp_path}/bank.db", str(database)))
    assert command("migrate").status == 0
    command("insert", "test1", "10")
    scripts = [shutil.copy(ROOT / name, tmp_path) for name in ("db_print.sh", "env.sh")]
    open_to_all(settings)
    for mode, status in ((0o700, 78), (0o755, 69)):
        state.chmod(mode)
        for left in state.glob("bank.db-*"):
            left.unlink()
        for argv in (["get_sus", "test1"], ["add", "test1", "5"], ["migrate", "--dry-run"]):
            ended = steps.command(settings, *argv, prepare=as_nobody)
            assert (ended.status, ended.err.count("\n")) == (77, 1), ended
            assert "run as the user who owns it" in ended.err
        done = subprocess.run(
            [scripts[0]],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "SLURM_BANK_SETTINGS": str(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, "")
        assert "this user" in done.stderr or "run as the user who owns it" in done.stderr
    for left in state.glob("bank.db*"):
        left.unlink()
    ended = steps.command(settings, "migrate", prepare=as_nobody)
    assert (ended.status, "cannot be written by this user" in ended.err) == (77, True), ended
    monkeypatch.setattr(create, "file_system", lambda directory: f"nfs4{directory[:0]}")
    done_at_last = command("migrate")
    assert (done_at_last.status, "shared file system (nfs4)" in done_at_last.err) == (78, True)
    assert not database.exists()
