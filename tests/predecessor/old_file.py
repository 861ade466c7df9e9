"""The predecessor's database file, in the form that was recorded of it."""

import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
SCHEMA = (RECORDED / "sbank.sql").read_text(encoding="utf-8")
COLUMNS = (
    *("id", "account", "su_limit_hrs", "date"),
    *("upper_limit_informed", "lower_limit_informed", "max_limit_informed"),
)


def old_row(number: int, account: object, limit: object, **others: object) -> dict[str, object]:
    """Return a row as the predecessor writes one."""
    values = (number, account, limit, "2022-04-08", 0, 0, 0)
    return {**dict(zip(COLUMNS, values, strict=True)), **others}


def make_old_database(
    path: Path, rows: Iterable[Mapping[str, object]], *, is_in_log: bool = True
) -> None:
    """Make a database of the predecessor.

    Args:
        path: where; columns that the rows have besides are added as the predecessor adds them.
        rows: by column.
        is_in_log: leave all of it in the log beside the file, as a running or killed program does.
    """
    making = path.with_name(f"{path.name}.making")
    with closing(sqlite3.connect(making, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute(SCHEMA)
        known = set(COLUMNS)
        database.execute("BEGIN")
        for row in rows:
            for column in row:
                if column not in known:
                    database.execute(f'ALTER TABLE sbank ADD COLUMN "{column}" TEXT')
                    known.add(column)
            names = ", ".join(f'"{column}"' for column in row)
            marks = ", ".join("?" * len(row))
            sql = f"INSERT INTO sbank ({names}) VALUES ({marks})"  # noqa: S608 - names of columns
            database.execute(sql, list(row.values()))
        database.execute("COMMIT")
        if is_in_log:
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{making}{suffix}", f"{path}{suffix}")
    if not is_in_log:
        shutil.copyfile(making, path)
    for left in making.parent.glob(f"{making.name}*"):
        left.unlink()


def read_rows(path: Path) -> list[tuple[object, ...]]:
    """Return all rows of the table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute("SELECT * FROM sbank ORDER BY id").fetchall()
