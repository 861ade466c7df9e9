"""Statements: opening balance and lines make the closing balance, whatever the span is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.ledger.books import Books, moved
from bank.ledger.entries import KINDS, Draft
from bank.policy.spans import Span
from bank.policy.statement import (
    NOT_COUNTED,
    Balance,
    Below,
    Line,
    changes,
    grouped,
    made,
    not_counted,
    running,
)

MOVES = sorted((kind, *move) for kind, moves in KINDS.items() for move in moves)
DAY = 86_400_000_000


@pytest.mark.parametrize(("kind", "source", "target"), MOVES)
def test_an_entry_changes_what_the_ledger_says(kind: str, source: str, target: str) -> None:
    before = Books(granted=100, used=50)
    after = moved(before, Draft("a", kind, source, target, 7, "ada"))
    granted, used = changes(kind, source, target, None)
    assert (granted * 7, used * 7) == (after.granted - 100, after.used - 50)


def test_use_of_a_child_is_closed_from_what_is_available_and_counts_no_more() -> None:
    assert changes("closing", "available", "treasury", "child proj") == (-1, -1)


def line(at: int, granted: int, used: int, account: str = "a", **more: str) -> Line:
    kind = more.pop("kind", "charge" if used > 0 else "deposit")
    return Line(account, at, kind, granted, used, **more)  # type: ignore[arg-type]


LINES = st.lists(
    st.builds(
        line,
        st.integers(0, 100),
        st.integers(-50, 50),
        st.integers(-50, 50),
        st.sampled_from(["a", "child", "other"]),
    ),
    max_size=30,
).map(lambda lines: sorted(lines, key=lambda one: one.at))


@given(LINES, st.integers(-99, 99), st.integers(0, 99), st.none() | st.integers(1, 101))
def test_opening_and_lines_make_the_closing_balance(
    lines: list[Line], granted: int, used: int, end_at: int | None
) -> None:
    own = [one for one in lines if one.account == "a"]
    below = [one for one in lines if one.account != "a"]
    found = made("a", Balance(granted, used), own, below, Span(0, end_at))
    assert found.opening.granted + sum(one.granted for one in found.lines) == found.closing.granted
    assert found.opening.used + sum(one.used for one in found.lines) == found.closing.used
    assert all(end_at is None or one.at < end_at for one in found.lines)
    later = [one for one in lines if end_at is not None and one.at >= end_at]
    assert sorted([*found.lines, *later]) == sorted(lines)
    assert found.closing.granted + sum(one.granted for one in later) == granted
    balances = [after for _, after in running(found)]
    assert [found.opening, *balances][-1] == found.closing
    groups = grouped(found, [(0, "first"), (50, "second")])
    assert sum(group.granted for group in groups) == sum(one.granted for one in found.lines)
    assert sum(group.used for group in groups) == sum(one.used for one in found.lines)
    assert sum(group.entry_count for group in groups) == len(found.lines)


def test_a_span_ends_before_its_end() -> None:
    lines = [line(at, 1, 0) for at in (4, 5, 6)]
    found = made("a", Balance(3, 0), lines, [], Span(4, 6))
    assert [one.at for one in found.lines] == [4, 5]
    assert (found.opening, found.closing) == (Balance(0, 0), Balance(2, 0))


def test_groups_are_by_month_kind_user_and_direction_and_children_by_themselves() -> None:
    lines = [
        line(1, 100, 0),
        line(2, 0, 5, user="ada"),
        line(3, 0, 6, user="ada"),
        line(4, 0, 7, user="bob"),
        line(5, -10, 0, kind="transfer"),
        line(6, 20, 0, kind="transfer"),
        line(11, 0, 8, user="ada"),
        line(12, 0, -3, user="ada", kind="refund"),
    ]
    below = [line(7, 0, 1, "kid", user="eve"), line(13, 0, 2, "kid", user="ada")]
    found = made("a", Balance(110, 26), lines, below, Span(0, None))
    assert [tuple(group) for group in grouped(found, [(0, "jan"), (10, "feb")])] == [
        ("jan", "a", "charge", "ada", 2, 0, 11),
        ("jan", "a", "charge", "bob", 1, 0, 7),
        ("jan", "a", "deposit", None, 1, 100, 0),
        ("jan", "a", "transfer", None, 1, 20, 0),
        ("jan", "a", "transfer", None, 1, -10, 0),
        ("feb", "a", "charge", "ada", 1, 0, 8),
        ("feb", "a", "refund", "ada", 1, 0, -3),
        ("", "kid", "charge", None, 2, 0, 3),
    ]


@pytest.mark.parametrize(
    ("charged", "joined", "closed", "booked", "closings", "wrong"),
    [
        # Nothing special: all that was booked counts.
        (100, 0, 0, [100], [], []),
        (100, 0, 60, [40], [], []),
        (100, 0, 60, [100], [60], []),
        # It came with use that was forgiven, before and after the opening.
        (100, 60, 0, [40], [], []),
        (100, 60, 0, [100], [], [-60]),
        (100, 60, 0, [70], [], [-30]),
        # What was refunded had been closed: it gives the account above nothing back.
        (70, -30, 100, [-30], [], [30]),
        (70, -30, 100, [100, -30], [100], [30]),
        # The same, before the opening.
        (80, -30, 100, [10], [], []),
    ],
)
def test_use_of_a_child_that_does_not_count_has_a_line_of_its_own(
    charged: int,
    joined: int,
    closed: int,
    booked: list[int],
    closings: list[int],
    wrong: list[int],
) -> None:
    use = [line(at, 0, amount, "kid", cluster="c") for at, amount in enumerate(booked)]
    own = [
        line(9, -amount, -amount, kind="closing", cluster="c", reference="child kid")
        for amount in closings
    ]
    below = Below("c", "kid", charged, joined, closed)
    found = list(not_counted(own, use, [below], Span(0, None), now=50))
    assert [(one.kind, one.used) for one in found] == [(NOT_COUNTED, amount) for amount in wrong]
    opening = made("a", Balance(0, below.counts), own, [*use, *found], Span(0, None)).opening
    assert opening.used >= 0


def test_what_does_not_count_is_what_was_used_first_whichever_way_it_is_asked() -> None:
    use = [line(10, 0, 50, "kid", cluster="c"), line(20, 0, 50, "kid", cluster="c")]
    below = Below("c", "kid", 100, 70, 0)
    used = []
    for span in (Span(0, 15), Span(15, None)):
        since = [one for one in use if one.at >= span.start_at]
        more = not_counted([], since, [below], span, now=50)
        found = made("a", Balance(0, below.counts), [], [*since, *more], span)
        used.append((found.opening.used, found.closing.used))
    assert used == [(0, 0), (0, 30)]
