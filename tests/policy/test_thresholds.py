"""Thresholds: which of them an account's use has reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.enforcement import has_nothing_left
from bank.policy.thresholds import FULL, LOWER, THRESHOLDS, UPPER, reached

SU = 3600
AMOUNTS = st.integers(0, 10**15)
PERCENTS = st.integers(1, 100)


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        (100 * SU, 0, ()),
        (100 * SU, 60 * SU - 1, ()),
        (100 * SU, 60 * SU, (LOWER,)),
        (100 * SU, 90 * SU - 1, (LOWER,)),
        # One that jumps from 50 to 95 % has reached both.
        (100 * SU, 95 * SU, (LOWER, UPPER)),
        (100 * SU, 100 * SU - 1, (LOWER, UPPER)),
        (100 * SU, 100 * SU, (LOWER, UPPER, FULL)),
        (100 * SU, 300 * SU, (LOWER, UPPER, FULL)),
        # Less than an SU is not rounded away.
        (1, 0, ()),
        (1, 1, (LOWER, UPPER, FULL)),
        (SU, SU * 6 // 10, (LOWER,)),
        # Nothing is full of nothing; what has no limit reaches none.
        (0, 0, (FULL,)),
        (0, SU, (FULL,)),
        (None, 0, ()),
        (None, 10**15, ()),
    ],
)
def test_reached(limit: int | None, used: int, expected: tuple[str, ...]) -> None:
    assert reached(limit=limit, used=used, lower_percent=60, upper_percent=90) == expected


@given(st.none() | AMOUNTS, AMOUNTS, AMOUNTS, PERCENTS, PERCENTS)
def test_more_use_never_reaches_less(
    limit: int | None, used: int, more: int, one: int, other: int
) -> None:
    lower, upper = sorted((one, other))
    before = reached(limit=limit, used=used, lower_percent=lower, upper_percent=upper)
    after = reached(limit=limit, used=used + more, lower_percent=lower, upper_percent=upper)
    assert set(before) <= set(after)
    # Whoever has reached a higher one has reached those below it, where there are percents at all.
    if limit:
        assert after == THRESHOLDS[: len(after)]


@given(st.none() | AMOUNTS, AMOUNTS, PERCENTS)
def test_full_is_what_is_held(limit: int | None, used: int, percent: int) -> None:
    found = reached(limit=limit, used=used, lower_percent=percent, upper_percent=percent)
    assert (FULL in found) == has_nothing_left(limit=limit, used=used)
