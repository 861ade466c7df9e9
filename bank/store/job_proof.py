"""Proof that what jobs are charged is what the entries hold."""

from collections.abc import Iterator

from bank.ledger.proof import Found
from bank.ledger.references import LIKE_JOB, of_job
from bank.store.connect import Reader

# What runs are charged by their newest rows, and what entries hold of them, but for refunds.
_BOTH = f"""
    WITH newest (reference, job, amount) AS (
        SELECT '{of_job("", "")[:-1]}' || cluster || '/' || job_index,
            shown_id || ' (' || cluster || '/' || job_index || ')', amount
        FROM job_charge AS one WHERE revision = (SELECT max(revision) FROM job_charge
            WHERE cluster = one.cluster AND job_index = one.job_index)
    ), booked (reference, amount) AS (
        SELECT reference, sum(CASE target WHEN 'used' THEN amount ELSE -amount END)
        FROM entry WHERE kind IN ('charge', 'adjustment') AND reference LIKE '{LIKE_JOB}'
        GROUP BY reference
    )
"""


def charge_problems(reader: Reader) -> Iterator[str]:
    """Yield the runs of which entries do not hold what is on record, or of which a row is gone."""
    found = Found()
    table = "table job_charge"
    for job, told, is_so in reader.stream(
        f"{_BOTH} SELECT job, newest.amount, coalesce(booked.amount, 0)"
        " FROM newest LEFT JOIN booked USING (reference)"
        " WHERE newest.amount <> coalesce(booked.amount, 0) ORDER BY job"
    ):
        found.say(
            table, "amount", f"says {told} billing-seconds, its entries {is_so}", f"job {job}"
        )
    for reference, amount in reader.stream(
        f"{_BOTH} SELECT reference, booked.amount FROM booked LEFT JOIN newest USING (reference)"
        " WHERE newest.reference IS NULL AND booked.amount <> 0 ORDER BY reference"
    ):
        found.say(table, "row", f"{amount} billing-seconds are charged, no row says so", reference)
    for cluster, index, last, count in reader.stream(
        "SELECT cluster, job_index, max(revision), count(*) FROM job_charge"
        " GROUP BY cluster, job_index HAVING max(revision) <> count(*)"
    ):
        what = f"its last revision is {last}, and there are {count}"
        found.say(table, "revision", what, f"run {cluster}/{index}")
    yield from found.told()
