"""Grants, transfers and time against a model that pays at once, over thousands of random steps.

The bank computes who pays from a few rules, late. The model here pays each billing-second when it
is read, out of the grant in force that ends first. Both must always say the same.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bank.errors import Refusal
from bank.operations import corrections, grants, movements, shown_grants, transfers, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.settings import Settings
from bank.store import read
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm, take_over

NAMES = ("dept", "proj", "solo")
ABOVE = {"dept": (), "proj": ("dept",), "solo": ()}
DAY = 86_400_000_000
BEGAN = 20_000 * DAY
NEVER = 10**18


class Lot(NamedTuple):
    """A grant as the model has it: what is left of it, and what of the use so far it has paid.

    Of that `since` is what it has paid since a grant of the account last started.
    """

    number: int
    start: int
    end: int
    carry: int
    promised: int
    left: int
    paid: int
    since: int = 0


class Purse:
    """The grants of one account. What nobody could pay is a debt that the next one pays."""

    def __init__(self) -> None:
        self.lots: dict[int, Lot] = {}
        self.debt = 0

    def order(self) -> list[Lot]:
        living = [lot for lot in self.lots.values() if not lot.promised]
        # Of those that end together the one that was made first.
        return sorted(living, key=lambda lot: lot.end)

    def use(self, amount: int) -> None:
        self.debt += amount
        for lot in self.order():
            some = min(max(lot.left, 0), self.debt)
            self.lots[lot.number] = lot._replace(
                left=lot.left - some, paid=lot.paid + some, since=lot.since + some
            )
            self.debt -= some

    def give(self, number: int, amount: int) -> None:
        lot = self.lots[number]
        self.lots[number] = lot._replace(left=lot.left + amount)
        self.use(0)

    def take(self, amount: int, base: int) -> list[tuple[Lot, int]]:
        taken = []
        for lot in self.order():
            some = min(max(lot.left, 0), amount)
            if lot.number == base:
                some = amount
            if some:
                self.lots[lot.number] = lot._replace(left=lot.left - some)
                taken.append((lot, some))
            amount -= some
        return taken

    def give_back(self, amount: int) -> None:
        """Take off what was used: what nobody paid, then what was paid since the last start.

        Then what was paid before it, of the lot that ends last first.
        """
        some = min(self.debt, amount)
        self.debt -= some
        amount -= some
        for what in ("since", "before"):
            for lot in reversed(self.order()):
                there = lot.since if what == "since" else lot.paid
                some = min(there, amount)
                changed = lot._replace(left=lot.left + some, paid=lot.paid - some)
                self.lots[lot.number] = changed._replace(since=min(lot.since, changed.paid))
                amount -= some
        assert not amount

    def settle(self) -> None:
        """A grant starts: what was paid until now was paid by those before it."""
        for number, lot in self.lots.items():
            self.lots[number] = lot._replace(since=0)

    def turn(self, now: int) -> None:
        """Start and end what is due."""
        while True:
            due = []
            for lot in self.lots.values():
                if lot.promised and lot.start <= now:
                    due.append((lot.start, 1, lot.number))
                elif not lot.promised and lot.end <= now:
                    due.append((lot.end, 0, lot.number))
            if not due:
                return
            _, starts, number = min(due)
            lot = self.lots[number]
            if starts:
                self.settle()
                self.lots[number] = lot._replace(promised=0, left=lot.promised)
                self.use(0)
            else:
                del self.lots[number]
                carried = max(lot.left, 0) * lot.carry // 100
                if carried:
                    days = (lot.end - lot.start) // DAY
                    self.settle()
                    after = Lot(-number, lot.end, lot.end + days * DAY, 0, 0, carried, 0)
                    self.lots[-number] = after
                    self.use(0)

    @property
    def used(self) -> int:
        return self.debt + sum(lot.paid for lot in self.lots.values())

    @property
    def granted(self) -> int:
        return sum(lot.left + lot.paid for lot in self.lots.values() if not lot.promised)


amounts = st.integers(1, 100)
names = st.sampled_from(NAMES)


class GrantsAndTime(RuleBasedStateMachine):
    """A department with a project below it and a lone account, and time that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setenv("TZ", "UTC")
        self.directory = tempfile.TemporaryDirectory()
        self.fake: FakeSlurm = take_over(self.patches)
        self.fake.add_account("dept")
        self.fake.add_account("proj", "dept")
        self.fake.add_account("solo")
        self.users = {name: self.fake.add_user(name) for name in NAMES}
        self.now = BEGAN
        self.base: dict[str, int] = {}
        self.purses = {name: Purse() for name in NAMES}
        self.copies = 0

    def teardown(self) -> None:
        self.patches.undo()
        self.directory.cleanup()

    @initialize(su=st.lists(st.integers(0, 100), min_size=3, max_size=3))
    def start(self, su: list[int]) -> None:
        path = Path(self.directory.name) / "bank.db"
        known = Settings(str(path), confirm_seconds=1)
        self.bank = Bank(known, "ada", lambda _: None, self.clock)
        upkeep.migrate(self.bank, dry_run=False)
        for name, amount in zip(NAMES, su, strict=True):
            movements.insert(self.bank, Command("insert", name, amount, force=True))
            (base,) = self.shown(name)
            self.base[name] = base["grant"]
            lot = Lot(base["grant"], BEGAN, NEVER, 0, 0, amount, 0)
            self.purses[name].lots[lot.number] = lot
        self.read_now()

    def clock(self) -> int:
        self.now += 1
        return self.now

    def shown(self, name: str) -> list[dict[str, Any]]:
        return [one for one in shown_grants.grants(self.bank, name) if one["state"] != "over"]

    def do(self, verb: str, name: str, amount: int | None = None, **more: Any) -> None:  # noqa: ANN401
        rooms = (movements, transfers, corrections, grants)
        act = next(getattr(room, verb) for room in rooms if hasattr(room, verb))
        act(self.bank, Command(verb, name, amount, force=True, **more))

    def turn(self) -> None:
        for purse in self.purses.values():
            purse.turn(self.now)

    def read_now(self) -> None:
        self.turn()
        enforce(self.bank)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.now += hours * DAY // 24
        self.read_now()

    @rule(name=names, amount=amounts)
    def a_job_runs(self, name: str, amount: int) -> None:
        self.turn()
        self.fake.use(self.users[name], amount)
        for paying in (name, *ABOVE[name]):
            self.purses[paying].use(amount)
        self.read_now()

    @rule(
        name=names,
        amount=amounts,
        after=st.integers(-2, 4),
        days=st.integers(1, 5),
        carry=st.sampled_from([0, 0, 33, 100]),
    )
    def grant(self, name: str, amount: int, after: int, days: int, carry: int) -> None:
        today = self.now // DAY * DAY
        start, end = today + after * DAY, today + (after + days) * DAY
        if end <= self.now:
            return
        self.turn()
        self.do("grant", name, amount, start_at=start, end_at=end, carry_percent=carry)
        number = max(one["grant"] for one in self.shown(name))
        purse = self.purses[name]
        purse.lots[number] = Lot(number, start, end, carry, amount, 0, 0)
        purse.turn(self.now)

    @rule(name=names, amount=amounts)
    def add(self, name: str, amount: int) -> None:
        self.read_now()
        self.do("add", name, amount)
        self.purses[name].give(self.base[name], amount)

    @rule(name=names, amount=amounts)
    def withdraw(self, name: str, amount: int) -> None:
        self.read_now()
        purse = self.purses[name]
        if amount > purse.granted - purse.used:
            with pytest.raises(Refusal, match="available are"):
                self.do("withdraw", name, amount)
            return
        self.do("withdraw", name, amount)
        purse.take(amount, self.base[name])

    @rule(name=names, to=names, amount=amounts)
    def transfer(self, name: str, to: str, amount: int) -> None:
        self.read_now()
        purse, other = self.purses[name], self.purses[to]
        if name == to or amount > purse.granted - purse.used:
            with pytest.raises(Refusal):
                self.do("transfer", name, amount, to=to)
            return
        before = {one["grant"] for one in self.shown(to)}
        self.do("transfer", name, amount, to=to)
        for lot, some in purse.take(amount, self.base[name]):
            if lot.number == self.base[name]:
                other.give(self.base[to], some)
                continue
            # Of several that are alike the oldest is given more.
            theirs = next(one["grant"] for one in self.shown(to) if self.is_same(one, name, lot))
            if theirs not in before:
                other.settle()
                other.lots[theirs] = lot._replace(number=theirs, left=0, paid=0, since=0)
            other.give(self.key_of(to, theirs), some)

    def is_same(self, one: dict[str, Any], name: str, lot: Lot) -> bool:
        """Tell whether a grant is as the bank takes it for that of a lot of another account."""
        number = lot.number if lot.number > 0 else self.number_of(name, lot)
        mine = next(two for two in shown_grants.grants(self.bank, name) if two["grant"] == number)
        same = ("kind", "start_at", "end_at", "carry_percent")
        return one["state"] == "in force" and all(one[what] == mine[what] for what in same)

    def number_of(self, name: str, lot: Lot) -> int:
        """Return the number of the grant that was carried over from another."""
        kind = f"carry-over {-lot.number}"
        return next(int(one["grant"]) for one in self.shown(name) if one["kind"] == kind)

    def key_of(self, name: str, number: int) -> int:
        """Return the number under which the model has a grant; see `number_of`."""
        kind = next(one["kind"] for one in self.shown(name) if one["grant"] == number)
        lots = self.purses[name].lots
        return next((key for key in lots if kind == f"carry-over {-key}"), number)

    @rule(name=names, amount=amounts, verb=st.sampled_from(["refund", "adjust"]))
    def give_back(self, name: str, amount: int, verb: str) -> None:
        self.read_now()
        before = self.all_used()
        sign = 1 if verb == "refund" else -1
        try:
            self.do(verb, name, sign * amount, reason="by mistake")
        except Refusal:
            # What it has used itself may be closed, or be that of an account below.
            assert self.all_used() == before
            return
        for paying, used in self.all_used().items():
            self.purses[paying].give_back(before[paying] - used)

    def all_used(self) -> dict[str, int]:
        with reading(self.bank.database) as reader:
            return {name: one.used for name, one in read.standings(reader).items()}

    @rule(name=names)
    def reset_usage(self, name: str) -> None:
        self.read_now()
        self.do("reset_usage", name)
        purse = self.purses[name]
        purse.debt = 0
        for number, lot in list(purse.lots.items()):
            purse.lots[number] = lot._replace(left=lot.left + lot.paid, paid=0, since=0)
        # Each period gives what has no end anew.
        base = purse.lots.pop(self.base[name])
        self.base[name] = max(one["grant"] for one in self.shown(name))
        purse.lots[self.base[name]] = base._replace(number=self.base[name])

    @rule()
    def put_back_a_backup_of_now(self) -> None:
        self.copies += 1
        copy = f"{self.directory.name}/copy{self.copies}.db"
        upkeep.backup(self.bank, copy)
        upkeep.restore(self.bank, copy, dry_run=False)

    @rule()
    def a_second_pass_does_nothing(self) -> None:
        self.read_now()
        with reading(self.bank.database) as reader:
            before = reader.query("SELECT sum(entry_count), sum(change_count) FROM account")
        enforce(self.bank)
        with reading(self.bank.database) as reader:
            after = reader.query("SELECT sum(entry_count), sum(change_count) FROM account")
        assert before == after

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def the_books_agree(self) -> None:
        assert upkeep.verify(self.bank) == []

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def the_bank_says_what_the_model_says(self) -> None:
        for name, purse in self.purses.items():
            with reading(self.bank.database) as reader:
                standing = read.standing(reader, name)
            assert standing is not None
            assert (standing.account.books.granted, standing.used) == (purse.granted, purse.used)
            left = sorted(one["left_billing_seconds"] for one in self.shown(name))
            assert left == sorted(lot.promised or lot.left for lot in purse.lots.values())

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def nothing_comes_from_nowhere(self) -> None:
        with reading(self.bank.database) as reader:
            rows = reader.query("SELECT source, target, sum(amount) FROM entry GROUP BY 1, 2")
        balance: dict[str, int] = {}
        for source, target, amount in rows:
            balance[source] = balance.get(source, 0) - amount
            balance[target] = balance.get(target, 0) + amount
        assert balance.get("clearing", 0) == 0
        assert sum(balance.values()) == 0


GrantsAndTime.TestCase.settings = settings(max_examples=25, stateful_step_count=25)
TestGrantsAndTime = GrantsAndTime.TestCase
