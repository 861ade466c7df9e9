"""verify names every row that was changed, removed or added behind the bank's back."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bank.ledger.books import Books, extended, granted_by
from bank.ledger.entries import AVAILABLE, CLEARING, USED, Draft, entry_digest
from bank.operations import periods, upkeep
from bank.operations.bank import Bank
from bank.operations.files import log
from bank.operations.periods import Opening, open_accounts
from bank.settings import Settings
from bank.store import accounts, grants, meters, read
from bank.store.connect import Writer, reading, writing
from bank.store.grants import PROMISED, Grant
from bank.store.meters import Place, Reading
from bank.store.post import post

SU = 3600
TABLES = (
    "entry", "reading", "account_change", "account", "place", "settled", "meter", "sbank",
    "allocation_grant", "job_refund",
)  # fmt: skip
# What nothing else in the database says: figures of the last look at Slurm, which the next look
# writes anew, and columns that belong to the programs that read the accounts table.
UNPROVABLE = {
    "place": {
        *("parent_id", "running", "orphaned", "held_by_others"),
        *("seen_at", "counted_since", "is_behind"),
    },
    "settled": {"joined", "left_closed"},
    # Of one without dates; those of one with dates stand in the changes of its account.
    "allocation_grant": {"start_at", "kind"},
    "job_refund": {"job_id"},
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


def _transfer(bank: Bank, writer: Writer) -> None:
    """Let "top" give what it has of two grants' worth, in two entries, and "side" take it."""
    known = accounts.find_all(writer)
    reference = f"transfer top/{known['top'].books.entry_count + 1}"
    drafts = [
        Draft(
            name,
            "transfer",
            source,
            target,
            amount,
            "t",
            "",
            known[name].grant_id,
            reference=reference,
        )
        for name, source, target, amount in (
            ("top", AVAILABLE, CLEARING, 3 * SU),
            ("top", AVAILABLE, CLEARING, 2 * SU),
            ("side", CLEARING, AVAILABLE, 5 * SU),
        )
    ]
    post(writer, drafts, now=bank.clock())


def _refund_job(bank: Bank, writer: Writer) -> None:
    grant = accounts.find_many(writer, ["sub"])["sub"].grant_id
    for index in (77, 78):
        refund = Draft(
            "sub", "refund", USED, AVAILABLE, 300, "t", "", grant, "c", "ada", f"job c/{index}"
        )  # fmt: skip
        (entry,) = post(writer, [refund], now=bank.clock())["sub"]
        writer.execute(
            "INSERT INTO job_refund (cluster, job_index, job_id, account_id, seq, amount)"
            " SELECT 'c', :index, '5', account_id, :seq, 300 FROM account WHERE name = 'sub'",
            [{"index": index, "seq": entry.seq}],
        )


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
        _transfer(bank, writer)
        dated = Grant(0, "side", "spring", 1, 2**60, PROMISED, 0, 5 * SU, 0, 50, 1)
        grants.promise(writer, dated, actor="t", reason="", now=bank.clock())
        _refund_job(bank, writer)
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
        # As if all had been done here: the log's lines name their database.
        log_file = Path(self.bank.settings.logfile)
        log_file.write_text(log_file.read_text().replace(str(filled), str(directory)))
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
    if column in ("credit_limit", "end_at"):
        # Which number means nothing; that there is none means unlimited, and has no end.
        return None if value is not None else 0
    if column.startswith("is_"):
        return 1 - int(str(value))
    if column == "state":
        return "over" if value == "in force" else "in force"
    if value is None:
        return 1
    return value + 1000 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_row_is_proven(table: str, filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    missed = []
    tried = 0
    for row in forger.rows(table):
        unprovable = set() if row.get("is_dated") else UNPROVABLE.get(table, set())
        for column in set(forger.columns(table)) - unprovable:
            forger.sql.execute("BEGIN")
            forger.set(table, row["rowid"], column, other(column, row[column]))
            forger.sql.execute("COMMIT")
            if not forger.found():
                missed.append((row["rowid"], column, row[column]))
            # What is changed may be the rowid itself.
            is_key = column in ("account_id", "meter_id", "id")
            is_key = is_key or (table, column) == ("allocation_grant", "grant_id")
            where = column if is_key else "rowid"
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
    for column in ("seq", "id", "name", "account", "association", "job_index"):
        if column in row:
            row[column] = row[column] + 1 if isinstance(row[column], int) else f"{row[column]}x"
    if "meter_id" in row and table == "meter":
        row["meter_id"] += 1000
    if table == "account":
        row["account_id"] += 1000
    if table == "allocation_grant":
        row["grant_id"] += 1000
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
    """Write an account's chain anew so that it agrees with itself, its row and its grants."""
    sql = forger.sql
    ((account_id,),) = sql.execute("SELECT account_id FROM account WHERE name = ?", (name,))
    found = sql.execute(
        "SELECT posted_at FROM entry WHERE account_id = ? ORDER BY seq", (account_id,)
    )
    times = [row[0] for row in found]
    sql.execute("DELETE FROM entry WHERE account_id = ? AND seq > ?", (account_id, len(drafts)))
    sql.execute("UPDATE allocation_grant SET granted = 0 WHERE account_id = ?", (account_id,))
    books = Books()
    for seq, (draft, at) in enumerate(zip(drafts, times, strict=False), start=1):
        before = books.head_digest
        books, _ = extended(books, [draft], now=at)
        assert books.head_digest == entry_digest(before, seq, at, draft)
        changed = (draft.amount, draft.reference, books.head_digest)
        sql.execute(
            "UPDATE entry SET amount = ?, reference = ?, digest = ?"
            " WHERE account_id = ? AND seq = ?",
            (*changed, account_id, seq),
        )
        sql.execute(
            "UPDATE allocation_grant SET granted = granted + ? WHERE grant_id = ?",
            (granted_by(draft), draft.grant_id),
        )
    sql.execute(
        "UPDATE account SET granted = ?, used = ?, entry_count = ?, head_digest = ?,"
        " last_posted_at = ? WHERE account_id = ?",
        (*books, account_id),
    )
    shown = books.granted // SU
    sql.execute("UPDATE sbank SET su_limit_hrs = ? WHERE account = ?", (shown, name))


def _only_in_the_log(forger: Forger, *names: str) -> bool:
    found = forger.found()
    return len(found) == len(names) and all(
        one.startswith(f"account {name}, entry ") and "logged with another digest" in one
        for name, one in zip(names, found, strict=True)
    )


def _as_changed(draft: Draft, kind: str, fields: dict[str, Any]) -> Draft:
    return draft._replace(**fields) if draft.kind == kind else draft


@pytest.mark.parametrize(
    ("name", "kind", "fields", "named"),
    [
        ("side", "transfer", {"amount": 4 * SU}, "clearing, transfer top/5: 3600 more were given"),
        ("side", "transfer", {"reference": "transfer top/6"}, "clearing, transfer top/5: 18000"),
        ("side", "transfer", {"reference": None}, "is of a transfer and refers to nothing"),
        ("side", "transfer", {"reference": "transfer side/2"}, "entry 2: is of a transfer"),
        ("top", "transfer", {"reference": "transfer side/2"}, "entry 5: is of a transfer"),
        ("top", "transfer", {"reference": "transfer top/4"}, "entry 5: is of a transfer"),
        ("sub", "refund", {"amount": 299}, "table job_refund, job 5 (c/77): no entry refunds it"),
        ("sub", "refund", {"reference": "job c/79"}, "table job_refund, job 5 (c/77)"),
        ("sub", "charge", {"reference": "reading 1/9"}, "rest on reading 1/9, which is not one"),
        ("sub", "charge", {"reference": "reading 9/1"}, "rest on reading 9/1, which is not one"),
        ("sub", "charge", {"reference": "reading x"}, "rest on reading x, which is not one"),
        ("sub", "charge", {"reference": "reading 1/2"}, "reading 1: it booked 1000, its entries"),
        ("sub", "charge", {"reference": None}, "entry 2: a charge that rests on no reading"),
    ],
)  # fmt: skip
def test_entry_that_fits_its_chain_and_nothing_else_is_named(
    name: str, kind: str, fields: dict[str, Any], named: str, filled: Path, tmp_path: Path
) -> None:
    forger = Forger(filled, tmp_path)
    drafts = [_as_changed(draft, kind, fields) for draft in _entries(forger, name)]
    _rewrite(forger, name, drafts)
    Path(forger.bank.settings.logfile).unlink()
    found = forger.found()
    assert any(named in problem for problem in found), found


def test_entry_of_another_accounts_grant_is_named(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    ((grant,),) = forger.sql.execute("SELECT grant_id FROM account WHERE name = 'top'").fetchall()
    forger.sql.execute("UPDATE entry SET grant_id = ? WHERE kind = 'refund'", (grant,))
    assert any("its grant is another account's" in problem for problem in forger.found())


def test_refund_of_a_job_without_its_row_is_named(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    forger.sql.execute("DELETE FROM job_refund WHERE job_index = 78")
    assert forger.found() == [
        "account sub, entry 6: refunds job c/78, and has no row in job_refund"
    ]


def test_what_was_given_and_never_taken_is_named(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    (deposit, _) = _entries(forger, "side")
    _rewrite(forger, "side", [deposit])
    Path(forger.bank.settings.logfile).unlink()
    assert forger.found() == ["clearing, transfer top/5: 18000 more were given than taken"]


def test_chain_that_was_cut_off_is_known_to_the_log(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    # What was transferred is gone, from both: what is left of them agrees.
    for name in ("top", "side"):
        kept = [draft for draft in _entries(forger, name) if draft.kind != "transfer"]
        _rewrite(forger, name, kept)
    assert _only_in_the_log(forger, "side", "top"), forger.found()
    Path(forger.bank.settings.logfile).unlink()
    # Were this to be found without the log, the test above would prove nothing of the log.
    assert forger.found() == []


def test_chain_that_was_computed_again_is_known_to_the_log(filled: Path, tmp_path: Path) -> None:
    forger = Forger(filled, tmp_path)
    deposit, transfer = _entries(forger, "side")
    _rewrite(forger, "side", [deposit._replace(amount=1_000_000 * SU), transfer])
    assert _only_in_the_log(forger, "side"), forger.found()
    Path(forger.bank.settings.logfile).unlink()
    assert forger.found() == []
