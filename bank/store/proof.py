"""Proof that the books agree: every row of the database held against those it must fit."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.proof import (
    Change,
    MeterReading,
    chain_problems,
    change_problems,
    entry_of,
    meter_problems,
)
from bank.policy.thresholds import FLAGS
from bank.store import accounts, grants, user_limits
from bank.store.accounts import Account, shown_limit_su, stored
from bank.store.connect import Database, Reader
from bank.store.migrations import TABLES, v0001_first, v0003_whole_bank
from bank.store.notices import find_open

_FIELDS = ("is_open", "is_unlimited", "credit", "period_started_on", "hold_reason", "grant_id")


class Sums:
    """What the entries add up to, gathered while they are read once."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.by_reading: dict[tuple[str, str], int] = defaultdict(int)
        self.charged: dict[tuple[str, str], int] = defaultdict(int)
        self.closed: dict[tuple[str, str], int] = defaultdict(int)
        self.refunded: dict[tuple[str, str], int] = defaultdict(int)
        self.settled: dict[tuple[str, str, str], int] = defaultdict(int)


def problems(reader: Reader, database: Database) -> Iterator[str]:
    """Yield everything that does not agree, in words; nothing means that all does."""
    yield from _file_problems(reader)
    known = accounts.find_all(reader)
    sums = Sums()
    yield from _entry_problems(reader, known, sums)
    yield from _change_problems(reader, known)
    yield from _grant_problems(reader)
    yield from _reading_problems(reader, sums)
    yield from _place_problems(reader, sums)
    yield from _shown_problems(reader, database, known)
    yield from user_limits.problems(reader)


def _file_problems(reader: Reader) -> Iterator[str]:
    for (verdict,) in reader.query("PRAGMA integrity_check(10)"):
        if verdict != "ok":
            yield f"the file is damaged: {verdict}"
    # What a site keeps beside them is the site's to check.
    for name in TABLES:
        for table, row, parent, _ in reader.query(f"PRAGMA foreign_key_check({name})"):
            yield f"table {table}, row {row}: what it refers to in {parent} is not there"
    triggers = {name for (name,) in reader.query("SELECT name FROM sqlite_master")}
    for table in (*v0001_first.IMMUTABLE, *v0003_whole_bank.IMMUTABLE):
        for what in ("update", "delete"):
            if f"{table}_{what}_refused" not in triggers:
                yield f"table {table}: what refuses to {what} its rows is gone"
    for name, seq in reader.query(
        "SELECT name, seq FROM entry JOIN account ON account.account_id = entry.account_id"
        " JOIN allocation_grant ON allocation_grant.grant_id = entry.grant_id"
        " WHERE allocation_grant.account_id <> entry.account_id"
    ):
        yield f"account {name}, entry {seq}: its grant is another account's"


def _entry_problems(reader: Reader, known: dict[str, Account], sums: Sums) -> Iterator[str]:
    rows = reader.stream(
        "SELECT name, seq, posted_at, digest, kind, source, target, amount, actor, reason,"
        " entry.grant_id, cluster, user_name, reference, idempotency_key, leg"
        " FROM entry JOIN account ON account.account_id = entry.account_id ORDER BY name, seq"
    )
    seen = set()
    for name, group in groupby(rows, key=itemgetter(0)):
        seen.add(name)
        entries = [entry_of(row) for row in group]
        yield from chain_problems(name, entries, known[name].books)
        for entry in entries:
            _add(sums, entry.draft)
            if entry.draft.target == USED and not entry.draft.reference:
                yield f"account {name}, entry {entry.seq}: a charge that rests on no reading"
    for name, account in known.items():
        if name not in seen:
            yield from chain_problems(name, [], account.books)


def _add(sums: Sums, draft: Draft) -> None:
    cluster, reference = draft.cluster or "", draft.reference or ""
    if draft.target == USED:
        sums.charged[cluster, draft.account] += draft.amount
        if reference.startswith("reading "):
            sums.by_reading[draft.account, reference] += draft.amount
    elif (draft.source, draft.target) == (USED, AVAILABLE):
        sums.charged[cluster, draft.account] -= draft.amount
        sums.refunded[cluster, draft.account] += draft.amount
    elif draft.source == USED:
        sums.closed[cluster, draft.account] += draft.amount
    elif draft.kind == "closing":
        sums.settled[draft.account, cluster, reference.removeprefix("child ")] += draft.amount


def _change_problems(reader: Reader, known: dict[str, Account]) -> Iterator[str]:
    changes: dict[int, list[Change]] = defaultdict(list)
    for account_id, *row in reader.stream(
        "SELECT account_id, seq, field, old, new, actor, reason, changed_at, digest"
        " FROM account_change ORDER BY account_id, seq"
    ):
        changes[account_id].append(Change(*row))
    by_account: dict[str, dict[str, str]] = defaultdict(dict)
    for grant in grants.every(reader):
        field, value = grants.stated(grant)
        by_account[grant.account][field] = value
    for name, account in known.items():
        stated: dict[str, str | None] = {field: _text(account, field) for field in _FIELDS}
        stated.update(by_account.get(name, {}))
        head = (account.change_count, account.change_digest)
        mine = changes[account.account_id]
        yield from change_problems(name, account.account_id, mine, stated, head)


def _text(account: Account, field: str) -> str | None:
    value = stored(field, getattr(account, field))
    return None if value is None else str(value)


def _grant_problems(reader: Reader) -> Iterator[str]:
    for name, grant_id, told, is_so in reader.query(
        "SELECT name, g.grant_id, g.granted, coalesce(("
        " SELECT sum(amount * ((target IN ('available', 'used')) - (source IN ('available',"
        " 'used')))) FROM entry"
        " WHERE entry.account_id = g.account_id AND entry.grant_id = g.grant_id), 0)"
        " FROM allocation_grant AS g JOIN account ON account.account_id = g.account_id"
    ):
        if told != is_so:
            yield f"account {name}: grant {grant_id} says granted {told}, its entries say {is_so}"


def _reading_problems(reader: Reader, sums: Sums) -> Iterator[str]:
    meters = reader.query(
        "SELECT meter_id, cluster, association, name, user_name, reading_count, raw,"
        " meter.head_digest, is_gone, user_name, partition_name, asked_at, answered_at"
        " FROM meter JOIN account ON account.account_id = meter.account_id"
    )
    rows: dict[int, list[MeterReading]] = defaultdict(list)
    for meter_id, *row in reader.stream(
        "SELECT meter_id, seq, user_name, partition_name, raw, cause, booked, asked_at,"
        " answered_at, digest FROM reading ORDER BY meter_id, seq"
    ):
        rows[meter_id].append(MeterReading(*row))
    for meter_id, cluster, association, account, user, *newest in meters:
        name = f"meter {meter_id} ({user} in {account} on {cluster})"
        identity = (cluster, association)
        mine = rows.pop(meter_id, [])
        yield from meter_problems(name, identity, mine, (newest[0], newest[1], newest[2]))
        if mine and tuple(newest[3:]) != (
            mine[-1].cause == "gone",
            mine[-1].user,
            mine[-1].partition,
            mine[-1].asked_at,
            mine[-1].answered_at,
        ):
            yield f"{name}: its row does not say what, whose or when its newest reading was"
        for reading in mine:
            booked = sums.by_reading.pop((account, f"reading {meter_id}/{reading.seq}"), 0)
            if booked != reading.booked:
                yield (
                    f"{name}, reading {reading.seq}: it booked {reading.booked}, its entries hold"
                    f" {booked}"
                )
    for account, reference in sums.by_reading:
        yield f"account {account}: entries rest on {reference}, which is not one of its readings"


def _place_problems(reader: Reader, sums: Sums) -> Iterator[str]:
    for cluster, name, charged, closed in reader.query(
        "SELECT cluster, name, charged, closed FROM place"
        " JOIN account ON account.account_id = place.account_id"
    ):
        for what, told, is_so in (
            ("charged", charged, sums.charged.pop((cluster, name), 0)),
            ("closed", closed, sums.closed.pop((cluster, name), 0)),
        ):
            if told != is_so:
                yield f"account {name} on {cluster}: its place says {what} {told}, entries {is_so}"
    for cluster, name in (*sums.charged, *sums.closed):
        yield f"account {name}: entries name cluster {cluster!r}, where it has no place"
    for account, cluster, child, told, joined, most in reader.query(
        "SELECT a.name, settled.cluster, c.name, settled.closed, settled.joined, place.charged"
        " FROM settled LEFT JOIN place"
        " ON place.cluster = settled.cluster AND place.account_id = settled.child_id"
        " JOIN account AS a ON a.account_id = settled.account_id"
        " JOIN account AS c ON c.account_id = settled.child_id"
    ):
        is_so = sums.settled.pop((account, cluster, child), 0)
        if told != is_so:
            yield (
                f"account {account}: {told} of the use of {child} on {cluster} stands as closed,"
                f" entries say {is_so}"
            )
        if joined < -sums.refunded.get((cluster, child), 0) or joined + told > (most or 0):
            yield (
                f"account {account}: {joined} + {told} of the use of {child} on {cluster} stand as"
                f" counting no more, {child} was charged {most or 0}"
            )
    for account, cluster, child in sums.settled:
        yield f"account {account}: use of {child} on {cluster} was closed and is not settled"


def _shown_problems(reader: Reader, database: Database, known: dict[str, Account]) -> Iterator[str]:
    table = database.accounts_table
    shown: dict[str, tuple[int, str]] = {}
    is_open = find_open(reader)
    for account, limit_su, date, *flags in reader.query(
        f'SELECT account, su_limit_hrs, date, {", ".join(FLAGS.values())} FROM "{table}"'
    ):
        if account not in known or not known[account].is_open:
            yield f"table {table}: row of {account}, which is not open in the bank"
        shown[account] = (limit_su, date)
        for event, column, flag in zip(FLAGS, FLAGS.values(), flags, strict=True):
            if flag != ((account, event) in is_open):
                yield f"table {table}: {column} of {account} is {flag}, the notices say otherwise"
    for name, account in known.items():
        if not account.is_open:
            continue
        expected = (shown_limit_su(account), account.period_started_on)
        if name not in shown:
            yield f"table {table}: the row of {name} is missing"
        elif shown[name] != expected:
            yield f"table {table}: the row of {name} says {shown[name]}, the books say {expected}"


def head_at(reader: Reader, table: str, name: str, seq: int) -> str | None:
    """Return the digest of one row of an account's chain, None where there is none.

    Args:
        reader: the database.
        table: "entry" or "account_change".
        name: the account.
        seq: the row's number.
    """
    rows = reader.query(
        f"SELECT digest FROM {table} JOIN account ON account.account_id = {table}.account_id"
        " WHERE name = :name AND seq = :seq",
        name=name,
        seq=seq,
    )
    return str(rows[0][0]) if rows else None
