"""What a person types and reads: sentences, exit statuses, refusals by name."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import slurm_bank
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

ROOT = Path(__file__).parent.parent.parent


def row(settings: Path) -> str:
    """Return what the sqlite3 tool prints of the accounts table."""
    with sqlite3.connect(settings.parent / "bank.db") as database:
        rows = database.execute("SELECT * FROM sbank ORDER BY id").fetchall()
    database.close()
    return "\n".join("|".join(map(str, columns)) for columns in rows)


def test_the_first_example_of_the_predecessor(command: Command, settings: Path) -> None:
    assert command("insert", "test1", "10000").status == 0
    assert command("get_sus", "test1").out == "Account test1 has 10000 SUs\n"
    shown = row(settings).split("|")
    assert [*shown[:3], *shown[4:]] == ["1", "test1", "10000", "0", "0", "0"]
    assert len(shown[3]) == len("2022-04-08")


def test_its_verbs_change_the_limit_as_they_did(command: Command, settings: Path) -> None:
    command("insert", "test1", "100")
    command("add", "test1", "50")
    assert command("get_sus", "test1").out == "Account test1 has 150 SUs\n"
    command("modify", "test1", "10,000")
    assert command("get_sus", "test1").out == "Account test1 has 10000 SUs\n"
    command("modify", "test1", "-1")
    assert command("get_sus", "test1").out == "Account test1 has -1 SUs (unlimited)\n"
    assert "|test1|-1|" in row(settings)


def test_adding_to_an_unlimited_account_leaves_it_unlimited(command: Command) -> None:
    command("insert", "test1", "-1")
    assert command("add", "test1", "100").status == 0
    assert "unlimited" in command("get_sus", "test1").out


def test_fractions_are_kept_and_shown_to_others_rounded_down(
    command: Command, settings: Path
) -> None:
    command("insert", "test1", "99.5")
    assert command("get_sus", "test1").out == "Account test1 has 99.5 SUs\n"
    assert "|test1|99|" in row(settings)


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("insert", "test1", "10"), 1, "already exists"),
        (("insert", "nosuch", "10"), 1, "sacctmgr add account nosuch"),
        (("modify", "test2", "10"), 1, "doesn't exist in the bank, did you want to insert it?"),
        (("add", "test2", "10"), 1, "did you want to insert it?"),
        (("get_sus", "test2"), 1, "did you want to insert it?"),
        (("history", "test2"), 1, "never had an account test2"),
        (("release_hold", "test2"), 1, "did you want to insert it?"),
        (("withdraw", "test1", "101"), 1, "available are 100 (100 granted, 0 used"),
        (("withdraw", "test1", "0"), 1, "changes nothing"),
        (("add", "test1", "0"), 1, "changes nothing"),
        (("delete", "test1", "--yes"), 1, "100 SUs left"),
        (("delete", "test1", "--force"), 2, "say --yes"),
        (("delete", "test1"), 1, "has 100 SUs left"),
        (("delete", "nosuch"), 1, "doesn't exist in the bank"),
        (("insert", "root", "10"), 65, "'root'"),
        (("insert", "a,root", "10"), 65, "'a,root' is not an account name"),
        (("insert", "--", "-h", "5"), 2, "not understood"),
        (("insert", "--", "5"), 65, "'--' is not an account name"),
        (("add", "test1", "-1"), 65, "use withdraw"),
        (("add", "test1", "-5"), 65, "use withdraw"),
        (("modify", "test1", "-2"), 65, "'-2' is not an amount"),
        (("add", "test1", "1e6"), 65, "'1e6' is not an amount"),
        (("add", "test1", "-inf"), 65, "use withdraw"),
        (("add", "test1", "1_000"), 65, "'1_000' is not an amount"),
        (("add", "test1", "99999999999999999999"), 65, "too large"),
        (("add", "test1"), 2, "it goes: add <account> <su> [--dry-run]"),
        (("ad", "test1", "5"), 2, "did you mean add?"),
        ((), 2, "no command was given"),
        (("balance", "--dry-run"), 2, "balance does not take --dry-run"),
        (("add", "test1", "5", "--dry"), 2, "--dry is not an option"),
        (("add", "test1", "5", "--js"), 2, "--js is not an option"),
        (("add", "test1", "5", "--reason", "a\nb"), 2, "printable"),
        (("add", "test1", "5", "--key", ""), 2, "printable"),
        (("restore", "/nosuch", "--yes"), 65, "/nosuch is not there"),
    ],
)
def test_refusals(command: Command, argv: tuple[str, ...], status: int, said: str) -> None:
    command("insert", "test1", "100")
    before = command("history", "test1").out
    done = command(*argv)
    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err
    if status:
        assert len(done.err.splitlines()) == 1
    assert command("history", "test1").out == before


def test_an_error_is_json_where_json_was_asked_for(command: Command) -> None:
    done = command("get_sus", "nosuch", "--json")
    assert done.status == 1
    assert json.loads(done.out)["error"]["code"] == "no_such_account"
    assert done.err == ""


def test_a_dry_run_says_what_would_be_and_does_nothing(
    command: Command, fake: FakeSlurm, settings: Path
) -> None:
    command("insert", "test1", "10")
    association = fake.add_user("test1")
    before = command("history", "test1").out, row(settings)
    calls = len(fake.calls)
    for verb in ("insert test2 5", "add test1 5", "modify test1 5", "withdraw test1 5"):
        done = command(*verb.split(), "--dry-run")
        assert done.status == 0
        assert "dry run" in done.out
    for verb in ("reset_usage", "hold", "delete"):
        assert "dry run" in command(verb, "test1", "--dry-run", *_force(verb)).out
    fake.use(association, 36_000)
    assert "1 would be held now" in command("enforce", "--dry-run").out
    assert (command("history", "test1").out, row(settings)) == before
    assert not [argv for argv in fake.calls[calls:] if argv[0] == "sacctmgr"]
    assert fake.limits["test1"] == {}


def _force(verb: str) -> list[str]:
    return ["--force"] if verb == "delete" else []


@pytest.mark.parametrize("reason", ["its period ended on 2025-01-01", "deleted while it was held"])
def test_a_hold_by_hand_cannot_say_what_only_the_bank_says(command: Command, reason: str) -> None:
    command("insert", "test1", "10")
    done = command("hold", "test1", "--reason", reason)
    assert (done.status, done.err.endswith("(reserved_reason)\n")) == (1, True)
    assert "say why in other words" in done.err
    assert json.loads(command("balance", "test1", "--json").out)["is_held"] is False
    assert command("hold", "test1", "--reason", f"{reason}.").status == 0


def test_no_limit_grows_to_what_no_file_could_take_back(command: Command, tmp_path: Path) -> None:
    most = "99999999999"
    command("insert", "test1", most)
    done = command("add", "test1", "1")
    assert (done.status, done.err.endswith("(too_much)\n")) == (1, True)
    assert command("add", "test1", "0.9997").status == 0
    assert command("dump_json", str(tmp_path / "dump")).status == 0
    assert command("export_csv", str(tmp_path / "grants")).status == 0
    assert command("import_csv", str(tmp_path / "grants")).status == 0


def test_a_repeated_key_is_answered_and_not_done_again(command: Command) -> None:
    command("insert", "test1", "10")
    first = command("add", "test1", "5", "--key", "k1")
    second = command("add", "test1", "5", "--key", "k1")
    assert (first.status, second.status) == (0, 0)
    assert "done before" in second.out
    assert command("get_sus", "test1").out == "Account test1 has 15 SUs\n"
    for other in (("add", "test1", "6"), ("withdraw", "test1", "5"), ("add", "test2", "5")):
        done = command(*other, "--key", "k1")
        assert done.status == 1
        assert "needs a new key" in done.err


def test_who_did_it_and_why_stands_in_the_history(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bank.cli.main.login", lambda: "ada")
    command("insert", "test1", "10", "--reason", "first year")
    events = json.loads(command("history", "test1", "--json").out)
    assert {(event["actor"], event["reason"]) for event in events} == {("ada", "first year")}


def test_piped_tables_are_lines_with_tabs(command: Command) -> None:
    command("insert", "test1", "10")
    command("insert", "test2", "-1")
    lines = [line.split("\t") for line in command("balance").out.splitlines()]
    assert lines == [
        ["account", "limit_su", "used_su", "set_aside_su", "available_su", "percent", "held"],
        ["test1", "10", "0", "0", "10", "0", "no"],
        ["test2", "unlimited", "0", "0", "unlimited", "-", "no"],
    ]


def test_balance_for_programs_has_exact_numbers(command: Command, fake: FakeSlurm) -> None:
    association = fake.add_user("test1")
    fake.use(association, 1801)
    fake.running["test1"] = 30
    command("insert", "test1", "10")
    state = json.loads(command("balance", "test1", "--json").out)
    assert state["limit_billing_seconds"] == 36_000
    assert state["used_billing_seconds"] == 1801
    assert state["set_aside_billing_seconds"] == 1800
    assert state["available_billing_seconds"] == 36_000 - 1801 - 1800
    assert state["used_su"] == "0.5003"


def test_a_pass_holds_and_a_top_up_releases(command: Command, fake: FakeSlurm) -> None:
    command("insert", "test1", "1")
    association = fake.add_user("test1")
    fake.use(association, 3600)
    done = command("enforce")
    assert "1 held now" in done.out
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    assert "nothing left" in command("balance", "test1").out
    refused = command("release_hold", "test1")
    assert (refused.status, "add SUs" in refused.err) == (1, True)
    command("add", "test1", "1")
    assert fake.limits["test1"] == {}
    assert command("balance", "test1").out.endswith("no\n")


def test_a_deleted_account_goes_on_where_it_ended(command: Command) -> None:
    command("insert", "test1", "10")
    assert command("delete", "test1", "--force", "--yes").status == 0
    assert command("get_sus", "test1").status == 1
    command("insert", "test1", "7")
    assert command("get_sus", "test1").out == "Account test1 has 7 SUs\n"
    kinds = [event["kind"] for event in json.loads(command("history", "test1", "--json").out)]
    assert kinds.count("deposit") == 2
    assert command("verify").out == "the books agree\n"


def test_backup_and_restore_bring_back_everything(command: Command, tmp_path: Path) -> None:
    command("insert", "test1", "10")
    copy = tmp_path / "copy.db"
    assert command("backup", str(copy)).status == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert command("backup", str(copy)).status == 65
    command("add", "test1", "5")
    assert command("restore", str(copy), "--yes").status == 0
    assert command("get_sus", "test1").out == "Account test1 has 10 SUs\n"
    assert command("verify").out == "the books agree\n"
    assert list(tmp_path.glob("bank.db.before-restore-*"))


def test_restore_names_the_holds_and_accounts_that_it_forgets(
    command: Command, settings: Path, tmp_path: Path
) -> None:
    command("insert", "test1", "10")
    path = tmp_path / "backup"
    command("backup", str(path))
    command("hold", "test1", "--reason", "fraud")
    command("insert", "test2", "10")
    held = f"held by hand now, and not any more with {path}: test1\n"
    said = f"{held}open now, and not in {path}: test2\n"
    assert command("restore", str(path)).out == said
    assert command("restore", str(path), "--dry-run").out.startswith(said)
    done = command("restore", str(path), "--yes")
    assert done.out.startswith(said)
    kept = done.out.split()[-1]
    # The other way round nothing is forgotten.
    done = command("restore", kept, "--yes", "--json")
    assert json.loads(done.out)["not_held_any_more"] == []
    assert json.loads(done.out)["not_open_any_more"] == []
    assert json.loads(command("balance", "test1", "--json").out)["is_held"] is True
    (settings.parent / "bank.db").unlink()
    assert command("restore", kept, "--yes").out.startswith("what is there now cannot be read")


def test_every_write_leaves_a_line_in_the_log(command: Command, settings: Path) -> None:
    command("insert", "test1", "10")
    command("add", "test1", "5", "--reason", "more")
    log = (settings.parent / "bank.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["event"] for line in lines] == ["migrate", "insert", "add"]
    assert lines[-1]["reason"] == "more"
    assert lines[-1]["heads"]["test1"].startswith("2:")


def test_a_log_that_cannot_be_written_does_not_undo_what_was_done(
    command: Command, settings: Path
) -> None:
    text = settings.read_text().replace("bank.log", "nosuch/bank.log")
    settings.write_text(text)
    done = command("insert", "test1", "10")
    assert done.status == 0
    assert "done, but not logged" in done.err
    assert command("get_sus", "test1").out == "Account test1 has 10 SUs\n"


def test_help_and_version_need_neither_settings_nor_slurm(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_BANK_SETTINGS", "/nosuch")
    for argv in (["-h"], ["--help"], ["-v"], ["--version"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "slurm_bank.py"), *argv], check=True, capture_output=True
        )
        assert done.stdout.startswith(b"slurm_bank.py")
    capfd.readouterr()


def test_a_missing_database_is_named_and_not_made(settings: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "slurm_bank.py"), "balance"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 78
    assert "slurm_bank.py migrate" in done.stderr
    assert not (settings.parent / "bank.db").exists()


def test_who_makes_a_database_that_another_is_making_finds_it_made(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("insert", "test1", "10")
    monkeypatch.setattr("bank.store.create.is_there", lambda _: False)
    done = command("migrate")
    assert (done.status, "nothing to do" in done.out) == (0, True)
    assert command("get_sus", "test1").status == 0


def test_a_reader_that_goes_away_is_no_fault(command: Command) -> None:
    for name in ("test1", "test2"):
        command("insert", name, "10")
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, str(ROOT / "slurm_bank.py"), "history", "test1"],
        check=False,
        stdout=write_end,
        stderr=subprocess.PIPE,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_answer_that_cannot_be_printed_is_not_called_undone(
    command: Command, options: list[str]
) -> None:
    command("insert", "test1", "10")
    with open("/dev/full", "w", encoding="ascii") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, str(ROOT / "slurm_bank.py"), "balance", "test1", *options],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 74
    assert done.stderr.startswith("slurm_bank: the command came to its end, and its answer cannot")
    assert done.stderr.count("\n") == 1


def test_who_interrupts_is_told_to_look_first(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    command("insert", "test1", "10")
    with monkeypatch.context() as patch:
        patch.setattr("bank.operations.commands.enforce_soon", interrupt)
        done = command("add", "test1", "1")
    assert (done.status, done.out) == (130, "")
    assert "interrupted: what was begun may be booked: look with" in done.err
    assert command("get_sus", "test1").out == "Account test1 has 11 SUs\n"


def test_an_interrupt_before_anything_is_begun_shows_no_fault(tmp_path: Path) -> None:
    # Python looks here before it looks where docopt is.
    (tmp_path / "docopt.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, ROOT / "slurm_bank.py", "list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize(
    ("command_line", "status"),
    [
        ("balance nosuch --json >/dev/full", 74),
        ("balance nosuch 2>/dev/full", 1),
        ("balance nosuch 2>&-", 1),
        ("balance nosuch --json >&- 2>&-", 2),
        ("--help >/dev/full", 74),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_error_that_cannot_be_printed_keeps_its_status(
    command: Command, command_line: str, status: int, unbuffered: str
) -> None:
    assert command("list").status == 0
    done = subprocess.run(
        ["/bin/bash", "-c", f"{sys.executable} slurm_bank.py {command_line}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == status


def test_with_standard_output_closed_nothing_is_done(command: Command) -> None:
    command("insert", "test1", "10")
    program = f"exec {sys.executable} slurm_bank.py delete test1 --yes --force >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", program], check=False, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert "standard output is closed: nothing was done" in done.stderr
    assert command("get_sus", "test1").status == 0


def test_any_text_can_be_printed_wherever_it_goes(command: Command) -> None:
    command("insert", "test1", "10", "--reason", "für grün")
    done = subprocess.run(
        [sys.executable, str(ROOT / "slurm_bank.py"), "history", "test1"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "f\\xfcr gr\\xfcn" in done.stdout


def test_a_log_that_cannot_be_read_is_no_fault(command: Command, settings: Path) -> None:
    (settings.parent / "bank.log").unlink()
    (settings.parent / "bank.log").mkdir()
    done = command("verify")
    assert done.status == 77
    assert "bank.log cannot be read" in done.err


def test_another_accounts_table_is_named(command: Command, settings: Path) -> None:
    command("insert", "test1", "10")
    with settings.open("a") as file:
        file.write("DB_TABLE_NAME = 'other'\n")
    done = command("add", "test1", "5")
    assert done.status == 78
    assert "set DB_TABLE_NAME back" in done.err


def test_a_rehearsal_says_how_the_hold_would_be(command: Command) -> None:
    assert "held by the bank: nothing left" in command("insert", "test1", "0", "--dry-run").out
    command("insert", "test1", "0")
    assert "held" not in command("add", "test1", "5", "--dry-run").out
    assert "held by the bank: late" in command("hold", "test1", "--reason", "late", "--dry-run").out
    assert "held: by the bank: nothing left" in command("check_service_units_limit", "test1").out


def test_a_repeat_says_how_the_hold_is_now(command: Command) -> None:
    command("insert", "test1", "0", "--key", "k1")
    first = command("add", "test1", "5", "--key", "k2").out
    assert command("add", "test1", "5", "--key", "k2").out.startswith(first.rstrip("\n") + " (done")
    assert "held" not in command("insert", "test1", "0", "--key", "k1").out


@pytest.mark.parametrize("argv", [("add", "--help"), ("-h", "list"), ("insert", "-h", "5")])
def test_help_is_given_wherever_it_is_asked_for(command: Command, argv: tuple[str, ...]) -> None:
    done = command(*argv)
    assert (done.status, done.out) == (0, f"{(slurm_bank.__doc__ or '').strip()}\n")
    assert json.loads(command("list", "--json").out) == []


@pytest.mark.parametrize("verb", ["balance", "grants"])
def test_looking_loads_nothing_heavy(command: Command, verb: str) -> None:
    command("insert", "test1", "10")
    code = (
        f"import runpy, sys; sys.argv = ['slurm_bank.py', {verb!r}, 'test1']\n"
        "try: runpy.run_path('slurm_bank.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    heavy = {"subprocess", "logging", "dataclasses", "sqlalchemy", "dataset", "rich", "json"}
    assert heavy.isdisjoint(done.stderr.split())
    assert "\t10\t0\t" in done.stdout


class Screen(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("options", "seconds", "is_shown"),
    [((), 0.0, True), ((), 3600.0, False), (("--json",), 0.0, False)],
)
def test_long_work_shows_a_terminal_how_far_it_is(
    options: tuple[str, ...],
    seconds: float,
    is_shown: bool,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr("bank.cli.output._LONG_SECONDS", seconds)
    monkeypatch.setattr(sys, "stderr", screen)
    done = command("verify", *options)
    assert done.status == 0
    assert ("verify" in screen.getvalue()) is is_shown


def test_what_is_no_terminal_is_not_shown_how_far_work_is(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bank.cli.output._LONG_SECONDS", 0.0)
    assert command("verify") == (0, "the books agree\n", "")


def test_verify_prints_the_first_problems_and_json_all_of_them(
    command: Command, settings: Path
) -> None:
    command("insert", "test1", "10")
    database = sqlite3.connect(settings.parent / "bank.db", isolation_level=None)
    rows = [(f"other{number:02d}",) for number in range(30)]
    database.executemany("INSERT INTO sbank VALUES (NULL, ?, 0, NULL, 0, 0, 0)", rows)
    done, for_programs = command("verify"), command("verify", "--json")
    assert (done.status, for_programs.status) == (1, 1)
    lines = done.out.splitlines()
    problems = json.loads(for_programs.out)["problems"]
    assert lines == [*problems[:20], "and 10 more: 'verify --json' prints all",
                     "the books do not agree"]  # fmt: skip
    assert problems == [
        f"table sbank: row of {name}, which is not open in the bank" for (name,) in rows
    ]
