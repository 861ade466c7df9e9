"""Proof that rows agree with each other: chains of digests, and totals that are their fold."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bank.errors import LedgerBroken
from bank.ledger.books import Books, moved
from bank.ledger.entries import Draft, Entry, chained_digest, entry_digest


def chain_problems(name: str, entries: Iterable[Entry], stated: Books) -> Iterator[str]:
    """Yield what is wrong with one account's chain, the first wrong entry first.

    Args:
        name: the account.
        entries: all of its entries in the order of their numbers.
        stated: the totals that stand in its row.
    """
    books = Books()
    for entry in entries:
        where = f"account {name}, entry {entry.seq}"
        if entry.seq != books.entry_count + 1:
            yield f"{where}: entry {books.entry_count + 1} is missing before it"
        if entry.posted_at < books.last_posted_at:
            yield f"{where}: is older than the entry before it"
        if entry.digest != entry_digest(books.head_digest, entry.seq, entry.posted_at, entry.draft):
            yield f"{where}: its digest does not fit: it or an entry before it was changed"
        try:
            books = moved(books, entry.draft)
        except LedgerBroken as error:
            yield f"{where}: {error}"
        books = books._replace(
            entry_count=entry.seq, head_digest=entry.digest, last_posted_at=entry.posted_at
        )
    for field in Books._fields:
        told, is_so = getattr(stated, field), getattr(books, field)
        if told != is_so:
            yield f"account {name}: its row says {field} {told}, its entries say {is_so}"


class Change(NamedTuple):
    """One audited change of an account that is not an amount."""

    seq: int
    field: str
    old: str | None
    new: str | None
    actor: str
    reason: str
    changed_at: int
    digest: str


def change_problems(
    name: str,
    account_id: int,
    changes: Iterable[Change],
    stated: dict[str, str | None],
    head: tuple[int, str],
) -> Iterator[str]:
    """Yield what is wrong with the changes of one account.

    Args:
        name: the account.
        account_id: its number, which is part of each digest.
        changes: all of them in order.
        stated: the fields that stand in its row, as text.
        head: the count and the newest digest that stand in its row.
    """
    digest, count, fields = "", 0, {"is_open": "0", "is_unlimited": "0", "credit": "0"}
    # What a grant has paid is nothing until its first change says otherwise.
    paid = {field: "0" for field in stated if field.endswith(" paid")}
    values: dict[str, str | None] = {**dict.fromkeys(stated), **fields, **paid}
    for change in changes:
        where = f"account {name}, change {change.seq}"
        count += 1
        if change.seq != count:
            yield f"{where}: change {count} is missing before it"
            count = change.seq
        if change.digest != chained_digest(digest, account_id, *change[:-1]):
            yield f"{where}: its digest does not fit: it or a change before it was changed"
        if values.get(change.field) != change.old:
            was = values.get(change.field)
            yield f"{where}: says {change.field} was {change.old}, it was {was}"
        values[change.field], digest = change.new, change.digest
    if (count, digest) != head:
        yield f"account {name}: its row does not end with its newest change"
    for field, told in stated.items():
        if told != values[field]:
            yield f"account {name}: its row says {field} {told}, its changes say {values[field]}"


class MeterReading(NamedTuple):
    """One reading as it stands in the database."""

    seq: int
    user: str
    partition: str
    raw: int
    cause: str
    booked: int
    asked_at: int
    answered_at: int
    digest: str


def meter_problems(
    name: str,
    identity: tuple[object, ...],
    readings: Iterable[MeterReading],
    stated: tuple[int, int, str],
) -> Iterator[str]:
    """Yield what is wrong with the readings of one meter.

    Args:
        name: the meter, for people.
        identity: what every digest of it holds: cluster, association.
        readings: all of them in order.
        stated: the number, value and digest of the newest that stand in the meter's row.
    """
    seq, raw, digest = 0, 0, ""
    for reading in readings:
        where = f"{name}, reading {reading.seq}"
        if reading.seq != seq + 1:
            yield f"{where}: reading {seq + 1} is missing before it"
        fields = (reading.seq, reading.raw, reading.cause, reading.booked)
        times = (reading.asked_at, reading.answered_at)
        whose = (*identity, reading.user, reading.partition)
        if reading.digest != chained_digest(digest, *whose, *fields, *times):
            yield f"{where}: its digest does not fit: it or a reading before it was changed"
        rise = reading.raw - raw
        if reading.cause in ("rise", "first") and reading.booked != rise:
            yield f"{where}: the meter rose by {rise}, {reading.booked} were booked"
        if reading.cause in ("restart", "compared") and reading.booked < rise:
            yield f"{where}: the meter rose by {rise}, only {reading.booked} were booked"
        if reading.cause == "baseline" and (reading.booked or reading.seq != 1):
            yield f"{where}: only a first reading may set where counting begins, without a booking"
        seq, raw, digest = reading.seq, reading.raw, reading.digest
    if (seq, raw, digest) != stated:
        yield f"{name}: its row does not end with its newest reading"


def entry_of(row: tuple) -> Entry:  # type: ignore[type-arg]
    """Build an entry from (account, seq, posted_at, digest, kind, source, ..., leg)."""
    return Entry(row[1], row[2], Draft(row[0], *row[4:]), row[3])
