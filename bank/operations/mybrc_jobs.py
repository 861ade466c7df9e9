"""Jobs that others report over the myBRC interface: set aside for, and charged at their end.

What is charged is provisional: where reconciliation sees a run in sacct, the exact charge is posted
and this one taken back. Each function looks at what the books ought to hold for a run and what they
hold, so what is said twice is booked once, and what is corrected is booked as the difference.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bank.errors import BankError, Refusal
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.references import of_report
from bank.operations import liens
from bank.operations.bank import Bank
from bank.operations.closing import paid_by_grants, settle_given_back
from bank.operations.liens import Ending, Resize, Wanted
from bank.policy import mybrc_jobs as policy
from bank.policy.liens import SETTLED
from bank.policy.mybrc_fields import Report, Told, to_hundredths
from bank.policy.mybrc_jobs import Job
from bank.store import accounts, meters, mybrc
from bank.store import liens as stored
from bank.store.connect import Writer
from bank.store.job_charges import NOT_PRICED, JobCharge
from bank.store.liens import Lien
from bank.store.mybrc import GOES_ON
from bank.store.post import post

# How a job is told: as one that runs, as one that may run only if it can be paid for, or as it is,
# whatever is known of it.
BEGIN, BEGIN_WITHIN, CHANGE = "begin", "begin_within", "change"
_PLACED_BY = "mybrc"
_MICROSECONDS = 1_000_000


class Telling(NamedTuple):
    """A report that is to be taken.

    Attributes:
        how: `BEGIN`, `BEGIN_WITHIN` or `CHANGE`.
        cluster: where the job runs.
        user: name of its user.
        report: what is said.
        actor: who says it.
    """

    how: str
    cluster: str
    user: str
    report: Report
    actor: str = ""


class Taken(NamedTuple):
    """A report that was taken: the run as it is now, and whether nothing was new."""

    job: Job
    is_repeat: bool = False


def tell(bank: Bank, writer: Writer, items: Sequence[Telling]) -> list[Taken | BankError]:
    """Take reports of jobs, in their order.

    Returns:
        For each the run as it is now, or the `Refusal`: "job_exists", "other_user",
        "other_account", and for `BEGIN_WITHIN` "insufficient_funds".
    """
    return [_tell(bank, writer, item) for item in items]


def _tell(bank: Bank, writer: Writer, item: Telling) -> Taken | BankError:
    bank = bank._replace(actor=item.actor or bank.actor)
    attempts = mybrc.find_attempts(writer, item.cluster, item.report.job_key)
    try:
        before = None
        if item.how == CHANGE:
            before = policy.run_to_change(attempts, item.report)
        else:
            policy.refuse_known(attempts, item.report)
        job = policy.changed_by(before or _new(item, len(attempts) + 1), item.report)
        earlier = attempts[-1] if before is None and attempts else None
        is_newest = before is None or before.attempt == len(attempts)
        job = _booked(bank, writer, item, job, earlier, is_newest=is_newest)
    except Refusal as refusal:
        return refusal
    if job == before:
        return Taken(job, is_repeat=True)
    written = [job]
    if earlier is not None and not earlier.has_ended:
        written.append(policy.superseded(earlier))
    mybrc.write(writer, written, now=bank.clock())
    return Taken(job)


def _new(item: Telling, attempt: int) -> Job:
    report = item.report
    return Job(
        item.cluster,
        report.job_key,
        attempt,
        report.uid,
        item.user,
        report.account,
        amount=0,
        told=Told(),
    )


def _booked(
    bank: Bank, writer: Writer, item: Telling, job: Job, earlier: Job | None, *, is_newest: bool
) -> Job:
    """Bring the books to what they ought to hold for a run, and return it as it then is.

    Raises:
        Refusal: it may run only if it can be paid for, and cannot.
    """
    is_by_jobs = meters.find_sources(writer).get(job.cluster) == "jobs"
    if not is_by_jobs or job.reconciled_at is not None:
        # Meters charge what runs there, or what slurmdbd says is charged already.
        return job
    if policy.is_charged_exactly(job, mybrc.find_exact(writer, job.cluster, job)):
        return _taken_back(bank, writer, job)
    # A job has one lien, which is that of its newest run.
    lien = _open_lien(writer, job, earlier) if is_newest else None
    if not job.has_ended:
        return _set_aside(bank, writer, item, job, lien) if is_newest else job
    if lien is not None:
        liens.end(bank, writer, [Ending(lien.token, SETTLED)])
    return _charged(bank, writer, job, job.amount)


def _open_lien(writer: Writer, job: Job, earlier: Job | None) -> Lien | None:
    """Return what is set aside for a job, whoever placed it; None for nothing."""
    found = _own_liens(writer, [one for one in (job, earlier) if one is not None])
    if job.slurm_id is not None:
        # One for all tasks of an array goes on until the last of them has ended.
        by_job = stored.find_by_jobs(writer, job.cluster, [job.slurm_id])
        found += [lien for lien in by_job if not lien.is_array]
    mine = [one for one in found if (one.account, one.user) == (job.account, job.user)]
    return next((one for one in mine if one.is_open), None)


def _own_liens(writer: Writer, jobs: Sequence[Job]) -> list[Lien]:
    tokens = [job.lien for job in jobs if job.lien is not None]
    return list(stored.find_by_tokens(writer, tokens).values())


def _set_aside(bank: Bank, writer: Writer, item: Telling, job: Job, lien: Lien | None) -> Job:
    """Set aside what a run may cost.

    Args:
        bank: actor and clock.
        writer: the transaction.
        item: how and by whom it was told.
        job: the run.
        lien: what is set aside for the job so far.

    Raises:
        Refusal: as `_booked`.
    """
    is_forced = item.how != BEGIN_WITHIN
    answer: liens.Answer | BankError
    if lien is None:
        token = _reference(job)
        wanted = Wanted(
            job.cluster,
            job.account,
            job.user,
            token,
            job.amount,
            job_id=job.slurm_id,
            placed_by=_PLACED_BY,
            actor=bank.actor,
            is_forced=is_forced,
        )
        (answer,) = liens.place(bank, writer, [wanted])
    elif lien.placed_by != _PLACED_BY or lien.cost_of_one == job.amount:
        # One that a hook has placed is for what Slurm has really given.
        return job._replace(lien=lien.token)
    else:
        token = lien.token
        resize = Resize(token, job.amount, is_forced=is_forced, actor=bank.actor)
        (answer,) = liens.resize(bank, writer, [resize])
    if isinstance(answer, BankError):
        raise answer
    return job._replace(lien=None if answer.lien is None else token)


def _reference(job: Job) -> str:
    return of_report(job.cluster, job.job_key, job.attempt)


def _charged(bank: Bank, writer: Writer, job: Job, amount: int) -> Job:
    """Let the books hold so many billing-seconds as used by a run; the first are a charge."""
    more = amount - job.charged
    account = accounts.find(writer, job.account)
    if more == 0 or account is None:
        # Of an account that never was the bank's nothing is booked.
        return job
    kind = "adjustment" if job.charged else "charge"
    draft = Draft(
        job.account,
        kind,
        AVAILABLE,
        USED,
        more,
        bank.actor,
        cluster=job.cluster,
        user=job.user,
        reference=_reference(job),
    )
    if more > 0:
        meters.ensure_place(writer, job.cluster, job.account)
        post(writer, paid_by_grants(writer, [draft]), now=bank.clock())
    else:
        # What a period that is over has settled is not given back.
        used = dict(meters.find_own_use(writer, account.account_id)).get(job.cluster, 0)
        back = max(min(-more, used), 0)
        if back:
            draft = draft._replace(source=USED, target=AVAILABLE, amount=back)
            post(writer, [draft], now=bank.clock())
            settle_given_back(bank, writer, [job.account])
        job = job._replace(kept=job.kept - more - back)
    accounts.show(writer, bank.database, [job.account])
    return job._replace(charged=amount)


def _taken_back(bank: Bank, writer: Writer, job: Job) -> Job:
    """Return a run whose exact charge is posted: nothing else is booked for it from now on."""
    # Those of hooks end with the last run of their job.
    mine = [one.token for one in _own_liens(writer, [job]) if one.placed_by == _PLACED_BY]
    liens.end(bank, writer, [Ending(token, SETTLED) for token in mine])
    return _charged(bank, writer, job, 0)._replace(reconciled_at=bank.clock())


def take_back(bank: Bank, writer: Writer, cluster: str, charges: Sequence[JobCharge]) -> None:
    """Take back what was charged by reports for runs, in the transaction that charges them exactly.

    A run whose end was never reported gets its end and its cost in the row from slurmdbd.

    Args:
        bank: actor and clock.
        writer: that transaction.
        cluster: where they ran.
        charges: what was charged. Of a job that goes on, in another size, nothing is taken back
            yet, nor of one that could not be priced.
    """
    known = [one for one in charges if one.state not in GOES_ON and one.priced_by != NOT_PRICED]
    keys = sorted({key for one in known for key in _keys(one)})
    by_key: dict[str, list[Job]] = {}
    for job in mybrc.find_provisional(writer, cluster, keys):
        by_key.setdefault(job.job_key, []).append(job)
    done: dict[tuple[str, int], Job] = {}
    for charge in known:
        for job in (job for key in _keys(charge) for job in by_key.get(key, [])):
            # A run that began later is another one.
            began = job.told.startdate
            is_later = began is not None and began > charge.ended_at * _MICROSECONDS
            if not is_later and (job.job_key, job.attempt) not in done:
                taken = _taken_back(bank, writer, job)
                done[job.job_key, job.attempt] = taken if job.has_ended else _as_in(taken, charge)
    mybrc.write(writer, done.values(), now=bank.clock())


def _keys(charge: JobCharge) -> set[str]:
    """Return by which ids a run may have been reported."""
    return {str(charge.job_id), charge.shown_id}


def _as_in(job: Job, charge: JobCharge) -> Job:
    told = job.told._replace(enddate=charge.ended_at * _MICROSECONDS, jobstatus=charge.state)
    return job._replace(told=told, amount=to_hundredths(charge.amount))


def take_back_until(bank: Bank, writer: Writer, cluster: str, until: int) -> None:
    """Take back what was charged by reports for all runs that ended by a time.

    For the transaction that says that every run of a cluster that had ended by then is charged:
    what is left was reported with times that are not slurmdbd's, or is of no job that it knows.

    Args:
        bank: actor and clock.
        writer: that transaction.
        cluster: where they ran.
        until: seconds since 1970.
    """
    late: Iterable[Job] = mybrc.find_provisional_until(writer, cluster, until * _MICROSECONDS)
    mybrc.write(writer, [_taken_back(bank, writer, job) for job in late], now=bank.clock())
