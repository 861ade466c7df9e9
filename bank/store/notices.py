"""What people are to be told about accounts: once for each time that it comes about."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bank.policy.thresholds import FLAGS
from bank.store.connect import Database, Reader, Writer


class Notice(NamedTuple):
    """Something that came about.

    Attributes:
        account: whom it concerns.
        event: "lower_limit", "upper_limit", "max_limit", "period_ending" or "period_ended".
        crossing: how often it has come about for the account, from 1.
        raised_at: UTC microseconds.
        content: what is to be told, as JSON.
        tries: how often telling was begun.
    """

    account: str
    event: str
    crossing: int
    raised_at: int
    content: str
    tries: int


def find_open(reader: Reader) -> dict[tuple[str, str], str]:
    """Return what is told, as JSON, of everything that came about and still is so.

    Returns:
        By (account, event).
    """
    rows = reader.query("SELECT account, event, content FROM notice WHERE cleared_at IS NULL")
    return {(account, event): content for account, event, content in rows}


def reopen(writer: Writer, raised: Mapping[tuple[str, str], str]) -> None:
    """Take back that something is over, where it is the same that came about last.

    Args:
        writer: the transaction.
        raised: what is to be told, as JSON, by (account, event); none of them open.
    """
    writer.execute(
        "UPDATE notice SET cleared_at = NULL"
        " WHERE account = :account AND event = :event AND content = :content AND crossing ="
        " (SELECT max(crossing) FROM notice WHERE account = :account AND event = :event)",
        [
            {"account": account, "event": event, "content": content}
            for (account, event), content in raised.items()
        ],
    )


def write_raised(
    writer: Writer, raised: Mapping[tuple[str, str], str], *, now: int, is_told: bool = False
) -> None:
    """Write down what has come about, where it is not open.

    Args:
        writer: the transaction.
        raised: what is to be told, as JSON, by (account, event).
        now: UTC microseconds.
        is_told: whether people know already.
    """
    rows = [
        {
            "account": account,
            "event": event,
            "content": content,
            "now": now,
            "sent_at": now if is_told else None,
        }
        for (account, event), content in raised.items()
    ]
    writer.execute(
        "INSERT INTO notice (account, event, crossing, raised_at, content, sent_at)"
        " SELECT :account, :event, 1 + coalesce((SELECT max(crossing) FROM notice"
        " WHERE account = :account AND event = :event), 0), :now, :content, :sent_at"
        " WHERE NOT EXISTS (SELECT 1 FROM notice"
        " WHERE account = :account AND event = :event AND cleared_at IS NULL)",
        rows,
    )


def write_cleared(writer: Writer, cleared: Iterable[tuple[str, str]], *, now: int) -> None:
    """Write down what is so no more; the next time it comes about is told again."""
    writer.execute(
        "UPDATE notice SET cleared_at = :now"
        " WHERE account = :account AND event = :event AND cleared_at IS NULL",
        [{"account": account, "event": event, "now": now} for account, event in cleared],
    )


def clear_all(writer: Writer, names: Iterable[str], *, now: int) -> None:
    """Write down that everything is over that came about for accounts."""
    writer.execute(
        "UPDATE notice SET cleared_at = :now WHERE account = :account AND cleared_at IS NULL",
        [{"account": name, "now": now} for name in names],
    )


def show_flags(writer: Writer, database: Database, names: Iterable[str]) -> None:
    """Bring the flags of some accounts in the accounts table up to date."""
    writer.execute(
        f"{flags_statement(database.accounts_table)} WHERE account = :account",
        [{"account": name} for name in names],
    )


def flags_statement(accounts_table: str) -> str:
    """Return the SQL that sets the flags of all rows of the accounts table."""
    flags = ", ".join(
        f'{column} = EXISTS (SELECT 1 FROM notice WHERE notice.account = "{accounts_table}".account'
        f" AND event = '{event}' AND cleared_at IS NULL)"
        for event, column in FLAGS.items()
    )
    return f'UPDATE "{accounts_table}" SET {flags}'


def find_unsent(reader: Reader) -> list[Notice]:
    """Return what is still to be told, what failed least often first, then the oldest.

    What was over before it could be told is not told any more.
    """
    rows = reader.query(
        "SELECT account, event, crossing, raised_at, content, tries FROM notice"
        f" WHERE {_IS_UNSENT} ORDER BY tries, raised_at, account,"
        # The lower threshold before the upper one, and that all is used last.
        " event = 'max_limit', event"
    )
    return [Notice(*row) for row in rows]


def write_try(writer: Writer, notice: Notice) -> bool:
    """Write down that telling is begun.

    Returns:
        Whether it is still to be told.
    """
    if not writer.query(f"SELECT 1 FROM notice {_THIS} AND {_IS_UNSENT}", **_key(notice)):
        return False
    writer.execute(f"UPDATE notice SET tries = tries + 1 {_THIS}", [_key(notice)])
    return True


def write_sent(writer: Writer, notice: Notice, *, now: int) -> None:
    """Write down that people were told."""
    writer.execute(f"UPDATE notice SET sent_at = :now {_THIS}", [{**_key(notice), "now": now}])


def _key(notice: Notice) -> dict[str, object]:
    return {"account": notice.account, "event": notice.event, "crossing": notice.crossing}


_IS_UNSENT = "sent_at IS NULL AND cleared_at IS NULL"
_THIS = "WHERE account = :account AND event = :event AND crossing = :crossing"
