"""Jobs as others report them over the myBRC interface."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bank.policy.mybrc_fields import Told
from bank.policy.mybrc_jobs import Exact, Job
from bank.policy.mybrc_lists import JobFilters
from bank.store.connect import Reader, Writer
from bank.store.job_charges import NOT_PRICED

# What slurmdbd says of a run after which the job goes on, as the same run for those who report it.
GOES_ON = ("RESIZING", "RUNNING")


class Totals(NamedTuple):
    """What all listed jobs come to: how many, billing-seconds, CPU-hours."""

    jobs: int
    amount: int
    cpu_hours: float


_COLUMNS = (
    "cluster, job_key, attempt, uid, user_name, account, amount, told, charged, kept,"
    " lien_token, reconciled_at"
)
_FROM = f"SELECT {_COLUMNS} FROM mybrc_job"
# What a further report of the same run may change.
_RENEWED = ", ".join(
    f"{name} = excluded.{name}"
    for name in (
        *("amount", "told", "charged", "kept", "lien_token", "reconciled_at", "job_status"),
        *("partition_name", "started_at", "ended_at", "cpu_hours", "changed_at"),
    )
)


def _job(row: tuple[Any, ...]) -> Job:
    said = json.loads(row[7])
    told = Told(**{**said, "nodes": tuple(said["nodes"])})
    return Job(*(*row[:7], told, *row[8:]))


def find_attempts(reader: Reader, cluster: str, job_key: str) -> list[Job]:
    """Return the runs of a job that are known, in their order."""
    rows = reader.query(
        f"{_FROM} WHERE cluster = :cluster AND job_key = :job_key ORDER BY attempt",
        cluster=cluster,
        job_key=job_key,
    )
    return [_job(row) for row in rows]


def find_provisional(reader: Reader, cluster: str, job_keys: Sequence[str]) -> list[Job]:
    """Return the runs of jobs that are not reconciled, by their ids."""
    sql = (
        f"{_FROM} WHERE cluster = :cluster AND reconciled_at IS NULL AND job_key IN ({{values}})"
        " ORDER BY job_key, attempt"
    )
    return [_job(row) for row in reader.query_among(sql, job_keys, cluster=cluster)]


def find_provisional_until(reader: Reader, cluster: str, until: int) -> list[Job]:
    """Return the runs that ended by a time in UTC microseconds and are not reconciled.

    Those that slurmdbd knows and nobody can price are left out: what was reported is the best there
    is of them.
    """
    rows = reader.query(
        f"{_FROM} WHERE cluster = :cluster AND reconciled_at IS NULL AND ended_at <= :until"
        " AND NOT EXISTS (SELECT 1 FROM job_charge WHERE job_charge.cluster = :cluster"
        f" AND shown_id = job_key AND priced_by = '{NOT_PRICED}')"
        " ORDER BY job_key, attempt",
        cluster=cluster,
        until=until,
    )
    return [_job(row) for row in rows]


def find_exact(reader: Reader, cluster: str, job: Job) -> Exact:
    """Return what of a job was charged by what slurmdbd says."""
    ((charged_until,),) = reader.query(
        "SELECT coalesce(max(ended_at), 0) FROM job_charge WHERE cluster = :cluster"
        " AND (job_id = :job_id OR shown_id = :job_key)"
        f" AND state NOT IN {GOES_ON} AND priced_by <> '{NOT_PRICED}'",
        cluster=cluster,
        job_id=job.slurm_id,
        job_key=job.job_key,
    )
    rows = reader.query("SELECT reconciled_until FROM cluster WHERE name = :name", name=cluster)
    return Exact(charged_until, rows[0][0] if rows else 0)


def write(writer: Writer, jobs: Iterable[Job], *, now: int) -> None:
    """Write runs as they are now, new ones too; `now` is in UTC microseconds."""
    writer.execute(
        f"INSERT INTO mybrc_job ({_COLUMNS}, job_status, partition_name, started_at, ended_at,"
        " cpu_hours, changed_at) VALUES (:cluster, :job_key, :attempt, :uid, :user, :account,"
        " :amount, :text, :charged, :kept, :lien, :reconciled_at, :jobstatus, :partition,"
        " :startdate, :enddate, :cpu_time, :now)"
        f" ON CONFLICT (cluster, job_key, attempt) DO UPDATE SET {_RENEWED}",
        [
            {
                **job.told._asdict(),
                **job._asdict(),
                "text": json.dumps(job.told._asdict()),
                "now": now,
            }
            for job in jobs
        ],
    )


_WHERE = """
    WHERE cluster = :cluster
    AND (:user IS NULL OR user_name = :user)
    AND (:account IS NULL OR account = :account)
    AND (:status IS NULL OR job_status = :status)
    AND (:partition IS NULL OR partition_name = :partition)
    AND (:least IS NULL OR amount >= :least)
    AND (:most IS NULL OR amount <= :most)
    AND (:started_from IS NULL OR started_at >= :started_from)
    AND (:started_until IS NULL OR started_at <= :started_until)
    AND (:accounts = '' OR instr(:accounts, ' ' || account || ' '))
"""


def totals(reader: Reader, wanted: JobFilters) -> Totals:
    """Return what all jobs that are wanted come to."""
    (row,) = reader.query(
        "SELECT count(*), coalesce(sum(amount), 0), coalesce(sum(cpu_hours), 0.0)"
        f" FROM mybrc_job {_WHERE}",
        **_parameters(wanted),
    )
    return Totals(*row)


def find_page(reader: Reader, wanted: JobFilters, *, skipped: int, length: int) -> list[Job]:
    """Return some of the jobs that are wanted, in the order in which they became known."""
    rows = reader.query(
        f"{_FROM} {_WHERE} ORDER BY rowid LIMIT :length OFFSET :skipped",
        **_parameters(wanted),
        length=length,
        skipped=skipped,
    )
    return [_job(row) for row in rows]


def _parameters(wanted: JobFilters) -> dict[str, object]:
    return {**wanted._asdict(), "accounts": _together(wanted.accounts)}


def _together(accounts: Sequence[str]) -> str:
    """Return names as one text in which each can be looked for; "" are all."""
    return f" {' '.join(accounts)} " if accounts else ""
