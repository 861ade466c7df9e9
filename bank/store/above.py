"""Which accounts stand above others, and which are held: what holds a parent stops all below."""

from collections.abc import Iterable, Sequence

from bank.policy.enforcement import NATIVE_LIMIT
from bank.store.connect import Reader

# By cluster, the parent of each account that has one there.
Parents = dict[str, dict[str, str]]
# By cluster, the accounts that are held there.
Held = dict[str, set[str]]

_ABOVE_SOME = """
    WITH RECURSIVE chain (cluster, account_id) AS (
        SELECT cluster, place.account_id FROM place
        JOIN account ON account.account_id = place.account_id WHERE account.name IN ({values})
        UNION
        SELECT place.cluster, place.parent_id FROM place
        JOIN chain ON place.cluster = chain.cluster AND place.account_id = chain.account_id
        WHERE place.parent_id IS NOT NULL
    )
    SELECT place.cluster, account.name, parent.name FROM chain
    JOIN place ON place.cluster = chain.cluster AND place.account_id = chain.account_id
    JOIN account ON account.account_id = place.account_id
    JOIN account AS parent ON parent.account_id = place.parent_id
"""
_ABOVE_ALL = """
    SELECT place.cluster, account.name, parent.name FROM place
    JOIN account ON account.account_id = place.account_id
    JOIN account AS parent ON parent.account_id = place.parent_id
"""


def find_parents(reader: Reader, name: str) -> Parents:
    """Return the parents of one account and of all above it, as Slurm last had them."""
    return find_parents_of_all(reader, [name])


def find_parents_of_all(reader: Reader, names: Sequence[str]) -> Parents:
    """Return the parents of some accounts and of all above them."""
    return _by_cluster(reader.query_among(_ABOVE_SOME, names))


def find_all_parents(reader: Reader) -> Parents:
    """Return the parent of every account, as Slurm last had it."""
    return _by_cluster(reader.query(_ABOVE_ALL))


def _by_cluster(rows: Iterable[tuple[str, str, str]]) -> Parents:
    found: Parents = {}
    for cluster, name, parent in rows:
        found.setdefault(cluster, {})[name] = parent
    return found


_HELD = """
    SELECT cluster, account FROM slurm_limit
    WHERE user_name = '' AND confirmed_at IS NOT NULL AND limit_name <> :native {of_limit}
    UNION SELECT cluster, account.name FROM place
    JOIN account ON account.account_id = place.account_id WHERE held_by_others {of_place}
"""


def find_held(reader: Reader) -> Held:
    """Return by cluster the accounts on which a hold is in force, as far as the bank knows.

    Also those that are not open in the bank: what is below them does not ask who they are.
    """
    rows = reader.query(_HELD.format(of_limit="", of_place=""), native=NATIVE_LIMIT)
    return _names_by_cluster(rows)


def find_held_among(reader: Reader, parents: Parents) -> Held:
    """Return the same of some parents only: few of them are asked for sooner than all read."""
    sql = _HELD.format(
        of_limit="AND cluster = :cluster AND account = :name",
        of_place="AND cluster = :cluster AND account.name = :name",
    )
    rows: list[tuple[str, str]] = []
    for cluster, there in parents.items():
        for name in set(there.values()):
            rows += reader.query(sql, native=NATIVE_LIMIT, cluster=cluster, name=name)
    return _names_by_cluster(rows)


def _names_by_cluster(rows: Iterable[tuple[str, ...]]) -> Held:
    found: Held = {}
    for cluster, name in rows:
        found.setdefault(cluster, set()).add(name)
    return found
