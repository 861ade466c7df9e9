"""What of the use of children does not count for the accounts above them any more."""

from collections.abc import Iterable, Mapping, Sequence

from bank.store.connect import Reader, Writer

_PAIR = (
    "account_id = (SELECT account_id FROM account WHERE name = :account)"
    " AND child_id = (SELECT account_id FROM account WHERE name = :child)"
)
_OF_CHILD = {
    total: f"(SELECT place.{total} FROM place"
    " WHERE place.cluster = settled.cluster AND place.account_id = settled.child_id)"
    for total in ("charged", "closed")
}


def _rows(cluster: str, pairs: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
    return [{"cluster": cluster, "account": above, "child": child} for above, child in pairs]


def _ensure_pairs(
    writer: Writer, rows: Sequence[Mapping[str, object]], *, left: int | None
) -> None:
    writer.execute(
        "INSERT INTO settled (account_id, cluster, child_id, left_closed)"
        " SELECT a.account_id, :cluster, c.account_id, :left FROM account AS a, account AS c"
        " WHERE a.name = :account AND c.name = :child AND NOT EXISTS"
        f" (SELECT 1 FROM settled WHERE cluster = :cluster AND {_PAIR})",
        [{**row, "left": left} for row in rows],
    )


def settle(writer: Writer, cluster: str, amounts: Iterable[tuple[str, str, int]]) -> None:
    """Take use of children that an account's period has closed off what counts for it.

    Args:
        writer: the transaction that closes it.
        cluster: where the child used it.
        amounts: (account, child, billing-seconds).
    """
    rows = [
        {"cluster": cluster, "account": account, "child": child, "amount": amount}
        for account, child, amount in amounts
    ]
    _ensure_pairs(writer, rows, left=None)
    writer.execute(
        f"UPDATE settled SET closed = closed + :amount WHERE cluster = :cluster AND {_PAIR}", rows
    )


def leave(writer: Writer, cluster: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Write down that children are no longer below accounts: (account, child)."""
    rows = _rows(cluster, pairs)
    _ensure_pairs(writer, rows, left=None)
    writer.execute(
        f"UPDATE settled SET left_closed = {_OF_CHILD['closed']}"
        f" WHERE cluster = :cluster AND {_PAIR}",
        rows,
    )


def join(writer: Writer, cluster: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Write down that children have come below accounts: (account, child).

    What a child closed in periods of its own while it was elsewhere is not the account's to pay,
    as far as the account has not closed it itself before. What the child closed while it was below
    the account before stays the account's.
    """
    rows = _rows(cluster, pairs)
    # One that was never below it has closed all it ever closed elsewhere.
    _ensure_pairs(writer, [row for row in rows if _has_closed(writer, row)], left=0)
    here = f"cluster = :cluster AND {_PAIR}"
    for change in (
        "left_closed = joined + closed WHERE left_closed < joined + closed",
        "joined = joined + {closed} - left_closed WHERE left_closed < {closed}".format(**_OF_CHILD),
        "left_closed = NULL WHERE left_closed IS NOT NULL",
    ):
        writer.execute(f"UPDATE settled SET {change} AND {here}", rows)


def forgive(writer: Writer, cluster: str, pairs: Iterable[tuple[str, str]], *, what: str) -> None:
    """Write down that what children used before does not count for an account: (account, child).

    Args:
        writer: the transaction in which the account begins to count.
        cluster: where.
        pairs: the account and those below it.
        what: "charged" for all that the child ever used, "closed" for what it used in periods of
            its own that are over.
    """
    rows = _rows(cluster, pairs)
    _ensure_pairs(writer, rows, left=None)
    writer.execute(
        f"UPDATE settled SET joined = {_OF_CHILD[what]} - closed"
        f" WHERE joined + closed < {_OF_CHILD[what]} AND cluster = :cluster AND {_PAIR}",
        rows,
    )


def forgive_away(writer: Writer, account: str) -> None:
    """Write down that an account's new period owes nothing for children that are away.

    What they used below it, and closed in periods of their own that are over, is of an old one.
    """
    writer.execute(
        f"UPDATE settled SET joined = {_OF_CHILD['closed']} - closed"
        f" WHERE left_closed IS NOT NULL AND joined + closed < {_OF_CHILD['closed']}"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        [{"account": account}],
    )


def cap_at_charged(writer: Writer, rows: Sequence[Mapping[str, object]]) -> None:
    """Let no more of refunded use be what does not count for accounts above than is still charged.

    Args:
        writer: the transaction that appends the entries.
        rows: the refunds as they are written.
    """
    charged = _OF_CHILD["charged"]
    writer.execute(
        f"UPDATE settled SET joined = {charged} - closed"
        f" WHERE cluster = :cluster AND child_id = :account_id AND joined + closed > {charged}",
        rows,
    )


def _has_closed(reader: Reader, pair: Mapping[str, object]) -> bool:
    """Tell whether a child has ever closed a period: else it brings nothing to be forgiven."""
    sql = (
        "SELECT closed FROM place JOIN account ON account.account_id = place.account_id"
        " WHERE cluster = :cluster AND name = :child AND closed > 0"
    )
    return bool(reader.query(sql, **pair))


def find_settled(reader: Reader) -> dict[tuple[str, str, str], int]:
    """Return what no longer counts, by (account, cluster, child)."""
    rows = reader.query(
        "SELECT a.name, cluster, c.name, joined + closed FROM settled"
        " JOIN account AS a ON a.account_id = settled.account_id"
        " JOIN account AS c ON c.account_id = settled.child_id"
    )
    return {(account, cluster, child): amount for account, cluster, child, amount in rows}
