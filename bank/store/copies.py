"""Copies of the whole database: taken while it is in use, and put back."""

import os
import sqlite3

from bank.errors import InputError, StoreError
from bank.store.connect import (
    BUSY_SECONDS,
    Database,
    address,
    check_version,
    explained,
    refuse_missing,
)

_ONLY_OURS = 0o600


def copy_to(database: Database, path: str) -> None:
    """Write a copy of the database into a new file, as of one instant.

    The file appears under its name when it is whole; until then it is `path`.part-PROCESS.

    Raises:
        InputError: the file is there already; nothing is ever overwritten.
        SettingsError: there is no database.
        StoreError: no space for it.
    """
    refuse_missing(database)
    if os.path.lexists(path):
        raise _there_already(path)
    part = f"{path}.part-{os.getpid()}"
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _ONLY_OURS))
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from error
    try:
        _copy(database, part)
        _to_disk(part)
        _name_it(part, path)
        _to_disk(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; no copy was made") from error
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _there_already(path: str) -> InputError:
    return InputError(f"{path} is there already and is not overwritten")


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


def _name_it(part: str, path: str) -> None:
    """Give a file its name, unless there is one of that name by now."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError:
        # A file system without hard links.
        if os.path.lexists(path):
            raise _there_already(path) from None
        os.rename(part, path)


def _to_disk(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_copy(path: str) -> None:
    """Check that a file is a whole database of the bank, of this schema.

    Raises:
        InputError: it cannot be opened.
        StoreError: it is damaged.
        SettingsError: it is of another schema, or not the bank's.
    """
    if not os.path.isfile(path):
        raise InputError(f"there is no file {path}")
    copy = Database(path, "")
    with explained(copy):
        connection = sqlite3.connect(address(path, "ro"), uri=True)
        try:
            check_version(connection, copy)
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            connection.close()
    if verdict != "ok":
        raise StoreError(f"{path} is damaged: {verdict}")


def put_back(database: Database, path: str) -> None:
    """Replace all that the database holds by a copy, in one transaction.

    Processes that have the database open go on with what was put back; a crash leaves the old or
    the new content. What is in force in Slurm did not go back in time: the holds and resets on
    record stay those of now, and the next pass compares all meters with sacct.
    """
    part = f"{database.path}.part-{os.getpid()}"
    _copy(Database(path, ""), part)
    try:
        with explained(database):
            target = sqlite3.connect(database.path, timeout=BUSY_SECONDS)
            source = sqlite3.connect(part, isolation_level=None)
            try:
                _keep_what_is_in_force(target, source)
                source.backup(target)
            finally:
                source.close()
                target.close()
    finally:
        os.unlink(part)


def _keep_what_is_in_force(now: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    for table in ("slurm_limit", "usage_reset"):
        rows = now.execute(f"SELECT * FROM {table}").fetchall()
        copy.execute(f"DELETE FROM {table}")
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            copy.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    copy.execute("UPDATE cluster SET controller_started = ''")
