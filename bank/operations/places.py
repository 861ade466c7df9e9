"""Where accounts stand: which ones the bank looks after, and what of that has changed in Slurm."""

from bank.ledger.amounts import BILLING_SECONDS_PER_MINUTE
from bank.slurm.assoc_mgr import Associations
from bank.store.accounts import Account
from bank.store.meters import Place


def metered_accounts(known: dict[str, Account], slurm: Associations) -> set[str]:
    """Return the accounts whose meters are read: all that the bank ever had, and all below them.

    One that was deleted from the bank goes on being read, so that what it uses meanwhile is known
    when it is opened again.
    """
    return with_all_below(slurm, set(known))


def banked_accounts(known: dict[str, Account], slurm: Associations) -> set[str]:
    """Return the accounts whose use counts for an open account: those, and all below them."""
    return with_all_below(slurm, {name for name, account in known.items() if account.is_open})


def with_all_below(slurm: Associations, names: set[str]) -> set[str]:
    """Return those of the names that Slurm has, and all accounts below them."""
    found: set[str] = set()
    # The tree is listed from the top, so a parent comes before its children.
    for name, row in slurm.accounts.items():
        if row.parent in found or name in names:
            found.add(name)
    return found


def changed_places(
    known: dict[str, Place], slurm: Associations, covered: set[str], *, is_by_jobs: bool = False
) -> tuple[dict[str, Place], dict[str, int]]:
    """Return the places that are new or changed, and by how much orphaned use did.

    Args:
        known: the places on record.
        slurm: what the cluster says.
        covered: the accounts that are looked after.
        is_by_jobs: whether jobs charge the cluster: then liens alone set aside what runs.
    """
    orphaned = _orphaned(slurm, covered)
    changed: dict[str, Place] = {}
    moved: dict[str, int] = {}
    for name in slurm.accounts:
        if name not in covered:
            continue
        row, before = slurm.accounts[name], known.get(name)
        rest, inexact = orphaned[name]
        if before and abs(rest - before.orphaned) <= inexact:
            rest = before.orphaned
        parent = row.parent if row.parent in covered else None
        running = row.running_minutes * BILLING_SECONDS_PER_MINUTE
        if is_by_jobs:
            running = before.running if before else 0
        place = Place(name, parent, 0, 0, running, rest)
        if before is None:
            changed[name] = place
            continue
        if rest != before.orphaned:
            moved[name] = rest - before.orphaned
        if place != before._replace(charged=0, closed=0):
            changed[name] = place
    for name, before in known.items():
        # One that is gone stays where it was, because its use does; nothing of it runs.
        if name not in slurm.accounts and before.running and not is_by_jobs:
            changed[name] = before._replace(running=0, charged=0, closed=0)
    return changed, moved


def _orphaned(slurm: Associations, covered: set[str]) -> dict[str, tuple[int, int]]:
    """Return what each account's sum holds beyond its users and child accounts.

    That is the use of associations that are gone. Where it changes, something went that may not
    have been read.

    Returns:
        By account: billing-seconds, and by how many they may be wrong: every figure is cut off to
        a whole number.
    """
    rest = {name: slurm.accounts[name].raw for name in covered}
    parts = dict.fromkeys(covered, 0)
    below = [(row.account, row.raw) for row in slurm.users]
    below += [(row.parent, row.raw) for row in slurm.accounts.values() if row.parent is not None]
    for above, raw in below:
        if above in covered:
            rest[above] -= raw
            parts[above] += 1
    return {
        name: (amount if amount > parts[name] else 0, parts[name]) for name, amount in rest.items()
    }


def forgotten_before(known: dict[str, Place], places: dict[str, Place]) -> dict[str, int]:
    """Return what accounts seen for the first time had used by associations that are gone."""
    return {
        name: place.orphaned
        for name, place in places.items()
        if name not in known and place.orphaned > 0
    }
