"""Proof that what jobs are charged is what the entries hold."""

from collections.abc import Iterator
from fractions import Fraction

from bank.ledger.proof import Found
from bank.ledger.references import LIKE_JOB, of_job
from bank.policy import prices
from bank.store.connect import Reader
from bank.store.job_charges import NOT_PRICED

# What each run is charged by its newest row, and what entries hold of it, but for refunds; those of
# which the two are not the same. Sorted and added up, because joined it takes hours for a million.
_UNEQUAL = f"""
    SELECT reference, max(job), sum(told), sum(held) FROM (
        SELECT '{of_job("", "")[:-1]}' || cluster || '/' || job_index AS reference,
            shown_id AS job, amount AS told, 0 AS held
        FROM job_charge AS one WHERE revision = (SELECT max(revision) FROM job_charge
            WHERE cluster = one.cluster AND job_index = one.job_index)
        UNION ALL
        SELECT reference, NULL, 0, CASE target WHEN 'used' THEN amount ELSE -amount END
        FROM entry WHERE kind IN ('charge', 'adjustment') AND reference LIKE '{LIKE_JOB}'
    )
    GROUP BY reference HAVING sum(told) <> sum(held) ORDER BY reference
"""


def charge_problems(reader: Reader) -> Iterator[str]:
    """Yield the runs of which entries do not hold what is on record, or of which a row is gone."""
    found = Found()
    table = "table job_charge"
    for reference, job, told, held in reader.stream(_UNEQUAL):
        if job is None:
            what = f"{held} billing-seconds are charged, no row says so"
            found.say(table, "row", what, reference)
        else:
            what = f"says {told} billing-seconds, its entries {held}"
            found.say(table, "amount", what, f"job {job} ({reference})")
    for cluster, index, last, count in reader.stream(
        "SELECT cluster, job_index, max(revision), count(*) FROM job_charge"
        " GROUP BY cluster, job_index HAVING max(revision) <> count(*)"
    ):
        what = f"its last revision is {last}, and there are {count}"
        found.say(table, "revision", what, f"run {cluster}/{index}")
    for row in reader.stream(
        "SELECT cluster, job_index, revision, shown_id, seconds, ended_at - began_at, billing,"
        " usage_factor, priced_by, amount FROM job_charge"
    ):
        what = _wrong_price(*row[4:], is_first=row[2] == 1)
        if what:
            found.say(table, "price", what, f"job {row[3]} ({row[0]}/{row[1]})")
    yield from found.told()


def _wrong_price(
    seconds: int,
    most: int,
    billing: str,
    factor: str,
    priced_by: str,
    amount: int,
    *,
    is_first: bool,
) -> str:
    """Say what is wrong with what a run is charged by its row; "" where nothing is."""
    # Of a run that ended before it began, because the clock was set back, nothing.
    if seconds > max(most, 0):
        return f"charged for {seconds} seconds, it had its size for {most}"
    if priced_by == NOT_PRICED:
        return f"has no price, and is charged {amount}" if is_first and amount else ""
    try:
        cost = prices.rounded(prices.per_second(Fraction(billing), Fraction(factor)) * seconds)
    except ValueError:
        return f"its price is no price: {billing!r} and {factor!r}"
    # Of a later revision some may stay that was given back, or settled by a period that is over.
    if amount < cost or (is_first and amount > cost):
        return f"says {amount} billing-seconds, its price and time make {cost}"
    return ""
