"""Defects 68 to 86 of the predecessor: cron, scripts, and living with it.

docs/predecessor.md says what went wrong there.
"""

import fcntl
import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

import bank
from bank.settings import SITE_DIRECTORY, find_file
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm
from tests.predecessor.conftest import HELD, SU
from tests.predecessor.programs import Programs

ROOT = Path(__file__).resolve().parent.parent.parent
CRON, PRINT = ROOT / "slurm_bank_cron.sh", ROOT / "db_print.sh"
PASS = re.compile(r"fake: 1 account, 0 SUs charged, 0 held now")


def test_68_cron_finds_everything_from_wherever_it_starts(programs: Programs) -> None:
    for directory in (Path("/"), programs.directory):
        done = programs.run_script(CRON, directory=directory)
        assert (done.returncode, done.stderr) == (0, "")
        assert PASS.search(done.stdout)
    # A log that cannot be written keeps no pass from being run.
    (programs.directory / "cron.log").mkdir()
    done = programs.run_script(CRON, cron_log_dir=str(programs.directory))
    assert (done.returncode, "cron.log" in done.stderr) == (0, True)
    assert PASS.search(done.stdout)


def test_69_a_long_name_is_not_cut_off(command: Command, fake: FakeSlurm) -> None:
    name = "a_very_long_name_of_a_project_with_more_than_thirty_letters"
    fake.add_account(name)
    command("insert", name, "0")
    assert fake.limits[name] == HELD
    assert name in command("list").out


def test_70_the_prefix_is_the_first_letters_and_no_pattern(
    command: Command, fake: FakeSlurm, settings: Path
) -> None:
    for name in ("phys.01", "physx01", "biophys.01"):
        fake.add_account(name)
        fake.add_user(name)
    with settings.open("a", encoding="utf-8") as file:
        file.write("PROJECT_PREFIX = 'phys.'\nUNKNOWN_ACCOUNTS = 'hold'\n")
    assert "in Slurm and not in the bank: phys.01\n" in command("enforce").out
    assert [name for name, limits in fake.limits.items() if limits] == ["phys.01"]


def test_71_scripts_run_from_a_directory_of_any_name(programs: Programs, tmp_path: Path) -> None:
    home = tmp_path / "a b *  $HOME"
    home.mkdir()
    for script in ("env.sh", "slurm_bank_cron.sh", "db_print.sh", "slurm_bank.py"):
        shutil.copy(ROOT / script, home)
    (home / "bank").symlink_to(ROOT / "bank")
    (home / "logs").mkdir()
    done = programs.run_script(home / "slurm_bank_cron.sh", cron_log_dir=str(home / "logs"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert PASS.search((home / "logs" / "cron.log").read_text())
    assert programs.run_script(home / "db_print.sh").stdout.startswith("1|test1|10|")


def test_72_a_pass_neither_runs_beside_another_nor_waits_for_ever(programs: Programs) -> None:
    with (programs.settings.parent / "bank.db.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = programs.run_script(CRON)
        assert (done.returncode, "another pass is running" in done.stderr) == (75, True)
    with programs.settings.open("a", encoding="utf-8") as file:
        file.write("SLURM_TIMEOUT_SECONDS = 1\n")
    programs.write("scontrol", "exec sleep 600")
    done = programs.run_script(CRON)
    assert (done.returncode, "did not answer within 1 s" in done.stderr) == (75, True)


def test_73_a_pass_that_failed_says_so_to_cron(programs: Programs) -> None:
    programs.write("scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1")
    done = programs.run_script(CRON)
    assert done.returncode == 69
    assert "Unable to contact slurm controller" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_74_slurm_is_asked_as_often_for_a_thousand_accounts_as_for_one(
    command: Command, fake: FakeSlurm, programs: Programs
) -> None:
    asked = []
    for count in (1, 1000):
        for number in range(len(fake.parents), count):
            fake.add_account(f"many{number}")
        programs.answer()
        programs.calls.write_text("")
        assert programs.run_script(CRON).returncode == 0
        asked.append(len(programs.calls.read_text().splitlines()))
    assert asked == [3, 3]
    del command


def test_75_an_account_that_slurm_lost_is_reported(command: Command, fake: FakeSlurm) -> None:
    command("insert", "test1", "10")
    del fake.parents["test1"]
    assert "fake: in the bank and not in Slurm: test1\n" in command("enforce").out


def test_76_accounts_are_listed_with_who_is_held_and_can_be_deleted(command: Command) -> None:
    command("insert", "test1", "0")
    command("insert", "dept", "5")
    held = {
        state["account"]: state["is_held"] for state in json.loads(command("list", "--json").out)
    }
    assert held == {"test1": True, "dept": False}
    assert command("delete", "dept", "--force", "--yes").status == 0
    assert [state["account"] for state in json.loads(command("list", "--json").out)] == ["test1"]


def test_77_the_table_is_printed_from_any_directory_whatever_the_quotes(
    programs: Programs,
) -> None:
    text = programs.settings.read_text(encoding="utf-8")
    for settings in (
        text,
        text.replace("'", '"'),
        f"{text}DB_TABLE_NAME = 'sbank' # it's so\n",
        f"{text}DB_TABLE_NAME='sbank'#and not 'other'\n",
        f"{text}DB_TABLE_NAME = 'other'\nDB_TABLE_NAME\t=\t\"sbank\" # 'x'\n",
    ):
        programs.settings.write_text(settings, encoding="utf-8")
        done = programs.run_script(PRINT)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"1\|test1\|10\|\d{4}-\d\d-\d\d\|0\|0\|0\n", done.stdout)
    programs.settings.write_text("DATABASE = '/nonexistent/bank.db'\n", encoding="utf-8")
    done = programs.run_script(PRINT)
    assert (done.returncode, done.stdout) == (78, "")
    assert "'/nonexistent/bank.db', and this user sees no such file" in done.stderr


def test_78_the_paths_of_env_sh_are_those_of_every_script(programs: Programs) -> None:
    program = programs.write("table", 'echo "$@"')
    done = programs.run_script(PRINT, SQLITE3=str(program))
    assert f"{programs.settings.parent}/bank.db SELECT" in done.stdout
    program = programs.write("python", 'echo "$@"')
    done = programs.run_script(CRON, PYTHON=str(program), script_home="/elsewhere")
    assert done.stdout.endswith("/elsewhere/slurm_bank.py enforce\n")


def test_79_what_is_used_and_left_is_shown_beside_the_limit(
    command: Command, fake: FakeSlurm
) -> None:
    command("insert", "test1", "10")
    fake.use(fake.add_user("test1"), 4 * SU)
    command("enforce")
    state = json.loads(command("balance", "test1", "--json").out)
    assert (state["limit_su"], state["used_su"], state["available_su"]) == ("10", "4", "6")
    assert command("add", "test1", "1").out == "Account test1 has 11 SUs, 4 used, 7 available\n"


def test_80_an_account_that_is_not_there_is_called_by_its_name(command: Command) -> None:
    for verb in ("get_sus", "balance", "check_service_units_limit", "release_hold"):
        done = command(verb, "zz")
        assert done.status == 1
        assert "Account zz doesn't exist in the bank" in done.err


def test_81_what_the_bank_knows_is_told_without_asking_slurm(
    command: Command, fake: FakeSlurm
) -> None:
    command("insert", "test1", "10")
    del fake.parents["test1"]
    before = len(fake.calls)
    assert command("get_sus", "test1").out == "Account test1 has 10 SUs\n"
    assert command("history", "test1").status == 0
    assert fake.calls[before:] == []


def test_82_each_outcome_of_a_check_can_be_told_from_the_others(
    command: Command, fake: FakeSlurm, settings: Path
) -> None:
    command("insert", "test1", "1")
    fine = command("check_service_units_limit", "test1")
    assert (fine.status, fine.out) == (0, "Account test1: 0 of 1 SUs used (0 %), held: no\n")
    fake.use(fake.add_user("test1"), SU)
    held = command("check_service_units_limit", "test1")
    assert "held: by the bank: nothing left" in held.out
    assert json.loads(command("check_service_units_limit", "test1", "--json").out)["is_held"]
    statuses = {
        command("check_service_units_limit", "zz").status,
        command("check_service_units_limit").status,
        command("check_service_units_limit", "a,b").status,
    }
    assert statuses == {1, 2, 65}
    with settings.open("a", encoding="utf-8") as file:
        file.write("LOGFILE = '/nonexistent/log'\n")
    warned = command("add", "test1", "1")
    assert "warning" in warned.err
    assert "warning" not in warned.out


def test_83_use_is_shown_for_each_user(command: Command, fake: FakeSlurm) -> None:
    command("insert", "test1", "10")
    for user, su in (("ada", 1), ("bob", 2)):
        fake.use(fake.add_user("test1", user), su * SU)
    command("enforce")
    events = json.loads(command("history", "test1", "--json").out)
    used = {event["user"]: event["amount_su"] for event in events if event["kind"] == "charge"}
    assert used == {"ada": "1", "bob": "2"}


def test_85_what_must_be_installed_is_one_package_below_its_next_major_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [re.split("[<>=]", need)[0] for need in project["dependencies"]] == ["docopt-ng"]
    extra = [need for needs in project["optional-dependencies"].values() for need in needs]
    for need in (*project["dependencies"], *extra):
        assert re.fullmatch(r"[a-z-]+>=[\d.]+,<(\d+|0\.\d+)", need), need
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z][^ =]*)==[^ ]+", lock, re.MULTILINE)
    assert len(pinned) > 10
    assert len(re.findall(r"==[^\\]*\\\n    --hash=sha256:", lock)) == len(pinned)


def test_86_it_is_packaged_tested_and_has_its_settings_outside_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["project"]["scripts"] == {"slurm-bank": "slurm_bank:main"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    version = bank.__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # The site's file comes before the one that lies beside the code.
    site = tmp_path / "etc"
    site.mkdir()
    for place in (site, tmp_path):
        (place / "py_sb_settings.py").write_text("")
    assert SITE_DIRECTORY == "/etc/slurm_bank"
    monkeypatch.setattr("bank.settings.SITE_DIRECTORY", str(site))
    assert find_file({}, str(tmp_path)) == str(site / "py_sb_settings.py")
