"""What many accounts can pay with, asked at once: a batch of liens is decided about in one go."""

from collections.abc import Iterator, Sequence

from bank.policy.liens import Means
from bank.store import accounts, liens, user_limits
from bank.store.connect import Reader

_SET_ASIDE = "SELECT account_id, sum(running) FROM place WHERE account_id IN ({values}) GROUP BY 1"
_USED_BELOW = """
    WITH RECURSIVE below (top, cluster, account_id) AS (
        SELECT parent_id, cluster, account_id FROM place WHERE parent_id IN ({values})
        UNION
        SELECT below.top, place.cluster, place.account_id FROM place
        JOIN below ON place.cluster = below.cluster AND place.parent_id = below.account_id
    )
    SELECT below.top, sum(place.charged - coalesce(settled.joined + settled.closed, 0)) FROM below
    JOIN place ON place.cluster = below.cluster AND place.account_id = below.account_id
    LEFT JOIN settled ON settled.account_id = below.top AND settled.cluster = below.cluster
        AND settled.child_id = below.account_id
    GROUP BY 1
"""


def find_means(reader: Reader, names: Sequence[str]) -> dict[str, Means]:
    """Return what those of the named accounts have that are open in the bank: as they stand."""
    found = [one for one in accounts.find_many(reader, names).values() if one.is_open]
    ids = [one.account_id for one in found]
    set_aside = dict(reader.query_among(_SET_ASIDE, ids))
    below = dict(reader.query_among(_USED_BELOW, ids))
    return {
        one.name: Means(
            one.name,
            None if one.is_unlimited else one.books.granted,
            one.books.used + below.get(one.account_id, 0),
            set_aside.get(one.account_id, 0),
            one.credit,
        )
        for one in found
    }


def find_means_of_users(reader: Reader, names: Sequence[str]) -> Iterator[Means]:
    """Yield what users have who have limits in the named accounts."""
    for one in user_limits.find_of_accounts(reader, names):
        kept = liens.set_aside_for_user(reader, one.account, one.user)
        yield Means(one.account, one.amount, one.used, kept, user=one.user)
