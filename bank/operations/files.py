"""Files beside the database: the lock that keeps passes apart, and the log."""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from bank.errors import Busy, NotPermitted
from bank.operations.bank import Bank, utc_text
from bank.store.accounts import Account
from bank.store.connect import refuse_missing

_ONLY_OURS = 0o640


def _open(bank: Bank, path: str, flags: int) -> int:
    """Open a file, made if it is not there; what root makes belongs to the database's owner."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _ONLY_OURS)
    if os.geteuid() == 0:
        owner = os.stat(bank.database.path)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


@contextmanager
def only_one(bank: Bank, what: str = "", *, wait_seconds: float) -> Iterator[None]:
    """Hold the lock under which Slurm is read for decisions and changed, or that of other work.

    The system gives it back when the process ends, however that comes.

    Raises:
        SettingsError: there is no database that it could belong to.
        Busy: another process held it all the time.
    """
    refuse_missing(bank.database)
    path = f"{bank.database.path}.{what + '.' if what else ''}lock"
    try:
        descriptor = _open(bank, path, os.O_RDWR)
    except OSError as error:
        raise NotPermitted(f"{path} cannot be opened: {error.strerror}") from error
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"another {what} is running: it has locked {path}"
                        if what
                        else "another pass is running, or a command that changes Slurm: try again"
                    ) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def newest(found: Iterable[Account]) -> dict[str, dict[str, str]]:
    """Return the ends of the chains of accounts, as `log` takes them and `verify` reads them."""
    known = list(found)
    return {
        "heads": {one.name: f"{one.books.entry_count}:{one.books.head_digest}" for one in known},
        "changes": {one.name: f"{one.change_count}:{one.change_digest}" for one in known},
    }


def database_name(bank: Bank) -> str:
    """Return what the log calls the database: several banks may write the same log."""
    return os.path.realpath(bank.settings.database)


def log(bank: Bank, event: str, **fields: object) -> None:
    """Append one line to the log: what was written, by whom, with the newest digests.

    The ledger is the record. A log that cannot be written is said and changes nothing.
    """
    log_lines(bank, [(event, bank.actor, fields)])


def log_lines(bank: Bank, told: Iterable[tuple[str, str, Mapping[str, object]]]) -> None:
    """Append lines to the log, in one go: (event, actor, more fields) of each; see `log`."""
    path = bank.settings.logfile
    if not path:
        return
    at, database = utc_text(bank.clock()), database_name(bank)
    lines = [
        json.dumps({"at": at, "event": event, "actor": actor, "database": database, **fields})
        for event, actor, fields in told
    ]
    if not lines:
        return
    try:
        descriptor = _open(bank, path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        bank.warn(f"done, but not logged: {path}: {error.strerror}")
