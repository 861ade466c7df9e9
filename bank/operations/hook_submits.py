"""What the controller asks when a job is submitted or changed: can it be paid for?

Nothing here asks Slurm: the controller waits, and with it everybody who waits for the controller.
"""

import pwd
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

from bank.errors import InputError, Refusal
from bank.ledger.names import account_name, user_name
from bank.operations import liens as acts
from bank.operations.bank import Bank
from bank.operations.hook_answers import YES, Said
from bank.operations.liens import Answer, Wanted
from bank.operations.shape_cache import Shape, ShapeCache
from bank.policy import hook_request, prices
from bank.policy.hook_request import Record
from bank.policy.job_request import UNLIMITED
from bank.policy.liens import token_in
from bank.policy.quotes import Given, cost_of
from bank.slurm import tres
from bank.store import liens
from bank.store.connect import Kept, Reader

_TOKEN_BYTES = 9
# The controller does not wait longer anyway.
_BUSY_SECONDS = 1
# More than any account can have: it can be paid where there is no limit.
WITHOUT_BOUND = 1 << 60


class Submissions:
    """Answers what is asked about submissions and changes, in a thread that does nothing else.

    Attributes:
        thread: the one in which all else here is to be called.
    """

    def __init__(self, bank: Bank, cache: ShapeCache) -> None:
        """Take the bank and what the cluster has; nothing is opened yet."""
        self.thread = ThreadPoolExecutor(1, "submissions")
        self._bank = bank
        self._cache = cache
        self._kept = Kept(bank.database, busy_seconds=_BUSY_SECONDS)

    def close(self) -> None:
        """Close the database and end the thread."""
        self.thread.submit(self._kept.close).result()
        self.thread.shutdown()

    def price(self, told: Mapping[str, Any]) -> Wanted:
        """See `price`."""
        with self._kept.reading() as reader:
            return price(self._bank, self._cache, reader, told)

    def submitted(self, told: Mapping[str, Any]) -> Said:
        """Tell whether a job can be paid for that is submitted, and set nothing aside.

        Raises:
            BankError: see `price`; or it cannot be paid for.
        """
        with self._kept.reading() as reader:
            wanted = price(self._bank, self._cache, reader, told)
            return said(self._bank, acts.check(reader, wanted))

    def modified(self, change: Mapping[str, Any], record: Mapping[str, Any]) -> Said:
        """See `modified`."""
        with self._kept.reading() as reader:
            return modified(self._bank, self._cache, reader, change, record)


def price(bank: Bank, cache: ShapeCache, reader: Reader, told: Mapping[str, Any]) -> Wanted:
    """Return what a job that is submitted costs, as a lien that may be placed for it.

    Args:
        bank: see `Bank`.
        cache: what the cluster has.
        reader: the books.
        told: what the hook gathered of the job.

    Raises:
        Refusal: Slurm refuses it; or nothing bounds its cost and its account has a limit.
        SlurmError, InputError: it is not known what it costs.
    """
    shape = cache.shape
    asked = hook_request.request(told)
    user = _user(shape, hook_request.user_number(told))
    if not shape.knows(user, asked.account and asked.account.lower()):
        cache.refresh_soon()
    if asked.reservation and not asked.partitions:
        # The reservation decides it, and may be in any.
        every = tuple(partition.name for partition in shape.cluster.partitions)
        asked = asked._replace(partitions=every)
    try:
        found = shape.quote(user, asked)
    except Refusal:
        cache.refresh_soon()
        raise
    is_full = bank.settings.array_liens == "full"
    wanted = Wanted(
        cluster=shape.name,
        account=account_name(found.account),
        user=user_name(user),
        token=secrets.token_hex(_TOKEN_BYTES),
        cost_of_one=0,
        tasks=found.tasks,
        at_once=found.tasks if is_full else found.at_once,
        actor=user,
    )
    return _with_cost(reader, wanted, found.cost_of_one)


def _user(shape: Shape, number: int) -> str:
    """Return the login of a user; one whom the controller did not know is looked up here."""
    if number in shape.users:
        return shape.users[number]
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError as error:
        raise InputError(f"there is no user {number}") from error


def _with_cost(reader: Reader, wanted: Wanted, cost: Fraction | None) -> Wanted:
    """Return what is wanted with what one task costs; None is what nothing bounds.

    Raises:
        Refusal: nothing bounds it, and not all who pay are without a limit.
    """
    if cost is not None:
        return wanted._replace(cost_of_one=prices.at_most(cost))
    try:
        acts.check(reader, wanted._replace(cost_of_one=WITHOUT_BOUND))
    except Refusal as error:
        raise Refusal(
            "no_bound",
            "this job has no time limit, so nothing bounds what it may cost, and account"
            f" {wanted.account} has a limit: give --time",
        ) from error
    return wanted


def said(bank: Bank, answer: Answer) -> Said:
    """Return what the controller is told of a job that can be paid for, or is nobody's business.

    Raises:
        Refusal: the account is not open, and the site holds those.
    """
    if not answer.is_banked and bank.settings.unknown_accounts == "hold":
        raise Refusal(
            "not_open", f"account {answer.account} is not open in the bank: ask for it to be"
        )
    return Said(YES, answer.lien.token if answer.lien is not None else "")


def modified(
    bank: Bank,
    cache: ShapeCache,
    reader: Reader,
    change: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Said:
    """Tell whether a change of a job can be paid for.

    What is set aside for the job counts; a change that makes it no dearer can always be.

    Args:
        bank: see `Bank`.
        cache: what the cluster has.
        reader: the books.
        change: what is to be changed.
        record: the job as it is.

    Raises:
        Refusal: it cannot be paid for.
        SlurmError, InputError: it is not known what it costs.
    """
    shape = cache.shape
    before = hook_request.record(record)
    after = before.changed(change)
    was, becomes = _cost_of(shape, before), _cost_of(shape, after)
    is_dearer = becomes is None or (was is not None and becomes > was)
    if not is_dearer and after.account == before.account:
        return Said(YES)
    wanted = Wanted(
        cluster=shape.name,
        account=account_name(after.account),
        user=user_name(_user(shape, after.user)),
        token="",
        cost_of_one=0,
        tasks=after.tasks,
        at_once=after.tasks,
    )
    wanted = _with_cost(reader, wanted, becomes)
    more = max(wanted.amount - _kept_for(reader, wanted, before), 0)
    answer = acts.check(reader, wanted._replace(cost_of_one=more, tasks=1, at_once=1))
    return said(bank, answer)


def _cost_of(shape: Shape, job: Record) -> Fraction | None:
    """Return what a job costs at most in the dearest of its partitions, None without a bound."""
    allocated = tres.quantities(job.tres)
    costs = []
    for name in job.partitions:
        limit = _longest(shape, name) if job.minutes is None else job.minutes
        given = Given(partition=name, qos=job.qos.lower(), tres=allocated, minutes=limit)
        costs.append(cost_of(given, shape.cluster))
    known = [cost for cost in costs if cost is not None]
    return max(known) if len(known) == len(costs) else None


def _longest(shape: Shape, partition: str) -> int:
    """Return the time limit of a job that has none yet: it gets it when it starts."""
    found = (one for one in shape.cluster.partitions if one.name == partition)
    return next((one.default_minutes or one.max_minutes for one in found), UNLIMITED)


def _kept_for(reader: Reader, wanted: Wanted, job: Record) -> int:
    """Return what is set aside for a job already, by the account that is to pay now."""
    ids = sorted({job.job_id, job.array_job_id or job.job_id})
    found = {lien.token: lien for lien in liens.find_by_jobs(reader, wanted.cluster, ids)}
    token = token_in(job.comment)
    if token is not None:
        found |= liens.find_by_tokens(reader, [token])
    open_ones = (lien for lien in found.values() if lien.is_open)
    return sum(lien.amount for lien in open_ones if lien.account == wanted.account)
