"""Accounts that Slurm has and that count for nobody in the bank."""

from collections.abc import Iterable

from bank.errors import BankError
from bank.ledger.amounts import format_su
from bank.ledger.names import is_plain, listed
from bank.operations import periods
from bank.operations.bank import Bank
from bank.operations.booking import book_use
from bank.operations.clusters import Cluster, Failure, failure
from bank.operations.files import log, newest
from bank.operations.metering import Result, both
from bank.operations.periods import Opening
from bank.operations.slices import slices
from bank.policy import tree
from bank.slurm.assoc_mgr import Associations
from bank.store import accounts
from bank.store.accounts import Account
from bank.store.connect import reading, writing


def unknown_accounts(bank: Bank, slurm: Associations, banked: set[str]) -> set[str]:
    """Return the accounts that Slurm has and that count for nobody in the bank.

    An account without users that only holds banked ones together is not one of them.

    Args:
        bank: settings.
        slurm: what the controller said.
        banked: see `places.banked_accounts`.
    """
    holding = _holding_banked_together(slurm, banked)
    with_users = {row.account for row in slurm.users}
    return {
        name
        for name in slurm.accounts
        if name != "root"
        and name.startswith(bank.settings.project_prefix)
        and name not in banked
        and (name not in holding or name in with_users)
    }


def _holding_banked_together(slurm: Associations, banked: set[str]) -> set[str]:
    parents = {name: row.parent for name, row in slurm.accounts.items()}
    return {above for name in banked for above in tree.ancestors(parents, name)}


def strangers(slurm: Associations, banked: set[str], unknown: set[str]) -> set[str]:
    """Return the unknown accounts that may be held or given SUs: none that is above a banked one.

    Held, it would stop those below it that have SUs; given SUs, it would have to pay for them.
    """
    return unknown - _holding_banked_together(slurm, banked)


def cannot_be_named(unknown: Iterable[str]) -> list[str]:
    """Say which unknown accounts can neither be inserted nor held, because of their names."""
    names = [repr(name) for name in sorted(unknown) if not is_plain(name)]
    said = (
        f"nothing limits {listed(names)}: the bank takes letters, digits and _ . @ + - in a name,"
        " not first . @ + -: rename them in Slurm"
    )
    return [said] if names else []


def _allocate_unknown(
    bank: Bank, result: Result, paid_for: set[str], *, dry_run: bool
) -> list[str]:
    """Give DEFAULT_ALLOCATION to each account that the bank never had.

    Args:
        bank: see `Bank`.
        result: what one cluster has.
        paid_for: accounts that count for somebody, there or on another cluster.
        dry_run: do all of it and take it back.

    Returns:
        The accounts that were given something.
    """
    with reading(bank.database) as reader:
        known = accounts.find_all(reader)
    unknown = unknown_accounts(bank, result.slurm, result.banked)
    wanted = [
        name
        for name in sorted(strangers(result.slurm, result.banked, unknown))
        if is_plain(name) and name not in paid_for and _is_new(known, name)
    ]
    given = format_su(bank.settings.default_allocation)
    names: list[str] = []
    for some in slices(wanted):
        with writing(bank.database, dry_run=dry_run) as writer:
            # Somebody may have inserted one since.
            known = accounts.find_many(writer, some)
            new = [name for name in some if _is_new(known, name)]
            amount = bank.settings.default_allocation
            openings = [Opening(name, amount, "unknown account") for name in new]
            periods.open_accounts(bank, writer, openings)
            opened = accounts.find_many(writer, new)
        names += new
        if new and not dry_run:
            log(bank, "allocate", **newest(opened.values()))
    if names:
        were = "would be" if dry_run else "were"
        result.notes.append(f"unknown accounts that {were} given {given} SUs each: {listed(names)}")
    return names


def _is_new(known: dict[str, Account], name: str) -> bool:
    """Tell whether the bank never had an account: one that was deleted is given nothing."""
    return name not in known or not known[name].period_started_on


def allocate(
    bank: Bank,
    looks: list[tuple[Cluster, Result]],
    failures: list[Failure],
    *,
    dry_run: bool,
) -> list[tuple[Cluster, Result]]:
    """Give SUs to the accounts that count for nobody on any cluster, and read again."""
    paid_for = {name for _, result in looks for name in result.banked}
    given = [_allocate_unknown(bank, result, paid_for, dry_run=dry_run) for _, result in looks]
    if dry_run or not any(given):
        return looks
    again = []
    for cluster, result in looks:
        try:
            again.append((cluster, both(result, book_use(bank, cluster))))
        except BankError as error:
            failures.append(failure(bank, cluster.name, error))
    return again
