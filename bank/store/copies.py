"""Copies of the whole database: taken while it is in use, and put back."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bank.errors import InputError, StoreError
from bank.store.connect import (
    BUSY_SECONDS,
    Database,
    address,
    check_version,
    explained,
    refuse_missing,
    schema_version,
)
from bank.store.create import bring_up, hand_over
from bank.store.migrations import NEWEST
from bank.store.notices import flags_statement
from bank.store.whole_files import name_it, part_of, refuse_existing, to_disk


def copy_to(database: Database, path: str) -> None:
    """Write a copy of the database into a new file, as of one instant.

    The file appears under its name when it is whole; until then it is `path`.part-PROCESS.

    Raises:
        InputError: the file is there already; nothing is ever overwritten.
        SettingsError: there is no database.
        StoreError: no space for it.
    """
    refuse_missing(database)
    refuse_existing(path)
    with _part(database, path) as part:
        name_it(part, path)
        to_disk(os.path.dirname(os.path.abspath(path)))


@contextmanager
def _part(database: Database, path: str) -> Iterator[str]:
    """Make a copy of the database beside a path, on disk, for as long as it is worked with.

    Raises:
        InputError: it cannot be made.
        StoreError: no space for it.
    """
    with part_of(path) as part:
        _copy(database, part)
        to_disk(part)
        yield part


def _copy(database: Database, path: str) -> None:
    with explained(database):
        source = sqlite3.connect(address(database.path, "ro"), uri=True, timeout=BUSY_SECONDS)
        target = sqlite3.connect(path)
        try:
            source.backup(target)
            # One file, without a log beside it that would have to be copied too.
            target.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                raise StoreError(
                    f"no space left on the disk of {path}: no copy was made"
                ) from error
            raise
        finally:
            target.close()
            source.close()


def check_copy(path: str) -> int:
    """Check that a file is a whole database of the bank, of this schema or an older one.

    Returns:
        Its schema.

    Raises:
        InputError: it cannot be opened, or is not the bank's.
        StoreError: it is damaged.
        SettingsError: it is of a newer schema.
    """
    if not os.path.isfile(path):
        what = "is not a file" if os.path.exists(path) else "is not there"
        raise InputError(f"{path} {what}: give a file that 'slurm_bank.py backup' made")
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not start.startswith(b"SQLite format 3"):
        raise InputError(f"{path} is not a copy of the bank: 'slurm_bank.py backup' makes one")
    copy = Database(path, "")
    with explained(copy):
        connection = sqlite3.connect(address(path, "ro"), uri=True)
        try:
            schema = schema_version(connection)
            if schema is None:
                raise InputError(
                    f"{path} is not a copy of the bank: give a file that 'slurm_bank.py backup'"
                    " made; a database of the predecessor is taken over with 'slurm_bank.py"
                    " migrate', where DATABASE names it"
                )
            if schema > NEWEST:
                check_version(connection, copy)
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            connection.close()
    if verdict != "ok":
        raise StoreError(f"{path} is damaged: {verdict}")
    return schema


@contextmanager
def of_this_schema(path: str, database: Database, *, now: int) -> Iterator[str]:
    """Give a checked copy as this program can read it, for as long as it is worked with.

    Args:
        path: the copy; it is not changed.
        database: an older one is brought up to date in a file beside this.
        now: UTC microseconds.

    Yields:
        The path of a copy of the newest schema.
    """
    schema = check_copy(path)
    if schema == NEWEST:
        yield path
        return
    copy = Database(path, database.accounts_table)
    with _part(copy, f"{database.path}.of-schema-{schema}") as part:
        with explained(copy):
            connection = sqlite3.connect(part, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                bring_up(connection, copy, schema, now=now)
                connection.execute("COMMIT")
            finally:
                connection.close()
        yield part


@contextmanager
def replacing(database: Database, path: str) -> Iterator[Callable[[], None]]:
    """Hold the database's write lock, so that nothing more is written to what will be replaced.

    Yields:
        A function that replaces all that the database holds by what a copy holds. Processes that
        have the database open go on with that; a crash leaves the old or the new content.

    What is in force in Slurm, what people were told, and who may ask, did not go back in time: the
    holds, resets, notices and tokens on record stay those of now, and the next pass compares all
    meters with sacct.

    Raises:
        Busy: another process held the lock all the time.
    """
    with _part(Database(path, ""), database.path) as part, explained(database):
        connection = sqlite3.connect(
            address(database.path, "rw"), uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("ATTACH ? AS copy", (part,))
            connection.execute("BEGIN IMMEDIATE")
            yield partial(_replace, connection, database)
            connection.execute("COMMIT")
        finally:
            connection.close()


def put_in_place(database: Database, path: str, kept: str) -> None:
    """Put a copy where a database is damaged or lost; what is left of that is kept, not opened.

    Raises:
        InputError: there is a sound database by now.
        StoreError: no space for it.
    """
    directory = os.path.dirname(os.path.abspath(database.path))
    with _part(Database(path, ""), database.path) as part, explained(database):
        connection = sqlite3.connect(part, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_COMPARE_ALL)
        finally:
            connection.close()
        hand_over(part, directory)
        for suffix in ("", "-wal", "-shm"):
            # A log of changes that were made to another file must not be applied to this one.
            if os.path.exists(database.path + suffix):
                os.rename(database.path + suffix, kept + suffix)
        name_it(part, database.path)
        to_disk(directory)


# The next pass compares all meters with sacct, as after a restart of the controller.
_COMPARE_ALL = "UPDATE cluster SET controller_started = ''"


def _replace(connection: sqlite3.Connection, database: Database) -> None:
    has_passed = connection.execute("SELECT 1 FROM main.cluster").fetchone() is not None
    # A token that was revoked since must not be good again.
    has_tokens = connection.execute("SELECT 1 FROM main.token").fetchone() is not None
    # A database that has never read a cluster knows nothing of what is in force there.
    in_force = {
        table: connection.execute(f"SELECT * FROM main.{table}").fetchall()
        for table in (
            *(("slurm_limit", "usage_reset", "notice") if has_passed else ()),
            *(("token",) if has_tokens else ()),
        )
    }
    for kind, name in connection.execute(
        "SELECT type, name FROM main.sqlite_master WHERE type IN ('view', 'table')"
        " AND name NOT GLOB 'sqlite_*' ORDER BY type DESC"
    ).fetchall():
        connection.execute(f'DROP {kind} main."{name}"')
    for kind, name, sql in connection.execute(
        "SELECT type, name, sql FROM copy.sqlite_master WHERE sql IS NOT NULL"
        " AND name NOT GLOB 'sqlite_*' ORDER BY type <> 'table'"
    ).fetchall():
        connection.execute(sql)
        if kind == "table" and name not in in_force:
            connection.execute(f'INSERT INTO main."{name}" SELECT * FROM copy."{name}"')
    for table, rows in in_force.items():
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO main.{table} VALUES ({marks})", rows)
    connection.execute(flags_statement(database.accounts_table))
    connection.execute(_COMPARE_ALL)
