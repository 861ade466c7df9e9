"""Enforcement: the pass over all accounts that reads, books, decides, and holds or releases.

Driven by what should be and what is: a pass that was killed half way is put right by the next.
"""

from typing import NamedTuple

from bank.errors import (
    BankError,
    Busy,
    NotConfirmed,
    NotPermitted,
    SettingsError,
    SlurmError,
    StoreError,
)
from bank.ledger.amounts import format_su
from bank.ledger.names import is_plain
from bank.operations import holds, periods
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, find_clusters, refuse_unusable
from bank.operations.files import log, newest, only_one
from bank.operations.holds import Held
from bank.operations.looking import should_hold
from bank.operations.metering import Result, both, read_meters, slices
from bank.operations.resets import finish_resets
from bank.policy import tree
from bank.store import accounts, limits, meters, read
from bank.store.accounts import Account
from bank.store.connect import reading, writing
from bank.store.read import Standing


class Pass(NamedTuple):
    """What a pass did and found; every list is of account names, or of sentences in `notes`."""

    cluster: str
    accounts: int
    charged: int
    held_now: list[str]
    released: list[str]
    held: list[str]
    held_by_others: list[str]
    unconfirmed: list[str]
    unknown: list[str]
    gone: list[str]
    running_on_held: dict[str, int]
    notes: list[str]


def enforce(
    bank: Bank, *, only: str | None = None, wait_seconds: float = 0, dry_run: bool = False
) -> list[Pass]:
    """Run one pass over all accounts of all clusters.

    Args:
        bank: see `Bank`.
        only: decide about this account alone; all meters are read all the same, at no cost.
        wait_seconds: how long to wait for another pass to end.
        dry_run: say what would be done; nothing is written and Slurm is not changed.

    Raises:
        Busy: another pass is running.
        SettingsError: Slurm's configuration does not allow metering or holding.
        SlurmError: Slurm did not answer or was not understood; nothing was decided from it.
        NotConfirmed: the controller did not show a change in time; the next pass tries again.
    """
    with only_one(bank, wait_seconds=wait_seconds):
        passes, failures = [], []
        for cluster in find_clusters(bank):
            # What one cluster cannot do must not keep the others from being held.
            try:
                refuse_unusable(bank, cluster)
                passes.append(_enforce_cluster(bank, cluster, only, dry_run=dry_run))
            except BankError as error:
                failures.append(error)
    for failure in failures[1:]:
        bank.warn(str(failure))
    if failures:
        raise failures[0]
    late = sorted({name for done in passes for name in done.unconfirmed})
    if late:
        raise NotConfirmed(
            f"the controller does not show the change for {', '.join(late)}:"
            " the next pass tries again"
        )
    return passes


def enforce_soon(bank: Bank, name: str) -> bool:
    """Bring Slurm up to date for one account after its books changed, as far as Slurm answers.

    What was posted stays posted; where Slurm cannot follow now, a warning says so and the next
    pass does it.

    Returns:
        Whether Slurm has followed.
    """
    try:
        passes = enforce(bank, only=name, wait_seconds=bank.settings.slurm_timeout_seconds)
    except (Busy, NotPermitted, SettingsError, SlurmError, StoreError) as error:
        bank.warn(f"booked; Slurm is not up to date for {name}, the next pass does it: {error}")
        return False
    for note in (note for done in passes for note in done.notes):
        bank.warn(note)
    if all(name in done.gone for done in passes):
        where = ", ".join(done.cluster for done in passes)
        bank.warn(f"Slurm has no account {name} on {where}: there is nothing to hold or release")
        return False
    return True


def _enforce_cluster(bank: Bank, cluster: Cluster, only: str | None, *, dry_run: bool) -> Pass:
    result = read_meters(bank, cluster, dry_run=dry_run)
    if not dry_run:
        result = finish_resets(bank, cluster, result)
    if bank.settings.unknown_accounts == "allocate" and only is None:
        result = _allocate_unknown(bank, cluster, result, dry_run=dry_run)
    with reading(bank.database) as reader:
        standings = read.standings(reader)
        known = accounts.find_all(reader)
        ours = limits.find_limits(reader, cluster.name)
        others = meters.find_held_by_others(reader, cluster.name)
    if dry_run:
        standings = _as_if_booked(standings, result)
    unknown = _unknown_accounts(bank, result)
    strangers = _strangers(result, unknown)
    held = {held.account for held in ours}
    wanted = {
        name: is_to_hold
        for name in result.slurm.accounts
        if (is_to_hold := _is_to_hold(bank, name, standings, known, strangers, held)) is not None
        and only in (None, name)
    }
    done = holds.apply(bank, cluster, result.slurm, wanted, ours, dry_run=dry_run)
    report = _report(cluster, result, done, standings, unknown, only)
    if not dry_run:
        gone = others - set(result.slurm.accounts)
        _write_others(bank, cluster, others, set(done.held_by_others), {*wanted, *gone})
    if (result.charged or done.held_now or done.released) and not dry_run:
        log(
            bank,
            "pass",
            cluster=cluster.name,
            charged_billing_seconds=report.charged,
            held=done.held_now,
            released=done.released,
            unconfirmed=done.unconfirmed,
        )
    return report


def _write_others(
    bank: Bank, cluster: Cluster, before: set[str], now: set[str], looked_at: set[str]
) -> None:
    came, went = now - before, (before & looked_at) - now
    if came or went:
        with writing(bank.database) as writer:
            meters.write_held_by_others(writer, cluster.name, sorted(came), is_held=True)
            meters.write_held_by_others(writer, cluster.name, sorted(went), is_held=False)


def _is_to_hold(
    bank: Bank,
    name: str,
    standings: dict[str, Standing],
    known: dict[str, Account],
    strangers: set[str],
    held: set[str],
) -> bool | None:
    """Tell whether an account ought to be held; None where that is not the bank's to say."""
    standing = standings.get(name)
    if standing is not None:
        return should_hold(standing)
    if name in strangers and bank.settings.unknown_accounts == "hold":
        # A name that could be misread on a command line is reported instead.
        return True if is_plain(name) else None
    # An account that is not open in the bank: one deleted while it was held must not run for
    # nothing; one that was held because it was unknown, and is not any more, is let go.
    if name in known and known[name].hold_reason is not None:
        return True
    return False if name in held else None


def _unknown_accounts(bank: Bank, result: Result) -> set[str]:
    """Return the accounts that Slurm has and that count for nobody in the bank.

    An account without users that only holds banked ones together is not one of them.
    """
    holding = _holding_banked_together(result)
    with_users = {row.account for row in result.slurm.users}
    return {
        name
        for name in result.slurm.accounts
        if name != "root"
        and name.startswith(bank.settings.project_prefix)
        and name not in result.banked
        and (name not in holding or name in with_users)
    }


def _holding_banked_together(result: Result) -> set[str]:
    parents = {name: row.parent for name, row in result.slurm.accounts.items()}
    return {above for name in result.banked for above in tree.ancestors(parents, name)}


def _strangers(result: Result, unknown: set[str]) -> set[str]:
    """Return the unknown accounts that may be held or given SUs: none that is above a banked one.

    Held, it would stop those below it that have SUs; given SUs, it would have to pay for them.
    """
    return unknown - _holding_banked_together(result)


def _allocate_unknown(bank: Bank, cluster: Cluster, result: Result, *, dry_run: bool) -> Result:
    with reading(bank.database) as reader:
        known = accounts.find_all(reader)
    wanted = [
        name
        for name in sorted(_strangers(result, _unknown_accounts(bank, result)))
        if is_plain(name) and _is_new(known, name)
    ]
    given = format_su(bank.settings.default_allocation)
    names: list[str] = []
    for some in slices(wanted):
        with writing(bank.database, dry_run=dry_run) as writer:
            # Somebody may have inserted one since.
            known = accounts.find_many(writer, some)
            new = [name for name in some if _is_new(known, name)]
            for name in new:
                periods.open_account(
                    bank, writer, name, bank.settings.default_allocation, reason="unknown account"
                )
            opened = accounts.find_many(writer, new)
        names += new
        if new and not dry_run:
            log(bank, "allocate", **newest(opened.values()))
    if not names:
        return result
    were = "would be" if dry_run else "were"
    result.notes.append(
        f"{len(names)} unknown accounts {were} given {given} SUs each: {', '.join(names)}"
    )
    return result if dry_run else both(result, read_meters(bank, cluster))


def _is_new(known: dict[str, Account], name: str) -> bool:
    """Tell whether the bank never had an account: one that was deleted is given nothing."""
    return name not in known or not known[name].period_started_on


def _as_if_booked(standings: dict[str, Standing], result: Result) -> dict[str, Standing]:
    """Add to each account what a dry run did not book, for it and for all above it."""
    extra = dict.fromkeys(standings, 0)
    for name, amount in result.charged.items():
        above: str | None = name
        while above is not None:
            if above in extra:
                extra[above] += amount
            above = result.slurm.accounts[above].parent if above in result.slurm.accounts else None
    return {
        name: standing._replace(used=standing.used + extra[name])
        for name, standing in standings.items()
    }


def _report(
    cluster: Cluster,
    result: Result,
    done: Held,
    standings: dict[str, Standing],
    unknown: set[str],
    only: str | None,
) -> Pass:
    in_slurm = result.slurm.accounts
    gone = [name for name in standings if name not in in_slurm and only in (None, name)]
    running = {
        name: in_slurm[name].running_jobs for name in done.held if in_slurm[name].running_jobs
    }
    return Pass(
        cluster=cluster.name,
        accounts=sum(name in in_slurm for name in standings),
        charged=sum(result.charged.values()),
        held_now=done.held_now,
        released=done.released,
        held=done.held,
        held_by_others=done.held_by_others,
        unconfirmed=done.unconfirmed,
        unknown=sorted(unknown) if only is None else [],
        gone=gone,
        running_on_held=running,
        notes=[*result.notes, *done.notes],
    )
