"""What one cluster itself has against jobs of an account, whichever they are."""

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction

from bank.ledger.amounts import BILLING_SECONDS_PER_SU, format_su
from bank.ledger.names import listed
from bank.policy import job_reasons, slurm_limits
from bank.policy.enforcement import HOLD_LIMITS, NATIVE_LIMIT
from bank.policy.queue import ACCOUNT as OF_ACCOUNT
from bank.policy.queue import PENDING, USER, Job, Queue
from bank.policy.reasons import ABOVE, ACCOUNT, CLUSTER, JOB, NOTE, STOPS, Reason
from bank.policy.reasons import USER as FOR_USER
from bank.policy.reasons_of_jobs import (
    Ours,
    cost_at_most,
    explain_job,
    how_it_stands,
    how_much_is_gone,
    more_sus,
    numbers_of,
)
from bank.policy.slurm_limits import Limit
from bank.policy.time_texts import span, time_text

# Billing of the jobs for which it is said how long they may run.
_RATES = (1, 10, 100)
# Each of these makes Slurm refuse a user who has no association: slurm.conf(5).
_NEED_ASSOCIATION = {"associations", "limits", "qos", "safe", "wckeys"}
_MINUTES_PER_SU = 60


def explain_queue(
    account: str, user: str | None, queue: Queue, ours: Ours, *, told: Collection[str]
) -> list[Reason]:
    """Return every reason that a cluster has against jobs of an account.

    Args:
        account: the account.
        user: of this user only; None for all.
        queue: the cluster.
        ours: what the bank has set there.
        told: the accounts of which the books say what of Slurm's limits of 0 holds them.
    """
    if account not in queue.parents:
        return [_no_account(account, queue)]
    found = list(_who_may_submit(account, user, queue))
    holders = slurm_limits.on_the_way(queue, account, user)
    by_limit: dict[tuple[str, str, int, str], list[Limit]] = {}
    for limit in slurm_limits.set_on(holders):
        if _is_told(limit, ours, told):
            continue
        key = (limit.user and limit.holder.kind, limit.name, limit.value)
        if slurm_limits.stops_all(limit):
            by_limit.setdefault((*key, "" if limit.user else limit.holder.name), []).append(limit)
        elif not limit.user or user is not None:
            found.append(_in_force(limit, queue, account))
    found += [_reached(limits, queue, account, ours) for limits in by_limit.values()]
    return [*found, *_refusing(account, queue)]


def _is_told(limit: Limit, ours: Ours, told: Collection[str]) -> bool:
    """Tell whether the books have said already what a limit is."""
    if ours.has_hold(limit):
        return True
    is_stop = limit.value == 0 and limit.name in (NATIVE_LIMIT, *HOLD_LIMITS)
    return is_stop and limit.holder.kind == OF_ACCOUNT and limit.holder.name in told


def _no_account(account: str, queue: Queue) -> Reason:
    return Reason(
        "no_such_account_in_slurm",
        STOPS,
        ACCOUNT,
        f"account {account}",
        f"Slurm on {queue.cluster} has no such account: submissions are refused",
        f"'sacctmgr add account {account} cluster={queue.cluster}'",
        {"account": account},
        (queue.cluster,),
    )


def _who_may_submit(account: str, user: str | None, queue: Queue) -> Iterator[Reason]:
    """Say whose submissions are refused."""
    users = [one for one in queue.holders if one.kind == USER and one.name == account]
    subject, where = f"account {account}", (queue.cluster,)
    enforce = ",".join(sorted(queue.enforce))
    names = sorted({one.user for one in users})
    numbers: dict[str, object] = {"account": account, "users": names, "enforce": enforce}
    add = f"'sacctmgr add user {user or 'NAME'} account={account} cluster={queue.cluster}'"
    if not queue.enforce & _NEED_ASSOCIATION:
        # Slurm takes jobs of anybody, in any account.
        return
    if user is not None:
        yield from _of_user(account, user, queue, add)
    elif users:
        said = f"submissions on {queue.cluster} are refused but from {listed(names)}"
        said += f", and where MaxSubmitJobs is reached (AccountingStorageEnforce={enforce})"
        yield Reason("who_may_submit", NOTE, ACCOUNT, subject, said, "", numbers, where)
    else:
        said = f"nobody may submit jobs to it on {queue.cluster}: it has no users"
        yield Reason("no_users", NOTE, ACCOUNT, subject, said, add, numbers, where)


def _of_user(account: str, user: str, queue: Queue, add: str) -> Iterator[Reason]:
    mine = [
        one
        for one in queue.holders
        if one.kind == USER and one.name == account and one.user == user
    ]
    has = queue.accounts_of.get(user, ())
    subject, where = f"user {user} in account {account}", (queue.cluster,)
    numbers: dict[str, object] = {"user": user, "account": account, "accounts_of_user": list(has)}
    if not mine:
        said = f"they have no association there on {queue.cluster}, so submissions are refused"
        said += f"; they are in {listed(has)}" if has else "; they are in no account"
        other = f", or submit to one of theirs: 'sbatch --account={has[0]}'" if has else ""
        remedy = f"{add}{other}"
        yield Reason("no_association", STOPS, FOR_USER, subject, said, remedy, numbers, where)
    elif all(one.partition for one in mine):
        names = [one.partition for one in mine]
        said = f"they may use it in {listed(names)} only; elsewhere submissions are refused"
        remedy = f"'sbatch --partition={names[0]}'"
        numbers["partitions"] = names
        yield Reason("some_partitions", NOTE, FOR_USER, subject, said, remedy, numbers, where)


def _whose(limits: Sequence[Limit], account: str) -> tuple[str, str]:
    """Return scope and subject of a limit that stands at one or more holders."""
    holder = limits[0].holder
    users = sorted({limit.user for limit in limits} - {""})
    # A limit for each user that is 0 leaves nobody out where it is the account's.
    if not users or (holder.kind != USER and limits[0].value == 0):
        return (ACCOUNT if holder.name == account else ABOVE), str(holder)
    if len(users) == 1:
        return FOR_USER, f"user {users[0]} in account {account}"
    return FOR_USER, f"users {listed(users)} in account {account}"


def _reached(limits: Sequence[Limit], queue: Queue, account: str, ours: Ours) -> Reason:
    limit = limits[0]
    scope, subject = _whose(limits, account)
    reached = f" is reached: {how_much_is_gone(limit)}" if limit.value else ""
    what = "further jobs are refused" if limit.field in slurm_limits.SUBMIT else "no job starts"
    remedy = f"an administrator: '{limit.command(int(limit.used) + 1)}'"
    is_native = ours.has_native(limit)
    whose = "the bank's limit " if is_native else ""
    if is_native:
        remedy = f"{more_sus(limit, int(limit.used) + 1)} or more"
    elif limit.value > 0 and not limit.is_of_minutes and limit.field != "GrpWall":
        remedy = f"wait for a job to end, or {remedy}"
    elif limit.value == 0:
        remedy = f"whoever set it: '{limit.command(-1)}'"
    return Reason(
        "limit_reached",
        STOPS,
        scope,
        subject,
        f"{whose}{limit.name}={limit.value}{reached}: {what}",
        remedy,
        numbers_of(limit),
        (queue.cluster,),
    )


def _in_force(limit: Limit, queue: Queue, account: str) -> Reason:
    scope, subject = _whose([limit], account)
    said = f"on {queue.cluster} {how_it_stands(limit)}"
    numbers = numbers_of(limit)
    return Reason("limit_in_force", NOTE, scope, subject, said, "", numbers, (queue.cluster,))


def _refusing(account: str, queue: Queue) -> Iterator[Reason]:
    """Yield what partitions have against jobs of an account."""
    where = (queue.cluster,)
    refusing = [one.name for one in queue.partitions.values() if not one.takes_account(account)]
    if refusing:
        subject = f"account {account}"
        said = f"partition {listed(refusing)} takes no jobs of it"
        numbers: dict[str, object] = {"partitions": refusing}
        yield Reason("partitions_refuse", NOTE, CLUSTER, subject, said, "", numbers, where)
    away = [f"{one.name} is {one.state}" for one in queue.partitions.values() if one.state != "UP"]
    if away:
        said = f"partition {listed(away)}"
        subject = f"cluster {queue.cluster}"
        yield Reason("partitions_away", NOTE, CLUSTER, subject, said, "", {}, where)
    if "limits" not in queue.enforce:
        yield Reason(
            "not_enforced",
            NOTE,
            CLUSTER,
            f"cluster {queue.cluster}",
            "AccountingStorageEnforce has no 'limits': neither a hold nor any limit stops a job",
            "AccountingStorageEnforce=associations,limits,qos,safe in slurm.conf",
            {},
            where,
        )


# -- its jobs ----------------------------------------------------------------------------------


def explain_waiting(account: str, user: str | None, queue: Queue, ours: Ours) -> list[Reason]:
    """Say why jobs of an account wait: of those that wait for the same, the first in line."""
    mine = [
        job
        for job in queue.jobs
        if job.account == account and user in (None, job.user) and job.state == PENDING
    ]
    mine.sort(key=lambda job: (-job.priority, job.job_id))
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job in mine:
        key = (job_reasons.code_of(job.reason), job.partitions, job.qos, job.user)
        alike.setdefault(key, []).append(job)
    found = []
    for jobs in alike.values():
        first, *others = explain_job(jobs[0], queue, ours)
        names = [job.shown_id for job in jobs[1:]]
        if names:
            said = f"{first.sentence}; so do {listed(names)}"
            first = first._replace(sentence=said, numbers={**first.numbers, "other_jobs": names})
        found += [first, *others]
    return found


def explain_other(job: Job, queue: Queue) -> Reason:
    """Say of a job that does not wait that it runs, or how it ended."""
    cost = cost_at_most(job, queue)
    subject, where = f"job {job.shown_id}", (queue.cluster,)
    numbers: dict[str, object] = {
        "job_id": job.job_id,
        "state": job.state,
        "account": job.account,
        "user": job.user,
        "slurm_reason": job.reason,
        "at_most_billing_seconds": cost,
    }
    since = f" since {time_text(job.starts_at)}" if job.starts_at is not None else ""
    if job.state in ("RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "STOPPED"):
        most = f"; it may cost {format_su(cost)} SUs at most" if cost is not None else ""
        said = f"it is {job.state}{since}{most}; a hold stops no job that runs"
        return Reason("runs", NOTE, JOB, subject, said, "", numbers, where)
    why = "" if job.reason in ("None", "") else f" ({job.reason})"
    said = f"it is {job.state}{why}: it has ended and does not start again"
    again = "" if job.state == "COMPLETED" else "submit it again"
    return Reason("ended", NOTE, JOB, subject, said, again, numbers, where)


def explain_cost(job: Job, queue: Queue, available: int | None, of: str) -> list[Reason]:
    """Say what a job may cost against what is left; nothing where that is not known.

    Args:
        job: the job.
        queue: its cluster.
        available: as in `next_job`.
        of: the account that has the least.
    """
    cost = cost_at_most(job, queue)
    if cost is None:
        return []
    said = f"it may cost {format_su(cost)} SUs at most"
    if available is not None:
        said += f", and account {of} has {format_su(available)} available"
        if cost > available:
            said += ": run to its time limit it would use more than that"
    numbers: dict[str, object] = {
        "at_most_billing_seconds": cost,
        "available_billing_seconds": available,
    }
    subject = f"job {job.shown_id}"
    return [Reason("cost", NOTE, JOB, subject, said, "", numbers, (queue.cluster,))]


def next_job(available: int | None, of: str) -> Reason:
    """Say what limits the next job: how long it may run at which billing.

    Args:
        available: the least of what is available to the account and those above it, in
            billing-seconds; None where all of them are unlimited.
        of: the account that has the least.
    """
    subject = f"account {of}"
    if available is None:
        said = "it is unlimited, and so is all above it"
        numbers: dict[str, object] = {"available_billing_seconds": None}
        return Reason("next_job", NOTE, ACCOUNT, subject, said, "", numbers)
    minutes = Fraction(max(available, 0) * _MINUTES_PER_SU, BILLING_SECONDS_PER_SU)
    long = [f"{span(int(minutes / rate))} at a billing of {rate}" for rate in _RATES]
    said = f"{format_su(available)} SUs are available: {', '.join(long)}"
    numbers = {
        "available_billing_seconds": available,
        "minutes_at_billing": {str(rate): int(minutes / rate) for rate in _RATES},
    }
    return Reason("next_job", NOTE, ACCOUNT, subject, said, "", numbers)
