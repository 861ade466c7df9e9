"""Users with limits within accounts: what a pass wants of their associations, and says of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bank.ledger.amounts import format_su
from bank.ledger.names import is_plain_user
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, Failure
from bank.operations.limits import Done, Wanted
from bank.operations.looking import should_hold_user
from bank.operations.metering import Result
from bank.policy.enforcement import Association, native_limit
from bank.slurm.assoc_mgr import Limited
from bank.store import user_limits
from bank.store.connect import writing
from bank.store.limits import Limit
from bank.store.read import Standing, UserStanding

# Of an account, and of whom in it.
User = tuple[str, str]


class Users(NamedTuple):
    """What a pass did and found for users on one cluster; each once, in whatever partitions.

    Attributes:
        limited: those who were given a limit other than 0.
        running_on_held: how many jobs of users who are held go on, by "user in account".
    """

    held_now: list[User]
    released: list[User]
    held: list[User]
    held_by_others: list[User]
    limited: list[User]
    running_on_held: dict[str, int]

    @property
    def is_news(self) -> bool:
        """Whether anything was changed in Slurm."""
        return bool(self.held_now or self.released or self.limited)


def find_limited(standings: Mapping[str, Standing]) -> dict[User, UserStanding]:
    """Return where the users stand who have a limit."""
    return {
        (account, user.limit.user): user
        for account, standing in standings.items()
        for user in standing.users
    }


def to_look_at(limited: Collection[User], ours: Sequence[Limit]) -> set[User]:
    """Return the users whose limits in Slurm matter: those with a limit, and those on record."""
    return {*limited, *((limit.account, limit.user) for limit in ours if limit.user)}


def wanted(
    bank: Bank,
    rows: Mapping[Association, Limited],
    limited: Mapping[User, UserStanding],
    only: str | None,
) -> dict[Association, Wanted]:
    """Return what the bank wants of the associations of users.

    Args:
        bank: settings.
        rows: what has limits, as the controller has them.
        limited: where the users stand who have a limit.
        only: look at this account alone.
    """
    return {
        one: _wanted(bank, row, limited.get((one.account, one.user)))
        for one, row in rows.items()
        if one.user and only in (None, one.account) and _can_be_named(one)
    }


def _wanted(bank: Bank, row: Limited, standing: UserStanding | None) -> Wanted:
    if standing is None:
        # The limit was taken away.
        return Wanted(is_held=False)
    if should_hold_user(standing):
        return Wanted(is_held=True)
    if bank.settings.enforcement != "limit":
        return Wanted(is_held=False)
    # Each association is compared with what it has counted itself.
    left, counted_minutes = standing.limit.left, row.counted_minutes
    native = native_limit(left=left, counted_minutes=counted_minutes)
    return Wanted(is_held=False, native_minutes=native)


def _can_be_named(association: Association) -> bool:
    """Tell whether its partition has a name that cannot be misread on a command line."""
    return not association.partition or is_plain_user(association.partition)


def cannot_be_named(rows: Iterable[Association]) -> Iterator[str]:
    """Say which associations of users with limits the bank cannot hold."""
    for one in rows:
        if not _can_be_named(one):
            yield (
                f"user {one.user} in {one.account} has an association for the partition"
                f" {one.partition!r}, which the bank cannot name to Slurm: it is not limited"
            )


def report(done: Done, rows: Mapping[Association, Limited]) -> Users:
    """Return what was done and found for users."""
    running: dict[str, int] = {}
    for association in done.held:
        jobs = rows[association].running_jobs if association.user else 0
        if jobs:
            name = str(association._replace(partition=""))
            running[name] = running.get(name, 0) + jobs
    return Users(
        held_now=_users(done.held_now),
        released=_users(done.released),
        held=_users(done.held),
        held_by_others=_users(done.held_by_others),
        limited=_users(done.limited),
        running_on_held=running,
    )


def _users(associations: Iterable[Association]) -> list[User]:
    return sorted({(one.account, one.user) for one in associations if one.user})


def write_others(
    bank: Bank,
    cluster: Cluster,
    before: set[User],
    found: Users,
    rows: Collection[Association],
    looked_at: Collection[Association],
) -> None:
    """Write down which users somebody else stops, where that has changed.

    Args:
        bank: the database.
        cluster: where.
        before: who was so at the last look.
        found: what this look found.
        rows: what has limits there.
        looked_at: those of them that were decided about.
    """
    present = {(one.account, one.user) for one in rows}
    decided = {(one.account, one.user) for one in looked_at}
    now = set(found.held_by_others)
    came = now - before
    went = {one for one in before - now if one in decided or one not in present}
    if came or went:
        with writing(bank.database) as writer:
            write = user_limits.write_held_by_others
            write(writer, cluster.name, sorted(came), is_held=True)
            write(writer, cluster.name, sorted(went), is_held=False)


def charged(results: Iterable[Result]) -> dict[User, int]:
    """Return the billing-seconds that several looks charge for each user."""
    total: dict[User, int] = {}
    for result in results:
        for whose, amount in result.by_user.items():
            total[whose] = total.get(whose, 0) + amount
    return total


def as_if_booked(standing: Standing, amounts: Mapping[User, int], *, is_renewed: bool) -> Standing:
    """Return where an account's users would stand if a dry run had written what it found.

    Args:
        standing: the account's.
        amounts: what it would charge, in billing-seconds.
        is_renewed: whether it would start a new period.
    """
    if not standing.users:
        return standing
    users = []
    for user in standing.users:
        limit = user.limit
        total = limit.charged + amounts.get((limit.account, limit.user), 0)
        limit = limit._replace(charged=total, closed=total if is_renewed else limit.closed)
        users.append(user._replace(limit=limit))
    return standing._replace(users=tuple(users))


def overrun(
    bank: Bank,
    limited: Mapping[User, UserStanding],
    looks: Sequence[tuple[Cluster, Result]],
    failures: Sequence[Failure],
) -> Iterator[str]:
    """Say how much more than what is left users with several associations may use until then.

    Slurm compares each of them with its own use alone; a cluster that was not reached may have one.
    """
    if bank.settings.enforcement != "limit" or not limited:
        return
    associations = dict.fromkeys(limited, len(failures))
    for _, result in looks:
        for row in result.slurm.users:
            if (row.account, row.user) in associations:
                associations[row.account, row.user] += 1
    several = {
        whose: max(limited[whose].limit.left, 0) * (count - 1)
        for whose, count in associations.items()
        if count > 1
    }
    amount = sum(several.values())
    if amount:
        yield (
            f"up to {format_su(amount)} SUs may be overrun before the next pass:"
            f" {sum(map(bool, several.values()))} of the users with limits have associations in"
            " several partitions or on several clusters, and each lets all that is left be used"
        )
