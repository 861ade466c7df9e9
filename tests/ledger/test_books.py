"""The pure ledger: what an entry does to the totals, and how chains are made and proven."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import LedgerBroken
from bank.ledger.books import MAX_TOTAL, Books, extended, moved
from bank.ledger.entries import (
    AVAILABLE,
    CLEARING,
    KINDS,
    TREASURY,
    USED,
    Draft,
    Entry,
    chained_digest,
)
from bank.ledger.proof import Found, prove_chain

MOVES = [(kind, *pair) for kind, pairs in KINDS.items() for pair in sorted(pairs)]


def draft(kind: str, source: str, target: str, amount: int) -> Draft:
    return Draft("test1", kind, source, target, amount, "ada", "why", 1, "c1", "bob", "reading 1/1")


def chain_problems(name: str, entries: list[Entry], stated: Books) -> list[str]:
    found = Found()
    rows = ((one.seq, one.posted_at, *one.draft, one.digest) for one in entries)
    prove_chain(name, rows, stated, found)
    return list(found.told())


DRAFTS = st.builds(
    lambda move, amount: draft(move[0], move[1], move[2], amount),
    st.sampled_from(MOVES),
    st.integers(1, 10**12),
)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Books, list[Entry]]:
    """Entries that the ledger takes, over several transactions and with a clock that jumps."""
    books, entries = Books(), []
    for some in draw(st.lists(st.lists(DRAFTS, max_size=4), max_size=5)):
        allowed = []
        trial = books
        for one in some:
            try:
                trial = moved(trial, one)
            except LedgerBroken:
                continue
            allowed.append(one)
        books, made = extended(books, allowed, now=draw(st.integers(0, 10**16)))
        entries += made
    return books, entries


@pytest.mark.parametrize(
    ("kind", "source", "target", "granted", "used"),
    [
        ("deposit", TREASURY, AVAILABLE, 5, 0),
        ("withdrawal", AVAILABLE, TREASURY, -5, 0),
        ("charge", AVAILABLE, USED, 0, 5),
        ("transfer", AVAILABLE, CLEARING, -5, 0),
        ("transfer", CLEARING, AVAILABLE, 5, 0),
        ("refund", USED, AVAILABLE, 0, -5),
        ("adjustment", AVAILABLE, USED, 0, 5),
        ("adjustment", USED, AVAILABLE, 0, -5),
        ("adjustment", TREASURY, AVAILABLE, 5, 0),
        ("adjustment", AVAILABLE, TREASURY, -5, 0),
        ("closing", USED, TREASURY, -5, -5),
        ("closing", AVAILABLE, TREASURY, -5, 0),
        ("expiry", AVAILABLE, TREASURY, -5, 0),
        ("expiry", TREASURY, AVAILABLE, 5, 0),
    ],
)
def test_each_kind_moves_the_totals_it_should(
    kind: str, source: str, target: str, granted: int, used: int
) -> None:
    before = Books(granted=100, used=50)
    after = moved(before, draft(kind, source, target, 5))
    assert (after.granted - 100, after.used - 50) == (granted, used)


def test_the_table_above_knows_every_kind() -> None:
    assert len(MOVES) == 14


@pytest.mark.parametrize("kind", [*KINDS, "gift"])
@pytest.mark.parametrize("source", [TREASURY, AVAILABLE, USED, CLEARING, "x"])
@pytest.mark.parametrize("target", [TREASURY, AVAILABLE, USED, CLEARING, "x"])
def test_no_kind_moves_anything_else(kind: str, source: str, target: str) -> None:
    if (kind, source, target) in MOVES:
        return
    with pytest.raises(LedgerBroken):
        moved(Books(granted=100, used=50), draft(kind, source, target, 5))


@pytest.mark.parametrize("amount", [0, -1, 1.0, True, "1", None])
def test_only_whole_amounts_above_nothing_move(amount: int) -> None:
    with pytest.raises(LedgerBroken):
        moved(Books(), draft("deposit", TREASURY, AVAILABLE, amount))


def test_totals_that_64_bits_cannot_hold_are_refused() -> None:
    with pytest.raises(LedgerBroken):
        moved(Books(granted=MAX_TOTAL), draft("deposit", TREASURY, AVAILABLE, 1))


def test_use_never_falls_below_nothing() -> None:
    with pytest.raises(LedgerBroken):
        moved(Books(granted=9, used=4), draft("closing", USED, TREASURY, 5))


@given(chains())
def test_what_comes_from_the_treasury_is_available_or_used(
    chain: tuple[Books, list[Entry]],
) -> None:
    books, entries = chain
    balance = {TREASURY: 0, CLEARING: 0, AVAILABLE: 0, USED: 0}
    for entry in entries:
        balance[entry.draft.source] -= entry.draft.amount
        balance[entry.draft.target] += entry.draft.amount
    assert sum(balance.values()) == 0
    assert books.granted == -balance[TREASURY] - balance[CLEARING]
    assert (books.available, books.used) == (balance[AVAILABLE], balance[USED])


@given(chains())
def test_a_chain_made_by_the_ledger_proves_itself(chain: tuple[Books, list[Entry]]) -> None:
    books, entries = chain
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.posted_at for entry in entries] == sorted(entry.posted_at for entry in entries)
    assert not (chain_problems("test1", entries, books))


@given(chains(), st.data())
def test_any_change_to_a_chain_is_noticed(
    chain: tuple[Books, list[Entry]], data: st.DataObject
) -> None:
    books, entries = chain
    if not entries:
        return
    at = data.draw(st.integers(0, len(entries) - 1))
    entry = entries[at]
    how = data.draw(st.sampled_from(["remove", "repeat", "amount", "reason", "digest", "time"]))
    changed = {
        "remove": [],
        "repeat": [entry, entry],
        "amount": [entry._replace(draft=entry.draft._replace(amount=entry.draft.amount + 1))],
        "reason": [entry._replace(draft=entry.draft._replace(reason="another"))],
        "digest": [entry._replace(digest="0" * 64)],
        "time": [entry._replace(posted_at=entry.posted_at + 1)],
    }[how]
    assert chain_problems("test1", [*entries[:at], *changed, *entries[at + 1 :]], books)


@given(chains(), st.sampled_from(Books._fields))
def test_a_total_that_was_changed_is_noticed(chain: tuple[Books, list[Entry]], field: str) -> None:
    books, entries = chain
    old = getattr(books, field)
    wrong = books._replace(**{field: old + 1 if isinstance(old, int) else "0"})  # type: ignore[arg-type]
    assert chain_problems("test1", entries, wrong)


@given(
    st.text(alphabet="0123456789abcdef"),
    st.lists(st.none() | st.text() | st.integers() | st.booleans(), max_size=20),
)
def test_digest_is_of_the_same_bytes_whoever_makes_it(previous: str, fields: list[object]) -> None:
    # What stands in databases was made so; it must fit for ever.
    content = json.dumps([previous, *fields], separators=(",", ":"))
    assert chained_digest(previous, *fields) == sha256(content.encode()).hexdigest()
