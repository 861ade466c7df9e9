"""The command that charges what has run: `reconcile`."""

from typing import Any

from bank.errors import InputError, Refusal
from bank.ledger.amounts import format_su
from bank.operations import days
from bank.operations.bank import Bank, utc_text
from bank.operations.clusters import all_clusters
from bank.operations.files import only_one
from bank.operations.job_charges import CHANGED, CHARGED, NOTHING, UNPRICED
from bank.operations.reconciliation import Report, look
from bank.policy.charged_time import JOBS

_MICROSECONDS = 1_000_000


def reconcile_all(bank: Bank, since: str | None, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Charge what has run on every cluster.

    Args:
        bank: see `Bank`.
        since: a day or a time as typed: also what ended since then is looked for; None for what
            ended since everything was known.
        dry_run: say what would be charged, and write nothing.

    Returns:
        For each cluster how many runs became what, the amount, and what a person should know.

    Raises:
        Refusal: jobs do not charge here.
        InputError: no such day or time, or it is to come.
        SlurmError: Slurm did not answer or was not understood, or slurmdbd is behind.
    """
    if bank.settings.usage_source != JOBS:
        raise Refusal(
            "not_charged_by_jobs",
            "meters charge here, so there is nothing to reconcile: set USAGE_SOURCE = 'jobs', and"
            " run 'slurm_bank.py change_source'",
        )
    begin = None if since is None else days.moment(since, "--since") // _MICROSECONDS
    if begin is not None and begin * _MICROSECONDS > bank.clock():
        raise InputError(f"--since {since} is to come: give a day, or a time, before now")
    found = []
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        for cluster in all_clusters(bank):
            result, report = look(bank, cluster, since=begin, dry_run=dry_run)
            found.append(_described(report, result.notes, dry_run=dry_run))
    return found


def _described(report: Report, notes: list[str], *, dry_run: bool) -> dict[str, Any]:
    return {
        "verb": "reconcile",
        "cluster": report.cluster,
        "since": utc_text(report.since * _MICROSECONDS),
        "until": utc_text(report.until * _MICROSECONDS),
        "charged": report.counts[CHARGED],
        "changed": report.counts[CHANGED],
        "cost_nothing": report.counts[NOTHING],
        "not_priced": report.counts[UNPRICED],
        "seen_late": report.late,
        "stuck": report.stuck,
        "amount_su": format_su(report.amount),
        "amount_billing_seconds": report.amount,
        "notes": notes,
        "is_dry_run": dry_run,
    }
