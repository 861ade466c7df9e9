"""Shares: a sub-allocation is not larger than that of the account above it, unless said so."""

from collections.abc import Collection, Iterable

from bank.errors import Refusal, SlurmError
from bank.ledger.amounts import format_su
from bank.operations.bank import Bank
from bank.operations.clusters import failure, find_clusters
from bank.operations.commands import Command
from bank.operations.days import day_text
from bank.operations.metering import observe
from bank.policy import tree
from bank.policy.shares import Allocation, Gift, first_excess, first_rise
from bank.store import accounts, grants, read
from bank.store.above import find_parents
from bank.store.accounts import Account
from bank.store.connect import Reader


def placed_in_slurm(bank: Bank, command: Command) -> Command:
    """Return a command with what is above its account in Slurm, which the bank need not know yet.

    Raises:
        Refusal: no cluster has the account.
        SlurmError: a cluster did not answer, and no other one has it.
    """
    above = above_in_slurm(bank, [command.account])
    if not above:
        raise Refusal(
            "no_such_account",
            f"Slurm has no account {command.account}: make it with"
            f" 'sacctmgr add account {command.account}', then insert it here",
        )
    return command._replace(above=above[command.account])


def above_in_slurm(bank: Bank, names: Collection[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return what is above accounts in Slurm, the nearest first, on each cluster that has them.

    Those that no cluster has are left out; to be on one is enough.

    Raises:
        SlurmError: a cluster did not answer, and no other one has them: unknown is not "none".
    """
    above: dict[str, tuple[tuple[str, ...], ...]] = {}
    if not names:
        return above
    found = find_clusters(bank)
    failures = list(found.failures)
    for cluster in found.reached:
        try:
            rows = observe(bank, cluster).slurm.accounts
        except SlurmError as error:
            failures.append(failure(bank, cluster.name, error))
            continue
        parents = {name: row.parent for name, row in rows.items()}
        for name in names:
            if name in rows:
                chain = tuple(tree.ancestors(parents, name))
                above[name] = (*above.get(name, ()), chain)
    if failures and not above.keys() >= set(names):
        raise failures[0].error
    return above


def _above_on_record(reader: Reader, name: str) -> tuple[tuple[str, ...], ...]:
    """Return what was above an account when each cluster was last read, the nearest first."""
    parents = find_parents(reader, name)
    return tuple(tuple(tree.ancestors(parents[cluster], name)) for cluster in sorted(parents))


def refuse_larger(bank: Bank, reader: Reader, command: Command, name: str) -> None:
    """Refuse to give an account more than the one above it has, unless --force was said.

    Args:
        bank: its clock.
        reader: the transaction that has given it.
        command: what was asked for.
        name: the account.

    Raises:
        Refusal: it has more, with what both have, now or when a grant starts.
    """
    account = accounts.find(reader, name)
    assert account is not None
    if command.force or not account.is_open:
        return
    chains = command.above
    if chains is None:
        chains = _above_on_record(reader, name)
    mine = _allocation(reader, account)
    for chain in chains:
        parent = _nearest_open(reader, chain)
        if parent is None:
            continue
        theirs = _allocation(reader, parent)
        at = first_excess(mine, theirs, now=bank.clock())
        if at is not None:
            raise Refusal(
                "larger_than_parent",
                f"{name} would have {_su(mine.at(at))} SUs{_when(bank, at)}, and {parent.name}"
                f" above it in Slurm's tree has {_has(bank, theirs, at)}: give {parent.name} more"
                " first, or say --force to mean it",
            )


def refuse_smaller(bank: Bank, reader: Reader, command: Command, name: str) -> None:
    """Refuse to leave an account less than one below it has, unless --force was said.

    Raises:
        Refusal: it has less, with what both have, now or when a grant starts.
    """
    account = accounts.find(reader, name)
    assert account is not None
    if command.force or account.is_unlimited:
        return
    theirs = _allocation(reader, account)
    below = {child for _, child, _ in read.used_below_by_child(reader, account.account_id)}
    for child in accounts.find_many(reader, sorted(below)).values():
        mine = _allocation(reader, child)
        at = first_excess(mine, theirs, now=bank.clock()) if child.is_open else None
        if at is not None:
            raise Refusal(
                "smaller_than_child",
                f"{name} would have {_su(theirs.at(at))} SUs{_when(bank, at)}, and {child.name}"
                f" below it in Slurm's tree has {_su(mine.at(at))}: take some of that back first,"
                " or say --force to mean it",
            )


def _nearest_open(reader: Reader, chain: Iterable[str]) -> Account | None:
    names = list(chain)
    found = accounts.find_many(reader, names)
    return next((found[name] for name in names if name in found and found[name].is_open), None)


def _allocation(reader: Reader, account: Account) -> Allocation:
    """Return what an account has been given, with what is promised."""
    if account.is_unlimited:
        return Allocation(None)
    dated = [one for one in grants.find_living(reader, account.account_id) if one.is_dated]
    undated = account.books.granted - sum(one.granted for one in dated)
    gifts = [
        Gift(one.start_at, one.end_at, one.granted + one.promised)
        for one in dated
        if one.end_at is not None
    ]
    return Allocation(undated, gifts)


def _when(bank: Bank, at: int) -> str:
    return f" from {day_text(at)} on" if at > bank.clock() else ""


def _has(bank: Bank, theirs: Allocation, at: int) -> str:
    """Say what an account has at a time, and from when on it has more."""
    now, later = theirs.at(at), first_rise(theirs, at)
    if later is None:
        return _su(now)
    when = "" if at > bank.clock() else " now"
    return f"{_su(now)}{when}, and {_su(theirs.at(later))} from {day_text(later)} on"


def _su(amount: int | None) -> str:
    return "unlimited" if amount is None else format_su(amount)
