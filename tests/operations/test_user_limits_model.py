"""Limits of users against a model: what each has used is the fold of what was booked for them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.user_limits import limit_user
from bank.settings import Settings
from bank.store import read
from bank.store.connect import reading, writing
from bank.store.post import post
from bank.store.read import Standing
from tests.fake_slurm import FakeSlurm, take_over

SU = 3600
NAMES = ("dept", "proj")
USERS = ("ada", "bob")
accounts = st.sampled_from(NAMES)
users = st.sampled_from(USERS)
amounts = st.integers(1, 40).map(lambda quarter: quarter * SU // 4)
HOLD, NATIVE = "GrpTRESMins=cpu", "GrpTRESMins=billing"


class UsersOfAccounts(RuleBasedStateMachine):
    """An account above another, two users in each, one of them in a partition too."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.directory = tempfile.TemporaryDirectory()
        self.fake: FakeSlurm = take_over(self.patches)
        self.fake.add_account("dept")
        self.fake.add_account("proj", "dept")
        self.meters = {
            (name, user): [self.fake.add_user(name, user)] for name in NAMES for user in USERS
        }
        self.meters["proj", "ada"].append(self.fake.add_user("proj", "ada", "fast"))
        # What was booked in the present period of each account, and what no pass has seen yet.
        self.booked = dict.fromkeys(self.meters, 0)
        self.unseen = dict.fromkeys(self.meters, 0)
        self.limits: dict[tuple[str, str], int] = {}
        self.originals = dict.fromkeys(self.meters["dept", "bob"], 7777)
        for one, minutes in self.originals.items():
            self.fake.user_limits[one] = {HOLD: minutes}
        self.now = 10**15

    def teardown(self) -> None:
        self.patches.undo()
        self.directory.cleanup()

    @initialize(on_top_up=st.sampled_from(["keep", "reset"]))
    def start(self, on_top_up: str) -> None:
        path = Path(self.directory.name) / "bank.db"
        found = Settings(str(path), on_top_up=on_top_up, confirm_seconds=1, limit_tolerance=0)
        self.bank = Bank(found, "ada", lambda _: None, self.clock)
        upkeep.migrate(self.bank, dry_run=False)
        for name in NAMES:
            self.open(name)
            for user in USERS:
                self.set_limit(name, user, 10 * SU)

    def clock(self) -> int:
        self.now += 1
        return self.now

    def standing(self, name: str) -> Standing:
        with reading(self.bank.database) as reader:
            found = read.standing(reader, name)
        assert found is not None
        return found

    def see(self) -> None:
        """Book what no pass has seen; every command does, before or after what it changes."""
        for whose, amount in self.unseen.items():
            self.booked[whose] += amount
            self.unseen[whose] = 0

    def begin_period(self, name: str) -> None:
        for user in USERS:
            self.booked[name, user] = 0

    def open(self, name: str) -> None:
        movements.insert(self.bank, Command("insert", name, 1000 * SU, force=True))
        self.see()

    @rule(name=accounts, between=st.none() | amounts)
    def close_and_open(self, name: str, between: int | None) -> None:
        movements.delete(self.bank, Command("delete", name, force=True))
        self.see()
        self.begin_period(name)
        for user in USERS:
            self.limits.pop((name, user), None)
        if between is not None:
            self.use(name, "ada", between, last=False, seen=True)
        self.open(name)

    @rule(name=accounts, user=users, amount=amounts, last=st.booleans(), seen=st.booleans())
    def use(self, name: str, user: str, amount: int, last: bool, seen: bool) -> None:
        meters = self.meters[name, user]
        self.fake.use(meters[-1 if last else 0], amount)
        self.unseen[name, user] += amount
        if seen:
            enforce(self.bank)
            self.see()

    @rule(name=accounts, user=users, amount=st.none() | amounts | st.just(0))
    def limit(self, name: str, user: str, amount: int | None) -> None:
        if amount is not None or (name, user) in self.limits:
            self.set_limit(name, user, amount)

    def set_limit(self, name: str, user: str, amount: int | None) -> None:
        limit_user(self.bank, Command("limit_user", name, amount, user=user))
        self.see()
        if amount is None:
            del self.limits[name, user]
        else:
            self.limits[name, user] = amount

    @rule(name=accounts, amount=amounts)
    def top_up(self, name: str, amount: int) -> None:
        movements.add(self.bank, Command("add", name, amount, force=True))
        self.see()

    @rule(name=accounts)
    def new_period(self, name: str) -> None:
        movements.reset_usage(self.bank, Command("reset_usage", name))
        self.see()
        self.begin_period(name)

    @rule(name=accounts, user=users, amount=amounts)
    def refund(self, name: str, user: str, amount: int) -> None:
        some = min(amount, self.standing(name).account.books.used)
        if some:
            draft = Draft(name, "refund", USED, AVAILABLE, some, "ada", cluster="fake", user=user)
            with writing(self.bank.database) as writer:
                post(writer, [draft], now=self.clock())
            self.booked[name, user] -= some

    @rule(way=st.sampled_from(["hold", "limit"]))
    def run_pass(self, way: str) -> None:
        changed = self.bank.settings._replace(enforcement=way)
        self.bank = self.bank._replace(settings=changed)
        enforce(self.bank)
        self.see()
        for whose, meters in self.meters.items():
            for one in meters:
                assert self.fake.user_limits[one] == self.wanted(whose, one, way), (whose, one)

    def wanted(self, whose: tuple[str, str], association: int, way: str) -> dict[str, int]:
        """Return what Slurm must show of an association after a pass."""
        before = {HOLD: self.originals[association]} if association in self.originals else {}
        if whose not in self.limits:
            return before
        left = self.limits[whose] - self.booked[whose]
        if left <= 0:
            return {HOLD: 0}
        if way == "hold":
            return before
        # Up to 2 minutes less are tolerated, for rounding.
        shown = self.fake.user_limits[association].get(NATIVE, -1)
        most = self.fake.users[association][3] // 60 + left // 60
        assert most - 2 <= shown <= most
        return {**before, NATIVE: shown}

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def used_is_the_fold_of_what_was_booked(self) -> None:
        found = {}
        for name in NAMES:
            for one in self.standing(name).users:
                found[name, one.limit.user] = (one.limit.amount, one.limit.used)
        assert found == {whose: (su, self.booked[whose]) for whose, su in self.limits.items()}
        assert upkeep.verify(self.bank) == []


UsersOfAccounts.TestCase.settings = settings(max_examples=20, stateful_step_count=25)
TestUsersOfAccounts = UsersOfAccounts.TestCase
