"""Copies of the books for one reader: the same tables, with the rows that the reader may see.

What is read from them is read as from the books. Use is there by the day, as long as nothing else
came in between; of the accounts that the reader does not see whole, the use of others is theirs
together, and so is that of all accounts below.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from bank.ledger.references import (
    ANY_TRANSFER,
    LIKE_CHILD,
    LIKE_FIRST_READING,
    LIKE_JOB,
    LIKE_READING,
    LIKE_REPORT,
    LIKE_TRANSFER,
    SEPARATOR,
    of_child,
    of_job,
    of_reading,
    of_transfers,
)
from bank.policy.readers import Views
from bank.store.connect import BUSY_SECONDS, Database, Reader, address, explained
from bank.store.create import bring_up
from bank.store.spans import MOVES_USE

# Most copies hold a few rows in each of some twenty tables.
_PAGE_BYTES = 512

# What is booked with each reading is added up; what is refunded, closed or given is not, nor what a
# first reading found. Charges of jobs stay what they are where they are one's own, and are added up
# where they are of others. `part` counts how many of these came before: only between two of them is
# anything added up, so that the totals after each entry are what they were.
_IS_OF_JOB = f"(reference LIKE '{LIKE_JOB}' OR reference LIKE '{LIKE_REPORT}')"
_LINES = f"""
    INSERT INTO temp.line
    WITH told AS (
        SELECT *, target = 'used' AND (reference LIKE '{LIKE_READING}'
            AND reference NOT LIKE '{LIKE_FIRST_READING}' OR {_IS_OF_JOB}) AS is_many
        FROM main.entry WHERE account_id = :id
    ), parted AS (
        SELECT *, sum(NOT is_many) OVER (ORDER BY seq) AS part,
            CASE WHEN is_many THEN date(posted_at / 1000000, 'unixepoch', 'localtime') END AS day
        FROM told
    )
    SELECT account_id, max(seq), kind, source, target, sum(amount), grant_id, cluster, user_name,
        actor, reason,
        CASE WHEN reference LIKE '{LIKE_TRANSFER}' AND substr(reference, 1, length(:given))
            <> :given THEN '{ANY_TRANSFER}' ELSE reference END,
        posted_at, part || '|' || coalesce(day, seq) || '|' || kind || '|' || coalesce(grant_id, '')
        || '|' || coalesce(cluster, '')
    FROM parted GROUP BY part, coalesce(day, seq), kind, grant_id, cluster, user_name,
        CASE WHEN {_IS_OF_JOB} THEN reference
        WHEN is_many THEN substr(reference, 1, instr(reference, '{SEPARATOR}')) END
"""
_TOTALS = """
    INSERT INTO temp.total
    SELECT account_id, max(seq), kind, source, target, sum(amount), grant_id, cluster, reference,
        posted_at, bucket
    FROM temp.line WHERE account_id = :id AND user_name IS NOT NULL GROUP BY bucket
"""
_COLUMNS = """
    account_id, seq, kind, source, target, amount, grant_id, cluster, user_name, actor, reason,
    reference, idempotency_key, leg, posted_at, digest
"""
# What the copy says of its rows: no number of the books', no key, no digest.
_RENUMBERED = """
    account_id, row_number() OVER (ORDER BY seq), kind, source, target, amount, grant_id, cluster,
    user_name, actor, reason, reference, NULL, 0, posted_at, ''
"""
# Which reading it was is nobody's business; whether it was a first one, forecasts must know.
_OF_OTHERS = f"""
    CASE WHEN reference LIKE '{LIKE_FIRST_READING}' THEN '{of_reading("others", 1)}'
    WHEN reference LIKE '{LIKE_READING}' THEN '{of_reading("others", 2)}'
    WHEN {_IS_OF_JOB} THEN '{of_job("others", 0)}' END
"""
_ENTRIES_OF_ALL = f"""
    INSERT INTO copy.entry ({_COLUMNS})
    SELECT {_RENUMBERED} FROM temp.line WHERE account_id = :id
"""
_ENTRIES_OF_ONE = f"""
    INSERT INTO copy.entry ({_COLUMNS})
    WITH own AS (
        SELECT bucket, sum(amount) AS amount FROM temp.line
        WHERE account_id = :id AND user_name IN (SELECT user_name FROM temp.me) GROUP BY bucket
    ), seen AS (
        SELECT seq, account_id, kind, source, target, amount, grant_id, cluster, user_name, actor,
            reason, CASE WHEN reference LIKE '{LIKE_CHILD}' THEN :of_below ELSE reference END
            AS reference, posted_at
        FROM temp.line WHERE account_id = :id
        AND (user_name IS NULL OR user_name IN (SELECT user_name FROM temp.me))
        UNION ALL
        SELECT seq, account_id, kind, source, target, total.amount - coalesce(own.amount, 0),
            grant_id, cluster, 'others', '', '',
            {_OF_OTHERS}, posted_at
        FROM temp.total LEFT JOIN own ON own.bucket = total.bucket
        WHERE account_id = :id AND total.amount > coalesce(own.amount, 0)
    )
    SELECT {_RENUMBERED} FROM seen
"""

_SHOWN = "(SELECT account_id FROM temp.shown)"
_WHOLE = "(SELECT account_id FROM temp.shown WHERE is_whole)"
_ME = "(SELECT user_name FROM temp.me)"
_MINE = f"account_id IN {_SHOWN} AND (account_id IN {_WHOLE} OR user_name IN {_ME})"
# All columns but digests: with the rows that a reader sees, they would tell whether a guess of
# those that the reader does not see is right.
_OF_ACCOUNT = """
    account_id, name, is_open, credit_limit, credit, period_started_on, hold_reason, grant_id,
    granted, used, entry_count, closed_entry_count, last_posted_at, change_count
"""
_OF_CHANGE = "account_id, seq, field, old, new, actor, reason, changed_at"
_OF_METER = """
    meter_id, cluster, association, account_id, user_name, partition_name, is_gone, reading_count,
    raw, asked_at, answered_at
"""
_ROWS = (
    (
        f"INSERT INTO copy.account ({_OF_ACCOUNT}, head_digest, change_digest)"
        f" SELECT {_OF_ACCOUNT}, '', '' FROM main.account WHERE account_id IN {_SHOWN}"
    ),
    (
        "INSERT INTO copy.allocation_grant SELECT * FROM main.allocation_grant"
        f" WHERE account_id IN {_SHOWN}"
    ),
    # How much another user may use is not for all.
    (
        f"INSERT INTO copy.account_change ({_OF_CHANGE}, digest)"
        f" SELECT {_OF_CHANGE}, '' FROM main.account_change"
        f" WHERE account_id IN {_WHOLE} OR (account_id IN {_SHOWN} AND (field NOT LIKE 'limit of %'"
        f" OR substr(field, 10) IN {_ME}))"
    ),
    f"INSERT INTO copy.place SELECT * FROM main.place WHERE account_id IN {_SHOWN}",
    f"UPDATE copy.place SET parent_id = NULL WHERE parent_id NOT IN {_WHOLE}",
    (
        "INSERT INTO copy.settled SELECT * FROM main.settled"
        f" WHERE account_id IN {_WHOLE} AND child_id IN {_SHOWN}"
    ),
    (
        f"INSERT INTO copy.meter ({_OF_METER}, head_digest)"
        f" SELECT {_OF_METER}, '' FROM main.meter WHERE {_MINE}"
    ),
    f"INSERT INTO copy.user_limit SELECT * FROM main.user_limit WHERE {_MINE}",
    f"INSERT INTO copy.user_held_by_others SELECT * FROM main.user_held_by_others WHERE {_MINE}",
    (
        "INSERT INTO copy.slurm_limit SELECT slurm_limit.* FROM main.slurm_limit"
        " JOIN temp.shown ON shown.name = slurm_limit.account"
        f" WHERE is_whole OR user_name = '' OR user_name IN {_ME}"
    ),
    "INSERT INTO copy.cluster SELECT * FROM main.cluster",
)

_BELOW = """
    WITH RECURSIVE below (cluster, account_id) AS (
        SELECT cluster, account_id FROM main.place WHERE parent_id = :id
        UNION
        SELECT place.cluster, place.account_id FROM main.place
        JOIN below ON place.cluster = below.cluster AND place.parent_id = below.account_id
    )
"""


_RESTED_ON = ("account", "place", "settled", "slurm_limit", "user_limit", "user_held_by_others")


def standing_rows(reader: Reader) -> list[list[tuple[Any, ...]]]:
    """Return all rows from which copies are made, but for those that the rows of accounts sum up.

    Whatever changes in a copy changes in one of them, if only in the newest digest of a chain.
    """
    return [reader.query(f"SELECT * FROM {table} ORDER BY 1, 2") for table in _RESTED_ON]


def user_rows(reader: Reader) -> dict[str, list[tuple[Any, ...]]]:
    """Return by account the rows about its users that no chain has."""
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for table, account in (
        ("user_limit", "account_id"),
        ("user_held_by_others", "account_id"),
        ("slurm_limit", "account"),
    ):
        key = "name" if account == "account" else account
        for name, *row in reader.query(
            f"SELECT account.name, one.* FROM {table} AS one"
            f" JOIN account ON account.{key} = one.{account}"
            " WHERE user_name <> '' ORDER BY 1, 2, 3, 4"
        ):
            found[name].append(tuple(row))
    return found


class Copier:
    """Writes copies, one after the other."""

    def __init__(self, connection: sqlite3.Connection, empty: bytes) -> None:
        """Take a connection to the books, and a database without accounts."""
        self._connection = connection
        self._empty = empty
        # Of each account, how many entries it had when they were added up.
        self._added_up: dict[int, int] = {}
        for sql in (
            (
                "CREATE TEMP TABLE line (account_id, seq, kind, source, target, amount, grant_id,"
                " cluster, user_name, actor, reason, reference, posted_at, bucket)"
            ),
            "CREATE INDEX temp.line_user ON line (account_id, user_name)",
            (
                "CREATE TEMP TABLE total (account_id, seq, kind, source, target, amount, grant_id,"
                " cluster, reference, posted_at, bucket)"
            ),
            "CREATE INDEX temp.total_account ON total (account_id)",
            "CREATE TEMP TABLE shown (account_id INTEGER PRIMARY KEY, name, is_whole)",
            "CREATE TEMP TABLE me (user_name PRIMARY KEY)",
        ):
            connection.execute(sql)

    def write(self, descriptor: int, path: str, users: Collection[str], seen: Views) -> None:
        """Fill a new file.

        Args:
            descriptor: the file, open for writing.
            path: its path.
            users: the names of whom it is for.
            seen: the accounts; those seen whole need not be open.
        """
        with open(descriptor, "wb", closefd=False) as file:
            file.write(self._empty)
        run = self._connection.execute
        run("ATTACH :path AS copy", {"path": path})
        try:
            run("PRAGMA copy.journal_mode = OFF")
            run("PRAGMA copy.synchronous = OFF")
            run("BEGIN")
            self._choose(users, seen)
            for sql in _ROWS:
                run(sql)
            for account_id, name, is_whole in run("SELECT * FROM temp.shown").fetchall():
                self._add_up(account_id, name)
                below = f"accounts below {name}"
                row = {"id": account_id, "below": below, "of_below": of_child(below)}
                run(_ENTRIES_OF_ALL if is_whole else _ENTRIES_OF_ONE, row)
                if not is_whole:
                    self._add_below(row)
            run("COMMIT")
        finally:
            if self._connection.in_transaction:
                run("ROLLBACK")
            run("DETACH copy")

    def _choose(self, users: Collection[str], seen: Views) -> None:
        self._connection.execute("DELETE FROM temp.shown")
        self._connection.execute("DELETE FROM temp.me")
        self._connection.executemany("INSERT INTO temp.me VALUES (?)", [(user,) for user in users])
        self._connection.executemany(
            "INSERT INTO temp.shown SELECT account_id, name, ? FROM main.account WHERE name = ?",
            [(is_whole, name) for is_whole in (0, 1) for name in sorted(seen[1 - is_whole])],
        )

    def _add_up(self, account_id: int, name: str) -> None:
        """Add up an account's entries, once for all who see it, and again where there are more."""
        run, row = self._connection.execute, {"id": account_id, "given": of_transfers(name)}
        # Each copy is of its own instant: something may have been booked since the one before.
        (count,) = run(
            "SELECT entry_count FROM main.account WHERE account_id = :id", row
        ).fetchone()
        if self._added_up.get(account_id) == count:
            return
        for sql in (
            "DELETE FROM temp.line WHERE account_id = :id",
            "DELETE FROM temp.total WHERE account_id = :id",
            _LINES,
            _TOTALS,
        ):
            run(sql, row)
        self._added_up[account_id] = count

    def _add_below(self, row: dict[str, object]) -> None:
        """Let all that is below an account stand below it as one account without a name."""
        run = self._connection.execute
        names = f"{_BELOW} SELECT DISTINCT account_id, name FROM below"
        found = run(f"{names} JOIN main.account USING (account_id)", row).fetchall()
        if not found:
            return
        for account_id, name in found:
            self._add_up(account_id, name)
        run("INSERT INTO copy.account (name) VALUES (:below)", row)
        run(
            f"{_BELOW} INSERT INTO copy.place (cluster, account_id, parent_id, charged, closed)"
            " SELECT cluster, (SELECT account_id FROM copy.account WHERE name = :below), :id,"
            " sum(charged), sum(closed) FROM below JOIN main.place USING (cluster, account_id)"
            " GROUP BY cluster",
            row,
        )
        run(
            f"{_BELOW} INSERT INTO copy.settled (account_id, cluster, child_id, joined, closed)"
            " SELECT :id, cluster, (SELECT account_id FROM copy.account WHERE name = :below),"
            " sum(settled.joined), sum(settled.closed) FROM below JOIN main.settled USING (cluster)"
            " WHERE settled.account_id = :id AND settled.child_id = below.account_id"
            " GROUP BY cluster",
            row,
        )
        run(
            f"{_BELOW} INSERT INTO copy.entry ({_COLUMNS})"
            " SELECT (SELECT account_id FROM copy.account WHERE name = :below),"
            " row_number() OVER (ORDER BY max(posted_at)), kind, source, target, sum(amount), NULL,"
            f" below.cluster, 'others', '', '', {_OF_OTHERS}, NULL, 0, max(posted_at), ''"
            " FROM below JOIN temp.line ON line.account_id = below.account_id"
            " AND line.cluster = below.cluster"
            f" WHERE {MOVES_USE}"
            f" GROUP BY below.cluster, kind, source, target, {_OF_OTHERS},"
            " date(posted_at / 1000000, 'unixepoch', 'localtime')",
            row,
        )


@contextmanager
def copying(database: Database, scratch: str, *, now: int) -> Iterator[Copier]:
    """Open the books to write copies of them.

    Args:
        database: the books.
        scratch: the path of a file that may be made and is removed.
        now: UTC microseconds.

    Raises:
        StoreError, Busy, NotPermitted: see `explained`.
    """
    with explained(database):
        empty = _empty(database, scratch, now=now)
        connection = sqlite3.connect(
            address(database.path, "ro"), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            yield Copier(connection, empty)
        finally:
            connection.close()


def _empty(database: Database, scratch: str, *, now: int) -> bytes:
    """Return a database of this schema without a row, as a file has it."""
    with open(scratch, "xb"):
        pass
    try:
        connection = sqlite3.connect(scratch, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("BEGIN")
            bring_up(connection, database, 0, now=now)
            connection.execute("COMMIT")
        finally:
            connection.close()
        with open(scratch, "rb") as file:
            return file.read()
    finally:
        os.unlink(scratch)
