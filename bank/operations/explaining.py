"""Explaining: every reason why jobs of an account run, wait or are refused."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bank.errors import BankError, InputError, Refusal
from bank.operations import queues
from bank.operations.bank import Bank
from bank.operations.clusters import Failure, failure, find_clusters, what_is_unusable
from bank.operations.explained_books import ExplainedBooks, read_books
from bank.operations.named import no_such_account
from bank.operations.queues import Look
from bank.policy import reasons_of_books, reasons_of_queue
from bank.policy.queue import PENDING, Job
from bank.policy.reasons import CLUSTER, JOB, NOTE, UNKNOWN, Reason, in_order, verdict
from bank.policy.reasons_of_jobs import Ours, explain_job

_JOB = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,7})?")
_MICROSECONDS = 1_000_000


class Explanation(NamedTuple):
    """Why jobs of an account run, wait or are refused.

    Attributes:
        account: which account.
        user, job: what was asked about of it, None for all.
        verdict: one line.
        reasons: all that is known, what stops first.
        clusters: those of the site, as far as they are known.
        error: what kept Slurm from being asked in full, None where nothing did.
    """

    account: str
    user: str | None
    job: str | None
    verdict: str
    reasons: list[Reason]
    clusters: list[str]
    error: BankError | None


class _Seen(NamedTuple):
    """What the clusters said: those that were read whole, and why others were not."""

    looks: list[Look]
    failures: list[Failure]
    names: list[str]
    job: tuple[str, Job] | None


def explain(bank: Bank, account: str | None, *, user: str | None, job: str | None) -> Explanation:
    """Say why jobs of an account, of one user in it, or one job, run, wait or are refused.

    Where Slurm does not answer, what the books say is said, and the error is part of the answer:
    half of it must not be taken for the whole.

    Raises:
        InputError: neither an account nor a job, or the job is no number.
        Refusal: there is no such account, nor such a job, or the job is of another account or user.
    """
    if job is not None and not _JOB.fullmatch(job):
        raise InputError(f"{job[:40]!r} is not a job: it is a number such as 17, or 14_3")
    if account is None and job is None:
        raise InputError("say which account, or with --job which job")
    seen = _look(bank, account, job)
    if seen.job is not None:
        found = seen.job[1]
        if account not in (None, found.account):
            said = f"job {found.shown_id} is of account {found.account}, not of {account}"
            raise Refusal("other_account", said)
        if user not in (None, found.user):
            raise Refusal("other_user", f"job {found.shown_id} is of {found.user}, not of {user}")
        account, user = found.account, found.user
    assert account is not None
    books = read_books(bank, account, seen.looks)
    if not books.is_known and not seen.failures:
        raise no_such_account(account)
    reasons = in_order(_reasons(bank, account, user, job, seen, books))
    return Explanation(
        account,
        user,
        job,
        _verdict(account, reasons, seen),
        reasons,
        seen.names,
        seen.failures[0].error if seen.failures else None,
    )


# -- reading -----------------------------------------------------------------------------------


def _look(bank: Bank, account: str | None, job: str | None) -> _Seen:
    """Ask every cluster; where only a job is known, the one that has it."""
    found = find_clusters(bank, is_only_looked_at=True)
    failures = list(found.failures)
    known: dict[str, Sequence[Job]] = {}
    for cluster in found.reached:
        try:
            known[cluster.name] = queues.read_jobs(bank, cluster)
        except BankError as error:
            failures.append(failure(bank, cluster.name, error))
    which: tuple[str, Job] | None = None
    if job is not None:
        which = _live_job(known, job) or _ended_job(bank, found.reached, job, failures)
        if which is None and failures:
            raise failures[0].error
        if which is None:
            raise Refusal("no_such_job", f"neither Slurm nor its accounting knows a job {job}")
        account = which[1].account
    assert account is not None
    looks = []
    for cluster in found.reached:
        if cluster.name not in known or (which is not None and which[0] != cluster.name):
            continue
        try:
            looks.append(queues.read_queue(bank, cluster, account, known[cluster.name]))
        except BankError as error:
            failures.append(failure(bank, cluster.name, error))
    names = [cluster.name for cluster in found.reached]
    names += [one.cluster for one in failures if one.cluster and one.cluster not in names]
    return _Seen(looks, failures, names, which)


def _live_job(known: Mapping[str, Sequence[Job]], job: str) -> tuple[str, Job] | None:
    """Return the job and its cluster; of an array the tasks that wait come first."""
    number, _, task = job.partition("_")
    for cluster, jobs in known.items():
        mine = [
            one
            for one in jobs
            if (not task and str(one.job_id) == number) or _is_task(one.shown_id, number, task)
        ]
        mine.sort(key=lambda one: (one.shown_id != job, one.state != PENDING, one.job_id))
        if mine:
            return cluster, mine[0]
    return None


def _is_task(shown_id: str, number: str, task: str) -> bool:
    """Tell whether "14_3" or "14_[2-4,7%1]" is, or holds, a task of an array; "" is any."""
    array, _, which = shown_id.partition("_")
    if array != number or not which:
        return False
    for part in which.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        last = last.partition(":")[0] or first
        if not task or (first.isdigit() and int(first) <= int(task) <= int(last)):
            return True
    return False


def _ended_job(
    bank: Bank, clusters: Sequence[Any], job: str, failures: list[Failure]
) -> tuple[str, Job] | None:
    for cluster in clusters:
        try:
            found = queues.read_ended_job(bank, cluster, job)
        except BankError as error:
            failures.append(failure(bank, cluster.name, error))
            continue
        if found is not None:
            return cluster.name, found
    return None


# -- deciding ----------------------------------------------------------------------------------


def _reasons(
    bank: Bank, account: str, user: str | None, job: str | None, seen: _Seen, books: ExplainedBooks
) -> list[Reason]:
    now = bank.clock() // _MICROSECONDS
    own, *above = books.chain
    paying = next((one.name for one in above if one.is_open), None)
    # What runs out first of the account and all above it limits the next job.
    limited = [one for one in books.chain if one.is_open and one.available is not None]
    least = min(limited, key=lambda one: one.available or 0, default=None)
    available, of = (least.available, least.name) if least is not None else (None, account)
    found = [reasons_of_queue.next_job(available, of)] if own.is_open else []
    found += reasons_of_books.explain_account(own, is_above=False, now=now)
    found += reasons_of_books.explain_users(own, user)
    found += reasons_of_books.explain_who_pays(own, paying)
    for parent in above:
        found += reasons_of_books.explain_account(parent, is_above=True, now=now)
        found += reasons_of_books.explain_parent(own, parent)
    told = {one.name for one in books.chain}
    for look in seen.looks:
        ours = books.ours.get(look.cluster.name, Ours(frozenset(), frozenset()))
        found += reasons_of_queue.explain_queue(account, user, look.queue, ours, told=told)
        if job is None:
            found += reasons_of_queue.explain_waiting(account, user, look.queue, ours)
        found += _unusable(bank, look)
    found += _of_job(seen, books, available, of)
    found += _of_what_is_known(bank, seen, books, now)
    return found


def _of_job(seen: _Seen, books: ExplainedBooks, available: int | None, of: str) -> list[Reason]:
    if seen.job is None:
        return []
    cluster, job = seen.job
    look = next((one for one in seen.looks if one.cluster.name == cluster), None)
    if look is None:
        return []
    if job.state != PENDING:
        return [reasons_of_queue.explain_other(job, look.queue)]
    ours = books.ours.get(cluster, Ours(frozenset(), frozenset()))
    cost = reasons_of_queue.explain_cost(job, look.queue, available, of)
    return [*explain_job(job, look.queue, ours), *cost]


def _unusable(bank: Bank, look: Look) -> list[Reason]:
    """Say why the bank can neither meter nor hold on a cluster, where that is so."""
    found = what_is_unusable(bank, look.cluster)
    if not found:
        return []
    subject, where = f"cluster {look.cluster.name}", (look.cluster.name,)
    said = f"the bank can neither meter nor hold here: {'; '.join(found)}"
    remedy = "an administrator: set this in slurm.conf"
    return [Reason("unusable", NOTE, CLUSTER, subject, said, remedy, {}, where)]


def _of_what_is_known(bank: Bank, seen: _Seen, books: ExplainedBooks, now: int) -> list[Reason]:
    """Say how old the books are, how the bank enforces, and who did not answer."""
    found = [
        Reason(
            "slurm_did_not_answer",
            UNKNOWN,
            CLUSTER,
            f"cluster {one.cluster}" if one.cluster else "the local cluster",
            f"what Slurm has against jobs there is not known: {one.error}",
            "ask again when it answers",
            {"error": one.error.code},
            (one.cluster,) if one.cluster else (),
        )
        for one in seen.failures
    ]
    found += [
        reasons_of_books.explain_reading(reading, now=now)
        for reading in books.readings
        if not seen.names or reading.cluster in seen.names
    ]
    if bank.settings.enforcement == "limit":
        said = "Slurm itself starts no job that what is left could not pay for"
    else:
        said = "a pass holds an account that has nothing left; jobs that run then go on"
    said = f"ENFORCEMENT is {bank.settings.enforcement!r}: {said}"
    found.append(Reason("enforcement", NOTE, CLUSTER, "the bank", said))
    return found


def _verdict(account: str, reasons: Sequence[Reason], seen: _Seen) -> str:
    """Say in one line what stops, or that nothing does."""
    if seen.job is None:
        said = verdict(account, reasons, clusters=seen.names)
        enough = next((one for one in reasons if one.code == "next_job"), None)
        if enough is None or reasons[0].effect != NOTE:
            return said
        return f"{said}: {enough.sentence}"
    job = seen.job[1]
    name = f"job {job.shown_id} of {job.user} in account {account}"
    if job.state != PENDING:
        own = next((one for one in reasons if one.scope == JOB), None)
        return f"{name}: {own.sentence}" if own else f"{name} is {job.state}"
    first = reasons[0]
    about = "" if first.scope == JOB else f"{first.subject}: "
    return f"{name} waits: {about}{first.sentence}"
