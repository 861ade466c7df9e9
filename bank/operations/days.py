"""Days and times as a site's people write them: in one named time zone, each span half-open.

The zone is the process's own: TIME_ZONE of the settings, or the machine's where that is ''.
"""

import os
import time
from calendar import monthrange
from datetime import UTC, date, datetime

from bank.errors import InputError

_FORMS = (
    "a day such as 2027-01-31, a time such as 2027-01-31T14:00, or one in UTC with Z at its end"
)
_DAY = "%Y-%m-%d"
_SECOND = "%Y-%m-%dT%H:%M:%S"


def moment(text: str, what: str) -> int:
    """Read a day, which is its first instant, or a time.

    Args:
        text: ISO 8601 as `_FORMS` says.
        what: which one it is, for the refusal.

    Returns:
        UTC microseconds.

    Raises:
        InputError: there is no such day or time, or it is written otherwise.
    """
    for form in (_DAY, "%Y-%m-%dT%H:%M", _SECOND, f"{_SECOND}.%f"):
        for zone in ("", "Z"):
            try:
                found = datetime.strptime(text, form + zone)  # noqa: DTZ007 - local on purpose
            except ValueError:
                continue
            # Python takes 2027-1-3 as well; dates are written in one form.
            if found.strftime(form) + zone == text:
                known = found.replace(tzinfo=UTC) if zone else found
                seconds = int(known.replace(microsecond=0).timestamp())
                return seconds * 1_000_000 + known.microsecond
    raise InputError(f"{what} {text[:40]!r} is not a day or a time: give {_FORMS}")


def day_text(at: int | None) -> str:
    """Return a time as people read it: the day where it is one's first instant; "" for none."""
    if at is None:
        return ""
    found = _local(at)
    if (found.hour, found.minute, found.second) == (0, 0, 0):
        return found.strftime(_DAY)
    return found.strftime(_SECOND)


def exact_text(at: int) -> str:
    """Return a time as `moment` reads back exactly it.

    As `day_text` has it where that is enough; else in UTC: in the hour that comes twice when clocks
    are set back, and for parts of a second.
    """
    text = day_text(at)
    if moment(text, "") == at:
        return text
    seconds, rest = divmod(at, 1_000_000)
    fraction = f".{rest:06d}" if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC).strftime(_SECOND)}{fraction}Z"


def day_of(at: int) -> date:
    """Return the day of an instant of UTC microseconds."""
    return _local(at).date()


def start_of_day(day: date) -> int:
    """Return the first instant of a day, in UTC microseconds."""
    # Where clocks go forward at midnight, that is what this gives.
    return _instant(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - local on purpose


def zone_name() -> str:
    """Return the name of the zone that days are of; the same in summer and in winter."""
    return os.environ.get("TZ") or "/".join(dict.fromkeys(time.tzname))


def same_span_after(start_at: int, end_at: int) -> int:
    """Return the end of a span that starts where another ends and is as long by the calendar.

    Whole months are counted as months, so a year follows a year; else the days are.

    Example:
        From 2027-01-01 to 2028-01-01: 2029-01-01.

    Raises:
        InputError: no calendar goes so far.
    """
    try:
        return _same_span_after(_local(start_at), _local(end_at))
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"what follows {day_text(end_at)} and is as long ends after the year 9999: say --start"
            " and --end"
        ) from error


def _same_span_after(start: datetime, end: datetime) -> int:
    months = (end.year - start.year) * 12 + end.month - start.month
    if months > 0 and (start.day, start.time()) == (end.day, end.time()):
        year, month = divmod(end.year * 12 + end.month - 1 + months, 12)
        last_day = monthrange(year, month + 1)[1]
        return _instant(end.replace(year=year, month=month + 1, day=min(end.day, last_day)))
    return _instant(end + (end - start))


def _local(at: int) -> datetime:
    """Return the time on the wall, without a zone."""
    return datetime.fromtimestamp(at // 1_000_000)  # noqa: DTZ006 - local on purpose


def _instant(local: datetime) -> int:
    return int(local.timestamp()) * 1_000_000
