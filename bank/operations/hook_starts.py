"""What the controller asks before a job starts: can it pay for what it was really given?

A job that cannot pay is held, where it is a batch job that may wait. It is on record as held before
the controller is told to hold it, so that it is let go once it can be paid for, whatever happens in
between.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bank.errors import BankError, InputError, Refusal
from bank.ledger.names import account_name, user_name
from bank.operations import liens as acts
from bank.operations.bank import Bank
from bank.operations.hook_answers import HOLD, KILL, RUN, YES, Said
from bank.operations.hook_submits import WITHOUT_BOUND
from bank.operations.liens import Answer, Resize, Wanted
from bank.operations.purses import Purses
from bank.operations.shape_cache import ShapeCache
from bank.policy import prices
from bank.policy.job_request import UNLIMITED
from bank.policy.liens import token_in, token_of_run
from bank.policy.quotes import Given, cost_of
from bank.slurm import starting_jobs
from bank.slurm.command import run
from bank.store import accounts, held_jobs, liens
from bank.store.connect import Reader, Writer
from bank.store.held_jobs import HeldJob
from bank.store.liens import Lien

# What follows it in an AdminComment is why the bank holds the job.
MARK = "held by the bank:"


class Starting(NamedTuple):
    """A job that is about to start.

    Attributes:
        job_id: Slurm's number; a task of an array has its own.
        array_job_id: number of its array, None without one.
        cost: billing-seconds that it costs at most.
        started_at: seconds since 1970.
        token: of the lien that was placed when it was submitted, "" for none.
        comment: its AdminComment.
        can_wait: whether it can be held: a batch job that may be requeued, and no part of another.
        is_report: whether nothing is to be done but to say what would be.
        actor: whose job it is.
    """

    cluster: str
    account: str
    user: str
    job_id: int
    array_job_id: int | None
    cost: int
    started_at: int
    token: str
    comment: str
    can_wait: bool
    is_report: bool
    actor: str


def look(bank: Bank, cache: ShapeCache, told: Mapping[str, Any]) -> Starting:
    """Ask the controller what a job was given, and price it.

    Args:
        bank: see `Bank`.
        cache: what the cluster has.
        told: what the hook has in its environment, as texts, and `mode`.

    Raises:
        SlurmError: the controller did not answer or was not understood.
        Refusal: the job has gone, or cannot be priced.
        InputError: what was told is not understood.
    """
    number = str(told.get("SLURM_JOB_ID", ""))
    if not number.isdecimal():
        raise InputError(f"SLURM_JOB_ID is {number!r:.40}, which is not a number")
    found = starting_jobs.read(run(bank.slurm, starting_jobs.arguments(int(number))), int(number))
    job, shape = found.job, cache.shape
    limit = UNLIMITED if job.limit_minutes is None else job.limit_minutes
    given = Given(job.partition, job.qos, job.allocated, limit)
    try:
        cost = cost_of(given, shape.cluster)
    except Refusal:
        cache.refresh_soon()
        raise
    return Starting(
        cluster=shape.name,
        account=account_name(job.account),
        user=user_name(job.user),
        job_id=job.job_id,
        array_job_id=job.array_job_id,
        cost=WITHOUT_BOUND if cost is None else prices.at_most(cost),
        started_at=job.started_at or 0,
        token=token_in(job.comment) or "",
        comment=job.comment,
        can_wait=found.is_batch and found.can_requeue and "SLURM_HET_JOB_ID" not in told,
        is_report=told.get("mode") != "enforce",
        actor=job.user,
    )


def admit(bank: Bank, writer: Writer, items: Sequence[Starting]) -> list[Said | BankError]:
    """Set aside what jobs cost that are about to start, or say what becomes of them.

    Returns:
        For each "yes" with the token of its lien, "hold" with the AdminComment that it gets, "kill"
        or "run" with the reason; or the error because of which nothing was decided.
    """
    return [_admit(bank, writer, item) for item in items]


def _admit(bank: Bank, writer: Writer, item: Starting) -> Said | BankError:
    lien = _lien_of(writer, item)
    if lien is not None and lien.account != item.account:
        # It was changed with `scontrol update`.
        lien = _moved(writer, item, lien)
    answer = _set_aside(bank, writer, item, lien)
    if not isinstance(answer, BankError):
        return _admitted(bank, item, answer)
    if not isinstance(answer, Refusal) or answer.code != "insufficient_funds":
        return answer
    text = _why(item, str(answer))
    if item.is_report:
        return _let_run(bank, writer, item, lien, text)
    if item.can_wait:
        return _held(bank, writer, item, lien, text)
    if bank.settings.start_refusal == "kill":
        return Said(KILL, message=text)
    return _let_run(bank, writer, item, lien, text)


def _moved(writer: Writer, item: Starting, lien: Lien) -> Lien | None:
    """Have the account that a job is of now keep what is set aside for it.

    Where that is not the bank's business, the next look ends what is set aside.
    """
    if not Purses(writer, [item.account]).payers(item.cluster, item.account, item.user):
        return None
    accounts.ensure(writer, {item.account})
    moved = lien._replace(account=item.account)
    liens.change(writer, [(lien, moved)])
    return moved


def _why(item: Starting, text: str) -> str:
    if item.cost < WITHOUT_BOUND:
        return text
    return f"job {item.job_id} has no time limit, and account {item.account} has one: give --time"


def _lien_of(reader: Reader, item: Starting) -> Lien | None:
    """Return the open lien that covers a job: its own, or that of its array."""
    if item.token:
        lien = liens.find_by_tokens(reader, [item.token]).get(item.token)
        if lien is not None and lien.is_open and lien.cluster == item.cluster:
            return lien
    ids = {item.job_id, item.array_job_id or item.job_id}
    known = {
        (lien.job_id, bool(lien.is_array)): lien
        for lien in liens.find_by_jobs(reader, item.cluster, sorted(ids))
        # A controller that was killed gives the numbers of jobs that it forgot away again.
        if lien.user == item.user
    }
    return known.get((item.job_id, False)) or known.get((item.array_job_id, True))


def _set_aside(
    bank: Bank, writer: Writer, item: Starting, lien: Lien | None, *, is_forced: bool = False
) -> Answer | BankError:
    cost = 0 if is_forced and item.cost >= WITHOUT_BOUND else item.cost
    if lien is None:
        wanted = Wanted(
            cluster=item.cluster,
            account=item.account,
            user=item.user,
            token=token_of_run(item.cluster, item.job_id, item.started_at),
            cost_of_one=cost,
            job_id=item.job_id,
            placed_by="start",
            actor=item.actor,
            is_forced=is_forced,
        )
        return acts.place(bank, writer, [wanted])[0]
    own = lien.tasks == 1
    # What other tasks of an array cost is not known from this one.
    change = Resize(
        lien.token,
        cost if own else max(cost, lien.cost_of_one),
        job_id=item.job_id if own else None,
        is_forced=is_forced,
        actor=item.actor,
    )
    return acts.resize(bank, writer, [change])[0]


def _admitted(bank: Bank, item: Starting, answer: Answer) -> Said | BankError:
    if answer.is_banked or bank.settings.unknown_accounts != "hold":
        return Said(YES, answer.lien.token if answer.lien is not None else "")
    text = f"account {item.account} is not open in the bank"
    kills = bank.settings.start_refusal == "kill" and not item.is_report
    return Said(KILL if kills else RUN, message=text)


def _held(bank: Bank, writer: Writer, item: Starting, lien: Lien | None, text: str) -> Said:
    accounts.ensure(writer, {item.account})
    kept = lien.cost_of_one if lien is not None else 0
    more = max(item.cost - kept, 0)
    held = HeldJob(item.cluster, item.job_id, item.account, item.user, more, bank.clock())
    held_jobs.write(writer, [held])
    before = item.comment.partition(MARK)[0].strip()
    return Said(HOLD, message=f"{before} {MARK} {text}".strip())


def _let_run(bank: Bank, writer: Writer, item: Starting, lien: Lien | None, text: str) -> Said:
    """Let a job run that cannot be paid for; as it will be charged, it is set aside too."""
    answer = _set_aside(bank, writer, item, lien, is_forced=True)
    token = answer.lien.token if isinstance(answer, Answer) and answer.lien is not None else ""
    return Said(RUN, token, text)
