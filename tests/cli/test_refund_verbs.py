"""refund --job, refund --window and verify --against-slurm, as they are typed."""

import json
import re
import time

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

HOUR_AGO = int(time.time()) - 7200


@pytest.fixture
def ran(command: Command, fake: FakeSlurm) -> FakeSlurm:
    """Two jobs of an hour on c1 and c2, read by a pass."""
    association = fake.add_user("test1")
    assert command("insert", "test1", "100").status == 0
    for number, node in ((7, "n1"), (8, "n2")):
        fake.sacct += (
            f"{number}|{number}|{number}|{association}|ada|normal|normal|COMPLETED|{HOUR_AGO}"
            f"|{HOUR_AGO + 3600}|00:00:00|billing=1,cpu=1,node=1|{node}|test1\n"
        )
        fake.use(association, 3600)
    assert command("enforce").status == 0
    return fake


def test_a_job_is_refunded_and_then_refused(command: Command, ran: FakeSlurm) -> None:
    del ran
    done = command("refund", "--job", "7", "--reason", "node died")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Job 7 on fake: 1 SUs given back to test1",
        "Account test1 has 100 SUs, 1 used",
    ]
    again = command("refund", "--job=7")
    assert again.status == 1
    assert "1 SUs, entry 3 of test1 (already_refunded)" in again.err
    assert "job 7: node died" in command("history", "test1").out


def test_a_job_for_programs(command: Command, ran: FakeSlurm) -> None:
    del ran
    answer = json.loads(command("refund", "--job", "7", "--json").out)
    assert answer["refund_billing_seconds"] == 3600
    assert answer["runs"][0]["nodes"] == "n1"
    refused = json.loads(command("refund", "--job", "7", "--json").out)
    assert refused["error"]["code"] == "already_refunded"


def test_a_factor_that_slurm_may_have_changed_since_is_named(
    command: Command, ran: FakeSlurm
) -> None:
    said = "priced with UsageFactors of now, because Slurm keeps no earlier ones: double 2"
    ran.sacct = ran.sacct.replace("|normal|COMPLETED", "|double|COMPLETED", 1)
    window = ("refund", "--window", "2020-01-01", "2100-01-01", "--dry-run")
    assert command(*window).out.splitlines()[5] == said
    factors = [
        (run["qos"], run["usage_factor"])
        for run in json.loads(command(*window, "--json").out)["runs"]
    ]
    assert factors == [("double", "2"), ("normal", "1")]
    assert said not in command("refund", "--job", "8").out
    assert command("refund", "--job", "7").out.splitlines()[1] == said


def test_an_outage_is_shown_and_asked_for(command: Command, ran: FakeSlurm) -> None:
    del ran
    window = ("refund", "--window", "2020-01-01", "2100-01-01")
    rehearsed = command(*window, "--dry-run")
    assert rehearsed.status == 0
    lines = rehearsed.out.splitlines()
    assert [line.split("\t")[0] for line in lines[:3]] == ["job", "7", "8"]
    assert lines[3].endswith("at a cost of 2 SUs; 2 SUs for 2 jobs")
    assert lines[4] == "dry run: nothing was done"
    # Nobody can be asked here.
    asked = command(*window)
    assert asked.status == 2
    assert "Give back 2 SUs for 2 jobs on fake?" in asked.err
    done = command(*window, "--nodes", "n2", "--yes")
    assert done.status == 0
    assert done.out.splitlines()[-1] == "1 SUs given back for 1 job"
    rest = json.loads(command(*window, "--yes", "--json").out)
    assert [one["code"] for one in rest["runs"]] == [None, "already_refunded"]
    nothing = command(*window)
    assert nothing.status == 0
    assert nothing.out.splitlines()[-1] == "0 SUs given back for 0 jobs"


def test_what_is_to_be_said_of_jobs_stands_below_the_table(
    command: Command, ran: FakeSlurm
) -> None:
    window = ("refund", "--window", "2020-01-01", "2100-01-01", "--yes")
    command("refund", "--job", "7")
    lines = command(*window).out.splitlines()
    assert lines[0].split("\t")[-1] == "refund_su"
    assert [line.split("\t")[-1] for line in lines[1:3]] == ["0", "1"]
    assert re.fullmatch(r"job 7: refunded on [^ ]+Z by [^ ]+: 1 SUs, entry 3 of test1", lines[3])
    assert lines[4].startswith("fake: 2 jobs ran from ")
    # Of a job that ran twice, which run it is.
    first, second = ran.sacct.splitlines()
    second = second.replace("8|8|8|", "8|7|7|").replace(f"|{HOUR_AGO}|", f"|{HOUR_AGO + 60}|")
    ran.sacct = f"{first}\n{second}\n"
    twice = command(*window).out.splitlines()
    began = [line.split("\t")[4] for line in twice[1:3]]
    assert len({*began}) == 2
    for line, start in zip(twice[3:5], began, strict=True):
        assert line.startswith(f"job 7 begun {start}: refunded on ")


@pytest.mark.parametrize(
    "argv",
    [
        ("refund", "--job", "7", "--nodes", "n1"),
        ("refund", "--job", "7", "--yes"),
        ("refund", "--window", "2020-01-01", "2020-01-02", "--key", "k"),
        ("refund", "--window", "2020-01-01", "2020-01-02", "--job", "7"),
        ("refund", "--window", "2020-01-01"),
        ("refund", "test1", "5", "--job", "7"),
        ("refund", "test1", "5", "--yes"),
        ("refund",),
        ("add", "test1", "5", "--job", "7"),
        ("verify", "--from", "2026-01-01"),
        ("verify", "--window"),
    ],
)
def test_what_does_not_go_together_is_refused(command: Command, argv: tuple[str, ...]) -> None:
    done = command(*argv)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("slurm_bank: ")


def test_refund_of_an_amount_stays_what_it_was(command: Command, ran: FakeSlurm) -> None:
    del ran
    assert command("refund", "test1", "0.5").status == 0


def test_charges_beside_sacct(command: Command, ran: FakeSlurm) -> None:
    agreed = command("verify", "--against-slurm")
    assert agreed.status == 0, agreed
    lines = agreed.out.splitlines()
    assert lines[1] == "test1\tada\t2\t2\t0\t-"
    assert lines[2].endswith(": there is no difference")
    command("refund", "--job", "7")
    lines = command("verify", "--against-slurm").out.splitlines()
    assert lines[1].endswith("\t2\t1\t-1\trefunded -1")
    assert lines[2].endswith(": every difference has a cause")
    ran.sacct = ""
    left = command("verify", "--against-slurm", "--json")
    assert left.status in (0, 1)
    assert json.loads(left.out)["agrees"] == (left.status == 0)
