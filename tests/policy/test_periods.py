"""Periods: the day one ends, and the day the next one begins."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bank.policy.periods import ENDED, ENDING, hold_reason, is_held_for, next_start, period

DAYS = st.dates(date(1970, 1, 1), date(2200, 12, 31))
LENGTHS = st.integers(1, 36500)


@pytest.mark.parametrize(
    ("started_on", "length_days", "today", "last_day", "days_left", "event"),
    [
        ("2026-01-01", 365, "2026-01-01", "2027-01-01", 365, None),
        ("2026-01-01", 365, "2026-10-02", "2027-01-01", 91, None),
        ("2026-01-01", 365, "2026-10-03", "2027-01-01", 90, ENDING),
        ("2026-01-01", 365, "2026-12-31", "2027-01-01", 1, ENDING),
        # The last day belongs to the period.
        ("2026-01-01", 365, "2027-01-01", "2027-01-01", 0, ENDING),
        ("2026-01-01", 365, "2027-01-02", "2027-01-01", -1, ENDED),
        # A leap year has a day more, a period has not.
        ("2024-01-01", 365, "2024-12-31", "2024-12-31", 0, ENDING),
        ("2024-02-29", 365, "2025-02-28", "2025-02-28", 0, ENDING),
        ("2024-02-29", 365, "2025-03-01", "2025-02-28", -1, ENDED),
        ("2023-02-28", 365, "2024-02-28", "2024-02-28", 0, ENDING),
        ("2023-03-01", 365, "2024-02-29", "2024-02-29", 0, ENDING),
        ("2024-02-28", 1, "2024-02-29", "2024-02-29", 0, ENDING),
        ("2026-12-31", 1, "2027-01-02", "2027-01-01", -1, ENDED),
        # One that is short is ending from its first day on.
        ("2026-03-01", 30, "2026-03-01", "2026-03-31", 30, ENDING),
        # A clock that was set back, or a date of another's making.
        ("2027-01-01", 365, "2026-01-01", "2028-01-01", 730, None),
        ("9999-12-31", 36500, "2026-01-01", "9999-12-31", 2912442, None),
    ],
)
def test_period(
    started_on: str, length_days: int, today: str, last_day: str, days_left: int, event: str | None
) -> None:
    found = period(started_on, length_days=length_days, today=today)
    assert found == (date.fromisoformat(last_day), days_left, event)


@pytest.mark.parametrize(
    ("started_on", "length_days", "today", "begins"),
    [
        ("2026-01-01", 365, "2027-01-02", "2027-01-02"),
        # Late by 1, 40 and 800 days: the calendar stays.
        ("2026-01-01", 365, "2027-01-03", "2027-01-02"),
        ("2026-01-01", 365, "2027-02-11", "2027-01-02"),
        ("2026-01-01", 365, "2029-03-12", "2029-01-03"),
        ("2024-02-29", 365, "2025-03-01", "2025-03-01"),
        ("2026-12-30", 1, "2027-01-01", "2027-01-01"),
        ("2026-12-30", 1, "2027-01-02", "2027-01-01"),
        # One that is not over goes on.
        ("2026-01-01", 365, "2027-01-01", "2026-01-01"),
    ],
)
def test_next_start(started_on: str, length_days: int, today: str, begins: str) -> None:
    assert next_start(started_on, length_days=length_days, today=today) == begins


@given(DAYS, LENGTHS, DAYS)
@example(date(2024, 2, 29), 365, date(2025, 3, 1))
@example(date(2026, 12, 31), 1, date(2027, 1, 1))
def test_the_period_of_today_began_at_most_its_length_ago(
    started_on: date, length_days: int, today: date
) -> None:
    begins = date.fromisoformat(
        next_start(started_on.isoformat(), length_days=length_days, today=today.isoformat())
    )
    assert today - timedelta(days=length_days + 1) < begins <= today
    # It lies on the calendar of those before, and is found again from there.
    assert (begins - started_on).days % (length_days + 1) == 0
    again = next_start(begins.isoformat(), length_days=length_days, today=today.isoformat())
    assert again == begins.isoformat()
    assert period(again, length_days=length_days, today=today.isoformat()).event != ENDED


@given(DAYS, st.integers(1, 400), st.integers(0, 1200))
def test_no_period_is_skipped_and_no_day_is_in_two(
    started_on: date, length_days: int, days: int
) -> None:
    begins = started_on.isoformat()
    for number in range(days):
        today = (started_on + timedelta(days=number)).isoformat()
        before = period(begins, length_days=length_days, today=today)
        following = next_start(begins, length_days=length_days, today=today)
        assert (following != begins) == (before.event == ENDED)
        if following != begins:
            assert following == today == (before.last_day + timedelta(days=1)).isoformat()
        begins = following


@pytest.mark.parametrize(
    ("reason", "is_for_period"),
    [
        (hold_reason("2027-01-01"), True),
        (None, False),
        ("invoice not paid", False),
        # What a person wrote is a hold by hand.
        ("its period ended on friday", False),
        ("its period ended on 2027-01-01, and nobody paid", False),
    ],
)
def test_a_hold_for_a_period_is_known_by_its_reason(
    reason: str | None, is_for_period: bool
) -> None:
    assert is_held_for(reason) is is_for_period
