"""Enforcement: what ought to be done about one account's limit in Slurm.

Decided from what should be and what is, never from what happened, so a pass that was killed half
way is put right by the next.
"""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_MINUTE

NOTHING = "nothing"
# Give the limit the value it ought to have; 0 is a hold.
SET = "set"
# Put back what was there before the bank's own value.
RELEASE = "release"
# Slurm already shows what our record only intends.
CONFIRM = "confirm"
FORGET = "forget"
# Reported and left alone: a stop, or a limit, that the bank did not set.
HELD_BY_OTHERS = "held_by_others"
CHANGED_BY_OTHERS = "changed_by_others"

HELD = 0
# Every limit that ACCOUNT_HOLD may choose.
HOLD_LIMITS = ("GrpTRESMins=cpu", "GrpTRES=cpu", "GrpTRESRunMins=cpu", "GrpJobs", "GrpSubmitJobs")
# The limit that ENFORCEMENT = 'limit' sets; the others that the bank sets are holds.
NATIVE_LIMIT = "GrpTRESMins=billing"
# What is counted and what is left are each cut off to whole minutes.
_ROUNDING_MINUTES = 2


class Association(NamedTuple):
    """What a limit of Slurm's stands on: an account, or one of its users.

    Attributes:
        account: its name.
        user: "" for the account itself.
        partition: "" for a user's association of no partition; one who has several in an account
            has limits of its own in each.
    """

    account: str
    user: str = ""
    partition: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        if not self.user:
            return self.account
        where = f", partition {self.partition}" if self.partition else ""
        return f"{self.user} in {self.account}{where}"


class Ours(NamedTuple):
    """What the bank has on record of a limit it set.

    Attributes:
        original: the limit before the bank's, None where there was none.
        value: what the bank set it to, or is about to.
        replaced: the bank's own values before it, which Slurm may show until then.
        confirmed: whether the controller has shown `value`.
    """

    original: int | None
    value: int
    replaced: AbstractSet[int]
    confirmed: bool

    def is_shown(self, present: int | None) -> bool:
        """Tell whether what Slurm shows is the bank's."""
        return present == self.value or (not self.confirmed and present in self.replaced)


class Decision(NamedTuple):
    """What to do, and the limit to put back when the bank's own ends."""

    action: str
    original: int | None


def has_nothing_left(*, limit: int | None, used: int, credit: int = 0) -> bool:
    """Tell whether an account, or a user of one, must be held; without a limit (None) never.

    Args:
        limit: what it was granted.
        used: what it has used.
        credit: by how much it may be overdrawn.

    Units:
        All in billing-seconds.
    """
    return limit is not None and limit + credit - used <= 0


def native_limit(*, left: int | None, counted_minutes: int) -> int | None:
    """Return what GrpTRESMins=billing must be for using what is left, and no more.

    Slurm compares it with all that the association has ever used, and takes off itself what running
    jobs may still use.

    Args:
        left: billing-seconds granted and not used; None is unlimited.
        counted_minutes: billing-minutes the association has used, as the controller counts them.

    Returns:
        Billing-minutes, None for no limit.
    """
    if left is None:
        return None
    return counted_minutes + max(left, 0) // BILLING_SECONDS_PER_MINUTE


def _is_near(wanted: int, present: int, *, counted_minutes: int, tolerance_minutes: int) -> bool:
    """Tell whether a limit may stay as it is.

    It may let more be used than is left, by the tolerance; less only by what rounding takes, and
    never nothing where something is left.
    """
    if HELD in (wanted, present) or present <= counted_minutes < wanted:
        return wanted == present
    return -_ROUNDING_MINUTES <= present - wanted <= tolerance_minutes


def decide(
    *,
    wanted: int | None,
    ours: Ours | None,
    present: int | None,
    counted_minutes: int = 0,
    tolerance_minutes: int = 0,
) -> Decision:
    """Decide about one limit of one association.

    Args:
        wanted: what the bank wants it to be: 0 is a hold, None is none of the bank's.
        ours: the bank's record of what it set, if it has one.
        present: what Slurm shows now; 0 is a hold, None is no limit.
        counted_minutes: see `native_limit`.
        tolerance_minutes: by how much a value other than 0 may be off.
    """
    if ours is None:
        if present == HELD:
            return Decision(HELD_BY_OTHERS, None)
        return Decision(NOTHING if wanted is None else SET, present)
    if wanted is None:
        return _given_up(ours, present)
    if not ours.is_shown(present):
        # Lifted by somebody, or never set because we were killed. A limit that somebody put in its
        # place is what will be put back; a stop is not ours to lift.
        if present == HELD:
            return Decision(HELD_BY_OTHERS, ours.original)
        return Decision(SET, ours.original if present is None else present)
    assert present is not None
    if present == ours.value and _is_near(
        wanted,
        present,
        counted_minutes=counted_minutes,
        tolerance_minutes=tolerance_minutes,
    ):
        return Decision(NOTHING if ours.confirmed else CONFIRM, ours.original)
    return Decision(SET, ours.original)


def _given_up(ours: Ours, present: int | None) -> Decision:
    if ours.is_shown(present):
        return Decision(RELEASE, ours.original)
    if present == ours.original:
        # What was never seen may still be under way: it is taken back all the same.
        return Decision(FORGET if ours.confirmed else RELEASE, ours.original)
    return Decision(CHANGED_BY_OTHERS, present)
