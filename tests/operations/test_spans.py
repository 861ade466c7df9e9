"""Spans of the site's days: half open, in its zone, also where clocks go forward or back."""

from datetime import date

import pytest

from bank.errors import InputError
from bank.operations.bank import Bank, use_zone, utc_text
from bank.operations.days import day_of, start_of_day
from bank.operations.spans import cuts, end_of, read_span, told_span
from bank.policy.spans import Span
from bank.settings import Settings

pytestmark = pytest.mark.usefixtures("in_utc")
NOW = 1_800_000_000 * 1_000_000


@pytest.fixture
def bank() -> Bank:
    """A bank on 2027-01-15 at 08:00 UTC."""
    return Bank(Settings("/nowhere"), "ada", pytest.fail, lambda: NOW)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", date(2027, 1, 1), "2027-01-01T00:00:00Z"),
        ("Europe/Berlin", date(2027, 1, 1), "2026-12-31T23:00:00Z"),
        # The days on which clocks go forward, and back.
        ("Europe/Berlin", date(2027, 3, 28), "2027-03-27T23:00:00Z"),
        ("Europe/Berlin", date(2027, 3, 29), "2027-03-28T22:00:00Z"),
        ("Europe/Berlin", date(2027, 10, 31), "2027-10-30T22:00:00Z"),
        ("Europe/Berlin", date(2027, 11, 1), "2027-10-31T23:00:00Z"),
        # Here they go forward at midnight: this day begins at one o'clock.
        ("America/Santiago", date(2023, 9, 3), "2023-09-03T04:00:00Z"),
        ("Asia/Kathmandu", date(2027, 1, 1), "2026-12-31T18:15:00Z"),
    ],
)
def test_a_day_begins_where_its_zone_says(zone: str, day: date, begins: str) -> None:
    use_zone(zone)
    at = start_of_day(day)
    assert utc_text(at) == begins
    assert (day_of(at), day_of(at - 1)) == (day, date.fromordinal(day.toordinal() - 1))


def test_a_span_is_from_its_first_day_until_before_its_end(bank: Bank) -> None:
    use_zone("Europe/Berlin")
    found = read_span(bank, "2027-01-01", "2027-01-10", start_at=0)
    assert told_span(bank, found) == {
        "start": "2027-01-01",
        "end": "2027-01-10",
        "zone": "Europe/Berlin",
        "start_at": "2026-12-31T23:00:00Z",
        "end_at": "2027-01-09T23:00:00Z",
    }


@pytest.mark.parametrize(
    ("since", "until", "span"),
    [
        (None, None, Span(5, None)),
        ("2027-01-01T12:00:00Z", None, Span(1_798_804_800_000_000, None)),
        (None, "2027-01-01", Span(5, 1_798_761_600_000_000)),
        # What is to come is not told: until now.
        (None, "2027-02-01", Span(5, None)),
        ("2027-01-15", "2027-01-16", Span(1_799_971_200_000_000, None)),
    ],
)
def test_read_span(bank: Bank, since: str | None, until: str | None, span: Span) -> None:
    assert read_span(bank, since, until, start_at=5) == span
    assert end_of(bank, span) == (span.end_at or NOW)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2027-02-29", None, "--from '2027-02-29'"),
        (None, "2027-13-01", "--to '2027-13-01'"),
        ("2027-01-16", None, "--from 2027-01-16 is to come"),
        ("2027-01-02", "2027-01-01", "--to 2027-01-01 is not after --from 2027-01-02"),
        ("2027-01-01", "2027-01-01", "--to 2027-01-01 is not after"),
        (None, "1969-12-31", "--to 1969-12-31 is not after --from 1970-01-01"),
    ],
)
def test_what_makes_no_span_is_refused(
    bank: Bank, since: str | None, until: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_span(bank, since, until, start_at=0)


def test_months_and_days_of_a_span(bank: Bank) -> None:
    use_zone("Europe/Berlin")
    span = read_span(bank, "2026-10-20", "2027-01-01", start_at=0)
    assert [(utc_text(at), name) for at, name in cuts(bank, span, of="month")] == [
        ("2026-09-30T22:00:00Z", "2026-10"),
        ("2026-10-31T23:00:00Z", "2026-11"),
        ("2026-11-30T23:00:00Z", "2026-12"),
    ]
    days = cuts(bank, read_span(bank, "2027-01-14", None, start_at=0), of="day")
    assert [name for _, name in days] == ["2027-01-14", "2027-01-15"]
