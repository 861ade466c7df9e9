"""Which runs of jobs were refunded, and what the books hold of them."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.ledger.references import of_reading
from bank.policy.metering import EDGE_SECONDS
from bank.policy.refunds import CHARGED, CLOSED, REFUNDED, Move
from bank.store.connect import Reader, Writer

_MICROSECONDS = 1_000_000


class JobRefund(NamedTuple):
    """A run that was refunded, and the entry that did it.

    Attributes:
        job_index: slurmdbd's own number of the run.
        job_id: as people know it.
        seq: number of the entry within the account.
        amount: billing-seconds.
        actor: who did it.
        at: UTC microseconds.
    """

    job_index: int
    job_id: str
    account: str
    seq: int
    amount: int
    actor: str
    at: int


def find_refunds(reader: Reader, cluster: str, indexes: Sequence[int]) -> dict[int, JobRefund]:
    """Return those of the runs of a cluster that were refunded, by slurmdbd's numbers."""
    rows = reader.query_among(
        "SELECT job_index, job_id, name, seq, job_refund.amount, actor, posted_at"
        " FROM job_refund JOIN account USING (account_id) JOIN entry USING (account_id, seq)"
        " WHERE job_refund.cluster = :cluster AND job_index IN ({values})",
        indexes,
        cluster=cluster,
    )
    return {row[0]: JobRefund(*row) for row in rows}


def write_refunds(
    writer: Writer, cluster: str, account_id: int, refunds: Sequence[tuple[int, str, int, int]]
) -> None:
    """Write down that runs were refunded, in the transaction that posts the entries.

    Args:
        writer: the transaction.
        cluster: where they ran.
        account_id: whose books were changed.
        refunds: slurmdbd's number of each, its id, the number of the entry, billing-seconds.
    """
    writer.execute(
        "INSERT INTO job_refund (cluster, job_index, job_id, account_id, seq, amount)"
        " VALUES (:cluster, :job_index, :job_id, :account_id, :seq, :amount)",
        [
            {
                "cluster": cluster,
                "account_id": account_id,
                "job_index": job_index,
                "job_id": job_id,
                "seq": seq,
                "amount": amount,
            }
            for job_index, job_id, seq, amount in refunds
        ],
    )


def find_moves(reader: Reader, cluster: str, account_id: int) -> list[Move]:
    """Return the entries by which the use of an account on a cluster changed, in their order."""
    rows = reader.query(
        "SELECT target = 'used', target = 'available', amount, user_name, reference FROM entry"
        " WHERE account_id = :account_id AND cluster = :cluster"
        " AND (target = 'used' OR source = 'used') ORDER BY seq",
        account_id=account_id,
        cluster=cluster,
    )
    return [
        Move(CHARGED if is_charge else REFUNDED if is_refund else CLOSED, amount, user, reference)
        for is_charge, is_refund, amount, user, reference in rows
    ]


def find_readings(
    reader: Reader,
    cluster: str,
    association: int,
    whose: tuple[str, str, str],
    *,
    began_at: int,
    ended_at: int,
) -> set[str]:
    """Return the readings that can hold something of a run, as entries refer to them.

    They are those from its start to the first one after its end.

    Args:
        reader: the database.
        cluster: where it ran.
        association: its meter, 0 where sacct does not say it.
        whose: account, user and partition of the run, for that case.
        began_at: seconds since 1970.
        ended_at: likewise.
    """
    account, user, partition = whose
    rows = reader.query(
        "SELECT reading.meter_id, reading.seq FROM reading JOIN meter USING (meter_id)"
        " JOIN account ON account.account_id = meter.account_id"
        " LEFT JOIN reading AS before ON before.meter_id = reading.meter_id"
        " AND before.seq = reading.seq - 1"
        " WHERE meter.cluster = :cluster AND (association = :association OR :association = 0"
        " AND name = :account AND meter.user_name = :user"
        " AND meter.partition_name IN ('', :partition))"
        " AND reading.answered_at >= :began"
        " AND (before.asked_at IS NULL OR before.asked_at <= :ended)",
        cluster=cluster,
        association=association,
        account=account,
        user=user,
        partition=partition,
        began=began_at * _MICROSECONDS,
        ended=(ended_at + EDGE_SECONDS) * _MICROSECONDS,
    )
    return {of_reading(meter_id, seq) for meter_id, seq in rows}


def reason_of(job_id: str, reason: str = "") -> str:
    """Return why the entry that refunds a run was posted: its job, and what was said of it."""
    return f"job {job_id}: {reason}" if reason else f"job {job_id}"
