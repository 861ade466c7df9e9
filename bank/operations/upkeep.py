"""Upkeep: making the database, copies of it, and the proof that it agrees with itself."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bank.errors import InputError, NotPermitted, Refusal, StoreError
from bank.ledger.proof import Found
from bank.operations.bank import Bank
from bank.operations.files import database_name, log, newest, only_one
from bank.operations.periods import is_held_by_hand
from bank.store import accounts, copies, proof
from bank.store.accounts import Account
from bank.store.connect import Database, Reader, reading
from bank.store.create import migrate as migrate_database
from bank.store.create import present_schema
from bank.store.migrations import NEWEST
from bank.store.proof import Tell, tell_nobody


def migrate(bank: Bank, *, dry_run: bool) -> dict[str, Any]:
    """Make the database, or bring an older one to this program's schema after a copy of it."""
    path = bank.settings.database
    before = present_schema(bank.database)
    done: dict[str, Any] = {
        "database": path,
        "from": before,
        "to": NEWEST,
        "kept": None,
        "is_dry_run": dry_run,
    }
    if dry_run:
        return done
    now = bank.clock()
    if 0 < before < NEWEST:
        done["kept"] = f"{path}.schema-{before}-{now}"
        copies.copy_to(bank.database, done["kept"])
    before, after = migrate_database(bank.database, now=now)
    if before != after:
        log(bank, "migrate", from_schema=before, to_schema=after, kept=done["kept"])
    return {**done, "from": before, "to": after}


def verify(bank: Bank, tell: Tell | None = None) -> list[str]:
    """Return what in the books does not agree; nothing means that all does.

    Of what is wrong with many rows of one chain in the same way the first is named and the others
    are counted: the answer is never longer than the list of accounts and meters, some lines each.

    Args:
        bank: see `Bank`.
        tell: is told now and then how many rows of how many have been proven.
    """
    # Loaded here, because nothing else in this room needs it.
    from concurrent.futures import ThreadPoolExecutor

    # What is logged while we look is then in the books and not in what we read.
    log_bytes = _size(bank.settings.logfile)
    with ThreadPoolExecutor(1) as pool:
        # SQLite looks at the file by itself, on another processor where there is one.
        file = pool.submit(_file_problems, bank.database)
        with reading(bank.database) as reader:
            found = list(proof.book_problems(reader, bank.database, tell or tell_nobody))
            found += _log_problems(bank, reader, log_bytes)
    return [*file.result(), *found]


def _file_problems(database: Database) -> list[str]:
    with reading(database) as reader:
        return list(proof.file_problems(reader))


def _size(path: str) -> int:
    return os.stat(path).st_size if path and os.path.exists(path) else 0


def _log_problems(bank: Bank, reader: Reader, size: int) -> Iterator[str]:
    """Yield the chains that end before what was logged of them, or have another digest there.

    A chain that was cut off, or computed again from the start, agrees with itself; it does not
    agree with what was logged while it grew.

    Args:
        bank: names the log.
        reader: the database.
        size: bytes of the log that were there before the database was read.
    """
    if not size:
        return
    path, database = bank.settings.logfile, database_name(bank)
    found = Found()
    for line in _lines(path, _since_restore(path, size, database), size):
        for table, name, seq, digest in _heads(_event(line, database)):
            if seq and proof.head_at(reader, table, name, seq) != digest:
                what = "was logged with another digest: the chain was cut off or computed again"
                found.say(f"account {name}", table, what, f"{table} {seq}")
    yield from found.told()


def _since_restore(path: str, size: int, database: str) -> int:
    """Return where in the log the last restore is: what came after the backup went on purpose."""
    start = at = 0
    for line in _lines(path, 0, size):
        if b'"restore' in line:
            event = _event(line, database).get("event")
            start = at if event in ("restore", "restore_failed") else start
        at += len(line)
    return start


def _lines(path: str, start: int, end: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            while start < end and (line := file.readline()):
                yield line
                start += len(line)
    except OSError as error:
        raise NotPermitted(
            f"{path} cannot be read ({error.strerror}): what was logged cannot be compared; run as"
            " the user who runs the bank"
        ) from error


def _heads(event: Mapping[str, Any]) -> Iterator[tuple[str, str, int, str]]:
    """Yield table, account, number and digest of each end of a chain that a line names."""
    for key, table in _CHAINS.items():
        for name, head in event.get(key, {}).items():
            seq, _, digest = head.partition(":")
            yield table, name, int(seq), digest


def _event(line: bytes, database: str) -> dict[str, Any]:
    """Return what a line of the log says of a database, nothing where it is not of that.

    Lines of older versions do not say of which they are: they are taken to be of this one.
    """
    try:
        event = json.loads(line)
    except ValueError:
        # The predecessor's lines, or a line cut off by a full disk.
        return {}
    is_ours = isinstance(event, dict) and event.get("database", database) == database
    return event if is_ours else {}


# What a line of the log names, and the table that has it.
_CHAINS = {"heads": "entry", "changes": "account_change"}


def backup(bank: Bank, path: str) -> dict[str, Any]:
    """Copy the whole database into a new file, while it is in use, and prove the copy.

    Raises:
        InputError: the file is there already.
        StoreError: the copy does not agree with itself.
    """
    copies.copy_to(bank.database, path)
    try:
        copies.check_copy(path)
        copy = Database(path, bank.database.accounts_table)
        with reading(copy) as reader:
            wrong = next(proof.problems(reader, copy), None)
    except BaseException:
        os.unlink(path)
        raise
    if wrong:
        raise StoreError(
            f"{path} was written, and does not agree with itself: {wrong}; so it is with the"
            " database: see 'slurm_bank.py verify'"
        )
    return {"file": path, "bytes": os.stat(path).st_size, "verified": True}


def restore(bank: Bank, path: str, *, dry_run: bool) -> dict[str, Any]:
    """Put a backup back in place of the database, after a backup of what is there now.

    Where that is damaged or lost, what is left of it is kept as it is.

    Returns:
        The file, what was kept, and the accounts of which more is forgotten than amounts: those
        held by hand and not by the backup, and those open and not in it; None where what is there
        now cannot be read.

    Raises:
        Refusal: the backup does not agree with itself.
    """
    kept = f"{bank.settings.database}.before-restore-{bank.clock()}"
    with copies.of_this_schema(path, bank.database, now=bank.clock()) as copy_path:
        copy = Database(copy_path, bank.database.accounts_table)
        with reading(copy) as reader:
            wrong = next(proof.problems(reader, copy), None)
            restored = accounts.find_all(reader)
        ends = newest(restored.values())
        if wrong:
            raise Refusal("backup_broken", f"{path} does not agree with itself: {wrong}")
        is_sound = _is_sound(bank.database)
        if not dry_run:
            if is_sound:
                _replace(bank, copy_path, {"file": path, "kept": kept, **ends})
            else:
                copies.put_in_place(bank.database, copy_path, kept)
                log(bank, "restore", file=path, kept=kept, **ends)
    is_kept = dry_run or os.path.exists(kept)
    # What was kept is what was there to the last moment.
    before = bank.database if dry_run else Database(kept, bank.database.accounts_table)
    present = _all_accounts(before) if is_sound else None
    return {
        "file": path,
        "kept": kept if is_kept else None,
        "is_dry_run": dry_run,
        "not_held_any_more": _only_now(present, restored, is_held_by_hand),
        "not_open_any_more": _only_now(present, restored, _is_open),
    }


def _all_accounts(database: Database) -> dict[str, Account]:
    with reading(database) as reader:
        return accounts.find_all(reader)


def _only_now(
    present: Mapping[str, Account] | None,
    restored: Mapping[str, Account],
    is_so: Callable[[Account], bool],
) -> list[str] | None:
    """Return the accounts of which something is so now, and not in a backup; None for unknown."""
    if present is None:
        return None
    restored_so = {name for name, account in restored.items() if is_so(account)}
    return [name for name, account in present.items() if is_so(account) and name not in restored_so]


def _is_open(account: Account) -> bool:
    return account.is_open


def _is_sound(database: Database) -> bool:
    """Tell whether there is a database, and SQLite can read all of it.

    Raises:
        SettingsError: it is of another schema: what it holds could not be kept in force.
    """
    if not os.path.exists(database.path):
        return False
    try:
        copies.check_copy(database.path)
    except (StoreError, InputError):
        return False
    with reading(database):
        return True


def _replace(bank: Bank, path: str, what: dict[str, Any]) -> None:
    """Replace what the database holds; `what` is logged of it."""
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        try:
            with copies.replacing(bank.database, path) as replace:
                # Under the same lock: what was answered as done is in the one or the other.
                copies.copy_to(bank.database, what["kept"])
                # Logged first: were we killed in between, the log would contradict the books.
                log(bank, "restore", **what)
                replace()
        except BaseException:
            with reading(bank.database) as reader:
                ends = newest(accounts.find_all(reader).values())
            log(bank, "restore_failed", **{**what, **ends})
            raise
