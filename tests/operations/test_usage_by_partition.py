"""Use by partition on the model of Slurm: what sacct says, and what the books say beside it."""

from collections.abc import Sequence
from typing import Any

import pytest

from bank.errors import SlurmError
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.corrections import adjust
from bank.operations.enforcement import enforce
from bank.operations.usage import usage
from bank.policy.reconciliation import AFTER, BY_HAND, REFUNDED
from bank.policy.usage_by_partition import NOT_TOLD
from bank.slurm.command import Slurm
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert
from tests.operations.jobs import START, SU, Jobs, utc

HALF = SU * 3 // 2


@pytest.fixture
def jobs(bank: Bank, fake: FakeSlurm, proj: int) -> Jobs:
    return Jobs(bank, fake, proj)


def ran_in_half(jobs: Jobs, job: str, **given: Any) -> None:  # noqa: ANN401 -- see RUN
    """Let a run of an hour on three cores have been where a core costs half as much."""
    jobs.ran(job, partition="half", tres="billing=1,cpu=3,node=1", counted=HALF, **given)


def told(jobs: Jobs, name: str | None = "proj", **dates: str) -> dict[str, int]:
    """Return what was used by partition, and why the rest is of none, in billing-seconds."""
    since = {"since": utc(START - SU), **dates}
    found: dict[str, Any] = usage(jobs.bank, name, by="partition", **since)
    lines = {row["partition"]: row["used_billing_seconds"] for row in found["rows"]}
    lines |= {row["because"]: row["used_billing_seconds"] for row in found["rest"]}
    by_user = usage(jobs.bank, name, by="user", **since)
    assert sum(lines.values()) == found["total"]["used_billing_seconds"]
    assert found["total"] == by_user["total"]
    return lines


def test_each_partition_has_what_ran_there(jobs: Jobs) -> None:
    jobs.ran("1")
    ran_in_half(jobs, "2")
    ran_in_half(jobs, "3")
    jobs.ran("4", account="test1", counted=0)
    enforce(jobs.bank)
    assert told(jobs) == told(jobs, "dept") == told(jobs, None) == {"half": 3 * SU, "normal": SU}


def test_what_no_partition_has_is_named(jobs: Jobs) -> None:
    jobs.ran("1")
    ran_in_half(jobs, "2")
    # Nobody knows the price of the first, nor the partition of the second.
    jobs.ran("3", qos="gone", counted=100)
    jobs.ran("4", partition="", counted=20, tres="billing=1")
    enforce(jobs.bank)
    jobs.refund("1")
    adjust(jobs.bank, Command("adjust", "proj", 500, reason="a mistake"))
    ran = {"half": HALF, "normal": SU}
    assert told(jobs) == ran | {NOT_TOLD: 120, BY_HAND: 500, REFUNDED: -SU}


def test_what_was_not_read_yet_is_booked_by_nobody(jobs: Jobs) -> None:
    jobs.ran("1")
    enforce(jobs.bank)
    ran_in_half(jobs, "2")
    assert told(jobs) == {"half": HALF, "normal": SU, AFTER: -HALF}


def test_a_run_that_the_controller_does_not_know_is_left_out(jobs: Jobs, fake: FakeSlurm) -> None:
    jobs.ran("1", state="RUNNING", counted=0)
    enforce(jobs.bank)
    assert told(jobs) == {}
    fake.squeue = f"1|{START}|RUNNING\n"
    assert told(jobs) == {"normal": 10 * SU, AFTER: -10 * SU}


def test_a_run_over_the_edge_of_the_span_counts_for_what_lies_in_it(jobs: Jobs) -> None:
    jobs.ran("1")
    enforce(jobs.bank)
    middle = utc(START + SU // 4)
    assert told(jobs, until=middle) == {"normal": SU // 4, AFTER: -SU // 4}
    assert told(jobs, since=middle) == {"normal": SU * 3 // 4, NOT_TOLD: SU // 4}


def test_an_account_is_asked_for_with_all_below_it_only(jobs: Jobs, fake: FakeSlurm) -> None:
    insert(jobs.bank, "test1", 100)
    jobs.ran("1")
    ran_in_half(jobs, "2", association=fake.add_user("test1", "bob"), account="test1")
    enforce(jobs.bank)
    assert told(jobs) == {"normal": SU}
    assert told(jobs, "dept") == {"normal": SU}
    assert told(jobs, "test1") == {"half": HALF}
    assert told(jobs, None) == {"half": HALF, "normal": SU}


def test_where_sacct_does_not_answer_nothing_is_said(
    jobs: Jobs, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.ran("1")
    enforce(jobs.bank)

    def run(slurm: Slurm, arguments: Sequence[str]) -> str:
        if arguments[0] == "sacct":
            raise SlurmError("sacct ended with status 1")
        return fake.run(slurm, arguments)

    monkeypatch.setattr("bank.operations.sacct_rows.run", run)
    with pytest.raises(SlurmError):
        told(jobs)
    # What asks nothing of Slurm is told as ever.
    assert usage(jobs.bank, "proj", by="user")["total"]["used_billing_seconds"] == SU
