"""Which grant pays: tables for people, properties for all else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.ledger.grants import Part, Payer, at_end, less, payments, taken, unused

GRANTS = st.lists(
    st.tuples(
        st.none() | st.integers(1, 5),
        st.integers(-50, 200),
        st.integers(0, 200),
    ),
    max_size=5,
).map(lambda rows: [Payer(number, *row) for number, row in enumerate(rows, start=1)])


@pytest.mark.parametrize(
    ("what", "grants", "used", "paid"),
    [
        ("one alone", [Payer(1, None, 100)], 30, [30]),
        ("the one that ends first", [Payer(1, None, 100), Payer(2, 9, 50)], 30, [0, 30]),
        ("then the next", [Payer(1, 20, 100), Payer(2, 9, 50)], 70, [20, 50]),
        ("one without an end comes last", [Payer(1, None, 100), Payer(2, 99, 50)], 60, [10, 50]),
        ("of two that end together the older", [Payer(1, 9, 10), Payer(2, 9, 10)], 15, [10, 5]),
        ("overdrawn: nobody pays the rest", [Payer(1, 9, 10), Payer(2, None, 10)], 25, [10, 10]),
        ("what was settled stays", [Payer(1, None, 100, 40), Payer(2, 9, 50)], 60, [40, 20]),
        (
            "what is given back: the last one's",
            [Payer(1, None, 90, 40), Payer(2, 9, 50)],
            30,
            [30, 0],
        ),
        (
            "of several that were settled the one that ends last gets it",
            [Payer(1, 20, 90, 40), Payer(2, 9, 50, 10)],
            30,
            [20, 10],
        ),
        ("one that has less than it paid", [Payer(1, None, 30, 40), Payer(2, 9, 50)], 60, [30, 30]),
        ("one that owes pays nothing", [Payer(1, None, -30), Payer(2, 9, 50)], 60, [0, 50]),
    ],
)
def test_who_pays(what: str, grants: list[Payer], used: int, paid: list[int]) -> None:
    del what
    assert [payments(grants, used)[grant.grant_id] for grant in grants] == paid


@given(GRANTS, st.integers(0, 600))
def test_all_is_paid_once_and_nobody_pays_more_than_it_has(grants: list[Payer], used: int) -> None:
    paid = payments(grants, used)
    has = {grant.grant_id: max(grant.granted, 0) for grant in grants}
    assert all(0 <= paid[number] <= has[number] for number in has)
    assert sum(paid.values()) == min(used, sum(has.values()))


@given(GRANTS, st.integers(0, 600), st.integers(0, 100))
def test_more_use_takes_nothing_off_what_each_pays(
    grants: list[Payer], used: int, more: int
) -> None:
    before, after = payments(grants, used), payments(grants, used + more)
    assert all(after[number] >= before[number] for number in before)


@given(GRANTS, st.integers(0, 600), st.integers(0, 300))
def test_use_is_split_as_it_is_paid(grants: list[Payer], used: int, more: int) -> None:
    """What a charge names as its payers is what the rule says before and after it."""
    before, after = payments(grants, used), payments(grants, used + more)
    settled = sum(min(grant.paid, max(grant.granted, 0)) for grant in grants)
    if not settled <= used == sum(before.values()):
        return
    named = dict(taken(unused(grants, used), more, None))
    assert {number: before[number] + named.get(number, 0) for number in before} == after


@given(GRANTS, st.integers(0, 600))
def test_what_was_settled_is_paid_as_it_was(grants: list[Payer], used: int) -> None:
    paid = payments(grants, used)
    settled = [grant._replace(paid=paid[grant.grant_id]) for grant in grants]
    newcomer = Payer(99, 0, 500)
    again = payments([*settled, newcomer], sum(paid.values()) + 7)
    assert {number: again[number] for number in paid} == paid
    assert again[99] == 7


PARTS = st.lists(st.integers(-20, 50), max_size=4).map(
    lambda amounts: [Part(number, amount) for number, amount in enumerate(amounts)]
)


@given(PARTS, st.integers(0, 200), st.none() | st.integers(0, 3))
def test_taken_is_all_of_it_and_the_rest_is_of_one(
    parts: list[Part], amount: int, rest_of: int | None
) -> None:
    split = taken(parts, amount, rest_of)
    assert sum(part.amount for part in split) == amount
    assert all(part.amount > 0 for part in split)
    has = dict(parts)
    assert all(some <= has[number] for number, some in split if number != rest_of)
    left = dict(less(parts, split))
    assert all(left[number] == has[number] - dict(split).get(number, 0) for number in has)


@pytest.mark.parametrize(
    ("rest", "set_aside", "carry_percent", "kept", "carried", "expired"),
    [
        (100, 0, 0, 0, 0, 100),
        (100, 30, 0, 30, 0, 70),
        (100, 300, 0, 100, 0, 0),
        (100, 0, 50, 0, 50, 100),
        (101, 0, 50, 0, 50, 101),
        (100, 40, 25, 40, 15, 60),
        (0, 40, 25, 0, 0, 0),
        (-5, 40, 25, 0, 0, 0),
        # Others have ended before, and keep more than that.
        (30, -5, 0, 0, 0, 30),
    ],
)
def test_what_a_grant_that_ended_leaves(
    rest: int, set_aside: int, carry_percent: int, kept: int, carried: int, expired: int
) -> None:
    end = at_end(rest, set_aside=set_aside, carry_percent=carry_percent)
    assert (end.kept, end.carried, end.expired) == (kept, carried, expired)
