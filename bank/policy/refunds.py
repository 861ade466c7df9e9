"""Refunds of jobs: what of their cost the books still hold as used.

What was used in a period that is over has been settled with the treasury, and is not there to be
given back. What is closed is the oldest use first, as grants pay for it.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

CHARGED, REFUNDED, CLOSED = "charged", "refunded", "closed"


class Move(NamedTuple):
    """An entry by which the use of one account on one cluster changed.

    Attributes:
        what: CHARGED, REFUNDED or CLOSED.
        amount: billing-seconds.
        user: whose use, None where it is nobody's.
        reference: what it rests on: the reading, of a charge by a meter.
    """

    what: str
    amount: int
    user: str | None
    reference: str | None


class Use(NamedTuple):
    """What of one account's use on one cluster is not closed; amounts are billing-seconds.

    Attributes:
        total: all of it, less what was refunded.
        by_user: likewise, by user.
        by_reference: what was charged, by what that rests on; refunds are not taken off.
    """

    total: int
    by_user: dict[str | None, int]
    by_reference: dict[str | None, int]


def open_use(moves: Sequence[Move]) -> Use:
    """Return what is not closed, of all entries of an account on one cluster in their order."""
    # Charges that are not closed, the oldest first: their place among the moves, what is left.
    left: deque[tuple[int, int]] = deque()
    closed: dict[int, int] = defaultdict(int)
    for number, move in enumerate(moves):
        if move.what == CHARGED:
            left.append((number, move.amount))
            continue
        amount = move.amount
        while amount and left:
            # What is closed is the oldest, what is refunded is of late.
            which, there = left.popleft() if move.what == CLOSED else left.pop()
            rest = max(there - amount, 0)
            amount -= there - rest
            if move.what == CLOSED:
                closed[which] += there - rest
            if rest and move.what == CLOSED:
                left.appendleft((which, rest))
            elif rest:
                left.append((which, rest))
    first = left[0][0] if left else len(moves)
    by_user: dict[str | None, int] = defaultdict(int)
    by_reference: dict[str | None, int] = defaultdict(int)
    for number, move in enumerate(moves[first:], start=first):
        if move.what == CHARGED:
            # The oldest may be closed in part.
            by_user[move.user] += move.amount - closed[number]
            by_reference[move.reference] += move.amount - closed[number]
        elif move.what == REFUNDED:
            by_user[move.user] -= move.amount
    return Use(sum(rest for _, rest in left), dict(by_user), dict(by_reference))


def refundable(use: Use, user: str, references: Collection[str], cost: int) -> int:
    """Return what of the cost of a run can be given back; billing-seconds, at least 0.

    Args:
        use: of the account on the cluster.
        user: whose run it was.
        references: the readings that can hold something of it.
        cost: what it cost. A meter may have lost a part, and nobody have booked it.
    """
    booked = sum(use.by_reference.get(reference, 0) for reference in references)
    return max(min(cost, booked, use.by_user.get(user, 0), use.total), 0)


def less(use: Use, user: str, amount: int) -> Use:
    """Return what is left of it after a refund."""
    by_user = {**use.by_user, user: use.by_user.get(user, 0) - amount}
    return use._replace(total=use.total - amount, by_user=by_user)
