"""Charging jobs: each run that has ended once, and by what it changed where slurmdbd says so later.

Every charge of a cluster that is charged by jobs comes from here, keyed by slurmdbd's own number of
the run; whoever was told of a job's end before only asks sooner.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.ledger.amounts import format_su
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.references import of_job
from bank.operations import liens, mybrc_jobs
from bank.operations.bank import Bank
from bank.operations.closing import settle_given_back
from bank.operations.job_payers import Begun, paid_by_grants_then
from bank.policy import prices, tariffs
from bank.policy.charged_time import Mark, Ran, Seen, Source, charged_seconds
from bank.policy.tariffs import Price, Tariffs, Unpriced
from bank.slurm import tres
from bank.slurm.sacct import JobRow
from bank.store import accounts, job_charges, job_refunds, meters, usage_sources
from bank.store.connect import Writer
from bank.store.job_charges import NOT_PRICED, JobCharge
from bank.store.job_refunds import reason_of
from bank.store.post import post
from bank.store.tariffs import find_tariffs

_MICROSECONDS = 1_000_000
# What became of a run.
CHARGED, CHANGED, NOTHING, SAME, UNPRICED = "charged", "changed", "nothing", "same", "not priced"
# States of runs after which the same job runs once more, or in another size.
_GOES_ON = ("REQUEUED", "RESIZING", "RUNNING")
_RUNNING = ("RUNNING", "SUSPENDED")


class SizedRun(NamedTuple):
    """One run of a job that has ended, in one size.

    Attributes:
        job: as sacct has it.
        began_at: since when it had that size; seconds since 1970.
    """

    job: JobRow
    began_at: int


class Outcome(NamedTuple):
    """What became of one run.

    Attributes:
        run: the run.
        what: CHARGED for the first time, CHANGED since, NOTHING to be charged, the SAME as was
            charged before, or UNPRICED.
        amount: billing-seconds by which the charge rose; below 0 it fell.
        note: what a person should know; "" for nothing.
        is_new: whether nothing was on record of it before.
        is_said: whether a person is to be told, though nothing is charged.
    """

    run: SizedRun
    what: str
    amount: int = 0
    note: str = ""
    is_new: bool = False
    is_said: bool = False


class _Known(NamedTuple):
    """What is on record that decides about some runs."""

    seen: Mapping[str, Seen]
    sources: Sequence[Source]
    marks: Mapping[int, Mapping[int, Mark]]
    tariffs: Tariffs
    before: Mapping[int, JobCharge]
    refunded: Mapping[int, int]


class _Decided(NamedTuple):
    """What becomes of a run.

    Attributes:
        outcome: for who asked.
        charge: the row that is written of it, None for none.
        moves: billing-seconds by which accounts are charged more; below 0 less.
    """

    outcome: Outcome
    charge: JobCharge | None = None
    moves: Mapping[str, int] = {}


def charge_runs(
    bank: Bank, writer: Writer, cluster: str, runs: Sequence[SizedRun]
) -> list[Outcome]:
    """Charge runs that have ended, each as slurmdbd has it now.

    Args:
        bank: clock and actor.
        writer: the transaction.
        cluster: where they ran.
        runs: some of them, each once. Those of accounts that the bank does not look after there
            are passed over.

    Returns:
        What became of each of the others.
    """
    known = _known(writer, cluster, runs)
    decided = [_decide(bank, known, run) for run in runs if run.job.account in known.seen]
    decided = _within_open_use(writer, cluster, decided)
    _book(bank, writer, cluster, decided)
    charges = [one.charge for one in decided if one.charge is not None]
    job_charges.write(writer, cluster, charges)
    ends = [_end(one.outcome.run.job) for one in decided if one.outcome.is_new]
    liens.settle_runs(bank, writer, cluster, ends)
    # What nobody knows the price of stays charged as it was reported.
    priced = [one for one in charges if one.priced_by != NOT_PRICED]
    mybrc_jobs.take_back(bank, writer, cluster, priced)
    return [one.outcome for one in decided]


def _known(writer: Writer, cluster: str, runs: Sequence[SizedRun]) -> _Known:
    indexes = [run.job.db_index for run in runs]
    refunds = job_refunds.find_refunds(writer, cluster, indexes)
    return _Known(
        usage_sources.find_seen(writer, cluster),
        usage_sources.find_history(writer, cluster),
        usage_sources.find_marks(writer, cluster, indexes),
        find_tariffs(writer, cluster),
        job_charges.find_newest(writer, cluster, indexes),
        {index: one.amount for index, one in refunds.items()},
    )


def _decide(bank: Bank, known: _Known, run: SizedRun) -> _Decided:
    job = run.job
    before = known.before.get(job.db_index)
    charge = _measured(known, run, before)
    is_known = before is not None and before.priced_by != NOT_PRICED and _is_time_known(job)
    if before is not None and is_known and before.rests_on == charge.rests_on:
        return _Decided(Outcome(run, SAME))
    price = _price(known, run)
    if isinstance(price, Unpriced) and (charge.seconds or not _is_time_known(job)):
        return _unpriced(run, charge, before, price.why)
    if isinstance(price, Unpriced):
        price = Price(Fraction(0), Fraction(0), tariffs.NO_TIME)
    return _priced(bank, known, run, charge, price)


def _unpriced(run: SizedRun, charge: JobCharge, before: JobCharge | None, why: str) -> _Decided:
    """Return what becomes of a run of which nobody knows what it costs.

    What it was charged before stays: that it is not known any more makes it nothing else.
    """
    job = run.job
    whose = f"job {job.shown_id} of {job.user} in {job.account}"
    if before is None:
        note = f"{whose} is not charged: {why}"
        return _Decided(Outcome(run, UNPRICED, note=note, is_new=True, is_said=True), charge)
    stays = "is not charged"
    if before.amount:
        stays = f"stays charged with {format_su(before.amount)} SUs"
    is_said = before.rests_on != charge.rests_on or before.priced_by != NOT_PRICED
    is_said = is_said and before.account == charge.account
    outcome = Outcome(run, UNPRICED, note=f"{whose} {stays}: {why}", is_said=is_said)
    return _Decided(outcome, charge._replace(amount=before.amount) if is_said else None)


def _price(known: _Known, run: SizedRun) -> Price | Unpriced:
    job = run.job
    if not _is_time_known(job):
        assert job.ended_at is not None
        lasted = job.ended_at - job.started_at
        return Unpriced(
            f"slurmdbd says that it lasted {lasted} seconds, and that it was suspended for"
            f" {job.suspended_seconds} of them"
        )
    return tariffs.price(
        known.tariffs,
        tres.quantities(job.alloc_tres),
        partition=job.partition,
        qos=job.qos,
        began_at=run.began_at * _MICROSECONDS,
    )


def _is_time_known(job: JobRow) -> bool:
    """Tell whether the seconds of a run that were not suspended are known.

    While a job is suspended slurmdbd keeps since when, in place of for how long. Of a controller
    that was killed it may never hear that the job went on, or that it had been suspended before it
    did: then that instant stays, as a span of decades. Where the clock was set back meanwhile, a
    run ended before it began.
    """
    assert job.ended_at is not None
    lasted = job.ended_at - job.started_at
    return job.state in _RUNNING or lasted == 0 or job.suspended_seconds <= lasted


def _measured(known: _Known, run: SizedRun, before: JobCharge | None) -> JobCharge:
    """Return the charge of a run without its price."""
    job = run.job
    assert job.ended_at is not None
    # All that it may have been, where that is not known.
    suspended = job.suspended_seconds if _is_time_known(job) else 0
    seconds = charged_seconds(
        Ran(run.began_at, job.ended_at, suspended),
        known.sources,
        known.marks.get(job.db_index, {}),
        known.seen[job.account],
    )
    return JobCharge(
        job_index=job.db_index,
        revision=1 if before is None else before.revision + 1,
        job_id=job.job_id,
        shown_id=job.shown_id,
        account=job.account,
        user=job.user,
        partition=job.partition,
        qos=job.qos,
        state=job.state,
        began_at=run.began_at,
        ended_at=job.ended_at,
        seconds=seconds,
        alloc_tres=job.alloc_tres,
        billing="",
        usage_factor="",
        priced_by=NOT_PRICED,
        amount=0,
        charged_at=0,
    )


def _priced(bank: Bank, known: _Known, run: SizedRun, charge: JobCharge, price: Price) -> _Decided:
    before = known.before.get(charge.job_index)
    cost = prices.rounded(prices.per_second(price.billing, price.factor) * charge.seconds)
    # What was given back of its charge is not taken off once more. What is beyond that is of what
    # meters had counted of it.
    charged = 0 if before is None else before.amount
    is_first = before is None or (before.priced_by == NOT_PRICED and not charged)
    given_back = min(known.refunded.get(charge.job_index, 0), charged)
    charge = charge._replace(
        billing=str(price.billing),
        usage_factor=str(price.factor),
        priced_by=price.priced_by,
        amount=max(cost, given_back),
        charged_at=bank.clock(),
    )
    if before is None or is_first:
        what = CHARGED if charge.amount else NOTHING
        outcome = Outcome(run, what, charge.amount, is_new=before is None)
        return _Decided(outcome, charge, {charge.account: charge.amount})
    note = (
        f"job {charge.shown_id} of {charge.user} in {charge.account}: slurmdbd says something else"
        " of it than before"
    )
    moves = {before.account: -before.amount}
    moves[charge.account] = moves.get(charge.account, 0) + charge.amount
    return _Decided(Outcome(run, CHANGED, charge.amount - before.amount, note), charge, moves)


def _within_open_use(writer: Writer, cluster: str, decided: Sequence[_Decided]) -> list[_Decided]:
    """Let no more be taken off than accounts have used and not closed.

    What a period that is over has settled with the treasury is not there to be taken off.
    """
    left: dict[str, int] = {}
    found = []
    for one in decided:
        kept = one
        for name, amount in one.moves.items():
            if amount < 0:
                if name not in left:
                    left[name] = _open_use(writer, cluster, name)
                taken = min(-amount, left[name])
                left[name] -= taken
                kept = _with_settled(kept, name, -amount - taken)
        found.append(kept)
    return found


def _open_use(writer: Writer, cluster: str, name: str) -> int:
    account = accounts.find(writer, name)
    assert account is not None
    return dict(meters.find_own_use(writer, account.account_id)).get(cluster, 0)


def _with_settled(one: _Decided, name: str, settled: int) -> _Decided:
    """Return what becomes of a run of whose charge some stays with an account."""
    if one.charge is None or not settled:
        return one
    outcome = one.outcome._replace(
        amount=one.outcome.amount + settled,
        note=f"{one.outcome.note}; {format_su(settled)} SUs stay, of a period that is over",
    )
    charge = one.charge._replace(amount=one.charge.amount + settled)
    return _Decided(outcome, charge, {**one.moves, name: one.moves[name] + settled})


def _book(bank: Bank, writer: Writer, cluster: str, decided: Sequence[_Decided]) -> None:
    """Post what becomes of runs; what is taken off comes last."""
    more: list[Begun] = []
    less: list[Draft] = []
    for one in decided:
        began_at = one.outcome.run.began_at * _MICROSECONDS
        for name, amount in one.moves.items():
            if amount > 0:
                more.append(Begun(_draft(bank, cluster, one, name, amount), began_at))
            elif amount < 0:
                less.append(_draft(bank, cluster, one, name, amount))
    drafts = paid_by_grants_then(bank, writer, cluster, more)
    post(writer, [*drafts, *less], now=bank.clock())
    if less:
        settle_given_back(bank, writer, {draft.account for draft in less})


def _draft(bank: Bank, cluster: str, one: _Decided, name: str, amount: int) -> Draft:
    job = one.outcome.run.job
    is_first = one.outcome.what == CHARGED
    source, target = (AVAILABLE, USED) if amount > 0 else (USED, AVAILABLE)
    return Draft(
        name,
        "charge" if is_first else "adjustment",
        source,
        target,
        abs(amount),
        bank.actor,
        reason_of(job.shown_id, "" if is_first else "slurmdbd says something else of it"),
        None,
        cluster,
        job.user,
        of_job(cluster, job.db_index),
    )


def _end(job: JobRow) -> liens.RunEnd:
    array, is_task, _ = job.shown_id.partition("_")
    whole = int(array) if is_task and array.isdecimal() else None
    return liens.RunEnd(job.job_id, whole, job.state not in _GOES_ON)
