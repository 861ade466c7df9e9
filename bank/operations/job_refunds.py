"""Refunds of jobs: what a run cost is given back, each run once."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from bank.errors import Busy, Refusal
from bank.ledger.amounts import format_known_su, format_su
from bank.ledger.entries import Draft
from bank.ledger.references import of_job
from bank.operations.bank import Bank, utc_text
from bank.operations.booking import book_use
from bank.operations.closing import settle_given_back
from bank.operations.clusters import Cluster
from bank.operations.commands import Command
from bank.operations.corrections import correction_draft
from bank.operations.files import log, newest, only_one
from bank.operations.following import enforce_soon
from bank.operations.job_charges import SizedRun, charge_runs
from bank.operations.job_costs import CostedRun, find_job
from bank.operations.keys import Request, find_answer, find_earlier, keep_answer
from bank.operations.looking import describe, describe_soon
from bank.operations.metering import Result, book_rehearsed
from bank.policy import refunds
from bank.policy.charged_time import JOBS
from bank.policy.metering import EDGE_SECONDS
from bank.policy.quotes import decimal
from bank.policy.refunds import Use
from bank.store import accounts, job_charges, job_refunds, meters
from bank.store.accounts import Account
from bank.store.connect import Writer, reading, writing
from bank.store.job_refunds import JobRefund
from bank.store.post import post

_MICROSECONDS = 1_000_000


class JobCommand(NamedTuple):
    """Which job an admin wants to be refunded.

    Attributes:
        job: its id as typed.
        cluster: where it was; None where none was named.
        reason: free text.
        key: makes a repeat an answer; None where the caller gave none.
        dry_run: rehearse it.
    """

    job: str
    cluster: str | None = None
    reason: str = ""
    key: str | None = None
    dry_run: bool = False


class Order(NamedTuple):
    """Under what runs are refunded.

    Attributes:
        cluster: where they ran.
        read_at: when its meters were last read, UTC microseconds.
        reason: free text.
        key: the key that the command was given.
        unbooked: what a dry run has read there, None where it was booked, or where jobs charge.
        is_by_jobs: whether they do.
    """

    cluster: Cluster
    read_at: int
    reason: str = ""
    key: str | None = None
    unbooked: Result | None = None
    is_by_jobs: bool = False


class Refund(NamedTuple):
    """What became of one run.

    Attributes:
        run: the run.
        amount: billing-seconds given back; 0 where nothing is.
        code: why not, or not all of its cost; "" where all of it is.
        note: the same for people.
    """

    run: CostedRun
    amount: int
    code: str = ""
    note: str = ""


def refund_job(bank: Bank, command: JobCommand) -> dict[str, Any]:
    """Give back what a job cost, at most once: every run of it that has not been refunded.

    Returns:
        The runs with what each cost and what is given back, and where their accounts stand.

    Raises:
        InputError: the id or the cluster is none.
        Refusal: it runs still, cost nothing, was refunded before, or is not in the books.
        Busy: it ended this very moment.
        SlurmError: Slurm did not answer or was not understood; nothing was done.
    """
    request = Request(command.key, ["refund", f"job {command.job}", command.cluster or ""])
    answer = find_earlier(bank, request)
    if answer is None:
        cluster, runs = find_job(bank, command.job, command.cluster)
        _refuse_unclear(command.job, cluster, runs)
        order = read_now(bank, cluster, dry_run=command.dry_run)
        order = order._replace(reason=command.reason, key=command.key)
        answer = _post(bank, command, request, order, runs)
    if command.dry_run:
        return answer
    names = [state["account"] for state in answer["accounts"]]
    # What counts less for an account counts less for those above it.
    enforce_soon(bank, names, only=None)
    with reading(bank.database) as reader:
        return {**answer, "accounts": [describe(bank, reader, name) for name in names]}


def _refuse_unclear(name: str, cluster: Cluster, runs: Sequence[CostedRun]) -> None:
    """Refuse a job that runs, and an id that Slurm gave to jobs of several users.

    A controller that was killed before it had saved its newest jobs gives their ids away again.
    """
    users = sorted({run.job.user for run in runs})
    if len(users) > 1:
        raise Refusal(
            "many_jobs",
            f"Slurm gave the id {name} on {cluster.name} to jobs of {' and '.join(users)}: refund"
            " the account by hand, with 'refund <account> <su>'",
        )
    running = [run.job.shown_id for run in runs if run.job.ended_at is None]
    if running:
        raise Refusal(
            "still_running",
            f"job {', '.join(running)} on {cluster.name} has not ended: what it costs is known when"
            " it has",
        )


def read_now(bank: Bank, cluster: Cluster, *, dry_run: bool) -> Order:
    """Book what was used on a cluster until now, as an order needs it."""
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        result = book_use(bank, cluster, dry_run=dry_run)
    for note in result.notes:
        bank.warn(note)
    is_by_jobs = result.state.source == JOBS
    unbooked = result if dry_run and not is_by_jobs else None
    return Order(cluster, result.state.asked_at, unbooked=unbooked, is_by_jobs=is_by_jobs)


def _post(
    bank: Bank,
    command: JobCommand,
    request: Request,
    order: Order,
    runs: Sequence[CostedRun],
) -> dict[str, Any]:
    with writing(bank.database, dry_run=command.dry_run) as writer:
        answer = find_answer(writer, request)
        if answer is not None:
            return answer
        done = refund_runs(bank, writer, order, runs)
        if not any(one.amount for one in done):
            raise _refusal(command.job, order, done)
        names = sorted({one.run.job.account for one in done if one.amount})
        answer = {
            "verb": "refund",
            "job": command.job,
            "cluster": order.cluster.name,
            **describe_refunds(done),
            "accounts": [describe_soon(bank, writer, name) for name in names],
            "is_repeat": False,
            "is_dry_run": command.dry_run,
        }
        keep_answer(bank, writer, request, answer)
        found = accounts.find_many(writer, names)
    if not command.dry_run:
        log_refund(bank, order, done, found.values())
    return answer


def log_refund(bank: Bank, order: Order, done: Sequence[Refund], found: Iterable[Account]) -> None:
    """Write into the log which runs were refunded, with the newest digests of the accounts."""
    jobs = [one.run.job.shown_id for one in done if one.amount]
    amount = format_su(sum(one.amount for one in done))
    log(
        bank,
        "refund",
        cluster=order.cluster.name,
        jobs=jobs,
        amount_su=amount,
        reason=order.reason,
        **newest(found),
    )


def _refusal(name: str, order: Order, done: Sequence[Refund]) -> Refusal | Busy:
    """Return why nothing of a job is given back: of several reasons that of the first run."""
    why = next((one for one in done if one.code != _NOTHING), done[0])
    text = f"job {name} on {order.cluster.name}: {why.note}"
    if why.code == _NOT_USED:
        text += (
            ": what a period that is over has settled, or what was never charged, is given back"
            f" with 'deposit {why.run.job.account}'"
        )
    return Busy(text) if why.code == _NOT_READ else Refusal(why.code, text)


_NOTHING = "nothing_to_refund"
_NOT_READ = "not_read"
_NOT_USED = "not_used_now"


def refund_runs(
    bank: Bank, writer: Writer, order: Order, runs: Sequence[CostedRun]
) -> list[Refund]:
    """Refund runs, each at most once and at most what it cost.

    Args:
        bank: clock and actor.
        writer: the transaction; all runs of one account are in the same one.
        order: where, why and under which key.
        runs: what is to be refunded.

    Returns:
        What became of each.
    """
    cluster = order.cluster.name
    before = job_refunds.find_refunds(writer, cluster, [run.job.db_index for run in runs])
    names = sorted({run.job.account for run in runs})
    if order.unbooked is not None:
        book_rehearsed(bank, writer, order.cluster, order.unbooked, names)
    runs = _with_charges(bank, writer, order, runs)
    known = accounts.find_many(writer, names)
    places = meters.find_places(writer, cluster)
    uses = {
        name: refunds.open_use(job_refunds.find_moves(writer, cluster, account.account_id))
        for name, account in known.items()
        if name in places
    }
    done: list[Refund] = []
    for run in runs:
        name = run.job.account
        one = _why_not(run, order, before, uses) or _refundable(writer, run, order, uses[name])
        if one.amount:
            uses[name] = refunds.less(uses[name], run.job.user, one.amount)
        done.append(one)
    _book(bank, writer, order, known, done)
    return done


def _with_charges(
    bank: Bank, writer: Writer, order: Order, runs: Sequence[CostedRun]
) -> list[CostedRun]:
    """Return runs with what their jobs were charged; where jobs charge, all that have ended are."""
    cluster = order.cluster.name
    if order.is_by_jobs:
        ended = [SizedRun(one.job, one.began_at) for one in runs if one.job.ended_at is not None]
        charge_runs(bank, writer, cluster, ended)
    charges = job_charges.find_newest(writer, cluster, [one.job.db_index for one in runs])
    return [one._replace(charge=charges.get(one.job.db_index)) for one in runs]


def _why_not(
    run: CostedRun, order: Order, before: Mapping[int, JobRefund], uses: Mapping[str, Use]
) -> Refund | None:
    """Return why nothing of a run can be given back, whatever it cost; None where it may be."""
    job = run.job
    first = before.get(job.db_index)
    if first is not None:
        note = (
            f"refunded on {utc_text(first.at)} by {first.actor}: {format_su(first.amount)} SUs,"
            f" entry {first.seq} of {first.account}"
        )
        return Refund(run, 0, "already_refunded", note)
    if job.ended_at is None:
        return Refund(run, 0, "still_running", "has not ended: its cost is not known yet")
    if job.account not in uses:
        return Refund(run, 0, "no_such_account", f"the bank keeps no books for {job.account}")
    if run.cost is None:
        note = "sacct does not say what it was billed: refund the account by hand"
        return Refund(run, 0, "cost_unknown", note)
    if run.cost == 0:
        return Refund(run, 0, _NOTHING, "cost nothing")
    is_counted = run.charge is not None
    if not is_counted and (job.ended_at + EDGE_SECONDS) * _MICROSECONDS >= order.read_at:
        return Refund(run, 0, _NOT_READ, "ended this very moment: try again")
    return None


def _refundable(writer: Writer, run: CostedRun, order: Order, use: Use) -> Refund:
    """Return what of a run's cost the books hold as used."""
    job = run.job
    assert job.ended_at is not None
    assert run.cost is not None
    rests_on = {of_job(order.cluster.name, job.db_index)}
    if run.charge is None:
        rests_on = job_refunds.find_readings(
            writer,
            order.cluster.name,
            job.association,
            (job.account, job.user, job.partition),
            began_at=run.began_at,
            ended_at=job.ended_at,
        )
    amount = refunds.refundable(use, job.user, rests_on, run.cost)
    if amount == run.cost:
        return Refund(run, amount)
    what = f"only {format_su(amount)} SUs of it are" if amount else "nothing of it is"
    note = f"{what} on record as used now"
    return Refund(run, amount, _NOT_USED, note)


def _book(
    bank: Bank,
    writer: Writer,
    order: Order,
    known: Mapping[str, Account],
    done: Sequence[Refund],
) -> None:
    """Post the entries and write down which runs they are for."""
    given = [one for one in done if one.amount]
    posted = post(writer, [_draft(bank, order, one) for one in given], now=bank.clock())
    for name, entries in posted.items():
        mine = [one for one in given if one.run.job.account == name]
        rows = [
            (one.run.job.db_index, one.run.job.shown_id, entry.seq, one.amount)
            for one, entry in zip(mine, entries, strict=True)
        ]
        job_refunds.write_refunds(writer, order.cluster.name, known[name].account_id, rows)
    settle_given_back(bank, writer, posted)
    accounts.show(writer, bank.database, list(posted))


def _draft(bank: Bank, order: Order, one: Refund) -> Draft:
    job = one.run.job
    reason = job_refunds.reason_of(job.shown_id, order.reason)
    return correction_draft(
        bank,
        Command("refund", job.account, reason=reason, key=order.key),
        "refund",
        cluster=order.cluster.name,
        amount=-one.amount,
        user=job.user,
        reference=of_job(order.cluster.name, job.db_index),
    )


def describe_refunds(done: Sequence[Refund]) -> dict[str, Any]:
    """Return what became of runs, as data, and the totals; unknown costs are in no total."""
    cost = sum(one.run.cost or 0 for one in done)
    amount = sum(one.amount for one in done)
    return {
        "runs": [_described(one) for one in done],
        "cost_su": format_su(cost),
        "refund_su": format_su(amount),
        "cost_billing_seconds": cost,
        "refund_billing_seconds": amount,
    }


def _described(one: Refund) -> dict[str, Any]:
    job, cost, rate, charge = one.run.job, one.run.cost, one.run.rate, one.run.charge
    factor = None if rate is None else decimal(rate.factor)
    if charge is not None:
        factor = decimal(Fraction(charge.usage_factor)) if charge.usage_factor else None
    return {
        "job": job.shown_id,
        "job_index": job.db_index,
        "account": job.account,
        "user": job.user,
        "nodes": job.node_list,
        "state": job.state,
        "qos": job.qos,
        # Where meters counted it as it is now: Slurm keeps no earlier one.
        "usage_factor": factor,
        "is_charged_by_job": charge is not None,
        "start": utc_text(one.run.began_at * _MICROSECONDS),
        "end": None if job.ended_at is None else utc_text(job.ended_at * _MICROSECONDS),
        "cost_su": format_known_su(cost),
        "refund_su": format_su(one.amount),
        "cost_billing_seconds": cost,
        "refund_billing_seconds": one.amount,
        "code": one.code or None,
        "note": one.note or None,
    }
