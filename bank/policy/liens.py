"""Liens: SUs set aside for a job. Who can pay for one, and how much of one is still to be kept.

A lien is *placed* when a job is expected, *bound* when its job is known, and ends *settled* (its
job was charged), *voided* (there was nothing to charge) or *expired*. While it is placed or bound
it is open, and counts as set aside.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from bank.ledger.amounts import format_su

PLACED, BOUND, SETTLED, VOIDED, EXPIRED = "placed", "bound", "settled", "voided", "expired"
OPEN = (PLACED, BOUND)

# How a lien's token stands in the AdminComment of its job, beside whatever else does.
_MARK = "bank:"
_MARKED = re.compile(rf"(?<!\S){_MARK}([A-Za-z0-9_-]{{8,64}})(?!\S)")


class Means(NamedTuple):
    """What an account, or a user within one, can pay with. Amounts are billing-seconds.

    Attributes:
        account: its name.
        limit: what was granted for the period, or set as the user's limit; None is unlimited.
        used: what of it is used.
        set_aside: what of it open liens keep.
        credit: what the account may be overdrawn by.
        user: whose limit it is, "" for the account itself.
    """

    account: str
    limit: int | None
    used: int
    set_aside: int
    credit: int = 0
    user: str = ""

    @property
    def available(self) -> int | None:
        """What can be set aside now; None is unlimited."""
        if self.limit is None:
            return None
        return self.limit + self.credit - self.used - self.set_aside

    def can_pay(self, cost: int) -> bool:
        """Tell whether so much more can be set aside. What costs nothing always can."""
        return cost <= 0 or self.available is None or cost <= self.available


def first_without(chain: Iterable[Means], cost: int) -> Means | None:
    """Return the first of all that have to pay who cannot, None where all can."""
    return next((means for means in chain if not means.can_pay(cost)), None)


def amount_kept(cost_of_one: int, *, tasks: int, at_once: int, ended: int) -> int:
    """Return what a lien keeps: for those tasks of its job that may still run, or run at once.

    Args:
        cost_of_one: billing-seconds that one task costs at most.
        tasks: of its array, 1 without one.
        at_once: how many of them are kept for at a time.
        ended: how many have been charged, or will never run.
    """
    return cost_of_one * max(min(at_once, tasks - ended), 0)


def token_in(comment: str) -> str | None:
    """Return the token that stands in an AdminComment, None where none does.

    Example:
        >>> token_in("seen by ops bank:a1B2c3D4")
        'a1B2c3D4'
    """
    match = _MARKED.search(comment)
    return match.group(1) if match else None


def token_of_run(cluster: str, job_id: int, started_at: int) -> str:
    """Return the token of a lien that was placed when its job began, or for one that ran.

    The same for whoever places it: two that do so at once place one.
    """
    return f"{cluster}/{job_id}/{started_at}"


def refusal_text(cost: int, means: Means, *, asked: str, jobs: int) -> str:
    """Say why a job cannot be paid for, with all numbers.

    Args:
        cost: billing-seconds that it may cost.
        means: of who cannot pay.
        asked: the account of the job.
        jobs: for how many jobs something is set aside.

    Example:
        >>> refusal_text(1728000, Means("a", 36000000, 33840000, 1726200), asked="a", jobs=3)
        'this job may cost up to 480.0 SUs; account a has 120.5 available (10,000 granted, \
9,400 used, 479.5 set aside for 3 jobs)'
    """
    assert means.limit is not None
    assert means.available is not None
    whose = f"account {means.account}"
    if means.user:
        whose = f"user {means.user} in account {means.account}"
    elif means.account != asked:
        whose = f"account {means.account} above {asked}"
    given = "set as the limit" if means.user else "granted"
    parts = [f"{_su(means.limit)} {given}", f"{_su(means.used)} used"]
    if means.set_aside:
        kept = f"{_su(means.set_aside)} set aside for {jobs} job{'' if jobs == 1 else 's'}"
        parts.append(kept)
    if means.credit:
        parts.append(f"may be overdrawn by {_su(means.credit)}")
    return (
        f"this job may cost up to {_su(cost, decimals=1)} SUs; {whose} has"
        f" {_su(means.available, decimals=1)} available ({', '.join(parts)})"
    )


def _su(billing_seconds: int, *, decimals: int = 0) -> str:
    """Write an amount as people read it: thousands apart, and at least so many decimals."""
    whole, _, rest = format_su(billing_seconds).partition(".")
    rest = rest.ljust(decimals, "0")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{'.' if rest else ''}{rest}"
