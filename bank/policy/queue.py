"""What one cluster says of jobs, of limits and their use, and of partitions."""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

ACCOUNT, USER, QOS = "account", "user", "QOS"
PENDING = "PENDING"


class Job(NamedTuple):
    """A job that waits, runs, or has ended a short while ago.

    Attributes:
        job_id: its number; that of the array where the tasks wait together.
        shown_id: as squeue shows it, "14_[2-4%1]" for tasks that wait together.
        state: PENDING, RUNNING and so on.
        partitions: those that it may run in, or where it runs.
        limit_minutes: its time limit; None where it has none.
        starts_at: when it started or is expected to, seconds since 1970; None where unknown.
        priority: the higher, the earlier it is looked at.
        tres: what it asks for or has; memory in megabytes.
        licenses, reservation, dependency: as squeue prints them, "" for none.
        reason: why it waits, in Slurm's words.
    """

    job_id: int
    shown_id: str
    state: str
    user: str
    account: str
    partitions: tuple[str, ...]
    qos: str
    limit_minutes: int | None
    starts_at: int | None
    priority: int
    tres: Mapping[str, Fraction]
    licenses: str
    reservation: str
    dependency: str
    reason: str


class Use(NamedTuple):
    """One limit and how much of it is in use.

    Attributes:
        limit: None for no limit.
        used: in the limit's own unit; 0 where it is compared with one job alone.
    """

    limit: int | None
    used: Fraction = Fraction(0)


# By Slurm's name: "GrpTRESMins=billing", "GrpJobs", "MaxTRESPJ=cpu".
Limits = Mapping[str, Use]


class Holder(NamedTuple):
    """Something that has limits: an account, a user in an account, or a QOS.

    Attributes:
        kind: ACCOUNT, USER or QOS.
        name: the account or the QOS.
        user, uid, partition: of a user's association; "" elsewhere.
        limits: what is set, and what is in use.
    """

    kind: str
    name: str
    limits: Limits
    user: str = ""
    uid: str = ""
    partition: str = ""

    def __str__(self) -> str:
        """Name it as a person would."""
        if self.kind != USER:
            return f"{self.kind} {self.name}"
        where = f" and partition {self.partition}" if self.partition else ""
        return f"user {self.user} in account {self.name}{where}"


class Qos(NamedTuple):
    """A QOS: its own limits, and those for each account and each user id in it."""

    holder: Holder
    by_account: Mapping[str, Limits]
    by_uid: Mapping[str, Limits]


class Partition(NamedTuple):
    """A partition.

    Attributes:
        state: UP, DOWN, DRAIN or INACTIVE.
        max_minutes: the longest time limit, None for any.
        min_nodes, max_nodes: how many nodes a job may have; None for any.
        total_nodes: how many it has.
        takes_accounts, takes_qos: only these; None for any.
        refuses_accounts, refuses_qos: all but these, where it takes any.
        qos: whose limits hold in it too, "" for none.
        weights: TRESBillingWeights, of memory for each megabyte.
    """

    name: str
    state: str
    max_minutes: int | None
    min_nodes: int
    max_nodes: int | None
    total_nodes: int
    takes_accounts: frozenset[str] | None
    refuses_accounts: frozenset[str]
    takes_qos: frozenset[str] | None
    refuses_qos: frozenset[str]
    qos: str
    weights: Mapping[str, Fraction]

    def takes_account(self, account: str) -> bool:
        """Tell whether jobs of an account may run in it."""
        if self.takes_accounts is not None:
            return account in self.takes_accounts
        return account not in self.refuses_accounts


class Node(NamedTuple):
    """A node that takes no jobs now, and why, as whoever took it away wrote."""

    name: str
    state: str
    reason: str


class Reservation(NamedTuple):
    """A reservation: when it begins and ends, in seconds since 1970, and on which nodes."""

    name: str
    starts_at: int
    ends_at: int
    nodes: str


class License(NamedTuple):
    """How many of a license there are, and are in use."""

    name: str
    total: int
    used: int


class Queue(NamedTuple):
    """One cluster at one moment.

    Attributes:
        cluster: its name.
        enforce: the parts of AccountingStorageEnforce.
        max_tres: whether PriorityFlags has MAX_TRES.
        parents: the account above each account.
        holders: the limits of the accounts that were asked for, of those above, and of users there.
        qos: every QOS by name.
        partitions: every partition by name.
        usage_factors: UsageFactor of each QOS.
        jobs: all that squeue shows.
        nodes, reservations, licenses: those that a reason of a job names.
        accounts_of: by user, the accounts that they may use.
        asked_at: seconds since 1970.
    """

    cluster: str
    enforce: frozenset[str]
    max_tres: bool
    parents: Mapping[str, str | None]
    holders: tuple[Holder, ...]
    qos: Mapping[str, Qos]
    partitions: Mapping[str, Partition]
    usage_factors: Mapping[str, Fraction]
    jobs: tuple[Job, ...]
    nodes: tuple[Node, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    licenses: tuple[License, ...] = ()
    accounts_of: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    asked_at: int = 0
