"""Liens: what is set aside for which job, and the sums of it that accounts show."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bank.policy.liens import OPEN, VOIDED
from bank.store.connect import Reader, Writer


class Lien(NamedTuple):
    """SUs set aside for one job, or for one array of jobs.

    Attributes:
        lien_id: its number; 0 before it is written.
        token: what finds it again: in the job's AdminComment, or what a program gave it.
        state: one of those in `bank.policy.liens`.
        amount: billing-seconds set aside now; 0 where it is not open.
        cost_of_one: billing-seconds that one task costs at most.
        tasks, tasks_at_once, tasks_ended: of its array; 1, 1 and 0 without one.
        job_id: Slurm's number, of an array that of the whole; None where no job is known.
        placed_by: "submit", "start", "look", "api", "mybrc" or "change".
        placed_at, bound_at, gone_at, expires_at, ended_at: UTC microseconds, or None.
    """

    lien_id: int
    cluster: str
    account: str
    user: str
    token: str
    state: str
    amount: int
    cost_of_one: int
    tasks: int
    tasks_at_once: int
    tasks_ended: int
    job_id: int | None
    is_array: int
    placed_by: str
    actor: str
    placed_at: int
    bound_at: int | None = None
    gone_at: int | None = None
    expires_at: int | None = None
    ended_at: int | None = None
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it sets anything aside."""
        return self.state in OPEN


_COLUMNS = (
    "lien_id, cluster, name, user_name, token, state, amount, cost_of_one, tasks, tasks_at_once,"
    " tasks_ended, job_id, is_array, placed_by, actor, placed_at, bound_at, gone_at, expires_at,"
    " ended_at, reason"
)
_FROM = f"SELECT {_COLUMNS} FROM lien JOIN account USING (account_id)"
_IS_OPEN = "state IN ('placed', 'bound')"


def find_open(reader: Reader, cluster: str | None = None) -> list[Lien]:
    """Return the liens that set something aside, on one cluster or on all; oldest first."""
    where = f"WHERE {_IS_OPEN} AND (:cluster IS NULL OR cluster = :cluster) ORDER BY lien_id"
    return [Lien(*row) for row in reader.query(f"{_FROM} {where}", cluster=cluster)]


def find_newest(reader: Reader, most: int) -> list[Lien]:
    """Return the newest liens, open or ended, newest first."""
    rows = reader.query(f"{_FROM} ORDER BY lien_id DESC LIMIT :most", most=most)
    return [Lien(*row) for row in rows]


def find_by_tokens(reader: Reader, tokens: Sequence[str]) -> dict[str, Lien]:
    """Return those liens that have one of these tokens, by token."""
    rows = reader.query_among(f"{_FROM} WHERE token IN ({{values}})", tokens)
    return {lien.token: lien for lien in (Lien(*row) for row in rows)}


def find_by_jobs(reader: Reader, cluster: str, job_ids: Sequence[int]) -> list[Lien]:
    """Return the open liens of jobs, by Slurm's numbers; of arrays those of the whole."""
    sql = f"{_FROM} WHERE cluster = :cluster AND {_IS_OPEN} AND job_id IN ({{values}})"
    return [Lien(*row) for row in reader.query_among(sql, job_ids, cluster=cluster)]


def count_by_state(reader: Reader) -> dict[str, int]:
    """Return how many liens there are, by state; all that have ended are told as "ended".

    Ended ones are kept for ever and not counted one by one.
    """
    sql = f"SELECT state, count(*) FROM lien WHERE {_IS_OPEN} GROUP BY state"
    found: dict[str, int] = dict(reader.query(sql))
    ((newest,),) = reader.query("SELECT coalesce(max(lien_id), 0) FROM lien")
    return {**dict.fromkeys(OPEN, 0), **found, "ended": newest - sum(found.values())}


def count_open(reader: Reader, name: str, user: str | None = None) -> int:
    """Return how many liens are open of an account and all below it, or of one user in it."""
    ((count,),) = reader.query(
        "WITH RECURSIVE below (cluster, account_id) AS ("
        " SELECT cluster, account_id FROM place JOIN account USING (account_id) WHERE name = :name"
        " UNION SELECT place.cluster, place.account_id FROM place JOIN below"
        " ON place.cluster = below.cluster AND place.parent_id = below.account_id"
        " WHERE :user IS NULL)"
        f" SELECT count(*) FROM lien JOIN below USING (cluster, account_id) WHERE {_IS_OPEN}"
        " AND (:user IS NULL OR user_name = :user)",
        name=name,
        user=user,
    )
    return int(count)


def set_aside_for_user(reader: Reader, account: str, user: str) -> int:
    """Return what open liens of one user keep in one account, in billing-seconds."""
    ((amount,),) = reader.query(
        "SELECT coalesce(sum(amount), 0) FROM lien JOIN account USING (account_id)"
        f" WHERE name = :account AND user_name = :user AND {_IS_OPEN}",
        account=account,
        user=user,
    )
    return int(amount)


def insert(writer: Writer, new: Sequence[Lien]) -> None:
    """Write liens; each account must have a row."""
    writer.execute(
        "INSERT INTO lien (cluster, account_id, user_name, token, state, amount, cost_of_one,"
        " tasks, tasks_at_once, tasks_ended, job_id, is_array, placed_by, actor, placed_at,"
        " bound_at, gone_at, expires_at, ended_at, reason)"
        " SELECT :cluster, account_id, :user, :token, :state, :amount, :cost_of_one, :tasks,"
        " :tasks_at_once, :tasks_ended, :job_id, :is_array, :placed_by, :actor, :placed_at,"
        " :bound_at, :gone_at, :expires_at, :ended_at, :reason FROM account WHERE name = :account",
        [lien._asdict() for lien in new],
    )
    _set_aside(writer, ((lien.cluster, lien.account, lien.amount) for lien in new))


def change(writer: Writer, changes: Sequence[tuple[Lien, Lien]]) -> None:
    """Write what has become of liens.

    Args:
        writer: the transaction.
        changes: each as it was and as it is now.
    """
    writer.execute(
        "UPDATE lien SET state = :state, amount = :amount, cost_of_one = :cost_of_one,"
        " tasks_ended = :tasks_ended, job_id = :job_id, is_array = :is_array, bound_at = :bound_at,"
        " gone_at = :gone_at, expires_at = :expires_at, ended_at = :ended_at, reason = :reason,"
        " account_id = (SELECT account_id FROM account WHERE name = :account)"
        " WHERE lien_id = :lien_id",
        [after._asdict() for _, after in changes],
    )
    _set_aside(
        writer,
        (
            part
            for before, after in changes
            if (before.account, before.amount) != (after.account, after.amount)
            for part in (
                (before.cluster, before.account, -before.amount),
                (after.cluster, after.account, after.amount),
            )
        ),
    )


def _set_aside(writer: Writer, parts: Iterable[tuple[str, str, int]]) -> None:
    """Add to what accounts and those above them show as set aside: (cluster, account, amount)."""
    sums: dict[tuple[str, str], int] = {}
    for cluster, account, amount in parts:
        sums[cluster, account] = sums.get((cluster, account), 0) + amount
    rows = [
        {"cluster": cluster, "account": account, "amount": amount}
        for (cluster, account), amount in sums.items()
        if amount
    ]
    # One that no pass has seen yet has no place; the pass that does puts it below its parent.
    writer.execute(
        "INSERT INTO place (cluster, account_id) SELECT :cluster, account_id FROM account"
        " WHERE name = :account AND NOT EXISTS (SELECT 1 FROM place"
        " WHERE cluster = :cluster AND place.account_id = account.account_id)",
        rows,
    )
    writer.execute(
        "WITH RECURSIVE chain (account_id) AS ("
        " SELECT account_id FROM account WHERE name = :account"
        " UNION SELECT parent_id FROM place JOIN chain USING (account_id)"
        " WHERE cluster = :cluster AND parent_id IS NOT NULL)"
        " UPDATE place SET running = running + :amount"
        " WHERE cluster = :cluster AND account_id IN (SELECT account_id FROM chain)",
        rows,
    )


def recount(writer: Writer, cluster: str) -> None:
    """Make what accounts show as set aside the sum of the liens below them, after moves."""
    sums = sums_by_account(writer, cluster)
    ids = [account_id for (account_id,) in writer.query(_PLACES, cluster=cluster)]
    writer.execute(
        "UPDATE place SET running = :amount WHERE cluster = :cluster AND account_id = :account_id",
        [
            {"cluster": cluster, "account_id": account_id, "amount": sums.get(account_id, 0)}
            for account_id in ids
        ],
    )


_PLACES = "SELECT account_id FROM place WHERE cluster = :cluster"


def sums_by_account(reader: Reader, cluster: str) -> Mapping[int, int]:
    """Return what open liens keep on a cluster for each account and all below it, by its row."""
    rows: list[tuple[Any, ...]] = reader.query(
        "WITH RECURSIVE up (account_id, amount) AS ("
        " SELECT account_id, sum(amount) FROM lien"
        f" WHERE cluster = :cluster AND {_IS_OPEN} GROUP BY account_id"
        " UNION ALL SELECT place.parent_id, up.amount FROM up JOIN place USING (account_id)"
        " WHERE cluster = :cluster AND place.parent_id IS NOT NULL)"
        " SELECT account_id, sum(amount) FROM up GROUP BY account_id",
        cluster=cluster,
    )
    return {account_id: int(amount) for account_id, amount in rows}


def give_up(writer: Writer, cluster: str, *, now: int) -> None:
    """Void all liens of a cluster that nobody looks at any more."""
    changes = []
    for lien in find_open(writer, cluster):
        why = "the cluster is not the site's any more"
        after = lien._replace(state=VOIDED, amount=0, ended_at=now, reason=why)
        changes.append((lien, after))
    change(writer, changes)
