"""Liens: setting SUs aside for jobs, within what accounts can pay. Every door places them here.

Each function takes many at once, because the service commits what is waiting as one batch. What is
refused is returned as the error that it is, and nothing of it is written.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bank.errors import BankError, Refusal
from bank.operations import grant_dates
from bank.operations.bank import Bank
from bank.operations.purses import Purses
from bank.policy.liens import BOUND, PLACED, SETTLED, Means, amount_kept
from bank.store import above, accounts, liens, meters
from bank.store.connect import Reader, Writer
from bank.store.liens import Lien


class Wanted(NamedTuple):
    """A lien that is asked for.

    Attributes:
        cluster: where the job is to run.
        account, user: whose job it is; plain names.
        token: what finds the lien again. The same one with the same content is answered with the
            lien that is there.
        cost_of_one: billing-seconds that one task costs at most.
        tasks: of the job's array, 1 without one.
        at_once: for how many of them something is set aside at a time.
        job_id: Slurm's number where it is known: then the lien is bound at once.
        is_array: whether that is the number of a whole array.
        expires_at: when it ends if no job was bound to it; UTC microseconds, None for never.
        placed_by: which door: "submit", "start", "look", "api", "mybrc" or "change".
        actor: who asks.
        reason: free text.
        is_forced: set it aside even where it cannot be paid for: the job is there.
    """

    cluster: str
    account: str
    user: str
    token: str
    cost_of_one: int
    tasks: int = 1
    at_once: int = 1
    job_id: int | None = None
    is_array: bool = False
    expires_at: int | None = None
    placed_by: str = "submit"
    actor: str = ""
    reason: str = ""
    is_forced: bool = False

    @property
    def amount(self) -> int:
        """Billing-seconds that are to be set aside."""
        return amount_kept(self.cost_of_one, tasks=self.tasks, at_once=self.at_once, ended=0)


class Resize(NamedTuple):
    """A lien that is to keep another amount: its job was given, or asks for, something else.

    Attributes:
        token: which one.
        cost_of_one: billing-seconds that one task costs at most now.
        job_id: Slurm's number of the job, where it becomes known by this.
        is_forced: keep more even where that cannot be paid for.
        actor: who asks.
    """

    token: str
    cost_of_one: int
    job_id: int | None = None
    is_forced: bool = False
    actor: str = ""


class Ending(NamedTuple):
    """A lien that is to end.

    Attributes:
        token: which one.
        state: how: `SETTLED` or `VOIDED` of `bank.policy.liens`.
        actor: who asks.
        reason: free text.
    """

    token: str
    state: str
    actor: str = ""
    reason: str = ""


class RunEnd(NamedTuple):
    """A run of a job that was charged.

    Attributes:
        job_id: Slurm's own number of the job, for a task of an array that of the task.
        array_job_id: number of its array, None without one.
        is_final: whether the job is not run once more: it was neither requeued nor resized.
    """

    job_id: int
    array_job_id: int | None
    is_final: bool


class Answer(NamedTuple):
    """What came of asking.

    Attributes:
        lien: as it is now; None where the account is not the bank's business.
        account: the account that was asked about.
        cost: billing-seconds that were asked for.
        means: what the account has after it, None where it is not open in the bank.
        is_repeat: whether it had been done before.
        is_banked: whether it, or an account above it, is open in the bank.
    """

    lien: Lien | None
    account: str
    cost: int
    means: Means | None
    is_repeat: bool = False
    is_banked: bool = True


def check(reader: Reader, wanted: Wanted) -> Answer:
    """Return what `place` would answer, and write nothing.

    Raises:
        Refusal: it cannot be paid for.
    """
    purses = Purses(reader, [wanted.account])
    refusal = purses.refusal(wanted.cluster, wanted.account, wanted.user, wanted.amount)
    if refusal is not None:
        raise refusal
    payers = purses.payers(wanted.cluster, wanted.account, wanted.user)
    means = purses.own(wanted.account)
    return Answer(None, wanted.account, wanted.amount, means, is_banked=bool(payers))


def place(bank: Bank, writer: Writer, items: Sequence[Wanted]) -> list[Answer | BankError]:
    """Set SUs aside, in the order in which they are asked for.

    Returns:
        For each what came of it, or the error: a `Refusal` where it cannot be paid for
        ("insufficient_funds"), or where its token is that of another lien ("token_reused").
    """
    # A job that runs already keeps what it may still use of grants that end now.
    _turn_grants(bank, writer, (item.account for item in items if not item.is_forced))
    purses = Purses(writer, [item.account for item in items])
    known = liens.find_by_tokens(writer, [item.token for item in items])
    sources = meters.find_sources(writer)
    answers: list[Answer | BankError] = []
    new: list[Lien] = []
    for item in items:
        if sources.get(item.cluster) != "jobs":
            answers.append(_not_by_jobs(item.cluster))
            continue
        before = known.get(item.token)
        if before is not None:
            answers.append(_repeated(before, item, purses))
            continue
        if not purses.payers(item.cluster, item.account, item.user):
            answers.append(Answer(None, item.account, item.amount, None, is_banked=False))
            continue
        refusal = purses.refusal(item.cluster, item.account, item.user, item.amount)
        if refusal is not None and not item.is_forced:
            answers.append(refusal)
            continue
        lien = _new(bank, item)
        known[item.token] = lien
        new.append(lien)
        purses.add(lien)
        answers.append(Answer(lien, item.account, item.amount, purses.own(item.account)))
    accounts.ensure(writer, {lien.account for lien in new})
    liens.insert(writer, new)
    return answers


def _not_by_jobs(cluster: str) -> Refusal:
    return Refusal(
        "not_charged_by_jobs",
        f"jobs on {cluster} are not charged one by one, so nothing is set aside for them:"
        " USAGE_SOURCE = 'jobs' and 'slurm_bank.py change_source' let them be",
    )


def _turn_grants(bank: Bank, writer: Writer, names: Iterable[str]) -> None:
    """Start and end the grants that are due of accounts and of all above them."""
    asked = set(names)
    for parents in above.find_parents_of_all(writer, sorted(asked)).values():
        asked.update(parents.values())
    grant_dates.turn(bank, writer, sorted(asked), at=bank.clock())


def _repeated(before: Lien, item: Wanted, purses: Purses) -> Answer | BankError:
    was = (before.cluster, before.account, before.user, before.tasks, before.tasks_at_once)
    if was != (item.cluster, item.account, item.user, item.tasks, item.at_once):
        return Refusal(
            "token_reused", f"{item.token!r} is the token of another lien: take a new one"
        )
    return Answer(before, item.account, item.amount, purses.own(item.account), is_repeat=True)


def _new(bank: Bank, item: Wanted) -> Lien:
    now = bank.clock()
    is_known = item.job_id is not None
    return Lien(
        lien_id=0,
        cluster=item.cluster,
        account=item.account,
        user=item.user,
        token=item.token,
        state=BOUND if is_known else PLACED,
        amount=item.amount,
        cost_of_one=item.cost_of_one,
        tasks=item.tasks,
        tasks_at_once=item.at_once,
        tasks_ended=0,
        job_id=item.job_id,
        is_array=int(item.is_array),
        placed_by=item.placed_by,
        actor=item.actor or bank.actor,
        placed_at=now,
        bound_at=now if is_known else None,
        expires_at=item.expires_at,
        reason=item.reason,
    )


def resize(bank: Bank, writer: Writer, items: Sequence[Resize]) -> list[Answer | BankError]:
    """Let liens keep other amounts; what is more must be payable.

    Returns:
        For each what came of it, or the error: "no_such_lien", "lien_ended" or
        "insufficient_funds".
    """
    known = liens.find_by_tokens(writer, [item.token for item in items])
    _turn_grants(bank, writer, (lien.account for lien in known.values()))
    purses = Purses(writer, [lien.account for lien in known.values()])
    answers: list[Answer | BankError] = []
    changes: list[tuple[Lien, Lien]] = []
    for item in items:
        before = known.get(item.token)
        if before is None or not before.is_open:
            answers.append(_not_open(item.token, before))
            continue
        after = kept(before._replace(cost_of_one=item.cost_of_one))
        if item.job_id is not None and before.job_id is None:
            after = after._replace(state=BOUND, job_id=item.job_id, bound_at=bank.clock())
        more = after.amount - before.amount
        refusal = purses.refusal(before.cluster, before.account, before.user, more)
        if refusal is not None and not item.is_forced:
            answers.append(refusal)
            continue
        purses.keep(before.cluster, before.account, before.user, more)
        known[item.token] = after
        changes.append((before, after))
        means = purses.own(before.account)
        answers.append(Answer(after, before.account, after.amount, means))
    liens.change(writer, changes)
    return answers


def kept(lien: Lien) -> Lien:
    """Return a lien with the amount that it has to keep."""
    amount = amount_kept(
        lien.cost_of_one, tasks=lien.tasks, at_once=lien.tasks_at_once, ended=lien.tasks_ended
    )
    return lien._replace(amount=amount)


def _not_open(token: str, lien: Lien | None) -> Refusal:
    if lien is None:
        return Refusal("no_such_lien", f"there is no lien {token!r}")
    return Refusal("lien_ended", f"lien {token!r} was {lien.state}: place a new one")


def end(bank: Bank, writer: Writer, items: Sequence[Ending]) -> list[Answer | BankError]:
    """End liens, whatever they keep.

    Returns:
        For each what came of it, or the error: "no_such_lien", or "lien_ended" where it had ended
        in another way. One that had ended in the same way is a repeat.
    """
    known = liens.find_by_tokens(writer, [item.token for item in items])
    answers: list[Answer | BankError] = []
    changes: list[tuple[Lien, Lien]] = []
    for item in items:
        before = known.get(item.token)
        if before is not None and before.state == item.state:
            answers.append(Answer(before, before.account, 0, None, is_repeat=True))
            continue
        if before is None or not before.is_open:
            answers.append(_not_open(item.token, before))
            continue
        after = ended(before, item.state, at=bank.clock(), reason=item.reason)
        known[item.token] = after
        changes.append((before, after))
        answers.append(Answer(after, before.account, before.amount, None))
    liens.change(writer, changes)
    return answers


def ended(lien: Lien, state: str, *, at: int, reason: str = "") -> Lien:
    """Return a lien as it is once it has ended."""
    return lien._replace(state=state, amount=0, ended_at=at, reason=reason or lien.reason)


def settle_runs(bank: Bank, writer: Writer, cluster: str, runs: Sequence[RunEnd]) -> None:
    """Let liens keep nothing more for runs that are charged, in the transaction that charges them.

    Args:
        bank: the clock.
        writer: that transaction.
        cluster: where they ran.
        runs: each once, when it is charged for the first time.
    """
    final = [run for run in runs if run.is_final]
    ids = {run.job_id for run in final} | {run.array_job_id for run in final} - {None}
    found = {(lien.job_id, lien.is_array): lien for lien in _of_jobs(writer, cluster, ids)}
    changed: dict[tuple[int | None, int], Lien] = {}
    for run in final:
        # A task has a lien of its own, or its array has one for all.
        own, whole = (run.job_id, 0), (run.array_job_id, 1)
        key = own if own in found else whole
        if key not in found:
            continue
        lien = changed.get(key, found[key])
        lien = kept(lien._replace(tasks_ended=lien.tasks_ended + 1))
        if lien.tasks_ended >= lien.tasks:
            lien = ended(lien, SETTLED, at=bank.clock())
        changed[key] = lien
    liens.change(writer, [(found[key], lien) for key, lien in changed.items()])


def _of_jobs(reader: Reader, cluster: str, ids: Iterable[int | None]) -> list[Lien]:
    return liens.find_by_jobs(reader, cluster, sorted(one for one in ids if one is not None))
