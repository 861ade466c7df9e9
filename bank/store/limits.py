"""Limits that the bank has set in Slurm, and resets that it has begun."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bank.policy.enforcement import NATIVE_LIMIT
from bank.store.connect import Reader, Writer


class Limit(NamedTuple):
    """A limit that the bank has set on an account, or is about to set or to lift.

    Attributes:
        limit: "GrpTRESMins=cpu" and so on.
        original: what was there before, None for no limit.
        intent: "hold" or "release".
        confirmed_at: UTC microseconds when the controller showed the value, None before.
        value: what it is set to; 0 is a hold.
        replaced: the bank's own values before it, which Slurm may show until then.
    """

    cluster: str
    account: str
    limit: str
    original: int | None
    intent: str
    confirmed_at: int | None
    value: int = 0
    replaced: frozenset[int] = frozenset()

    @property
    def is_hold(self) -> bool:
        """Whether it stops the account."""
        return self.limit != NATIVE_LIMIT


_COLUMNS = "cluster, account, limit_name, original, intent, confirmed_at, value, replaced"


def _limit(row: tuple[Any, ...]) -> Limit:
    *fields, replaced = row
    return Limit(*fields)._replace(
        replaced=frozenset(int(value) for value in replaced.split(",") if value)
    )


def find_limits(reader: Reader, cluster: str | None = None) -> list[Limit]:
    """Return all limits of the bank, or those of one cluster."""
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM slurm_limit"
        " WHERE user_name = '' AND (:cluster IS NULL OR cluster = :cluster)",
        cluster=cluster,
    )
    return [_limit(row) for row in rows]


def find_account_limits(reader: Reader, account: str) -> list[Limit]:
    """Return the limits of the bank on one account."""
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM slurm_limit WHERE user_name = '' AND account = :account",
        account=account,
    )
    return [_limit(row) for row in rows]


def write_intent(writer: Writer, limits: Sequence[Limit], *, now: int) -> None:
    """Write down what is about to be done in Slurm, before it is done."""
    rows = [
        {**limit._asdict(), "replaced": ",".join(map(str, sorted(limit.replaced))), "now": now}
        for limit in limits
    ]
    forget(writer, limits)
    writer.execute(
        "INSERT INTO slurm_limit (cluster, account, limit_name, original, intent, asked_at,"
        " confirmed_at, value, replaced) VALUES (:cluster, :account, :limit, :original, :intent,"
        " :now, :confirmed_at, :value, :replaced)",
        rows,
    )


def confirm(writer: Writer, limits: Iterable[Limit], *, now: int) -> None:
    """Write down that the controller shows these limits."""
    writer.execute(
        "UPDATE slurm_limit SET confirmed_at = :now, intent = 'hold', replaced = ''"
        " WHERE user_name = '' AND cluster = :cluster"
        " AND account = :account AND limit_name = :limit",
        [{**_key(limit), "now": now} for limit in limits],
    )


def forget(writer: Writer, limits: Iterable[Limit]) -> None:
    """Take limits off the record: they are no longer in Slurm, or no longer the bank's."""
    writer.execute(
        "DELETE FROM slurm_limit WHERE user_name = '' AND cluster = :cluster"
        " AND account = :account AND limit_name = :limit",
        [_key(limit) for limit in limits],
    )


def _key(limit: Limit) -> dict[str, object]:
    return {"cluster": limit.cluster, "account": limit.account, "limit": limit.limit}


def find_resets(reader: Reader, cluster: str) -> list[str]:
    """Return the accounts whose RawUsage is still to be set to 0 on a cluster."""
    rows = reader.query(
        "SELECT account FROM usage_reset WHERE cluster = :cluster ORDER BY account",
        cluster=cluster,
    )
    return [row[0] for row in rows]


def write_reset(writer: Writer, cluster: str, account: str, *, now: int) -> None:
    """Write down that an account's RawUsage is to be set to 0."""
    forget_reset(writer, cluster, account)
    writer.execute(
        "INSERT INTO usage_reset (cluster, account, asked_at) VALUES (:cluster, :account, :now)",
        [{"cluster": cluster, "account": account, "now": now}],
    )


def forget_reset(writer: Writer, cluster: str, account: str) -> None:
    """Take a reset off the record: it was seen, or its account is gone."""
    writer.execute(
        "DELETE FROM usage_reset WHERE cluster = :cluster AND account = :account",
        [{"cluster": cluster, "account": account}],
    )
