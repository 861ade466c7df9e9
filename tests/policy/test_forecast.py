"""Forecasts: rates with their range, when SUs run out, what expires unused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.forecast import (
    DAY_MICROSECONDS,
    FARTHEST_DAYS,
    LEAST_DAYS,
    Rate,
    Supply,
    course,
    left_at,
    overall,
    rate,
    renewed,
)

DAY = DAY_MICROSECONDS
NOW = 1_000 * DAY


@pytest.mark.parametrize(
    ("daily", "window", "expected"),
    [
        ([], 7, None),
        ([5, 5], 7, None),
        ([5, 5, 5], 7, Rate(3, 5, 5, 5)),
        ([0] * 30, 30, Rate(30, 0, 0, 0)),
        ([7, 0, 0, 0, 0, 0, 0], 7, Rate(7, 0, 1, 3)),
        # Only the window counts, the last day is the first.
        ([10] * 7 + [0] * 23, 7, Rate(7, 10, 10, 10)),
        ([10] * 7 + [1000], 30, Rate(8, 0, 134, 381)),
        # 1 to 30: the average is 15.5, its standard error the root of 77.5 / 30, 1.607.
        ([day * 1000 for day in range(1, 31)], 30, Rate(30, 12286, 15500, 18714)),
        # Rounded half up.
        ([1, 2, 2, 1], 7, Rate(4, 2, 2, 2)),
    ],
)
def test_rate(daily: list[int], window: int, expected: Rate | None) -> None:
    assert rate(daily, window) == expected


@given(st.lists(st.integers(0, 10**12), min_size=LEAST_DAYS, max_size=40), st.sampled_from([7, 30]))
def test_the_range_of_a_rate_holds_it(daily: list[int], window: int) -> None:
    found = rate(daily, window)
    assert found is not None
    days = daily[:window]
    assert 0 <= found.least <= found.expected <= found.most
    assert abs(found.expected - Fraction(sum(days), len(days))) <= Fraction(1, 2)


def test_the_overall_rate_is_the_long_one_within_both_ranges() -> None:
    assert overall(Rate(7, 1, 5, 6), Rate(30, 3, 4, 9)) == Rate(30, 1, 4, 9)


def day(number: float) -> int:
    return NOW + int(number * DAY)


@pytest.mark.parametrize(
    ("supplies", "per_day", "debt", "run_out", "ends"),
    [
        # Nothing is used: never, and all expires.
        ([Supply(0, None, 100)], 0, 0, None, []),
        ([Supply(0, day(10), 100, 1)], 0, 0, 10, [(1, 10, 100)]),
        # Nothing is left.
        ([], 10, 0, 0, []),
        ([Supply(0, None, 0)], 10, 0, 0, []),
        ([], 10, 50, 0, []),
        ([Supply(0, None, 100)], 10, 0, 10, []),
        ([Supply(0, None, 100)], 30, 0, Fraction(10, 3), []),
        # What ends first is used first.
        ([Supply(0, None, 100), Supply(0, day(5), 100, 2)], 10, 0, 15, [(2, 5, 50)]),
        ([Supply(0, day(5), 100, 1), Supply(0, day(3), 20, 2)], 10, 0, 5, [(2, 3, 0), (1, 5, 70)]),
        # One that starts later, in time, at the very instant, and too late.
        ([Supply(0, None, 100), Supply(day(5), None, 100)], 10, 0, 20, []),
        ([Supply(0, None, 100), Supply(day(10), None, 100)], 10, 0, 10, []),
        ([Supply(0, None, 100), Supply(day(50), day(60), 200, 2)], 10, 0, 10, [(2, 60, 100)]),
        # What is overdrawn the next grant pays.
        ([Supply(day(5), day(15), 100, 3)], 10, 40, 0, [(3, 15, 0)]),
        ([Supply(day(5), day(9), 100, 3)], 10, 40, 0, [(3, 9, 20)]),
        # What an account owes that gave away more than it had, no grant with dates pays.
        ([Supply(0, None, -20), Supply(0, day(5), 100, 3)], 0, 0, 5, [(3, 5, 100)]),
        ([Supply(0, None, -20), Supply(0, day(15), 100, 3)], 10, 0, 8, [(3, 15, 20)]),
        # A share goes on for as long again, and is used then.
        ([Supply(day(-10), day(10), 300, 1, 50)], 10, 0, 20, [(1, 10, 100)]),
        # One that has ended and that no pass has ended yet.
        ([Supply(0, day(-1), 100, 1), Supply(0, None, 50)], 10, 0, 15, [(1, -1, 0)]),
        # Later than anybody plans.
        ([Supply(0, None, 10 * FARTHEST_DAYS + 1)], 10, 0, None, []),
    ],
)
def test_course(
    supplies: list[Supply],
    per_day: int,
    debt: int,
    run_out: float | None,
    ends: list[tuple[int, int, int]],
) -> None:
    found = course(supplies, per_day, now=NOW, debt=debt)
    if run_out is None:
        assert found.run_out_at is None
    else:
        assert found.run_out_at is not None
        assert 0 <= found.run_out_at - (NOW + run_out * DAY) < 1
    assert [(one.grant_id, one.at, one.unused) for one in found.ends] == [
        (number, day(at), unused) for number, at, unused in ends
    ]
    assert [at for at, _ in found.points] == sorted(at for at, _ in found.points)


@pytest.mark.parametrize(
    ("supplies", "per_day", "debt", "left", "ends"),
    [
        # It is used after all else, and what was used of it the next grant pays.
        ([Supply(0, day(2), 100, 1)], 10, 0, [130, 20, 0], [(1, 2, 80)]),
        ([Supply(0, day(2), 10, 1), Supply(day(4), day(9), 50, 2)], 10, 0, [40, 10, 0],
         [(1, 2, 0), (2, 9, 0)]),
        ([Supply(day(1), day(4), 50, 1)], 0, 10, [20, 70, 30], [(1, 4, 40)]),
        # What a new period forgives, and what it does not.
        (renewed(Supply(0, None, 0), granted=50, period_ends_at=day(1), length=10 * DAY), 0, 10,
         [20, 80, 80], []),
        (renewed(Supply(0, None, -10), granted=-10, period_ends_at=day(1), length=10 * DAY), 0, 0,
         [20, 20, 20], []),
    ],
)  # fmt: skip
def test_credit_is_what_may_be_overdrawn_and_no_grant(
    supplies: list[Supply],
    per_day: int,
    debt: int,
    left: list[int],
    ends: list[tuple[int, int, int]],
) -> None:
    found = course(supplies, per_day, now=NOW, debt=debt, credit=30)
    assert [left_at(found.points, day(at)) for at in (0, 3, 9)] == left
    assert [(one.grant_id, one.at, one.unused) for one in found.ends] == [
        (number, day(at), unused) for number, at, unused in ends
    ]


SUPPLIES = st.lists(
    st.builds(
        lambda start, length, rest, number: Supply(
            day(start), None if length is None else day(start + length), rest, number
        ),
        st.integers(-50, 100),
        st.none() | st.integers(51, 200),
        st.integers(0, 10_000),
        st.integers(1, 9),
    ),
    max_size=5,
)


@given(SUPPLIES, st.integers(0, 500), st.integers(0, 500))
def test_a_higher_rate_never_leaves_more(supplies: list[Supply], one: int, other: int) -> None:
    slow, fast = (course(supplies, per_day, now=NOW) for per_day in sorted((one, other)))
    never = NOW + (FARTHEST_DAYS + 1) * DAY
    assert (fast.run_out_at or never) <= (slow.run_out_at or never)
    for at in range(NOW, NOW + 300 * DAY, 7 * DAY):
        assert left_at(fast.points, at) <= left_at(slow.points, at) + 1
    for quick, late in zip(fast.ends, slow.ends, strict=True):
        assert (quick.grant_id, quick.at) == (late.grant_id, late.at)
        assert quick.unused <= late.unused


@given(SUPPLIES, st.integers(0, 500))
def test_all_is_used_or_expires_or_is_left(supplies: list[Supply], per_day: int) -> None:
    found = course(supplies, per_day, now=NOW)
    given_in_all = sum(supply.rest for supply in supplies)
    used = given_in_all - sum(one.unused for one in found.ends) - found.points[-1][1]
    assert -len(supplies) <= used <= per_day * FARTHEST_DAYS + len(supplies)


def test_left_between_two_points_is_on_a_straight_line_and_falls_where_something_ends() -> None:
    points = [(0, 100), (10, 50), (10, 20), (20, 0)]
    assert [left_at(points, at) for at in (0, 5, 9, 10, 15, 20, 99)] == [100, 75, 55, 20, 10, 0, 0]


def test_what_is_carried_over_lasts_as_long_again_and_is_lost_then() -> None:
    # For 10 days, of which 4 are over: 12 are used in the other 6, and half of 88 goes on.
    grant = Supply(day(-4), day(6), 100, 7, carry_percent=50)
    found = course([grant], 2, now=NOW)
    assert found.ends == [(7, day(6), 44)]
    assert left_at(found.points, day(6)) == 44
    assert left_at(found.points, day(16) - 1) == 24
    assert left_at(found.points, day(16)) == 0
    assert found.run_out_at == day(16)


def test_renewed_periods_lose_what_is_left_and_begin_anew() -> None:
    supplies = renewed(Supply(0, None, 100, 4), granted=80, period_ends_at=day(5), length=10 * DAY)
    found = course(supplies, 10, now=NOW)
    assert found.ends[0] == (4, day(5), 50)
    # 80 are not enough for the ten days of the second period.
    assert found.run_out_at == day(13)
