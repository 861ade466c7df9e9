"""What clients of myBRC ask: whether a job may be submitted, and which jobs and users there are."""

import pwd
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from bank.errors import InputError, Refusal, SettingsError, SlurmError
from bank.ledger.names import account_name, is_plain_user
from bank.operations import liens, looking
from bank.operations.bank import Bank
from bank.operations.liens import Wanted
from bank.operations.shape_cache import Shape, ShapeCache
from bank.policy import tree
from bank.policy.cluster_shape import Cluster as ClusterShape
from bank.policy.cluster_shape import Partition
from bank.policy.mybrc_fields import BILLING_SECONDS_PER_HUNDREDTH, read_uid, shown_amount
from bank.policy.mybrc_jobs import Job
from bank.policy.mybrc_lists import ON_A_PAGE, JobFilters, Page, UserFilters, page_of, shown
from bank.policy.quotes import decimal
from bank.store import above, meters, mybrc, read
from bank.store.connect import Reader, reading

# No such cost can be paid; how many digits it has is nobody's fault but a missing time limit's.
_COST = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,2}))?")


class Verdict(NamedTuple):
    """Whether a job may be submitted, and why, for people."""

    success: bool
    message: str


def the_cluster(bank: Bank, named: str | None) -> str:
    """Return the cluster that is meant: the one that is named, else the only one.

    Raises:
        Refusal: there is no such cluster, or there are several and none was named.
        SettingsError: none was read yet.
    """
    with reading(bank.database) as reader:
        names = sorted(meters.find_cluster_names(reader))
    names = [name for name in names if name in (bank.settings.clusters or names)]
    if not names:
        raise SettingsError("no cluster has been read yet: run 'slurm_bank.py enforce' once")
    if named is None and len(names) == 1:
        return names[0]
    if named not in names:
        text = "there is no such cluster" if named else "the address must name a cluster"
        raise Refusal("no_such_cluster", f"{text}: /clusters/NAME/, one of {', '.join(names)}")
    return named


class Known:
    """Who there is on a cluster, as its shape says; where that is not known, nobody is refused.

    Slurm is never asked here: the controller waits for the answer with its locks held.
    """

    def __init__(self, cache: ShapeCache, cluster: str) -> None:
        """Take what is kept of the local cluster, and the one that is meant."""
        self._cache = cache
        try:
            shape = cache.shape
        except SlurmError:
            self._shape = None
        else:
            self._shape = shape if shape.name == cluster else None

    def user(self, uid: int) -> str | None:
        """Return the name of a user, None where nobody of that number is known."""
        name = self._shape.users.get(uid) if self._shape is not None else None
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except KeyError:
                return None
        return name if is_plain_user(name) else None

    def is_member(self, account: str, user: str) -> bool:
        """Tell whether a user's jobs may count for an account."""
        if self._shape is None or self._shape.knows(user, account):
            return True
        # Who has come just now is known soon.
        self._cache.refresh_soon()
        return False


def _open_chain(reader: Reader, cluster: str, account: str) -> list[str]:
    """Return which of an account and those above it are open in the bank, the nearest first."""
    parents = above.find_parents(reader, account).get(cluster, {})
    chain = (account, *tree.ancestors(parents, account))
    return [name for name in chain if read.standing(reader, name) is not None]


def can_submit(
    bank: Bank, cache: ShapeCache, cluster: str, cost: str, uid: str, account: str
) -> Verdict:
    """Say whether a user may submit a job that costs so many SUs at most for an account.

    Nothing is set aside: that is done when the job begins.

    Raises:
        InputError: that is no question.
    """
    billing_seconds, number, name = _cost(cost), read_uid(uid), account_name(account)
    known = Known(cache, cluster)
    user = known.user(number)
    if user is None:
        raise InputError(f"this machine knows no user {number}")
    with reading(bank.database) as reader:
        chain = _open_chain(reader, cluster, name)
        if chain and not known.is_member(name, user):
            return _no(f"user {user} is not in account {name} on cluster {cluster}")
        return _payable(bank, reader, Wanted(cluster, name, user, "", billing_seconds), chain)


def _no(message: str) -> Verdict:
    return Verdict(success=False, message=message)


def _cost(text: str) -> int:
    match = _COST.fullmatch(text)
    if match is None:
        raise InputError("the cost is not a number of SUs from 0 with at most two decimals")
    whole, hundredths = match.group(1), (match.group(2) or "").ljust(2, "0")
    cost = int(whole + hundredths) * BILLING_SECONDS_PER_HUNDREDTH
    # Nothing is what clients say of a job whose CPUs they do not know: it costs something.
    return cost or BILLING_SECONDS_PER_HUNDREDTH


def _payable(bank: Bank, reader: Reader, wanted: Wanted, chain: Sequence[str]) -> Verdict:
    account = wanted.account
    if not chain and bank.settings.unknown_accounts == "hold":
        return _no(f"account {account} is not the bank's, and UNKNOWN_ACCOUNTS = 'hold'")
    if not chain:
        return Verdict(success=True, message=f"account {account} is not the bank's to decide about")
    try:
        liens.check(reader, wanted)
    except Refusal as refusal:
        return _no(str(refusal))
    for name in chain:
        state = looking.describe(bank, reader, name)
        if state["is_held"]:
            return _no(f"account {name} is held: {state['held']}")
    standing = read.standing(reader, chain[0])
    left = None if standing is None else standing.available
    has = "no limit" if left is None else f"{shown_amount(left)} available"
    cost = shown_amount(wanted.cost_of_one)
    message = f"this job may cost up to {cost} SUs; account {chain[0]} has {has}"
    return Verdict(success=True, message=message)


class Listed(NamedTuple):
    """A page of a list, how many there are in all, and what they come to where they are jobs."""

    page: Page
    total: int
    rows: list[dict[str, Any]]
    totals: dict[str, Any]


def list_jobs(bank: Bank, wanted: JobFilters, page: str | None) -> Listed:
    """Return a page of the runs of jobs that were reported.

    Raises:
        Refusal: there is no such page.
    """
    with reading(bank.database) as reader:
        totals = mybrc.totals(reader, wanted)
        which = page_of(page, totals.jobs)
        found = mybrc.find_page(reader, wanted, skipped=which.skipped, length=ON_A_PAGE)
    sums = {"total_amount": shown_amount(totals.amount), "total_cpu_time": totals.cpu_hours}
    return Listed(which, totals.jobs, [shown(job) for job in found], sums)


def find_job(bank: Bank, cluster: str, job_key: str) -> Job:
    """Return the newest run of a job.

    Raises:
        Refusal: nobody reported it.
    """
    with reading(bank.database) as reader:
        attempts = mybrc.find_attempts(reader, cluster, job_key)
    if not attempts:
        raise Refusal("no_such_job", "there is no such job")
    return attempts[-1]


def list_users(cache: ShapeCache, wanted: UserFilters, page: str | None) -> Listed:
    """Return a page of the users of the local cluster, in the order of their names.

    Raises:
        Refusal: there is no such page.
        SlurmError: what the cluster has is not known.
    """
    shape = _local(cache, wanted.cluster)
    numbers = {name: uid for uid, name in shape.users.items()}
    found = [
        name
        for name, mine in sorted(shape.associations.items())
        if (not wanted.names or name in wanted.names)
        and (not wanted.accounts or any(one.account in wanted.accounts for one in mine))
    ]
    which = page_of(page, len(found))
    some = found[which.skipped : which.skipped + ON_A_PAGE]
    return Listed(which, len(found), [_shown_user(name, numbers.get(name)) for name in some], {})


def _local(cache: ShapeCache, cluster: str) -> Shape:
    shape = cache.shape
    if shape.name != cluster:
        raise SlurmError(f"only what {shape.name} has is known here, not what {cluster} has")
    return shape


def _shown_user(name: str, uid: int | None) -> dict[str, Any]:
    # What a bank does not know of people is said to be empty.
    return {
        "id": uid,
        "username": name,
        "first_name": "",
        "last_name": "",
        "email": "",
        "last_login": None,
        "profile": {"cluster_uid": None if uid is None else str(uid)},
    }


def list_partitions(cache: ShapeCache, cluster: str, page: str | None) -> Listed:
    """Return a page of the partitions of the local cluster, in the order of their names.

    Raises:
        Refusal: there is no such page.
        SlurmError: what the cluster has is not known.
    """
    shape = _local(cache, cluster).cluster
    which = page_of(page, len(shape.partitions))
    found = sorted(shape.partitions, key=lambda one: one.name)
    some = found[which.skipped : which.skipped + ON_A_PAGE]
    rows = [_shown_partition(shape, one) for one in some]
    return Listed(which, len(found), rows, {})


def _shown_partition(shape: ClusterShape, partition: Partition) -> dict[str, Any]:
    nodes = [node for node in shape.nodes if partition.name in node.partitions]
    # Without weights a job's billing is its number of CPUs.
    price = partition.weights.get("cpu", Fraction(0)) if partition.weights else Fraction(1)
    whole, _, decimals = decimal(price).partition(".")
    return {
        "name": partition.name,
        "shared": not (partition.is_exclusive or shape.controller.gives_whole_nodes),
        "num_nodes": len(nodes),
        "num_cores": sum(node.cpus for node in nodes),
        "su_per_core_hour": f"{whole}.{decimals.ljust(2, '0')}",
    }
