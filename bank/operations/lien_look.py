"""Looking at the queue: liens are bound to their jobs, end with them, and come back with them.

Driven by what is: whichever call of a hook was lost, the next look puts it right. A lien whose job
has gone is kept until the job has been charged, so what is set aside never falls too soon.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.operations import liens as acts
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.liens import Wanted, ended, kept
from bank.operations.purses import Purses
from bank.operations.rates import Rates, ask_rates
from bank.policy import prices
from bank.policy.liens import BOUND, EXPIRED, PLACED, SETTLED, VOIDED, token_in, token_of_run
from bank.slurm import live_jobs
from bank.slurm.command import run
from bank.slurm.live_jobs import LiveJob
from bank.store import accounts, liens
from bank.store.connect import Reader, Writer, reading, writing
from bank.store.liens import Lien

_MICROSECONDS = 1_000_000
# A job is there a moment after it was submitted, unless the controller is very busy. One that comes
# later has its lien again.
_UNBOUND_SECONDS = 45
# What a job without a time limit is thought to run on, each time that it is looked at.
_HOUR_SECONDS = 3600


class Look(NamedTuple):
    """What the controller said of its jobs.

    Attributes:
        cluster: which one.
        asked_at: UTC microseconds.
        jobs: all that it knows.
        open: the liens that were open before it was asked, by their numbers.
        rates: what jobs cost each second; None where nothing runs.
    """

    cluster: str
    asked_at: int
    jobs: Sequence[LiveJob]
    open: Mapping[int, Lien]
    rates: Rates | None


class _Jobs(NamedTuple):
    """The jobs of a look, by what liens know them by."""

    by_token: Mapping[str, Sequence[LiveJob]]
    by_id: Mapping[tuple[int, bool], Sequence[LiveJob]]

    def of(self, lien: Lien) -> Sequence[LiveJob]:
        """Return the jobs that a lien is for: one, or the parts of an array."""
        if lien.token in self.by_token:
            return self.by_token[lien.token]
        if lien.job_id is None:
            return ()
        found = self.by_id.get((lien.job_id, bool(lien.is_array)), ())
        # A controller that was killed gives the numbers of jobs that it forgot away again.
        return [job for job in found if job.user == lien.user and token_in(job.comment) is None]


def look(bank: Bank, cluster: Cluster) -> Look:
    """Ask the controller for its jobs.

    Raises:
        SlurmError: it did not answer or was not understood.
    """
    with reading(bank.database) as reader:
        known = {lien.lien_id: lien for lien in liens.find_open(reader, cluster.name)}
    asked_at = bank.clock()
    jobs = live_jobs.read(run(bank.slurm, live_jobs.arguments(cluster.on)))
    rates = ask_rates(bank, cluster) if any(job.is_running for job in jobs) else None
    return Look(cluster.name, asked_at, jobs, known, rates)


def keep_liens(bank: Bank, seen: Look) -> None:
    """Bring the liens of a cluster up to date with its queue, in one transaction."""
    jobs = _sorted(seen)
    with writing(bank.database) as writer:
        known = {lien.lien_id: lien for lien in liens.find_open(writer, seen.cluster)}
        found = liens.find_by_tokens(writer, list(jobs.by_token))
        known |= {lien.lien_id: lien for lien in found.values() if lien.cluster == seen.cluster}
        changes = []
        for lien in known.values():
            after = _after(bank, seen, jobs, lien)
            if after.account != lien.account and not _is_banked(writer, after):
                after = _given_up(lien, at=seen.asked_at)
            if after != lien:
                changes.append((lien, after))
        accounts.ensure(writer, {after.account for _, after in changes})
        liens.change(writer, changes)
        acts.place(bank, writer, list(_without_lien(writer, seen)))


def _is_banked(reader: Reader, lien: Lien) -> bool:
    """Tell whether somebody in the bank pays for a lien's job."""
    return bool(Purses(reader, [lien.account]).payers(lien.cluster, lien.account, lien.user))


def _given_up(lien: Lien, *, at: int) -> Lien:
    why = "its job is of an account that is not open in the bank"
    return ended(lien, VOIDED, at=at, reason=why) if lien.is_open else lien


def _sorted(seen: Look) -> _Jobs:
    by_token: dict[str, list[LiveJob]] = defaultdict(list)
    by_id: dict[tuple[int, bool], list[LiveJob]] = defaultdict(list)
    for job in seen.jobs:
        token = token_in(job.comment)
        if token is None and job.is_running:
            token = token_of_run(seen.cluster, job.job_id, job.started_at or 0)
        if token is not None:
            by_token[token].append(job)
        by_id[job.job_id, False].append(job)
        if job.array_job_id is not None:
            by_id[job.array_job_id, True].append(job)
    return _Jobs(by_token, by_id)


def _after(bank: Bank, seen: Look, jobs: _Jobs, lien: Lien) -> Lien:
    """Return a lien as it is after a look."""
    if max(lien.placed_at, lien.bound_at or 0, lien.ended_at or 0) >= seen.asked_at:
        # What came about since the controller was asked, its answer does not know.
        return lien
    mine = jobs.of(lien)
    live = [job for job in mine if not job.is_over]
    if not lien.is_open:
        return _revived(bank, lien, live) if live else lien
    if lien.state == PLACED:
        return _bound(bank, lien, mine[0]) if mine else _unbound(seen, lien)
    if not live:
        # Never later than now, where the clock was set back since.
        return lien._replace(gone_at=min(lien.gone_at or seen.asked_at, seen.asked_at))
    # Its account may have been changed, with `scontrol update`.
    after = lien._replace(gone_at=None, account=live[0].account)
    if lien.is_array:
        return _recounted(seen, after, live)
    cost = _cost(seen, live[0]) if live[0].is_running else None
    return after if cost is None else kept(after._replace(cost_of_one=cost))


def _bound(bank: Bank, lien: Lien, job: LiveJob) -> Lien:
    return lien._replace(
        state=BOUND,
        bound_at=bank.clock(),
        job_id=job.job_id if job.array_job_id is None else job.array_job_id,
        is_array=int(job.array_job_id is not None),
        account=job.account,
    )


def _unbound(seen: Look, lien: Lien) -> Lien:
    """Return a lien for which no job has come."""
    if lien.expires_at is not None and lien.expires_at <= seen.asked_at:
        return ended(lien, EXPIRED, at=seen.asked_at, reason="no job came in its time")
    is_late = lien.placed_at + _UNBOUND_SECONDS * _MICROSECONDS < seen.asked_at
    if lien.placed_by == "submit" and is_late:
        return ended(lien, VOIDED, at=seen.asked_at, reason="no job came of the submission")
    return lien


def _revived(bank: Bank, lien: Lien, live: Sequence[LiveJob]) -> Lien:
    """Return a lien that had ended, and whose job is there again: requeued, or late."""
    tasks = _tasks(live)
    back = lien._replace(
        tasks_ended=max(lien.tasks - (lien.tasks if tasks is None else tasks), 0),
        gone_at=None,
        ended_at=None,
        reason="its job came back",
    )
    if back.job_id is None:
        return kept(_bound(bank, back, live[0]))
    return kept(back._replace(state=BOUND, account=live[0].account))


def _recounted(seen: Look, lien: Lien, live: Sequence[LiveJob]) -> Lien:
    """Return an array's lien where tasks that had been charged run once more."""
    tasks = _tasks(live)
    before = seen.open.get(lien.lien_id)
    if tasks is None or before is None:
        return lien
    came_back = before.tasks_ended + tasks - lien.tasks
    if came_back <= 0:
        return lien
    return kept(lien._replace(tasks_ended=max(lien.tasks_ended - came_back, 0)))


def _tasks(live: Sequence[LiveJob]) -> int | None:
    count = 0
    for job in live:
        if job.tasks is None:
            return None
        count += job.tasks
    return count


def _cost(seen: Look, job: LiveJob) -> int | None:
    """Return what a running job may cost from its start on, in billing-seconds.

    None where Slurm does not say what it is billed.
    """
    assert seen.rates is not None
    assert job.started_at is not None
    weights, factor = seen.rates.weights.get(job.partition), seen.rates.factors.get(job.qos)
    if weights is None or factor is None:
        return None
    billing = prices.billing(job.allocated, weights, max_tres=seen.rates.max_tres)
    ran = max(seen.asked_at // _MICROSECONDS - job.started_at, 0)
    limit = ran + _HOUR_SECONDS if job.limit_minutes is None else job.limit_minutes * 60
    seconds = max(limit, ran)
    return prices.at_most(prices.per_second(billing, factor) * Fraction(seconds))


def _without_lien(reader: Reader, seen: Look) -> Iterator[Wanted]:
    """Yield liens for the running jobs that have none: the hooks never saw them, or did not ask."""
    running = [job for job in seen.jobs if job.is_running]
    ids = {job.job_id for job in running} | {job.array_job_id or 0 for job in running}
    found = liens.find_by_jobs(reader, seen.cluster, sorted(ids))
    has_own = {lien.job_id for lien in found if not lien.is_array}
    has_array = {lien.job_id for lien in found if lien.is_array}
    for job in running:
        if job.job_id in has_own or job.array_job_id in has_array:
            continue
        cost = _cost(seen, job)
        if cost is not None:
            yield Wanted(
                cluster=seen.cluster,
                account=job.account,
                user=job.user,
                token=token_of_run(seen.cluster, job.job_id, job.started_at or 0),
                cost_of_one=cost,
                job_id=job.job_id,
                placed_by="look",
                is_forced=True,
            )


def end_gone(bank: Bank, cluster: str, *, reconciled_until: int) -> None:
    """End the liens whose jobs have gone, and have been charged as far as there is anything.

    Args:
        bank: see `Bank`.
        cluster: which one.
        reconciled_until: every run that had ended by then is charged; seconds since 1970.
    """
    with writing(bank.database) as writer:
        gone = [
            lien
            for lien in liens.find_open(writer, cluster)
            if lien.gone_at is not None and lien.gone_at <= reconciled_until * _MICROSECONDS
        ]
        end_all(bank, writer, gone)


def end_all(bank: Bank, writer: Writer, gone: Sequence[Lien]) -> None:
    """End liens of which nothing more will be charged."""
    now = bank.clock()
    changes = [
        (lien, ended(lien, SETTLED if lien.tasks_ended else VOIDED, at=now, reason=_WHY_GONE))
        for lien in gone
    ]
    liens.change(writer, changes)


_WHY_GONE = "its job has gone"
