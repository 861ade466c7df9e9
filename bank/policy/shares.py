"""Shares: whether an account has more than the one above it, at any time from now on."""

from collections.abc import Sequence
from typing import NamedTuple


class Gift(NamedTuple):
    """What a grant with dates gives: billing-seconds from a start until before an end."""

    start_at: int
    end_at: int
    amount: int


class Allocation(NamedTuple):
    """What an account has been given.

    Attributes:
        undated: billing-seconds without an end; None is unlimited.
        gifts: what it is given for a time, promised or in force.
    """

    undated: int | None
    gifts: Sequence[Gift] = ()

    def at(self, instant: int) -> int | None:
        """Return what it has at a time, UTC microseconds; None is unlimited."""
        if self.undated is None:
            return None
        return self.undated + sum(
            gift.amount for gift in self.gifts if gift.start_at <= instant < gift.end_at
        )


def first_rise(allocation: Allocation, at: int) -> int | None:
    """Return from when on an account has more than at a time, None where it never has.

    Args:
        allocation: what it has been given.
        at: UTC microseconds.
    """
    before = allocation.at(at)
    for start in sorted(gift.start_at for gift in allocation.gifts if gift.start_at > at):
        after = allocation.at(start)
        if before is not None and after is not None and after > before:
            return start
    return None


def first_excess(child: Allocation, parent: Allocation, *, now: int) -> int | None:
    """Return when a child first has more than its parent, None where it never has.

    What it has is looked at now and where something is given to either of them. That a grant of the
    parent's ends is no gift: the child's may be renewed with it.

    Args:
        child: what the account below has.
        parent: what the account above has.
        now: UTC microseconds.
    """
    starts = [gift.start_at for gift in (*child.gifts, *parent.gifts)]
    for instant in sorted({now, *(at for at in starts if at > now)}):
        mine, theirs = child.at(instant), parent.at(instant)
        if theirs is not None and (mine is None or mine > theirs):
            return instant
    return None
