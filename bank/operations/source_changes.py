"""Letting jobs charge a cluster in place of meters, or meters in place of jobs.

Where jobs run, both count a part of each: the one that goes until the second at which the
controller last counted, the one that comes from then on. That second, the readings, and where in
each run it lies are written in one transaction with what charges from then on.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bank.errors import Busy, Refusal
from bank.ledger.amounts import format_su
from bank.operations import lien_look
from bank.operations.bank import Bank, utc_text
from bank.operations.booking import book_use
from bank.operations.clusters import Cluster, all_clusters, refuse_changed
from bank.operations.files import log, only_one
from bank.operations.job_charges import UNPRICED, SizedRun, charge_runs
from bank.operations.liens import ended
from bank.operations.meter_plan import Known, Observed, Plan, make_plan
from bank.operations.metering import find_known, write_slice
from bank.operations.places import metered_accounts
from bank.operations.rates import ask_rates
from bank.operations.sacct_rows import find_sized
from bank.operations.ticks import Tick, wait_for_tick
from bank.policy.charged_time import JOBS, METERS, Mark
from bank.policy.liens import VOIDED
from bank.policy.tariffs import Tariffs
from bank.slurm import assoc_mgr
from bank.slurm.command import run
from bank.store import liens, meters, tariffs, usage_sources
from bank.store.connect import Writer, reading, writing
from bank.store.meters import Overlap

_MICROSECONDS = 1_000_000
# Runs that ended so long before the second in question may be told of only now.
_BACK_SECONDS = 3600


class _Change(NamedTuple):
    """What changes over on one cluster.

    Attributes:
        at: the second up to which the old source counts; seconds since 1970.
        runs: every run that had not ended long before, with the second since which it had its size.
        seen: what prices rest on now.
    """

    tick: Tick
    at: int
    known: Known
    plan: Plan
    runs: Sequence[SizedRun]
    seen: Tariffs


def change_source(
    bank: Bank, tell: Callable[[str], None], *, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Let what USAGE_SOURCE says charge every cluster from now on.

    Args:
        bank: see `Bank`.
        tell: told what is waited for.
        dry_run: say what would change, and write nothing.

    Returns:
        What was done, by cluster.

    Raises:
        Refusal: the hooks refuse jobs, which only liens allow, and meters are to charge.
        SlurmError: Slurm did not answer, was not understood, or did not count in time.
        Busy: others booked meanwhile; nothing was changed there.
    """
    if bank.settings.usage_source == METERS and bank.settings.hooks == "enforce":
        raise Refusal(
            "hooks_enforce",
            "the hooks refuse jobs by what liens set aside, and there are none where meters charge:"
            " run 'slurm_bank.py hooks remove' and set HOOKS = 'report' first",
        )
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        clusters = all_clusters(bank)
        return [_change_cluster(bank, cluster, tell, dry_run=dry_run) for cluster in clusters]


def _change_cluster(
    bank: Bank, cluster: Cluster, tell: Callable[[str], None], *, dry_run: bool
) -> dict[str, Any]:
    wanted = bank.settings.usage_source
    with reading(bank.database) as reader:
        source = meters.find_sources(reader).get(cluster.name, wanted)
    told = {"verb": "change_source", "cluster": cluster.name, "source": wanted}
    if source == wanted or dry_run:
        at = bank.clock() // _MICROSECONDS
        changed = {"is_changed": source != wanted, "is_dry_run": dry_run}
        return {**told, **changed, **_described(at, None), "notes": []}
    # Until it is done the old source charges, in all that is read and booked.
    keeping = bank._replace(settings=bank.settings._replace(usage_source=source))
    notes = list(book_use(keeping, cluster).notes)
    change = _prepare(keeping, cluster, tell, to=wanted)
    notes += change.plan.notes + _write(bank, keeping, cluster, change)
    log(
        bank,
        "source",
        cluster=cluster.name,
        source=wanted,
        since=utc_text(change.at * _MICROSECONDS),
    )
    if wanted == JOBS:
        lien_look.keep_liens(bank, lien_look.look(bank, cluster))
    described = _described(change.at, change.tick)
    return {**told, "is_changed": True, "is_dry_run": False, **described, "notes": notes}


def _described(at: int, tick: Tick | None) -> dict[str, Any]:
    return {
        "since": utc_text(at * _MICROSECONDS),
        "running": 0 if tick is None else tick.running,
        "uncertain_su": format_su(0 if tick is None else tick.uncertain),
        "uncertain_billing_seconds": 0 if tick is None else tick.uncertain,
    }


def _prepare(bank: Bank, cluster: Cluster, tell: Callable[[str], None], *, to: str) -> _Change:
    """Wait for the second, and ask for all that is written with it."""
    slurm = assoc_mgr.read_all(run(bank.slurm, assoc_mgr.arguments(cluster.on)), cluster.name)
    with reading(bank.database) as reader:
        known = find_known(reader, cluster.name)
    tick = wait_for_tick(bank, cluster, metered_accounts(known.accounts, slurm), tell)
    refuse_changed(bank, cluster)
    covered = metered_accounts(known.accounts, tick.observed.slurm)
    plan = make_plan(bank, cluster, known, tick.observed, covered)
    # What is not certain nobody is charged: not what may have been counted before, nor twice.
    at = tick.last if to == JOBS else tick.first
    until = bank.clock() // _MICROSECONDS + 1
    rows = find_sized(bank, cluster, None, at - _BACK_SECONDS, until)
    runs = [SizedRun(row, began_at) for row, began_at in rows if row.account in covered]
    seen = ask_rates(bank, cluster).seen_at(bank.clock())
    return _Change(tick, at, known, plan, runs, seen)


def _write(bank: Bank, keeping: Bank, cluster: Cluster, change: _Change) -> list[str]:
    """Write all of a change in one transaction; return what a person should know.

    Raises:
        Busy: somebody else booked readings meanwhile.
    """
    wanted, plan = bank.settings.usage_source, change.plan
    names = sorted({*plan.readings, *plan.places, *plan.forgotten})
    try:
        with writing(bank.database) as writer:
            write_slice(keeping, writer, cluster, change.known, plan, names)
            meters.write_cluster(writer, cluster.name, plan.state)
            tariffs.write_seen(writer, cluster.name, change.seen)
            seq = usage_sources.write_change(
                writer,
                cluster.name,
                wanted,
                since=change.at,
                actor=bank.actor,
                now=bank.clock(),
            )
            marks = _marks(change.runs, change.at, change.tick.observed)
            usage_sources.write_marks(writer, cluster.name, seq, marks)
            if wanted == JOBS:
                now = bank.clock() // _MICROSECONDS
                usage_sources.write_reconciled_until(writer, cluster.name, change.at, now=now)
                # What ran was set aside as meters show it; from now on liens do so.
                liens.recount(writer, cluster.name)
                return []
            _end_liens(bank, writer, cluster)
            return _charge_until(bank, writer, cluster, change)
    except Overlap as error:
        raise Busy(f"others have booked readings of cluster {cluster.name}: try again") from error


def _end_liens(bank: Bank, writer: Writer, cluster: Cluster) -> None:
    now, why = bank.clock(), "meters charge from now on"
    found = liens.find_open(writer, cluster.name)
    liens.change(writer, [(lien, ended(lien, VOIDED, at=now, reason=why)) for lien in found])


def _marks(runs: Sequence[SizedRun], at: int, observed: Observed) -> dict[int, Mark]:
    """Return up to where the source that goes has counted runs that had not ended by a second.

    What ended between that second and the reading is in the reading to its end.
    """
    asked = observed.asked_at // _MICROSECONDS
    marks = {}
    for one in runs:
        job = one.job
        if job.ended_at is not None and at < job.ended_at <= asked:
            marks[job.db_index] = Mark(job.ended_at, job.suspended_seconds)
        elif (job.ended_at is None or job.ended_at > at) and one.began_at < at:
            marks[job.db_index] = Mark(at, job.suspended_seconds)
    return marks


def _charge_until(bank: Bank, writer: Writer, cluster: Cluster, change: _Change) -> list[str]:
    """Charge what jobs have to be charged until meters take over."""
    runs = []
    for one in change.runs:
        job = one.job
        if job.ended_at is not None:
            runs.append(one)
        elif one.began_at < change.at:
            # As if it had ended: what comes after is for meters to count.
            runs.append(one._replace(job=job._replace(ended_at=change.at)))
    outcomes = charge_runs(bank, writer, cluster.name, runs)
    return [one.note for one in outcomes if one.what == UNPRICED]
