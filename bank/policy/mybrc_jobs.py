"""Jobs as myBRC knows them: which run a report is about, and what the row says after it.

An id is that of a job, and a job that is requeued runs more than once. Each run is a row of its
own, told apart by when it began: `attempt` counts them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bank.errors import Refusal
from bank.policy.mybrc_fields import Report, Told

_MICROSECONDS = 1_000_000
# Of a number of Slurm's, which has 32 bits.
_MOST_DIGITS = 10
# What a run is called of which only is known that the job has begun once more.
REQUEUED = "REQUEUED"


class Job(NamedTuple):
    """A run of a job, as it was reported. Amounts are billing-seconds.

    Attributes:
        attempt: which run of the job, from 1.
        uid, user: the number that was told, and the user's name.
        amount: what was reported last: an estimate while it runs, then what it cost.
        charged: what of that was charged.
        kept: what was charged too much in a period that was closed since, and so stays charged.
        lien: token of the lien that was placed for it, or that it found; None for none.
        reconciled_at: UTC microseconds; since then the books hold what slurmdbd says, and reports
            change nothing but the row.
    """

    cluster: str
    job_key: str
    attempt: int
    uid: int
    user: str
    account: str
    amount: int
    told: Told
    charged: int = 0
    kept: int = 0
    lien: str | None = None
    reconciled_at: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its end was reported."""
        return self.told.enddate is not None

    @property
    def slurm_id(self) -> int | None:
        """Slurm's own number of the job; None where the id is of another form, such as 12_3."""
        is_plain = self.job_key.isdecimal() and len(self.job_key) <= _MOST_DIGITS
        return int(self.job_key) if is_plain else None


class Exact(NamedTuple):
    """What of a job was charged by what slurmdbd says; seconds since 1970, 0 for nothing.

    Attributes:
        charged_until: when the last of its runs ended that is charged.
        reconciled_until: every run of the cluster that had ended by then is charged.
    """

    charged_until: int
    reconciled_until: int


def refuse_known(attempts: Sequence[Job], report: Report) -> None:
    """Refuse a report that a run begins, where it is one that is known.

    Args:
        attempts: the runs that are known, in their order.
        report: what was sent to have a new row.

    Raises:
        Refusal: the job is known, and not told to have begun once more.
    """
    if not attempts:
        return
    newest, startdate = attempts[-1], report.told.get("startdate")
    before = newest.told.enddate if newest.has_ended else newest.told.startdate
    is_again = startdate is not None and before is not None and startdate >= before
    if not is_again or any(_began(one, startdate) for one in attempts):
        raise Refusal(
            "job_exists", f"job {report.job_key} is there already: PUT changes what is known of it"
        )


def run_to_change(attempts: Sequence[Job], report: Report) -> Job | None:
    """Return the run that a report is about, None where it is not known yet.

    Raises:
        Refusal: another user or account was told of it before.
    """
    job = _run_meant(attempts, report.told.get("startdate"))
    if job is not None and job.uid != report.uid:
        raise Refusal("other_user", f"job {report.job_key} was told of as another user's")
    if job is not None and job.account != report.account:
        raise Refusal("other_account", f"job {report.job_key} was told of as another account's")
    return job


def _run_meant(attempts: Sequence[Job], startdate: int | None) -> Job | None:
    for one in attempts:
        if _began(one, startdate):
            return one
    newest = attempts[-1] if attempts else None
    if newest is None or startdate is None or newest.told.enddate is None:
        # One that still runs is the one meant: scripts that take local times for UTC tell another
        # start of it than the plugin did.
        return newest
    return None if startdate >= newest.told.enddate else newest


def _began(job: Job, startdate: int | None) -> bool:
    return startdate is not None and job.told.startdate == startdate


def changed_by(job: Job, report: Report) -> Job:
    """Return a run as it is after a report.

    What was not said stays; nodes are added to those that are known; an end that was told stays
    an end.
    """
    told = {name: value for name, value in report.told.items() if value is not None}
    told["nodes"] = tuple(dict.fromkeys((*job.told.nodes, *report.told.get("nodes", ()))))
    amount = job.amount if report.amount is None else report.amount
    return job._replace(amount=amount, told=job.told._replace(**told))


def superseded(job: Job) -> Job:
    """Return a run that nobody told the end of, when the job has begun once more.

    Nothing is set aside or charged for it until somebody does, so its row says nothing either.
    """
    return job._replace(amount=0, lien=None, told=job.told._replace(jobstatus=REQUEUED))


def is_charged_exactly(job: Job, exact: Exact) -> bool:
    """Tell whether a run is among those that were charged by what slurmdbd says."""
    began, ended = job.told.startdate, job.told.enddate
    if ended is not None and ended <= exact.reconciled_until * _MICROSECONDS:
        return True
    return began is not None and began <= exact.charged_until * _MICROSECONDS
