"""The predecessor's table: read as it is, and replaced by the bank's own tables in one transaction.

It was made without any constraint, so anything may stand in it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from bank.errors import Busy
from bank.store.connect import (
    BUSY_SECONDS,
    Database,
    Writer,
    address,
    explained,
    schema_version,
)
from bank.store.copies import copy_to
from bank.store.create import bring_up


class OldTable(NamedTuple):
    """All of the predecessor's table, in the order of its ids."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def find_old_table(database: Database) -> OldTable | None:
    """Read the predecessor's table, without changing the file that holds it.

    What is not yet in the file but in the log beside it (`-wal`) is read too.

    Returns:
        None where there is no file, no such table in it, or the bank's own database.

    Raises:
        StoreError, NotPermitted, Busy: see `explained`.
    """
    if not os.path.exists(database.path):
        return None
    with explained(database):
        connection = sqlite3.connect(
            address(database.path, "ro"), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("BEGIN")
            return _read(connection, database)
        finally:
            connection.close()


def _read(connection: sqlite3.Connection, database: Database) -> OldTable | None:
    if schema_version(connection) is not None:
        return None
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (database.accounts_table,)
    ).fetchone()
    if found is None:
        return None
    cursor = connection.execute(f'SELECT * FROM "{database.accounts_table}" ORDER BY rowid')
    return OldTable(tuple(name for name, *_ in cursor.description), cursor.fetchall())


@contextmanager
def replacing_old_table(
    database: Database, old: OldTable, *, kept: str, now: int
) -> Iterator[Writer]:
    """Run the transaction in which the bank's tables take the place of the predecessor's.

    Killed at any moment, it leaves the old table or all of the new ones.

    Args:
        database: the predecessor's file.
        old: what was read of it and decided upon.
        kept: a copy of it is made here first, as of the instant at which it is replaced.
        now: UTC microseconds.

    Raises:
        Busy: it is not any more what was read, or another process held the lock all the time.
        InputError, StoreError: the copy cannot be made.
    """
    with explained(database):
        connection = sqlite3.connect(
            address(database.path, "rw"), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            if _read(connection, database) != old:
                raise Busy(
                    f"{database.path} was changed while it was looked at: stop the old cron line"
                    " and whoever uses the old program, then run migrate again"
                )
            copy_to(database, kept)
            connection.execute(f'DROP TABLE "{database.accounts_table}"')
            bring_up(connection, database, 0, now=now)
            yield Writer(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
