"""Reconciliation: every run that slurmdbd knows is charged once, and exactly.

A look goes back to where the last one knew that slurmdbd had been told everything, and a little
further. Killed anywhere, the next one charges the rest; done twice, it finds the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from bank.operations import grant_dates, mybrc_jobs
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.files import log, newest
from bank.operations.grant_dates import Turned, both_turned
from bank.operations.job_charges import CHANGED, UNPRICED, Outcome, SizedRun, charge_runs
from bank.operations.metering import Result, read_meters, refuse_other_source
from bank.operations.rates import ask_rates
from bank.operations.sacct_rows import find_sized
from bank.operations.slices import slices
from bank.policy.tariffs import Tariffs
from bank.slurm import squeue
from bank.slurm.command import run
from bank.slurm.sacct import JobRow
from bank.store import accounts, grants, meters, tariffs, usage_sources
from bank.store.connect import reading, writing

_MICROSECONDS = 1_000_000
# Runs that are charged in one transaction: about 50 ms.
_AT_ONCE = 500
# An end may be told of late, and then be one of a while ago: a node that is lost is waited for.
_BACK_SECONDS = 3600
# What ended in the second before the question may be booked in the second after it.
_EDGE_SECONDS = 2
_DAY_SECONDS = 86_400
_MONTH_SECONDS = 30 * _DAY_SECONDS
_FEW_RUNS = 1_000
# No slurmdbd is older: the beginning of 2008.
_EARLIEST = 1_199_145_600


class Report(NamedTuple):
    """What a look at one cluster charged, or would; amounts are billing-seconds.

    Attributes:
        since, until: of which ends; seconds since 1970.
        counts: how many runs became what, see `job_charges`.
        amounts: by which the charges rose, by account and user.
        notes: what a person should know of single runs: changed, not priced.
        late: how many were charged that had ended before the look before.
        stuck: jobs that run for sacct and that the controller does not know: not charged before
            they end.
        turned: what came of the dates of grants.
    """

    cluster: str
    since: int
    until: int
    counts: Counter[str]
    amounts: Counter[tuple[str, str]]
    notes: list[str]
    late: int
    stuck: list[str]
    turned: Turned

    @property
    def amount(self) -> int:
        """By which all charges rose."""
        return sum(self.amounts.values())


class _Order(NamedTuple):
    """One look.

    Attributes:
        since, until: which ends are looked for; seconds since 1970.
        names: whose, None for all.
        known_until: until when everything was charged before.
        seen: what prices rest on now.
        alive: jobs that the controller knew just before.
        dry_run: write nothing.
    """

    since: int
    until: int
    names: Sequence[str] | None
    known_until: int
    seen: Tariffs
    alive: frozenset[int]
    dry_run: bool


def look(
    bank: Bank, cluster: Cluster, *, since: int | None = None, dry_run: bool = False
) -> tuple[Result, Report]:
    """Charge what has run on a cluster that jobs charge, and read its meters to compare them.

    What has run is charged before grants end or start, for those of its time to pay.

    Args:
        bank: see `Bank`.
        cluster: where.
        since: which ends are looked for; seconds since 1970, None for those since the last look.
        dry_run: say what would be charged, and write nothing.

    Raises:
        SlurmError: Slurm did not answer or was not understood, or slurmdbd is behind.
        SettingsError: meters charge the cluster.
    """
    with reading(bank.database) as reader:
        state = meters.find_cluster(reader, cluster.name)
    refuse_other_source(bank, cluster, state)
    report = None
    if state is not None:
        report = reconcile(bank, cluster, since=since, dry_run=dry_run)
    result = read_meters(bank, cluster, dry_run=dry_run)
    with reading(bank.database) as reader:
        behind = usage_sources.find_behind(reader, cluster.name)
    if behind and not dry_run:
        more = reconcile(bank, cluster, since=_EARLIEST, names=behind)
        with writing(bank.database) as writer:
            usage_sources.write_caught_up(writer, cluster.name, behind)
        report = more if report is None else _both(report, more)
    if report is None:
        report = _nothing(cluster.name, _seconds(bank))
    return _with_charges(result, report), report


def _with_charges(result: Result, report: Report) -> Result:
    charged: Counter[str] = Counter(result.charged)
    for (name, _), amount in report.amounts.items():
        charged[name] += amount
    return result._replace(
        charged=dict(charged),
        by_user=dict(report.amounts),
        notes=[*report.notes, *_of_stuck(report), *result.notes],
        turned=both_turned(report.turned, result.turned),
    )


def _of_stuck(report: Report) -> list[str]:
    if not report.stuck:
        return []
    jobs = ", ".join(report.stuck)
    what = "running for sacct, and unknown to the controller, so not charged before they end"
    return [f"{what} ('sacctmgr show runawayjobs' ends them): {jobs}"]


def reconcile(
    bank: Bank,
    cluster: Cluster,
    *,
    since: int | None = None,
    names: Sequence[str] | None = None,
    dry_run: bool = False,
) -> Report:
    """Charge every run that has ended.

    Args:
        bank: see `Bank`.
        cluster: one that jobs charge.
        since: which ends are looked for; None for those since the last look.
        names: whose; None for all.
        dry_run: do it and take it back.
    """
    # The controller first: what it does not know then, and slurmdbd has not heard the end of once
    # it has been told everything, has no end to come.
    alive = squeue.read(run(bank.slurm, squeue.arguments(cluster.on)))
    until = _seconds(bank)
    seen = ask_rates(bank, cluster).seen_at(bank.clock())
    with writing(bank.database, dry_run=dry_run) as writer:
        tariffs.write_seen(writer, cluster.name, seen)
        known_until = usage_sources.find_reconciled_until(writer, cluster.name)
    # Where the clock was set back, what was known is to come: looks go on from where it is now.
    known_until = min(known_until, until)
    begin = known_until - _BACK_SECONDS if since is None else max(since, _EARLIEST)
    order = _Order(
        min(begin, until),
        until,
        names,
        known_until,
        seen,
        frozenset(one.job_id for one in alive),
        dry_run,
    )
    report = _charge_all(bank, cluster, order)
    if names is None and order.since <= known_until and not dry_run:
        known_until = until - _EDGE_SECONDS
        with writing(bank.database) as writer:
            usage_sources.write_reconciled_until(writer, cluster.name, known_until, now=until)
            mybrc_jobs.take_back_until(bank, writer, cluster.name, known_until)
    return report


def _seconds(bank: Bank) -> int:
    return bank.clock() // _MICROSECONDS


def _nothing(cluster: str, until: int) -> Report:
    return Report(cluster, until, until, Counter(), Counter(), [], 0, [], Turned([], {}))


def _both(first: Report, second: Report) -> Report:
    return Report(
        first.cluster,
        min(first.since, second.since),
        max(first.until, second.until),
        first.counts + second.counts,
        Counter(
            {
                whose: first.amounts[whose] + second.amounts[whose]
                for whose in (*first.amounts, *second.amounts)
            }
        ),
        [*first.notes, *second.notes],
        first.late + second.late,
        [*first.stuck, *second.stuck],
        both_turned(first.turned, second.turned),
    )


def _spans_of_some(order: _Order) -> Iterator[tuple[int, int]]:
    """Yield the spans that slurmdbd is asked for one by one where few accounts are looked for.

    They are new to the bank: hardly anything ran in them, and it may have been years ago. So each
    is twice as long as the one after it.
    """
    edges, length = [order.until], _DAY_SECONDS
    while edges[-1] > order.since:
        edges.append(max(edges[-1] - length, order.since))
        length *= 2
    yield from pairwise(reversed(edges))


def _charge_all(bank: Bank, cluster: Cluster, order: _Order) -> Report:
    """Charge what ended since an order's beginning, span by span."""
    report = _nothing(cluster.name, order.until)._replace(since=order.since)
    if order.names is not None and order.since < order.until:
        for start, end in _spans_of_some(order):
            report = _both(report, _charge_span(bank, cluster, order, start, end))
        return report
    start, length = order.since, _DAY_SECONDS
    while True:
        end = min(start + length, order.until)
        done = _charge_span(bank, cluster, order, start, end)
        report, start = _both(report, done), end
        if end == order.until:
            return report
        # Nobody keeps millions of rows, and nobody asks for each day of years without any.
        is_quiet = done.counts.total() < _FEW_RUNS
        length = min(2 * length, _MONTH_SECONDS) if is_quiet else _DAY_SECONDS


def _charge_span(bank: Bank, cluster: Cluster, order: _Order, start: int, end: int) -> Report:
    """Charge what ended in a span; the first takes what ended before, the last what ended after."""
    rows = find_sized(bank, cluster, order.names, start, end)
    runs = [
        SizedRun(row, began_at)
        for row, began_at in rows
        if row.ended_at is not None
        and (start <= row.ended_at or start == order.since)
        and (row.ended_at < end or end == order.until)
    ]
    outcomes, turned = _charge_in_turn(bank, cluster, order, runs)
    report = _nothing(cluster.name, end)._replace(since=start, turned=turned)
    for one in outcomes:
        job = one.run.job
        report.counts[one.what] += 1
        report.amounts[job.account, job.user] += one.amount
    notes = [one.note for one in outcomes if _is_said(order, one)]
    late = sum(1 for one in outcomes if one.is_new and _is_late(order, one.run.job))
    stuck = _stuck(bank, cluster, order, [row for row, _ in rows]) if end == order.until else []
    return report._replace(notes=notes, late=late, stuck=stuck)


def _is_said(order: _Order, one: Outcome) -> bool:
    """Tell whether a run is spoken of: of what has no price once, and when it is looked for."""
    is_by_hand = order.since < order.known_until - _BACK_SECONDS
    return one.what == CHANGED or (one.what == UNPRICED and (one.is_said or is_by_hand))


def _is_late(order: _Order, job: JobRow) -> bool:
    return order.names is None and (job.ended_at or order.until) <= order.known_until


def _stuck(bank: Bank, cluster: Cluster, order: _Order, rows: Sequence[JobRow]) -> list[str]:
    """Return the jobs that run for sacct alone, as people know them."""
    with reading(bank.database) as reader:
        ours = usage_sources.find_seen(reader, cluster.name)
    return [
        row.shown_id
        for row in rows
        if row.ended_at is None
        and row.account in ours
        and row.job_id not in order.alive
        and row.started_at < order.until - _EDGE_SECONDS
    ]


def _charge_in_turn(
    bank: Bank, cluster: Cluster, order: _Order, runs: Sequence[SizedRun]
) -> tuple[list[Outcome], Turned]:
    """Charge runs, and start and end the grants that are due when those from before are charged."""
    with reading(bank.database) as reader:
        due = grants.find_due(reader, bank.clock())
    instants = {
        grant.start_at if grant.state == grants.PROMISED else grant.end_at
        for grant in due
        if grant.state != grants.ENDING
    }
    outcomes: list[Outcome] = []
    turned = Turned([], {})
    rest = sorted(runs, key=_by_begin)
    for instant in sorted(at for at in instants if at is not None and runs):
        before = [one for one in rest if one.began_at * _MICROSECONDS < instant]
        rest = rest[len(before) :]
        outcomes += _charge(bank, cluster, order, before)
        now = grant_dates.turn_all(bank, cluster.name, None, at=instant, dry_run=order.dry_run)
        turned = both_turned(turned, now)
    return outcomes + _charge(bank, cluster, order, rest), turned


def _by_begin(one: SizedRun) -> tuple[int, int]:
    return one.began_at, one.job.db_index


def _charge(bank: Bank, cluster: Cluster, order: _Order, runs: Sequence[SizedRun]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for some in slices(runs, at_once=_AT_ONCE):
        with writing(bank.database, dry_run=order.dry_run) as writer:
            if order.dry_run:
                tariffs.write_seen(writer, cluster.name, order.seen)
            done = charge_runs(bank, writer, cluster.name, some)
            names = sorted({one.run.job.account for one in done if one.amount})
            ends = newest(accounts.find_many(writer, names).values())
        outcomes += done
        if names and not order.dry_run:
            jobs = [one.run.job.shown_id for one in done if one.amount]
            log(bank, "charges", cluster=cluster.name, jobs=jobs, **ends)
    return outcomes
