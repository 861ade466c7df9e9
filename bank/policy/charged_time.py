"""Which seconds of a run are charged by its job: not suspended, while jobs charged the cluster.

What meters counted of a run before jobs took over, or after they gave way, is not charged again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

METERS, JOBS = "meters", "jobs"


class Source(NamedTuple):
    """What charges a cluster since when.

    Attributes:
        seq: its number, from 1.
        source: METERS or JOBS.
        since: seconds since 1970.
    """

    seq: int
    source: str
    since: int


class Mark(NamedTuple):
    """Where in a run one source gave way to another.

    Attributes:
        counted_until: seconds since 1970: so far the one that went has counted it.
        suspended_seconds: how much of it had been suspended by then.
    """

    counted_until: int
    suspended_seconds: int


class Seen(NamedTuple):
    """Since when the bank looks after an account; seconds since 1970.

    Attributes:
        seen_at: when it first looked.
        counted_since: from when on its runs count where jobs charged the cluster then.
    """

    seen_at: int
    counted_since: int


class Ran(NamedTuple):
    """A run that has ended; seconds since 1970, and how many of them it was suspended."""

    began_at: int
    ended_at: int
    suspended_seconds: int


def charged_seconds(
    ran: Ran, sources: Sequence[Source], marks: Mapping[int, Mark], seen: Seen
) -> int:
    """Return for how many seconds a run is charged by its job.

    Args:
        ran: the run.
        sources: all that ever charged its cluster, in order.
        marks: where in it one gave way to another, by the number of the one that came.
        seen: its account.
    """
    seconds = 0
    following: list[Source | None] = [*sources[1:], None]
    for source, after in zip(sources, following, strict=True):
        is_past = after is not None and after.since <= seen.seen_at
        if source.source != JOBS or is_past:
            continue
        begin = Mark(source.since, 0)
        if source.since <= seen.seen_at:
            begin = Mark(seen.counted_since, 0)
        elif source.seq in marks:
            begin = marks[source.seq]
        end = Mark(ran.ended_at, ran.suspended_seconds)
        if after is not None:
            there = marks.get(after.seq, Mark(after.since, ran.suspended_seconds))
            end = min(end, there, key=lambda mark: mark.counted_until)
        seconds += _between(ran, begin, end)
    return seconds


def _between(ran: Ran, begin: Mark, end: Mark) -> int:
    if begin.counted_until <= ran.began_at:
        begin = Mark(ran.began_at, 0)
    elapsed = max(end.counted_until - begin.counted_until, 0)
    suspended = max(end.suspended_seconds - begin.suspended_seconds, 0)
    return max(elapsed - suspended, 0)
