"""Applying a file of accounts: one transaction, after what was there before is kept."""

import os
from collections.abc import Mapping
from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import format_su
from bank.ledger.entries import AVAILABLE, TREASURY, Draft
from bank.ledger.names import listed
from bank.operations import dumps, periods
from bank.operations.bank import Bank
from bank.operations.differences import Plan, find_present, found_against
from bank.operations.enforcement import enforce_soon
from bank.operations.files import log, newest
from bank.operations.grant_dates import turn
from bank.operations.metering import read_all_meters
from bank.operations.periods import Opening
from bank.policy.difference import State, without_flags
from bank.store import accounts, copies, grants, notices, read
from bank.store.accounts import Account
from bank.store.connect import Reader, Writer, writing
from bank.store.post import post


def apply(bank: Bank, plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    """Make the books what a file says, in one transaction, then Slurm what the books say.

    Before a dump is applied the whole database is kept as it is, and as JSON where
    DATABASE_BACKUP_JSON says so. What fails leaves everything as it was.

    Args:
        bank: see `Bank`.
        plan: what the file would change.
        dry_run: do all of it in the books and take it back; Slurm is left alone.

    Returns:
        What was kept before, and where: None where nothing was to be changed.

    Raises:
        Refusal: the books are not any more what the plan was made for.
        SlurmError: Slurm did not say what was used until now, and accounts are to be closed.
    """
    kept: dict[str, str] = {}
    if plan.differences:
        if _begins_or_ends_counting(bank, plan):
            read_all_meters(bank, dry_run=dry_run)
        with writing(bank.database, dry_run=dry_run) as writer:
            found = found_against(bank, plan, find_present(writer))
            # What people were told may change with each reading of the meters, also with ours.
            if without_flags(found) != without_flags(plan.differences):
                raise Refusal(
                    "books_changed",
                    f"the books were changed since {plan.file} was compared with them: nothing was"
                    " done; look at the differences again",
                )
            plan = plan._replace(differences=found)
            if plan.is_dump and not dry_run:
                kept = _keep(bank, writer)
            _write(bank, writer, plan)
            ends = newest(
                accounts.find_many(writer, [one.account for one in plan.differences]).values()
            )
        if not dry_run:
            log(bank, plan.verb, file=plan.file, sha256=plan.digest, **kept, **ends)
            enforce_soon(bank, [one.account for one in plan.differences], only=None)
    return {"kept": kept.get("kept"), "kept_json": kept.get("kept_json"), "is_dry_run": dry_run}


def _begins_or_ends_counting(bank: Bank, plan: Plan) -> bool:
    """Tell whether what was used until now must be booked first, as `insert` and `delete` do."""
    is_closing = any(one.after is None for one in plan.differences)
    is_opening = any(one.before is None for one in plan.differences)
    return is_closing or (is_opening and bank.settings.usage_baseline == "now")


def _keep(bank: Bank, reader: Reader) -> dict[str, str]:
    """Keep what is there, under the lock that the change is made under, and never over a file."""
    now = bank.clock()
    kept = {"kept": f"{bank.settings.database}.before-repopulate-{now}"}
    if bank.settings.database_backup_json:
        root, ending = os.path.splitext(bank.settings.database_backup_json)
        kept["kept_json"] = f"{root}-{now}{ending}"
        dumps.dump_in(bank, reader, kept["kept_json"])
    copies.copy_to(bank.database, kept["kept"])
    return kept


def _write(bank: Bank, writer: Writer, plan: Plan) -> None:
    closed = [one.account for one in plan.differences if one.after is None]
    opened = {
        one.account: one.after
        for one in plan.differences
        if one.before is None and one.after is not None
    }
    for name in closed:
        standing = read.standing(writer, name)
        assert standing is not None
        periods.close_account(bank, writer, standing, reason=plan.reasons.get(name, plan.reason))
    accounts.show(writer, bank.database, closed)
    ids = {name: plan.ids[name] for name in opened if name in plan.ids}
    accounts.keep_ids(writer, bank.database, ids)
    openings = [
        Opening(name, state.limit, plan.reasons.get(name, plan.reason), state.started_on)
        for name, state in opened.items()
    ]
    periods.open_accounts(bank, writer, openings)
    _change_open(bank, writer, plan)
    _write_told(bank, writer, plan)


def _change_open(bank: Bank, writer: Writer, plan: Plan) -> None:
    """Set limit and first day of accounts that are open and stay so."""
    wanted = {
        one.account: one.after
        for one in plan.differences
        if one.before is not None and one.after is not None
    }
    now = bank.clock()
    turn(bank, writer, list(wanted), at=now)
    found = accounts.find_many(writer, list(wanted))
    _refuse_below_dated(writer, plan, wanted)
    accounts.change_many(
        writer,
        {
            name: {"is_unlimited": state.limit is None, **_beginning(found[name], state.started_on)}
            for name, state in wanted.items()
        },
        actor=bank.actor,
        reasons={name: plan.reasons.get(name, plan.reason) for name in wanted},
        now=now,
    )
    moves = {
        name: state.limit - found[name].books.granted
        for name, state in wanted.items()
        if state.limit is not None
    }
    drafts = [
        _draft(bank, plan, name, moved, found[name].grant_id)
        for name, moved in moves.items()
        if moved
    ]
    post(writer, drafts, now=now)
    accounts.show(writer, bank.database, list(wanted))


def _refuse_below_dated(writer: Writer, plan: Plan, wanted: Mapping[str, State]) -> None:
    """Refuse a limit that is less than what an account's grants with dates have.

    Raises:
        Refusal: names the accounts.
    """
    dated = grants.find_dated_totals(writer)
    less = [
        f"{name} {format_su(state.limit)} (its grants with dates have {format_su(dated[name])})"
        for name, state in wanted.items()
        if name in dated and state.limit is not None and state.limit < dated[name]
    ]
    if less:
        raise Refusal(
            "less_than_dated",
            f"{plan.file} gives less than what grants with dates have: {listed(less)}; 'withdraw"
            " --grant' takes SUs back from one",
        )


def _beginning(account: Account, started_on: str) -> dict[str, accounts.Value]:
    """Return what changes in an account's row where its period begins on another day."""
    if account.period_started_on == started_on:
        return {}
    return periods.beginning(account, started_on)


def _draft(bank: Bank, plan: Plan, name: str, moved: int, grant_id: int | None) -> Draft:
    """Return the entry that gives an account SUs, or takes them back where `moved` is below 0."""
    books = (TREASURY, AVAILABLE) if moved > 0 else (AVAILABLE, TREASURY)
    kind = "deposit" if moved > 0 else "withdrawal"
    reason = plan.reasons.get(name, plan.reason)
    what = "dump" if plan.is_dump else "import"
    return Draft(
        name,
        "adjustment" if plan.is_dump else kind,
        *books,
        abs(moved),
        bank.actor,
        reason,
        grant_id,
        reference=f"{what} {plan.digest[:16]}",
    )


def _write_told(bank: Bank, writer: Writer, plan: Plan) -> None:
    """Write down what people were told before, so that they are not told again."""
    # Whoever told it knows what was said.
    raised = {
        (one.account, event): "{}"
        for one in plan.differences
        if one.after is not None
        for event in sorted(one.after.told)
    }
    notices.write_raised(writer, raised, now=bank.clock(), is_told=True)
    notices.show_flags(writer, bank.database, [one.account for one in plan.differences])
