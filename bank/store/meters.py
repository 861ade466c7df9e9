"""Meters and their readings, and where each account stands on each cluster."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bank.ledger.entries import chained_digest
from bank.ledger.references import of_reading
from bank.store.connect import Reader, Writer


class Meter(NamedTuple):
    """A meter and its newest reading.

    Attributes:
        association: Slurm's association id.
        is_gone: 1 where the newest reading said that Slurm has it no more, else 0.
        reading_count: number of the newest reading.
        raw: billing-seconds it showed.
        asked_at, answered_at: when that was, UTC microseconds.
        head_digest: digest of the newest reading.
    """

    meter_id: int
    association: int
    account: str
    user: str
    partition: str
    is_gone: int
    reading_count: int
    raw: int
    asked_at: int
    answered_at: int
    head_digest: str


class Reading(NamedTuple):
    """A new reading of one meter, to be written.

    Attributes:
        association, account, user, partition: which meter.
        follows: number of the reading that it follows, 0 for the first.
        previous_digest: digest of that reading.
        raw: billing-seconds it shows.
        cause: one of those in `bank.policy.metering`.
        booked: billing-seconds that the ledger gets because of it.
        asked_at, answered_at: UTC microseconds.
    """

    association: int
    account: str
    user: str
    partition: str
    follows: int
    previous_digest: str
    raw: int
    cause: str
    booked: int
    asked_at: int
    answered_at: int


class ClusterState(NamedTuple):
    """What is on record of a cluster: see the table `cluster`."""

    source: str
    controller_started: str
    control: int
    asked_at: int
    answered_at: int


class Place(NamedTuple):
    """An account as one cluster has it: see the table `place`."""

    account: str
    parent: str | None
    charged: int
    closed: int
    running: int
    orphaned: int


class Overlap(Exception):
    """Somebody else booked a reading since ours was asked for; ours must be taken again."""


def find_meters(reader: Reader, cluster: str) -> dict[int, Meter]:
    """Return a cluster's meters by association."""
    rows = reader.query(
        "SELECT meter_id, association, name, user_name, partition_name, is_gone, reading_count,"
        " raw, asked_at, answered_at, meter.head_digest"
        " FROM meter JOIN account ON account.account_id = meter.account_id"
        " WHERE cluster = :cluster",
        cluster=cluster,
    )
    return {row[1]: Meter(*row) for row in rows}


def find_cluster(reader: Reader, cluster: str) -> ClusterState | None:
    """Return what is on record of a cluster, None before its first reading."""
    rows = reader.query(
        "SELECT source, controller_started, control, asked_at, answered_at FROM cluster"
        " WHERE name = :cluster",
        cluster=cluster,
    )
    return ClusterState(*rows[0]) if rows else None


def find_sources(reader: Reader) -> dict[str, str]:
    """Return what charges each cluster that is on record: "meters" or "jobs"."""
    return dict(reader.query("SELECT name, source FROM cluster"))


def find_cluster_names(reader: Reader) -> set[str]:
    """Return the clusters that were ever read."""
    return {name for (name,) in reader.query("SELECT name FROM cluster")}


def has_running(reader: Reader, cluster: str) -> bool:
    """Tell whether anything on a cluster is set aside, or on record as held by others."""
    sql = (
        "SELECT 1 FROM place WHERE cluster = :cluster AND (running OR held_by_others)"
        " UNION ALL SELECT 1 FROM user_held_by_others WHERE cluster = :cluster LIMIT 1"
    )
    return bool(reader.query(sql, cluster=cluster))


def forget_running(writer: Writer, cluster: str) -> None:
    """Set nothing aside on a cluster that nobody looks at any more; liens there have ended."""
    writer.execute(
        "UPDATE place SET running = 0, held_by_others = 0 WHERE cluster = :cluster",
        [{"cluster": cluster}],
    )
    writer.execute(
        "DELETE FROM user_held_by_others WHERE cluster = :cluster", [{"cluster": cluster}]
    )


def find_clusters_of(reader: Reader, account: str) -> list[str]:
    """Return the clusters that have an account, or ever had it."""
    rows = reader.query(
        "SELECT cluster FROM place JOIN account ON account.account_id = place.account_id"
        " WHERE name = :account ORDER BY cluster",
        account=account,
    )
    return [cluster for (cluster,) in rows]


def find_places(reader: Reader, cluster: str) -> dict[str, Place]:
    """Return where each account stands on a cluster, by name."""
    rows = reader.query(
        "SELECT account.name, parent.name, charged, closed, running, orphaned FROM place"
        " JOIN account ON account.account_id = place.account_id"
        " LEFT JOIN account AS parent ON parent.account_id = place.parent_id"
        " WHERE cluster = :cluster",
        cluster=cluster,
    )
    return {row[0]: Place(*row) for row in rows}


def write_readings(writer: Writer, cluster: str, readings: Iterable[Reading]) -> dict[int, str]:
    """Append readings; the account of each must have a row.

    Returns:
        By association, what an entry that rests on its reading refers to.

    Raises:
        Overlap: the reading that one of them follows is not the newest any more.
    """
    references = {}
    for reading in readings:
        found = writer.query(
            "SELECT meter_id, reading_count FROM meter"
            " WHERE cluster = :cluster AND association = :association",
            cluster=cluster,
            association=reading.association,
        )
        if (found[0][1] if found else 0) != reading.follows:
            raise Overlap
        seq = reading.follows + 1
        digest = chained_digest(
            reading.previous_digest,
            cluster,
            reading.association,
            reading.user,
            reading.partition,
            seq,
            reading.raw,
            reading.cause,
            reading.booked,
            reading.asked_at,
            reading.answered_at,
        )
        row = {**reading._asdict(), "cluster": cluster, "seq": seq, "digest": digest}
        row["is_gone"] = reading.cause == "gone"
        row["meter_id"] = meter_id = found[0][0] if found else _new_meter(writer, row)
        if found:
            _renew_meter(writer, row)
        writer.execute(
            "INSERT INTO reading (meter_id, seq, user_name, partition_name, raw, cause, booked,"
            " asked_at, answered_at, digest) VALUES (:meter_id, :seq, :user, :partition, :raw,"
            " :cause, :booked, :asked_at, :answered_at, :digest)",
            [row],
        )
        references[reading.association] = of_reading(meter_id, seq)
    return references


def _new_meter(writer: Writer, row: dict[str, object]) -> int:
    return writer.insert(
        "INSERT INTO meter (cluster, association, account_id, user_name, partition_name, is_gone,"
        " reading_count, raw, asked_at, answered_at, head_digest)"
        " SELECT :cluster, :association, account_id, :user, :partition, :is_gone,"
        " :seq, :raw, :asked_at, :answered_at, :digest FROM account WHERE name = :account",
        **row,
    )


def _renew_meter(writer: Writer, row: dict[str, object]) -> None:
    writer.execute(
        "UPDATE meter SET is_gone = :is_gone, reading_count = :seq, raw = :raw,"
        " asked_at = :asked_at, answered_at = :answered_at, head_digest = :digest,"
        # Slurm can give a user another name.
        " user_name = :user, partition_name = :partition,"
        " account_id = (SELECT account_id FROM account WHERE name = :account)"
        " WHERE meter_id = :meter_id",
        [row],
    )


def write_cluster(writer: Writer, cluster: str, state: ClusterState) -> None:
    """Write down that all meters of a cluster were read, and under which controller process."""
    row = {"name": cluster, **state._asdict()}
    # Where jobs are the first to charge a cluster, nothing has counted any of them before.
    writer.execute(
        "INSERT INTO usage_source (cluster, seq, source, since, actor, changed_at)"
        " SELECT :name, 1, :source, CASE :source WHEN 'jobs' THEN 0 ELSE :asked_at / 1000000 END,"
        " '', :asked_at WHERE NOT EXISTS (SELECT 1 FROM usage_source WHERE cluster = :name)",
        [row],
    )
    writer.execute(
        "INSERT INTO cluster (name, source, source_since, controller_started, control, asked_at,"
        " answered_at, reconciled_until)"
        " SELECT :name, :source, :asked_at, '', 0, 0, 0, :asked_at / 1000000"
        " WHERE NOT EXISTS (SELECT 1 FROM cluster WHERE name = :name)",
        [row],
    )
    writer.execute(
        "UPDATE cluster SET controller_started = :controller_started, control = :control,"
        " asked_at = :asked_at, answered_at = :answered_at WHERE name = :name",
        [row],
    )


def write_places(
    writer: Writer, cluster: str, places: Sequence[Place], *, is_by_jobs: bool = False
) -> None:
    """Write where accounts stand on a cluster; their totals are left to the ledger.

    Args:
        writer: the transaction.
        cluster: where.
        places: of accounts that have rows, as their parents do.
        is_by_jobs: whether jobs charge the cluster: what runs there is for liens to say.
    """
    rows = [{"cluster": cluster, **place._asdict()} for place in places]
    writer.execute(
        "INSERT INTO place (cluster, account_id)"
        " SELECT :cluster, account_id FROM account WHERE name = :account AND NOT EXISTS"
        " (SELECT 1 FROM place WHERE cluster = :cluster AND account_id = account.account_id)",
        rows,
    )
    writer.execute(
        f"UPDATE place SET {'' if is_by_jobs else 'running = :running,'} orphaned = :orphaned,"
        " parent_id = (SELECT account_id FROM account WHERE name = :parent)"
        " WHERE cluster = :cluster"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        rows,
    )


def ensure_place(writer: Writer, cluster: str, account: str) -> None:
    """Give an account, which must have a row, a place on a cluster where it has none yet."""
    writer.execute(
        "INSERT INTO place (cluster, account_id) SELECT :cluster, account_id FROM account"
        " WHERE name = :account AND NOT EXISTS (SELECT 1 FROM place"
        " WHERE cluster = :cluster AND place.account_id = account.account_id)",
        [{"cluster": cluster, "account": account}],
    )


def raise_running(writer: Writer, cluster: str, running: Mapping[str, int]) -> None:
    """Let running jobs of accounts use at least so much, in billing-seconds, by account."""
    writer.execute(
        "UPDATE place SET running = :running WHERE running < :running AND cluster = :cluster"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        [
            {"cluster": cluster, "account": name, "running": amount}
            for name, amount in running.items()
        ],
    )


def find_own_use(reader: Reader, account_id: int) -> list[tuple[str, int]]:
    """Return what an account itself has used and not closed, by cluster: billing-seconds."""
    rows = reader.query(
        "SELECT cluster, charged - closed FROM place WHERE account_id = :id ORDER BY cluster",
        id=account_id,
    )
    return [(cluster, used) for cluster, used in rows]


def find_held_by_others(reader: Reader, cluster: str) -> set[str]:
    """Return the accounts that were last seen held by a limit the bank did not set."""
    rows = reader.query(
        "SELECT name FROM place JOIN account ON account.account_id = place.account_id"
        " WHERE cluster = :cluster AND held_by_others = 1",
        cluster=cluster,
    )
    return {row[0] for row in rows}


def write_held_by_others(
    writer: Writer, cluster: str, names: Iterable[str], *, is_held: bool
) -> None:
    """Write down that accounts are, or are no longer, held by others."""
    writer.execute(
        "UPDATE place SET held_by_others = :is_held WHERE cluster = :cluster"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        [{"cluster": cluster, "account": name, "is_held": int(is_held)} for name in names],
    )
