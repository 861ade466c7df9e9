"""Any grants, exported and imported again, here and elsewhere, on a model of Slurm."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.operations import applying, dumps, movements, upkeep
from bank.operations.bank import Bank, use_zone
from bank.operations.commands import Command
from bank.operations.days import exact_text, moment
from bank.operations.differences import plan_import
from bank.operations.enforcement import enforce
from bank.operations.grant_dates import turn
from bank.operations.periods import Opening, open_accounts
from bank.settings import Settings
from bank.store.connect import writing
from bank.store.grants import PROMISED, Grant, promise
from tests.fake_slurm import FakeSlurm, take_over
from tests.operations.conftest import SU

NAMES = ("dept", "proj", "solo")
HOUR = 3_600_000_000
# 1 October 2027, 00:00 UTC; clocks go back in Berlin on the last of the month.
NOW = 1_822_348_800_000_000
BACK_AT = 1_824_944_400_000_000
numbers = itertools.count()


class Dated(NamedTuple):
    """A grant with dates that is to be given."""

    amount: int
    start_at: int
    end_at: int
    kind: str
    carry_percent: int
    reason: str


class Content(NamedTuple):
    """An account that is to be opened: its grant without an end, and those with dates."""

    amount: int | None
    reason: str
    dated: list[Dated]


# Few, so that many are the same; some begin or end in the hour that comes twice, or in no second.
instants = st.sampled_from(
    [NOW - HOUR, NOW, NOW + 22 * HOUR, BACK_AT - HOUR, BACK_AT, BACK_AT + HOUR, BACK_AT + 7]
)
texts = st.sampled_from(["", "call 1", 'of "it", 2', "\u00fc"])
dated = st.builds(
    lambda amount, ends, *rest: Dated(amount, *sorted(ends), *rest),
    st.integers(1, 5 * SU),
    st.tuples(instants, instants).filter(lambda ends: ends[0] != ends[1] and max(ends) > NOW),
    st.sampled_from(["allocation", "INCITE", "carry-over 1"]),
    st.sampled_from([0, 0, 50]),
    texts,
)
banks = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Content,
        st.none() | st.integers(-2 * SU, 5 * SU) | st.just(-SU),
        texts,
        st.lists(dated, max_size=4),
    ),
)
uses = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9 * SU))
RESTING = settings(max_examples=40)


class Worlds:
    """Banks in a directory that goes with them."""

    def __init__(self, directory: Path, fake: FakeSlurm) -> None:
        self.directory = directory
        self.meters = {name: fake.add_user(name) for name in NAMES}
        self.fake = fake
        self.made = directory / "made.db"
        upkeep.migrate(Bank(Settings(str(self.made)), "ada", pytest.fail), dry_run=False)

    def empty(self) -> Bank:
        place = self.directory / f"bank{next(numbers)}"
        place.mkdir()
        self.forget_use()
        bank = Bank(Settings(str(place / "bank.db")), "ada", lambda _: None, lambda: NOW)
        shutil.copy(self.made, place / "bank.db")
        return bank

    def filled(self, content: dict[str, Content]) -> Bank:
        bank = self.empty()
        with writing(bank.database) as writer:
            openings = [Opening(name, one.amount, one.reason) for name, one in content.items()]
            open_accounts(bank, writer, openings)
            for name, one in content.items():
                for amount, start_at, end_at, kind, carry, reason in one.dated:
                    grant = Grant(
                        *(0, name, kind, start_at, end_at, PROMISED),
                        granted=0, promised=amount, paid=0, carry_percent=carry, is_dated=1,
                    )  # fmt: skip
                    promise(writer, grant, actor="ada", reason=reason, now=NOW)
            turn(bank, writer, list(content), at=NOW)
        return bank

    def export(self, bank: Bank) -> str:
        path = str(self.directory / f"export{next(numbers)}")
        dumps.export_csv(bank, path)
        return path

    def forget_use(self) -> None:
        """What ran in an earlier example is none of this one's business."""
        self.fake.counted = 0
        for meter in self.meters.values():
            self.fake.users[meter][3] = 0

    def use(self, bank: Bank, used: dict[str, int]) -> None:
        for name, amount in used.items():
            self.fake.use(self.meters[name], amount)
        enforce(bank)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(applying, "enforce_soon", lambda *_, **__: None)
        fake = take_over(patches)
        fake.add_account("dept")
        fake.add_account("proj", "dept")
        fake.add_account("solo")
        patches.setenv("TZ", "UTC")
        use_zone("Europe/Berlin")
        yield Worlds(tmp_path_factory.mktemp("worlds"), fake)


def apply(bank: Bank, path: str, *, reason: str = "") -> None:
    applying.apply(bank, plan_import(bank, path, reason=reason, force=True), dry_run=False)
    assert upkeep.verify(bank) == []
    assert plan_import(bank, path, reason="").differences == []


def lines(path: str) -> list[list[str]]:
    """Return what a file says but for why: where it says nothing the new history does."""
    rows = [line.split(",") for line in Path(path).read_text().replace('of "it"', "").splitlines()]
    return [[*row[:4], *row[-4:]] for row in rows]


@RESTING
@given(content=banks, used=uses, is_reset=st.booleans())
def test_any_grants_are_no_difference_to_their_export_also_after_use(
    worlds: Worlds, content: dict[str, Content], used: dict[str, int], is_reset: bool
) -> None:
    bank = worlds.filled(content)
    path = worlds.export(bank)
    assert plan_import(bank, path, reason="").differences == []
    worlds.use(bank, used)
    if is_reset:
        for name in content:
            movements.reset_usage(bank, Command("reset_usage", name))
    assert plan_import(bank, path, reason="").differences == []
    assert lines(worlds.export(bank)) == lines(path)


@RESTING
@given(content=banks)
def test_an_empty_bank_becomes_the_one_that_was_exported(
    worlds: Worlds, content: dict[str, Content]
) -> None:
    path = worlds.export(worlds.filled(content))
    other = worlds.empty()
    apply(other, path)
    assert lines(worlds.export(other)) == [said(row, {}) for row in lines(path)]


@RESTING
@given(before=banks, after=banks)
def test_any_grants_become_what_any_file_says_and_others_stay(
    worlds: Worlds, before: dict[str, Content], after: dict[str, Content]
) -> None:
    path = worlds.export(worlds.filled(after))
    bank = worlds.filled(before)
    old = {grant_of(row): row for row in lines(worlds.export(bank))}
    apply(bank, path)
    new = {grant_of(row): said(row, old) for row in lines(path)}
    assert sorted(lines(worlds.export(bank))) == sorted({**old, **new}.values())


def said(row: list[str], old: dict[tuple[str, ...], list[str]]) -> list[str]:
    """Return a row with what is carried over where it leaves that open: as it was, or nothing."""
    *start, end, carry, owed, zone = row
    was = old[grant_of(row)][-3] if grant_of(row) in old else "0"
    return [*start, end, carry or was, owed, zone] if end not in ("", "end") else row


def grant_of(row: list[str]) -> tuple[str, ...]:
    account, _, start, kind, end, *_ = row
    return (account, start, kind, end) if end else (account,)


@given(st.integers(0, 4_000_000_000_000_000) | st.integers(BACK_AT - HOUR, BACK_AT + HOUR))
def test_any_time_is_written_so_that_it_reads_back(worlds: Worlds, at: int) -> None:
    del worlds
    assert moment(exact_text(at), "") == at
