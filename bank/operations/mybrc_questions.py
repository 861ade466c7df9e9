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
from bank.operations.clusters import find_cluster
from bank.operations.liens import Wanted
from bank.policy import tree
from bank.policy.mybrc_fields import BILLING_SECONDS_PER_HUNDREDTH, read_uid, shown_amount
from bank.policy.mybrc_jobs import Job
from bank.policy.mybrc_lists import ON_A_PAGE, JobFilters, Page, page_of, shown
from bank.policy.quotes import decimal
from bank.slurm import associations, partitions
from bank.slurm.command import run
from bank.store import above, meters, mybrc, read
from bank.store.connect import Reader, reading

# A client waits 5 s, with the controller's locks held.
_LONGEST_SECONDS = 2
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


def user_of(uid: int) -> str | None:
    """Return the name of a user, None where this machine knows nobody of that number."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
    return name if is_plain_user(name) else None


def is_member(bank: Bank, cluster: str, account: str, user: str) -> bool:
    """Tell whether a user's jobs may count for an account; yes where nobody can say.

    Who has come since the last pass is known to slurmdbd; the controller is never asked, because
    it waits for this answer with its locks held.
    """
    with reading(bank.database) as reader:
        if mybrc.is_member(reader, cluster, account, user):
            return True
        if not _open_chain(reader, cluster, account):
            # Not the bank's business, so the bank does not read who is in it.
            return True
    slurm = bank.slurm._replace(timeout_seconds=_LONGEST_SECONDS)
    try:
        said = run(slurm, associations.user_arguments(cluster, user))
        return any(one.account == account for one in associations.read_user(said))
    except SlurmError:
        return True


def _open_chain(reader: Reader, cluster: str, account: str) -> list[str]:
    """Return which of an account and those above it are open in the bank, the nearest first."""
    parents = above.find_parents(reader, account).get(cluster, {})
    chain = (account, *tree.ancestors(parents, account))
    return [name for name in chain if read.standing(reader, name) is not None]


def can_submit(bank: Bank, cluster: str, cost: str, uid: str, account: str) -> Verdict:
    """Say whether a user may submit a job that costs so many SUs at most for an account.

    Nothing is set aside: that is done when the job begins.

    Raises:
        InputError: that is no question.
    """
    billing_seconds, number, name = _cost(cost), read_uid(uid), account_name(account)
    user = user_of(number)
    if user is None:
        raise InputError(f"this machine knows no user {number}")
    if not is_member(bank, cluster, name, user):
        return _no(f"user {user} is not in account {name} on cluster {cluster}")
    with reading(bank.database) as reader:
        return _payable(bank, reader, Wanted(cluster, name, user, "", billing_seconds))


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


def _payable(bank: Bank, reader: Reader, wanted: Wanted) -> Verdict:
    account = wanted.account
    chain = _open_chain(reader, wanted.cluster, account)
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
        found = mybrc.find_page(reader, wanted, skipped=which.skipped, most=ON_A_PAGE)
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


def list_users(bank: Bank, cluster: str, names: Sequence[str], page: str | None) -> Listed:
    """Return a page of the users of a cluster; of some names only, where some are given.

    Raises:
        Refusal: there is no such page.
    """
    with reading(bank.database) as reader:
        found = mybrc.find_users(reader, cluster, names)
    which = page_of(page, len(found))
    some = found[which.skipped : which.skipped + ON_A_PAGE]
    return Listed(which, len(found), [_shown_user(name) for name in some], {})


def _shown_user(name: str) -> dict[str, Any]:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        uid = None
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


def list_partitions(bank: Bank, cluster: str, page: str | None) -> Listed:
    """Return a page of the partitions of a cluster, as its controller has them now.

    Raises:
        Refusal: there is no such page.
        BankError: the controller cannot be asked.
    """
    there = find_cluster(bank, cluster)
    sizes = partitions.read_sizes(run(bank.slurm, partitions.arguments(there.on)))
    which = page_of(page, len(sizes))
    rows = [
        {
            "name": name,
            "shared": size.is_shared,
            "num_nodes": size.nodes,
            "num_cores": size.cpus,
            "su_per_core_hour": _price(size.per_cpu),
        }
        for name, size in sorted(sizes.items())
    ]
    return Listed(which, len(rows), rows[which.skipped : which.skipped + ON_A_PAGE], {})


def _price(per_cpu: Fraction) -> str:
    """Write a price with two decimals, or as many as it needs."""
    whole, _, decimals = decimal(per_cpu).partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
