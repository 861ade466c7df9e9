"""Enforcement: the pass over all accounts that reads, books, decides, and holds or releases.

Driven by what should be and what is: a pass that was killed half way is put right by the next.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import NamedTuple

from bank.errors import (
    BankError,
    NotConfirmed,
)
from bank.ledger.names import is_plain, listed
from bank.operations import dates, ending, limits, notices, user_holds
from bank.operations.bank import Bank
from bank.operations.booking import book_use
from bank.operations.clusters import Cluster, Failure, failure, find_clusters, left_behind
from bank.operations.dates import Dates
from bank.operations.files import log, only_one
from bank.operations.grant_dates import Turned, both_turned
from bank.operations.limits import Done
from bank.operations.looking import should_hold
from bank.operations.metering import Result
from bank.operations.rehearsal import as_if_done, overrun
from bank.operations.resets import finish_resets
from bank.operations.strangers import allocate, cannot_be_named, strangers, unknown_accounts
from bank.operations.user_holds import User, Users
from bank.policy.enforcement import Association, native_limit
from bank.slurm import assoc_mgr
from bank.slurm.assoc_mgr import Limited
from bank.store import accounts, meters, read, user_limits
from bank.store.accounts import Account
from bank.store.connect import reading, writing
from bank.store.limits import Limit, find_limits
from bank.store.read import Standing


class Pass(NamedTuple):
    """What a pass did and found on one cluster; every list is of account names.

    Attributes:
        charged: billing-seconds.
        limited: accounts that were given a limit other than 0.
        unconfirmed: also users, as "user in account".
        users: the same of users who have limits of their own.
        notes: sentences for a person.
    """

    cluster: str
    accounts: int
    charged: int
    held_now: list[str]
    released: list[str]
    held: list[str]
    held_by_others: list[str]
    limited: list[str]
    unconfirmed: list[str]
    unknown: list[str]
    gone: list[str]
    running_on_held: dict[str, int]
    users: Users
    notes: list[str]


class Outcome(NamedTuple):
    """What one pass over all clusters did; of those that failed nothing was decided.

    Attributes:
        notes: sentences for a person, of no single cluster.
    """

    passes: list[Pass]
    failures: list[Failure]
    notes: list[str]


class _Books(NamedTuple):
    """What the books say, when everything that could be read has been booked."""

    standings: dict[str, Standing]
    known: dict[str, Account]
    ours: dict[str, list[Limit]]
    held_by_others: dict[str, set[str]]
    users_held_by_others: dict[str, set[User]]


def enforce(
    bank: Bank, *, only: str | None = None, wait_seconds: float = 0, dry_run: bool = False
) -> list[Pass]:
    """Run one pass over all accounts of all clusters; see `run_pass`.

    Raises:
        Busy: another pass is running.
        SettingsError: Slurm's configuration does not allow metering or holding.
        SlurmError: Slurm did not answer or was not understood; nothing was decided from it.
        NotConfirmed: the controller did not show a change in time; the next pass tries again.
    """
    outcome = run_pass(bank, only=only, wait_seconds=wait_seconds, dry_run=dry_run)
    for note in outcome.notes:
        bank.warn(note)
    require_done(bank, outcome)
    return outcome.passes


def require_done(bank: Bank, outcome: Outcome) -> None:
    """Raise where a pass could not do all of its work.

    Raises:
        BankError: what the first cluster that failed could not do; the others are warned of.
        NotConfirmed: the controller did not show a change in time; the next pass tries again.
    """
    for failed in outcome.failures[1:]:
        bank.warn(str(failed.error))
    if outcome.failures:
        raise outcome.failures[0].error
    late = sorted({name for done in outcome.passes for name in done.unconfirmed})
    if late:
        raise NotConfirmed(
            f"the controller does not show the change for {listed(late)}: the next pass tries again"
        )


def run_pass(
    bank: Bank,
    *,
    only: str | None = None,
    wait_seconds: float = 0,
    dry_run: bool = False,
    is_date_asked: bool = False,
) -> Outcome:
    """Run one pass: read and book everything, then decide, then change Slurm.

    Args:
        bank: see `Bank`.
        only: decide about this account alone; all meters are read all the same, at no cost.
        wait_seconds: how long to wait for another pass to end.
        dry_run: say what would be done; nothing is written and Slurm is not changed.
        is_date_asked: look at the ends of periods even where CHECK_DATES is off.

    Raises:
        Busy: another pass is running.
    """
    with only_one(bank, wait_seconds=wait_seconds):
        found = find_clusters(bank)
        left = left_behind(bank, found, dry_run=dry_run) if only is None else []
        failures = list(found.failures)
        first_starts = ending.ask_first_starts(bank, found.reached)
        looks: list[tuple[Cluster, Result]] = []
        for cluster in found.reached:
            # What one cluster cannot do must not keep the others from being held.
            try:
                looks.append((cluster, _look(bank, cluster, dry_run=dry_run)))
            except BankError as error:
                failures.append(failure(bank, cluster.name, error))
        # Whoever an unknown account may count for on a cluster that was not read is not known.
        if bank.settings.unknown_accounts == "allocate" and only is None and not failures:
            looks = allocate(bank, looks, failures, dry_run=dry_run)
        if looks and first_starts is not None and not failures:
            cluster, result = looks[-1]
            at = result.state.asked_at
            over = ending.end_unkept(bank, first_starts, at=at, dry_run=dry_run)
            turned = both_turned(result.turned, over)
            looks[-1] = (cluster, result._replace(turned=turned))
        # Where nothing could be read nothing is decided, not even from the books.
        dated = Dates({}, [], {}, [])
        if looks:
            dated = dates.check_periods(
                bank, only, is_asked=is_date_asked, is_all_read=not failures, dry_run=dry_run
            )
        books = _read_books(bank, [cluster for cluster, _ in looks])
        if dry_run:
            books = books._replace(standings=as_if_done(bank, books.standings, looks, dated))
        passes = []
        for cluster, result in looks:
            try:
                passes.append(_act(bank, cluster, result, books, only, dry_run=dry_run))
            except BankError as error:
                failures.append(failure(bank, cluster.name, error))
        if looks and not dry_run:
            notices.record_thresholds(bank, books.standings, only)
            left += _publish(bank, [result for _, result in looks], is_whole=not failures)
    turned = reduce(both_turned, (result.turned for _, result in looks), Turned([], {}))
    limited = user_holds.find_limited(books.standings)
    notes = [
        *left,
        *turned.notes,
        *dated.notes,
        *overrun(bank, books.standings, looks, failures),
        *user_holds.overrun(bank, limited, looks, failures),
    ]
    return Outcome(_gone_everywhere(passes, failures), failures, notes)


def _publish(bank: Bank, results: list[Result], *, is_whole: bool) -> list[str]:
    """Bring the copies for users up to date; return what could not be done.

    Unless every cluster was asked nobody knows who belongs to what, and they stay as they are.
    """
    if not (bank.settings.published and is_whole):
        return []
    # Loaded here, because a pass is waited for, and many sites publish nothing.
    from bank.operations.publishing import publish

    return publish(bank, results)


def _look(bank: Bank, cluster: Cluster, *, dry_run: bool) -> Result:
    """Read and book all meters of a cluster, and finish the resets that are on record."""
    result = book_use(bank, cluster, dry_run=dry_run)
    if not dry_run:
        result = finish_resets(bank, cluster, result)
    return result


def _read_books(bank: Bank, clusters: list[Cluster]) -> _Books:
    with reading(bank.database) as reader:
        return _Books(
            read.standings(reader),
            accounts.find_all(reader),
            {cluster.name: find_limits(reader, cluster.name) for cluster in clusters},
            {
                cluster.name: meters.find_held_by_others(reader, cluster.name)
                for cluster in clusters
            },
            {
                cluster.name: user_limits.find_held_by_others(reader, cluster.name)
                for cluster in clusters
            },
        )


def _act(
    bank: Bank,
    cluster: Cluster,
    result: Result,
    books: _Books,
    only: str | None,
    *,
    dry_run: bool,
) -> Pass:
    """Decide about the accounts of one cluster, and change Slurm."""
    unknown = unknown_accounts(bank, result.slurm, result.banked)
    mine = books.ours[cluster.name]
    ours = {limit.account for limit in mine if not limit.user}
    to_stop = strangers(result.slurm, result.banked, unknown)
    limited = user_holds.find_limited(books.standings)
    rows = assoc_mgr.rows(result.slurm, user_holds.to_look_at(limited, mine))
    wanted = user_holds.wanted(bank, rows, limited, only)
    for association, row in rows.items():
        name = association.account
        if association.user or only not in (None, name):
            continue
        is_to_hold = _is_to_hold(bank, name, books, to_stop, ours)
        if is_to_hold is not None:
            native = None if is_to_hold else _native(bank, books.standings.get(name), row)
            wanted[association] = limits.Wanted(is_to_hold, native)
    done = limits.apply(bank, cluster, result.slurm, rows, wanted, mine, dry_run=dry_run)
    report = _report(cluster, result, done, rows, books.standings, unknown, only)
    if not dry_run:
        before = books.held_by_others[cluster.name]
        looked_at = {one.account for one in wanted if not one.user}
        looked_at |= before - set(result.slurm.accounts)
        _write_others(bank, cluster, before, set(report.held_by_others), looked_at)
        of_users = books.users_held_by_others[cluster.name]
        user_holds.write_others(bank, cluster, of_users, report.users, rows, wanted)
        _log(bank, result, done, report)
    return report


def _log(bank: Bank, result: Result, done: Done, report: Pass) -> None:
    if result.charged or done.held_now or done.released or done.limited:
        log(
            bank,
            "pass",
            cluster=report.cluster,
            charged_billing_seconds=report.charged,
            held=[str(one) for one in done.held_now],
            released=[str(one) for one in done.released],
            limited=[str(one) for one in done.limited],
            unconfirmed=report.unconfirmed,
        )


def _native(bank: Bank, standing: Standing | None, row: Limited) -> int | None:
    """Return the limit of an account that is not to be held, None for none of the bank's."""
    if bank.settings.enforcement != "limit" or standing is None or standing.payable is None:
        return None
    return native_limit(left=standing.payable, counted_minutes=row.counted_minutes)


def _write_others(
    bank: Bank, cluster: Cluster, before: set[str], now: set[str], looked_at: set[str]
) -> None:
    came, went = now - before, (before & looked_at) - now
    if came or went:
        with writing(bank.database) as writer:
            meters.write_held_by_others(writer, cluster.name, sorted(came), is_held=True)
            meters.write_held_by_others(writer, cluster.name, sorted(went), is_held=False)


def _is_to_hold(
    bank: Bank, name: str, books: _Books, to_stop: set[str], ours: set[str]
) -> bool | None:
    """Tell whether an account ought to be held; None where that is not the bank's to say."""
    standing = books.standings.get(name)
    if standing is not None:
        return should_hold(bank.settings, standing)
    if name in to_stop and bank.settings.unknown_accounts == "hold":
        # A name that could be misread on a command line is reported instead.
        return True if is_plain(name) else None
    # An account that is not open in the bank: one deleted while it was held must not run for
    # nothing; one that was held because it was unknown, and is not any more, is let go.
    if name in books.known and books.known[name].hold_reason is not None:
        return True
    return False if name in ours else None


def _gone_everywhere(passes: list[Pass], failures: list[Failure]) -> list[Pass]:
    """Leave as gone only what no cluster has: an account need not be on every one.

    Where one cluster could not be asked, nobody knows.
    """
    if len(passes) + len(failures) == 1:
        return passes
    gone = set.intersection(*(set(done.gone) for done in passes)) if passes else set()
    if failures:
        gone = set()
    return [done._replace(gone=[name for name in done.gone if name in gone]) for done in passes]


def _report(
    cluster: Cluster,
    result: Result,
    done: Done,
    rows: Mapping[Association, Limited],
    standings: dict[str, Standing],
    unknown: set[str],
    only: str | None,
) -> Pass:
    in_slurm = result.slurm.accounts
    held = _accounts(done.held)
    gone = [name for name in standings if name not in in_slurm and only in (None, name)]
    running = {name: in_slurm[name].running_jobs for name in held if in_slurm[name].running_jobs}
    shown = sorted(unknown) if only is None else []
    return Pass(
        cluster=cluster.name,
        accounts=sum(name in in_slurm for name in standings),
        charged=sum(result.charged.values()),
        held_now=_accounts(done.held_now),
        released=_accounts(done.released),
        held=held,
        held_by_others=_accounts(done.held_by_others),
        limited=_accounts(done.limited),
        unconfirmed=[str(one) for one in done.unconfirmed],
        unknown=shown,
        gone=gone,
        running_on_held=running,
        users=user_holds.report(done, rows),
        notes=[
            *result.notes,
            *done.notes,
            *cannot_be_named(shown),
            *user_holds.cannot_be_named(rows),
        ],
    )


def _accounts(associations: Iterable[Association]) -> list[str]:
    return [one.account for one in associations if not one.user]
