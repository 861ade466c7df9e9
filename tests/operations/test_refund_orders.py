"""No run is refunded twice and none for more than it cost, whatever comes in whatever order."""

import tempfile
from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bank.errors import Busy, Refusal
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.settings import Settings
from bank.store.connect import reading, writing
from bank.store.post import post
from tests.fake_slurm import FakeSlurm, take_over
from tests.operations.conftest import insert
from tests.operations.jobs import START, SU, Jobs

USERS = {"ada": "proj", "bob": "proj", "cyd": "sub"}
some_job = st.integers(1, 6).map(str)


class Refunds(RuleBasedStateMachine):
    """Jobs of three users in two accounts, meters that lose some, periods, and two admins."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.directory = tempfile.TemporaryDirectory()
        fake = take_over(self.patches)
        for name, parent in (("dept", "root"), ("proj", "dept"), ("sub", "proj")):
            fake.add_account(name, parent)
        self.meters = {user: fake.add_user(name, user) for user, name in USERS.items()}
        path = Path(self.directory.name) / "bank.db"
        bank = Bank(Settings(str(path), confirm_seconds=1), "ada", lambda _: None)
        upkeep.migrate(bank, dry_run=False)
        insert(bank, "dept", 1000)
        insert(bank, "proj", 100)
        self.jobs = Jobs(bank, fake, 0)
        self.bank = self.jobs.bank
        self.costs: dict[int, int] = {}

    def teardown(self) -> None:
        self.patches.undo()
        self.directory.cleanup()

    @rule(
        job=some_job,
        user=st.sampled_from(sorted(USERS)),
        minutes=st.integers(0, 60),
        is_half=st.booleans(),
        lost=st.integers(0, 3),
    )
    def run(self, job: str, user: str, minutes: int, *, is_half: bool, lost: int) -> None:
        """Somebody's job runs; the meter counts all of it, or less."""
        seconds = 60 * minutes + 1
        cost = seconds // 2 if is_half else seconds
        number = self.jobs.ran(
            job,
            start=self.jobs.now,
            seconds=seconds,
            account=USERS[user],
            user=user,
            association=self.meters[user],
            partition="half" if is_half else "normal",
            tres="cpu=1" if is_half else "billing=1,cpu=1",
            counted=max(cost - lost * 600, 0),
        )
        self.costs[number] = cost
        self.jobs.now += seconds + 10

    @rule()
    def enforce(self) -> None:
        """A pass runs."""
        enforce(self.bank)

    @rule(job=some_job)
    def refund_job(self, job: str) -> None:
        """An admin refunds a job."""
        with suppress(Refusal, Busy):
            self.jobs.refund(job)

    @rule(nodes=st.sampled_from([None, "n1"]), hours=st.integers(0, 3))
    def refund_window(self, nodes: str | None, hours: int) -> None:
        """Another one refunds an outage."""
        if self.jobs.now - 1 > START:
            self.jobs.window(START + hours * SU, self.jobs.now + 2 * SU, nodes=nodes)

    @rule(amount=st.integers(1, 4000))
    def refund_by_hand(self, amount: int) -> None:
        """Somebody gives back an amount, as far as it is used."""
        with writing(self.bank.database) as writer:
            rows = writer.query(
                "SELECT charged - closed, grant_id FROM place JOIN account USING (account_id)"
                " WHERE name = 'proj'"
            )
            used, grant = rows[0] if rows else (0, None)
            if amount := min(amount, used):
                draft = Draft("proj", "refund", USED, AVAILABLE, amount, "ada", "", grant, "fake")
                post(writer, [draft], now=self.bank.clock())

    @rule()
    def begin_a_period(self) -> None:
        """A new period begins."""
        sacct, self.jobs.fake.sacct = self.jobs.fake.sacct, ""
        movements.reset_usage(self.bank, Command("reset_usage", "proj"))
        self.jobs.fake.sacct = sacct

    @invariant()
    def each_run_at_most_once_and_at_most_its_cost(self) -> None:
        with reading(self.bank.database) as reader:
            rows = reader.query(
                "SELECT reference, count(*), sum(amount) FROM entry WHERE kind = 'refund'"
                " AND reference IS NOT NULL GROUP BY reference"
            )
        for reference, count, amount in rows:
            assert count == 1
            assert amount <= self.costs[int(reference.partition("/")[2])]

    @invariant()
    def nobody_has_used_less_than_nothing(self) -> None:
        with reading(self.bank.database) as reader:
            assert reader.query("SELECT 1 FROM place WHERE charged < closed") == []
            by_user = reader.query(
                "SELECT sum(CASE target WHEN 'used' THEN amount ELSE -amount END) FROM entry"
                " WHERE user_name IS NOT NULL AND kind <> 'closing' GROUP BY user_name"
            )
        assert all(amount >= 0 for (amount,) in by_user)

    @invariant()
    def the_books_agree(self) -> None:
        self.jobs.agrees()


Refunds.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestRefunds = Refunds.TestCase


@pytest.mark.parametrize("order", list(permutations(["1", "2_1", "2", "window"])))
def test_the_order_of_refunds_makes_no_difference(
    bank: Bank, fake: FakeSlurm, proj: int, order: tuple[str, ...]
) -> None:
    jobs = Jobs(bank, fake, proj)
    jobs.ran("1")
    jobs.ran("2_1", start=START + 10, seconds=50)
    jobs.ran("2_2", start=START + 20, seconds=70)
    for what in order:
        # All of it may have been refunded before.
        with suppress(Refusal):
            jobs.window(START, START + 30) if what == "window" else jobs.refund(what)
    assert jobs.used() == 0
    jobs.agrees()
