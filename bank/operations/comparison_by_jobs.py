"""Charges of jobs in a span of time, worked out anew from sacct. Nothing is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.ledger.references import is_of_job, of_job
from bank.operations.bank import Bank
from bank.operations.job_costs import CostedRun
from bank.policy import prices, tariffs
from bank.policy.charged_time import Mark, Ran, Seen, Source, charged_seconds
from bank.policy.reconciliation import (
    BY_METERS,
    CHANGED,
    FACTOR,
    FORGOTTEN,
    FRACTION,
    KEPT,
    NOT_YET,
    ROUNDED,
    UNEXPLAINED,
    UNPRICED,
    Parts,
)
from bank.policy.tariffs import Tariffs, Unpriced
from bank.slurm import tres
from bank.store import job_charges, usage_sources
from bank.store.charges import Charge
from bank.store.connect import reading
from bank.store.job_charges import JobCharge
from bank.store.tariffs import find_tariffs

_MICROSECONDS = 1_000_000


class RunLine(NamedTuple):
    """One run that ended in the span.

    Attributes:
        account, user: whose it was.
        shown: sacct's whole number times the seconds that it calls elapsed.
        booked: what entries have charged for it.
        parts: what leads from the one to the other.
    """

    account: str
    user: str
    shown: int
    booked: int
    parts: Parts


class _Record(NamedTuple):
    """What is on record that decides about the runs of one cluster."""

    seen: Mapping[str, Seen]
    sources: Sequence[Source]
    marks: Mapping[int, Mapping[int, Mark]]
    tariffs: Tariffs
    charges: Mapping[int, JobCharge]
    reconciled_until: int


def run_lines(
    bank: Bank,
    cluster: str,
    costed: Sequence[CostedRun],
    entries: Sequence[Charge],
    *,
    since_seconds: int,
    until_seconds: int,
) -> list[RunLine]:
    """Return what each run is charged that ended in a span, beside what it costs by sacct.

    Args:
        bank: see `Bank`.
        cluster: one that jobs charge.
        costed: every run that overlaps the span, of accounts that the bank knows.
        entries: every change of use on the cluster since the span began.
        since_seconds: seconds since 1970.
        until_seconds: likewise.
    """
    ended = [one for one in costed if since_seconds <= (one.job.ended_at or 0) < until_seconds]
    record = _read_record(bank, cluster, ended, since_seconds, until_seconds)
    booked: Counter[str] = Counter()
    for entry in entries:
        if entry.reference is not None and is_of_job(entry.reference) and entry.kind != "refund":
            booked[entry.reference] += entry.amount
    lines = [
        _line(record, one, booked[of_job(cluster, one.job.db_index)])
        for one in ended
        if one.job.account in record.seen
    ]
    known = {one.job.db_index for one in ended}
    for charge in record.charges.values():
        if charge.job_index not in known:
            amount = booked[of_job(cluster, charge.job_index)]
            parts = {FORGOTTEN: Fraction(amount)}
            lines.append(RunLine(charge.account, charge.user, 0, amount, parts))
    return lines


def _read_record(
    bank: Bank, cluster: str, ended: Sequence[CostedRun], since: int, until: int
) -> _Record:
    indexes = [one.job.db_index for one in ended]
    with reading(bank.database) as reader:
        charges = job_charges.find_ended(reader, cluster, since_seconds=since, until_seconds=until)
        return _Record(
            usage_sources.find_seen(reader, cluster),
            usage_sources.find_history(reader, cluster),
            usage_sources.find_marks(reader, cluster, indexes),
            find_tariffs(reader, cluster),
            {
                **{one.job_index: one for one in charges},
                **job_charges.find_newest(reader, cluster, indexes),
            },
            usage_sources.find_reconciled_until(reader, cluster),
        )


def _line(record: _Record, one: CostedRun, booked: int) -> RunLine:
    job = one.job
    assert job.ended_at is not None
    allocated = tres.quantities(job.alloc_tres)
    elapsed = max(job.ended_at - one.began_at - job.suspended_seconds, 0)
    whole = int(allocated.get("billing", 0))
    price = tariffs.price(
        record.tariffs,
        allocated,
        partition=job.partition,
        qos=job.qos,
        began_at=one.began_at * _MICROSECONDS,
    )
    if isinstance(price, Unpriced):
        # What it was charged when its price was known stays.
        parts = {UNPRICED: Fraction(booked - whole * elapsed)}
        return RunLine(job.account, job.user, whole * elapsed, booked, parts)
    seconds = charged_seconds(
        Ran(one.began_at, job.ended_at, job.suspended_seconds),
        record.sources,
        record.marks.get(job.db_index, {}),
        record.seen[job.account],
    )
    exact = prices.per_second(price.billing, price.factor) * seconds
    cost = prices.rounded(exact)
    parts = {
        FRACTION: (price.billing - whole) * elapsed,
        FACTOR: price.billing * (price.factor - 1) * elapsed,
        BY_METERS: prices.per_second(price.billing, price.factor) * (seconds - elapsed),
        ROUNDED: cost - exact,
    }
    if booked != cost:
        parts[_why_other(record, one, booked, cost, seconds)] = Fraction(booked - cost)
    return RunLine(job.account, job.user, whole * elapsed, booked, parts)


def _why_other(record: _Record, one: CostedRun, booked: int, cost: int, seconds: int) -> str:
    """Return why a run is not charged what it costs."""
    job, charge = one.job, record.charges.get(one.job.db_index)
    if charge is None:
        is_new = (job.ended_at or 0) > record.reconciled_until
        return NOT_YET if is_new and not booked else UNEXPLAINED
    if charge.amount != booked:
        return UNEXPLAINED
    if (charge.ended_at, charge.seconds, charge.alloc_tres) != (
        job.ended_at,
        seconds,
        job.alloc_tres,
    ):
        return CHANGED
    return KEPT if booked > cost else UNEXPLAINED
