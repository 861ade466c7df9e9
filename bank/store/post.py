"""The one way in: entries are appended here and nowhere else."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bank.errors import LedgerBroken
from bank.ledger.books import extended, granted_by
from bank.ledger.entries import AVAILABLE, TREASURY, USED, Draft, Entry
from bank.store import accounts, settled, user_limits
from bank.store.connect import Writer


def post(writer: Writer, drafts: Sequence[Draft], *, now: int) -> dict[str, list[Entry]]:
    """Append entries to the chains of their accounts and bring the totals up to date.

    Args:
        writer: the transaction; whatever else belongs to the entries is written in the same one.
        drafts: in the order in which each account's are to stand; those with a key get the legs
            that follow what the key has posted so far.
        now: UTC microseconds.

    Returns:
        The entries by account.

    Raises:
        LedgerBroken: an account has no row, or an entry is not one that the ledger knows.
    """
    by_account: dict[str, list[Draft]] = defaultdict(list)
    for draft in _numbered(writer, drafts):
        by_account[draft.account].append(draft)
    found = accounts.find_many(writer, sorted(by_account))
    posted: dict[str, list[Entry]] = {}
    rows: list[dict[str, object]] = []
    totals: list[dict[str, object]] = []
    for name in sorted(by_account):
        if name not in found:
            raise LedgerBroken(f"account {name!r} has no books to post to")
        account_id = found[name].account_id
        # A clock that was set back makes no entry older than the last change either.
        at = max(now, found[name].last_changed_at)
        books, entries = extended(found[name].books, by_account[name], now=at)
        posted[name] = entries
        totals.append({"account_id": account_id, **books._asdict()})
        rows += [{"account_id": account_id, **_row(entry)} for entry in entries]
    writer.execute(
        "INSERT INTO entry (account_id, seq, kind, source, target, amount, grant_id, cluster,"
        " user_name, actor, reason, reference, idempotency_key, leg, posted_at, digest) VALUES"
        " (:account_id, :seq, :kind, :source, :target, :amount, :grant_id, :cluster,"
        " :user, :actor, :reason, :reference, :idempotency_key, :leg, :posted_at, :digest)",
        rows,
    )
    writer.execute(
        "UPDATE account SET granted = :granted, used = :used, entry_count = :entry_count,"
        " head_digest = :head_digest, last_posted_at = :last_posted_at"
        " WHERE account_id = :account_id",
        totals,
    )
    _count_by_grant(writer, drafts)
    _count_by_place(writer, rows)
    user_limits.count(writer, rows)
    return posted


def _numbered(writer: Writer, drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Yield the drafts with their legs: two entries of one command never have the same."""
    legs: dict[str, int] = {}
    for draft in drafts:
        key = draft.idempotency_key
        if key is None:
            yield draft
            continue
        if key not in legs:
            sql = "SELECT count(*) FROM entry WHERE idempotency_key = :key"
            legs[key] = writer.query(sql, key=key)[0][0]
        yield draft._replace(leg=legs[key])
        legs[key] += 1


def _row(entry: Entry) -> dict[str, object]:
    row = entry.draft._asdict()
    del row["account"]
    return {**row, "seq": entry.seq, "posted_at": entry.posted_at, "digest": entry.digest}


def _count_by_grant(writer: Writer, drafts: Sequence[Draft]) -> None:
    """Add what entries bring to grants, and what they take from them, to the grants' totals."""
    writer.execute(
        "UPDATE allocation_grant SET granted = granted + :amount WHERE grant_id = :grant_id",
        [
            {"grant_id": draft.grant_id, "amount": amount}
            for draft in drafts
            if draft.grant_id is not None and (amount := granted_by(draft))
        ],
    )


def _count_by_place(writer: Writer, rows: Sequence[dict[str, object]]) -> None:
    """Add what was charged, refunded and closed to the account's totals on its cluster."""
    charged = [row for row in rows if row["target"] == USED]
    refunded = [row for row in rows if (row["source"], row["target"]) == (USED, AVAILABLE)]
    closed = [row for row in rows if (row["source"], row["target"]) == (USED, TREASURY)]
    here = "WHERE cluster = :cluster AND account_id = :account_id"
    writer.execute(f"UPDATE place SET charged = charged + :amount {here}", charged)
    writer.execute(f"UPDATE place SET charged = charged - :amount {here}", refunded)
    writer.execute(f"UPDATE place SET closed = closed + :amount {here}", closed)
    settled.cap_at_charged(writer, refunded)
