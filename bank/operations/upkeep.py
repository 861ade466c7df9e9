"""Upkeep: making the database, copies of it, and the proof that it agrees with itself."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bank.errors import InputError, NotPermitted, Refusal, StoreError
from bank.operations.bank import Bank
from bank.operations.files import log, newest, only_one
from bank.operations.periods import is_held_by_hand
from bank.store import accounts, copies, proof
from bank.store.accounts import Account
from bank.store.connect import Database, Reader, reading
from bank.store.create import migrate as migrate_database
from bank.store.create import present_schema
from bank.store.migrations import NEWEST


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


def verify(bank: Bank) -> list[str]:
    """Return everything in the books that does not agree; nothing means that all does."""
    # First the log: what is written while we look is then in the books and not in what we read.
    logged = _logged_heads(bank.settings.logfile)
    with reading(bank.database) as reader:
        found = list(proof.problems(reader, bank.database))
        for (table, name), heads in logged.items():
            found += _log_problems(reader, table, name, heads)
    return found


def _logged_heads(path: str) -> dict[tuple[str, str], dict[int, str]]:
    """Return the digests that were logged, by number, for each chain: its table and account."""
    logged: dict[tuple[str, str], dict[int, str]] = {}
    if not path or not os.path.exists(path):
        return logged
    for line in _log_lines(path):
        try:
            event = json.loads(line)
            chains = {table: event.get(key, {}) for key, table in _CHAINS.items()}
        except (ValueError, AttributeError):
            # The predecessor's lines, or a line cut off by a full disk.
            continue
        if event.get("event") in ("restore", "restore_failed"):
            # What came after the backup is gone on purpose.
            logged.clear()
        for table, heads in chains.items():
            for name, head in heads.items():
                seq, _, digest = head.partition(":")
                logged.setdefault((table, name), {})[int(seq)] = digest
    return logged


def _log_lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError as error:
        raise NotPermitted(
            f"{path} cannot be read ({error.strerror}): what was logged cannot be compared; run as"
            " the user who runs the bank"
        ) from error


# What a line of the log names, and the table that has it.
_CHAINS = {"heads": "entry", "changes": "account_change"}


def _log_problems(reader: Reader, table: str, name: str, heads: dict[int, str]) -> Iterator[str]:
    """Yield the first logged digest that a chain does not have any more.

    A chain that was cut off, or computed again from the start, agrees with itself; it does not
    agree with what was logged while it grew.
    """
    for seq, digest in sorted(heads.items()):
        if seq and proof.head_at(reader, table, name, seq) != digest:
            yield (
                f"account {name}: {table} {seq} was logged with another digest: the chain was cut"
                " off or computed again"
            )
            return


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
            wrong = list(proof.problems(reader, copy))
    except BaseException:
        os.unlink(path)
        raise
    if wrong:
        raise StoreError(
            f"{path} was written, and does not agree with itself: {wrong[0]}; so it is with the"
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
            wrong = list(proof.problems(reader, copy))
            restored = accounts.find_all(reader)
        ends = newest(restored.values())
        if wrong:
            raise Refusal("backup_broken", f"{path} does not agree with itself: {wrong[0]}")
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
