"""reconcile, change_source and verify --against-slurm where jobs charge, as they are typed."""

import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

AGO = int(time.time()) - 1000


@pytest.fixture
def jobs(command: Command, fake: FakeSlurm, settings: Path) -> FakeSlurm:
    """A bank that charges by jobs, and three runs that it has not seen yet."""
    settings.write_text(f"{settings.read_text()}USAGE_SOURCE = 'jobs'\n")
    association = fake.add_user("test1")
    assert command("insert", "test1", "100").status == 0
    for number, qos, state, ended in (
        (7, "normal", "COMPLETED", AGO + 900),
        (8, "gone", "COMPLETED", AGO + 900),
        (9, "normal", "RUNNING", "Unknown"),
    ):
        fake.sacct += (
            f"{number}|{number}|{number}|{association}|ada|normal|{qos}|{state}|{AGO}|{ended}"
            "|00:00:00|billing=1,cpu=1,node=1|n1|test1\n"
        )
    return fake


def test_reconcile_says_what_it_charged_and_what_it_could_not(
    command: Command, jobs: FakeSlurm
) -> None:
    del jobs
    rehearsed = command("reconcile", "--dry-run")
    assert rehearsed.out.splitlines()[0] == (
        "fake: 1 job run would be charged, at 0.25 SUs; 0 would be changed, 0 cost nothing,"
        " 1 not priced, 2 seen late, 1 stuck"
    )
    done = command("reconcile", "--since", "2020-01-01")
    assert (done.status, done.err) == (0, "")
    first, second, third = done.out.splitlines()
    assert first == (
        "fake: 1 job run charged, at 0.25 SUs; 0 changed, 0 cost nothing, 1 not priced,"
        " 2 seen late, 1 stuck"
    )
    what = "job 8 of ada in test1 is not charged"
    assert second == f"fake: {what}: the UsageFactor of QOS gone is not known"
    assert third.startswith("fake: running for sacct, and unknown to the controller,")
    assert third.endswith(": 9")
    (again,) = json.loads(command("reconcile", "--json").out)
    assert (again["charged"], again["amount_billing_seconds"], again["stuck"]) == (0, 0, ["9"])
    assert "job 7" in command("history", "test1").out
    assert command("verify").out == "the books agree\n"
    assert command("balance", "test1", "--json").out.count('"used_su": "0.25"') == 2


def test_reconcile_looks_at_no_time_to_come(command: Command, jobs: FakeSlurm) -> None:
    del jobs
    done = command("reconcile", "--since", "2100-01-01")
    assert done.status == 65
    assert "--since 2100-01-01 is to come" in done.err


def test_where_meters_charge_there_is_nothing_to_reconcile(command: Command) -> None:
    done = command("reconcile")
    assert done.status == 1
    assert "change_source" in done.err


def test_a_change_over_is_said_and_done_once(
    command: Command, fake: FakeSlurm, settings: Path
) -> None:
    association = fake.add_user("test1")
    assert command("insert", "test1", "100").status == 0
    fake.use(association, 3600)
    settings.write_text(f"{settings.read_text()}USAGE_SOURCE = 'jobs'\n")
    refused = command("enforce")
    assert "charged by meters" in refused.err
    assert "slurm_bank.py change_source" in refused.err
    assert "would be charged by jobs since" in command("change_source", "--dry-run").out
    done = command("change_source")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("fake: is charged by jobs since ")
    assert command("change_source").out == "fake: charged by jobs already\n"
    # What the meters had counted is booked; nothing more is.
    fake.use(association, 3600)
    assert command("enforce").status == 0
    assert '"used_su": "1"' in command("balance", "test1", "--json").out
    settings.write_text(settings.read_text().replace("'jobs'", "'meters'"))
    assert command("change_source").out.startswith("fake: is charged by meters since ")
    fake.use(association, 3600)
    assert command("enforce").status == 0
    assert '"used_su": "2"' in command("balance", "test1", "--json").out
    assert command("verify").out == "the books agree\n"


def test_meters_do_not_take_over_while_hooks_refuse_jobs(
    command: Command, jobs: FakeSlurm, settings: Path
) -> None:
    del jobs
    text = settings.read_text().replace("'jobs'", "'meters'")
    settings.write_text(f"{text}HOOKS = 'enforce'\n")
    done = command("change_source")
    assert done.status == 1
    assert "hooks remove" in done.err


def test_charges_of_jobs_beside_sacct_and_beside_the_meters(
    command: Command, jobs: FakeSlurm
) -> None:
    jobs.use(next(iter(jobs.users)), 900)
    assert command("reconcile").status == 0
    done = command("verify", "--against-slurm")
    lines = done.out.splitlines()
    assert "not priced" not in lines[1]
    assert "what jobs were charged beside what Slurm's meters counted meanwhile:" in lines
    assert lines[3].split("\t") == ["account", "user", "booked_su", "meters_su", "because"]
    assert lines[4].split("\t")[:4] == ["test1", "ada", "0.25", "0.25"]


def test_statements_and_usage_know_charges_of_jobs(command: Command, jobs: FakeSlurm) -> None:
    del jobs
    assert command("reconcile").status == 0
    for argv in (("statement", "test1", "--itemized"), ("usage",), ("usage", "--by", "user")):
        done = command(*argv)
        assert (done.status, done.err) == (0, ""), argv
        assert "0.25" in done.out, argv
