"""Grants: their rows, and the audited changes of those that have dates."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bank.errors import LedgerBroken
from bank.ledger.grants import Payer
from bank.ledger.references import GIVEN_AGAIN
from bank.store import accounts
from bank.store.connect import Reader, Writer

PROMISED, IN_FORCE, ENDING, OVER = "promised", "in force", "ending", "over"


class Grant(NamedTuple):
    """A grant's row. Amounts are billing-seconds, times UTC microseconds.

    Attributes:
        account: the account's name.
        start_at, end_at: the first instant that belongs to it, and the first that does not; None
            for no end.
        state: PROMISED, IN_FORCE, ENDING while jobs run that it may have to pay for, or OVER.
        granted: what it was given so far, less what was taken back or closed.
        promised: what it is given when it starts.
        paid: see `bank.ledger.grants.Payer`.
        carry_percent: how much of what is unused at its end is carried over.
        is_dated: 1 where it was given for a span, 0 for what `insert`, `add` and `modify` change:
            that has no end, until the next period gives it anew.
    """

    grant_id: int
    account: str
    kind: str
    start_at: int
    end_at: int | None
    state: str
    granted: int
    promised: int
    paid: int
    carry_percent: int
    is_dated: int

    @property
    def is_paying(self) -> bool:
        """Whether use is paid from it now."""
        return self.state in (IN_FORCE, ENDING)


_COLUMNS = (
    "allocation_grant.grant_id, name, kind, start_at, end_at, state, allocation_grant.granted,"
    " promised, paid, carry_percent, is_dated"
)
_FROM = "FROM allocation_grant JOIN account ON account.account_id = allocation_grant.account_id"
# The condition of the index of grants that have dates.
_DATED = "state <> 'over' AND is_dated = 1"


def find_all(reader: Reader, account_id: int) -> list[Grant]:
    """Return every grant that an account ever had, oldest first."""
    rows = reader.query(
        f"SELECT {_COLUMNS} {_FROM} WHERE allocation_grant.account_id = :id"
        " ORDER BY start_at, allocation_grant.grant_id",
        id=account_id,
    )
    return [Grant(*row) for row in rows]


def find_living(reader: Reader, account_id: int) -> list[Grant]:
    """Return an account's grants that are not over."""
    rows = reader.query(
        f"SELECT {_COLUMNS} {_FROM} WHERE allocation_grant.account_id = :id AND state <> :over"
        " ORDER BY start_at, allocation_grant.grant_id",
        id=account_id,
        over=OVER,
    )
    return [Grant(*row) for row in rows]


def find(reader: Reader, grant_id: int) -> Grant:
    """Return one grant, which must be there."""
    (row,) = reader.query(
        f"SELECT {_COLUMNS} {_FROM} WHERE allocation_grant.grant_id = :id", id=grant_id
    )
    return Grant(*row)


_GIVEN = f"""
    coalesce(sum(CASE WHEN target = 'available' THEN amount ELSE -amount END), 0)
    FROM entry JOIN allocation_grant ON allocation_grant.grant_id = entry.grant_id
        AND allocation_grant.account_id = entry.account_id
    WHERE entry.kind IN ('deposit', 'withdrawal', 'transfer', 'adjustment')
    AND 'used' NOT IN (source, target) AND coalesce(reference, '') <> '{GIVEN_AGAIN}'
"""


def given(reader: Reader, grant: Grant) -> int:
    """Return what a grant was given in all, less what was taken back; without what it has paid.

    What it paid and was given again for a new period counts once.
    """
    rows = reader.query(
        f"SELECT {_GIVEN} AND allocation_grant.grant_id = :grant_id", grant_id=grant.grant_id
    )
    return int(rows[0][0])


def find_given(reader: Reader) -> dict[int, int]:
    """Return what each grant with dates that is not over was given; see `given`."""
    rows = reader.query(
        f"SELECT allocation_grant.grant_id, {_GIVEN} AND {_DATED}"
        " GROUP BY allocation_grant.grant_id"
    )
    return dict(rows)


def find_with_reasons(reader: Reader) -> list[tuple[Grant, str]]:
    """Return the grants of open accounts that are not over, each with why it was given.

    By account, the one without an end first, then those with dates, oldest first.
    """
    rows = reader.query(
        f"SELECT {_COLUMNS}, coalesce(reason, '') {_FROM}"
        " LEFT JOIN account_change ON account_change.account_id = account.account_id AND ("
        " (is_dated = 0 AND field = 'grant_id'"
        " AND new = CAST(allocation_grant.grant_id AS TEXT))"
        " OR (is_dated = 1 AND old IS NULL"
        " AND field = 'grant ' || CAST(allocation_grant.grant_id AS TEXT)))"
        " WHERE is_open = 1 AND state <> :over"
        " ORDER BY name, is_dated, start_at, end_at, kind, allocation_grant.grant_id",
        over=OVER,
    )
    return [(Grant(*row[:-1]), row[-1]) for row in rows]


def every(reader: Reader) -> Iterator[Grant]:
    """Yield every grant of every account."""
    for row in reader.stream(f"SELECT {_COLUMNS} {_FROM} ORDER BY allocation_grant.grant_id"):
        yield Grant(*row)


def paying(grants: Sequence[Grant]) -> list[Payer]:
    """Return those from which use is paid, as the ledger takes them."""
    return [
        Payer(grant.grant_id, grant.end_at, grant.granted, grant.paid)
        for grant in grants
        if grant.is_paying
    ]


def find_due(reader: Reader, at: int) -> list[Grant]:
    """Return the grants that start or end now, and those that are ending, by account."""
    rows = reader.query(
        f"SELECT {_COLUMNS} {_FROM} WHERE {_DATED} AND"
        " (state = 'ending' OR (state = 'promised' AND start_at <= :at)"
        " OR (state = 'in force' AND end_at <= :at)) ORDER BY name, allocation_grant.grant_id",
        at=at,
    )
    return [Grant(*row) for row in rows]


def find_ending(reader: Reader) -> list[Grant]:
    """Return the grants that have ended and of which running jobs may still use something."""
    rows = reader.query(f"SELECT {_COLUMNS} {_FROM} WHERE {_DATED} AND state = 'ending'")
    return [Grant(*row) for row in rows]


def find_paid_by_dated(reader: Reader) -> set[str]:
    """Return the accounts of which a grant with dates pays for use now."""
    rows = reader.query(f"SELECT DISTINCT name {_FROM} WHERE {_DATED} AND state <> 'promised'")
    return {name for (name,) in rows}


def find_with_paid(reader: Reader) -> set[str]:
    """Return the accounts of which use was settled with a grant that is not over."""
    sql = f"SELECT DISTINCT name {_FROM} WHERE paid > 0 AND state <> :over"
    return {name for (name,) in reader.query(sql, over=OVER)}


def find_base_amounts(reader: Reader) -> dict[str, int]:
    """Return what each open account has in the grant without an end: billing-seconds."""
    rows = reader.query(
        "SELECT name, allocation_grant.granted FROM account"
        " JOIN allocation_grant ON allocation_grant.grant_id = account.grant_id WHERE is_open = 1"
    )
    return dict(rows)


def find_dated_totals(reader: Reader) -> dict[str, int]:
    """Return what grants with dates have that are in force, by account: billing-seconds."""
    rows = reader.query(
        f"SELECT name, sum(allocation_grant.granted) {_FROM} WHERE {_DATED} GROUP BY name"
    )
    return {name: amount for name, amount in rows if amount}


def find_with_dated(reader: Reader) -> list[str]:
    """Return the accounts that have a grant with dates, promised or not yet over."""
    rows = reader.query(f"SELECT DISTINCT name {_FROM} WHERE {_DATED} ORDER BY name")
    return [name for (name,) in rows]


def find_ended(reader: Reader, at: int) -> list[str]:
    """Return the accounts with a grant that has ended by then and still has something."""
    rows = reader.query(
        f"SELECT DISTINCT name {_FROM} WHERE {_DATED} AND end_at <= :at"
        " AND state <> 'promised' ORDER BY name",
        at=at,
    )
    return [name for (name,) in rows]


def find_first_ends(reader: Reader) -> dict[str, int]:
    """Return when the first of the grants with dates ends that are in force, by account."""
    rows = reader.query(
        f"SELECT name, min(end_at) {_FROM} WHERE {_DATED} AND state <> 'promised' GROUP BY name"
    )
    return dict(rows)


def find_ever_dated(reader: Reader) -> set[str]:
    """Return the accounts that have, or once had, grants with dates."""
    rows = reader.query(f"SELECT DISTINCT name {_FROM} WHERE is_dated = 1")
    return {name for (name,) in rows}


def open_base(writer: Writer, account_ids: Sequence[int], *, kind: str, now: int) -> dict[int, int]:
    """Give each account a grant without an end that starts now, and end the one it had.

    Returns:
        The new grants by account.
    """
    writer.execute(
        "UPDATE allocation_grant SET end_at = :now, state = 'over'"
        " WHERE account_id = :account_id AND end_at IS NULL",
        [{"account_id": account_id, "now": now} for account_id in account_ids],
    )
    return {
        account_id: writer.insert(
            "INSERT INTO allocation_grant (account_id, start_at, end_at, kind)"
            " VALUES (:account_id, :now, NULL, :kind)",
            account_id=account_id,
            kind=kind,
            now=now,
        )
        for account_id in account_ids
    }


def promise(writer: Writer, grant: Grant, *, actor: str, reason: str, now: int) -> Grant:
    """Promise an account a grant with dates; it is in force once it has been begun.

    Args:
        writer: the transaction.
        grant: what is promised; its number is not known yet.
        actor: login of whoever caused it.
        reason: free text.
        now: UTC microseconds.

    Returns:
        It, with its number.
    """
    grant_id = writer.insert(
        "INSERT INTO allocation_grant (account_id, start_at, end_at, kind, state, promised,"
        " carry_percent, is_dated) SELECT account_id, :start_at, :end_at, :kind, :state, :promised,"
        " :carry_percent, 1 FROM account WHERE name = :account",
        **grant._asdict(),
    )
    numbered = grant._replace(grant_id=grant_id)
    _note(writer, None, numbered, actor, reason, now)
    return numbered


def change(
    writer: Writer, before: Grant, after: Grant, *, actor: str, reason: str, now: int
) -> None:
    """Change what of a grant is no total of entries, and write down who did and why.

    Of one without an end only what it has paid changes here; it ends when `open_base` gives
    another, which the account's own changes say.
    """
    if after == before:
        return
    writer.execute(
        "UPDATE allocation_grant SET state = :state, promised = :promised, paid = :paid,"
        " carry_percent = :carry_percent WHERE grant_id = :grant_id",
        [after._asdict()],
    )
    _note(writer, before, after, actor, reason, now)


def _note(
    writer: Writer, before: Grant | None, after: Grant, actor: str, reason: str, now: int
) -> None:
    account = accounts.find(writer, after.account)
    assert account is not None
    field, new = stated(after)
    old = None if before is None else stated(before)[1]
    accounts.note(writer, account, field, old, new, actor=actor, reason=reason, now=now)


def stated(grant: Grant) -> tuple[str, str]:
    """Return the field under which an account's changes record a grant, and what they say of it.

    That is all that entries do not say.
    """
    if not grant.is_dated:
        return f"grant {grant.grant_id} paid", str(grant.paid)
    return f"grant {grant.grant_id}", (
        f"{grant.state}, {grant.start_at} to {grant.end_at}, promised {grant.promised},"
        f" paid {grant.paid}, carries {grant.carry_percent} %, {grant.kind}"
    )


_STATED = re.compile(
    "([a-z ]+), (-?[0-9]+) to (-?[0-9]+), promised ([0-9]+), paid [0-9]+, carries [0-9]+ %, (.*)"
)


class Stated(NamedTuple):
    """What a change of a grant with dates says of it; as in `Grant`."""

    state: str
    start_at: int
    end_at: int
    promised: int
    kind: str


def read_stated(text: str) -> Stated:
    """Return what `stated` wrote of a grant with dates.

    Raises:
        LedgerBroken: it did not write that.
    """
    match = _STATED.fullmatch(text)
    if match is None:
        raise LedgerBroken(f"{text!r} is nothing that the bank says of a grant")
    state, start_at, end_at, promised, kind = match.groups()
    return Stated(state, int(start_at), int(end_at), int(promised), kind)
