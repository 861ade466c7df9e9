"""Dumps: the accounts table and the grants as files that people and other programs read."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from bank.errors import InputError, Refusal
from bank.ledger.amounts import BILLING_SECONDS_PER_SU
from bank.ledger.names import listed
from bank.operations.bank import Bank
from bank.operations.periods import is_held_by_hand
from bank.operations.present import TIMES, find_grants
from bank.policy import dumps, grant_files
from bank.store import accounts, grants, whole_files
from bank.store.accounts import Account
from bank.store.connect import Reader, reading

# A dump of a quarter of a million accounts; what is larger is not read into memory at all.
LARGEST_BYTES = 64 * 1024 * 1024


def dump_json(bank: Bank, path: str) -> dict[str, Any]:
    """Write the accounts table into a new file in the predecessor's JSON.

    Raises:
        InputError: the file is there already.
        Refusal: the table holds what could not be read back.
    """
    return _dump(bank, path, dumps.json_text)


def dump_csv(bank: Bank, path: str) -> dict[str, Any]:
    """Write the accounts table into a new file in the predecessor's CSV; see `dump_json`."""
    return _dump(bank, path, dumps.csv_dump)


def _dump(
    bank: Bank, path: str, text: Callable[[Iterable[Sequence[object]]], str]
) -> dict[str, Any]:
    with reading(bank.database) as reader:
        rows = _rows(bank, reader)
        known = accounts.find_all(reader).values()
        dated = grants.find_with_dated(reader)
    digest = write(path, text(rows))
    return {
        "file": path,
        "accounts": len(rows),
        "sha256": digest,
        "checksum_file": checksum_path(path),
        "notes": _left_out((account for account in known if account.is_open), dated),
    }


def dump_in(bank: Bank, reader: Reader, path: str) -> None:
    """Write a JSON dump as of the instant that a reader sees."""
    write(path, dumps.json_text(_rows(bank, reader)))


def _rows(bank: Bank, reader: Reader) -> list[tuple[object, ...]]:
    rows = [
        (*row[:4], *(flag if flag is None else bool(flag) for flag in row[4:]))
        for row in accounts.shown_rows(reader, bank.database)
    ]
    try:
        dumps.check(rows)
    except InputError as error:
        # Only another program can have written this: the bank's own rows are checked.
        raise Refusal(
            "accounts_table",
            f"table {bank.database.accounts_table}: {error}; see 'slurm_bank.py verify'",
        ) from error
    return rows


def _left_out(found: Iterable[Account], dated: Sequence[str]) -> list[str]:
    """Say what of some accounts seven columns cannot carry."""
    fractions, by_hand, owing, credit = [], [], [], []
    for account in found:
        if account.books.granted < 0:
            owing.append(account.name)
        if account.credit:
            credit.append(account.name)
        if account.books.granted % BILLING_SECONDS_PER_SU:
            fractions.append(account.name)
        if is_held_by_hand(account):
            by_hand.append(account.name)
    return [
        f"not in it: {what} of {listed(names)}; 'backup' copies all"
        for what, names in (
            ("the fractions of SUs", fractions),
            ("the holds by hand", by_hand),
            ("the debts", owing),
            ("the credit", credit),
            ("the dates of grants, and grants that are promised,", dated),
        )
        if names
    ]


def write(path: str, text: str) -> str:
    """Write a new file with its checksum beside it; return the checksum.

    Raises:
        InputError: one of the two is there already.
    """
    beside = checksum_path(path)
    if os.path.lexists(beside) and not os.path.lexists(path):
        raise InputError(
            f"{beside} is there already without {path}, as a dump that was interrupted leaves it:"
            " remove it, or give another name"
        )
    content = text.encode()
    digest = sha256(content).hexdigest()
    line = _checksum_line(digest, os.path.basename(path))
    whole_files.write_new(path, content, beside={beside: os.fsencode(line)})
    return digest


def checksum_path(path: str) -> str:
    """Return where the checksum of a file stands."""
    return f"{path}.sha256"


def _checksum_line(digest: str, name: str) -> str:
    r"""Return what sha256sum(1) prints: a name with \ or a line end in it is escaped and marked."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        text: all of it.
        digest: its SHA-256.
        is_checked: whether a checksum beside it says the same.
    """

    text: str
    digest: str
    is_checked: bool


def read(path: str) -> Content:
    """Read a file whole, and compare it with its checksum where one stands beside it.

    Raises:
        InputError: it is not a file, too large, not text, or not what its checksum says.
    """
    content = whole_files.read_small(path, at_most_bytes=LARGEST_BYTES)
    digest = sha256(content).hexdigest()
    is_checked = os.path.lexists(checksum_path(path))
    if is_checked and _stated_digest(checksum_path(path)) != digest:
        raise InputError(
            f"{path} is not what {checksum_path(path)} says: one of the two was changed or cut off"
        )
    try:
        return Content(content.decode(), digest, is_checked)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, byte {error.start + 1}: is not UTF-8") from error


def _stated_digest(path: str) -> str:
    line = whole_files.read_small(path, at_most_bytes=LARGEST_BYTES)
    match = re.fullmatch(rb"\\?([0-9a-f]{64}) [ *][^\n]+\n", line)
    if match is None:
        raise InputError(f"{path} is not one line as sha256sum(1) prints it")
    return match.group(1).decode()


def export_csv(bank: Bank, path: str) -> dict[str, Any]:
    """Write the grants of every open account into a new file, exact.

    It is meant to be edited, so no checksum stands beside it.

    Raises:
        InputError: the file is there already.
    """
    now = bank.clock()
    with reading(bank.database) as reader:
        found = find_grants(reader, now=now)
        ended = grants.find_ended(reader, now)
    whole_files.write_new(path, grant_files.text(found, TIMES).encode())
    several = [one.account for one in found if one.span and one.carry_percent is None]
    return {
        "file": path,
        "accounts": sum(one.span is None for one in found),
        "notes": [
            f"not in it: {what} of {listed(names)}; 'backup' copies all"
            for what, names in (
                ("what is left of grants that have ended", ended),
                ("what is carried over of grants of one span and kind that differ in it", several),
            )
            if names
        ],
    }
