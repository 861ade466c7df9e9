"""Limits of any value, and what people were told."""

NAME = "moving in"

STATEMENTS = (
    # A hold is the value 0; ENFORCEMENT = 'limit' sets others. Until a value is confirmed,
    # `replaced` has the bank's own values before it that Slurm may still show, joined by commas.
    "ALTER TABLE slurm_limit ADD COLUMN value INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE slurm_limit ADD COLUMN replaced TEXT NOT NULL DEFAULT ''",
    # What people are to be told, once for each time that it comes about. The account stands here by
    # its name: what was told stays told when a backup is put back.
    """
    CREATE TABLE notice (
        account TEXT NOT NULL,
        event TEXT NOT NULL,
        crossing INTEGER NOT NULL CHECK (crossing > 0),
        raised_at INTEGER NOT NULL,
        cleared_at INTEGER,
        content TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        sent_at INTEGER,
        PRIMARY KEY (account, event, crossing)
    )
    """,
    "CREATE INDEX notice_open ON notice (account, event) WHERE cleared_at IS NULL",
)


def statements(accounts_table: str) -> list[str]:
    """Return what brings a database of the first schema to this one."""
    del accounts_table
    return list(STATEMENTS)
