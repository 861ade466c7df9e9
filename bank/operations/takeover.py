"""Taking over the predecessor's database: read, ask Slurm, compare, and replace it in place.

Nothing is written before all of it was checked; holds in force in Slurm stay in force.
"""

import json

from bank.errors import Refusal, SettingsError
from bank.operations import periods
from bank.operations.bank import Bank
from bank.operations.files import log, newest, only_one
from bank.operations.periods import Opening
from bank.operations.takeover_plan import Plan, Report, make_plan
from bank.policy import moving_in
from bank.policy.predecessor import COLUMNS
from bank.store import accounts, limits, notices
from bank.store.connect import Writer
from bank.store.create import refuse_unsafe_place
from bank.store.limits import Limit
from bank.store.takeover import OldTable, find_old_table, replacing_old_table

REASON = "taken over from the predecessor's database"


def is_due(bank: Bank) -> bool:
    """Tell whether the database is the predecessor's."""
    return find_old_table(bank.database) is not None


def take_over(bank: Bank, *, choices: str, dry_run: bool) -> Report:
    """Take the predecessor's database over.

    Args:
        bank: names the file, its table and Slurm.
        choices: what somebody chose, see `moving_in.read_choices`.
        dry_run: do all but write.

    Returns:
        What was done; where it says that it is refused, nothing was.

    Raises:
        InputError: the choices cannot be read.
        SettingsError: it is not the predecessor's table, or lies where SQLite is not safe.
        SlurmError: Slurm did not answer or was not understood.
        Busy: a pass is running, or the old program writes.
    """
    chosen = moving_in.read_choices(choices)
    refuse_unsafe_place(bank.database)
    if dry_run:
        return make_plan(bank, _old_table(bank), chosen, dry_run=True).report
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        old = _old_table(bank)
        plan = make_plan(bank, old, chosen, dry_run=False)
        if plan.report.is_refused:
            return plan.report
        now = bank.clock()
        kept = f"{bank.settings.database}.predecessor-{now}"
        with replacing_old_table(bank.database, old, kept=kept, now=now) as writer:
            _write(bank, writer, plan, now)
            ends = newest(accounts.find_all(writer).values())
        log(bank, "takeover", kept=kept, rows=len(old.rows), taken=plan.report.taken, **ends)
    return plan.report._replace(kept=kept)


def _old_table(bank: Bank) -> OldTable:
    old = find_old_table(bank.database)
    if old is None:
        raise Refusal("taken_over", f"{bank.settings.database} was taken over by now")
    missing = [name for name in COLUMNS if name not in old.columns]
    if missing:
        raise SettingsError(
            f"the table {bank.database.accounts_table} of {bank.settings.database} has no column"
            f" {', '.join(missing)}: it is not the predecessor's; set DATABASE and DB_TABLE_NAME"
            " to what the old settings say"
        )
    if old.clashes:
        raise SettingsError(
            f"{bank.settings.database} holds something under a name that the bank needs:"
            f" {', '.join(old.clashes)}: rename it there, with sqlite3"
        )
    return old


def _write(bank: Bank, writer: Writer, plan: Plan, now: int) -> None:
    taken = plan.selection.taken
    accounts.keep_ids(writer, bank.database, {row.account: row.number for row in taken})
    openings = [Opening(row.account, row.limit, REASON, row.started_on) for row in taken]
    periods.open_accounts(bank, writer, openings)
    why = json.dumps({"why": REASON})
    told = {(row.account, event): why for row in taken for event in row.told}
    notices.write_raised(writer, told, now=now, is_told=True)
    notices.show_flags(writer, bank.database, dict.fromkeys(account for account, _ in told))
    holds = [
        Limit(held.cluster, held.account, held.limit, None, "hold", now) for held in plan.adopted
    ]
    limits.write_intent(writer, holds, now=now)
