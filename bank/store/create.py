"""Making the database and bringing an older one up to date."""

import importlib
import os
import re
import sqlite3
from types import ModuleType

from bank import __version__
from bank.errors import NotPermitted, SettingsError, StoreError
from bank.store.connect import (
    BUSY_SECONDS,
    Database,
    address,
    check_version,
    explained,
    is_there,
    schema_version,
)
from bank.store.migrations import NEWEST

_NAMES = {1: "v0001_first", 2: "v0002_moving_in", 3: "v0003_whole_bank", 4: "v0004_job_time"}
_ONLY_OURS = 0o640
# SQLite's log-ahead file is shared memory between processes: it needs a disk of this machine.
_SHARED = {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "fuse.glusterfs", "ceph"}


def migrate(database: Database, *, now: int) -> tuple[int, int]:
    """Make the database, or bring it to this program's schema, in one transaction.

    Args:
        database: where; its directory must be there.
        now: UTC microseconds.

    Returns:
        The schema before (0 where there was none) and after.

    Raises:
        SettingsError: the directory is missing or on a shared file system, the file is not the
            bank's, or it is of a newer program.
        NotPermitted: this user may not make it, or not look whether it is there.
    """
    refuse_unsafe_place(database)
    with explained(database):
        is_new = not is_there(database)
        if is_new:
            _make_file(database.path)
        connection = sqlite3.connect(database.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            return _apply(connection, database, now)
        finally:
            connection.close()


def refuse_unsafe_place(database: Database) -> None:
    """Refuse a database where SQLite would not be safe, or not work; nothing is made.

    Raises:
        SettingsError: the directory is missing or on a shared file system.
        NotPermitted: this user, or nobody, may write there.
    """
    directory = os.path.dirname(database.path)
    if not os.path.isdir(directory):
        raise SettingsError(
            f"the directory of DATABASE, {directory}, is not there: make it, owned by the user who"
            " runs the bank, with mode 0700"
        )
    kind = file_system(os.path.realpath(directory))
    if kind in _SHARED:
        raise SettingsError(
            f"{directory} is on a shared file system ({kind}), where SQLite is not safe:"
            " set DATABASE to a local disk"
        )
    for path in (directory, database.path):
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise NotPermitted(
                f"{path} cannot be written by this user, or is on a read-only file system: run as"
                " the user who owns it"
            )


def present_schema(database: Database) -> int:
    """Return the schema of a database, 0 where there is none yet.

    Raises:
        SettingsError, NotPermitted: `migrate` would refuse to make it, or to bring it up to date.
    """
    refuse_unsafe_place(database)
    if not is_there(database):
        return 0
    with explained(database):
        connection = sqlite3.connect(address(database.path, "ro"), uri=True)
        try:
            return _checked_schema(connection, database)
        finally:
            connection.close()


def _make_file(path: str) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _ONLY_OURS))
    except FileExistsError:
        # Another process is making it: the one brings up the schema, the other finds that done.
        return
    except PermissionError as error:
        raise NotPermitted(
            f"{path} cannot be made by this user ({error.strerror}): run as the user who owns its"
            " directory"
        ) from error
    hand_over(path, os.path.dirname(path))


def hand_over(path: str, directory: str) -> None:
    """Give a database file the rights it has: what root makes is the directory's owner's."""
    os.chmod(path, _ONLY_OURS)
    if os.geteuid() == 0:
        owner = os.stat(directory)
        os.chown(path, owner.st_uid, owner.st_gid)


def _apply(connection: sqlite3.Connection, database: Database, now: int) -> tuple[int, int]:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    before = _checked_schema(connection, database)
    bring_up(connection, database, before, now=now)
    connection.execute("COMMIT")
    return before, NEWEST


def _checked_schema(connection: sqlite3.Connection, database: Database) -> int:
    """Return the schema, 0 for an empty file; refuse what is not the bank's or of a newer one."""
    before = schema_version(connection) or 0
    if before == 0:
        found = connection.execute("SELECT name FROM sqlite_master").fetchone()
        if found is not None:
            raise SettingsError(
                f"{database.path} holds a table {found[0]} and is not the bank's: give DATABASE"
                " another path, or DB_TABLE_NAME the name of the predecessor's table"
            )
    if before > NEWEST:
        check_version(connection, database)
    return before


def bring_up(connection: sqlite3.Connection, database: Database, before: int, *, now: int) -> None:
    """Apply the migrations that a database has not had yet, in the transaction it is in.

    Args:
        connection: inside a transaction.
        database: names the accounts table.
        before: its schema, 0 for none.
        now: UTC microseconds.
    """
    for version in range(before + 1, NEWEST + 1):
        module = _migration(version)
        for statement in module.statements(database.accounts_table):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version (version, name, applied_at, program_version)"
            " VALUES (?, ?, ?, ?)",
            (version, module.NAME, now, __version__),
        )


def own_names(database: Database) -> set[str]:
    """Return the names of all tables, indexes and triggers that the bank makes."""
    return {
        name
        for version in _NAMES
        for statement in _migration(version).statements(database.accounts_table)
        for name in re.findall(r'^\s*CREATE (?:TABLE|INDEX|TRIGGER) "?(\w+)', statement)
    }


def _migration(version: int) -> ModuleType:
    return importlib.import_module(f"bank.store.migrations.{_NAMES[version]}")


def file_system(directory: str, mounts: str = "/proc/self/mounts") -> str:
    """Return the type of the file system that a directory is on, "" where nobody knows.

    Source:
        proc(5), /proc/self/mounts; the last line whose mount point holds the directory counts.
    """
    best, kind = "", ""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            for line in file:
                _, point, here, *_ = line.split(" ")
                point = point.replace("\\040", " ")
                inside = directory == point or directory.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, here
    except OSError as error:
        raise StoreError(f"{mounts} cannot be read: {error.strerror}") from error
    return kind
