"""Use, summed up by whose it was, or where, or when."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

# What use can be summed up by.
KEYS = ("user", "account", "partition", "month", "cluster")


class Use(NamedTuple):
    """One charge or refund.

    Attributes:
        account: whose it is, which may be one below the account that was asked for.
        at: UTC microseconds.
        amount: billing-seconds; below 0 for a refund.
        cluster, user: None where nobody knows.
        reference: what it rests on, None for nothing.
    """

    account: str
    at: int
    amount: int
    cluster: str | None
    user: str | None
    reference: str | None


class Sum(NamedTuple):
    """What was used under one key, in billing-seconds.

    Attributes:
        key: a name, or None where nobody knows.
        charged: all charges.
        refunded: all refunds.
    """

    key: str | None
    charged: int
    refunded: int

    @property
    def used(self) -> int:
        """What was charged and not refunded."""
        return self.charged - self.refunded


def summed(uses: Iterable[Use], key: Callable[[Use], str | None]) -> list[Sum]:
    """Return the sums under each key, the largest first."""
    charged: dict[str | None, int] = {}
    refunded: dict[str | None, int] = {}
    for use in uses:
        name = key(use)
        sums = charged if use.amount > 0 else refunded
        sums[name] = sums.get(name, 0) + abs(use.amount)
    found = [
        Sum(name, charged.get(name, 0), refunded.get(name, 0)) for name in {**charged, **refunded}
    ]
    return sorted(found, key=lambda one: (-one.used, one.key or ""))
