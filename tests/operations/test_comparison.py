"""Charges beside sacct on the model of Slurm: what a real cluster shows only after weeks."""

import pytest

from bank.errors import InputError, Refusal
from bank.operations import comparison_with_slurm
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.corrections import adjust
from bank.operations.enforcement import enforce
from bank.policy.reconciliation import (
    AFTER,
    BY_HAND,
    FIRST_LOOK,
    FORGOTTEN,
    REFUNDED,
    RUNAWAY,
    RUNNING,
    UNEXPLAINED,
    UNPRICED,
)
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert
from tests.operations.jobs import START, SU, Jobs, utc

DAY = 86_400


@pytest.fixture
def jobs(bank: Bank, fake: FakeSlurm, proj: int) -> Jobs:
    """A meter that was read an hour before START, when it had counted an hour."""
    jobs = Jobs(bank, fake, proj)
    jobs.now = START - 2 * SU
    jobs.ran("1", start=START - 4 * SU)
    enforce(jobs.bank)
    jobs.now = START + 2 * SU
    return jobs


def causes(jobs: Jobs, start: str | None = None, end: str | None = None) -> dict[str, int]:
    """Return what makes the difference of all accounts, a second later."""
    jobs.now += 1
    found = comparison_with_slurm.compare(jobs.bank, start, end)
    sums: dict[str, int] = {}
    for row in found["rows"]:
        for part in row["causes"]:
            amount = part["amount_billing_seconds"]
            sums[part["cause"]] = sums.get(part["cause"], 0) + amount
    assert found["agrees"] == (UNEXPLAINED not in sums)
    return sums


def test_nothing_to_explain(jobs: Jobs) -> None:
    jobs.ran("2")
    enforce(jobs.bank)
    assert causes(jobs) == {}


def test_jobs_that_sacct_was_made_to_forget(jobs: Jobs, fake: FakeSlurm) -> None:
    jobs.ran("2")
    enforce(jobs.bank)
    fake.sacct = ""
    jobs.now += 10 * DAY
    assert causes(jobs)[UNEXPLAINED] > 0
    fake.jobs_kept = "11 days"
    assert causes(jobs)[UNEXPLAINED] > 0
    fake.jobs_kept = "9 days"
    assert causes(jobs) == {RUNNING: 2, FIRST_LOOK: SU - 1, FORGOTTEN: SU - 1}


def test_a_job_whose_price_nobody_knows(jobs: Jobs) -> None:
    jobs.ran("2", qos="gone")
    enforce(jobs.bank)
    assert causes(jobs) == {RUNNING: 1, UNPRICED: SU - 1}


def test_a_job_that_runs_for_sacct_alone(jobs: Jobs, fake: FakeSlurm) -> None:
    jobs.ran("2", state="RUNNING", counted=0)
    enforce(jobs.bank)
    assert causes(jobs) == {RUNAWAY: -2 * SU - 1}
    # The controller knows it, and has counted it as far as it counts what runs.
    fake.squeue = f"2|{START}|RUNNING\n"
    fake.use(jobs.association, 2 * SU - 60)
    enforce(jobs.bank)
    assert causes(jobs) == {RUNNING: -61, AFTER: -1}


def test_a_first_reading_after_others_is_no_first_look(jobs: Jobs, fake: FakeSlurm) -> None:
    fake.use(fake.add_user("proj", "bob"), 500)
    enforce(jobs.bank)
    assert causes(jobs) == {RUNNING: 1, UNEXPLAINED: 499}


def test_use_corrected_by_hand_and_refunded(jobs: Jobs) -> None:
    jobs.ran("2")
    jobs.refund("2")
    for amount in (500, -200):
        adjust(jobs.bank, Command("adjust", "proj", amount, reason="a mistake"))
    assert causes(jobs) == {REFUNDED: -SU, BY_HAND: 300}


def test_a_period_before_all_that_was_booked(jobs: Jobs) -> None:
    assert causes(jobs, utc(START - 9 * DAY), utc(START - 3 * SU)) == {AFTER: -SU}


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2026-02-01", "2026-01-01", "is not before 2026-01-01"),
        ("2999-01-01", None, "is not before now"),
        ("soon", None, "--from 'soon' is not a day or a time"),
        (None, "never", "--to 'never' is not a day or a time"),
    ],
)
def test_a_period_that_is_none_is_refused(
    jobs: Jobs, start: str | None, end: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        comparison_with_slurm.compare(jobs.bank, start, end)


def test_a_bank_that_never_read_anything(bank: Bank) -> None:
    with pytest.raises(Refusal, match="no cluster was ever read"):
        comparison_with_slurm.compare(bank, None, None)


def test_nothing_is_written_and_only_what_is_known_is_asked(jobs: Jobs, fake: FakeSlurm) -> None:
    jobs.ran("2")
    enforce(jobs.bank)
    fake.calls.clear()
    causes(jobs)
    asked = {" ".join(call[:2]) for call in fake.calls}
    assert asked == {"sacct -M", "sdiag", "sacctmgr -n", "scontrol show", "scontrol -a"}


def test_accounts_that_the_bank_does_not_know_are_no_matter(jobs: Jobs, fake: FakeSlurm) -> None:
    stranger = fake.add_user("test1")
    jobs.ran("2", account="test1", association=stranger)
    enforce(jobs.bank)
    assert causes(jobs) == {}
    insert(jobs.bank, "test1", 100)
    assert causes(jobs) == {}
