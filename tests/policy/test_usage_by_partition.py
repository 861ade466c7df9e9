"""Use by partition: all lines together are what is booked, whatever sacct says."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.reconciliation import AFTER, BY_HAND, REFUNDED
from bank.policy.usage import Sum
from bank.policy.usage_by_partition import NOT_TOLD, RunInPartition, rest_of, summed_by_partition

HALF = Fraction(1, 2)
SINCE, UNTIL = Fraction(100), Fraction(200)


@pytest.mark.parametrize(
    ("run", "cost"),
    [
        (RunInPartition("gpu", 110, 120, Fraction(4)), 40),
        (RunInPartition("gpu", 90, 110, Fraction(4)), 40),
        (RunInPartition("gpu", 190, 210, Fraction(4)), 40),
        (RunInPartition("gpu", 90, 210, Fraction(4)), 400),
        (RunInPartition("gpu", 190, None, Fraction(4)), 40),
        (RunInPartition("gpu", 110, 113, HALF), 2),
        (RunInPartition("", 110, 120, Fraction(4)), 0),
        (RunInPartition("gpu", 110, 110, Fraction(4)), 0),
        (RunInPartition("gpu", 80, 100, Fraction(4)), 0),
        (RunInPartition("gpu", 200, 210, Fraction(4)), 0),
        (RunInPartition("gpu", 210, None, Fraction(4)), 0),
    ],
)
def test_what_of_a_run_lies_in_the_span(run: RunInPartition, cost: int) -> None:
    expected = [Sum("gpu", cost, 0)] if cost else []
    assert summed_by_partition([run], SINCE, UNTIL) == expected


def test_a_partition_is_rounded_once_and_the_largest_is_first() -> None:
    runs = [
        RunInPartition("a", 100, 101, HALF),
        RunInPartition("b", 100, 107, Fraction(1)),
        RunInPartition("a", 150, 151, HALF),
    ]
    assert summed_by_partition(runs, SINCE, UNTIL) == [Sum("b", 7, 0), Sum("a", 1, 0)]


@pytest.mark.parametrize(
    ("booked", "by_hand", "rest"),
    [
        (Sum(None, 10, 0), 0, []),
        (Sum(None, 15, 0), 0, [Sum(NOT_TOLD, 5, 0)]),
        (Sum(None, 9, 0), 0, [Sum(AFTER, -1, 0)]),
        (Sum(None, 11, 0), 0, [Sum(NOT_TOLD, 1, 0)]),
        (Sum(None, 0, 0), 0, [Sum(AFTER, -10, 0)]),
        (Sum(None, 15, 0), 5, [Sum(BY_HAND, 5, 0)]),
        (Sum(None, 10, 4), 0, [Sum(REFUNDED, 0, 4)]),
        (
            Sum(None, 16, 4),
            5,
            [Sum(NOT_TOLD, 1, 0), Sum(BY_HAND, 5, 0), Sum(REFUNDED, 0, 4)],
        ),
    ],
)
def test_the_rest_has_its_causes(booked: Sum, by_hand: int, rest: list[Sum]) -> None:
    assert rest_of(booked, [Sum("gpu", 7, 0), Sum("cpu", 3, 0)], by_hand=by_hand) == rest


RUNS = st.lists(
    st.builds(
        lambda partition, began_at, seconds, rate: RunInPartition(
            partition, began_at, None if seconds is None else began_at + seconds, rate
        ),
        st.sampled_from(["cpu", "gpu", "refunded", ""]),
        st.integers(0, 300),
        st.none() | st.integers(0, 300),
        st.fractions(0, 50, max_denominator=1000),
    )
)


@given(RUNS, st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_all_lines_add_up_to_what_is_booked(
    runs: list[RunInPartition], metered: int, by_hand: int, refunded: int
) -> None:
    booked = Sum(None, metered + by_hand, refunded)
    partitions = summed_by_partition(runs, SINCE, UNTIL)
    lines = [*partitions, *rest_of(booked, partitions, by_hand=by_hand)]
    assert sum(line.charged for line in lines) == booked.charged
    assert sum(line.refunded for line in lines) == booked.refunded
    assert len({line.key for line in partitions}) == len(partitions)


@given(RUNS, st.integers(100, 200))
def test_two_spans_side_by_side_have_what_the_whole_has(
    runs: list[RunInPartition], cut: int
) -> None:
    parts = [
        line
        for since, until in ((SINCE, Fraction(cut)), (Fraction(cut), UNTIL))
        for line in summed_by_partition(runs, since, until)
    ]
    whole = summed_by_partition(runs, SINCE, UNTIL)
    for partition in ("cpu", "gpu", "refunded"):
        both = sum(line.used for line in parts if line.key == partition)
        assert abs(both - sum(line.used for line in whole if line.key == partition)) <= 1
