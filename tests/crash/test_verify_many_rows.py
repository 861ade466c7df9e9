"""verify takes no more room for more rows, and says no more of a million misfits than of two."""

import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from bank.ledger.books import Books, extended
from bank.ledger.entries import AVAILABLE, TREASURY, USED, Draft, chained_digest
from bank.ledger.proof import (
    Bookings,
    Found,
    MeterState,
    Row,
    Totals,
    prove_chain,
    proven_readings,
)
from bank.operations import upkeep
from bank.operations.bank import Bank
from bank.settings import Settings
from bank.store import accounts, meters
from bank.store.connect import writing
from bank.store.meters import Place, Reading
from bank.store.post import post

SU = 3600


def readings(number: int) -> Iterator[Row]:
    """Make readings of one meter that rises by 7 each time, one by one."""
    digest = ""
    for seq in range(1, number + 1):
        fields = ("c", 7, "ada", "", seq, 7 * seq, "rise", 7, seq, seq)
        digest = chained_digest(digest, *fields)
        yield (*fields, digest)


def charges(number: int) -> Iterator[Row]:
    """Make the entries of an account that was given enough, and charged for such readings."""
    books = Books()
    given = Draft("x", "deposit", TREASURY, AVAILABLE, 7 * number, "t")
    for seq in range(number + 1):
        charge = Draft("x", "charge", AVAILABLE, USED, 7, "t", "", None, "c", "ada",
                       f"reading 7/{seq}")  # fmt: skip
        books, (entry,) = extended(books, [charge if seq else given], now=seq)
        yield entry.seq, entry.posted_at, *entry.draft, entry.digest


def prove(number: int) -> list[str]:
    """Prove an account of so many readings."""
    found = Found()
    state = MeterState(number, 7 * number, "?", 0, "ada", "", number, number)
    bookings = Bookings("x", {7: proven_readings("meter 7", readings(number), state, found)}, found)
    totals = Totals("x", (), bookings, {}, found)
    prove_chain("x", totals.counted(charges(number)), Books(), found)
    assert bookings.left() == []
    assert totals.charged == {"c": 7 * number}
    return list(found.told())


def peak_bytes(number: int) -> int:
    """Return the most memory that a proof of so many readings takes."""
    tracemalloc.start()
    try:
        found = prove(number)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        # The row of the meter and of the account say what nobody had at hand.
        assert all("its row" in one for one in found)


def test_more_readings_take_no_more_memory() -> None:
    prove(10)
    few, many = peak_bytes(1_000), peak_bytes(4_000)
    # One number kept of each reading would be more than all that is taken now.
    assert many < few * 1.2, (few, many)


def test_chain_that_was_computed_from_other_amounts_is_one_line() -> None:
    rows = [(*row[:6], row[6] + 1, *row[7:]) for row in charges(1_000)]
    found = Found()
    books = Books(granted=7_001, used=8_000, entry_count=1_001, head_digest=rows[-1][-1],
                  last_posted_at=1_000)  # fmt: skip
    prove_chain("x", rows, books, found)
    (line,) = found.told()
    assert line == (
        "account x, entry 1: its digest does not fit: it or an entry before it was changed"
        " (and 1000 more like it, the last is entry 1001)"
    )


@pytest.mark.parametrize("missing", ["entries", "readings"])
def test_entries_and_readings_may_stand_in_any_order_but_not_be_missing(missing: str) -> None:
    found = Found()
    bookings = Bookings("x", {1: iter([(1, 5), (2, 0), (3, 6)]), 2: iter([(1, 7)])}, found)
    for reference, amount in [("2/1", 7), ("1/3", 2), ("1/1", 5), ("1/3", 4)]:
        if missing != "entries" or reference != "1/1":
            bookings.hold(f"reading {reference}", amount)
    if missing == "readings":
        bookings.hold("reading 2/2", 1)
    assert bookings.left() == ([(1, 1, 5)] if missing == "entries" else [])
    assert len(list(found.told())) == (missing == "readings")


@pytest.fixture
def many(tmp_path: Path) -> Bank:
    """Books of three accounts, two meters each, with readings that are charged in turn."""
    clock = count(1_000_000)
    bank = Bank(Settings(str(tmp_path / "bank.db")), "tester", pytest.fail, lambda: next(clock))
    upkeep.migrate(bank, dry_run=False)
    names = ["a", "b", "c"]
    with writing(bank.database) as writer:
        accounts.ensure(writer, names)
        meters.write_places(writer, "c", [Place(name, None, 0, 0, 0, 0) for name in names])
        heads: dict[int, str] = {}
        for seq in range(30):
            new = [
                Reading(7 + number, names[number % 3], f"u{number % 2}", "", seq,
                        heads.get(7 + number, ""), 10 * seq + 10, "rise", 10, seq, seq)
                for number in range(6)
            ]  # fmt: skip
            references = meters.write_readings(writer, "c", new)
            heads = {one.association: one.head_digest
                     for one in meters.find_meters(writer, "c").values()}  # fmt: skip
            drafts = [
                Draft(one.account, "charge", AVAILABLE, USED, 10, "t", "", None, "c", one.user,
                      references[one.association])
                for one in new
            ]  # fmt: skip
            post(writer, drafts, now=seq)
    return bank


def test_progress_ends_where_all_rows_are_proven(
    many: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bank.store.proof._TELL_EVERY_ROWS", 60)
    told: list[tuple[int, int]] = []
    assert upkeep.verify(many, lambda done, total: told.append((done, total))) == []
    assert told == [(done, 360) for done in range(0, 361, 60)]


def test_misfits_come_in_the_order_of_accounts(many: Bank) -> None:
    with writing(many.database) as writer:
        for sql in (
            "DROP TRIGGER entry_update_refused",
            "DROP TRIGGER reading_update_refused",
            "UPDATE entry SET digest = 'x' WHERE seq IN (5, 9)",
            "UPDATE reading SET digest = 'x' WHERE seq IN (20, 25)",
        ):
            writer.execute(sql, [{}])
    found = [line.split(":")[0] for line in upkeep.verify(many)]
    assert found[:2] == [f"table {table}" for table in ("entry", "reading")]
    assert found[2:] == [
        line
        for number, name in enumerate("abc", start=1)
        for line in (
            f"account {name}, entry 5",
            *(
                f"meter {meter} ({user} in {name} on c), reading 20"
                for meter, user in _meters_of(number)
            ),
        )
    ]


def _meters_of(account: int) -> list[tuple[int, str]]:
    return [(meter, f"u{(meter - 1) % 2}") for meter in (account, account + 3)]
