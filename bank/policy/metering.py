"""Meters: what a new reading of RawUsage means.

RawUsage counts up while jobs run. It can also lose what it counted: set to 0 by hand, forgotten by
a controller that was killed, gone with a deleted association. Then what ran is taken from sacct,
as a span from what ran for certain to what may have run: the use of running jobs is counted only
every PriorityCalcPeriod, so the instant up to which a reading holds is not known exactly.
"""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

# sacct knows whole seconds, and a job's end may be booked within the second after it.
EDGE_SECONDS = 1
# A sum of floating-point numbers in Slurm may miss the next whole billing-second by a hair.
TOLERANCE = 1

RISE = "rise"
FIRST = "first"
BASELINE = "baseline"
FALL = "fall"
GONE = "gone"
RESTART = "restart"
# Not disturbed as far as it shows, but beside one that was.
COMPARED = "compared"
# Slurm has it again after it was gone.
BACK = "back"
# Where jobs charge: written down to be compared with what they cost, and booked as nothing.
CONTROL = "control"


class Run(NamedTuple):
    """One run of a job on the meter in question.

    Attributes:
        started_at: seconds since 1970.
        ended_at: seconds since 1970, None while it runs.
        is_disputed: sacct shows it as running and the controller does not know it any more, or it
            has ended for sacct and runs on for the controller, which may count it once more.
        rate: billing-seconds per second.
    """

    started_at: int
    ended_at: int | None
    is_disputed: bool
    rate: Fraction


class Ran(NamedTuple):
    """Billing-seconds that ran on one meter between two readings: for certain, and perhaps."""

    least: int
    most: int


class Booking(NamedTuple):
    """What a reading adds to the books.

    Attributes:
        cause: one of RISE, FIRST, BASELINE, FALL, GONE, RESTART, COMPARED, BACK, CONTROL.
        charge: billing-seconds by which the meter rose.
        adjustment: billing-seconds that the meter lost and sacct knows.
        unknown: billing-seconds that may have been used besides and that nobody can know.
    """

    cause: str
    charge: int
    adjustment: int
    unknown: int


class Span(NamedTuple):
    """From one reading of a meter to the next; seconds since 1970.

    A reading was true at some instant between the question and the answer.

    Attributes:
        asked_before, answered_before: the older reading.
        asked: when the newer one was asked for.
        lag: seconds by which a reading may lag behind for jobs that are running.
    """

    asked_before: Fraction
    answered_before: Fraction
    asked: Fraction
    lag: int


def ran_in(span: Span, runs: Iterable[Run], *, is_gone: bool = False) -> Ran:
    """Return what ran between two readings of one meter.

    Args:
        span: the two readings.
        runs: all runs on this meter that overlap it.
        is_gone: whether Slurm has removed the meter, so that no later reading brings anything.

    The least is what the older reading cannot have counted and the newer one cannot bring later;
    so what is booked by it is never booked twice.
    """
    least = most = Fraction(0)
    for run in runs:
        seconds_least, seconds_most = _seconds(span, run, is_gone=is_gone)
        least += seconds_least * run.rate
        most += seconds_most * run.rate
    # The meter shows whole billing-seconds, cut off.
    return Ran(int(least), -int(-most // 1))


def _seconds(span: Span, run: Run, *, is_gone: bool) -> tuple[Fraction, Fraction]:
    zero = Fraction(0)
    if run.ended_at is not None and run.ended_at + EDGE_SECONDS < span.asked_before:
        return zero, zero
    # From here on the older reading has not counted it: at the latest, at the earliest. The
    # controller counts by whole seconds of the clock, so nothing of the one that it answered in.
    latest = Fraction(max(run.started_at, math.floor(span.answered_before)))
    earliest = max(Fraction(run.started_at), span.asked_before - span.lag)
    if run.is_disputed:
        return zero, max(span.asked - earliest, zero)
    if run.ended_at is None or (not is_gone and run.ended_at + EDGE_SECONDS > span.asked):
        # Still running for the newer reading: a later one will bring what this one has not.
        return max(span.asked - span.lag - latest, zero), max(span.asked - earliest, zero)
    end = Fraction(run.ended_at)
    return max(end - latest, zero), max(end - earliest, zero)


def booking(last_raw: int | None, raw: int, *, baseline: bool) -> Booking:
    """Return what an undisturbed reading adds.

    Args:
        last_raw: the newest reading on record, None if there is none.
        raw: what the meter shows, not below `last_raw`.
        baseline: whether a first reading only sets where counting begins.
    """
    assert raw >= (last_raw or 0)
    if last_raw is not None:
        return Booking(RISE, raw - last_raw, 0, 0)
    return Booking(BASELINE, 0, 0, 0) if baseline else Booking(FIRST, raw, 0, 0)


def disturbed_booking(
    last_raw: int, raw: int | None, ran: Ran, *, new_controller: bool, was_gone: bool = False
) -> Booking:
    """Return what a suspect reading adds.

    What the counter shows is believed as far as it goes; what certainly ran besides is an
    adjustment; what only may have run is said and not booked.
    """
    if raw is None:
        cause, shown = GONE, 0
    elif was_gone:
        # One that was made again counts from 0. One that shows more than can have run since came
        # back with what it had counted, and was charged for, before.
        cause, shown = BACK, raw if raw <= ran.most else 0
    elif raw < last_raw:
        # A counter that was set to 0 has counted since. One that came back from a saved state has
        # counted things that were booked before, so it says nothing.
        cause, shown = FALL, 0 if new_controller else raw
    else:
        cause, shown = RESTART if new_controller else COMPARED, raw - last_raw
    lost = ran.least - shown
    adjustment = lost if lost > TOLERANCE else 0
    return Booking(cause, shown, adjustment, max(ran.most - shown - adjustment, 0))
