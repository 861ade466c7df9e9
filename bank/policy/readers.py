"""Who may see what: members their accounts and their own use, coordinators all of an account."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bank.policy.tree import ancestors


class Views(NamedTuple):
    """The accounts that one user may see.

    Attributes:
        whole: those of which the user sees everybody's use, by name.
        own: those of which the user sees the totals, and no other user's name.
    """

    whole: frozenset[str]
    own: frozenset[str]


def views(
    members: Iterable[tuple[str, str]],
    coordinators: Mapping[str, Iterable[str]],
    parents: Iterable[Mapping[str, str | None]],
) -> dict[str, Views]:
    """Return what each user may see.

    Args:
        members: (account, user) of each association.
        coordinators: by account; who coordinates one coordinates all below it. Slurm says so of
            each, but the sums of a copy rest on it.
        parents: of each cluster, the account above each account.

    Source:
        sacctmgr(1), coordinator: of an account and its sub-accounts.
    """
    own: dict[str, set[str]] = defaultdict(set)
    for account, user in members:
        own[user].add(account)
    whole: dict[str, set[str]] = defaultdict(set)
    for account, users in coordinators.items():
        for user in users:
            whole[user].add(account)
    for tree in parents:
        for account in tree:
            for above in ancestors(tree, account):
                for user in coordinators.get(above, ()):
                    whole[user].add(account)
    return {
        user: Views(frozenset(whole[user]), frozenset(own[user] - whole[user]))
        for user in {*own, *whole}
    }
