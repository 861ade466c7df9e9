"""Limits that the bank has set in Slurm, and resets that it has begun."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bank.policy.enforcement import NATIVE_LIMIT, Association
from bank.store.connect import Reader, Writer


class Limit(NamedTuple):
    """A limit that the bank has set on an association, or is about to set or to lift.

    Attributes:
        limit: "GrpTRESMins=cpu" and so on.
        original: what was there before, None for no limit.
        intent: "hold" or "release".
        confirmed_at: UTC microseconds when the controller showed the value, None before.
        value: what it is set to; 0 is a hold.
        replaced: the bank's own values before it, which Slurm may show until then.
        user, partition: as of an `Association`.
    """

    cluster: str
    account: str
    limit: str
    original: int | None
    intent: str
    confirmed_at: int | None
    value: int = 0
    replaced: frozenset[int] = frozenset()
    user: str = ""
    partition: str = ""

    @property
    def is_hold(self) -> bool:
        """Whether it stops the association."""
        return self.limit != NATIVE_LIMIT

    @property
    def association(self) -> Association:
        """What it stands on."""
        return Association(self.account, self.user, self.partition)


_COLUMNS = (
    "cluster, account, limit_name, original, intent, confirmed_at, value, replaced, user_name,"
    " partition_name"
)


def _limit(row: tuple[Any, ...]) -> Limit:
    limit = Limit(*row)
    values = row[Limit._fields.index("replaced")].split(",")
    return limit._replace(replaced=frozenset(int(value) for value in values if value))


def find_limits(reader: Reader, cluster: str | None = None) -> list[Limit]:
    """Return all limits of the bank, or those of one cluster."""
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM slurm_limit WHERE :cluster IS NULL OR cluster = :cluster",
        cluster=cluster,
    )
    return [_limit(row) for row in rows]


def find_account_limits(reader: Reader, account: str) -> list[Limit]:
    """Return the limits of the bank on one account and on its users."""
    rows = reader.query(
        f"SELECT {_COLUMNS} FROM slurm_limit WHERE account = :account", account=account
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
        "INSERT INTO slurm_limit (cluster, account, user_name, partition_name, limit_name,"
        " original, intent, asked_at, confirmed_at, value, replaced) VALUES (:cluster, :account,"
        " :user, :partition, :limit, :original, :intent, :now, :confirmed_at, :value, :replaced)",
        rows,
    )


def confirm(writer: Writer, limits: Iterable[Limit], *, now: int) -> None:
    """Write down that the controller shows these limits."""
    writer.execute(
        f"UPDATE slurm_limit SET confirmed_at = :now, intent = 'hold', replaced = '' {_ONE}",
        [{**_key(limit), "now": now} for limit in limits],
    )


def forget(writer: Writer, limits: Iterable[Limit]) -> None:
    """Take limits off the record: they are no longer in Slurm, or no longer the bank's."""
    writer.execute(f"DELETE FROM slurm_limit {_ONE}", [_key(limit) for limit in limits])


_ONE = (
    "WHERE cluster = :cluster AND account = :account AND user_name = :user"
    " AND partition_name = :partition AND limit_name = :limit"
)


def _key(limit: Limit) -> dict[str, object]:
    where = limit.association._asdict()
    return {"cluster": limit.cluster, "limit": limit.limit, **where}


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
