"""Statements of the whole bank after random steps: what they say is what was seen at the time."""

from contextlib import suppress
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from bank.errors import Refusal
from bank.operations import corrections, transfers
from bank.operations.bank import utc_text
from bank.operations.commands import Command
from bank.operations.statement import statement
from bank.operations.usage import usage
from tests.operations.test_model import NAMES, SU, BankAndSlurm, accounts, amounts

SECOND = 1_000_000


class Seen(NamedTuple):
    """What the open accounts had at an instant: granted, used; and how often the tree changed."""

    at: int
    standings: dict[str, tuple[int, int]]
    tree: int


class BankWithStatements(BankAndSlurm):
    """The same bank; after each step its statements are held against what was seen before.

    All accounts are open and have used something, so that most steps book something.
    """

    # What changes nothing in the books, or looks at other things, would only take time here.
    hold_by_hand_and_release = None  # type: ignore[assignment]
    a_second_pass_does_nothing = None  # type: ignore[assignment]
    the_books_agree = None  # type: ignore[assignment]
    one_account_is_shown_as_all_are = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        # What counts for an account above changes with the tree and with who is open in it.
        self.tree: object = None
        self.trees = 0

    def clock(self) -> int:
        # Statements are asked for by whole seconds.
        self.now += SECOND
        return self.now

    @initialize(on_top_up=st.sampled_from(["keep", "reset"]))
    def start(self, on_top_up: str) -> None:
        super().start(on_top_up)
        for name in NAMES:
            self.insert(name, 40 * SU)
            self.run_job(name, SU)

    @rule()
    def run_a_pass(self) -> None:
        # What was charged is less than what was used here, where some was given back.
        self.read_now()

    @rule(name=accounts, amount=amounts)
    def refund(self, name: str, amount: int) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        with suppress(Refusal):
            corrections.refund(self.bank, Command("refund", name, amount))

    @rule(name=accounts, amount=amounts)
    def adjust(self, name: str, amount: int) -> None:
        if not self.is_open(name):
            return
        self.read_now()
        with suppress(Refusal):
            corrections.adjust(self.bank, Command("adjust", name, -amount, reason="why"))

    @rule(name=accounts, to=accounts, amount=amounts)
    def transfer(self, name: str, to: str, amount: int) -> None:
        if self.is_open(name) and self.is_open(to):
            command = Command("transfer", name, amount, to=to, force=True)
            with suppress(Refusal):
                transfers.transfer(self.bank, command)

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def what_was_seen_is_what_statements_open_with(self) -> None:
        found = {
            name: (standing.account.books.granted, standing.used)
            for name, standing in self.all_standings().items()
        }
        tree = (dict(self.fake.parents), sorted(found))
        self.trees += tree != self.tree
        self.tree = tree
        same_tree = [seen for seen in self.seen if seen.tree == self.trees]
        for seen in {seen.at: seen for seen in (*self.seen[-1:], *same_tree[:1])}.values():
            for name, now in found.items():
                self._compare(name, now, seen)
        self.seen.append(Seen(self.clock(), found, self.trees))

    def _compare(self, name: str, now: tuple[int, int], seen: Seen) -> None:
        """Hold a statement since an instant against what was seen then, and what is now."""
        since = utc_text(seen.at)
        told = statement(self.bank, name, since=since, is_itemized=True)
        grouped = statement(self.bank, name, since=since)
        closing, opening = told["closing"], told["opening"]
        assert (closing["granted_billing_seconds"], closing["used_billing_seconds"]) == now
        assert (grouped["opening"], grouped["closing"]) == (opening, closing)
        for what in ("granted", "used"):
            key = f"{what}_billing_seconds"
            for lines in (told["entries"], grouped["groups"]):
                assert opening[key] + sum(line[key] for line in lines) == closing[key]
        if name in seen.standings and seen.tree == self.trees:
            was = opening["granted_billing_seconds"], opening["used_billing_seconds"]
            assert was == seen.standings[name]
            # And one until then closes with it.
            before = statement(self.bank, name, since=utc_text(10**15), until=since)
            assert before["closing"]["used_billing_seconds"] == was[1]

    @rule()
    def usage_is_the_same_however_it_is_summed_up(self) -> None:
        totals = [
            usage(self.bank, None, by=by, since="1980-01-01")["total"]
            for by in ("user", "account", "partition", "month", "cluster")
        ]
        assert all(total == totals[0] for total in totals)


BankWithStatements.TestCase.settings = settings(max_examples=20, stateful_step_count=12)
TestBankWithStatements = BankWithStatements.TestCase
