"""Holds: what ought to be done about one account's limit in Slurm.

Decided from what should be and what is, never from what happened, so a pass that was killed half
way is put right by the next.
"""

from typing import NamedTuple

NOTHING = "nothing"
HOLD = "hold"
RELEASE = "release"
# Slurm already shows what our record only intends.
CONFIRM = "confirm"
FORGET = "forget"
# Reported and left alone: a stop, or a limit, that the bank did not set.
HELD_BY_OTHERS = "held_by_others"
CHANGED_BY_OTHERS = "changed_by_others"


class Ours(NamedTuple):
    """What the bank has on record of a hold it set.

    Attributes:
        original: the limit before the hold, None where there was none.
        confirmed: whether the controller has shown the hold.
    """

    original: int | None
    confirmed: bool


class Decision(NamedTuple):
    """What to do, and the limit to put back when the hold ends."""

    action: str
    original: int | None


def has_nothing_left(*, limit: int | None, used: int) -> bool:
    """Tell whether an account must be held; one without a limit (None) never is.

    Units:
        All in billing-seconds.
    """
    return limit is not None and limit - used <= 0


def decide(*, should_hold: bool, ours: Ours | None, present: int | None) -> Decision:
    """Decide about one account.

    Args:
        should_hold: whether it ought to be held.
        ours: the bank's record of its hold, if it has one.
        present: the limit that Slurm shows now; 0 is a hold, None is no limit.
    """
    if ours is None:
        if present == 0:
            return Decision(HELD_BY_OTHERS, None)
        return Decision(HOLD if should_hold else NOTHING, present)
    if should_hold:
        if present == 0:
            return Decision(NOTHING if ours.confirmed else CONFIRM, ours.original)
        # Lifted by somebody, or never set because we were killed. A limit that somebody put in its
        # place is what will be put back.
        return Decision(HOLD, ours.original if present is None else present)
    if present == 0:
        return Decision(RELEASE, ours.original)
    if present == ours.original:
        # A hold that was never seen may still be under way: it is taken back all the same.
        return Decision(FORGET if ours.confirmed else RELEASE, ours.original)
    return Decision(CHANGED_BY_OTHERS, present)
