"""What was booked in a span of time, read from the newest entry back: old ones cost nothing.

An account's entries are in the order of their times, so nothing before a span need be read, and no
index of times is kept for it.
"""

from collections.abc import Iterator
from typing import Any

from bank.policy.spans import Span
from bank.policy.statement import Below, Line, changes
from bank.policy.usage import Use
from bank.store.accounts import Account
from bank.store.connect import Reader
from bank.store.read import BELOW

# Later than every entry.
_NEVER = 2**63 - 1
# Charges and refunds, but not what closes use; and by how much they change it.
MOVES_USE = "(target = 'used' OR (source = 'used' AND target = 'available'))"
USE_MOVED = "CASE target WHEN 'used' THEN amount ELSE -amount END"


def _since(account_id: str) -> str:
    """Return the condition for entries of an account, named by a column, that are in the span."""
    return f"""
        entry.account_id = {account_id} AND entry.seq > coalesce((
            SELECT before.seq FROM entry AS before
            WHERE before.account_id = {account_id} AND before.posted_at < :since
            ORDER BY before.seq DESC LIMIT 1
        ), 0)
    """


# The account and all below it now, each on the clusters where it counts.
_AMONG = (
    BELOW
    + """
    , among (cluster, account_id) AS (
        SELECT cluster, account_id FROM below
        UNION SELECT cluster, account_id FROM place WHERE account_id = :account_id
    )
"""
)
_LINE = """
    posted_at, kind, source, target, amount, entry.cluster, user_name, entry.grant_id, actor,
    reason, reference
"""


def entries_since(reader: Reader, account: Account, since: int) -> list[Line]:
    """Return an account's entries from an instant of UTC microseconds on, oldest first."""
    rows = reader.stream(
        f"SELECT {_LINE} FROM entry WHERE {_since(':id')} ORDER BY seq",
        id=account.account_id,
        since=since,
    )
    return [_line(account.name, row) for row in rows]


def _line(account: str, row: tuple[Any, ...]) -> Line:
    at, kind, source, target, amount, *more = row
    granted, used = changes(kind, source, target, more[-1])
    return Line(account, at, kind, granted * amount, used * amount, 1, *more)


_USE_BELOW = f"""
    FROM below
    CROSS JOIN account ON account.account_id = below.account_id
    CROSS JOIN entry ON entry.cluster = below.cluster AND {_since("below.account_id")}
    WHERE {MOVES_USE}
"""


def use_below_since(reader: Reader, account: Account, span: Span) -> list[Line]:
    """Return each charge and refund since a span began of all below an account now.

    That is what counts for the account: use on the clusters on which they are below it.
    """
    rows = reader.stream(
        f"{BELOW} SELECT name, {_LINE} {_USE_BELOW} ORDER BY name, entry.seq",
        account_id=account.account_id,
        since=span.start_at,
    )
    # It is a change of use for the account, and its own SUs are not touched.
    return [_line(name, tuple(row))._replace(granted=0) for name, *row in rows]


def sums_below_since(reader: Reader, account: Account, span: Span) -> list[Line]:
    """Return what `use_below_since` does, summed up by child: in the span, and after it."""
    rows = reader.query(
        f"{BELOW} SELECT name, max(posted_at), kind, entry.cluster, count(*),"
        f" sum({USE_MOVED}) {_USE_BELOW}"
        " GROUP BY name, entry.cluster, kind, target, posted_at >= :end_at",
        account_id=account.account_id,
        since=span.start_at,
        end_at=_NEVER if span.end_at is None else span.end_at,
    )
    return [
        Line(name, at, kind, 0, used, count, cluster)
        for name, at, kind, cluster, count, used in rows
    ]


def find_below(reader: Reader, account: Account) -> list[Below]:
    """Return all that are below an account now, and what of their use counts."""
    rows = reader.query(
        f"{BELOW} SELECT below.cluster, name, charged, coalesce(joined, 0),"
        " coalesce(settled.closed, 0) FROM below"
        " JOIN account ON account.account_id = below.account_id"
        " JOIN place ON place.cluster = below.cluster AND place.account_id = below.account_id"
        " LEFT JOIN settled ON settled.account_id = :account_id"
        " AND settled.cluster = below.cluster AND settled.child_id = below.account_id",
        account_id=account.account_id,
    )
    return [Below(*row) for row in rows]


_USE = f"name, posted_at, {USE_MOVED}, entry.cluster, user_name, reference"


def use_rows(
    reader: Reader, columns: str, account: Account | None, since: int, more: str, **parameters: int
) -> Iterator[tuple[Any, ...]]:
    """Yield charges and refunds of an account and all below it, or with None of all accounts.

    Args:
        reader: the database.
        columns: of entry, and the name of the account.
        account: whose.
        since: UTC microseconds.
        more: what follows the conditions.
        parameters: what `more` and the columns name.
    """
    if account is None:
        of = "FROM account CROSS JOIN entry ON " + _since("account.account_id")
        return reader.stream(
            f"SELECT {columns} {of} WHERE {MOVES_USE} {more}", since=since, **parameters
        )
    return reader.stream(
        f"{_AMONG} SELECT {columns} FROM among"
        " CROSS JOIN account ON account.account_id = among.account_id"
        " CROSS JOIN entry ON entry.cluster = among.cluster"
        f" AND {_since('among.account_id')} WHERE {MOVES_USE} {more}",
        since=since,
        account_id=account.account_id,
        **parameters,
    )


def use_in(reader: Reader, account: Account | None, span: Span) -> Iterator[Use]:
    """Yield what was charged and refunded to an account and all below it, or with None to all."""
    end_at = _NEVER if span.end_at is None else span.end_at
    within = "AND posted_at < :end_at"
    rows = use_rows(reader, _USE, account, span.start_at, within, end_at=end_at)
    return (Use(*row) for row in rows)


def find_names(reader: Reader, account: Account | None, cluster: str) -> list[str]:
    """Return whose use on a cluster `use_in` yields: of an account and all below it, or of all."""
    if account is None:
        rows = reader.query("SELECT name FROM account ORDER BY name")
    else:
        rows = reader.query(
            f"{_AMONG} SELECT name FROM among JOIN account USING (account_id)"
            " WHERE cluster = :cluster ORDER BY name",
            account_id=account.account_id,
            cluster=cluster,
        )
    return [name for (name,) in rows]


def state_at(reader: Reader, account: Account, at: int) -> tuple[bool, bool]:
    """Return whether an account was open, and whether it was unlimited, just before an instant."""
    rows = reader.query(
        "SELECT field, old FROM account_change WHERE account_id = :id AND changed_at >= :at"
        " AND field IN ('is_open', 'is_unlimited') ORDER BY seq DESC",
        id=account.account_id,
        at=at,
    )
    # Of several the first one since, which comes last here, says what it was.
    was = dict(rows)
    is_open = was["is_open"] == "1" if "is_open" in was else account.is_open
    is_unlimited = was["is_unlimited"] is None if "is_unlimited" in was else account.is_unlimited
    return is_open, is_unlimited


def period_began_at(reader: Reader, account: Account) -> int:
    """Return when an account's present period was begun, in UTC microseconds.

    The day on which it counts as begun may be an earlier one. Of an account that never was open it
    is when it was first charged; 0 where it never was.
    """
    rows = reader.query(
        "SELECT coalesce(max(changed_at),"
        " (SELECT posted_at FROM entry WHERE account_id = :id AND seq = 1), 0)"
        " FROM account_change WHERE account_id = :id"
        # Each period has a grant of its own, also where two begin on one day.
        " AND (field IN ('period_started_on', 'grant_id') OR (field = 'is_open' AND new = '1'))",
        id=account.account_id,
    )
    return int(rows[0][0])
