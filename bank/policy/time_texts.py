"""Spans and points of time as people read them."""

from datetime import UTC, datetime

_MINUTES_PER_HOUR = 60
_HOURS_PER_DAY = 24


def span(minutes: int) -> str:
    """Write so many minutes as Slurm does: "1:30:00", "2-00:00:00"."""
    hours, rest = divmod(minutes, _MINUTES_PER_HOUR)
    days, hours = divmod(hours, _HOURS_PER_DAY)
    return f"{days}-{hours:02d}:{rest:02d}:00" if days else f"{hours}:{rest:02d}:00"


def time_text(seconds: int) -> str:
    """Write a time, seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(seconds: int) -> str:
    """Write how long ago something was, in the largest unit that fits."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s ago"
    return f"{seconds} seconds ago" if seconds != 1 else "1 second ago"
