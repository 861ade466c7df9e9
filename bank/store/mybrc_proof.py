"""Proof that the books hold for each reported run what its row says."""

from collections.abc import Iterator

from bank.ledger.proof import Found
from bank.ledger.references import LIKE_REPORT, SEPARATOR
from bank.store.connect import Reader

_NET = f"""
    SELECT reference, sum(amount) FROM (
        SELECT reference, CASE target WHEN 'used' THEN amount ELSE -amount END AS amount
        FROM entry WHERE reference LIKE '{LIKE_REPORT}'
        UNION ALL
        SELECT '{LIKE_REPORT.removesuffix("%")}' || cluster || '{SEPARATOR}' || job_key
            || '{SEPARATOR}' || attempt, -charged - kept
        FROM mybrc_job
    ) GROUP BY reference HAVING sum(amount) <> 0 ORDER BY reference
"""


def report_problems(reader: Reader) -> Iterator[str]:
    """Yield for which reported runs the entries hold something else than their rows say."""
    found = Found()
    for reference, net in reader.stream(_NET):
        what = f"its entries hold {abs(net)} billing-seconds {'more' if net > 0 else 'less'} than"
        found.say("table mybrc_job", "entries", f"{what} the row says", reference)
    yield from found.told()
