"""Grants: which of an account's grants pays for what it uses.

A grant is given for a span of time, from its start until before its end. Of those in force the one
that ends first is used first, because that wastes least; one without an end comes last. Use is
settled with grants only where it matters: when another grant starts, so that this one pays nothing
from before it; and when a grant ends. Until then what each pays is computed from these rules.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# What a grant is for where nobody says it.
USUAL_KIND = "allocation"


class Payer(NamedTuple):
    """What of a grant decides what it pays of use. Amounts are billing-seconds.

    Attributes:
        grant_id: its number.
        end_at: UTC microseconds, the first that is not its own; None where it has no end.
        granted: what it has been given, less what was taken back or closed.
        paid: use, not closed yet, that is its to pay whatever starts or ends later.
    """

    grant_id: int
    end_at: int | None
    granted: int
    paid: int = 0


class Part(NamedTuple):
    """An amount of one grant's; `grant_id` is None for what no grant pays."""

    grant_id: int | None
    amount: int


class End(NamedTuple):
    """What becomes of a grant that has ended; all in billing-seconds.

    Attributes:
        kept: what running jobs may still use of it; it ends for good when they have ended.
        carried: what goes on in a grant that follows.
        expired: all that it loses, with what is carried.
    """

    kept: int
    carried: int
    expired: int


def _in_order_of_use(grants: Iterable[Payer]) -> list[Payer]:
    """Return grants in the order in which they are used."""
    return sorted(grants, key=lambda grant: (grant.end_at is None, grant.end_at, grant.grant_id))


def payments(grants: Iterable[Payer], used: int) -> dict[int, int]:
    """Return what each grant pays of what an account has used and not closed.

    Args:
        grants: those in force, and those that are ending.
        used: billing-seconds.

    Returns:
        Billing-seconds by grant, never more than it has. Together they are `used`, or less where
        the account is overdrawn: what nobody pays, the next grant does.
    """
    order = _in_order_of_use(grants)
    # What was settled before, as far as it was not given back since.
    paid = {grant.grant_id: min(grant.paid, max(grant.granted, 0)) for grant in order}
    rest = used - sum(paid.values())
    for grant in reversed(order):
        if rest >= 0:
            break
        given_back = min(-rest, paid[grant.grant_id])
        paid[grant.grant_id] -= given_back
        rest += given_back
    for grant in order:
        more = min(max(grant.granted - paid[grant.grant_id], 0), rest)
        paid[grant.grant_id] += more
        rest -= more
    return paid


def unused(grants: Iterable[Payer], used: int) -> list[Part]:
    """Return what each grant has that is not used, in the order of use."""
    known = list(grants)
    paid = payments(known, used)
    return [
        Part(grant.grant_id, grant.granted - paid[grant.grant_id])
        for grant in _in_order_of_use(known)
    ]


def taken(parts: Sequence[Part], amount: int, rest_of: int | None) -> list[Part]:
    """Split an amount over what grants have, in their order.

    Args:
        parts: what each has.
        amount: billing-seconds to be taken.
        rest_of: the grant that the rest is taken of where they have not enough, None for no grant.

    Returns:
        The parts above 0; together they are the amount.
    """
    split: dict[int | None, int] = {}
    for part in parts:
        some = min(max(part.amount, 0), amount)
        split[part.grant_id] = some
        amount -= some
    split[rest_of] = split.get(rest_of, 0) + amount
    return [Part(grant_id, some) for grant_id, some in split.items() if some]


def less(parts: Sequence[Part], gone: Sequence[Part]) -> list[Part]:
    """Return what is left of parts when others have been taken of them."""
    amounts = dict(gone)
    return [Part(grant_id, amount - amounts.get(grant_id, 0)) for grant_id, amount in parts]


def at_end(rest: int, *, set_aside: int, carry_percent: int) -> End:
    """Return what becomes of what a grant that has ended has left.

    Args:
        rest: billing-seconds that are not used.
        set_aside: billing-seconds that running jobs may still use.
        carry_percent: how much of what is not used goes on, 0 to 100; rounded down.
    """
    rest = max(rest, 0)
    kept = min(rest, max(set_aside, 0))
    expired = rest - kept
    return End(kept, expired * carry_percent // 100, expired)
