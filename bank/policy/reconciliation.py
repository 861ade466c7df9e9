"""Charges against sacct: what makes the difference, and how much of it each cause does.

sacct's figure is what people work out by hand: the whole number that it shows of a job's billing,
times the seconds that it calls elapsed. From there to what is booked each step has a cause; what
has none is called so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.policy import metering, prices
from bank.policy.metering import Run, Span

FRACTION = "fraction of a billing unit"
FACTOR = "usage factor"
SUSPENDED = "suspended, and counted"
RUNAWAY = "running for sacct alone"
BEFORE = "ran before, booked in the period"
AFTER = "ran in the period, not booked in it"
RUNNING = "running at a reading, or cut off"
LOST = "lost by a meter"
FROM_SACCT = "booked from sacct instead"
WEIGHTS = "weights changed since"
UNPRICED = "sacct does not say its billing"
FIRST_LOOK = "used before the first look"
FORGOTTEN = "forgotten by sacct"
REFUNDED = "refunded"
BY_HAND = "adjusted by hand"
# Where jobs charge.
ROUNDED = "rounded"
BY_METERS = "counted by meters before"
NOT_YET = "not charged yet"
CHANGED = "said otherwise by slurmdbd since"
KEPT = "given back before, or of a period that is over"
# Where meters charge that took over from jobs.
BY_JOBS = "charged by jobs before"
# Provisional: a run that slurmdbd did not show yet, or none that it knows.
REPORTED = "charged as reported"
UNEXPLAINED = "unexplained"

# In the order in which they lead from what sacct says to what is booked.
CAUSES = (
    *(FRACTION, SUSPENDED, FACTOR, RUNAWAY, BEFORE, AFTER, RUNNING, LOST, FROM_SACCT, WEIGHTS),
    *(
        UNPRICED,
        FIRST_LOOK,
        FORGOTTEN,
        BY_METERS,
        BY_JOBS,
        REPORTED,
        ROUNDED,
        NOT_YET,
        CHANGED,
        KEPT,
    ),
    *(REFUNDED, BY_HAND, UNEXPLAINED),
)
Parts = dict[str, Fraction]


class RunInSacct(NamedTuple):
    """One run of a job on a meter, as sacct has it.

    Attributes:
        began_at, ended_at: seconds since 1970; ended_at is None while it runs.
        suspended_seconds: how much of that it was suspended.
        whole: the whole number that sacct shows of its billing.
        billing: what that was before it was cut off.
        factor: UsageFactor of its QOS.
        is_cut: whether `billing` is `whole`, because the weights have changed since.
        is_unpriced: whether nobody knows billing or factor.
        is_disputed: whether it runs for sacct, and the controller does not know it.
    """

    began_at: int
    ended_at: int | None
    suspended_seconds: int
    whole: int
    billing: Fraction
    factor: Fraction
    is_cut: bool = False
    is_unpriced: bool = False
    is_disputed: bool = False

    @property
    def per_second(self) -> Fraction:
        """Billing-seconds each second."""
        return prices.per_second(self.billing, self.factor)

    def seconds_in(self, since: Fraction, until: Fraction) -> Fraction:
        """Return how much of it lies in a span of time."""
        end = until if self.ended_at is None else min(Fraction(self.ended_at), until)
        return max(end - max(Fraction(self.began_at), since), Fraction(0))


class Segment(NamedTuple):
    """From one reading of a meter to another, and what was booked for it.

    Attributes:
        span: the two readings.
        charged: billing-seconds by which the meter rose.
        adjusted: billing-seconds that it had lost, booked from sacct.
        cause: of the newer reading: see `metering`.
        may_be_forgotten: whether it began at a time that sacct has been made to forget.
        is_control: whether jobs charged then, so that nothing was booked for what the meter lost.
    """

    span: Span
    charged: int
    adjusted: int
    cause: str
    may_be_forgotten: bool = False
    is_control: bool = False


_QUIET = (metering.RISE, metering.FIRST, metering.BASELINE)


def shown_by_sacct(run: RunInSacct, since: Fraction, until: Fraction) -> tuple[Fraction, Parts]:
    """Return what sacct shows of a run in a period, and what leads to what RawUsage counts of it.

    When it was suspended sacct does not say: of a run that reaches over the edge of the period it
    is taken to have been in it.
    """
    seconds = run.seconds_in(since, until)
    elapsed = max(seconds - run.suspended_seconds, Fraction(0))
    parts = {
        (UNPRICED if run.is_unpriced else FRACTION): (run.billing - run.whole) * elapsed,
        SUSPENDED: run.billing * (seconds - elapsed),
        FACTOR: run.billing * (run.factor - 1) * seconds,
    }
    if run.is_disputed:
        parts[RUNAWAY] = -run.per_second * seconds
    return run.whole * elapsed, parts


def meter_parts(
    segments: Sequence[Segment], runs: Sequence[RunInSacct], since: Fraction, until: Fraction
) -> Parts:
    """Return what leads from what ran on a meter in a period to what was booked for it.

    Args:
        segments: the meter's, in order, none over another.
        runs: all that overlap the period or a segment.
        since: the period's begin, seconds since 1970.
        until: its end.
    """
    parts: Parts = defaultdict(Fraction)
    ours = [run for run in runs if not run.is_disputed]
    covered = Fraction(0)
    for segment in segments:
        start, end = segment.span.asked_before, segment.span.asked
        ran = _cost(ours, start, end)
        inside = _cost(ours, max(start, since), min(end, until))
        covered += inside
        parts[BEFORE] += ran - inside
        parts[LOST] -= segment.adjusted
        parts[FROM_SACCT] += segment.adjusted
        for cause, amount in _residual(segment, runs, ran):
            parts[cause] += amount
    parts[AFTER] += covered - _cost(ours, since, until)
    return dict(parts)


def _cost(runs: Iterable[RunInSacct], since: Fraction, until: Fraction) -> Fraction:
    return sum((run.per_second * run.seconds_in(since, until) for run in runs), Fraction(0))


def _residual(
    segment: Segment, runs: Sequence[RunInSacct], ran: Fraction
) -> Iterable[tuple[str, Fraction]]:
    """Yield what makes the difference between what was booked and what ran between two readings."""
    rest = segment.charged + segment.adjusted - ran
    bounds = metering.ran_in(
        segment.span,
        [Run(run.began_at, run.ended_at, run.is_disputed, run.per_second) for run in runs],
        is_gone=segment.cause == metering.GONE,
    )
    # The meter shows whole billing-seconds, cut off, at both ends.
    known = min(max(rest, bounds.least - ran - 1), bounds.most - ran + 1)
    yield (RUNNING if segment.cause in _QUIET else LOST), known
    rest -= known
    if rest < 0 and segment.is_control:
        yield LOST, rest
        return
    if rest < 0:
        yield (FIRST_LOOK if segment.cause == metering.BASELINE else UNEXPLAINED), rest
        return
    there = [run for run in runs if run.seconds_in(segment.span.asked_before, segment.span.asked)]
    most = sum(
        (
            run.factor * run.seconds_in(segment.span.asked_before, segment.span.asked)
            for run in there
            if run.is_cut
        ),
        Fraction(0),
    )
    by_weights = min(rest, most)
    yield WEIGHTS, by_weights
    rest -= by_weights
    if any(run.is_unpriced for run in there):
        yield UNPRICED, rest
    elif segment.cause == metering.FIRST:
        yield FIRST_LOOK, rest
    else:
        yield (FORGOTTEN if segment.may_be_forgotten else UNEXPLAINED), rest


def in_whole(
    sacct: Fraction, booked: int, parts: Mapping[str, Fraction], *, rest: str = RUNNING
) -> dict[str, int]:
    """Return the parts in whole billing-seconds, which together are the difference.

    What rounding leaves over goes to what was cut off, or rounded, anyway.
    """
    whole = {cause: round(parts.get(cause, Fraction(0))) for cause in CAUSES}
    left = booked - round(sacct) - sum(whole.values())
    assert abs(left) <= len(CAUSES), "the causes do not make up the difference"
    whole[rest] += left
    return {cause: amount for cause, amount in whole.items() if amount}
