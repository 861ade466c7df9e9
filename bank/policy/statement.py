"""Statements: an opening balance, what was booked in a span, and the closing balance.

Everything is worked out from how the account stands now and what was booked since, back to the
opening. So the closing balance of a statement until now is what 'balance' says, and opening balance
and lines always make the closing balance.

Use of accounts below counts as Slurm's tree stands now, because where accounts stood before is not
on record. Where that cannot be so, because a child came or its use was forgiven, a line of its own
says how much of its use does not count.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from bank.ledger.books import effect
from bank.ledger.references import child_of
from bank.policy.spans import Span

# The kind of a line that is no entry: what of the use below counts otherwise than it was booked.
NOT_COUNTED = "not counted"


class Line(NamedTuple):
    """An entry, or several of one child, and what it changes for the account of the statement.

    Attributes:
        account: whose it is: the statement's account, or one below it.
        at: UTC microseconds.
        kind: as in `bank.ledger.entries.KINDS`, or NOT_COUNTED.
        granted, used: by how many billing-seconds it changes the two totals.
        entry_count: how many entries it stands for.
        cluster, user, grant_id, actor, reason, reference: as in `bank.ledger.entries.Draft`.
    """

    account: str
    at: int
    kind: str
    granted: int
    used: int
    entry_count: int = 1
    cluster: str | None = None
    user: str | None = None
    grant_id: int | None = None
    actor: str | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def amount(self) -> int:
        """The billing-seconds that it moves."""
        return max(abs(self.granted), abs(self.used))


class Balance(NamedTuple):
    """Where an account stands, in billing-seconds.

    Attributes:
        granted: what was granted for the period.
        used: what it and all below it have used in the period.
    """

    granted: int
    used: int

    @property
    def left(self) -> int:
        """What is granted and not used."""
        return self.granted - self.used


class Below(NamedTuple):
    """An account below the statement's, on one cluster, and what of its use counts now.

    Attributes:
        cluster, child: which.
        charged: billing-seconds ever charged to it there.
        joined: of these what does not count because of where it was; below 0 where use was refunded
            that had been closed.
        closed: of these what the account has closed itself.
    """

    cluster: str
    child: str
    charged: int
    joined: int
    closed: int

    @property
    def counts(self) -> int:
        """What of its use counts for the account now."""
        return self.charged - self.joined - self.closed


class Group(NamedTuple):
    """Lines that are shown as one.

    Attributes:
        when: the name of the month or day, "" for use of accounts below, which is of all the span.
        account, kind, user, entry_count, granted, used: as in `Line`.
    """

    when: str
    account: str
    kind: str
    user: str | None
    entry_count: int
    granted: int
    used: int


class Statement(NamedTuple):
    """All of a statement; the lines in the order of their times."""

    account: str
    opening: Balance
    lines: list[Line]
    closing: Balance


def changes(kind: str, source: str, target: str, reference: str | None) -> tuple[int, int]:
    """Return how an entry of an account changes what it was granted and what it has used.

    Returns:
        1, 0 or -1 for each, to be multiplied by the amount.
    """
    granted, used = effect(source, target)
    if closed_child(kind, reference) is not None:
        # Paid from what is available, because that use stands in the child's books.
        return granted, -1
    return granted, used


def closed_child(kind: str, reference: str | None) -> str | None:
    """Return the child whose use an account's entry closes, None where it closes no child's."""
    return child_of(reference or "") if kind == "closing" else None


def not_counted(
    own: Iterable[Line], use_below: Iterable[Line], below: Iterable[Below], span: Span, *, now: int
) -> Iterator[Line]:
    """Yield a line for each child of which more or less counts than was booked.

    When that came about is not on record. What does not count is taken to be what was used first;
    its line stands at the end of the span, and another one at the end of what came after.

    Args:
        own: the account's own entries since the opening.
        use_below: charges and refunds since then of all that are below it now.
        below: what counts of these now.
        span: of the statement.
        now: UTC microseconds, not before the span ends.
    """
    ends = [now] if span.end_at is None else [span.end_at - 1, now]
    # Of each child: what was booked and what was closed until each of the ends.
    moved: dict[tuple[str | None, str], list[list[int]]]
    moved = defaultdict(lambda: [[0, 0] for _ in ends])
    for line in use_below:
        moved[line.cluster, line.account][_part(line, ends)][0] += line.used
    for line in own:
        child = closed_child(line.kind, line.reference)
        if child is not None:
            moved[line.cluster, child][_part(line, ends)][1] -= line.used
    for one in sorted(below):
        parts = moved[one.cluster, one.child]
        then = one._replace(
            charged=one.charged - sum(booked for booked, _ in parts),
            closed=one.closed - sum(closed for _, closed in parts),
        )
        for end, (booked, closed) in zip(ends, parts, strict=True):
            before = _counted(then)
            then = then._replace(charged=then.charged + booked, closed=then.closed + closed)
            after = one.counts if end == now else _counted(then)
            wrong = after - (before + booked - closed)
            if wrong:
                yield Line(one.child, end, NOT_COUNTED, 0, wrong, cluster=one.cluster)


def _part(line: Line, ends: Sequence[int]) -> int:
    """Return until which of the ends a line is; what is later than the last belongs to that."""
    return min(bisect_left(ends, line.at), len(ends) - 1)


def _counted(one: Below) -> int:
    """Return what counted of an account's use at an earlier instant, as far as that is known."""
    return max(one.charged - one.closed - max(one.joined, 0), 0)


def made(
    account: str, now: Balance, own: Sequence[Line], use_below: Sequence[Line], span: Span
) -> Statement:
    """Return a statement.

    Args:
        account: whose.
        now: where it stands now.
        own: its entries since the span's start, in the order of their times.
        use_below: what was booked since then of those below it, and what of it does not count.
        span: of when.
    """
    # Both are in order already, which makes this quick.
    lines = sorted((*own, *use_below), key=attrgetter("at")) if use_below else list(own)
    count = len(lines)
    if span.end_at is not None:
        count = bisect_right([line.at for line in lines], span.end_at - 1)
    closing = _before(now, lines[count:])
    del lines[count:]
    return Statement(account, _before(closing, lines), lines, closing)


def _before(balance: Balance, lines: Iterable[Line]) -> Balance:
    granted, used = balance
    for line in lines:
        granted -= line.granted
        used -= line.used
    return Balance(granted, used)


def running(statement: Statement) -> Iterator[tuple[Line, Balance]]:
    """Yield each line with the balance after it."""
    granted, used = statement.opening
    for line in statement.lines:
        granted += line.granted
        used += line.used
        yield line, Balance(granted, used)


def grouped(statement: Statement, cuts: Sequence[tuple[int, str]]) -> list[Group]:
    """Return the lines summed up: by month or day, kind and user, and use below by child.

    Args:
        statement: the lines.
        cuts: when each month or day begins, in UTC microseconds, with its name; in order, the first
            not after the first line.
    """
    starts = [at for at, _ in cuts]
    sums: dict[tuple[bool, int, str, str, int, str], list[int]] = {}
    for line in statement.lines:
        is_below = line.account != statement.account
        part = 0 if is_below else bisect_right(starts, line.at) - 1
        user = "" if is_below else line.user or ""
        # A kind that goes both ways, as a transfer does, is two groups: the larger sign first.
        sign = -1 if (line.granted or line.used) > 0 else 1
        key = is_below, part, line.account, line.kind, sign, user
        found = sums.setdefault(key, [0, 0, 0])
        found[0] += line.entry_count
        found[1] += line.granted
        found[2] += line.used
    return [
        Group("" if is_below else cuts[part][1], account, kind, user or None, *found)
        for (is_below, part, account, kind, _, user), found in sorted(sums.items())
    ]
