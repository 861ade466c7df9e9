"""Defects 62 to 67 of the predecessor: what others could make the bank do.

docs/predecessor.md says what went wrong there.
"""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.crash import steps
from tests.crash.test_faults_of_store import as_nobody
from tests.fake_slurm import FakeSlurm
from tests.predecessor.conftest import SU, open_to_all
from tests.predecessor.programs import Programs

ROOT = Path(__file__).resolve().parent.parent.parent


def test_62_what_is_no_account_name_never_comes_near_a_command_line(
    command: Command, fake: FakeSlurm, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    before = len(fake.calls)
    for name in (f"x; touch {ran} #", f"$(touch {ran})", f"`touch {ran}`", "x\ntrue", "x|true"):
        for argv in (["get_sus", name], ["release_hold", name], ["insert", name, "1"]):
            done = command(*argv)
            assert (done.status, "is not an account name" in done.err) == (65, True), argv
    assert fake.calls[before:] == []
    assert not ran.exists()


def test_63_commands_of_slurm_are_not_looked_for_in_the_callers_path(
    programs: Programs, tmp_path: Path
) -> None:
    strange, ran = tmp_path / "strange", tmp_path / "ran"
    strange.mkdir()
    for name in ("scontrol", "sshare", "sacctmgr", "sacct"):
        (strange / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (strange / name).chmod(0o755)
    path = f"{strange}:/usr/bin:/bin"
    done = programs.run_script(ROOT / "slurm_bank_cron.sh", directory=strange, PATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not ran.exists()
    # Where SLURM_BIN lacks one, another is not taken in its place.
    (programs.directory / "scontrol").unlink()
    done = programs.run_script(ROOT / "slurm_bank_cron.sh", directory=strange, PATH=path)
    assert (done.returncode, "SLURM_BIN" in done.stderr) == (69, True)
    assert not ran.exists()


def test_64_nothing_of_the_directory_one_stands_in_is_run(
    programs: Programs, tmp_path: Path
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    ran = tmp_path / "ran"
    (strange / "env.sh").write_text(f"touch {ran}\n")
    for name in ("py_sb_settings.py", "bank.py", "docopt.py", "sqlite3.py", "slurm_bank.py"):
        (strange / name).write_text(f"open({str(ran)!r}, 'w')\n")
    for script in ("slurm_bank_cron.sh", "db_print.sh"):
        done = programs.run_script(ROOT / script, directory=strange)
        assert done.returncode == 0, done
    assert not ran.exists()


def test_65_who_may_not_write_the_database_changes_nothing_and_who_did_is_named(
    command: Command, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody has logged in, as in a container: sudo says who asks.
    login = tmp_path / "loginuid"
    login.write_text("4294967295")
    monkeypatch.setattr("bank.operations.bank.open", lambda *_, **__: login.open(), raising=False)
    monkeypatch.setenv("SUDO_USER", "ada")
    command("insert", "test1", "10")
    # Somebody has: that counts, whatever the environment says.
    login.write_text("1")
    command("add", "test1", "5")
    events = json.loads(command("history", "test1", "--json").out)
    actors = [event["actor"] for event in events if event["kind"] == "deposit"]
    assert actors == ["ada", pwd.getpwuid(1).pw_name]
    open_to_all(settings)
    for verb in ("add", "modify", "withdraw"):
        assert steps.command(settings, verb, "test1", "5", prepare=as_nobody).status == 77
    assert command("get_sus", "test1").out == "Account test1 has 15 SUs\n"


@pytest.fixture
def generous_umask() -> Iterator[None]:
    """Let every new file be written by everybody, unless its maker says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("generous_umask")
def test_67_nothing_that_the_bank_makes_can_be_read_or_written_by_others(
    command: Command, fake: FakeSlurm, programs: Programs, tmp_path: Path
) -> None:
    fake.use(fake.add_user("test1"), 20 * SU)
    command("enforce")
    programs.run_script(ROOT / "slurm_bank_cron.sh", cron_log_dir=str(tmp_path))
    command("list")
    copy = tmp_path / "copy.db"
    command("backup", str(copy))
    assert command("restore", str(copy), "--yes").status == 0
    made = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*") if path.is_file()}
    del made["settings.py"]
    assert {"bank.db", "bank.db.lock", "bank.log", "copy.db", "cron.log"} < set(made)
    assert {name: oct(mode) for name, mode in made.items() if mode & 0o027} == {}
