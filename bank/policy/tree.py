"""The tree of accounts: how the use of children counts for their parents.

Use is charged to the account itself and counted for every account above it in Slurm's present
tree, once. When a parent starts a new period, what its children had used so far no longer counts
for it, while the children go on; that is what a `settled` amount says.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """An account as one cluster has it.

    Attributes:
        cluster: the cluster.
        account: the account.
        parent: the account above it, None where the bank knows none.
        charged: billing-seconds ever charged to the account itself there.
    """

    cluster: str
    account: str
    parent: str | None
    charged: int


def ancestors(parents: Mapping[str, str | None], account: str) -> Iterator[str]:
    """Yield the accounts above one, the nearest first."""
    above = parents.get(account)
    seen = {account}
    while above is not None and above not in seen:
        yield above
        seen.add(above)
        above = parents.get(above)


def used_by_children(
    places: Iterable[Place], settled: Mapping[tuple[str, str, str], int]
) -> dict[tuple[str, str], int]:
    """Return what all below each account have used that counts for it now, by account and cluster.

    Args:
        places: every account on every cluster.
        settled: by (account, cluster, child), what no longer counts.

    Units:
        Billing-seconds.
    """
    by_cluster: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_cluster[place.cluster].append(place)
    below: dict[tuple[str, str], int] = defaultdict(int)
    for cluster, there in by_cluster.items():
        parents = {place.account: place.parent for place in there}
        for place in there:
            for above in ancestors(parents, place.account):
                below[above, cluster] += place.charged - settled.get(
                    (above, cluster, place.account), 0
                )
    return below
