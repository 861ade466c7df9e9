"""Applying a file of accounts: one transaction, after what was there before is kept."""

import os
from collections.abc import Mapping
from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import format_su
from bank.ledger.entries import Draft
from bank.ledger.names import listed
from bank.operations import dumps, periods
from bank.operations.applying_grants import (
    give_dated,
    refuse_over,
    refuse_unfit,
    take_dated,
    takes_back,
)
from bank.operations.bank import Bank
from bank.operations.booking import book_all_use
from bank.operations.differences import Plan, found_against
from bank.operations.files import log, newest
from bank.operations.following import enforce_soon
from bank.operations.periods import Opening
from bank.operations.present import turn_and_find
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
        if _begins_or_ends_counting(bank, plan) or takes_back(plan, now=bank.clock()):
            book_all_use(bank, dry_run=dry_run)
        with writing(bank.database, dry_run=dry_run) as writer:
            now = bank.clock()
            present = turn_and_find(
                bank, writer, now, of_grants=not plan.is_dump, names=plan.accounts
            )
            refuse_over(plan, now=now)
            found = found_against(bank, plan, present)
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
            before = accounts.find_many(writer, [one.account for one in found])
            _write(bank, writer, plan, now)
            if not plan.is_dump:
                refuse_unfit(bank, writer, plan, before)
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


def _write(bank: Bank, writer: Writer, plan: Plan, now: int) -> None:
    closed = [one.account for one in plan.differences if one.after is None]
    opened = {
        one.account: one.after
        for one in plan.differences
        if one.before is None and one.after is not None
    }
    for name in closed:
        standing = read.standing(writer, name)
        assert standing is not None
        periods.close_account(bank, writer, standing, reason=plan.why(name))
    accounts.show(writer, bank.database, closed)
    ids = {name: plan.ids[name] for name in opened if name in plan.ids}
    accounts.keep_ids(writer, bank.database, ids)
    openings = [
        Opening(name, state.limit, plan.why(name), state.started_on)
        for name, state in opened.items()
    ]
    periods.open_accounts(bank, writer, openings)
    _change_open(bank, writer, plan, now)
    _write_told(bank, writer, plan)


def _change_open(bank: Bank, writer: Writer, plan: Plan, now: int) -> None:
    """Set what accounts have that are open and stay so, and the first days of their periods.

    What is given comes before what is taken back, so that in the end all is there that must be.
    """
    wanted = {
        one.account: one.after
        for one in plan.differences
        if one.before is not None and one.after is not None
    }
    found = accounts.find_many(writer, list(wanted))
    accounts.change_many(
        writer,
        {
            name: {"is_unlimited": state.limit is None, **_beginning(found[name], state.started_on)}
            for name, state in wanted.items()
        },
        actor=bank.actor,
        reasons={name: plan.why(name) for name in wanted},
        now=now,
    )
    moves = _moves(writer, plan, wanted, found)
    if plan.is_dump:
        _refuse_below_dated(writer, plan, wanted, moves)
    post(writer, _drafts(bank, plan, found, moves, sign=1), now=now)
    give_dated(bank, writer, plan, now)
    take_dated(bank, writer, plan, now)
    post(writer, _drafts(bank, plan, found, moves, sign=-1), now=now)
    accounts.show(writer, bank.database, list(wanted))


def _moves(
    reader: Reader, plan: Plan, wanted: Mapping[str, State], found: Mapping[str, Account]
) -> dict[str, int]:
    """Return what is given to the grants without an end, or below 0 taken from them."""
    has = {name: account.books.granted for name, account in found.items()}
    if not plan.is_dump:
        has = grants.find_base_amounts(reader)
    return {
        name: state.limit - has[name]
        for name, state in wanted.items()
        if state.limit is not None and state.limit != has[name]
    }


def _refuse_below_dated(
    reader: Reader, plan: Plan, wanted: Mapping[str, State], moves: Mapping[str, int]
) -> None:
    """Refuse to take from an account what its grants with dates have.

    Raises:
        Refusal: names the accounts.
    """
    dated = grants.find_dated_totals(reader)
    less = [
        f"{name} {format_su(limit)} (its grants with dates have {format_su(dated[name])})"
        for name, move in moves.items()
        if move < 0 and (limit := wanted[name].limit or 0) < dated.get(name, 0)
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


def _drafts(
    bank: Bank, plan: Plan, found: Mapping[str, Account], moves: Mapping[str, int], *, sign: int
) -> list[Draft]:
    """Return the entries that give accounts SUs where the sign is above 0, else take them back."""
    drafts = [
        draft
        for name, move in moves.items()
        if move * sign > 0
        for draft in periods.deposit_drafts(
            bank, name, move, found[name].grant_id, reason=plan.why(name), reference=plan.reference
        )
    ]
    # What the predecessor's table says was neither given nor taken back: it was so.
    return [draft._replace(kind="adjustment") if plan.is_dump else draft for draft in drafts]


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
