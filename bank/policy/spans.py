"""Spans of time: half open, the first instant belongs to one and its end does not."""

from datetime import date
from typing import NamedTuple


class Span(NamedTuple):
    """A span of time, half open.

    Attributes:
        start_at: UTC microseconds, the first that belong to it.
        end_at: the first that do not; None where all until now belongs to it.
    """

    start_at: int
    end_at: int | None


def first_days(first: date, last: date, *, of: str) -> list[date]:
    """Return the days on which the months, or the days, of a span begin.

    Args:
        first: the day on which the span begins.
        last: the day of its last instant.
        of: "month" or "day".

    Returns:
        The first day of each, that of `first` among them.
    """
    if of == "day":
        return [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [date(month // 12, month % 12 + 1, 1) for month in months]
