"""Forecasts: how fast SUs are used, when they run out, and what of them will expire unused.

The rate is the average of the last whole days of 24 hours, and its range two standard errors of
that average: were each day to be drawn from the same hat, nineteen of twenty such averages would
lie in it. Days are not drawn from a hat: people go on holiday, and a deadline nears. So the range
says how uneven the last days were, and nothing of what nobody has decided yet. Refunds do not lower
the rate, because what was refunded ran all the same.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import NamedTuple

DAY_MICROSECONDS = 86_400 * 1_000_000
SHORT_DAYS, LONG_DAYS = 7, 30
# Less says nothing of the days to come.
LEAST_DAYS = 3
# Nobody plans further ahead by the rate of a month.
FARTHEST_DAYS = 3650
# Nor by more periods than these.
_MOST_PERIODS = 20


class Rate(NamedTuple):
    """How fast an account uses SUs, in billing-seconds a day.

    Attributes:
        days: how many whole days it is the average of.
        least, expected, most: the average, and its range.
    """

    days: int
    least: int
    expected: int
    most: int


class Supply(NamedTuple):
    """SUs that are given for a span of time: what of one grant is not used yet.

    Attributes:
        start_at: UTC microseconds, the first that belong to it.
        end_at: the first that do not; None where it has no end.
        rest: billing-seconds; below 0 where more was given away than there was, which no other
            grant pays.
        grant_id: the grant, None for what is no grant yet.
        carry_percent: how much of what is unused at its end goes on in what follows.
        begins_period: whether what nobody has paid until it starts is written off.
    """

    start_at: int
    end_at: int | None
    rest: int
    grant_id: int | None = None
    carry_percent: int = 0
    begins_period: bool = False


class End(NamedTuple):
    """The end of a grant: what it has left then, and is lost; billing-seconds."""

    grant_id: int
    at: int
    unused: int


class Course(NamedTuple):
    """What becomes of an account's SUs at one rate.

    Attributes:
        run_out_at: when nothing is left for the first time, whether it was used or expired, in UTC
            microseconds; None where that is not within FARTHEST_DAYS.
        ends: the ends of its grants that have one, in their order.
        points: (UTC microseconds, billing-seconds left), straight lines in between.
    """

    run_out_at: int | None
    ends: list[End]
    points: list[tuple[int, int]]


def rate(daily: Sequence[int], window_days: int) -> Rate | None:
    """Return the rate of the last days, None where fewer than LEAST_DAYS are on record.

    Args:
        daily: billing-seconds of each whole day on record, the last one first.
        window_days: how many of them to look at.
    """
    days = list(daily[:window_days])
    count = len(days)
    if count < LEAST_DAYS:
        return None
    total = sum(days)
    spread = count * sum(day * day for day in days) - total * total
    # The variance of a day is spread / count / (count - 1), that of the average a count-th of it.
    twice_the_error = isqrt(4 * spread // (count * count * (count - 1)))
    expected = (2 * total + count) // (2 * count)
    return Rate(count, max(expected - twice_the_error, 0), expected, expected + twice_the_error)


def overall(short: Rate, long: Rate) -> Rate:
    """Return what to expect: the long rate, within the range of both."""
    return long._replace(least=min(short.least, long.least), most=max(short.most, long.most))


class _Left:
    """What is left of an account's grants while time goes on.

    Amounts are billing-seconds times DAY_MICROSECONDS here, so that nothing is rounded on the way.
    """

    def __init__(self, supplies: Iterable[Supply], debt: int, credit: int) -> None:
        self.debt = debt * DAY_MICROSECONDS
        self.credit = credit * DAY_MICROSECONDS
        self.coming = sorted(supplies, key=lambda one: one.start_at)
        self.in_force: list[tuple[Supply, int]] = []
        self.ends: list[End] = []

    @property
    def total(self) -> int:
        """What may still be used: what all in force have left, and what may be overdrawn."""
        return sum(rest for _, rest in self.in_force) + self.credit - self.debt

    def turn(self, now: int) -> None:
        """End what ends by now, and start what starts."""
        for supply, rest in [one for one in self.in_force if _ends_by(one[0], now)]:
            self.in_force.remove((supply, rest))
            self._end(supply, rest)
        while self.coming and self.coming[0].start_at <= now:
            supply = self.coming.pop(0)
            if supply.begins_period:
                self.debt = 0
            paid = min(self.debt, max(supply.rest, 0) * DAY_MICROSECONDS)
            self.debt -= paid
            self.in_force.append((supply, supply.rest * DAY_MICROSECONDS - paid))
        self.in_force.sort(key=lambda one: (one[0].end_at is None, one[0].end_at or 0))

    def _end(self, supply: Supply, rest: int) -> None:
        """Let what a supply has left be lost, but for what goes on for as long again."""
        end_at = supply.end_at
        assert end_at is not None
        carried = rest * supply.carry_percent // 100
        if supply.grant_id is not None:
            unused = max(rest - carried, 0) // DAY_MICROSECONDS
            self.ends.append(End(supply.grant_id, end_at, unused))
        if carried:
            follows = Supply(end_at, end_at + (end_at - supply.start_at), 0)
            self.in_force.append((follows, carried))

    def use(self, amount: int) -> None:
        """Use of what ends first, then on credit, and never more than there is."""
        amount = min(amount, max(self.total, 0))
        for number, (supply, rest) in enumerate(self.in_force):
            some = min(max(rest, 0), amount)
            self.in_force[number] = supply, rest - some
            amount -= some
        self.debt += amount

    def next_turn(self, now: int) -> int | None:
        """Return when something ends or starts next."""
        ends = [one.end_at for one, _ in self.in_force if one.end_at is not None]
        starts = [one.start_at for one in self.coming]
        return min((at for at in (*ends, *starts) if at > now), default=None)


def _ends_by(supply: Supply, now: int) -> bool:
    return supply.end_at is not None and supply.end_at <= now


def course(
    supplies: Iterable[Supply], per_day: int, *, now: int, debt: int = 0, credit: int = 0
) -> Course:
    """Return what becomes of SUs if so many are used each day, those that end first before others.

    Where nothing is left nothing is used, until another grant starts.

    Args:
        supplies: what each grant has, also those that start later.
        per_day: billing-seconds.
        now: UTC microseconds.
        debt: billing-seconds by which the account is overdrawn, which the next grant pays.
        credit: billing-seconds by which it may be.
    """
    left = _Left(supplies, debt, credit)
    farthest = now + FARTHEST_DAYS * DAY_MICROSECONDS
    left.turn(now)
    empty_at = []
    points = [(now, left.total // DAY_MICROSECONDS)]
    while now < farthest:
        if left.total <= 0:
            empty_at.append(now)
        turn = min(left.next_turn(now) or farthest, farthest)
        if 0 < left.total <= per_day * (turn - now):
            # Rounded up: a microsecond before that there was something left.
            empty_at.append(min(now - (-left.total // per_day), turn))
            points.append((empty_at[-1], 0))
        left.use(per_day * (turn - now))
        now = turn
        points.append((now, left.total // DAY_MICROSECONDS))
        left.turn(now)
        points.append((now, left.total // DAY_MICROSECONDS))
    return Course(empty_at[0] if empty_at else None, left.ends, points)


def left_at(points: Sequence[tuple[int, int]], at: int) -> int:
    """Return what is left at an instant, between points that are joined by straight lines."""
    before = points[0]
    for point in points:
        if point[0] > at:
            (start, high), (end, low) = before, point
            return high + (low - high) * (at - start) // (end - start)
        before = point
    return before[1]


def renewed(base: Supply, *, granted: int, period_ends_at: int, length: int) -> list[Supply]:
    """Return a grant without an end as it is where each period that ends is followed by another.

    Args:
        base: what it has left.
        granted: what it is given anew each time, in billing-seconds.
        period_ends_at: when the present period ends, UTC microseconds.
        length: of a period, in microseconds.
    """
    starts = [period_ends_at + length * number for number in range(_MOST_PERIODS)]
    following = [Supply(at, at + length, granted, begins_period=True) for at in starts]
    return [base._replace(end_at=period_ends_at), *following]
