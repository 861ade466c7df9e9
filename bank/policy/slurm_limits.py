"""Slurm's limits: which of them are reached, and which of them a job does not fit into."""

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from bank.policy import tree
from bank.policy.job_reasons import ASSOCIATION, LimitReason
from bank.policy.queue import ACCOUNT, QOS, USER, Holder, Job, Limits, Queue, Use

# Of these every job uses some, so that a limit that is reached stops all.
_EVERY_JOB = ("cpu", "node", "billing")
_ALWAYS = ("GrpJobs", "GrpSubmitJobs", "GrpWall", "MaxJobs", "MaxSubmitJobs")
_ALL_JOBS = re.compile(
    rf"{'|'.join(_ALWAYS)}|(?:GrpTRES|GrpTRESMins|GrpTRESRunMins)=(?:{'|'.join(_EVERY_JOB)})"
)
# Only these stand at the association itself; the others hold for all below as well.
_OWN = re.compile(r"Max.*")
SUBMIT = ("GrpSubmitJobs", "MaxSubmitJobs", "MaxSubmitJobsPU", "MaxSubmitJobsPA")
# What the same limit of an association is called.
_OF_ASSOCIATION = {"MaxJobsPU": "MaxJobs", "MaxSubmitJobsPU": "MaxSubmitJobs"}
_SACCTMGR = {
    "MaxTRESPJ": "MaxTRESPerJob",
    "MaxTRESPN": "MaxTRESPerNode",
    "MaxTRESMinsPJ": "MaxTRESMinsPerJob",
    "MaxWallPJ": "MaxWall",
    "MaxTRESPU": "MaxTRESPerUser",
    "MaxJobsPU": "MaxJobsPerUser",
    "MaxSubmitJobsPU": "MaxSubmitJobsPerUser",
    "MaxTRESPA": "MaxTRESPerAccount",
    "MaxJobsPA": "MaxJobsPerAccount",
    "MaxSubmitJobsPA": "MaxSubmitJobsPerAccount",
    "MinTRESPJ": "MinTRESPerJob",
}


class Limit(NamedTuple):
    """A limit that is set.

    Attributes:
        holder: whose it is.
        name: as in `policy.queue.Limits`.
        value: what it is set to.
        used: what is used up or in use of it.
        reserved: what running jobs may still use of it.
        user: whose use it is, "" where it is not of one user.
    """

    holder: Holder
    name: str
    value: int
    used: Fraction
    reserved: Fraction
    user: str = ""

    @property
    def field(self) -> str:
        """Its name without the resource."""
        return self.name.partition("=")[0]

    @property
    def resource(self) -> str:
        """The resource it limits, "" for none."""
        return self.name.partition("=")[2]

    @property
    def is_reached(self) -> bool:
        """Whether nothing of it is left."""
        return self.used >= self.value

    @property
    def is_of_minutes(self) -> bool:
        """Whether it counts a resource times minutes."""
        return "Mins" in self.field

    def command(self, value: int) -> str:
        """Return what an administrator types to set it."""
        field = _SACCTMGR.get(self.field, self.field)
        name = f"{field}={self.resource}" if self.resource else field
        holder = self.holder
        if holder.kind == QOS:
            return f"sacctmgr modify qos {holder.name} set {name}={value}"
        if holder.kind == ACCOUNT:
            return f"sacctmgr modify account {holder.name} set {name}={value}"
        where = f"name={holder.user} account={holder.name}"
        where += f" partition={holder.partition}" if holder.partition else ""
        return f"sacctmgr modify user where {where} set {name}={value}"


def _limits_of(holder: Holder, limits: Limits) -> Iterator[Limit]:
    """Yield the limits of a holder that are set."""
    for name, use in limits.items():
        if use.limit is not None:
            reserved = Fraction(0)
            if name.startswith("GrpTRESMins="):
                running = limits.get(name.replace("GrpTRESMins=", "GrpTRESRunMins="), Use(None))
                reserved = running.used
            yield Limit(holder, name, use.limit, use.used, reserved, holder.user)


def on_the_way(queue: Queue, account: str, user: str | None) -> list[Holder]:
    """Return whose limits hold for jobs in an account: users there, the account, all above.

    Args:
        queue: the cluster.
        account: the account.
        user: this user's associations only; None for every user's.
    """
    names = [account, *tree.ancestors(queue.parents, account)]
    users = [
        one
        for one in queue.holders
        if one.kind == USER and one.name == account and user in (None, one.user)
    ]
    accounts = {one.name: one for one in queue.holders if one.kind == ACCOUNT}
    return [*users, *(accounts[name] for name in names if name in accounts)]


def set_on(holders: Sequence[Holder]) -> Iterator[Limit]:
    """Yield the limits that hold for whoever is below the holders.

    Args:
        holders: see `on_the_way`.
    """
    accounts = [one for one in holders if one.kind == ACCOUNT]
    for holder in holders:
        for limit in _limits_of(holder, holder.limits):
            if not _OWN.fullmatch(limit.name):
                yield limit
            elif holder.kind == USER:
                yield limit._replace(holder=_origin(limit, accounts))


def _origin(limit: Limit, accounts: Iterable[Holder]) -> Holder:
    """Return where a limit for each user was set: it is shown at all below that have no other."""
    origin = limit.holder
    for account in accounts:
        if account.limits.get(limit.name, Use(None)).limit != limit.value:
            break
        origin = account
    return origin


def stops_all(limit: Limit) -> bool:
    """Tell whether a limit is reached that stops every job below its holder."""
    return limit.is_reached and _ALL_JOBS.fullmatch(limit.name) is not None


def for_job(queue: Queue, job: Job) -> list[Limit]:
    """Return every limit that holds for a job, of its association, of its QOS and partition."""
    holders = on_the_way(queue, job.account, job.user)
    # A user may have an association for one partition beside the one for all; that one counts.
    for_partition = [one for one in holders if one.partition in job.partitions and one.partition]
    if for_partition:
        holders = [one for one in holders if one.kind != USER or one in for_partition]
    else:
        holders = [one for one in holders if not one.partition]
    uids = {one.uid for one in holders if one.kind == USER}
    mine = list(set_on(holders))
    found: list[Limit] = []
    names = [job.qos]
    names += [queue.partitions[name].qos for name in job.partitions if name in queue.partitions]
    for name in dict.fromkeys(names):
        if name in queue.qos:
            qos = queue.qos[name]
            found += _limits_of(qos.holder, qos.holder.limits)
            for uid in sorted(uids & qos.by_uid.keys()):
                found += _limits_of(qos.holder, qos.by_uid[uid])
            if job.account in qos.by_account:
                found += _limits_of(qos.holder, qos.by_account[job.account])
    # A limit of a QOS wins over the same one of an association: sacctmgr(1).
    instead = {_OF_ASSOCIATION.get(limit.name, limit.name) for limit in found}
    return [*(limit for limit in mine if limit.name not in instead), *found]


def about(limits: Iterable[Limit], reason: LimitReason) -> list[Limit]:
    """Return the limits that a reason of Slurm's may be about."""
    field, equals, resource = reason.limit.partition("=")

    def is_meant(limit: Limit) -> bool:
        if (limit.holder.kind != QOS) != (reason.holder == ASSOCIATION) or limit.field != field:
            return False
        if not equals or resource.endswith("/"):
            return limit.resource.startswith(resource)
        return resource in ("", limit.resource)

    return [limit for limit in limits if is_meant(limit)]


def needed(limit: Limit, job: Job) -> Fraction | None:
    """Return how much of a limit a job takes; None is without end, as it has no time limit."""
    amount = job.tres.get(limit.resource, Fraction(0))
    if limit.field == "MaxWallPJ":
        return None if job.limit_minutes is None else Fraction(job.limit_minutes)
    if limit.is_of_minutes and amount:
        return None if job.limit_minutes is None else amount * job.limit_minutes
    if limit.field == "MaxTRESPN":
        return amount / max(job.tres.get("node", Fraction(1)), Fraction(1))
    if limit.resource:
        return amount
    # A job that waits is already counted as submitted.
    return Fraction(0) if limit.field in (*SUBMIT, "GrpWall") else Fraction(1)


def does_not_fit(limit: Limit, job: Job) -> bool:
    """Tell whether a limit stops a job now."""
    need = needed(limit, job)
    if need is None:
        return True
    if limit.field == "MinTRESPJ":
        return need < limit.value
    if limit.field in SUBMIT:
        return False
    if limit.field in ("GrpTRESMins", "GrpWall") and limit.is_reached:
        return True
    return limit.used + limit.reserved + need > limit.value


def would_fit(limit: Limit, job: Job) -> int | None:
    """Return the least value of a limit with which a job would start; None where none is enough.

    Of a limit that is never below what is used the next value above it.
    """
    need = needed(limit, job)
    if need is None:
        return None
    if limit.field == "MinTRESPJ":
        return int(need)
    least = limit.used + limit.reserved + need
    if limit.field in ("GrpTRESMins", "GrpWall"):
        return max(ceil(least), int(limit.used) + 1)
    return ceil(least)


def minutes_that_fit(limit: Limit, job: Job) -> int | None:
    """Return the longest time limit with which a job would fit; None where no time helps."""
    left = limit.value - limit.used - limit.reserved
    amount = job.tres.get(limit.resource, Fraction(0))
    if limit.field == "MaxWallPJ":
        return limit.value or None
    if not limit.is_of_minutes or amount <= 0:
        return None
    minutes = int(left / amount)
    return minutes if minutes > 0 else None
