"""Files of accounts: checked whole, and compared with the books. Nothing is changed here."""

import os
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from bank.errors import InputError, Refusal
from bank.ledger.names import listed
from bank.operations import dumps
from bank.operations.bank import Bank
from bank.operations.metering import missing_in_slurm
from bank.policy import difference, grants, periods, thresholds
from bank.policy.difference import Difference, State
from bank.policy.dumps import rows_of_csv, rows_of_json
from bank.policy.thresholds import FLAGS
from bank.store import notices, read
from bank.store.connect import Reader, reading

Found = TypeVar("Found")
_NOT_CARRIED = (
    "a dump has whole SUs, first days and flags only: fractions of SUs, grants, reasons, holds by"
    " hand and history are not in it; what the bank has of them stays"
)


_TOP_UPS_RESET = (
    "ON_TOP_UP is 'reset': a dump does not say how much use a top-up has booked off, so one from"
    " before a top-up gives back its limit, and not the use that was booked off since"
)


class Present(NamedTuple):
    """Every open account, and the billing-seconds that each and all below it have used."""

    states: dict[str, State]
    used: dict[str, int]


class Plan(NamedTuple):
    """What a file would change.

    Attributes:
        verb: what it was read for.
        file: its path.
        digest: its SHA-256.
        wanted: every account of it.
        ids: the number of each account in it, where it has numbers.
        reasons: why, by account, where it is not `reason`.
        reason: why, for all others.
        is_dump: whether it is a dump, which has all accounts, and whole SUs.
        differences: between the books and the file, when it was read.
        notes: what a person should know.
    """

    verb: str
    file: str
    digest: str
    wanted: dict[str, State]
    ids: dict[str, int]
    reasons: dict[str, str]
    reason: str
    is_dump: bool
    differences: list[Difference]
    notes: list[str]


def plan_repopulate(bank: Bank, verb: str, path: str, *, reason: str) -> Plan:
    """Read a dump and compare it with the books; nothing is changed.

    Args:
        bank: settings and database.
        verb: "repopulate_json" or "repopulate_csv".
        path: the dump.
        reason: for the history; "" where none was given.

    Raises:
        InputError: not all of it can be taken as it is.
        Refusal: it has no accounts, and the bank has.
    """
    content = dumps.read(path)
    if verb == "repopulate_csv" and not content.is_checked:
        beside = dumps.checksum_path(path)
        raise InputError(
            f"{path} has no {beside}, and nothing else shows that rows are missing at its end:"
            f" look at it, then make that with 'sha256sum {path} > {beside}'"
        )
    rows = _all_of(path, rows_of_csv if verb == "repopulate_csv" else rows_of_json, content.text)
    with reading(bank.database) as reader:
        present = find_present(reader)
    if present.states and not rows:
        raise Refusal(
            "empty_dump",
            f"{path} has no accounts, and would close all {len(present.states)} of the bank:"
            " delete them one by one if that is meant",
        )
    notes = [_NOT_CARRIED]
    if bank.settings.on_top_up == "reset":
        notes.append(_TOP_UPS_RESET)
    if not content.is_checked:
        notes.insert(
            0, f"{path} has no {path}.sha256: nobody can tell whether it was changed since"
        )
    plan = Plan(
        verb,
        path,
        content.digest,
        {row.account: State(row.limit, row.started_on, row.told) for row in rows},
        {row.account: row.number for row in rows},
        {},
        reason or _reason(verb, path),
        is_dump=True,
        differences=[],
        notes=notes,
    )
    return _compared(bank, plan, present)


def plan_import(bank: Bank, path: str, *, reason: str) -> Plan:
    """Read grants and compare them with the books; nothing is changed.

    Raises:
        InputError: not all of it can be taken as it is.
        Refusal: an account is to be opened that Slurm does not have.
        SlurmError: Slurm did not say whether it has it.
    """
    content = dumps.read(path)
    found = _all_of(path, grants.read, content.text)
    with reading(bank.database) as reader:
        present = find_present(reader)
    new = State(None, "")
    wanted = {
        grant.account: present.states.get(grant.account, new)._replace(
            limit=grant.amount, started_on=grant.started_on
        )
        for grant in found
    }
    _require_in_slurm(bank, path, set(wanted) - set(present.states))
    plan = Plan(
        "import_csv",
        path,
        content.digest,
        wanted,
        {},
        # What a person says now goes before what a line says: an export has said it of old.
        {} if reason else {grant.account: grant.reason for grant in found if grant.reason},
        reason or _reason("import_csv", path),
        is_dump=False,
        differences=[],
        notes=[],
    )
    return _compared(bank, plan, present)


def _reason(verb: str, path: str) -> str:
    """Return what the history says where a person gives no reason."""
    name = os.path.basename(path)
    # A name may hold anything, also what is no text.
    return f"{verb} {name if name.isprintable() else ascii(name)}"


def _all_of(path: str, read_text: Callable[[str], list[Found]], text: str) -> list[Found]:
    try:
        return read_text(text)
    except InputError as error:
        raise InputError(f"{path}: {error}", error.problems) from error


def find_present(reader: Reader) -> Present:
    """Return every open account as a file of accounts can say it."""
    told: dict[str, set[str]] = {}
    for name, event in notices.find_open(reader):
        if event in FLAGS:
            told.setdefault(name, set()).add(event)
    standings = read.standings(reader)
    states = {
        name: State(
            standing.limit,
            standing.account.period_started_on or "",
            frozenset(told.get(name, ())),
        )
        for name, standing in standings.items()
    }
    return Present(states, {name: standing.used for name, standing in standings.items()})


def found_against(bank: Bank, plan: Plan, present: Present) -> list[Difference]:
    """Return the differences between the open accounts and what a file wants."""
    wanted = difference.with_days(
        present.states, plan.wanted, _to_be_renewed(bank, plan.wanted, present)
    )
    if plan.is_dump:
        wanted = _as_far_as_it_says(bank, wanted, present)
    return difference.compare(present.states, wanted, is_complete=plan.is_dump)


def _as_far_as_it_says(bank: Bank, wanted: dict[str, State], present: Present) -> dict[str, State]:
    """Return what a dump wants where it can say it, and what is so where it cannot."""
    settings = bank.settings
    wanted = difference.with_fractions(present.states, wanted)
    reached = {
        name: thresholds.reached(
            limit=state.limit,
            used=present.used[name],
            lower_percent=settings.lower_limit_percent,
            upper_percent=settings.upper_limit_percent,
        )
        for name, state in wanted.items()
        if name in present.states
    }
    return difference.with_told(present.states, wanted, reached)


def _to_be_renewed(bank: Bank, wanted: dict[str, State], present: Present) -> list[str]:
    """Return the open accounts whose periods a file would let end, and ON_END renew at once.

    What they have used in their present periods would be forgiven by a file from before these.
    """
    if bank.settings.on_end != "renew":
        return []
    return [
        name
        for name, state in wanted.items()
        if name in present.states
        and state.started_on < present.states[name].started_on
        and _is_over(bank, state)
    ]


def _is_over(bank: Bank, state: State) -> bool:
    length_days = bank.settings.proposal_length_days
    found = periods.period(state.started_on, length_days=length_days, today=bank.today())
    return found.event == periods.ENDED


def _compared(bank: Bank, plan: Plan, present: Present) -> Plan:
    notes = list(plan.notes)
    if younger := _to_be_renewed(bank, plan.wanted, present):
        notes.append(
            "with the first day that they have, because a period that began on the file's is over"
            f" and would be renewed at once, with nothing used (ON_END): {listed(younger)}"
        )
    if plan.is_dump:
        rounded = difference.with_fractions(present.states, plan.wanted)
        kept = [name for name, state in rounded.items() if state != plan.wanted[name]]
        if kept:
            notes.append(f"with the fraction of an SU that they have: {listed(kept)}")
    found = found_against(bank, plan, present)
    if empty := [one.account for one in found if _is_to_be_held(one, present)]:
        notes.append(f"with nothing left, and so held: {listed(empty)}")
    if found and plan.is_dump:
        _require_place_to_keep(bank)
    return plan._replace(differences=found, notes=notes)


def _is_to_be_held(found: Difference, present: Present) -> bool:
    """Tell whether an account has something left, or is not open, and is to have nothing left."""
    used = present.used.get(found.account, 0)
    return not _has_nothing(found.before, used) and _has_nothing(found.after, used)


def _has_nothing(state: State | None, used: int) -> bool:
    return state is not None and state.limit is not None and state.limit <= used


def _require_place_to_keep(bank: Bank) -> None:
    """Refuse what could not be done, because what is there before cannot be kept, also a rehearsal.

    Raises:
        InputError: nobody can write there.
    """
    path = bank.settings.database_backup_json
    directory = os.path.dirname(path) or "."
    if path and not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(
            f"DATABASE_BACKUP_JSON {path}: files cannot be made in {directory}: make that"
            " directory, or correct the settings"
        )


def _require_in_slurm(bank: Bank, path: str, names: Collection[str]) -> None:
    missing = missing_in_slurm(bank, names)
    if missing:
        raise Refusal(
            "no_such_account",
            f"{path}: Slurm has no account {listed(missing)}: make it with 'sacctmgr add account',"
            " or correct the file",
        )


def describe(plan: Plan) -> dict[str, Any]:
    """Return what a file would change as plain data for a person or a program."""
    changed = [one for one in plan.differences if one.account in plan.wanted]
    return {
        "verb": plan.verb,
        "file": plan.file,
        "sha256": plan.digest,
        "accounts": len(plan.wanted),
        "unchanged": len(plan.wanted) - len(changed),
        "changed": len(plan.differences),
        "differences": [
            line._asdict() for one in plan.differences for line in difference.lines(one)
        ],
        "notes": plan.notes,
    }
