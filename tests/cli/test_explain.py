"""`explain` as a command: what a person reads, what a program reads, and the exit status."""

import json

import pytest

from bank.errors import SlurmError
from bank.operations import queues
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm
from tests.slurm.test_queue_readers import line


def test_a_person_reads_the_verdict_first_and_what_changes_each_reason(
    command: Command, fake: FakeSlurm
) -> None:
    fake.add_user("test1")
    command("insert", "test1", "0")
    fake.waiting = line(
        Account="test1",
        Reason="AssocGrpCPUMinutesLimit",
        **{"Partition": "normal", "TimeLimit": "10:00", "tres-alloc": "cpu=1,node=1,billing=1"},
    )
    done = command("explain", "test1")
    assert (done.status, done.err) == (0, "")
    verdict, first, remedy, job, *_ = done.out.splitlines()
    assert verdict == (
        "no job of account test1 starts: nothing is left: a limit of 0 SUs, 0 used, 0 set aside,"
        " 0 available; the bank holds it by GrpTRESMins=cpu=0 on fake"
    )
    assert first.startswith("  account test1: nothing is left")
    assert remedy == "      what changes it: 'slurm_bank.py add test1 1' or more"
    assert job.startswith("  job 7: GrpTRESMins=cpu=0 is the bank's hold of account test1")
    one = command("explain", "--job", "7")
    assert one.out.startswith("job 7 of ada in account test1 waits: account test1: nothing is left")
    assert command("add", "test1", "1").status == 0
    assert command("explain", "test1", "--user=ada").out.startswith("nothing stops account test1")


def test_a_program_reads_every_number(command: Command, fake: FakeSlurm) -> None:
    fake.add_user("test1")
    command("insert", "test1", "0.5")
    found = json.loads(command("explain", "test1", "--json").out)
    assert found["is_complete"] is True
    assert found["error"] is None
    assert found["verdict"].startswith("nothing stops jobs of account test1: 0.5 SUs")
    (next_job,) = [one for one in found["reasons"] if one["code"] == "next_job"]
    assert next_job["numbers"] == {
        "available_billing_seconds": 1800,
        "minutes_at_billing": {"1": 30, "10": 3, "100": 0},
    }


@pytest.mark.parametrize("is_json", [False, True])
def test_half_an_answer_is_told_and_is_not_taken_for_the_whole(
    command: Command, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, *, is_json: bool
) -> None:
    fake.add_user("test1")
    command("insert", "test1", "0")

    def fail(*_: object) -> str:
        raise SlurmError("squeue ended with status 1: down")

    monkeypatch.setattr(queues, "run", fail)
    done = command("explain", "test1", *(["--json"] if is_json else []))
    assert done.status == SlurmError.exit_status
    assert "no job of account test1 starts: nothing is left" in done.out
    if is_json:
        found = json.loads(done.out)
        assert found["is_complete"] is False
        assert found["error"]["code"] == "slurm_failed"
    else:
        assert "squeue ended with status 1: down (slurm_failed)" in done.err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("explain",), 65, "say which account, or with --job which job"),
        (("explain", "nosuch"), 1, "Account nosuch doesn't exist in the bank"),
        (("explain", "--job", "x"), 65, "'x' is not a job"),
        (("explain", "test1", "--reason", "no"), 2, "explain does not take --reason"),
        (("balance", "test1", "--user", "ada"), 2, "balance does not take --user"),
    ],
)
def test_refusals(command: Command, argv: tuple[str, ...], status: int, said: str) -> None:
    done = command(*argv)
    assert done.status == status
    assert said in done.err
