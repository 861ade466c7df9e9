"""Files of accounts: checked whole, and compared with the books. Nothing is changed here."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from bank.errors import InputError, Refusal
from bank.ledger.names import listed
from bank.ledger.references import of_file
from bank.operations import dumps
from bank.operations.bank import Bank
from bank.operations.present import TIMES, Present, find_present
from bank.operations.shares import above_in_slurm
from bank.operations.spans import period_from
from bank.policy import difference, grant_files, thresholds
from bank.policy.difference import Difference, Line, State
from bank.policy.dumps import rows_of_csv, rows_of_json
from bank.policy.grant_files import GrantLine, Span
from bank.policy.periods import ENDED
from bank.store import grants
from bank.store.connect import reading

Found = TypeVar("Found")
_NOT_CARRIED = (
    "a dump has whole SUs, first days and flags only: fractions of SUs, grants, reasons, holds by"
    " hand and history are not in it; what the bank has of them stays"
)


_TOP_UPS_RESET = (
    "ON_TOP_UP is 'reset': a dump does not say how much use a top-up has booked off, so one from"
    " before a top-up gives back its limit, and not the use that was booked off since"
)
_DATED = (
    "a limit in a dump is all that an account had, also of grants with dates: what differs is given"
    " to the grant without an end, or taken from it, and grants with dates stay as they are, but"
    " for accounts that are closed, whose grants all end"
)


class Plan(NamedTuple):
    """What a file would change.

    Attributes:
        verb: what it was read for.
        file: its path.
        digest: its SHA-256.
        wanted: every account of it, as it wants it.
        reason: why.
        is_dump: whether it is a dump, which has all accounts, and whole SUs.
        force: whether an account may be given more than the one above it has.
        ids: the number of each account in a dump.
        grants: the lines of a file of grants.
        reasons: why, by account and span of a grant with dates, where it is not `reason`.
        above: what is above the accounts that are to be opened, in Slurm.
        differences: between the books and the file, when it was read.
        notes: what a person should know.
    """

    verb: str
    file: str
    digest: str
    wanted: dict[str, State]
    reason: str
    is_dump: bool
    force: bool = False
    ids: Mapping[str, int] = {}
    grants: Sequence[GrantLine] = ()
    reasons: Mapping[tuple[str, Span | None], str] = {}
    above: Mapping[str, tuple[tuple[str, ...], ...]] = {}
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()

    def why(self, name: str, span: Span | None = None) -> str:
        """Return why an account is changed, or one of its grants with dates."""
        return self.reasons.get((name, span), self.reason)

    @property
    def reference(self) -> str:
        """What entries say that rest on the file."""
        return of_file(self.digest, is_dump=self.is_dump)

    @property
    def accounts(self) -> set[str] | None:
        """The accounts that it can change; None is all."""
        return None if self.is_dump else set(self.wanted)


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
    present = find_present(bank, of_grants=False, names=None)
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
    with reading(bank.database) as reader:
        dated = grants.find_ever_dated(reader)
    if dated := dated.intersection({*present.states, *(row.account for row in rows)}):
        notes.append(f"{_DATED}: {listed(sorted(dated))}")
    plan = Plan(
        verb,
        path,
        content.digest,
        {row.account: State(row.limit, row.started_on, row.told) for row in rows},
        reason or _reason(verb, path),
        is_dump=True,
        ids={row.account: row.number for row in rows},
        notes=notes,
    )
    return _compared(bank, plan, present)


def plan_import(bank: Bank, path: str, *, reason: str, force: bool = False) -> Plan:
    """Read grants and compare them with the books; nothing is changed.

    Args:
        bank: settings and database.
        path: the file.
        reason: for the history, before what the lines say; "" where none was given.
        force: give accounts more than those above them have, or leave them less than those below.

    Raises:
        InputError: not all of it can be taken as it is.
        Refusal: an account is to be opened that Slurm does not have.
        SlurmError: Slurm did not say whether it has it.
    """
    content = dumps.read(path)
    read_text = partial(grant_files.read, times=TIMES, now=bank.clock())
    found = _all_of(path, read_text, content.text)
    present = find_present(bank, of_grants=True, names={grant.account for grant in found})
    plan = Plan(
        "import_csv",
        path,
        content.digest,
        {},
        reason or _reason("import_csv", path),
        is_dump=False,
        force=force,
        grants=found,
        # What a person says now goes before what a line says: an export has said it of old.
        reasons={}
        if reason
        else {(grant.account, grant.span): grant.reason for grant in found if grant.reason},
    )
    plan = plan._replace(wanted=_wanted(bank, plan, present))
    above = _require_in_slurm(bank, path, set(plan.wanted) - set(present.states))
    return _compared(bank, plan._replace(above=above), present)


def _wanted(bank: Bank, plan: Plan, present: Present) -> dict[str, State]:
    """Return what a file wants of each of its accounts; of grants it says only some."""
    if plan.is_dump:
        return plan.wanted
    return difference.with_grants(
        present.states,
        plan.grants,
        today=bank.today(),
        carry_percent=bank.settings.carry_over_percent,
    )


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


def found_against(bank: Bank, plan: Plan, present: Present) -> list[Difference]:
    """Return the differences between the open accounts and what a file wants."""
    wanted = _wanted(bank, plan, present)
    wanted = difference.with_days(present.states, wanted, _to_be_renewed(bank, wanted, present))
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
        and period_from(bank, state.started_on).event == ENDED
    ]


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
        owing = [name for name in kept if (rounded[name].limit or 0) < 0]
        if fractions := [name for name in kept if name not in owing]:
            notes.append(f"with the fraction of an SU that they have: {listed(fractions)}")
        if owing:
            notes.append(f"with what they owe, which a dump says as 0: {listed(owing)}")
    found = found_against(bank, plan, present)
    now = bank.clock()
    if empty := [one.account for one in found if _is_to_be_held(one, present, now)]:
        notes.append(f"with nothing left, and so held: {listed(empty)}")
    if found and plan.is_dump:
        _require_place_to_keep(bank)
    return plan._replace(differences=found, notes=notes)


def _is_to_be_held(found: Difference, present: Present, now: int) -> bool:
    """Tell whether an account has something left, or is not open, and is to have nothing left."""
    left = present.besides.get(found.account, 0) - present.used.get(found.account, 0)
    return not _has_nothing(found.before, left, now) and _has_nothing(found.after, left, now)


def _has_nothing(state: State | None, left: int, now: int) -> bool:
    allocation = None if state is None else state.allocation(now)
    return allocation is not None and allocation + left <= 0


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


def _require_in_slurm(
    bank: Bank, path: str, names: Collection[str]
) -> dict[str, tuple[tuple[str, ...], ...]]:
    above = above_in_slurm(bank, names)
    if missing := sorted(set(names) - set(above)):
        raise Refusal(
            "no_such_account",
            f"{path}: Slurm has no account {listed(missing)}: make it with 'sacctmgr add account',"
            " or correct the file",
        )
    return above


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
            _described(line) for one in plan.differences for line in difference.lines(one)
        ],
        "notes": list(plan.notes),
    }


def _described(line: Line) -> dict[str, str | None]:
    account, change, before, after, span = line
    start, end, kind = (
        (None, None, None)
        if span is None
        else (TIMES.write(span.start_at), TIMES.write(span.end_at), span.kind)
    )
    return {
        "account": account,
        "start": start,
        "end": end,
        "kind": kind,
        "change": change,
        "before": before,
        "after": after,
    }
