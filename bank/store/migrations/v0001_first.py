"""The first schema."""

from bank.store.migrations import refusing_changes

NAME = "first"

STATEMENTS = (
    """
    CREATE TABLE schema_version (
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        applied_at INTEGER NOT NULL,
        program_version TEXT NOT NULL
    )
    """,
    # An account has a row as soon as the bank must keep books for it. It is open while it has an
    # allocation of its own; one that is not only counts for those above it in Slurm's tree.
    """
    CREATE TABLE account (
        account_id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        is_open INTEGER NOT NULL DEFAULT 0 CHECK (is_open IN (0, 1)),
        credit_limit INTEGER DEFAULT 0 CHECK (typeof(credit_limit) IN ('integer', 'null')),
        period_started_on TEXT,
        hold_reason TEXT,
        grant_id INTEGER,
        granted INTEGER NOT NULL DEFAULT 0 CHECK (typeof(granted) = 'integer'),
        used INTEGER NOT NULL DEFAULT 0 CHECK (typeof(used) = 'integer' AND used >= 0),
        entry_count INTEGER NOT NULL DEFAULT 0,
        head_digest TEXT NOT NULL DEFAULT '',
        last_posted_at INTEGER NOT NULL DEFAULT 0,
        change_count INTEGER NOT NULL DEFAULT 0,
        change_digest TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE TABLE allocation_grant (
        grant_id INTEGER PRIMARY KEY,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        start_at INTEGER NOT NULL,
        end_at INTEGER,
        kind TEXT NOT NULL
    )
    """,
    "CREATE INDEX allocation_grant_account ON allocation_grant (account_id)",
    """
    CREATE TABLE entry (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount > 0),
        grant_id INTEGER REFERENCES allocation_grant (grant_id),
        cluster TEXT,
        user_name TEXT,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        reference TEXT,
        idempotency_key TEXT,
        leg INTEGER NOT NULL,
        posted_at INTEGER NOT NULL CHECK (typeof(posted_at) = 'integer'),
        digest TEXT NOT NULL,
        PRIMARY KEY (account_id, seq),
        UNIQUE (idempotency_key, leg)
    )
    """,
    """
    CREATE TABLE account_change (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        field TEXT NOT NULL,
        old TEXT,
        new TEXT,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (account_id, seq)
    )
    """,
    # A command that was given a key, and its answer.
    """
    CREATE TABLE request (
        idempotency_key TEXT PRIMARY KEY,
        content TEXT NOT NULL,
        answer TEXT NOT NULL,
        answered_at INTEGER NOT NULL
    )
    """,
    # What the bank knows of each cluster: which source charges it, which controller process ran
    # when all meters were last read.
    """
    CREATE TABLE cluster (
        name TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        source_since INTEGER NOT NULL,
        controller_started TEXT NOT NULL,
        control INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL
    )
    """,
    # An account as one cluster has it; kept when it is gone there, because its use stays.
    """
    CREATE TABLE place (
        cluster TEXT NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        parent_id INTEGER REFERENCES account (account_id),
        charged INTEGER NOT NULL DEFAULT 0 CHECK (typeof(charged) = 'integer'),
        closed INTEGER NOT NULL DEFAULT 0 CHECK (typeof(closed) = 'integer'),
        running INTEGER NOT NULL DEFAULT 0,
        orphaned INTEGER NOT NULL DEFAULT 0,
        held_by_others INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (cluster, account_id)
    )
    """,
    "CREATE INDEX place_parent ON place (parent_id)",
    "CREATE INDEX place_account ON place (account_id)",
    # What a child used that does not count for the account above it any more: in periods that the
    # child closed before it came under it, and in periods that the account has closed. Where the
    # child has left, left_closed is what it had closed by then.
    """
    CREATE TABLE settled (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        cluster TEXT NOT NULL,
        child_id INTEGER NOT NULL REFERENCES account (account_id),
        joined INTEGER NOT NULL DEFAULT 0,
        closed INTEGER NOT NULL DEFAULT 0,
        left_closed INTEGER,
        PRIMARY KEY (account_id, cluster, child_id)
    )
    """,
    """
    CREATE TABLE meter (
        meter_id INTEGER PRIMARY KEY,
        cluster TEXT NOT NULL,
        association INTEGER NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        is_gone INTEGER NOT NULL DEFAULT 0 CHECK (is_gone IN (0, 1)),
        reading_count INTEGER NOT NULL,
        raw INTEGER NOT NULL CHECK (typeof(raw) = 'integer' AND raw >= 0),
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL,
        head_digest TEXT NOT NULL,
        UNIQUE (cluster, association)
    )
    """,
    "CREATE INDEX meter_account ON meter (account_id)",
    # A reading follows the one with the number before: two that follow the same cannot both stand.
    """
    CREATE TABLE reading (
        meter_id INTEGER NOT NULL REFERENCES meter (meter_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        raw INTEGER NOT NULL CHECK (typeof(raw) = 'integer' AND raw >= 0),
        cause TEXT NOT NULL,
        booked INTEGER NOT NULL CHECK (typeof(booked) = 'integer' AND booked >= 0),
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (meter_id, seq)
    )
    """,
    # Limits that the bank has set in Slurm, or is about to set: the intent stands here first.
    """
    CREATE TABLE slurm_limit (
        cluster TEXT NOT NULL,
        account TEXT NOT NULL,
        user_name TEXT NOT NULL DEFAULT '',
        limit_name TEXT NOT NULL,
        original INTEGER,
        intent TEXT NOT NULL CHECK (intent IN ('hold', 'release')),
        asked_at INTEGER NOT NULL,
        confirmed_at INTEGER,
        PRIMARY KEY (cluster, account, user_name, limit_name)
    )
    """,
    # RawUsage is to be set to 0 in Slurm; the row goes when that has been seen.
    """
    CREATE TABLE usage_reset (
        cluster TEXT NOT NULL,
        account TEXT NOT NULL,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, account)
    )
    """,
)

# What is written is never changed: a mistake is mended by a further row.
IMMUTABLE = ("entry", "account_change", "reading")

ACCOUNTS_TABLE = """
    CREATE TABLE "{name}" (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL UNIQUE,
        su_limit_hrs INTEGER,
        date DATE,
        upper_limit_informed BOOLEAN,
        lower_limit_informed BOOLEAN,
        max_limit_informed BOOLEAN
    )
"""


def statements(accounts_table: str) -> list[str]:
    """Return what brings an empty database to this version.

    Args:
        accounts_table: name of the table that other programs read; checked with the settings.
    """
    return [*STATEMENTS, *refusing_changes(IMMUTABLE), ACCOUNTS_TABLE.format(name=accounts_table)]
