"""What the books say of an account and of all above it, with what Slurm shows of its holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bank.ledger.grants import payments
from bank.operations import looking, places, strangers
from bank.operations.bank import Bank
from bank.operations.days import day_text
from bank.operations.queues import Look
from bank.policy import tree
from bank.policy.enforcement import HELD as VALUE_OF_A_HOLD
from bank.policy.enforcement import HOLD_LIMITS, NATIVE_LIMIT
from bank.policy.reasons_of_books import (
    ASKED,
    FREE,
    HELD,
    OTHERS,
    Account,
    Grant,
    Hold,
    Reading,
    UserLimit,
)
from bank.policy.reasons_of_jobs import Ours
from bank.settings import Settings
from bank.slurm import assoc_mgr
from bank.store import above, accounts, grants, limits, meters, read
from bank.store.connect import Reader, reading
from bank.store.limits import Limit
from bank.store.read import Standing, UserStanding

_MICROSECONDS = 1_000_000


class ExplainedBooks(NamedTuple):
    """What the books say.

    Attributes:
        is_known: whether the bank or a cluster that answered has the account.
        chain: the account, and all above it, the nearest first.
        ours: by cluster, what the bank has set there.
        readings: when each cluster was last read.
    """

    is_known: bool
    chain: list[Account]
    ours: dict[str, Ours]
    readings: list[Reading]


def read_books(bank: Bank, account: str, looks: Sequence[Look]) -> ExplainedBooks:
    """Read what the books say of an account and of all above it.

    Args:
        bank: where the books are.
        account: the account.
        looks: what the clusters said that answered.
    """
    by_cluster = {look.cluster.name: look for look in looks}
    with reading(bank.database) as reader:
        chains = _chains(reader, bank.settings, account, by_cluster)
        names = list(dict.fromkeys([account, *(one for chain in chains.values() for one in chain)]))
        set_by_us = {name: limits.find_account_limits(reader, name) for name in names}
        chain = [
            _account(bank, reader, name, set_by_us[name], _clusters(name, chains), by_cluster)
            for name in names
        ]
        ours = {
            cluster: _ours(cluster, chain_there, set_by_us)
            for cluster, chain_there in chains.items()
        }
        readings = _readings(reader, bank.settings, by_cluster)
    in_slurm = any(account in look.slurm.accounts for look in looks)
    return ExplainedBooks(in_slurm or chain[0].was_open, chain, ours, readings)


def _chains(
    reader: Reader, settings: Settings, account: str, looks: Mapping[str, Look]
) -> dict[str, list[str]]:
    """Return by cluster the account and all above it but root, as Slurm has them now or last had.

    A cluster that answered and has no such account is left out.
    """
    chains = {}
    known = above.find_parents(reader, account)
    for cluster in looks.keys() | set(meters.find_clusters_of(reader, account)):
        if settings.clusters and cluster not in settings.clusters:
            continue
        parents: Mapping[str, str | None] = known.get(cluster, {})
        if cluster in looks:
            parents = looks[cluster].queue.parents
            if account not in parents:
                continue
        chain = [account, *tree.ancestors(parents, account)]
        chains[cluster] = [name for name in chain if name != "root"]
    return dict(sorted(chains.items()))


def _clusters(name: str, chains: Mapping[str, Sequence[str]]) -> list[str]:
    return [cluster for cluster, chain in chains.items() if name in chain]


def _account(
    bank: Bank,
    reader: Reader,
    name: str,
    ours: Sequence[Limit],
    clusters: Sequence[str],
    looks: Mapping[str, Look],
) -> Account:
    row = accounts.find(reader, name)
    standing = read.standing(reader, name)
    by_others = (
        {share.cluster for share in standing.shares if share.is_held_by_others}
        if standing
        else set()
    )
    holds = [
        hold
        for cluster in clusters
        for hold in _holds(name, cluster, ours, looks.get(cluster), by_others)
    ]
    running = [
        looks[cluster].slurm.accounts[name].running_jobs for cluster in clusters if cluster in looks
    ]
    change = None
    if row is not None:
        field = "hold_reason" if row.hold_reason is not None else "is_open"
        change = accounts.find_last_change(reader, row.account_id, field)
    return Account(
        name=name,
        is_open=standing is not None,
        was_open=row is not None and row.period_started_on is not None,
        limit=standing.limit if standing else None,
        used=standing.used if standing else 0,
        counted=looking.counted_as_used(bank.settings, standing) if standing else 0,
        set_aside=standing.set_aside if standing else 0,
        credit=row.credit if row else 0,
        is_to_hold=_is_to_hold(bank, reader, name, looks),
        hold_reason=row.hold_reason if row else None,
        held_by=change.actor if change else "",
        held_at=change.at // _MICROSECONDS if change else 0,
        holds=tuple(holds),
        running_jobs=sum(running) if len(running) == len(clusters) else None,
        grants=tuple(_grants(reader, standing)) if standing else (),
        user_limits=tuple(
            UserLimit(one.limit.user, one.limit.amount, one.limit.used, _is_held(one, looks))
            for one in (standing.users if standing else ())
        ),
    )


def _is_held(standing: UserStanding, looks: Mapping[str, Look]) -> bool:
    """Tell whether the bank's hold of a user is in force, as Slurm shows it, or last did."""
    for hold in standing.holds:
        look = looks.get(hold.cluster)
        if look is None:
            if hold.confirmed_at:
                return True
            continue
        for holder in look.queue.holders:
            is_meant = (holder.name, holder.user) == (hold.account, hold.user)
            use = holder.limits.get(hold.limit)
            if is_meant and use is not None and use.limit == VALUE_OF_A_HOLD:
                return True
    return False


def _is_to_hold(bank: Bank, reader: Reader, name: str, looks: Mapping[str, Look]) -> bool:
    """Tell whether an account ought to be held, as a pass decides it."""
    standing = read.standing(reader, name)
    if standing is not None:
        return looking.should_hold(bank.settings, standing)
    row = accounts.find(reader, name)
    if row is not None and row.hold_reason is not None:
        # Deleted while it was held.
        return True
    if bank.settings.unknown_accounts != "hold":
        return False
    known = accounts.find_all(reader)
    for look in looks.values():
        banked = places.banked_accounts(known, look.slurm)
        unknown = strangers.unknown_accounts(bank, look.slurm, banked)
        if name in strangers.strangers(look.slurm, banked, unknown):
            return True
    return False


def _holds(
    name: str, cluster: str, ours: Sequence[Limit], look: Look | None, by_others: set[str]
) -> Iterator[Hold]:
    """Yield how an account is held on one cluster: as Slurm shows it, or as it last did."""
    mine = [limit for limit in ours if limit.cluster == cluster and not limit.user]
    records = {limit.limit for limit in mine if limit.is_hold}
    if look is None:
        if cluster in by_others:
            yield Hold(cluster, OTHERS)
        confirmed = {limit.limit for limit in mine if limit.is_hold and limit.confirmed_at}
        if confirmed:
            yield Hold(cluster, HELD, tuple(sorted(confirmed)))
        elif records:
            yield Hold(cluster, ASKED, tuple(sorted(records)))
        elif cluster not in by_others:
            yield Hold(cluster, FREE)
        return
    row = look.slurm.accounts[name]
    stops = {
        limit
        for limit in (NATIVE_LIMIT, *HOLD_LIMITS)
        if assoc_mgr.limit(row, limit) == VALUE_OF_A_HOLD
    }
    of_others = stops - {limit.limit for limit in mine}
    if of_others:
        yield Hold(cluster, OTHERS, tuple(sorted(of_others)))
    if stops & records:
        yield Hold(cluster, HELD, tuple(sorted(stops & records)))
    elif records:
        yield Hold(cluster, ASKED, tuple(sorted(records)))
    elif not of_others:
        yield Hold(cluster, FREE)


def _ours(cluster: str, chain: Sequence[str], set_by_us: Mapping[str, Sequence[Limit]]) -> Ours:
    mine = [one for name in chain for one in set_by_us[name] if one.cluster == cluster]
    holds = {(one.account, one.user, one.limit) for one in mine if one.is_hold}
    native = {(one.account, one.user) for one in mine if one.limit == NATIVE_LIMIT}
    return Ours(frozenset(holds), frozenset(native))


def _grants(reader: Reader, standing: Standing) -> Iterator[Grant]:
    living = grants.find_living(reader, standing.account.account_id)
    paid = payments(grants.paying(living), max(standing.used, 0))
    for row in living:
        yield Grant(
            state=row.state,
            amount=row.promised if row.state == grants.PROMISED else row.granted,
            unused=max(row.granted - paid.get(row.grant_id, 0), 0),
            carry_percent=row.carry_percent,
            starts_on=day_text(row.start_at),
            ends_on=day_text(row.end_at),
            ends_at=None if row.end_at is None else row.end_at // _MICROSECONDS,
        )


def _readings(reader: Reader, settings: Settings, looks: Mapping[str, Look]) -> list[Reading]:
    found = []
    names = settings.clusters or sorted(meters.find_cluster_names(reader) | set(looks))
    for name in names:
        state = meters.find_cluster(reader, name)
        found.append(Reading(name, state.answered_at // _MICROSECONDS if state else None))
    return found
