"""What people ask: where accounts stand, and what happened to them. Kept quick to start."""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from bank.policy.tree import Place, used_by_children
from bank.store import accounts, limits, settled, user_limits
from bank.store.accounts import Account
from bank.store.connect import Reader
from bank.store.limits import Limit
from bank.store.user_limits import UserLimit


class Share(NamedTuple):
    """What of an account is on one cluster; each as in `Standing`."""

    cluster: str
    used: int
    set_aside: int
    is_held_by_others: bool


class UserStanding(NamedTuple):
    """Where a user of an account stands, of those who have a limit there.

    Attributes:
        limit: the limit, and what of it is used.
        limits: the limits that the bank has set on the user's associations in the account.
        is_held_by_others: whether Slurm showed a hold that the bank did not set.
    """

    limit: UserLimit
    limits: tuple[Limit, ...]
    is_held_by_others: bool

    @property
    def is_held(self) -> bool:
        """Whether a hold is in force, as far as the bank knows."""
        return self.is_held_by_others or any(hold.confirmed_at for hold in self.holds)

    @property
    def holds(self) -> tuple[Limit, ...]:
        """The bank's own limits that stop the user."""
        return tuple(limit for limit in self.limits if limit.is_hold)


class Standing(NamedTuple):
    """Where an account stands. Amounts are billing-seconds.

    Attributes:
        account: its row.
        used: what it and all below it have used in its present period.
        set_aside: what running jobs of it and all below it may still use, as last read.
        limits: the limits that the bank has set on it.
        is_held_by_others: whether Slurm showed a hold that the bank did not set.
        shares: what of it is on which cluster, for each that ever had it.
        users: those who have a limit within it, in the order of their names.
    """

    account: Account
    used: int
    set_aside: int
    limits: tuple[Limit, ...]
    is_held_by_others: bool
    shares: tuple[Share, ...] = ()
    users: tuple[UserStanding, ...] = ()

    @property
    def limit(self) -> int | None:
        """What was granted for the period; None is unlimited."""
        return None if self.account.is_unlimited else self.account.books.granted

    @property
    def left(self) -> int | None:
        """What is granted and not used; running jobs may still use of it. None is unlimited."""
        return None if self.limit is None else self.limit - self.used

    @property
    def payable(self) -> int | None:
        """What may still be used, with what the account may be overdrawn by; None is unlimited."""
        return None if self.left is None else self.left + self.account.credit

    @property
    def available(self) -> int | None:
        """What of that is not set aside; None is unlimited."""
        return None if self.payable is None else self.payable - self.set_aside

    @property
    def is_held(self) -> bool:
        """Whether a hold is in force, as far as the bank knows."""
        return self.is_held_by_others or any(hold.confirmed_at for hold in self.holds)

    def is_held_on(self, share: Share) -> bool:
        """Tell whether a hold is in force on one cluster, as far as the bank knows."""
        there = [hold for hold in self.holds if hold.cluster == share.cluster]
        return share.is_held_by_others or any(hold.confirmed_at for hold in there)

    def within(self, clusters: Collection[str]) -> "Standing":
        """Return it with the limits on some clusters only; none named are all.

        What the bank has set on a cluster that is not the site's any more holds nothing here.
        """
        if not clusters:
            return self
        users = tuple(user._replace(limits=_within(user.limits, clusters)) for user in self.users)
        return self._replace(limits=_within(self.limits, clusters), users=users)

    @property
    def holds(self) -> tuple[Limit, ...]:
        """The bank's own limits that stop it."""
        return tuple(limit for limit in self.limits if limit.is_hold)


def _within(ours: tuple[Limit, ...], clusters: Collection[str]) -> tuple[Limit, ...]:
    return tuple(one for one in ours if one.cluster in clusters)


BELOW = """
    WITH RECURSIVE below (cluster, account_id) AS (
        SELECT cluster, account_id FROM place WHERE parent_id = :account_id
        UNION
        SELECT place.cluster, place.account_id FROM place
        JOIN below ON place.cluster = below.cluster AND place.parent_id = below.account_id
    )
"""

_OPEN_BELOW = """
    FROM below
    JOIN place ON place.cluster = below.cluster AND place.account_id = below.account_id
    LEFT JOIN settled ON settled.account_id = :account_id AND settled.cluster = below.cluster
        AND settled.child_id = below.account_id
"""
_COUNTS = "place.charged - coalesce(settled.joined + settled.closed, 0)"
_OPEN_BELOW_BY_CHILD = f"""
    {BELOW} SELECT below.cluster, account.name, {_COUNTS} {_OPEN_BELOW}
    JOIN account ON account.account_id = below.account_id ORDER BY below.cluster, account.name
"""
# Of an account with thousands below it the rows would take longer than their sum.
_ALL_OPEN_BELOW = (
    f"{BELOW} SELECT below.cluster, sum({_COUNTS}) {_OPEN_BELOW} GROUP BY below.cluster"
)


def used_below_by_child(reader: Reader, account_id: int) -> list[tuple[str, str, int]]:
    """Return (cluster, child, billing-seconds) for all below an account that count for it now."""
    rows = reader.query(_OPEN_BELOW_BY_CHILD, account_id=account_id)
    return [(cluster, child, amount) for cluster, child, amount in rows]


def standing(reader: Reader, name: str) -> Standing | None:
    """Return where one account stands, or None where it is not open in the bank."""
    account = accounts.find(reader, name)
    if account is None or not account.is_open:
        return None
    places = reader.query(
        "SELECT cluster, charged - closed, running, held_by_others FROM place"
        " WHERE account_id = :account_id ORDER BY cluster",
        account_id=account.account_id,
    )
    below = dict(reader.query(_ALL_OPEN_BELOW, account_id=account.account_id))
    shares = [
        Share(cluster, own + below.get(cluster, 0), running, bool(by_others))
        for cluster, own, running, by_others in places
    ]
    ours = limits.find_account_limits(reader, name)
    of_users = user_limits.find_of_account(reader, name)
    by_others = user_limits.find_held_by_others(reader) if of_users else set()
    users = _users(of_users, ours, by_others).get(name, ())
    return _standing(account, sum(below.values()), shares, ours, users)


def _standing(
    account: Account,
    below: int,
    shares: Sequence[Share],
    ours: Sequence[Limit],
    users: Sequence[UserStanding],
) -> Standing:
    return Standing(
        account,
        account.books.used + below,
        sum(share.set_aside for share in shares),
        tuple(limit for limit in ours if not limit.user),
        any(share.is_held_by_others for share in shares),
        tuple(shares),
        tuple(users),
    )


def _users(
    of_users: Sequence[UserLimit], ours: Sequence[Limit], by_others: Collection[tuple[str, str]]
) -> dict[str, list[UserStanding]]:
    """Return where users with limits stand, by account."""
    mine: dict[tuple[str, str], list[Limit]] = {}
    for limit in ours:
        mine.setdefault((limit.account, limit.user), []).append(limit)
    found: dict[str, list[UserStanding]] = {}
    for one in of_users:
        key = (one.account, one.user)
        standing = UserStanding(one, tuple(mine.get(key, ())), key in by_others)
        found.setdefault(one.account, []).append(standing)
    return found


def standings(reader: Reader) -> dict[str, Standing]:
    """Return where every open account stands, in the order of their names."""
    rows = reader.query(
        "SELECT cluster, account.name, parent.name, charged, closed, running, held_by_others"
        " FROM place JOIN account ON account.account_id = place.account_id"
        " LEFT JOIN account AS parent ON parent.account_id = place.parent_id ORDER BY cluster"
    )
    below = used_by_children([Place(*row[:4]) for row in rows], settled.find_settled(reader))
    all_below: dict[str, int] = {}
    for (name, _), amount in below.items():
        all_below[name] = all_below.get(name, 0) + amount
    shares: dict[str, list[Share]] = {}
    for cluster, name, _, charged, closed, running, by_others in rows:
        used = charged - closed + below.get((name, cluster), 0)
        shares.setdefault(name, []).append(Share(cluster, used, running, bool(by_others)))
    ours: dict[str, list[Limit]] = {}
    known = limits.find_limits(reader)
    for limit in known:
        ours.setdefault(limit.account, []).append(limit)
    by_others = user_limits.find_held_by_others(reader)
    users = _users(user_limits.find_all(reader), known, by_others)
    return {
        name: _standing(
            account,
            all_below.get(name, 0),
            shares.get(name, ()),
            ours.get(name, ()),
            users.get(name, ()),
        )
        for name, account in accounts.find_all(reader).items()
        if account.is_open
    }


def standings_of(reader: Reader, only: str | None) -> dict[str, Standing]:
    """Return where one open account stands, or with None every one."""
    if only is None:
        return standings(reader)
    found = standing(reader, only)
    return {} if found is None else {only: found}


class Event(NamedTuple):
    """One line of an account's history: an entry, or a change that is not an amount.

    Attributes:
        kind: the entry's, or "FIELD changed".
        amount, granted, used: billing-seconds; None where it is not an entry.
        reference: what an entry rests on, or the field's new value.
        cluster: where an entry's use was, None where it is of none.
    """

    at: int
    kind: str
    amount: int | None
    granted: int | None
    used: int | None
    user: str | None
    actor: str
    reason: str
    reference: str | None
    cluster: str | None = None


def history(reader: Reader, account: Account) -> list[Event]:
    """Return all that happened to an account, oldest first, with the totals after each entry."""
    from bank.ledger.books import Books, moved
    from bank.ledger.entries import Draft

    changes = [
        Event(at, f"{field} changed", None, None, None, None, actor, reason, new)
        for at, field, new, actor, reason in reader.query(
            "SELECT changed_at, field, new, actor, reason FROM account_change"
            " WHERE account_id = :id ORDER BY seq",
            id=account.account_id,
        )
    ]
    entries: list[Event] = []
    books = Books()
    for row in reader.stream(
        "SELECT posted_at, kind, source, target, amount, user_name, actor, reason, reference,"
        " cluster FROM entry WHERE account_id = :id ORDER BY seq",
        id=account.account_id,
    ):
        at, kind, source, target, amount, user, actor, *more = row
        books = moved(books, Draft(account.name, kind, source, target, amount, actor))
        entries.append(Event(at, kind, amount, books.granted, books.used, user, actor, *more))
    # An account is opened before anything is granted to it, at the same instant.
    timed = [*_timed(changes), *_timed(entries)]
    timed.sort(key=itemgetter(0))
    return [event for _, event in timed]


def _timed(events: Sequence[Event]) -> Iterator[tuple[int, Event]]:
    """Yield events with times by which they stay in the order of their numbers.

    Changes could once be older than those before them, where a clock had been set back.
    """
    return zip(accumulate((event.at for event in events), max), events, strict=True)
