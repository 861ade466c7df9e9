"""Grants with dates, credit, limits of users, and which jobs were refunded."""

from bank.store.migrations import refusing_changes

NAME = "whole bank"

STATEMENTS = (
    # A grant is promised until it starts, then in force; one that has ended is ending while jobs
    # run that it may have to pay for, and then over. `granted` is what entries have brought it less
    # what they took, `promised` what will be deposited when it starts, and `paid` what of the use
    # that is not closed yet is its to pay, whatever starts or ends later.
    """
    ALTER TABLE allocation_grant ADD COLUMN state TEXT NOT NULL DEFAULT 'in force'
        CHECK (state IN ('promised', 'in force', 'ending', 'over'))
    """,
    "ALTER TABLE allocation_grant ADD COLUMN granted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE allocation_grant ADD COLUMN promised INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE allocation_grant ADD COLUMN paid INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE allocation_grant ADD COLUMN carry_percent INTEGER NOT NULL DEFAULT 0",
    # What `insert` gives has no end, until the next period gives it anew.
    "ALTER TABLE allocation_grant ADD COLUMN is_dated INTEGER NOT NULL DEFAULT 0",
    "UPDATE allocation_grant SET state = 'over' WHERE end_at IS NOT NULL",
    """
    UPDATE allocation_grant SET granted = (
        SELECT coalesce(sum(amount *
            ((target IN ('available', 'used')) - (source IN ('available', 'used')))), 0)
        FROM entry WHERE entry.account_id = allocation_grant.account_id
        AND entry.grant_id = allocation_grant.grant_id
    )
    """,
    # Few grants have dates, and each pass asks which of them are due.
    """
    CREATE INDEX allocation_grant_due ON allocation_grant (start_at, end_at)
        WHERE state <> 'over' AND is_dated = 1
    """,
    # Billing-seconds by which an account may be overdrawn.
    "ALTER TABLE account ADD COLUMN credit INTEGER NOT NULL DEFAULT 0 CHECK (credit >= 0)",
    # What a user may use of an account in a period: `charged` is all that was ever charged to the
    # account for the user, `closed` what of that is of periods that are over.
    """
    CREATE TABLE user_limit (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
        charged INTEGER NOT NULL DEFAULT 0 CHECK (typeof(charged) = 'integer'),
        closed INTEGER NOT NULL DEFAULT 0 CHECK (typeof(closed) = 'integer'),
        PRIMARY KEY (account_id, user_name)
    )
    """,
    # How many entries an account had when the books of its last period were closed: those that came
    # after are of the present period. A top-up may close use too, and begins none.
    "ALTER TABLE account ADD COLUMN closed_entry_count INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE account SET closed_entry_count = coalesce((
        SELECT max(seq) FROM entry WHERE entry.account_id = account.account_id
        AND kind = 'closing' AND source = 'used' AND (is_open = 0 OR posted_at <= (
            SELECT max(changed_at) FROM account_change
            WHERE account_change.account_id = account.account_id AND field = 'grant_id'
        ))
    ), 0)
    """,
    # Users with a limit whom Slurm stops by a limit of 0 that the bank did not set.
    """
    CREATE TABLE user_held_by_others (
        cluster TEXT NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        PRIMARY KEY (cluster, account_id, user_name)
    )
    """,
    # A user may have an association in an account for each partition, and each has limits of its
    # own: the key of a limit is that of the association.
    "CREATE TEMP TABLE limit_of_account AS SELECT * FROM slurm_limit",
    "DROP TABLE slurm_limit",
    """
    CREATE TABLE slurm_limit (
        cluster TEXT NOT NULL,
        account TEXT NOT NULL,
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        limit_name TEXT NOT NULL,
        original INTEGER,
        intent TEXT NOT NULL CHECK (intent IN ('hold', 'release')),
        asked_at INTEGER NOT NULL,
        confirmed_at INTEGER,
        value INTEGER NOT NULL,
        replaced TEXT NOT NULL,
        PRIMARY KEY (cluster, account, user_name, partition_name, limit_name)
    )
    """,
    """
    INSERT INTO slurm_limit
        SELECT cluster, account, user_name, '', limit_name, original, intent, asked_at,
            confirmed_at, value, replaced FROM temp.limit_of_account
    """,
    "DROP TABLE temp.limit_of_account",
    # A run of a job, by the number that slurmdbd gave it, is refunded once.
    """
    CREATE TABLE job_refund (
        cluster TEXT NOT NULL,
        job_index INTEGER NOT NULL,
        job_id TEXT NOT NULL,
        account_id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount > 0),
        PRIMARY KEY (cluster, job_index),
        FOREIGN KEY (account_id, seq) REFERENCES entry (account_id, seq)
    )
    """,
)

# What is written is never changed: a mistake is mended by a further row.
IMMUTABLE = ("job_refund",)


def statements(accounts_table: str) -> list[str]:
    """Return what brings a database of the second schema to this one."""
    del accounts_table
    return [*STATEMENTS, *refusing_changes(IMMUTABLE)]
