"""Thousands of accounts with users at once, written straight into slurmdbd's database.

Slurm up to 23.11 keeps the tree of associations as nested sets: each user added through sacctmgr
renumbers all rows, so the time grows with the square (1,000 accounts with two users each: one
minute; 10,000: hours). Rows written in one go need no renumbering; slurmctld reads them when it
starts.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from .errors import LabError
from .processes import run_or_raise

# From this number of user associations on, a restart of slurmctld is the shorter way.
WORTH_IT = 60
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
ROWS_AT_ONCE = 2000


def query(socket: Path, sql: str) -> str:
    """Run SQL in slurmdbd's database; return the rows, tab-separated, without a head line."""
    argv = ["mariadb", "--no-defaults", f"--socket={socket}", "--batch", "--skip-column-names"]
    return run_or_raise([*argv, "slurm_acct_db"], stdin=sql, timeout_seconds=120)


def quoted(names: Sequence[str]) -> list[str]:
    """Return names as SQL text; refuse any that would need more than quotes.

    Raises:
        LabError: a name holds something else than letters, digits, '_', '.', '-'.
    """
    for name in names:
        if PLAIN_NAME.fullmatch(name) is None:
            raise LabError(f"{name!r} is no plain name for an account or user")
    return [f"'{name}'" for name in names]


def is_possible(socket: Path, cluster: str, names: Sequence[str]) -> bool:
    """Say whether the tree is kept as nested sets, and none of the accounts was ever there."""
    table = f"`{cluster}_assoc_table`"
    if not query(socket, f"SHOW COLUMNS FROM {table} LIKE 'lft';"):
        return False
    known = query(
        socket, f"SELECT COUNT(*) FROM {table} WHERE acct IN ({','.join(quoted(names))});"
    )
    return int(known) == 0


def insert(
    socket: Path, cluster: str, names: Sequence[str], *, parent: str, users: Sequence[str]
) -> None:
    """Write new accounts below a parent, each with all of the users. slurmctld must be down."""
    table = f"`{cluster}_assoc_table`"
    accounts, members, (above,) = quoted(names), quoted(users), quoted([parent])
    now = int(time.time())
    width = 2 + 2 * len(users)
    place = query(socket, f"SELECT rgt FROM {table} WHERE acct={above} AND user='';")
    if not place:
        raise LabError(f"cluster {cluster} has no account {parent!r}")
    left = int(place)
    grown = width * len(names)
    statements = [
        "START TRANSACTION;",
        f"UPDATE {table} SET rgt = rgt + {grown} WHERE rgt >= {left};",
        f"UPDATE {table} SET lft = lft + {grown} WHERE lft > {left};",
    ]
    account_rows, rows = [], []
    for account in accounts:
        account_rows.append(f"({now},{now},{account},'lab','lab')")
        rows.append(f"({now},{now},'',{account},{above},{left},{left + width - 1})")
        for number, user in enumerate(members):
            at = left + 1 + 2 * number
            rows.append(f"({now},{now},{user},{account},'',{at},{at + 1})")
        left += width
    statements += in_statements(
        "INSERT INTO acct_table (creation_time, mod_time, name, description, organization)",
        account_rows,
        "ON DUPLICATE KEY UPDATE deleted = 0",
    )
    statements += in_statements(
        f"INSERT INTO {table} (creation_time, mod_time, user, acct, parent_acct, lft, rgt)", rows
    )
    query(socket, "\n".join([*statements, "COMMIT;"]))


def in_statements(head: str, rows: Sequence[str], tail: str = "") -> list[str]:
    """Return INSERT statements of a bounded number of rows each."""
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return [f"{head} VALUES {','.join(rows[at : at + ROWS_AT_ONCE])} {tail};" for at in starts]


def empty(socket: Path, clusters: Sequence[str]) -> None:
    """Delete all accounts and users but root. slurmctld and slurmdbd must be down."""
    statements = ["START TRANSACTION;"]
    for cluster in clusters:
        table = f"`{cluster}_assoc_table`"
        statements += [
            f"DELETE FROM {table} WHERE acct <> 'root' OR user NOT IN ('', 'root');",
            f"UPDATE {table} SET lft = 1, rgt = 4 WHERE user = '';",
            f"UPDATE {table} SET lft = 2, rgt = 3 WHERE user = 'root';",
        ]
    statements += [
        f"DELETE FROM {name} WHERE name <> 'root';" for name in ("acct_table", "user_table")
    ]
    query(socket, "\n".join([*statements, "COMMIT;"]))
