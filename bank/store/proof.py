"""Proof that the books agree: every row of the database held against those it must fit.

Account by account, in the order of their names; the rows of each are read once and not kept.
"""

from collections.abc import Callable, Iterator, Sequence

from bank.ledger.proof import (
    Bookings,
    Change,
    Found,
    MeterState,
    Row,
    Totals,
    prove_chain,
    prove_changes,
    proven_readings,
)
from bank.ledger.references import LIKE_JOB, of_job
from bank.policy.thresholds import FLAGS
from bank.store import accounts, grants, user_limits
from bank.store.accounts import Account, shown_limit_su, stored
from bank.store.connect import Database, Reader
from bank.store.grants import Grant
from bank.store.job_proof import charge_problems
from bank.store.lien_proof import lien_problems
from bank.store.migrations import TABLES, v0001_first, v0003_whole_bank, v0004_job_time
from bank.store.mybrc_proof import report_problems
from bank.store.notices import find_open

# Told how many rows of how many have been proven.
Tell = Callable[[int, int], None]

_FIELDS = ("is_open", "is_unlimited", "credit", "period_started_on", "hold_reason", "grant_id")
_TELL_EVERY_ROWS = 5_000


def tell_nobody(done: int, total: int) -> None:
    """Tell nobody how far it is."""
    del done, total


def problems(reader: Reader, database: Database) -> Iterator[str]:
    """Yield everything that does not agree, in words; nothing means that all does.

    Where many rows of one chain do not fit in the same way, the first of them is named and the
    others are counted.
    """
    yield from file_problems(reader)
    yield from book_problems(reader, database)


def book_problems(reader: Reader, database: Database, tell: Tell = tell_nobody) -> Iterator[str]:
    """Yield where entries, readings and other rows do not agree; see `problems`."""
    proof = _Proof(reader, tell)
    known = accounts.find_all(reader)
    for account in known.values():
        yield from _account_problems(proof, account)
    yield from _transfer_problems(proof)
    yield from _refund_problems(proof)
    yield from report_problems(reader)
    yield from _settled_problems(proof)
    yield from _shown_problems(reader, database, known)
    yield from _limit_problems(reader)
    yield from charge_problems(reader)
    yield from lien_problems(reader)


def file_problems(reader: Reader) -> Iterator[str]:
    """Yield what is damaged, and what of the schema is gone; see `problems`."""
    for (verdict,) in reader.query("PRAGMA integrity_check(10)"):
        if verdict != "ok":
            yield f"the file is damaged: {verdict}"
    # What a site keeps beside them is the site's to check.
    for name in TABLES:
        found = Found()
        for table, row, parent, _ in reader.stream(f"PRAGMA foreign_key_check({name})"):
            what = f"what it refers to in {parent} is not there"
            found.say(f"table {table}", parent, what, f"row {row}")
        yield from found.told()
    triggers = {name for (name,) in reader.query("SELECT name FROM sqlite_master")}
    for table in (*v0001_first.IMMUTABLE, *v0003_whole_bank.IMMUTABLE, *v0004_job_time.IMMUTABLE):
        for what in ("update", "delete"):
            if f"{table}_{what}_refused" not in triggers:
                yield f"table {table}: what refuses to {what} its rows is gone"


class _Proof:
    """What is gathered over all accounts.

    Attributes:
        reader: the database.
        net: what each transfer brought to clearing less what it took, where that is not 0.
        refunded: what was refunded, by (cluster, account).
        settled: use of children that accounts closed, by (account, cluster, child).
        jobs_refunded: how many entries refund a job.
        user_limits: by account, what its changes must say of limits of users.
    """

    def __init__(self, reader: Reader, tell: Tell) -> None:
        self.reader = reader
        self.net: dict[str, int] = {}
        self.refunded: dict[tuple[str, str], int] = {}
        self.settled: dict[tuple[str, str, str], int] = {}
        self.jobs_refunded = 0
        self.user_limits = user_limits.stated(reader)
        self._tell = tell
        self._done = 0
        ((entries,), (readings,)) = reader.query(
            "SELECT coalesce(sum(entry_count), 0) FROM account"
        ) + reader.query("SELECT coalesce(sum(reading_count), 0) FROM meter")
        self._total = entries + readings
        tell(0, self._total)

    def rows(self, sql: str, **parameters: object) -> Iterator[Row]:
        """Return the rows of a query one by one, and tell how far it is."""
        for row in self.reader.stream(sql, **parameters):
            self._done += 1
            if not self._done % _TELL_EVERY_ROWS:
                self._tell(self._done, self._total)
            yield row


def _account_problems(proof: _Proof, account: Account) -> Iterator[str]:
    """Yield what does not agree of one account and its meters."""
    found = Found()
    bookings = Bookings(account.name, _meters(proof, account, found), found)
    known = grants.find_all(proof.reader, account.account_id)
    ids = [grant.grant_id for grant in known]
    totals = Totals(account.name, ids, bookings, proof.net, found)
    entries = proof.rows(
        # In the order of the digest.
        "SELECT seq, posted_at, :name, kind, source, target, amount, actor, reason, grant_id,"
        " cluster, user_name, reference, idempotency_key, leg, digest"
        " FROM entry WHERE account_id = :id ORDER BY seq",
        name=account.name,
        id=account.account_id,
    )
    prove_chain(account.name, totals.counted(entries), account.books, found)
    for meter, seq, left in bookings.left():
        _say_left(proof, account, found, (meter, seq, left))
    _prove_own_changes(proof, account, known, found)
    _prove_grants(account, known, totals, found)
    _prove_places(proof, account, totals, found)
    proof.jobs_refunded += totals.jobs_refunded
    for cluster, amount in totals.refunded.items():
        proof.refunded[cluster, account.name] = amount
    for (cluster, child), amount in totals.settled.items():
        proof.settled[account.name, cluster, child] = amount
    yield from found.told()


def _meters(proof: _Proof, account: Account, found: Found) -> dict[int, Iterator[tuple[int, int]]]:
    """Return the readings of an account's meters, each proven when it is taken."""
    return {
        meter_id: proven_readings(
            _meter_name(meter_id, user, account, cluster),
            proof.rows(
                # In the order of the digest.
                "SELECT :cluster, :association, user_name, partition_name, seq, raw, cause, booked,"
                " asked_at, answered_at, digest FROM reading WHERE meter_id = :id ORDER BY seq",
                cluster=cluster,
                association=association,
                id=meter_id,
            ),
            MeterState(*newest),
            found,
        )
        for meter_id, cluster, association, user, *newest in proof.reader.query(
            "SELECT meter_id, cluster, association, user_name, reading_count, raw, head_digest,"
            " is_gone, user_name, partition_name, asked_at, answered_at"
            " FROM meter WHERE account_id = :id ORDER BY meter_id",
            id=account.account_id,
        )
    }


def _meter_name(meter_id: int, user: str, account: Account, cluster: str) -> str:
    return f"meter {meter_id} ({user} in {account.name} on {cluster})"


def _say_left(proof: _Proof, account: Account, found: Found, left: tuple[int, int, int]) -> None:
    """Say that what a reading booked is not what entries hold."""
    meter_id, seq, amount = left
    ((user, cluster, booked),) = proof.reader.query(
        "SELECT meter.user_name, cluster, coalesce(booked, 0) FROM meter"
        " LEFT JOIN reading ON reading.meter_id = meter.meter_id AND seq = :seq"
        " WHERE meter.meter_id = :id",
        id=meter_id,
        seq=seq,
    )
    what = f"it booked {booked}, its entries hold {booked - amount}"
    name = _meter_name(meter_id, user, account, cluster)
    found.say(name, "booked", what, f"reading {seq}")


def _prove_own_changes(
    proof: _Proof, account: Account, known: Sequence[Grant], found: Found
) -> None:
    rows = proof.reader.stream(
        "SELECT seq, field, old, new, actor, reason, changed_at, digest"
        " FROM account_change WHERE account_id = :id ORDER BY seq",
        id=account.account_id,
    )
    changes = (Change(*row) for row in rows)
    stated: dict[str, str | None] = {field: _text(account, field) for field in _FIELDS}
    stated.update(grants.stated(grant) for grant in known)
    stated.update(proof.user_limits.get(account.name, ()))
    head = (account.change_count, account.change_digest)
    prove_changes(account.name, account.account_id, changes, stated, head, found)


def _text(account: Account, field: str) -> str | None:
    value = stored(field, getattr(account, field))
    return None if value is None else str(value)


def _prove_grants(account: Account, known: Sequence[Grant], totals: Totals, found: Found) -> None:
    for grant in known:
        is_so = totals.granted[grant.grant_id]
        whose = f"account {account.name}, grant {grant.grant_id}"
        if grant.granted != is_so:
            what = f"says granted {grant.granted}, its entries say {is_so}"
            found.say(whose, "granted", what)
        if not grant.is_dated:
            _prove_undated(grant, whose, found, is_present=grant.grant_id == account.grant_id)


def _prove_undated(grant: Grant, whose: str, found: Found, *, is_present: bool) -> None:
    """Prove what no change says of a grant without an end: only the account's present one pays."""
    is_in_force = (grant.state, grant.end_at) == (grants.IN_FORCE, None)
    is_over = grant.state == grants.OVER and grant.end_at is not None
    if not (is_in_force if is_present else is_over):
        which = "is its account's present one" if is_present else "is not its account's present one"
        found.say(whose, "state", f"says {grant.state}, ending at {grant.end_at}, and {which}")
    if grant.promised or grant.carry_percent:
        what = f"says promised {grant.promised}, carries {grant.carry_percent} %, and has no dates"
        found.say(whose, "dates", what)


def _prove_places(proof: _Proof, account: Account, totals: Totals, found: Found) -> None:
    whose = f"account {account.name}"
    rows = proof.reader.query(
        "SELECT cluster, charged, closed FROM place WHERE account_id = :id ORDER BY cluster",
        id=account.account_id,
    )
    for cluster, charged, closed in rows:
        for what, told, is_so in (
            ("charged", charged, totals.charged.get(cluster, 0)),
            ("closed", closed, totals.closed.get(cluster, 0)),
        ):
            if told != is_so:
                says = f"its place says {what} {told}, entries {is_so}"
                found.say(f"{whose} on {cluster}", what, says)
    for cluster in sorted({*totals.charged, *totals.closed} - {row[0] for row in rows}):
        found.say(whose, "place", f"entries name cluster {cluster!r}, where it has no place")


def _transfer_problems(proof: _Proof) -> Iterator[str]:
    """Yield the transfers of which not as much was taken as was given."""
    found = Found()
    for reference, net in sorted(proof.net.items()):
        what = f"{abs(net)} more were {'given than taken' if net > 0 else 'taken than given'}"
        found.say("clearing", "net", what, reference)
    yield from found.told()


def _refund_problems(proof: _Proof) -> Iterator[str]:
    """Yield refunds of jobs that fit no entry, and entries that refund a job and have no row."""
    found = Found()
    fitting = 0
    for cluster, index, job, reference, is_as_said in proof.reader.stream(
        "SELECT job_refund.cluster, job_index, job_id, reference, coalesce(kind = 'refund'"
        " AND entry.amount = job_refund.amount AND entry.cluster = job_refund.cluster, 0)"
        " FROM job_refund LEFT JOIN entry"
        " ON entry.account_id = job_refund.account_id AND entry.seq = job_refund.seq"
        " ORDER BY 1, 2"
    ):
        is_fit = bool(is_as_said) and reference == of_job(cluster, index)
        fitting += is_fit
        if not is_fit:
            what = "no entry refunds it as its row says"
            found.say("table job_refund", "entry", what, f"job {job} ({cluster}/{index})")
    if fitting != proof.jobs_refunded:
        for name, seq, reference in proof.reader.stream(
            "SELECT name, seq, reference FROM entry JOIN account"
            " ON account.account_id = entry.account_id"
            " WHERE kind = 'refund' AND source = 'used'"
            f" AND reference LIKE '{LIKE_JOB}' AND NOT EXISTS"
            " (SELECT 1 FROM job_refund WHERE job_refund.account_id = entry.account_id"
            " AND job_refund.seq = entry.seq) ORDER BY name, seq"
        ):
            what = f"refunds {reference}, and has no row in job_refund"
            found.say(f"account {name}", "job", what, f"entry {seq}")
    yield from found.told()


def _settled_problems(proof: _Proof) -> Iterator[str]:
    """Yield where what stands as settled of a child's use is not what was closed, or too much."""
    found = Found()
    for account, cluster, child, told, joined, most in proof.reader.stream(
        "SELECT a.name, settled.cluster, c.name, settled.closed, settled.joined, place.charged"
        " FROM settled LEFT JOIN place"
        " ON place.cluster = settled.cluster AND place.account_id = settled.child_id"
        " JOIN account AS a ON a.account_id = settled.account_id"
        " JOIN account AS c ON c.account_id = settled.child_id ORDER BY 1, 2, 3"
    ):
        whose = f"account {account}"
        is_so = proof.settled.pop((account, cluster, child), 0)
        if told != is_so:
            what = (
                f"{told} of the use of {child} on {cluster} stands as closed, entries say {is_so}"
            )
            found.say(whose, "settled", what)
        if joined < -proof.refunded.get((cluster, child), 0) or joined + told > (most or 0):
            what = (
                f"{joined} + {told} of the use of {child} on {cluster} stand as counting no more,"
                f" {child} was charged {most or 0}"
            )
            found.say(whose, "joined", what)
    for account, cluster, child in proof.settled:
        what = f"use of {child} on {cluster} was closed and is not settled"
        found.say(f"account {account}", "not settled", what)
    yield from found.told()


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


def _limit_problems(reader: Reader) -> Iterator[str]:
    """Yield where the totals of users with limits are not what the entries add up to."""
    by_entries = user_limits.find_by_entries(reader)
    for row, entries in zip(user_limits.find_all(reader), by_entries, strict=True):
        where = f"account {row.account}, limit of {row.user}"
        for what, told, is_so in (
            ("charged", row.charged, entries.charged),
            ("closed", row.closed, entries.closed),
        ):
            if told != is_so:
                yield f"{where}: its row says {what} {told}, the entries say {is_so}"
    for (name,) in reader.query(
        "SELECT name FROM account WHERE closed_entry_count NOT BETWEEN 0 AND entry_count"
    ):
        yield f"account {name}: its present period begins after an entry that it does not have"


def head_at(reader: Reader, table: str, name: str, seq: int) -> str | None:
    """Return the digest of one row of an account's chain, None where there is none.

    Args:
        reader: the database.
        table: "entry" or "account_change".
        name: the account.
        seq: the row's number.
    """
    rows = reader.query(
        f"SELECT digest FROM {table} WHERE seq = :seq"
        " AND account_id = (SELECT account_id FROM account WHERE name = :name)",
        name=name,
        seq=seq,
    )
    return str(rows[0][0]) if rows else None
