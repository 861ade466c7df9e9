"""The predecessor's table: read as it is, and replaced by the bank's own tables in one transaction.

It was made without any constraint, so anything may stand in it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from bank.errors import Busy, NotPermitted
from bank.store.connect import (
    BUSY_SECONDS,
    Database,
    Writer,
    address,
    explained,
    is_predecessors,
)
from bank.store.copies import copy_to
from bank.store.create import bring_up, hand_over, own_names
from bank.store.migrations import TABLES


class OldTable(NamedTuple):
    """All of the predecessor's table, in the order of its ids.

    Attributes:
        lost: the site's own triggers and indexes on it, which go with it.
        clashes: what else lies in the file under a name that the bank needs.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    lost: list[str]
    clashes: list[str]


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
    if not is_predecessors(connection, database.accounts_table):
        return None
    cursor = connection.execute(f'SELECT * FROM "{database.accounts_table}" ORDER BY rowid')
    columns, rows = tuple(name for name, *_ in cursor.description), cursor.fetchall()
    own = own_names(database)
    lost, clashes = [], []
    for kind, name, table, sql in connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    ):
        if table.lower() == database.accounts_table:
            if kind != "table" and sql is not None:
                lost.append(f"{kind} {name}")
        elif sql is not None and name.lower() in own:
            clashes.append(f"{kind} {name}")
    return OldTable(columns, rows, lost, clashes)


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
        NotPermitted: the file is another user's.
    """
    with explained(database):
        connection = sqlite3.connect(
            address(database.path, "rw"), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # No foreign keys: they would delete the rows of a site's own table that refer to the
            # one that is replaced. Those of the bank's are checked at the end.
            connection.execute("BEGIN IMMEDIATE")
            if _read(connection, database) != old:
                raise Busy(
                    f"{database.path} was changed while it was looked at: stop the old cron line"
                    " and whoever uses the old program, then run migrate again"
                )
            copy_to(database, kept)
            try:
                connection.execute(f'DROP TABLE "{database.accounts_table}"')
                bring_up(connection, database, 0, now=now)
                yield Writer(connection)
                _refuse_dangling(connection)
                _hand_over_all(database)
            except BaseException:
                # The old file stays as it was, so nobody needs a copy of it.
                os.unlink(kept)
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()


def _refuse_dangling(connection: sqlite3.Connection) -> None:
    for table in TABLES:
        found = connection.execute(f"PRAGMA foreign_key_check({table})").fetchone()
        assert found is None, found


def _hand_over_all(database: Database) -> None:
    """Give the file and what lies beside it to whoever owns the directory and runs the passes."""
    directory = os.path.dirname(database.path)
    for suffix in ("", "-wal", "-shm", ".lock"):
        path = database.path + suffix
        if os.path.exists(path):
            try:
                hand_over(path, directory)
            except PermissionError as error:
                raise NotPermitted(
                    f"{path} is not this user's ({error.strerror}): run as root, or as the user"
                    " who owns it"
                ) from error
