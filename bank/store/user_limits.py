"""Limits of users within accounts: what each may use in a period, and what of it is used."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bank.ledger.entries import AVAILABLE, USED
from bank.store import accounts
from bank.store.connect import Reader, Writer

# The field of an account's audited changes is this and the user's name.
FIELD = "limit of "


class UserLimit(NamedTuple):
    """What a user may use of an account. Amounts are billing-seconds.

    Attributes:
        account, user: names.
        amount: the most in one period of the account; 0 is nothing.
        charged: all that was ever charged to the account itself for the user, less refunds.
        closed: what of that belongs to periods that are over.
    """

    account: str
    user: str
    amount: int
    charged: int
    closed: int

    @property
    def used(self) -> int:
        """What the user used in the present period; below 0 where older use was refunded in it."""
        return self.charged - self.closed

    @property
    def left(self) -> int:
        """What the user may still use; running jobs may still use of it."""
        return self.amount - self.used


_LIMITS = (
    "SELECT name, user_name, amount, charged, closed FROM user_limit"
    " JOIN account ON account.account_id = user_limit.account_id"
)


def find_of_account(reader: Reader, account: str) -> list[UserLimit]:
    """Return the limits of the users of one account, in the order of their names."""
    sql = f"{_LIMITS} WHERE name = :account ORDER BY user_name"
    return [UserLimit(*row) for row in reader.query(sql, account=account)]


def find_of_accounts(reader: Reader, names: Sequence[str]) -> Iterator[UserLimit]:
    """Yield the limits of the users of some accounts."""
    for row in reader.query_among(f"{_LIMITS} WHERE name IN ({{values}})", names):
        yield UserLimit(*row)


def find_all(reader: Reader) -> list[UserLimit]:
    """Return the limits of all users, in the order of accounts and users."""
    return [UserLimit(*row) for row in reader.query(f"{_LIMITS} ORDER BY name, user_name")]


def _charged(which: str = "1") -> str:
    """Return what entries add up to, those that are meant: what was charged less refunds."""
    charged = f"WHEN {which} AND target = 'used' THEN amount"
    refunded = f"WHEN {which} AND source = 'used' AND target = 'available' THEN -amount"
    return f"coalesce(sum(CASE {charged} {refunded} ELSE 0 END), 0)"


# Entries of periods that are over, where entry and account are read.
_OVER = "seq <= closed_entry_count"


def change(
    writer: Writer,
    name: str,
    user: str,
    amount: int | None,
    *,
    actor: str,
    reason: str,
    now: int,
) -> None:
    """Set the limit of a user of an account, and write down who did and why.

    Args:
        writer: the transaction.
        name: the account, which has a row.
        user: the user.
        amount: billing-seconds; None takes the limit away.
        actor: login of whoever caused it.
        reason: free text.
        now: UTC microseconds.
    """
    account = accounts.find(writer, name)
    assert account is not None
    known = {one.user: str(one.amount) for one in find_of_account(writer, name)}
    before, after = known.get(user), None if amount is None else str(amount)
    if before == after:
        return
    field = f"{FIELD}{user}"
    accounts.note(writer, account, field, before, after, actor=actor, reason=reason, now=now)
    row = {"id": account.account_id, "user": user, "amount": amount}
    where = "WHERE account_id = :id AND user_name = :user"
    if amount is None:
        writer.execute(f"DELETE FROM user_limit {where}", [row])
        writer.execute(f"DELETE FROM user_held_by_others {where}", [row])
    elif before is not None:
        writer.execute(f"UPDATE user_limit SET amount = :amount {where}", [row])
    else:
        _begin(writer, account.account_id, user, amount)


def _begin(writer: Writer, account_id: int, user: str, amount: int) -> None:
    """Give a user a first limit: what was used since the account's period began counts for it."""
    writer.insert(
        "INSERT INTO user_limit (account_id, user_name, amount, charged, closed)"
        f" SELECT :id, :user, :amount, {_charged()}, {_charged(_OVER)}"
        " FROM entry JOIN account ON account.account_id = entry.account_id"
        " WHERE entry.account_id = :id AND user_name = :user",
        id=account_id,
        user=user,
        amount=amount,
    )


def end_all(writer: Writer, name: str, *, actor: str, reason: str, now: int) -> None:
    """Take the limits of all users of an account away."""
    for one in find_of_account(writer, name):
        change(writer, name, one.user, None, actor=actor, reason=reason, now=now)


def count(writer: Writer, rows: Sequence[Mapping[str, object]]) -> None:
    """Add what entries charged and refunded to what users with limits were charged.

    Args:
        writer: the transaction that appends them.
        rows: as they are written.
    """
    if not writer.query("SELECT 1 FROM user_limit LIMIT 1"):
        return
    of_users = [row for row in rows if row["user"] is not None]
    charged = [row for row in of_users if row["target"] == USED]
    refunded = [row for row in of_users if (row["source"], row["target"]) == (USED, AVAILABLE)]
    one = "WHERE account_id = :account_id AND user_name = :user"
    writer.execute(f"UPDATE user_limit SET charged = charged + :amount {one}", charged)
    writer.execute(f"UPDATE user_limit SET charged = charged - :amount {one}", refunded)


def begin_period(writer: Writer, account_id: int) -> None:
    """Let nothing that was charged to an account so far count for its users any more."""
    row = {"account_id": account_id}
    here = "WHERE account_id = :account_id"
    writer.execute(f"UPDATE account SET closed_entry_count = entry_count {here}", [row])
    writer.execute(f"UPDATE user_limit SET closed = charged {here}", [row])


def find_held_by_others(reader: Reader, cluster: str | None = None) -> set[tuple[str, str]]:
    """Return (account, user) of those last seen stopped by a limit the bank did not set."""
    rows = reader.query(
        "SELECT name, user_name FROM user_held_by_others JOIN account"
        " ON account.account_id = user_held_by_others.account_id"
        " WHERE :cluster IS NULL OR cluster = :cluster",
        cluster=cluster,
    )
    return {(account, user) for account, user in rows}


def write_held_by_others(
    writer: Writer, cluster: str, users: Iterable[tuple[str, str]], *, is_held: bool
) -> None:
    """Write down that users with limits are, or are no longer, held by others.

    Args:
        writer: the transaction.
        cluster: where.
        users: as (account, user); one who has no limit any more is passed over.
        is_held: whether they are.
    """
    rows = [{"cluster": cluster, "account": account, "user": user} for account, user in users]
    account_id = "(SELECT account_id FROM account WHERE name = :account)"
    writer.execute(
        "DELETE FROM user_held_by_others WHERE cluster = :cluster AND user_name = :user"
        f" AND account_id = {account_id}",
        rows,
    )
    if is_held:
        writer.execute(
            "INSERT INTO user_held_by_others (cluster, account_id, user_name)"
            " SELECT :cluster, account_id, user_name FROM user_limit"
            f" WHERE account_id = {account_id} AND user_name = :user",
            rows,
        )


def stated(reader: Reader) -> dict[str, dict[str, str]]:
    """Return by account the fields under which its changes record limits, and what they say."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in find_all(reader):
        found[one.account][f"{FIELD}{one.user}"] = str(one.amount)
    return found


def find_by_entries(reader: Reader) -> list[UserLimit]:
    """Return the limits of all users, with what the entries add up to in place of the totals."""
    # CROSS JOIN: the chains of accounts with such limits are read once, whoever has how many.
    sums = {
        (account, user): (charged, closed)
        for account, user, charged, closed in reader.query(
            f"SELECT name, user_name, {_charged()}, {_charged(_OVER)}"
            " FROM (SELECT DISTINCT account_id FROM user_limit) AS limited"
            " CROSS JOIN account ON account.account_id = limited.account_id"
            " CROSS JOIN entry ON entry.account_id = limited.account_id"
            " WHERE user_name IS NOT NULL GROUP BY name, user_name"
        )
    }
    found = []
    for one in find_all(reader):
        charged, closed = sums.get((one.account, one.user), (0, 0))
        found.append(one._replace(charged=charged, closed=closed))
    return found
