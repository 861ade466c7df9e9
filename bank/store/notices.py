"""What people are to be told about accounts: once for each time that it comes about."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bank.store.connect import Database, Reader, Writer

# The events that the accounts table shows as flags, and their columns.
FLAGS = {
    "upper_limit": "upper_limit_informed",
    "lower_limit": "lower_limit_informed",
    "max_limit": "max_limit_informed",
}


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


def find_open(reader: Reader) -> set[tuple[str, str]]:
    """Return (account, event) of everything that came about and still is so."""
    rows = reader.query("SELECT account, event FROM notice WHERE cleared_at IS NULL")
    return {(account, event) for account, event in rows}


def write_raised(
    writer: Writer, raised: Mapping[tuple[str, str], str], *, now: int, is_told: bool = False
) -> None:
    """Write down what has come about.

    Args:
        writer: the transaction.
        raised: what is to be told, as JSON, by (account, event); none of them open.
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
        " WHERE account = :account AND event = :event), 0), :now, :content, :sent_at",
        rows,
    )


def write_cleared(writer: Writer, cleared: Iterable[tuple[str, str]], *, now: int) -> None:
    """Write down what is so no more; the next time it comes about is told again."""
    writer.execute(
        "UPDATE notice SET cleared_at = :now"
        " WHERE account = :account AND event = :event AND cleared_at IS NULL",
        [{"account": account, "event": event, "now": now} for account, event in cleared],
    )


def show_flags(writer: Writer, database: Database, names: Iterable[str]) -> None:
    """Bring the flags of some accounts in the accounts table up to date."""
    flags = ", ".join(
        f"{column} = EXISTS (SELECT 1 FROM notice WHERE notice.account = :account"
        f" AND event = '{event}' AND cleared_at IS NULL)"
        for event, column in FLAGS.items()
    )
    writer.execute(
        f'UPDATE "{database.accounts_table}" SET {flags} WHERE account = :account',
        [{"account": name} for name in names],
    )


def find_unsent(reader: Reader) -> list[Notice]:
    """Return what is still to be told, what failed least often first, then the oldest.

    What was over before it could be told is not told any more.
    """
    rows = reader.query(
        "SELECT account, event, crossing, raised_at, content, tries FROM notice"
        " WHERE sent_at IS NULL AND cleared_at IS NULL ORDER BY tries, raised_at, account, event"
    )
    return [Notice(*row) for row in rows]


def write_try(writer: Writer, notice: Notice) -> None:
    """Write down that telling is begun."""
    writer.execute(f"UPDATE notice SET tries = tries + 1 {_THIS}", [notice._asdict()])


def write_sent(writer: Writer, notice: Notice, *, now: int) -> None:
    """Write down that people were told."""
    writer.execute(f"UPDATE notice SET sent_at = :now {_THIS}", [{**notice._asdict(), "now": now}])


_THIS = "WHERE account = :account AND event = :event AND crossing = :crossing"
