"""What the books keep that says why: who held an account, and what its users may use."""

from typing import NamedTuple

from bank.store.connect import Reader


class Change(NamedTuple):
    """The newest change of one field of an account; `at` is UTC microseconds."""

    actor: str
    at: int


def last_change(reader: Reader, account_id: int, field: str) -> Change | None:
    """Return who changed a field last, and when; None where nobody ever did."""
    rows = reader.query(
        "SELECT actor, changed_at FROM account_change"
        " WHERE account_id = :account_id AND field = :field ORDER BY seq DESC LIMIT 1",
        account_id=account_id,
        field=field,
    )
    return Change(*rows[0]) if rows else None


def find_user_limits(reader: Reader, account_id: int) -> list[tuple[str, int, int]]:
    """Return user, limit and what is used of it in this period, in billing-seconds."""
    rows = reader.query(
        "SELECT user_name, amount, charged - closed FROM user_limit"
        " WHERE account_id = :account_id ORDER BY user_name",
        account_id=account_id,
    )
    return [(user, amount, used) for user, amount, used in rows]


def find_user_holds(reader: Reader, account: str) -> list[tuple[str, str, str]]:
    """Return cluster, user and limit of each stop that the bank has put on a user."""
    rows = reader.query(
        "SELECT cluster, user_name, limit_name FROM slurm_limit"
        " WHERE account = :account AND user_name <> '' AND value = 0",
        account=account,
    )
    return [(cluster, user, limit) for cluster, user, limit in rows]
