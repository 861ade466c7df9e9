"""quote as a command: its words go to sbatch's reader, its answer to people and programs."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm


@pytest.fixture
def _account(command: Command) -> None:
    assert command("insert", "test1", "10").status == 0


@pytest.mark.usefixtures("_account")
def test_what_a_job_costs_and_whether_it_can_be_paid(command: Command) -> None:
    done = command("quote", "-A", "test1", "-n", "4", "--time=1:00:00", "--array=1-2")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[:5] == [
        "at most 8 SUs; 0.0778 more where Slurm has to end it, which it does up to 35 seconds late",
        "account test1 has 10 SUs available: enough",
        "account test1, partition normal, QOS normal",
        "billing 4 for 01:00:00",
        "2 tasks, 2 at once, each at most 4 SUs",
    ]
    assert "cpu\t4\t1\t4" in done.out
    assert "not enough" in command("quote", "-A", "test1", "-n", "11", "-t60").out


@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize("words", [("--json", "quote"), ("quote", "--json")])
def test_the_answer_as_json(command: Command, words: tuple[str, ...]) -> None:
    done = command(*words, "-A", "test1", "-n3", "-t", "1")
    found = json.loads(done.out)
    assert found["cost_billing_seconds"] == 180
    assert found["accounts"][0]["is_enough"] is True
    (component,) = found["components"]
    assert component["allocated"] == {"cpu": 3, "mem": 3072, "node": 1}
    assert component["billing"] == "3"


@pytest.mark.usefixtures("_account")
def test_a_script_and_its_arguments(command: Command, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#SBATCH -A test1 -n 5 -t 60\ntrue\n")
    for words in (("--chdir", str(tmp_path), "job.sh"), (str(script), "--json", "-n", "9")):
        assert command("quote", *words).out.startswith("at most 5 SUs")
    missing = command("quote", str(tmp_path / "nosuch"))
    assert missing.status == 65
    assert "there is no script" in missing.err


def test_the_variables_of_sbatch_count_and_are_named(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_TIMELIMIT", "2")
    done = command("quote", "-A", "test1")
    assert "billing 1 for 00:02:00" in done.out
    assert "note: SBATCH_TIMELIMIT in the environment count as sbatch counts them" in done.out
    assert "note: account test1 is not open in the bank" in done.out


def test_the_default_account_is_that_of_who_asks(
    command: Command, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bank.cli.main.login", lambda: "ada")
    refused = command("quote", "-n", "1")
    assert (refused.status, "no default account" in refused.err) == (1, True)
    fake.add_user("test2", "ada")
    assert "account test2, partition normal" in command("quote", "-n", "1").out


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (("--nosuch",), 2, "--nosuch is not an option of sbatch"),
        (("-n", "0"), 65, "--ntasks in the command line: '0' is not a whole number"),
        (("-A", "test1", "-c", "33"), 1, "none of its 2 nodes"),
        (("-M", "a,b"), 2, "one cluster"),
        (("-n", "1", "--json"), 2, "right after quote"),
    ],
)
def test_refusals(command: Command, words: tuple[str, ...], status: int, what: str) -> None:
    done = command("quote", *words)
    assert done.status == status
    assert what in done.err + done.out


def test_a_job_without_a_limit_has_no_bound(command: Command) -> None:
    done = command("quote", "-A", "test1", "-t", "0")
    assert (done.status, "time limit of UNLIMITED" in done.err) == (1, True)


@pytest.mark.parametrize("words", [("--help",), ("-h",)])
def test_help_is_that_of_the_bank(command: Command, words: tuple[str, ...]) -> None:
    assert "slurm_bank.py quote [options]" in command("quote", *words).out
