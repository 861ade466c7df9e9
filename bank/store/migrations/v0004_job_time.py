"""Charging by jobs: liens, what each run was charged, prices by date, tokens, reports of others."""

from bank.store.migrations import refusing_changes

NAME = "job time"

STATEMENTS = (
    # SUs set aside for one job, or for one array. That moves no money, so it is no entry; it
    # counts in `place.running` of its account and of those above while it is open. An array's lien
    # covers the tasks that may still run, `tasks_at_once` of them at a time. `gone_at` is when the
    # controller was first seen without a live job of it.
    """
    CREATE TABLE lien (
        lien_id INTEGER PRIMARY KEY,
        cluster TEXT NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        token TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('placed', 'bound', 'settled', 'voided', 'expired')),
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
        cost_of_one INTEGER NOT NULL CHECK (typeof(cost_of_one) = 'integer' AND cost_of_one >= 0),
        tasks INTEGER NOT NULL CHECK (tasks > 0),
        tasks_at_once INTEGER NOT NULL CHECK (tasks_at_once > 0),
        tasks_ended INTEGER NOT NULL DEFAULT 0,
        job_id INTEGER,
        is_array INTEGER NOT NULL DEFAULT 0 CHECK (is_array IN (0, 1)),
        placed_by TEXT NOT NULL,
        actor TEXT NOT NULL,
        placed_at INTEGER NOT NULL,
        bound_at INTEGER,
        gone_at INTEGER,
        expires_at INTEGER,
        ended_at INTEGER,
        reason TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX lien_open ON lien (cluster, account_id) WHERE state IN ('placed', 'bound')",
    "CREATE INDEX lien_job ON lien (cluster, job_id)",
    # What each run of a job was charged, by slurmdbd's own number of the run, and what that rests
    # on. Where slurmdbd says something else later, a further revision says what holds now, and the
    # entry with the difference. Times are seconds since 1970.
    """
    CREATE TABLE job_charge (
        cluster TEXT NOT NULL,
        job_index INTEGER NOT NULL,
        revision INTEGER NOT NULL CHECK (revision > 0),
        job_id INTEGER NOT NULL,
        shown_id TEXT NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        qos TEXT NOT NULL,
        state TEXT NOT NULL,
        began_at INTEGER NOT NULL,
        ended_at INTEGER NOT NULL,
        seconds INTEGER NOT NULL CHECK (typeof(seconds) = 'integer' AND seconds >= 0),
        alloc_tres TEXT NOT NULL,
        billing TEXT NOT NULL,
        usage_factor TEXT NOT NULL,
        priced_by TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
        charged_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, job_index, revision)
    )
    """,
    "CREATE INDEX job_charge_job ON job_charge (cluster, job_id)",
    "CREATE INDEX job_charge_shown ON job_charge (cluster, shown_id)",
    "CREATE INDEX job_charge_account ON job_charge (account_id, ended_at)",
    # What prices rest on, since when it was seen so: TRESBillingWeights of a partition, UsageFactor
    # of a QOS, whether PriorityFlags has MAX_TRES.
    """
    CREATE TABLE tariff (
        cluster TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('partition', 'qos', 'max_tres')),
        name TEXT NOT NULL,
        seen_at INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (cluster, kind, name, seen_at)
    )
    """,
    # What charged a cluster since when; `since` is in seconds since 1970.
    """
    CREATE TABLE usage_source (
        cluster TEXT NOT NULL,
        seq INTEGER NOT NULL CHECK (seq > 0),
        source TEXT NOT NULL CHECK (source IN ('meters', 'jobs')),
        since INTEGER NOT NULL,
        actor TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, seq)
    )
    """,
    """
    INSERT INTO usage_source (cluster, seq, source, since, actor, changed_at)
        SELECT name, 1, source, source_since / 1000000, '', source_since FROM cluster
    """,
    # Runs that were going on when one source gave way to another, by the number of the one that
    # came: the one that went has counted them until then. Seconds since 1970.
    """
    CREATE TABLE changeover_job (
        cluster TEXT NOT NULL,
        job_index INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        counted_until INTEGER NOT NULL,
        suspended_seconds INTEGER NOT NULL,
        PRIMARY KEY (cluster, job_index, seq)
    )
    """,
    # When a pass first saw an account there, from when on its runs count where jobs charged the
    # cluster then, and whether those from before are still to be looked for. Seconds since 1970; 0
    # where only a lien was placed so far, 1 where it was seen before jobs could charge.
    "ALTER TABLE place ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE place ADD COLUMN counted_since INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE place ADD COLUMN is_behind INTEGER NOT NULL DEFAULT 0",
    "UPDATE place SET seen_at = 1",
    # Every run that had ended by then is charged; seconds since 1970.
    "ALTER TABLE cluster ADD COLUMN reconciled_until INTEGER NOT NULL DEFAULT 0",
    # Jobs that the bank has held in Slurm because nobody could pay for them; released on a top-up.
    """
    CREATE TABLE held_job (
        cluster TEXT NOT NULL,
        job_id INTEGER NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
        held_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, job_id)
    )
    """,
    # Who may ask over the network: only a hash is kept of what they show. `accounts` names those
    # that a token is for, separated by blanks; '' is all.
    """
    CREATE TABLE token (
        token_id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        token_digest TEXT NOT NULL UNIQUE,
        scope TEXT NOT NULL,
        accounts TEXT NOT NULL DEFAULT '',
        created_by TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        revoked_at INTEGER
    )
    """,
    # Runs of jobs as others report them over the myBRC interface, by the id that they gave. What
    # was charged for one is taken back when slurmdbd shows the job itself.
    """
    CREATE TABLE mybrc_job (
        cluster TEXT NOT NULL,
        job_key TEXT NOT NULL,
        attempt INTEGER NOT NULL CHECK (attempt > 0),
        uid INTEGER NOT NULL,
        user_name TEXT NOT NULL,
        account TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount >= 0),
        charged INTEGER NOT NULL CHECK (typeof(charged) = 'integer' AND charged >= 0),
        kept INTEGER NOT NULL CHECK (typeof(kept) = 'integer' AND kept >= 0),
        lien_token TEXT,
        told TEXT NOT NULL,
        job_status TEXT,
        partition_name TEXT,
        started_at INTEGER,
        ended_at INTEGER,
        cpu_hours REAL,
        reconciled_at INTEGER,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, job_key, attempt)
    )
    """,
    "CREATE INDEX mybrc_job_open ON mybrc_job (cluster, ended_at) WHERE reconciled_at IS NULL",
    "CREATE INDEX mybrc_job_start ON mybrc_job (cluster, started_at)",
)

# What is written is never changed: a mistake is mended by a further row.
IMMUTABLE = ("job_charge", "tariff", "usage_source", "changeover_job")


def statements(accounts_table: str) -> list[str]:
    """Return what brings a database of the third schema to this one."""
    del accounts_table
    return [*STATEMENTS, *refusing_changes(IMMUTABLE)]
