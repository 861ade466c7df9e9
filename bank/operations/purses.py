"""What accounts can pay with, while many jobs are decided about in one transaction."""

from collections import Counter
from collections.abc import Sequence

from bank.errors import Refusal
from bank.policy import liens as policy
from bank.policy import tree
from bank.policy.liens import Means
from bank.store import above, liens
from bank.store.connect import Reader
from bank.store.liens import Lien
from bank.store.means import find_means, find_means_of_users


class Purses:
    """What accounts can pay with during one transaction, less what it has set aside so far."""

    def __init__(self, reader: Reader, names: Sequence[str]) -> None:
        """Ask for the accounts that jobs are of, and for all above them, in one go."""
        self._reader = reader
        self._parents = above.find_parents_of_all(reader, names)
        parents = (one for there in self._parents.values() for one in there.values())
        everybody = sorted({*names, *parents})
        self._known = find_means(reader, everybody)
        of_users = find_means_of_users(reader, everybody)
        self._of_users = {(means.account, means.user): means for means in of_users}
        self._chains: dict[tuple[str, str], list[str]] = {}
        # Liens of this transaction that are not written yet, by account and user; "" is all users.
        self._new = Counter[tuple[str, str]]()

    def chain(self, cluster: str, account: str) -> list[str]:
        """Return the account and all above it on a cluster, the nearest first."""
        key = (cluster, account)
        if key not in self._chains:
            self._chains[key] = [account, *tree.ancestors(self._parents.get(cluster, {}), account)]
        return self._chains[key]

    def own(self, account: str) -> Means | None:
        """Return what one account has; None where it is not open in the bank."""
        return self._known.get(account)

    def payers(self, cluster: str, account: str, user: str) -> list[Means]:
        """Return all that have to pay for a job: the account, its user's limit, those above."""
        found = [self.own(name) for name in self.chain(cluster, account)]
        of_user = self._of_users.get((account, user))
        return [means for means in (found[0], of_user, *found[1:]) if means is not None]

    def add(self, lien: Lien) -> None:
        """Count a lien that is placed."""
        self.keep(lien.cluster, lien.account, lien.user, lien.amount)
        self._new.update((name, "") for name in self.chain(lien.cluster, lien.account))
        self._new[lien.account, lien.user] += 1

    def keep(self, cluster: str, account: str, user: str, amount: int) -> None:
        """Count that so much more, or below 0 less, is set aside."""
        for name in self.chain(cluster, account):
            means = self.own(name)
            if means is not None:
                self._known[name] = means._replace(set_aside=means.set_aside + amount)
        of_user = self._of_users.get((account, user))
        if of_user is not None:
            more = of_user._replace(set_aside=of_user.set_aside + amount)
            self._of_users[account, user] = more

    def refusal(self, cluster: str, account: str, user: str, cost: int) -> Refusal | None:
        """Return why a job cannot be paid for; None where it can."""
        means = policy.first_without(self.payers(cluster, account, user), cost)
        if means is None:
            return None
        jobs = liens.count_open(self._reader, means.account, means.user or None)
        jobs += self._new[means.account, means.user]
        text = policy.refusal_text(cost, means, asked=account, jobs=jobs)
        return Refusal("insufficient_funds", text)


def payable_together(reader: Reader, jobs: Sequence[tuple[str, str, str, int]]) -> list[bool]:
    """Tell which jobs can be paid for, each with what those before it leave.

    Args:
        reader: the database.
        jobs: cluster, account, user and billing-seconds of each.
    """
    purses = Purses(reader, [account for _, account, _, _ in jobs])
    found = []
    for cluster, account, user, cost in jobs:
        can_pay = policy.first_without(purses.payers(cluster, account, user), cost) is None
        if can_pay:
            purses.keep(cluster, account, user, cost)
        found.append(can_pay)
    return found
