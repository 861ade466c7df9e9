"""What a forecast rests on: use by day, and since when it is on record."""

from typing import NamedTuple

from bank.ledger.references import LIKE_FIRST_READING, LIKE_READING
from bank.policy.forecast import DAY_MICROSECONDS
from bank.store.accounts import Account
from bank.store.connect import Reader
from bank.store.spans import USE_MOVED, use_rows


class DayOfUse(NamedTuple):
    """What was booked for one account on one cluster within 24 hours, in billing-seconds.

    Attributes:
        account, cluster: which.
        days_ago: 0 for the last 24 hours.
        ran: what ran then; not what a first reading found, which may be of any time before, nor
            what was corrected by hand.
        booked: by how much its use changed: what was charged less what was refunded.
    """

    account: str
    cluster: str | None
    days_ago: int
    ran: int
    booked: int


_DAY_OF_USE = f"""
    name, entry.cluster, (:now - posted_at) / {DAY_MICROSECONDS} AS days_ago,
    sum(CASE WHEN (kind = 'charge' OR (kind = 'adjustment' AND reference LIKE '{LIKE_READING}'))
        AND reference NOT LIKE '{LIKE_FIRST_READING}' THEN amount ELSE 0 END),
    sum({USE_MOVED})
"""


def days_of_use(reader: Reader, account: Account | None, *, now: int, days: int) -> list[DayOfUse]:
    """Return the use of an account and all below it by day, or with None that of all accounts."""
    since = now - days * DAY_MICROSECONDS + 1
    by_day = "GROUP BY name, entry.cluster, days_ago"
    rows = use_rows(reader, _DAY_OF_USE, account, since, by_day, now=now)
    # A clock that was set back leaves entries of times to come.
    return [DayOfUse(name, where, max(ago, 0), *amounts) for name, where, ago, *amounts in rows]


def known_since(reader: Reader, account: Account | None) -> dict[str, int]:
    """Return since when the bank has looked after an account, or all; UTC microseconds by name."""
    whose = "" if account is None else "WHERE account.account_id = :id"
    rows = reader.query(
        "SELECT name, changed_at, posted_at FROM account"
        " LEFT JOIN account_change ON account_change.account_id = account.account_id"
        " AND account_change.seq = 1"
        " LEFT JOIN entry ON entry.account_id = account.account_id AND entry.seq = 1"
        f" {whose}",
        **({} if account is None else {"id": account.account_id}),
    )
    return {
        name: min(at for at in (changed, posted) if at is not None)
        for name, changed, posted in rows
        if changed is not None or posted is not None
    }
