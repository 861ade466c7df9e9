"""The whole bank against a model of what people expect of it, over thousands of random steps.

Slurm is a model here too (tests/fake_slurm.py); what it does stands in the facts that were measured
on a real cluster. After every step the books prove themselves, and what each step may change is
compared with what it did change.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bank.errors import Refusal
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.settings import Settings
from bank.store import read
from bank.store.connect import reading
from bank.store.read import Standing
from tests.fake_slurm import FakeSlurm, take_over

NAMES = ("dept", "group", "proj", "solo")
SU = 3600
accounts = st.sampled_from(NAMES)
amounts = st.integers(1, 40).map(lambda quarter: quarter * SU // 4)


class BankAndSlurm(RuleBasedStateMachine):
    """A department tree, a lone account, jobs, and an admin who does everything."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.directory = tempfile.TemporaryDirectory()
        self.fake: FakeSlurm = take_over(self.patches)
        self.fake.add_account("dept")
        self.fake.add_account("group", "dept")
        self.fake.add_account("proj", "group")
        self.fake.add_account("solo")
        self.users = {name: self.fake.add_user(name) for name in NAMES}
        # What each account ever used itself, and how much of it the bank has been able to see.
        self.used = dict.fromkeys(NAMES, 0)
        self.now = 10**15
        self.warnings: list[str] = []
        self.keys = 0

    def teardown(self) -> None:
        self.patches.undo()
        self.directory.cleanup()

    @initialize(on_top_up=st.sampled_from(["keep", "reset"]))
    def start(self, on_top_up: str) -> None:
        path = Path(self.directory.name) / "bank.db"
        found = Settings(str(path), on_top_up=on_top_up, confirm_seconds=1)
        self.bank = Bank(found, "ada", self.warnings.append, self.clock)
        upkeep.migrate(self.bank, dry_run=False)

    def clock(self) -> int:
        self.now += 1
        return self.now

    def standing(self, name: str) -> Standing | None:
        with reading(self.bank.database) as reader:
            return read.standing(reader, name)

    def all_standings(self) -> dict[str, Standing]:
        with reading(self.bank.database) as reader:
            return read.standings(reader)

    def read_now(self) -> None:
        """Run a pass, so that what follows compares like with like."""
        enforce(self.bank)

    def is_open(self, name: str) -> bool:
        return self.standing(name) is not None

    @rule(name=accounts, amount=st.none() | amounts | st.just(0))
    def insert(self, name: str, amount: int | None) -> None:
        if self.is_open(name):
            return
        movements.insert(self.bank, Command("insert", name, amount, force=True))
        standing = self.standing(name)
        assert standing is not None
        assert standing.limit == amount

    @rule(name=accounts, amount=amounts, repeat=st.booleans())
    def add(self, name: str, amount: int, repeat: bool) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        before = self.standing(name)
        self.keys += 1
        command = Command("add", name, amount, key=f"k{self.keys}", force=True)
        answer = movements.add(self.bank, command)
        if repeat:
            again = movements.add(self.bank, command)
            assert (again["is_repeat"], again["amount_su"]) == (True, answer["amount_su"])
        after = self.standing(name)
        assert before is not None
        assert after is not None
        if before.left is None:
            assert after.left is None
        else:
            # Whether use is kept or booked off, what is available is the same.
            assert after.left == before.left + amount
        if self.bank.settings.on_top_up == "reset" and before.left is not None:
            assert after.limit is not None
            assert after.limit >= 0
            assert after.used == max(before.used - (before.limit or 0) - amount, 0)

    @rule(name=accounts, amount=amounts)
    def withdraw(self, name: str, amount: int) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        before = self.standing(name)
        assert before is not None
        there = before.account.books.granted - before.used
        if amount > there:
            with pytest.raises(Refusal, match="available"):
                movements.withdraw(self.bank, Command("withdraw", name, amount, force=True))
            assert self.standing(name) == before
            return
        movements.withdraw(self.bank, Command("withdraw", name, amount, force=True))
        after = self.standing(name)
        assert after is not None
        assert after.account.books.granted == before.account.books.granted - amount

    @rule(name=accounts, amount=st.none() | amounts | st.just(0))
    def modify(self, name: str, amount: int | None) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        before = self.standing(name)
        movements.modify(self.bank, Command("modify", name, amount, force=True))
        after = self.standing(name)
        assert before is not None
        assert after is not None
        assert (after.limit, after.used) == (amount, before.used)

    @rule(name=accounts)
    def reset_usage(self, name: str) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        before = self.all_standings()
        movements.reset_usage(self.bank, Command("reset_usage", name))
        after = self.all_standings()
        assert after[name].used == 0
        assert after[name].limit == before[name].limit
        for other in after:
            if other != name:
                # Neither a parent nor a child gets anything back.
                assert (after[other].limit, after[other].used) == (
                    before[other].limit,
                    before[other].used,
                )
        assert self.fake.raw(name) == 0

    @rule(name=accounts)
    def delete(self, name: str) -> None:
        if not self.is_open(name):
            return
        movements.delete(self.bank, Command("delete", name, force=True))
        assert not self.is_open(name)

    @rule(name=accounts, amount=st.integers(1, 3 * SU))
    def run_job(self, name: str, amount: int) -> None:
        self.fake.use(self.users[name], amount)
        self.used[name] += amount

    @rule(name=st.sampled_from(["group", "proj", "solo"]), parent=st.sampled_from(NAMES))
    def move(self, name: str, parent: str) -> None:
        if parent in self.fake.below(name):
            return
        self.read_now()
        before = self.all_standings()
        self.fake.parents[name] = parent
        self.read_now()
        if name in before:
            after = self.standing(name)
            assert after is not None
            assert (after.limit, after.used) == (before[name].limit, before[name].used)

    @rule(name=accounts)
    def hold_by_hand_and_release(self, name: str) -> None:
        if not self.is_open(name):
            return
        movements.hold(self.bank, Command("hold", name))
        assert self.fake.limits[name].get("GrpTRESMins=cpu") == 0

    @rule()
    def run_a_pass(self) -> None:
        self.read_now()
        covered = self.all_standings()
        for name, standing in covered.items():
            should_hold = standing.account.hold_reason is not None or (
                standing.left is not None and standing.left <= 0
            )
            assert (self.fake.limits[name].get("GrpTRESMins=cpu") == 0) == should_hold
        # All that was used by accounts with an allocation is charged, to the billing-second.
        with reading(self.bank.database) as reader:
            charged = dict(
                reader.query(
                    "SELECT name, sum(charged) FROM place"
                    " JOIN account ON account.account_id = place.account_id GROUP BY name"
                )
            )
        for name in covered:
            assert charged[name] == self.used[name]

    @rule()
    def a_second_pass_does_nothing(self) -> None:
        self.read_now()
        calls = len(self.fake.calls)
        path = Path(self.bank.settings.database)
        with reading(self.bank.database) as reader:
            before = reader.query("SELECT sum(entry_count), sum(change_count) FROM account")
        (done,) = enforce(self.bank)
        assert (done.charged, done.held_now, done.released) == (0, [], [])
        assert not [argv for argv in self.fake.calls[calls:] if argv[0] == "sacctmgr"]
        with reading(self.bank.database) as reader:
            after = reader.query("SELECT sum(entry_count), sum(change_count) FROM account")
        assert (before, path.exists()) == (after, True)

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def the_books_agree(self) -> None:
        assert upkeep.verify(self.bank) == []
        assert self.warnings == []

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def one_account_is_shown_as_all_are(self) -> None:
        for name, standing in self.all_standings().items():
            assert self.standing(name) == standing

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def nobody_has_used_less_than_nothing(self) -> None:
        for standing in self.all_standings().values():
            assert standing.used >= 0


BankAndSlurm.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestBankAndSlurm = BankAndSlurm.TestCase
