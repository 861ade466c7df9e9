"""Charges of a span of time, compared with what sacct says ran in it. Nothing is written."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from operator import attrgetter
from typing import Any, NamedTuple

from bank.errors import InputError, Refusal
from bank.ledger.references import (
    SEPARATOR,
    is_of_first_look,
    is_of_job,
    is_of_reading,
    is_of_report,
)
from bank.operations import days
from bank.operations.bank import Bank, utc_text
from bank.operations.clusters import Cluster, all_clusters
from bank.operations.compared import Line, Whose, described_rows, together
from bank.operations.job_costs import CostedRun, find_alive, find_overlapping
from bank.operations.meter_plan import LAG_SECONDS
from bank.operations.rates import Rate
from bank.policy import metering, reconciliation
from bank.policy.charged_time import JOBS
from bank.policy.metering import Span
from bank.policy.reconciliation import (
    BY_HAND,
    BY_JOBS,
    FIRST_LOOK,
    REFUNDED,
    REPORTED,
    UNEXPLAINED,
    RunInSacct,
    Segment,
)
from bank.slurm import sacctmgr, tres
from bank.slurm.command import run
from bank.store import accounts, charges, meters, usage_sources
from bank.store.charges import Charge, MeterInSpan, MeterReading, Moment
from bank.store.connect import reading
from bank.store.meters import ClusterState

_MICROSECONDS = 1_000_000
_DEFAULT_DAYS = 30


class _Books(NamedTuple):
    """What the books have of one cluster in the period.

    Attributes:
        state: what is known of the cluster as of its last reading.
        looks: when it was read, in order.
        opened: since when accounts have been open.
        names: all accounts.
    """

    state: ClusterState
    looks: list[Moment]
    meters: list[MeterInSpan]
    charges: list[Charge]
    opened: dict[str, int]
    names: list[str]

    def last_look_before(self, at: int) -> Moment | None:
        """Return when the cluster was last read before a time."""
        number = bisect_left(self.looks, at, key=attrgetter("asked_at"))
        return self.looks[number - 1] if number else None


class _Question(NamedTuple):
    """The period, in UTC microseconds, and since when slurmdbd has kept all jobs."""

    since: int
    until: int
    kept_since: int


def compare(bank: Bank, start: str | None, end: str | None) -> dict[str, Any]:
    """Compare what was charged in a span of time with what sacct says ran in it.

    Args:
        bank: see `Bank`.
        start: since when, as typed; None for 30 days before the end.
        end: until when, as typed; None for now.

    Returns:
        For each cluster, account and user what sacct shows, what is booked, and what makes the
        difference; whether nothing is left unexplained.

    Raises:
        InputError: no such time or span.
        Refusal: nothing was ever read.
        SlurmError: Slurm did not answer or was not understood.
    """
    now = bank.clock()
    until = now if end is None else min(days.moment(end, "--to"), now)
    since = until - _DEFAULT_DAYS * 86_400 * _MICROSECONDS
    if start is not None:
        since = days.moment(start, "--from")
    if since >= until:
        raise InputError(
            f"{start or 'the start'} is not before {end or 'now'}: what is compared is from --from"
            " until before --to"
        )
    kept = sacctmgr.read_jobs_kept_seconds(run(bank.slurm, sacctmgr.configuration_arguments()))
    kept_since = 0 if kept is None else now - kept * _MICROSECONDS
    question = _Question(since, until, kept_since)
    found = {}
    for cluster in all_clusters(bank):
        mine = _since_change(bank, cluster, question)
        books = _read_books(bank, cluster, mine)
        if books is not None:
            found[cluster.name] = _compare_cluster(bank, cluster, mine, books)
    if not found:
        raise Refusal("nothing_read", "no cluster was ever read: run 'slurm_bank.py enforce'")
    rows = described_rows(found)
    return {
        "from": utc_text(question.since),
        "to": utc_text(question.until),
        "rows": rows,
        "agrees": not any(
            row["unexplained_billing_seconds"] or row.get("meters_unexplained_billing_seconds")
            for row in rows
        ),
    }


def _since_change(bank: Bank, cluster: Cluster, question: _Question) -> _Question:
    """Return the period as far as what charges the cluster now has charged it."""
    with reading(bank.database) as reader:
        history = usage_sources.find_history(reader, cluster.name)
    changed = history[-1].since * _MICROSECONDS if len(history) > 1 else 0
    return question._replace(since=min(max(question.since, changed), question.until))


def _read_books(bank: Bank, cluster: Cluster, question: _Question) -> _Books | None:
    with reading(bank.database) as reader:
        state = meters.find_cluster(reader, cluster.name)
        if state is None:
            return None
        return _Books(
            state,
            charges.find_looks(reader, cluster.name, until=question.until),
            charges.find_meters_in_span(
                reader, cluster.name, since=question.since, until=question.until
            ),
            charges.find_charges(reader, cluster.name, question.since),
            charges.find_first_openings(reader),
            list(accounts.find_all(reader)),
        )


def _compare_cluster(
    bank: Bank, cluster: Cluster, question: _Question, books: _Books
) -> dict[Whose, Line]:
    is_by_jobs = books.state.source == JOBS
    lag = cluster.config.calc_period_seconds + LAG_SECONDS
    before = books.last_look_before(question.since)
    first = before.asked_at if before else question.since
    costed = find_overlapping(
        bank,
        cluster,
        since_seconds=first // _MICROSECONDS - lag,
        until_seconds=question.until // _MICROSECONDS + 1,
        accounts=books.names,
    )
    alive = find_alive(bank, cluster, costed)
    by_meter = _by_meter(books, costed)
    charged = _by_reference(books)
    since, until = _seconds(question.since), _seconds(question.until)
    lines: dict[Whose, Line] = {}
    for meter in [*books.meters, *_never_read(books, by_meter)]:
        runs = [
            _ran(one, alive, is_by_jobs=is_by_jobs) for one in by_meter.get(meter.association, [])
        ]
        segments = _segments(meter, question, books, charged, lag)
        parts = reconciliation.meter_parts(segments, runs, since, until)
        booked = sum(segment.charged + segment.adjusted for segment in segments)
        shown = Fraction(0)
        for one in runs:
            amount, leads = reconciliation.shown_by_sacct(one, since, until)
            shown += amount
            parts = together(parts, leads)
        _add(lines, (meter.account, meter.user), Line(shown, booked, parts))
    if is_by_jobs:
        lines = _by_jobs(bank, cluster, question, books, costed, lines)
    for whose, cause, posted in _without_reading(books, question, is_by_jobs=is_by_jobs):
        _add(lines, whose, Line(Fraction(0), posted, {cause: Fraction(posted)}))
    return lines


def _by_jobs(
    bank: Bank,
    cluster: Cluster,
    question: _Question,
    books: _Books,
    costed: Sequence[CostedRun],
    counted: Mapping[Whose, Line],
) -> dict[Whose, Line]:
    """Return what jobs were charged, each line with what meters counted meanwhile."""
    # Loaded here, because where meters charge nobody needs it.
    from bank.operations.comparison_by_jobs import run_lines

    lines = {
        whose: Line(Fraction(0), 0, {}, line)
        for whose, line in counted.items()
        if line.booked or line.sacct
    }
    for run_line in run_lines(
        bank,
        cluster.name,
        costed,
        books.charges,
        since_seconds=question.since // _MICROSECONDS,
        # With what ended in the present second.
        until_seconds=-(-question.until // _MICROSECONDS),
    ):
        line = Line(Fraction(run_line.shown), run_line.booked, run_line.parts)
        _add(lines, (run_line.account, run_line.user), line)
    return lines


def _seconds(microseconds: int) -> Fraction:
    return Fraction(microseconds, _MICROSECONDS)


def _add(lines: dict[Whose, Line], whose: Whose, line: Line) -> None:
    before = lines.get(whose, Line(Fraction(0), 0, {}))
    lines[whose] = Line(
        before.sacct + line.sacct,
        before.booked + line.booked,
        together(before.parts, line.parts),
        before.counted,
    )


def _by_meter(books: _Books, costed: Sequence[CostedRun]) -> dict[int, list[CostedRun]]:
    """Return runs by association; where sacct does not say it, by whose they were."""
    whose = {(one.account, one.user, one.partition): one.association for one in books.meters}
    found: dict[int, list[CostedRun]] = defaultdict(list)
    for one in costed:
        job = one.job
        number = job.association
        for partition in ("", job.partition):
            if not number:
                number = whose.get((job.account, job.user, partition), 0)
        found[number or -job.job_id].append(one)
    return found


def _never_read(
    books: _Books, by_meter: Mapping[int, Sequence[CostedRun]]
) -> Iterator[MeterInSpan]:
    """Yield the associations that jobs ran on and of which no reading is on record."""
    known = {meter.association for meter in books.meters}
    for association, runs in by_meter.items():
        if association not in known:
            job = runs[0].job
            whose = (job.account, job.user, job.partition)
            yield MeterInSpan(association, *whose, None, [], has_later=False)


def _by_reference(books: _Books) -> dict[str, tuple[int, int]]:
    """Return what was charged, and what was adjusted, by the reading that it rests on."""
    found: dict[str, tuple[int, int]] = {}
    for one in books.charges:
        if one.reference is not None and one.amount > 0:
            charged, adjusted = found.get(one.reference, (0, 0))
            if one.kind == "charge":
                found[one.reference] = charged + one.amount, adjusted
            else:
                found[one.reference] = charged, adjusted + one.amount
    for reading_of_meter in (one for meter in books.meters for one in meter.readings):
        if reading_of_meter.cause == metering.CONTROL:
            # What a counter shows that was set back it has counted since.
            rise = reading_of_meter.rise
            found[reading_of_meter.reference] = (rise if rise >= 0 else reading_of_meter.raw), 0
    return found


def _ran(one: CostedRun, alive: set[int], *, is_by_jobs: bool) -> RunInSacct:
    job = one.job
    # A job that is not charged because nobody knows its price has one by its whole number.
    whole = int(tres.quantities(job.alloc_tres).get("billing", 0)) if is_by_jobs else 0
    rate = one.rate or Rate(Fraction(0), Fraction(0), whole, is_cut=False)
    return RunInSacct(
        one.began_at,
        job.ended_at,
        job.suspended_seconds,
        rate.whole,
        rate.billing,
        rate.factor,
        is_cut=rate.is_cut,
        is_unpriced=one.rate is None,
        is_disputed=job.ended_at is None and job.job_id not in alive,
    )


def _segments(
    meter: MeterInSpan,
    question: _Question,
    books: _Books,
    charged: Mapping[str, tuple[int, int]],
    lag: int,
) -> list[Segment]:
    """Return what was booked of a meter from reading to reading.

    All meters are read at once, and a reading is on record where it was another one than before:
    so what a meter showed last it showed at every later look too.
    """
    known = (meter.before, books.last_look_before(question.since))
    looks = [moment for moment in known if moment is not None]
    last = max(looks, default=Moment(question.since, question.since))
    found: list[Segment] = []
    for one in meter.readings:
        cause = _cause(one)
        look = books.last_look_before(one.moment.asked_at)
        if look is not None and look > last:
            found.append(_segment(last, look.asked_at, metering.RISE, question, lag))
            last = look
            opened_at = books.opened.get(meter.account, look.asked_at)
            if cause == metering.FIRST and opened_at < look.asked_at:
                # The meter was looked at before, and had counted nothing.
                cause = metering.RISE
        charge, adjustment = charged.get(one.reference, (0, 0))
        new = _segment(last, one.moment.asked_at, cause, question, lag)
        found.append(new._replace(charged=charge, adjusted=adjustment))
        last = one.moment
    until = min(books.state.asked_at, question.until)
    if not meter.has_later and until > last.asked_at:
        found.append(_segment(last, until, metering.RISE, question, lag))
    is_control = books.state.source == JOBS
    return [one._replace(is_control=is_control) for one in _joined(found)]


def _cause(one: MeterReading) -> str:
    """Return what a reading means; of a control reading what it would mean where meters charge."""
    if one.cause != metering.CONTROL:
        return one.cause
    if one.rise < 0:
        return metering.FALL
    return metering.FIRST if one.reference.endswith(f"{SEPARATOR}1") else metering.RISE


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Join segments over whose edges nothing was lost: what runs over them counts once."""
    found: list[Segment] = []
    for one in segments:
        if found and _is_quiet(found[-1]) and _is_quiet(one):
            span = found[-1].span._replace(asked=one.span.asked)
            charged = found[-1].charged + one.charged
            found[-1] = found[-1]._replace(span=span, charged=charged)
        else:
            found.append(one)
    return found


def _segment(since: Moment, asked_at: int, cause: str, question: _Question, lag: int) -> Segment:
    span = Span(
        _seconds(since.asked_at),
        _seconds(max(since.answered_at, since.asked_at)),
        _seconds(asked_at),
        lag,
    )
    return Segment(span, 0, 0, cause, since.asked_at < question.kept_since)


def _is_quiet(segment: Segment) -> bool:
    return segment.cause == metering.RISE and not segment.may_be_forgotten


def _without_reading(
    books: _Books, question: _Question, *, is_by_jobs: bool
) -> Iterator[tuple[Whose, str, int]]:
    """Yield what was booked in the period and rests on no reading, by whose it is and why.

    What rests on runs of jobs is compared with those where jobs charge.
    """
    for one in books.charges:
        reference = one.reference or ""
        if one.posted_at >= question.until or (one.amount > 0 and is_of_reading(reference)):
            continue
        cause = BY_HAND
        if one.kind == "refund":
            cause = REFUNDED
        elif is_of_job(reference):
            if is_by_jobs:
                continue
            cause = BY_JOBS
        elif is_of_report(reference):
            cause = REPORTED
        elif is_of_first_look(reference):
            cause = FIRST_LOOK
        elif one.kind == "charge":
            cause = UNEXPLAINED
        yield (one.account, one.user or ""), cause, one.amount
