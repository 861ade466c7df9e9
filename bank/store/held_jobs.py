"""Jobs that the bank has held in Slurm because their account could not pay for them."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.store.connect import Reader, Writer


class HeldJob(NamedTuple):
    """A job that is held, or is about to be: it stands here before Slurm is told.

    Attributes:
        job_id: Slurm's number; a task of an array has its own.
        amount: billing-seconds that it may cost.
        held_at: UTC microseconds.
    """

    cluster: str
    job_id: int
    account: str
    user: str
    amount: int
    held_at: int


def find(reader: Reader, cluster: str | None = None) -> list[HeldJob]:
    """Return the jobs that the bank holds, on one cluster or on all, longest held first."""
    rows = reader.query(
        "SELECT cluster, job_id, name, user_name, amount, held_at FROM held_job"
        " JOIN account USING (account_id) WHERE :cluster IS NULL OR cluster = :cluster"
        " ORDER BY held_at, job_id",
        cluster=cluster,
    )
    return [HeldJob(*row) for row in rows]


def write(writer: Writer, jobs: Sequence[HeldJob]) -> None:
    """Write down that jobs are held; each account must have a row. The newest word counts."""
    forget(writer, jobs)
    writer.execute(
        "INSERT INTO held_job (cluster, job_id, account_id, user_name, amount, held_at)"
        " SELECT :cluster, :job_id, account_id, :user, :amount, :held_at FROM account"
        " WHERE name = :account",
        [job._asdict() for job in jobs],
    )


def forget(writer: Writer, jobs: Sequence[HeldJob]) -> None:
    """Write down that jobs are held no more."""
    writer.execute(
        "DELETE FROM held_job WHERE cluster = :cluster AND job_id = :job_id",
        [job._asdict() for job in jobs],
    )
