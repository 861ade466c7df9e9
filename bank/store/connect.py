"""Opening the database: for reading, and for one transaction that writes."""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from bank.errors import BankError, Busy, NotPermitted, SettingsError, StoreError
from bank.store.migrations import NEWEST

# Long enough to wait for every other writer's slice, short enough for a person at a terminal.
BUSY_SECONDS = 20
# More parameters than this in one statement are too many for some SQLite.
_MOST_PARAMETERS = 500


class Database(NamedTuple):
    """Where the books are.

    Attributes:
        path: the SQLite file, on a local disk.
        accounts_table: name of the table that other programs read.
    """

    path: str
    accounts_table: str


class Reader:
    """A connection from which rows are read, all as of the same instant."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Wrap a connection that is inside a transaction."""
        self._connection = connection

    def query(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, **parameters: object) -> Iterator[tuple[Any, ...]]:
        """Return the rows of a query one by one, for those too many to hold."""
        return self._connection.execute(sql, parameters)

    def query_among(
        self, sql: str, values: Sequence[object], **parameters: object
    ) -> Iterator[tuple[Any, ...]]:
        """Yield all rows of a query that names values, however many, as "IN ({values})"."""
        for start in range(0, len(values), _MOST_PARAMETERS):
            some = values[start : start + _MOST_PARAMETERS]
            named = {f"value{number}": value for number, value in enumerate(some)}
            marks = ", ".join(f":{name}" for name in named)
            yield from self.query(sql.format(values=marks), **named, **parameters)


class Writer(Reader):
    """A transaction that writes; nobody else writes until it ends."""

    def execute(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Run one statement for each of the rows."""
        self._connection.executemany(sql, rows)

    def insert(self, sql: str, **parameters: object) -> int:
        """Insert one row and return the key that the database gave it."""
        key = self._connection.execute(sql, parameters).lastrowid
        assert key is not None
        return key


@contextmanager
def reading(database: Database) -> Iterator[Reader]:
    """Open the database read-only, as of one instant.

    Raises:
        SettingsError: there is no database there, or one of another version.
        StoreError, Busy, NotPermitted: see `explained`.
    """
    with explained(database):
        connection = _connected(database, "ro")
        try:
            connection.execute("BEGIN")
            check_version(connection, database)
            yield Reader(connection)
        finally:
            connection.close()


@contextmanager
def writing(database: Database, *, dry_run: bool = False) -> Iterator[Writer]:
    """Run one transaction that writes: committed at the end, gone whole if anything fails.

    Args:
        database: where.
        dry_run: do all of it and commit nothing, so that a rehearsal takes the same way.

    Raises:
        Busy: another writer held the lock all the time.
        SettingsError, StoreError, NotPermitted: as `reading`.
    """
    with explained(database):
        connection = _connected_to_write(database)
        try:
            yield _begun(connection, database)
            connection.execute("ROLLBACK" if dry_run else "COMMIT")
        finally:
            connection.close()


def _connected_to_write(
    database: Database, busy_seconds: float = BUSY_SECONDS
) -> sqlite3.Connection:
    connection = _connected(database, "rw", busy_seconds)
    if not _is_referred_to(connection, database.accounts_table):
        connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _begun(connection: sqlite3.Connection, database: Database) -> Writer:
    # What is read before the first write must not change until then: 600 units were once spent
    # 1,200 times because the lock was taken at the first write only.
    connection.execute("BEGIN IMMEDIATE")
    check_version(connection, database)
    return Writer(connection)


class Kept:
    """A connection that stays open between transactions, for one thread of a program that stays up.

    Opening one, and closing the last one, which empties the write-ahead log, take longer than most
    of what is done in between. A database that was put in the place of the one that is open is
    opened instead.
    """

    def __init__(self, database: Database, *, busy_seconds: float) -> None:
        """Take the database, and how long to wait for others that write; nothing is opened yet."""
        self._database = database
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def close(self) -> None:
        """Close it; what is not committed is gone."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Read as of one instant, as `reading` does.

        Raises:
            SettingsError, StoreError, Busy, NotPermitted: as `reading`.
        """
        with self._opened() as connection:
            connection.execute("BEGIN")
            check_version(connection, self._database)
            yield Reader(connection)
            connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Run one transaction that writes, as `writing` does.

        Raises:
            Busy, SettingsError, StoreError, NotPermitted: as `writing`.
        """
        with self._opened() as connection:
            yield _begun(connection, self._database)
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with explained(self._database):
            refuse_missing(self._database)
            status = os.stat(self._database.path)
            file = (status.st_dev, status.st_ino)
            if self._connection is None or file != self._file:
                self.close()
                self._connection = _connected_to_write(self._database, self._busy_seconds)
                self._file = file
            try:
                yield self._connection
            except BaseException:
                self._roll_back(self._connection)
                raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        # It stays open: closing the last one takes away what readers need, and on a full disk they
        # could not make it anew.
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()


def is_there(database: Database) -> bool:
    """Tell whether there is a database.

    Raises:
        NotPermitted: this user may not look; that is no answer.
    """
    try:
        os.stat(database.path)
    except PermissionError as error:
        raise NotPermitted(
            f"{database.path} cannot be reached by this user ({error.strerror}): run as the user"
            " who owns it"
        ) from error
    except OSError:
        return False
    return True


def refuse_missing(database: Database) -> None:
    """Refuse to go on without a database; nothing is made.

    Raises:
        SettingsError: there is none.
        NotPermitted: this user may not look.
    """
    if not is_there(database):
        raise SettingsError(
            f"there is no database at {database.path}: make it with 'slurm_bank.py migrate', put a"
            " backup back with 'slurm_bank.py restore', or correct DATABASE in the settings"
        )


def _connected(
    database: Database, mode: str, busy_seconds: float = BUSY_SECONDS
) -> sqlite3.Connection:
    refuse_missing(database)
    connection = sqlite3.connect(
        address(database.path, mode),
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
    )
    if mode == "rw":
        connection.execute("PRAGMA synchronous = FULL")
    return connection


def _is_referred_to(connection: sqlite3.Connection, accounts_table: str) -> bool:
    """Tell whether a site's own table refers to the one that other programs read.

    None of the bank's does. The predecessor enforced no foreign keys, so closing an account must
    not fail for one, nor delete the site's rows.
    """
    found = connection.execute(
        "SELECT 1 FROM sqlite_master AS own, pragma_foreign_key_list(own.name) AS key"
        " WHERE own.type = 'table' AND key.\"table\" = ? COLLATE NOCASE",
        (accounts_table,),
    ).fetchone()
    return found is not None


def address(path: str, mode: str) -> str:
    """Return a file as SQLite takes it with a mode: "ro" to read only, "rw" never to make it."""
    # urllib.parse would take longer to import than everything else here takes to run.
    for character in "%?#":
        path = path.replace(character, f"%{ord(character):02x}")
    return f"file:{path}?mode={mode}"


def check_version(connection: sqlite3.Connection, database: Database) -> None:
    """Refuse a database of another version of the program.

    Raises:
        SettingsError: it is older, newer, or not the bank's.
    """
    version = schema_version(connection)
    if version is None:
        if is_predecessors(connection, database.accounts_table):
            raise SettingsError(
                f"{database.path} is the predecessor's database: take it over with"
                " 'slurm_bank.py migrate', see docs/moving-in.md"
            )
        raise SettingsError(
            f"{database.path} is not a database of the bank: correct DATABASE in the settings"
        )
    if version < NEWEST:
        raise SettingsError(
            f"{database.path} has schema {version} and this program needs {NEWEST}:"
            " run 'slurm_bank.py migrate'"
        )
    if version > NEWEST:
        raise SettingsError(
            f"{database.path} has schema {version}, made by a newer program; this one knows"
            f" schema {NEWEST}: use the newer program"
        )


def is_predecessors(connection: sqlite3.Connection, accounts_table: str) -> bool:
    """Tell whether a database that is not the bank's has a table of the predecessor's name."""
    # SQLite knows names in any case of letters.
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE",
        (accounts_table,),
    ).fetchone()
    return schema_version(connection) is None and found is not None


def schema_version(connection: sqlite3.Connection) -> int | None:
    """Return the newest migration applied to a database, or None where it is not the bank's."""
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
    ).fetchone()
    if found is None:
        return None
    (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(version) if version is not None else None


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turn SQLite's errors into the bank's, with what to do.

    Raises:
        Busy: locked by another process for longer than `BUSY_SECONDS`.
        NotPermitted: the file or its directory may not be written, or not be read.
        StoreError: the disk is full, the file is damaged, or anything else.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _explanation(database, error) from error


def _explanation(database: Database, error: sqlite3.Error) -> BankError:
    # The low byte is the kind, the rest says where it happened.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    path = database.path
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{path} is locked by another process: try again")
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return NotPermitted(
            f"{path} or its directory cannot be opened or written by this user"
            f" ({error}): run as the user who owns it"
        )
    if kind == sqlite3.SQLITE_FULL:
        return StoreError(f"no space left on the disk of {path}: nothing was written")
    if str(error) == f"no such table: {database.accounts_table}":
        return SettingsError(
            f"{path} has no accounts table {database.accounts_table!r}: set DB_TABLE_NAME back to"
            " what it was when the database was made"
        )
    if os.path.isdir(path):
        return SettingsError(f"{path} is a directory, not an SQLite file: correct DATABASE")
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            f"{path} is damaged or not an SQLite file ({error}): restore a backup"
            " with 'slurm_bank.py restore'"
        )
    return StoreError(f"{path} cannot be used ({error})")
