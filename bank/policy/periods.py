"""Periods: on which day one ends, and when the next began.

Days are those of the site's calendar, so neither the length of a year nor daylight saving changes
their number.
"""

import re
from datetime import date, timedelta
from typing import NamedTuple

ENDING, ENDED = "period_ending", "period_ended"
EVENTS = (ENDING, ENDED)
# What the verb three_month_check has always meant.
_ENDING_DAYS = 90
# The reason of a hold that is there because a period is over.
_HELD_FOR = "its period ended on "
_HELD_FOR_A_DAY = re.compile(_HELD_FOR + r"\d{4}-\d\d-\d\d")


class Period(NamedTuple):
    """A period.

    Attributes:
        last_day: the last day that belongs to it.
        days_left: from today to that day; below 0 when it is over.
        event: ENDED, ENDING where it ends within three months, or None.
    """

    last_day: date
    days_left: int
    event: str | None


def period(started_on: str, *, length_days: int, today: str) -> Period:
    """Return a period as it stands today.

    Args:
        started_on: ISO date.
        length_days: how many days after the first one the last one is.
        today: ISO date.
    """
    first = date.fromisoformat(started_on).toordinal()
    # A site that never wants an end may have written a date far away.
    last_day = date.fromordinal(min(first + length_days, date.max.toordinal()))
    days_left = (last_day - date.fromisoformat(today)).days
    event = None
    if days_left < 0:
        event = ENDED
    elif days_left <= _ENDING_DAYS:
        event = ENDING
    return Period(last_day, days_left, event)


def has_end(limit: int | None, dated: int) -> bool:
    """Tell whether the end of an account's period means anything.

    It does not without a limit, nor where all that the account has, or nothing, is in grants with
    dates: those have ends of their own.

    Args:
        limit: billing-seconds; None is unlimited.
        dated: what of that grants with dates have.
    """
    return limit is not None and limit != dated


def has_dates_only(limit: int | None, dated: int) -> bool:
    """Tell whether all that an account has is in grants with dates: no period of it begins anew."""
    return dated != 0 and limit == dated


def next_start(started_on: str, *, length_days: int, today: str) -> str:
    """Return the ISO date on which the period of today began, if each began when one ended.

    A pass that comes days late does not shift the calendar of those that follow.
    """
    first, now = date.fromisoformat(started_on), date.fromisoformat(today)
    whole = timedelta(days=length_days + 1)
    return (first + (now - first) // whole * whole).isoformat()


def hold_reason(last_day: str) -> str:
    """Return the reason of a hold that is there because a period is over."""
    return f"{_HELD_FOR}{last_day}"


def is_held_for(reason: str | None) -> bool:
    """Tell whether a hold is there because a period is over, and ends when another begins."""
    return reason is not None and _HELD_FOR_A_DAY.fullmatch(reason) is not None
