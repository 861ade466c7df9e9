"""Why one job waits: Slurm's reason in plain words, with the numbers and what would change it."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.policy import job_reasons, prices, slurm_limits
from bank.policy.enforcement import NATIVE_LIMIT
from bank.policy.job_details import DETAILS, whole
from bank.policy.job_reasons import WORDS
from bank.policy.queue import PENDING, QOS, Job, Queue
from bank.policy.reasons import JOB, STOPS, WAITS, Numbers, Reason
from bank.policy.slurm_limits import Limit
from bank.policy.time_texts import span

_MINUTES_PER_SU = 60
_SECONDS_PER_MINUTE = 60


class Ours(NamedTuple):
    """What the bank has set on a cluster.

    Attributes:
        holds: (account, user, limit) of each of its holds; the user of an account's is "".
        native: (account, user) of each association whose GrpTRESMins=billing is the bank's.
    """

    holds: frozenset[tuple[str, str, str]]
    native: frozenset[tuple[str, str]]

    def has_hold(self, limit: Limit) -> bool:
        """Tell whether a limit is one of the bank's holds."""
        holder = limit.holder
        return holder.kind != QOS and (holder.name, holder.user, limit.name) in self.holds

    def has_native(self, limit: Limit) -> bool:
        """Tell whether a limit is what the bank lets Slurm itself enforce."""
        holder = limit.holder
        is_of_association = holder.kind != QOS and limit.name == NATIVE_LIMIT
        return is_of_association and (holder.name, holder.user) in self.native


def cost_at_most(job: Job, queue: Queue) -> int | None:
    """Return what a job may cost if it runs to its time limit, in billing-seconds.

    Returns:
        Rounded up; None where its time limit, its partition or its QOS's factor is not known. Of a
        job that may run in several partitions the dearest.
    """
    factor = queue.usage_factors.get(job.qos)
    known = [queue.partitions.get(name) for name in job.partitions]
    if job.limit_minutes is None or factor is None or None in known or not job.tres:
        return None
    seconds = job.limit_minutes * _SECONDS_PER_MINUTE
    costs = [
        prices.cost(job.tres, one.weights, factor=factor, seconds=seconds, max_tres=queue.max_tres)
        for one in known
        if one is not None
    ]
    return prices.at_most(max(costs))


def explain_job(job: Job, queue: Queue, ours: Ours) -> list[Reason]:
    """Return every reason why a job waits, what Slurm says first; none where it does not wait."""
    if job.state != PENDING:
        return []
    code = job_reasons.code_of(job.reason)
    about = job_reasons.limit_reason(code)
    limits = slurm_limits.for_job(queue, job)
    found: list[Reason] = []
    told: list[Limit] = []
    if about is not None:
        meant = slurm_limits.about(limits, about)
        told = [limit for limit in meant if slurm_limits.does_not_fit(limit, job)]
        found += [_too_little(job, queue, limit, ours, code) for limit in told]
        if not found:
            found.append(_moved_on(job, queue, code, meant))
    else:
        found.append(_in_words(job, queue, code))
    others = [one for one in limits if one not in told and slurm_limits.does_not_fit(one, job)]
    found += [_too_little(job, queue, limit, ours, "") for limit in others]
    return found


def _reason(
    job: Job,
    queue: Queue,
    code: str,
    effect: str,
    sentence: str,
    remedy: str,
    numbers: Numbers,
) -> Reason:
    asked: Numbers = {
        "job_id": job.job_id,
        "shown_job_id": job.shown_id,
        "user": job.user,
        "account": job.account,
        "partitions": list(job.partitions),
        "qos": job.qos,
        "state": job.state,
        "slurm_reason": job.reason,
        "limit_minutes": job.limit_minutes,
        "at_most_billing_seconds": cost_at_most(job, queue),
        **numbers,
    }
    clusters = (queue.cluster,)
    return Reason(code, effect, JOB, f"job {job.shown_id}", sentence, remedy, asked, clusters)


# -- limits ------------------------------------------------------------------------------------


def amount(limit: Limit, value: Fraction | int) -> str:
    """Write so much of a limit, with its unit."""
    text = f"{int(value)}" if value.denominator == 1 else f"{float(value):.2f}"
    if limit.field in ("MaxWallPJ", "GrpWall"):
        return f"{text} minutes"
    if limit.is_of_minutes:
        return f"{text} {limit.resource}-minutes"
    if limit.resource == "mem":
        return f"{text} MB of memory"
    return f"{text} {limit.resource or ('job' if value == 1 else 'jobs')}"


def _too_little(job: Job, queue: Queue, limit: Limit, ours: Ours, code: str) -> Reason:
    """Say that a job does not fit into a limit; without a code Slurm says something else."""
    need = slurm_limits.needed(limit, job)
    fits = slurm_limits.would_fit(limit, job)
    is_hold = ours.has_hold(limit)
    also = "" if code else "also: "
    if is_hold:
        sentence = f"{also}{limit.name}={limit.value} is the bank's hold of {limit.holder}"
    else:
        sentence = f"{also}{how_it_stands(limit)}{_what_it_asks(limit, need)}"
    return _reason(
        job,
        queue,
        code or "another_limit",
        STOPS,
        sentence + (f" ({job.reason})" if code else ""),
        _more_of(job, queue, limit, ours, fits, is_hold=is_hold),
        {**numbers_of(limit), "needed": whole(need), "would_fit": fits},
    )


def numbers_of(limit: Limit) -> dict[str, object]:
    """Return a limit for programs."""
    return {
        "limit": limit.name,
        "limit_of": str(limit.holder),
        "value": limit.value,
        "used": whole(limit.used),
        "reserved": whole(limit.reserved),
    }


def how_it_stands(limit: Limit) -> str:
    """Say what a limit is, whose, and how much of it is gone."""
    text = f"{limit.name}={limit.value} of {limit.holder}"
    if limit.field.endswith(("PJ", "PN")):
        return text
    if limit.field == "GrpTRESMins":
        used = f"{amount(limit, limit.used)} are used"
        return f"{text}: {used}, {amount(limit, limit.reserved)} set aside for running jobs"
    return f"{text}: {how_much_is_gone(limit)}"


def how_much_is_gone(limit: Limit) -> str:
    """Say how much of a limit is used up, or in use."""
    is_for_good = limit.field in ("GrpTRESMins", "GrpWall")
    return f"{amount(limit, limit.used)} {'used' if is_for_good else 'in use'}"


def _what_it_asks(limit: Limit, need: Fraction | None) -> str:
    if need is None:
        return "; the job has no time limit"
    if limit.field in (*slurm_limits.SUBMIT, "GrpWall"):
        return ""
    if not limit.resource and limit.field != "MaxWallPJ":
        return ""
    return f"; the job asks for {amount(limit, need)}"


def _more_of(
    job: Job, queue: Queue, limit: Limit, ours: Ours, fits: int | None, *, is_hold: bool
) -> str:
    """Return what would let a job fit."""
    if is_hold:
        return f"the same as for {limit.holder}"
    ways = []
    minutes = slurm_limits.minutes_that_fit(limit, job)
    if minutes is not None:
        ways.append(
            f"a time of at most {span(minutes)}:"
            f" 'scontrol update jobid={job.job_id} timelimit={minutes}'"
        )
    elif fits is None:
        ways.append(f"a time limit: 'scontrol update jobid={job.job_id} timelimit=MINUTES'")
    if _frees_itself(limit):
        ways.append(f"wait until jobs end{_which_run(job, queue, limit)}")
    if fits is None:
        # However much there were, a job without end would not fit.
        return "; or ".join(ways)
    if ours.has_native(limit):
        ways.append(more_sus(limit, fits))
    elif limit.field == "MinTRESPJ" or (limit.holder.kind == QOS and not minutes):
        ways.append("another QOS or another size of the job")
        ways.append(f"an administrator: '{limit.command(fits)}'")
    else:
        ways.append(f"an administrator: '{limit.command(fits)}'")
    return "; or ".join(ways)


def more_sus(limit: Limit, fits: int) -> str:
    """Return the command that raises a limit of the bank's to a value."""
    more = -(-(fits - limit.value) // _MINUTES_PER_SU)
    holder = limit.holder
    if holder.user:
        return f"'slurm_bank.py limit_user {holder.name} {holder.user} SU' with {more} SUs more"
    return f"'slurm_bank.py add {holder.name} {more}'"


def _frees_itself(limit: Limit) -> bool:
    """Tell whether the end of running jobs gives some of a limit back."""
    if limit.value == 0:
        return False
    if limit.field == "GrpTRESMins":
        return limit.reserved > 0
    return limit.used > 0 and limit.field not in ("GrpWall", *slurm_limits.SUBMIT)


def _which_run(job: Job, queue: Queue, limit: Limit) -> str:
    """Name a few of the jobs that use some of a limit."""
    running = [one for one in queue.jobs if one.state == "RUNNING" and _counts(one, job, limit)]
    names = [one.shown_id for one in running[:3]]
    more = f" and {len(running) - 3} more" if len(running) > len(names) else ""
    return f" ({', '.join(names)}{more} of account {job.account} run)" if names else ""


def _counts(one: Job, job: Job, limit: Limit) -> bool:
    if limit.holder.kind == QOS:
        return one.qos == limit.holder.name and one.account == job.account
    return one.account == job.account


def _moved_on(job: Job, queue: Queue, code: str, meant: Sequence[Limit]) -> Reason:
    """Say that a limit which Slurm names stops the job no more, or is none that is known."""
    if meant:
        stands = "; ".join(how_it_stands(limit) for limit in meant)
        sentence = f"{code} was so when Slurm last looked; now it fits: {stands}"
        return _reason(
            job,
            queue,
            code,
            WAITS,
            sentence,
            "wait: Slurm looks again within a minute",
            {"limits": [numbers_of(limit) for limit in meant]},
        )
    return _reason(
        job,
        queue,
        code,
        STOPS,
        f"Slurm says {code}, and no such limit is set where it can be seen",
        "'scontrol show assoc_mgr' as an operator shows all limits",
        {},
    )


# -- everything else ---------------------------------------------------------------------------


def _in_words(job: Job, queue: Queue, code: str) -> Reason:
    words = WORDS.get(code)
    if words is None:
        return _reason(
            job,
            queue,
            "unknown_reason",
            STOPS,
            f"Slurm says {job.reason!r}, which is not known here",
            "squeue(1), JOB REASON CODES, and the administrators may know",
            {},
        )
    numbers: Numbers = {}
    details, remedy = "", words.remedy.format(job=job.job_id)
    if code in DETAILS:
        details, other, numbers = DETAILS[code](job, queue)
        remedy = other or remedy
    sentence = f"{words.sentence}{': ' if details else ''}{details} ({job.reason})"
    return _reason(job, queue, code, words.effect, sentence, remedy, numbers)
