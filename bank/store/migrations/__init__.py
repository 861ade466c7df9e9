"""The schema's past, forward only: each module brings the database to the next version."""

# The version that this program reads and writes. Known here without loading the migrations, because
# every command compares it.
NEWEST = 4

# The bank's own tables, but for the one that other programs read; a site may keep more beside them.
TABLES = (
    *("schema_version", "account", "allocation_grant", "entry", "account_change", "request"),
    *("cluster", "place", "settled", "meter", "reading", "slurm_limit", "usage_reset", "notice"),
    *("user_limit", "user_held_by_others", "job_refund"),
    *("lien", "job_charge", "tariff", "usage_source", "changeover_job", "held_job", "token"),
    "mybrc_job",
)


def refusing_changes(tables: tuple[str, ...]) -> list[str]:
    """Return what lets the database refuse to change or delete rows of tables."""
    return [
        f"CREATE TRIGGER {table}_{what}_refused BEFORE {what.upper()} ON {table} BEGIN"
        f" SELECT raise(ABORT, '{table} rows are never changed'); END"
        for table in tables
        for what in ("update", "delete")
    ]
