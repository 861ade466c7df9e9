"""A database of 10,000 accounts and 1,000,000 entries, as months of passes leave one behind.

Each day of each user goes through the ledger and the store as in a pass, so 'verify' says that the
books agree; what Slurm would have said is made up. The same size makes the same accounts and
amounts. Run it as python -m benchmarks.million FILE [ACCOUNTS ENTRIES].
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bank.ledger.entries import AVAILABLE, TREASURY, USED, Draft
from bank.ledger.references import of_job
from bank.store import accounts, meters
from bank.store import grants as grants_of
from bank.store.connect import Database, Writer, writing
from bank.store.create import migrate
from bank.store.meters import ClusterState, Place, Reading
from bank.store.post import post

CLUSTER = "bench"
TABLE = "sbank"
# One account is busier than all others; each stands below a department with so many.
BUSY, BUSY_USERS = "acc00000", 100
DEPARTMENT, IN_A_DEPARTMENT = "dept000", 100
_ACTOR = "slurm"
_SU = 3600
_DAY_SECONDS = 86_400
_GRANTED_SU = 20_000
_MOST_A_DAY_SU = 80
# Every so many days each user is refunded one job of that day.
_REFUND_DAYS = 50


class Size(NamedTuple):
    """How much there is to be.

    Attributes:
        accounts: how many accounts are charged.
        entries: how many charges there are, at least.
    """

    accounts: int = 10_000
    entries: int = 1_000_000


class User(NamedTuple):
    """One user in one account, as a made-up Slurm has it."""

    association: int
    account: str
    name: str


def write(path: Path, size: Size, *, now: int) -> None:
    """Write the database, all of it or nothing.

    Args:
        path: where; nothing is there yet.
        size: how much.
        now: UTC microseconds: the last entries are of then, and each day before it has as many.
    """
    database = Database(str(path), TABLE)
    users = _users(size)
    days = -(-size.entries // len(users))
    first_day = now - (days - 1) * _DAY_SECONDS * 1_000_000
    migrate(database, now=first_day)
    with writing(database) as writer:
        grants = _open(writer, size, now=first_day)
        for day in range(days):
            at = first_day + day * _DAY_SECONDS * 1_000_000
            _charge(writer, users, grants, day, now=at)
        meters.write_cluster(writer, CLUSTER, ClusterState("meters", "1", 0, now, now))
        accounts.show(writer, database, list(grants))


def _users(size: Size) -> list[User]:
    whose = [account for account in _names(size) for _ in range(_users_in(account))]
    return [
        User(1000 + number, account, f"user{number % 5000:04d}")
        for number, account in enumerate(whose)
    ]


def _users_in(account: str) -> int:
    return BUSY_USERS if account == BUSY else 1


def _names(size: Size) -> list[str]:
    return [f"acc{number:05d}" for number in range(size.accounts)]


def _open(writer: Writer, size: Size, *, now: int) -> dict[str, int]:
    """Open all accounts, each with a grant and a place in the tree; return the grants."""
    above = {
        name: f"dept{number // IN_A_DEPARTMENT:03d}" for number, name in enumerate(_names(size))
    }
    names = [*dict.fromkeys(above.values()), *above]
    accounts.ensure(writer, names)
    found = accounts.find_many(writer, names)
    ids = [found[name].account_id for name in names]
    opened = grants_of.open_base(writer, ids, kind="allocation", now=now)
    grants = dict(zip(names, (opened[number] for number in ids), strict=True))
    started_on = time.strftime("%Y-%m-%d", time.localtime(now // 1_000_000))
    changes: dict[str, dict[str, accounts.Value]] = {
        name: {"is_open": True, "period_started_on": started_on, "grant_id": grant_id}
        for name, grant_id in grants.items()
    }
    reasons = dict.fromkeys(names, "made up")
    accounts.change_many(writer, changes, actor=_ACTOR, reasons=reasons, now=now)
    places = [Place(name, above.get(name), 0, 0, 0, 0) for name in names]
    meters.write_places(writer, CLUSTER, places)
    post(writer, [_deposit(name, grants[name], name in above) for name in names], now=now)
    return grants


def _deposit(name: str, grant_id: int, is_charged: bool) -> Draft:
    users = _users_in(name) if is_charged else IN_A_DEPARTMENT + BUSY_USERS
    amount = users * _GRANTED_SU * _SU
    return Draft(name, "deposit", TREASURY, AVAILABLE, amount, _ACTOR, "made up", grant_id)


def _charge(
    writer: Writer, users: Sequence[User], grants: dict[str, int], day: int, *, now: int
) -> None:
    """Book what one day's only pass reads."""
    known = meters.find_meters(writer, CLUSTER)
    readings = []
    for user in users:
        before = known.get(user.association)
        # Uneven, and the same whenever it is made.
        amount = 1 + (user.association * 7_919 + day * 104_729) % (_MOST_A_DAY_SU * _SU)
        readings.append(
            Reading(
                *(user.association, user.account, user.name, ""),
                before.reading_count if before else 0,
                before.head_digest if before else "",
                (before.raw if before else 0) + amount,
                "rise" if before else "first",
                amount,
                now - 2,
                now - 1,
            )
        )
    references = meters.write_readings(writer, CLUSTER, readings)
    posted = post(writer, list(_drafts(readings, references, grants, day)), now=now)
    writer.execute(
        "INSERT INTO job_refund (cluster, job_index, job_id, account_id, seq, amount)"
        " SELECT :cluster, :job, :job, account_id, :seq, :amount FROM account"
        " WHERE name = :account",
        [
            {**entry.draft._asdict(), "seq": entry.seq, "job": _job(entry.draft)}
            for entries in posted.values()
            for entry in entries
            if entry.draft.kind == "refund"
        ],
    )


def _job(refund: Draft) -> str:
    return str(refund.reference).rpartition("/")[2]


def _drafts(
    readings: Sequence[Reading], references: dict[int, str], grants: dict[str, int], day: int
) -> Iterator[Draft]:
    for one in readings:
        charge = Draft(
            *(one.account, "charge", AVAILABLE, USED, one.booked, _ACTOR, ""),
            *(grants[one.account], CLUSTER, one.user, references[one.association]),
        )
        yield charge
        if day % _REFUND_DAYS == _REFUND_DAYS - 1:
            job = of_job(CLUSTER, f"{one.association}{day:04d}")
            yield charge._replace(
                kind="refund",
                source=USED,
                target=AVAILABLE,
                amount=(one.booked + 1) // 2,
                reason="a node failed",
                reference=job,
            )


def main(argv: Sequence[str]) -> int:
    """Write a database to the file that is named."""
    path, *size = argv
    write(Path(path), Size(*map(int, size)), now=time.time_ns() // 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
