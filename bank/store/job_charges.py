"""What each run of a job was charged, by slurmdbd's own number of it."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.store.connect import Reader, Writer


class JobCharge(NamedTuple):
    """What a run is charged, and what that rests on. Times are seconds since 1970.

    Attributes:
        job_index: slurmdbd's own number of the run.
        revision: from 1; one more each time that slurmdbd says something else.
        job_id, shown_id: Slurm's number of the job, and its id as people know it.
        state: as sacct has it; RUNNING where it was charged until meters took over.
        seconds: how long jobs charge it: not suspended, and not counted by meters.
        billing, usage_factor: exact fractions as text; "" where nobody knows.
        priced_by: see `bank.policy.tariffs`, or NOT_PRICED.
        amount: billing-seconds in all.
        charged_at: UTC microseconds.
    """

    job_index: int
    revision: int
    job_id: int
    shown_id: str
    account: str
    user: str
    partition: str
    qos: str
    state: str
    began_at: int
    ended_at: int
    seconds: int
    alloc_tres: str
    billing: str
    usage_factor: str
    priced_by: str
    amount: int
    charged_at: int

    @property
    def rests_on(self) -> tuple[object, ...]:
        """What slurmdbd says of the run that decides its price."""
        whose = (self.account, self.partition, self.qos, self.alloc_tres)
        return *whose, self.began_at, self.ended_at, self.seconds


# Of a run of which nobody knows the price: it is asked for again whenever the run is seen.
NOT_PRICED = "not priced"

_COLUMNS = (
    "job_index, revision, job_id, shown_id, name, user_name, partition_name, qos, state, began_at,"
    " ended_at, seconds, alloc_tres, billing, usage_factor, priced_by, amount, charged_at"
)
_NEWEST = (
    f"SELECT {_COLUMNS} FROM job_charge AS newest JOIN account USING (account_id)"
    " WHERE newest.cluster = :cluster AND revision = (SELECT max(revision) FROM job_charge"
    " WHERE cluster = newest.cluster AND job_index = newest.job_index)"
)


def find_newest(reader: Reader, cluster: str, indexes: Sequence[int]) -> dict[int, JobCharge]:
    """Return what holds now of those runs of a cluster that were charged, by slurmdbd's numbers."""
    rows = reader.query_among(f"{_NEWEST} AND job_index IN ({{values}})", indexes, cluster=cluster)
    return {row[0]: JobCharge(*row) for row in rows}


def find_ended(
    reader: Reader, cluster: str, *, since_seconds: int, until_seconds: int
) -> list[JobCharge]:
    """Return what holds now of the runs that ended in a span of time, half open."""
    rows = reader.query(
        f"{_NEWEST} AND ended_at >= :since AND ended_at < :until ORDER BY ended_at, job_index",
        cluster=cluster,
        since=since_seconds,
        until=until_seconds,
    )
    return [JobCharge(*row) for row in rows]


def write(writer: Writer, cluster: str, charges: Sequence[JobCharge]) -> None:
    """Write what runs are charged, in the transaction that posts the entries."""
    writer.execute(
        "INSERT INTO job_charge (cluster, job_index, revision, job_id, shown_id, account_id,"
        " user_name, partition_name, qos, state, began_at, ended_at, seconds, alloc_tres, billing,"
        " usage_factor, priced_by, amount, charged_at)"
        " SELECT :cluster, :job_index, :revision, :job_id, :shown_id, account_id, :user,"
        " :partition, :qos, :state, :began_at, :ended_at, :seconds, :alloc_tres, :billing,"
        " :usage_factor, :priced_by, :amount, :charged_at FROM account WHERE name = :account",
        [{"cluster": cluster, **one._asdict()} for one in charges],
    )
