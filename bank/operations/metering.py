"""Metering: reading all meters of a cluster and booking what they counted.

A reading is asked for, compared with the newest on record, and booked in slices. If anybody else
booked a reading in between, the slice is given up and everything is read again.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bank.errors import Busy, SettingsError
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.references import of_first_look
from bank.operations.bank import Bank
from bank.operations.closing import paid_by_grants, settle_given_back
from bank.operations.clusters import (
    Cluster,
    refuse_changed,
)
from bank.operations.files import log
from bank.operations.grant_dates import Turned, both_turned, turn, turn_all
from bank.operations.meter_plan import (
    Booked,
    Known,
    Observed,
    Plan,
    make_plan,
)
from bank.operations.places import banked_accounts, metered_accounts
from bank.operations.slices import slices
from bank.policy import tree
from bank.policy.charged_time import JOBS
from bank.slurm import assoc_mgr
from bank.slurm.assoc_mgr import Associations
from bank.slurm.command import run
from bank.store import accounts, liens, meters, settled, usage_sources
from bank.store.connect import Reader, Writer, reading, writing
from bank.store.meters import ClusterState, Overlap, Place
from bank.store.post import post

_TRIES = 5


class Result(NamedTuple):
    """What one look at a cluster gave.

    Attributes:
        slurm: what Slurm said.
        banked: accounts there whose use counts for an open account.
        charged: billing-seconds booked, by account.
        notes: what a person should know.
        state: what is now known of the cluster, and as of when.
        by_user: billing-seconds booked, by account and user.
        turned: what came of the dates of grants; that is of no single cluster.
        known: what was on record before.
        plan: all that was written, or that a dry run would have.
    """

    slurm: Associations
    banked: set[str]
    charged: dict[str, int]
    notes: list[str]
    state: ClusterState
    by_user: dict[tuple[str, str], int]
    turned: Turned
    known: Known
    plan: Plan


def read_meters(bank: Bank, cluster: Cluster, *, dry_run: bool = False) -> Result:
    """Read all meters of a cluster and book what they counted since.

    Raises:
        SlurmError: Slurm did not answer or was not understood; nothing was booked.
        Busy: others kept booking at the same time.
    """
    turned = Turned([], {})
    for _ in range(_TRIES):
        with reading(bank.database) as reader:
            known = find_known(reader, cluster.name)
        observed = observe(bank, cluster)
        refuse_changed(bank, cluster)
        refuse_other_source(bank, cluster, known.state)
        covered = metered_accounts(known.accounts, observed.slurm)
        banked = banked_accounts(known.accounts, observed.slurm)
        # What is booked now is for the grants in force when the meters were read to pay.
        # Where jobs charge, liens say what running jobs may still use.
        running = None if bank.settings.usage_source == JOBS else observed.slurm
        now_turned = turn_all(bank, cluster.name, running, at=observed.asked_at, dry_run=dry_run)
        turned = both_turned(turned, now_turned)
        plan = make_plan(bank, cluster, known, observed, covered)
        heads: dict[str, str] = {}
        try:
            if not dry_run:
                heads = _write(bank, cluster, known, plan)
        except Overlap:
            continue
        if (heads or plan.notes) and not dry_run:
            # At once: whatever comes after this reading, what it booked and said is on record.
            log(bank, "readings", cluster=cluster.name, notes=plan.notes, heads=heads)
        charged = dict(plan.forgotten)
        by_user: dict[tuple[str, str], int] = {}
        for name, booked in plan.readings.items():
            charged[name] = charged.get(name, 0) + sum(one.reading.booked for one in booked)
            for one in booked:
                whose = (name, one.reading.user)
                by_user[whose] = by_user.get(whose, 0) + one.reading.booked
        return Result(
            slurm=observed.slurm,
            banked=banked,
            charged=charged,
            notes=plan.notes,
            state=plan.state,
            by_user=by_user,
            turned=turned,
            known=known,
            plan=plan,
        )
    raise Busy(f"others kept booking readings of cluster {cluster.name}: try again")


def book_rehearsed(
    bank: Bank, writer: Writer, cluster: Cluster, result: Result, names: Sequence[str]
) -> None:
    """Book what a dry run has read of accounts, in a transaction that will be taken back.

    So what is rehearsed next finds the books as it would find them.

    Raises:
        Busy: somebody else has booked it meanwhile.
    """
    turn(bank, writer, names, at=result.state.asked_at)
    try:
        write_slice(bank, writer, cluster, result.known, result.plan, names)
    except Overlap as error:
        raise Busy(f"others have booked readings of cluster {cluster.name}: try again") from error


def refuse_other_source(bank: Bank, cluster: Cluster, state: ClusterState | None) -> None:
    """Refuse to charge a cluster from another source than the one on record.

    Raises:
        SettingsError: with what changes it.
    """
    asked = bank.settings.usage_source
    if state is not None and state.source != asked:
        raise SettingsError(
            f"cluster {cluster.name} is charged by {state.source}, and USAGE_SOURCE ="
            f" {asked!r}: set it back, or let 'slurm_bank.py change_source' change over"
        )


def both(first: Result, second: Result) -> Result:
    """Return what two looks gave together, as of the second."""
    charged, by_user = dict(first.charged), dict(first.by_user)
    for name, amount in second.charged.items():
        charged[name] = charged.get(name, 0) + amount
    for whose, amount in second.by_user.items():
        by_user[whose] = by_user.get(whose, 0) + amount
    return second._replace(
        charged=charged,
        notes=[*first.notes, *second.notes],
        by_user=by_user,
        turned=both_turned(first.turned, second.turned),
    )


def observe(bank: Bank, cluster: Cluster) -> Observed:
    """Ask Slurm for all meters of a cluster."""
    asked_at = bank.clock()
    slurm = assoc_mgr.read_all(run(bank.slurm, assoc_mgr.arguments(cluster.on)), cluster.name)
    return Observed(slurm, asked_at, bank.clock())


def find_known(reader: Reader, cluster: str) -> Known:
    """Return what is on record of a cluster before Slurm is asked."""
    places, seen = meters.find_places(reader, cluster), usage_sources.find_seen(reader, cluster)
    return Known(
        accounts.find_all(reader),
        meters.find_meters(reader, cluster),
        # One with nothing but a lien was never seen.
        {name: places[name] for name in places if name in seen},
        meters.find_cluster(reader, cluster),
    )


def _write(bank: Bank, cluster: Cluster, known: Known, plan: Plan) -> dict[str, str]:
    """Write a plan in slices; a reading that somebody else overtook stops it.

    Raises:
        Overlap: read again.
    """
    heads: dict[str, str] = {}
    for some in slices(sorted({*plan.readings, *plan.places, *plan.forgotten})):
        with writing(bank.database) as writer:
            heads.update(write_slice(bank, writer, cluster, known, plan, some))
    if plan.is_news:
        with writing(bank.database) as writer:
            meters.write_cluster(writer, cluster.name, plan.state)
    return heads


def write_slice(
    bank: Bank, writer: Writer, cluster: Cluster, known: Known, plan: Plan, names: Sequence[str]
) -> dict[str, str]:
    """Write what a plan says of some accounts; return the newest digests of their entries.

    Raises:
        Overlap: somebody else has booked a reading since.
    """
    places = [plan.places[name] for name in names if name in plan.places]
    accounts.ensure(writer, [*names, *(place.parent for place in places if place.parent)])
    first_seen = _write_places(bank, writer, cluster, known, places)
    booked = [one for name in names for one in plan.readings.get(name, ())]
    references = meters.write_readings(writer, cluster.name, [one.reading for one in booked])
    drafts = [
        Draft(
            name,
            "adjustment",
            AVAILABLE,
            USED,
            plan.forgotten[name],
            bank.actor,
            "used before the bank's first reading by associations that are gone",
            None,
            cluster.name,
            reference=of_first_look(cluster.name),
        )
        for name in names
        if name in first_seen and plan.forgotten.get(name)
    ]
    for one in booked:
        drafts += _drafts(bank, cluster, one, references)
    drafts = paid_by_grants(writer, drafts)
    posted = post(writer, drafts, now=bank.clock())
    return {name: f"{made[-1].seq}:{made[-1].digest}" for name, made in posted.items()}


def _drafts(
    bank: Bank,
    cluster: Cluster,
    one: Booked,
    references: dict[int, str],
) -> Iterable[Draft]:
    reading = one.reading
    amounts = (
        ("charge", one.booking.charge, ""),
        ("adjustment", one.booking.adjustment, f"lost by the meter ({one.booking.cause})"),
    )
    for kind, amount, reason in amounts:
        if amount:
            yield Draft(
                reading.account,
                kind,
                AVAILABLE,
                USED,
                amount,
                bank.actor,
                reason,
                None,
                cluster.name,
                reading.user,
                references[reading.association],
            )


def _write_places(
    bank: Bank, writer: Writer, cluster: Cluster, known: Known, places: Sequence[Place]
) -> set[str]:
    """Write where accounts stand; return those that had no place before."""
    is_moved = any(
        known.places[place.account].parent != place.parent
        if place.account in known.places
        else place.parent is not None
        for place in places
    )
    before = meters.find_places(writer, cluster.name) if is_moved else {}
    is_by_jobs = bank.settings.usage_source == JOBS
    meters.write_places(writer, cluster.name, places, is_by_jobs=is_by_jobs)
    usage_sources.write_seen(
        writer,
        cluster.name,
        [place.account for place in places],
        source=bank.settings.usage_source,
        baseline=bank.settings.usage_baseline,
        now=bank.clock(),
    )
    first_seen = {place.account for place in places if place.account not in known.places}
    if is_moved:
        left, came = moves(before, meters.find_places(writer, cluster.name))
        settled.leave(writer, cluster.name, left)
        settled.join(writer, cluster.name, came)
        if bank.settings.usage_baseline == "now":
            new = [(above, child) for above, child in came if above not in known.places]
            settled.forgive(writer, cluster.name, new, what="charged")
        # Use that left with a child is given back to those above it.
        settle_given_back(bank, writer, {above for above, _ in left})
        if is_by_jobs:
            liens.recount(writer, cluster.name)
    return first_seen


def moves(
    before: dict[str, Place], after: dict[str, Place]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return which accounts a move took children from, and which it brought them below.

    Returns:
        Two lists of (account, child): the child was below the account, and is now.
    """
    were, are = _pairs(before), _pairs(after)
    return sorted(were - are), sorted(are - were)


def _pairs(places: dict[str, Place]) -> set[tuple[str, str]]:
    parents = {name: place.parent for name, place in places.items()}
    return {(above, name) for name in places for above in tree.ancestors(parents, name)}
