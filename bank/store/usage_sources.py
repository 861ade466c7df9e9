"""What charges each cluster since when, and how far jobs have done so."""

from collections.abc import Iterable, Mapping, Sequence

from bank.policy.charged_time import JOBS, Mark, Seen, Source
from bank.store.connect import Reader, Writer


def find_history(reader: Reader, cluster: str) -> list[Source]:
    """Return all that ever charged a cluster, in order."""
    rows = reader.query(
        "SELECT seq, source, since FROM usage_source WHERE cluster = :cluster ORDER BY seq",
        cluster=cluster,
    )
    return [Source(*row) for row in rows]


def write_change(
    writer: Writer, cluster: str, source: str, *, since: int, actor: str, now: int
) -> int:
    """Let something else charge a cluster; return the number of the change.

    Args:
        writer: the transaction.
        cluster: where.
        source: METERS or JOBS.
        since: seconds since 1970.
        actor: login of whoever caused it.
        now: UTC microseconds.
    """
    history = find_history(writer, cluster)
    seq = len(history) + 1
    row = {"cluster": cluster, "seq": seq, "source": source, "since": since, "actor": actor}
    writer.execute(
        "INSERT INTO usage_source (cluster, seq, source, since, actor, changed_at)"
        " VALUES (:cluster, :seq, :source, :since, :actor, :now)",
        [{**row, "now": now}],
    )
    writer.execute(
        "UPDATE cluster SET source = :source, source_since = :now WHERE name = :cluster",
        [{**row, "now": now}],
    )
    return seq


def find_marks(reader: Reader, cluster: str, indexes: Sequence[int]) -> dict[int, dict[int, Mark]]:
    """Return where in runs one source gave way to another, by run and number of the change."""
    found: dict[int, dict[int, Mark]] = {}
    for index, seq, until, suspended in reader.query_among(
        "SELECT job_index, seq, counted_until, suspended_seconds FROM changeover_job"
        " WHERE cluster = :cluster AND job_index IN ({values})",
        indexes,
        cluster=cluster,
    ):
        found.setdefault(index, {})[seq] = Mark(until, suspended)
    return found


def write_marks(writer: Writer, cluster: str, seq: int, marks: Mapping[int, Mark]) -> None:
    """Write down where in runs one source gave way to another, by slurmdbd's numbers of them."""
    writer.execute(
        "INSERT INTO changeover_job (cluster, job_index, seq, counted_until, suspended_seconds)"
        " VALUES (:cluster, :job_index, :seq, :counted_until, :suspended_seconds)",
        [
            {"cluster": cluster, "seq": seq, "job_index": index, **mark._asdict()}
            for index, mark in marks.items()
        ],
    )


def find_seen(reader: Reader, cluster: str) -> dict[str, Seen]:
    """Return since when the bank looks after the accounts that a pass has seen on a cluster."""
    rows = reader.query(
        "SELECT name, seen_at, counted_since FROM place JOIN account USING (account_id)"
        " WHERE cluster = :cluster AND seen_at > 0",
        cluster=cluster,
    )
    return {name: Seen(seen_at, since) for name, seen_at, since in rows}


def write_seen(
    writer: Writer, cluster: str, names: Iterable[str], *, source: str, baseline: str, now: int
) -> None:
    """Write down that accounts were seen on a cluster, for those that never were.

    Args:
        writer: the transaction that gives them places there.
        cluster: where.
        names: the accounts.
        source: METERS or JOBS: what charges the cluster.
        baseline: USAGE_BASELINE.
        now: UTC microseconds.
    """
    seconds = now // 1_000_000
    is_all = baseline == "all"
    writer.execute(
        "UPDATE place SET seen_at = :seen_at, counted_since = :since, is_behind = :is_behind"
        " WHERE cluster = :cluster AND seen_at = 0"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        [
            {
                "cluster": cluster,
                "account": name,
                "seen_at": seconds,
                "since": 0 if is_all else seconds,
                "is_behind": int(is_all and source == JOBS),
            }
            for name in names
        ],
    )


def find_behind(reader: Reader, cluster: str) -> list[str]:
    """Return the accounts of which runs from before they were seen are still to be looked for."""
    rows = reader.query(
        "SELECT name FROM place JOIN account USING (account_id)"
        " WHERE cluster = :cluster AND is_behind = 1 ORDER BY name",
        cluster=cluster,
    )
    return [name for (name,) in rows]


def write_caught_up(writer: Writer, cluster: str, names: Iterable[str]) -> None:
    """Write down that all that ran in accounts before they were seen has been looked for."""
    writer.execute(
        "UPDATE place SET is_behind = 0 WHERE cluster = :cluster"
        " AND account_id = (SELECT account_id FROM account WHERE name = :account)",
        [{"cluster": cluster, "account": name} for name in names],
    )


def find_reconciled_until(reader: Reader, cluster: str) -> int:
    """Return until when every run that had ended is charged; seconds since 1970."""
    rows = reader.query(
        "SELECT reconciled_until FROM cluster WHERE name = :cluster", cluster=cluster
    )
    return int(rows[0][0]) if rows else 0


def write_reconciled_until(writer: Writer, cluster: str, until: int, *, now: int) -> None:
    """Write down that every run that had ended by then is charged.

    It goes back only where it is to come: then the clock was set back.

    Args:
        writer: the transaction.
        cluster: where.
        until: seconds since 1970.
        now: likewise.
    """
    writer.execute(
        "UPDATE cluster SET reconciled_until = :until WHERE name = :cluster"
        " AND (reconciled_until < :until OR reconciled_until > :now)",
        [{"cluster": cluster, "until": until, "now": now}],
    )
