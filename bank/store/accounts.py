"""Accounts: their rows, their audited changes, and the table that other programs read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bank.errors import LedgerBroken
from bank.ledger.amounts import BILLING_SECONDS_PER_SU
from bank.ledger.books import Books
from bank.ledger.entries import chained_digest
from bank.store.connect import Database, Reader, Writer
from bank.store.notices import show_flags

# What a field of an account may be.
Value = str | int | bool | None


class Account(NamedTuple):
    """One account's row.

    Attributes:
        is_open: whether it has an allocation of its own.
        is_unlimited: whether it has no limit at all.
        credit: billing-seconds by which it may be overdrawn.
        period_started_on: ISO date of the period's first day, None where it never was open.
        hold_reason: why an admin holds it, None where nobody does.
        grant_id: the grant in force.
        last_changed_at: when it was last changed, in UTC microseconds; 0 where it never was.
    """

    account_id: int
    name: str
    is_open: bool
    is_unlimited: bool
    credit: int
    period_started_on: str | None
    hold_reason: str | None
    grant_id: int | None
    books: Books
    change_count: int
    change_digest: str
    last_changed_at: int


_COLUMNS = """
    account_id, name, is_open, credit_limit IS NULL, credit, period_started_on, hold_reason,
    grant_id, granted, used, entry_count, head_digest, last_posted_at, change_count, change_digest,
    coalesce((SELECT changed_at FROM account_change
    WHERE account_change.account_id = account.account_id AND seq = change_count), 0)
"""


def _account(row: tuple[Any, ...]) -> Account:
    account_id, name, is_open, is_unlimited, credit, started_on, hold_reason, grant_id = row[:8]
    return Account(
        account_id,
        name,
        bool(is_open),
        bool(is_unlimited),
        credit,
        started_on,
        hold_reason,
        grant_id,
        Books(*row[8:13]),
        *row[13:],
    )


def find(reader: Reader, name: str) -> Account | None:
    """Return one account, or None where the bank keeps no books for it."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM account WHERE name = :name", name=name)
    return _account(rows[0]) if rows else None


def find_all(reader: Reader) -> dict[str, Account]:
    """Return every account by name, in the order of the names."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM account ORDER BY name")
    return {row[1]: _account(row) for row in rows}


def find_many(reader: Reader, names: Sequence[str]) -> dict[str, Account]:
    """Return those of the named accounts that are there."""
    rows = reader.query_among(f"SELECT {_COLUMNS} FROM account WHERE name IN ({{values}})", names)
    return {row[1]: _account(row) for row in rows}


def hold_reasons(reader: Reader) -> list[str]:
    """Return why accounts are held, for those that are."""
    rows = reader.query("SELECT DISTINCT hold_reason FROM account WHERE hold_reason IS NOT NULL")
    return [row[0] for row in rows]


class LastChange(NamedTuple):
    """Who changed a field of an account last, and when in UTC microseconds."""

    actor: str
    at: int


def find_last_change(reader: Reader, account_id: int, field: str) -> LastChange | None:
    """Return who changed a field last, and when; None where nobody ever did."""
    rows = reader.query(
        "SELECT actor, changed_at FROM account_change"
        " WHERE account_id = :account_id AND field = :field ORDER BY seq DESC LIMIT 1",
        account_id=account_id,
        field=field,
    )
    return LastChange(*rows[0]) if rows else None


def ensure(writer: Writer, names: Iterable[str]) -> None:
    """Give each of the names a row, where it has none yet."""
    writer.execute(
        "INSERT INTO account (name) SELECT :name"
        " WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = :name)",
        [{"name": name} for name in names],
    )


_INSERT_CHANGE = (
    "INSERT INTO account_change"
    " (account_id, seq, field, old, new, actor, reason, changed_at, digest) VALUES"
    " (:account_id, :seq, :field, :old, :new, :actor, :reason, :changed_at, :digest)"
)

_FIELDS = {
    "is_open": "is_open",
    "is_unlimited": "credit_limit",
    "credit": "credit",
    "period_started_on": "period_started_on",
    "hold_reason": "hold_reason",
    "grant_id": "grant_id",
}


def stored(field: str, value: Value) -> str | int | None:
    """Return how a field of an account stands in its column."""
    if field == "is_unlimited":
        return None if value else 0
    return int(value) if isinstance(value, bool) else value


def change(
    writer: Writer,
    name: str,
    changes: Mapping[str, Value],
    *,
    actor: str,
    reason: str,
    now: int,
) -> None:
    """Change fields of one account; see `change_many`."""
    change_many(writer, {name: changes}, actor=actor, reasons={name: reason}, now=now)


def change_many(
    writer: Writer,
    changes: Mapping[str, Mapping[str, Value]],
    *,
    actor: str,
    reasons: Mapping[str, str],
    now: int,
) -> None:
    """Change fields of accounts that are not amounts, and write down who did and why.

    Args:
        writer: the transaction.
        changes: by account, which has a row, new values by field of `Account`; those that are not
            new are left out.
        actor: login of whoever caused it.
        reasons: free text by account.
        now: UTC microseconds.
    """
    found = find_many(writer, list(changes))
    rows: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for name, fields in changes.items():
        if name not in found:
            raise LedgerBroken(f"account {name!r} has no row to change")
        account = found[name]
        changed = _changes(account, fields, actor, reasons[name], now)
        if not changed:
            continue
        rows += changed
        values = {field: getattr(account, field) for field in _FIELDS} | dict(fields)
        ends.append(
            {**changed[-1], **{field: stored(field, value) for field, value in values.items()}}
        )
    writer.execute(_INSERT_CHANGE, rows)
    columns = ", ".join(f"{column} = :{field}" for field, column in _FIELDS.items())
    writer.execute(
        f"UPDATE account SET {columns}, change_count = :seq, change_digest = :digest"
        " WHERE account_id = :account_id",
        ends,
    )


def _changes(
    account: Account, fields: Mapping[str, Value], actor: str, reason: str, now: int
) -> list[dict[str, Any]]:
    """Return the rows that say how an account was changed."""
    changed = [
        (field, _text(before), _text(new))
        for field, value in fields.items()
        if (before := stored(field, getattr(account, field))) != (new := stored(field, value))
    ]
    return _noted(account, changed, actor, reason, now)


def _noted(
    account: Account,
    changed: Iterable[tuple[str, str | None, str | None]],
    actor: str,
    reason: str,
    now: int,
) -> list[dict[str, Any]]:
    """Return the rows that follow an account's newest change: (field, old, new)."""
    rows = []
    seq, digest = account.change_count, account.change_digest
    for field, old, new in changed:
        seq += 1
        row = {
            "account_id": account.account_id,
            "seq": seq,
            "field": field,
            "old": old,
            "new": new,
            "actor": actor,
            "reason": reason,
            # A clock that was set back makes no change older than what stands there.
            "changed_at": max(now, account.books.last_posted_at, account.last_changed_at),
        }
        digest = chained_digest(digest, *row.values())
        rows.append({**row, "digest": digest})
    return rows


def note(
    writer: Writer,
    account: Account,
    field: str,
    old: str | None,
    new: str | None,
    *,
    actor: str,
    reason: str,
    now: int,
) -> None:
    """Write down a change of what belongs to an account and stands in another table.

    Args:
        writer: the transaction that changes it.
        account: as it stands now, with its newest change.
        field: what is changed.
        old: what it was, None where it was not there.
        new: what it is, None where it is gone.
        actor: login of whoever caused it.
        reason: free text.
        now: UTC microseconds.
    """
    rows = _noted(account, [(field, old, new)], actor, reason, now)
    writer.execute(_INSERT_CHANGE, rows)
    writer.execute(
        "UPDATE account SET change_count = :seq, change_digest = :digest"
        " WHERE account_id = :account_id",
        rows,
    )


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def shown_limit_su(account: Account) -> int:
    """Return the limit as the accounts table shows it: whole SUs, rounded down; -1 is unlimited."""
    if account.is_unlimited:
        return -1
    # What an account owes, which credit allows, must not read as unlimited.
    return max(account.books.granted // BILLING_SECONDS_PER_SU, 0)


def show(writer: Writer, database: Database, names: Iterable[str]) -> None:
    """Bring the accounts table up to date for some accounts, in the transaction that changed them.

    The table is for other programs: nothing in the bank decides from it.
    """
    table = f'"{database.accounts_table}"'
    found = find_many(writer, list(names)).values()
    rows = [
        {
            "account": account.name,
            "limit_su": shown_limit_su(account),
            "date": account.period_started_on,
        }
        for account in found
        if account.is_open
    ]
    closed = [{"account": account.name} for account in found if not account.is_open]
    writer.execute(f"DELETE FROM {table} WHERE account = :account", closed)
    writer.execute(
        f"INSERT INTO {table} (account, su_limit_hrs, date, upper_limit_informed,"
        " lower_limit_informed, max_limit_informed)"
        " SELECT :account, :limit_su, :date, 0, 0, 0"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE account = :account)",
        rows,
    )
    writer.execute(
        f"UPDATE {table} SET su_limit_hrs = :limit_su, date = :date WHERE account = :account",
        rows,
    )
    show_flags(writer, database, [account.name for account in found])


def shown_rows(reader: Reader, database: Database) -> list[tuple[Any, ...]]:
    """Return the rows of the accounts table as they stand there, in the order of their ids."""
    return reader.query(
        "SELECT id, account, su_limit_hrs, date, upper_limit_informed, lower_limit_informed,"
        f' max_limit_informed FROM "{database.accounts_table}" ORDER BY id'
    )


def keep_ids(writer: Writer, database: Database, ids: Mapping[str, int]) -> None:
    """Let accounts have these ids in the accounts table, where they are free; `show` does the rest.

    Nothing in the bank needs them; programs that read the table may.
    """
    table = f'"{database.accounts_table}"'
    writer.execute(
        f"INSERT INTO {table} (id, account) SELECT :id, :account"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE id = :id OR account = :account)",
        [{"id": number, "account": name} for name, number in ids.items()],
    )
