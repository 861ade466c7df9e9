"""Looks at the queue: each is written as what the controller said, and what liens became."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from bank.operations import lien_look, liens, upkeep
from bank.operations.bank import Bank
from bank.operations.lien_look import Look
from bank.operations.liens import RunEnd, Wanted
from bank.operations.rates import Rates
from bank.settings import Settings
from bank.slurm.live_jobs import LiveJob
from bank.store import liens as stored
from bank.store.connect import reading, writing
from bank.store.liens import Lien
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

NOW = 1_800_000_000
SECOND = 1_000_000
RATES = Rates({"normal": {"cpu": Fraction(1)}}, {"normal": Fraction(1)}, max_tres=False)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW * SECOND

    def __call__(self) -> int:
        return self.now

    def passes(self, seconds: int) -> None:
        self.now += seconds * SECOND


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path, clock: Clock) -> Bank:
    bank = Bank(Settings(str(tmp_path / "bank.db"), usage_source="jobs"), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj", "ada")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return bank._replace(clock=clock)


def job(job_id: int = 7, state: str = "PENDING", **more: object) -> LiveJob:
    plain = LiveJob(
        job_id=job_id,
        array_job_id=None,
        tasks=1,
        state=state,
        user="ada",
        account="proj",
        partition="normal",
        qos="normal",
        limit_minutes=60,
        started_at=None if state == "PENDING" else NOW,
        allocated={"cpu": Fraction(2)},
        is_held=False,
        comment="",
    )
    return plain._replace(**more)  # type: ignore[arg-type]


def place(bank: Bank, su: int = 10, token: str = "tokentoken", **more: object) -> None:
    wanted = Wanted("fake", "proj", "ada", token, su * SU)._replace(**more)  # type: ignore[arg-type]
    with writing(bank.database) as writer:
        liens.place(bank, writer, [wanted])


def looked(bank: Bank, clock: Clock, *jobs: LiveJob, after: int = 1) -> Mapping[str, Lien]:
    """Let some time pass, look, and return all liens by token."""
    with reading(bank.database) as reader:
        known = {lien.lien_id: lien for lien in stored.find_open(reader)}
    clock.passes(after)
    lien_look.keep_liens(bank, Look("fake", clock.now, jobs, known, RATES))
    return all_liens(bank)


def all_liens(bank: Bank) -> Mapping[str, Lien]:
    with reading(bank.database) as reader:
        return {lien.token: lien for lien in stored.find_newest(reader, 100)}


def charged(bank: Bank, *runs: RunEnd) -> None:
    with writing(bank.database) as writer:
        liens.settle_runs(bank, writer, "fake", runs)


def states(found: Mapping[str, Lien]) -> Sequence[tuple[str, int]]:
    return [(lien.state, lien.amount // SU) for lien in found.values()]


def test_a_lien_is_bound_to_the_job_that_bears_its_token(bank: Bank, clock: Clock) -> None:
    place(bank)
    lien = looked(bank, clock, job(comment="ops bank:tokentoken"))["tokentoken"]
    assert (lien.state, lien.job_id, lien.is_array) == ("bound", 7, 0)
    place(bank, token="otherother")
    tasks = [
        job(9, array_job_id=9, tasks=4, comment="bank:otherother"),
        job(10, "RUNNING", array_job_id=9, comment="bank:otherother"),
    ]
    lien = looked(bank, clock, *tasks)["otherother"]
    assert (lien.state, lien.job_id, lien.is_array) == ("bound", 9, 1)


def test_a_submission_of_which_no_job_came_is_voided_within_a_minute(
    bank: Bank, clock: Clock
) -> None:
    place(bank)
    place(bank, token="programprogram", placed_by="api")
    assert states(looked(bank, clock, after=44)) == [("placed", 10), ("placed", 10)]
    found = looked(bank, clock, after=2)
    assert found["tokentoken"].state == "voided"
    assert found["programprogram"].state == "placed"


def test_a_job_that_comes_later_has_its_lien_again(bank: Bank, clock: Clock) -> None:
    place(bank)
    looked(bank, clock, after=60)
    lien = looked(bank, clock, job(comment="bank:tokentoken"))["tokentoken"]
    assert (lien.state, lien.amount, lien.ended_at) == ("bound", 10 * SU, None)


def test_a_lien_of_a_program_ends_when_its_time_is_over(bank: Bank, clock: Clock) -> None:
    place(bank, placed_by="api", expires_at=clock.now + 100 * SECOND)
    assert states(looked(bank, clock, after=99)) == [("placed", 10)]
    assert states(looked(bank, clock, after=1)) == [("expired", 0)]


def test_a_lien_outlives_its_job_until_the_job_is_charged(bank: Bank, clock: Clock) -> None:
    place(bank)
    looked(bank, clock, job(comment="bank:tokentoken"))
    for gone in ((), (job(state="COMPLETED", comment="bank:tokentoken"),)):
        assert states(looked(bank, clock, *gone)) == [("bound", 10)]
    first_gone = all_liens(bank)["tokentoken"].gone_at
    assert first_gone is not None
    lien_look.end_gone(bank, "fake", reconciled_until=first_gone // SECOND - 1)
    assert states(all_liens(bank)) == [("bound", 10)]
    lien_look.end_gone(bank, "fake", reconciled_until=first_gone // SECOND)
    assert states(all_liens(bank)) == [("voided", 0)]


def test_a_job_that_is_being_requeued_keeps_its_lien(bank: Bank, clock: Clock) -> None:
    place(bank, job_id=7)
    looked(bank, clock, job(state="COMPLETING"))
    assert all_liens(bank)["tokentoken"].gone_at is None
    charged(bank, RunEnd(7, None, is_final=False))
    assert states(looked(bank, clock, job())) == [("bound", 10)]


def test_a_job_that_was_charged_and_runs_again_has_its_lien_again(bank: Bank, clock: Clock) -> None:
    place(bank)
    looked(bank, clock, job(comment="bank:tokentoken"))
    charged(bank, RunEnd(7, None, is_final=True))
    assert states(all_liens(bank)) == [("settled", 0)]
    assert states(looked(bank, clock, job(comment="bank:tokentoken"))) == [("bound", 10)]


def test_tasks_of_an_array_that_run_again_are_kept_for_again(bank: Bank, clock: Clock) -> None:
    place(bank, tasks=4, at_once=4, job_id=7, is_array=True)
    waiting = job(7, array_job_id=7, tasks=3)
    charged(bank, RunEnd(8, 7, is_final=True))
    assert states(looked(bank, clock, waiting)) == [("bound", 30)]
    again = job(8, array_job_id=7)
    assert states(looked(bank, clock, waiting, again)) == [("bound", 40)]
    assert states(looked(bank, clock, waiting, again)) == [("bound", 40)]


def test_a_running_job_without_a_lien_is_given_one_whatever_is_left(
    bank: Bank, clock: Clock
) -> None:
    place(bank, 99)
    found = looked(bank, clock, job(8, "RUNNING"), job(9), job(10, "RUNNING", account="other"))
    assert {lien.job_id: lien.amount for lien in found.values() if lien.placed_by == "look"} == {
        8: 2 * 3600
    }
    again = looked(bank, clock, job(8, "RUNNING"))
    assert len(again) == 2


def test_what_a_running_job_was_given_is_what_is_kept(bank: Bank, clock: Clock) -> None:
    place(bank, 10, job_id=7)
    assert states(looked(bank, clock, job(state="RUNNING"))) == [("bound", 2)]
    longer = job(state="RUNNING", limit_minutes=180)
    assert states(looked(bank, clock, longer)) == [("bound", 6)]
    # Past its limit it goes on costing; without one it may always cost an hour more.
    late = looked(bank, clock, job(state="RUNNING", limit_minutes=1), after=3600)
    assert late["tokentoken"].amount == 2 * (3600 + 2)
    endless = looked(bank, clock, job(state="RUNNING", limit_minutes=None))
    assert endless["tokentoken"].amount == 2 * (3600 + 2 + 1 + 3600)


def test_a_lien_goes_with_its_job_into_another_account(bank: Bank, clock: Clock) -> None:
    place(bank, job_id=7)
    looked(bank, clock, job(account="dept"))
    with reading(bank.database) as reader:
        shown = dict(
            reader.query("SELECT name, running FROM place JOIN account USING (account_id)")
        )
    assert shown == {"proj": 0, "dept": 10 * SU}


def test_what_came_after_the_question_is_left_alone(bank: Bank, clock: Clock) -> None:
    asked = Look("fake", clock.now, (), {}, RATES)
    clock.passes(1)
    place(bank, job_id=7)
    lien_look.keep_liens(bank, asked)
    assert all_liens(bank)["tokentoken"].gone_at is None


def test_number_that_was_given_away_again_does_not_hand_on_what_was_set_aside(
    bank: Bank, clock: Clock
) -> None:
    place(bank, token="tokenofone")
    looked(bank, clock, job(7, comment="bank:tokenofone"))
    # A controller that was killed had forgotten job 7.
    place(bank, token="tokenofnew")
    found = looked(bank, clock, job(7, user="bob", account="dept", comment="bank:tokenofnew"))
    assert found["tokenofone"].gone_at is not None
    assert found["tokenofone"].account == "proj"
    assert (found["tokenofnew"].job_id, found["tokenofnew"].account) == (7, "dept")
    lien_look.end_gone(bank, "fake", reconciled_until=clock() // SECOND)
    assert looked(bank, clock, job(7))["tokenofone"].state == "voided"


def test_lien_whose_job_went_while_the_clock_was_ahead_ends_all_the_same(
    bank: Bank, clock: Clock
) -> None:
    place(bank)
    looked(bank, clock, job(comment="bank:tokentoken"))
    clock.passes(86_400)
    looked(bank, clock)
    clock.passes(-80_000)
    looked(bank, clock)
    lien_look.end_gone(bank, "fake", reconciled_until=clock() // SECOND)
    assert looked(bank, clock)["tokentoken"].state == "voided"


def test_lien_of_a_run_that_ended_too_early_comes_back_while_it_runs(
    bank: Bank, clock: Clock
) -> None:
    # One task of an array, seen as it runs; nothing in its comment says whose lien it has.
    task = job(8, "RUNNING", array_job_id=7, limit_minutes=60)
    (token,) = looked(bank, clock, task)
    for end in (RunEnd(8, 7, is_final=True), RunEnd(8, None, is_final=True)):
        # Of another job 8, which a controller that was killed had forgotten.
        charged(bank, end)
        assert states(all_liens(bank)) == [("settled", 0)]
        lien = looked(bank, clock, task)[token]
        assert (lien.state, lien.amount // SU, lien.job_id, lien.is_array) == ("bound", 2, 8, 0)


def test_job_that_moves_to_an_account_that_is_not_the_banks_has_nothing_set_aside(
    bank: Bank, clock: Clock
) -> None:
    place(bank)
    looked(bank, clock, job(comment="bank:tokentoken"))
    for _ in range(2):
        moved = job(comment="bank:tokentoken", account="test1")
        lien = looked(bank, clock, moved)["tokentoken"]
        assert (lien.state, lien.account) == ("voided", "proj")
    with reading(bank.database) as reader:
        assert reader.query("SELECT * FROM account WHERE name = 'test1'") == []
    lien = looked(bank, clock, job(comment="bank:tokentoken"))["tokentoken"]
    assert (lien.state, lien.amount // SU) == ("bound", 10)
