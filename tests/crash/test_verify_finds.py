"""verify names every row that was changed, removed or added behind the bank's back."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bank.ledger.books import Books, extended
from bank.ledger.entries import AVAILABLE, USED, Draft, entry_digest
from bank.operations import periods, upkeep
from bank.operations.bank import Bank
from bank.operations.files import log
from bank.operations.periods import Opening, open_accounts
from bank.settings import Settings
from bank.store import accounts, meters, read
from bank.store.connect import Writer, reading, writing
from bank.store.meters import Place, Reading
from bank.store.post import post

SU = 3600
TABLES = (
    "entry", "reading", "account_change", "account", "place", "settled", "meter", "sbank",
)  # fmt: skip
# What nothing else in the database says: figures of the last look at Slurm, which the next look
# writes anew, and columns that belong to the programs that read the accounts table.
UNPROVABLE = {
    "place": {"parent_id", "running", "orphaned", "held_by_others"},
    "settled": {"joined", "left_closed"},
    "sbank": {"id", "upper_limit_informed", "lower_limit_informed", "max_limit_informed"},
}


def _read_meter(bank: Bank, writer: Writer, number: int) -> None:
    before = meters.find_meters(writer, "c").get(7)
    digest = before.head_digest if before else ""
    cause = "rise" if before else "first"
    at = bank.clock()
    new = Reading(7, "sub", "ada", "", number - 1, digest, number * 1000, cause, 1000, at, at)
    reference = meters.write_readings(writer, "c", [new])[7]
    grant = accounts.find_many(writer, ["sub"])["sub"].grant_id
    charge = Draft(
        "sub", "charge", AVAILABLE, USED, 1000, "t", "", grant, "c", "ada", reference
    )  # fmt: skip
    post(writer, [charge], now=bank.clock())


def _log_heads(bank: Bank) -> None:
    with reading(bank.database) as reader:
        found = accounts.find_all(reader)
    heads = {
        name: f"{one.books.entry_count}:{one.books.head_digest}" for name, one in found.items()
    }
    log(bank, "pass", heads=heads)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books with at least three rows of everything that comes in rows."""
    directory = tmp_path_factory.mktemp("filled")
    bank = bank_in(directory)
    upkeep.migrate(bank, dry_run=False)
    with writing(bank.database) as writer:
        for name in ("top", "sub", "side"):
            opening = Opening(name, 100 * SU, "because")
            open_accounts(bank, writer, [opening], key=f"k {name}")
        places = [Place(name, above, 0, 0, 60, 0) for name, above in
                  (("top", None), ("sub", "top"), ("side", "top"))]  # fmt: skip
        meters.write_places(writer, "c", places)
        _read_meter(bank, writer, 1)
    _log_heads(bank)
    with writing(bank.database) as writer:
        _read_meter(bank, writer, 2)
        standing = read.standing(writer, "top")
        assert standing is not None
        periods.start(bank, writer, standing, "new period", None, is_refilled=True)
        _read_meter(bank, writer, 3)
        accounts.show(writer, bank.database, ["top", "sub", "side"])
    _log_heads(bank)
    assert upkeep.verify(bank) == []
    return directory


def bank_in(directory: Path) -> Bank:
    database, logfile = str(directory / "bank.db"), str(directory / "bank.log")
    return Bank(Settings(database, logfile=logfile), "tester", print)


class Forger:
    """A copy of the books, open for what the bank would refuse."""

    def __init__(self, filled: Path, directory: Path) -> None:
        for path in filled.glob("bank.*"):
            shutil.copy(path, directory)
        self.bank = bank_in(directory)
        self.sql = sqlite3.connect(directory / "bank.db", isolation_level=None)
        self.sql.execute("PRAGMA foreign_keys = OFF")
        self.sql.execute("PRAGMA ignore_check_constraints = ON")
        found = self.sql.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in found.fetchall():
            self.sql.execute(f"DROP TRIGGER {name}")

    def columns(self, table: str) -> list[str]:
        found = self.sql.execute(f"PRAGMA table_info({table})").fetchall()
        return [row[1] for row in found]

    def rows(self, table: str) -> list[dict[str, Any]]:
        names = ["rowid", *self.columns(table)]
        # A place where nothing was charged only repeats the last look at Slurm.
        which = "charged <> 0" if table == "place" else "1"
        found = self.sql.execute(
            f"SELECT rowid, * FROM {table} WHERE {which} ORDER BY rowid"  # noqa: S608
        )
        return [dict(zip(names, row, strict=True)) for row in found]

    def set(self, table: str, rowid: int, column: str, value: object) -> None:
        self.sql.execute(
            f"UPDATE {table} SET {column} = ? WHERE rowid = ?",  # noqa: S608
            (value, rowid),
        )

    def found(self) -> list[str]:
        """Return what verify finds beside the triggers that had to go for the forgery."""
        return [line for line in upkeep.verify(self.bank) if "what refuses to" not in line]


def other(column: str, value: object) -> object:
    """Return another value of the same kind."""
    if column == "credit_limit":
        # The number means nothing yet, that there is none means unlimited.
        return None if value is not None else 0
    if column.startswith("is_"):
        return 1 - int(str(value))
    if value is None:
        return 1
    return value + 1000 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_row_is_proven(table: str, filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    missed = []
    tried = 0
    for row in forger.rows(table):
        for column in set(forger.columns(table)) - UNPROVABLE.get(table, set()):
            forger.sql.execute("BEGIN")
            forger.set(table, row["rowid"], column, other(column, row[column]))
            forger.sql.execute("COMMIT")
            if not forger.found():
                missed.append((row["rowid"], column, row[column]))
            where = "rowid" if column not in ("account_id", "meter_id", "id") else column
            key = row["rowid"] if where == "rowid" else other(column, row[column])
            forger.sql.execute(
                f"UPDATE {table} SET {column} = ? WHERE {where} = ?",  # noqa: S608
                (row[column], key),
            )
            tried += 1
    assert forger.found() == []
    assert missed == []
    assert tried > len(forger.columns(table)) - len(UNPROVABLE.get(table, ())) - 1


@pytest.mark.parametrize("table", TABLES)
def test_every_removed_row_is_noticed(table: str, filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    names = forger.columns(table)
    for row in forger.rows(table):
        forger.sql.execute(f"DELETE FROM {table} WHERE rowid = ?", (row["rowid"],))  # noqa: S608
        assert forger.found(), row
        marks = ", ".join("?" for _ in names)
        forger.sql.execute(
            f"INSERT INTO {table} (rowid, {', '.join(names)}) VALUES (?, {marks})",  # noqa: S608
            [row["rowid"], *(row[name] for name in names)],
        )
    assert forger.found() == []


@pytest.mark.parametrize("table", TABLES)
def test_every_added_row_is_noticed(table: str, filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    row = forger.rows(table)[-1]
    row["rowid"] += 1000
    # The same again under the next number, or for somebody else.
    for column in ("seq", "id", "name", "account", "association"):
        if column in row:
            row[column] = row[column] + 1 if isinstance(row[column], int) else f"{row[column]}x"
    if "meter_id" in row and table == "meter":
        row["meter_id"] += 1000
    if table == "account":
        row["account_id"] += 1000
    if table in ("place", "settled"):
        row["cluster"] = "elsewhere"
    if table == "entry":
        row["idempotency_key"] = None
    names = [name for name in row if name != "rowid"]
    marks = ", ".join("?" for _ in names)
    forger.sql.execute(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608
        [row[name] for name in names],
    )
    assert forger.found(), row


def _entries(forger: Forger, name: str) -> list[Draft]:
    rows = forger.sql.execute(
        "SELECT name, kind, source, target, amount, actor, reason, entry.grant_id, cluster,"
        " user_name, reference, idempotency_key, leg FROM entry JOIN account USING (account_id)"
        " WHERE name = ? ORDER BY seq",
        (name,),
    )
    return [Draft(*row) for row in rows]


def _rewrite(forger: Forger, name: str, drafts: list[Draft]) -> None:
    """Write an account's chain anew so that it agrees with itself and with its row."""
    sql = forger.sql
    ((account_id,),) = sql.execute("SELECT account_id FROM account WHERE name = ?", (name,))
    found = sql.execute(
        "SELECT posted_at FROM entry WHERE account_id = ? ORDER BY seq", (account_id,)
    )
    times = [row[0] for row in found]
    sql.execute("DELETE FROM entry WHERE account_id = ? AND seq > ?", (account_id, len(drafts)))
    books = Books()
    for seq, (draft, at) in enumerate(zip(drafts, times, strict=False), start=1):
        before = books.head_digest
        books, _ = extended(books, [draft], now=at)
        assert books.head_digest == entry_digest(before, seq, at, draft)
        sql.execute(
            "UPDATE entry SET amount = ?, digest = ? WHERE account_id = ? AND seq = ?",
            (draft.amount, books.head_digest, account_id, seq),
        )
    sql.execute(
        "UPDATE account SET granted = ?, used = ?, entry_count = ?, head_digest = ?,"
        " last_posted_at = ? WHERE account_id = ?",
        (*books, account_id),
    )
    shown = books.granted // SU
    sql.execute("UPDATE sbank SET su_limit_hrs = ? WHERE account = ?", (shown, name))


def _only_in_the_log(forger: Forger, name: str) -> bool:
    found = forger.found()
    return bool(found) and all(f"account {name}: entry" in one and "logged" in one for one in found)


def test_chain_that_was_cut_off_is_known_to_the_log(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    # All that the new period brought is gone: the tail agrees with what is left of it.
    _rewrite(forger, "side", [])
    forger.sql.execute("DELETE FROM sbank WHERE account = 'side'")
    forger.sql.execute("INSERT INTO sbank SELECT 99, name, 0, period_started_on, 0, 0, 0"
                       " FROM account WHERE name = 'side'")  # fmt: skip
    assert _only_in_the_log(forger, "side"), forger.found()
    Path(forger.bank.settings.logfile).unlink()
    # Were this to be found without the log, the test above would prove nothing of the log.
    assert forger.found() == []


def test_chain_that_was_computed_again_is_known_to_the_log(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    (deposit,) = _entries(forger, "side")
    _rewrite(forger, "side", [deposit._replace(amount=1_000_000 * SU)])
    assert _only_in_the_log(forger, "side"), forger.found()
    Path(forger.bank.settings.logfile).unlink()
    assert forger.found() == []
