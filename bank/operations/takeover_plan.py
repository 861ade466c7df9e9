"""What a takeover is to do: which rows and holds are taken, and what the first pass then does."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_MINUTE
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, all_clusters
from bank.operations.limits import hold_limit_name
from bank.operations.places import changed_places, with_all_below
from bank.operations.spans import period_from
from bank.operations.strangers import cannot_be_named, strangers, unknown_accounts
from bank.policy import moving_in, tree
from bank.policy.comparison import HOLD, Compared, Seen, Site, compare
from bank.policy.enforcement import HOLD_LIMITS
from bank.policy.moving_in import Choices, Conflict, Held, Selection, Unusable
from bank.policy.periods import ENDED
from bank.policy.predecessor import COLUMNS, Row, name_in_slurm
from bank.slurm import assoc_mgr
from bank.slurm.assoc_mgr import AccountRow, Associations
from bank.slurm.command import run
from bank.store.takeover import OldTable


class Report(NamedTuple):
    """What a takeover does, or would do.

    Attributes:
        kept: the copy of the predecessor's file, None where nothing was written.
        is_refused: whether something must be chosen first.
        rows: rows of the predecessor's table.
        taken: rows that were taken.
        folded: rows whose name is written in lower case now.
        extra_columns: columns that the predecessor did not make; they stay in the copy.
        lost: triggers and indexes that somebody made on its table; they stay in the copy too.
        gone: accounts with a row that Slurm does not have.
        unknown: accounts that Slurm has and that count for nobody in the bank.
        adopted, others: holds in force, taken over or left to whoever set them.
        compared: every account that either of them looks at.
    """

    database: str
    kept: str | None
    is_dry_run: bool
    is_refused: bool
    rows: int
    taken: int
    folded: list[Row]
    conflicts: list[Conflict]
    unusable: list[Unusable]
    left_out: list[Unusable]
    wrong_choices: list[str]
    extra_columns: list[str]
    lost: list[str]
    gone: list[str]
    unknown: list[str]
    adopted: list[Held]
    others: list[Held]
    compared: list[Compared]
    notes: list[str]


class Plan(NamedTuple):
    """The rows that are taken, the holds that are, and what is said of all."""

    selection: Selection
    adopted: list[Held]
    report: Report


def make_plan(bank: Bank, old: OldTable, choices: Choices, *, dry_run: bool) -> Plan:
    """Ask Slurm, and work out what becomes of each row and each hold.

    Args:
        bank: names Slurm, and the settings.
        old: the predecessor's table.
        choices: what somebody chose.
        dry_run: whether nothing is going to be written.

    Raises:
        SlurmError: Slurm did not answer or was not understood.
    """
    rows = [dict(zip(old.columns, row, strict=True)) for row in old.rows]
    selection = moving_in.select_rows(rows, choices)
    slurm, notes = _ask(bank)
    seen = _seen(bank, rows, selection, slurm)
    # What is not decided yet is in none of the lists.
    undecided = _undecided(rows, selection)
    for name in undecided:
        seen.pop(name, None)
    adopted, others = _holds(bank, seen, slurm, choices)
    ours = {held.account for held in adopted}
    site = _site(bank, slurm)
    compared = [compare(one._replace(is_ours=one.name in ours), site) for one in seen.values()]
    claimed = {held.account for held in adopted if held.why == moving_in.CHOSEN}
    unknown = _unknown(bank, selection, slurm) & set(seen)
    wrong = selection.wrong_choices + [
        f"ours:{name}: there is no hold on {name} that could be somebody else's"
        for name in sorted(choices.ours - claimed - undecided)
    ]
    report = Report(
        database=bank.settings.database,
        kept=None,
        is_dry_run=dry_run,
        is_refused=bool(selection.conflicts or selection.unusable or wrong),
        rows=len(rows),
        taken=len(selection.taken),
        folded=[row for row in selection.taken if row.written != row.account],
        conflicts=selection.conflicts,
        unusable=selection.unusable,
        left_out=selection.left_out,
        wrong_choices=wrong,
        extra_columns=[name for name in old.columns if name not in COLUMNS],
        lost=old.lost,
        gone=[name for name, one in seen.items() if one.taken and not one.raw],
        unknown=sorted(unknown),
        adopted=adopted,
        others=others,
        compared=compared,
        notes=[
            *notes,
            *moving_in.notes(list(seen.values()), site, is_end_told=_is_end_told(bank)),
            *cannot_be_named(unknown),
            *_stopped_by_parents(selection.taken, compared, slurm),
        ],
    )
    return Plan(selection, adopted, report)


def _undecided(rows: list[dict[str, Any]], selection: Selection) -> set[str]:
    """Return the accounts of which nobody has chosen yet what becomes of them."""
    numbers = {row.number for row in selection.unusable}
    unusable = {name_in_slurm(row["account"]) for row in rows if row["id"] in numbers}
    return {name for name in unusable if name} | {one.account for one in selection.conflicts}


def _is_end_told(bank: Bank) -> bool:
    return bank.settings.check_dates and bool(bank.settings.notify_command)


def _ask(bank: Bank) -> tuple[list[tuple[Cluster, Associations]], list[str]]:
    """Ask every cluster; say what somebody should know of the settings."""
    notes = []
    if bank.settings.usage_baseline == "now":
        notes.append(
            "USAGE_BASELINE = 'now': what was used so far is forgiven, every account begins with"
            " nothing used of its whole limit, and is released if it was held for its use"
        )
    found = []
    for cluster in all_clusters(bank):
        output = run(bank.slurm, assoc_mgr.arguments(cluster.on))
        found.append((cluster, assoc_mgr.read_all(output, cluster.name)))
    return found, notes


def _site(bank: Bank, slurm: list[tuple[Cluster, Associations]]) -> Site:
    settings = bank.settings
    return Site(
        tuple(cluster.name for cluster, _ in slurm),
        settings.project_prefix,
        settings.usage_baseline,
        settings.unknown_accounts,
        settings.default_allocation,
        settings.hold_counts_running and settings.enforcement == "hold",
        settings.on_end if settings.check_dates else "report",
    )


def _seen(
    bank: Bank,
    rows: list[dict[str, Any]],
    selection: Selection,
    slurm: list[tuple[Cluster, Associations]],
) -> dict[str, Seen]:
    """Return every account that has a row or that Slurm has, in the order of the names."""
    taken = {row.account: row for row in selection.taken}
    by_name: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_name[name_in_slurm(row["account"])].append(row)
    raw: dict[str, dict[str, int]] = defaultdict(dict)
    used: dict[str, int] = defaultdict(int)
    running: dict[str, int] = defaultdict(int)
    held, to_stop = set(), set()
    for cluster, found in slurm:
        banked = with_all_below(found, set(taken))
        to_stop |= strangers(found, banked, unknown_accounts(bank, found, banked))
        for name, amount in _counted(found).items():
            shown = found.accounts[name]
            raw[name][cluster.name] = shown.raw
            used[name] += amount
            running[name] += shown.running_minutes * BILLING_SECONDS_PER_MINUTE
            if _held_by(shown):
                held.add(name)
    if bank.settings.usage_baseline == "now":
        used.clear()
    return {
        name: Seen(
            name,
            tuple(by_name[name]),
            taken.get(name),
            dict(raw[name]),
            used[name],
            running[name],
            _ended_on(bank, taken.get(name)),
            is_held=name in held,
            is_stranger=name in to_stop,
        )
        for name in sorted({*taken, *raw} - {"root"})
    }


def _unknown(
    bank: Bank, selection: Selection, slurm: list[tuple[Cluster, Associations]]
) -> set[str]:
    names = {row.account for row in selection.taken}
    return {
        name
        for _, found in slurm
        for name in unknown_accounts(bank, found, with_all_below(found, names))
    }


def _ended_on(bank: Bank, row: Row | None) -> str | None:
    """Return the last day of the period of a row, where that is over."""
    if row is None:
        return None
    found = period_from(bank, row.started_on)
    return found.last_day.isoformat() if found.event == ENDED else None


def _counted(slurm: Associations) -> dict[str, int]:
    """Return what the first reading counts for each account: for itself, and for all below it."""
    places, _ = changed_places({}, slurm, set(slurm.accounts))
    own = {name: place.orphaned for name, place in places.items()}
    for user in slurm.users:
        own[user.account] += user.raw
    total = dict(own)
    # The tree is listed from the top, so this adds up children before their parents.
    for name in reversed(slurm.accounts):
        parent = slurm.accounts[name].parent
        if parent is not None:
            total[parent] += total[name]
    return total


def _holds(
    bank: Bank,
    seen: Mapping[str, Seen],
    slurm: list[tuple[Cluster, Associations]],
    choices: Choices,
) -> tuple[list[Held], list[Held]]:
    """Tell the predecessor's holds from those of others; where that cannot be told, say both."""
    adopted, others = [], []
    account_hold = hold_limit_name(bank.settings)
    for cluster, found in slurm:
        for name, row in found.accounts.items():
            held_by = _held_by(row)
            if name in seen and held_by:
                mine, theirs = moving_in.sort_holds(
                    cluster.name,
                    seen[name],
                    held_by,
                    account_hold=account_hold,
                    ours=choices.ours,
                )
                adopted += mine
                others += theirs
    return sorted(adopted), sorted(others)


def _held_by(row: AccountRow) -> list[str]:
    """Return the limits that are 0, of those by which the predecessor can hold an account."""
    return [name for name in HOLD_LIMITS if assoc_mgr.limit(row, name) == 0]


def _stopped_by_parents(
    taken: list[Row], compared: list[Compared], slurm: list[tuple[Cluster, Associations]]
) -> list[str]:
    """Name the accounts that have something left below one that is held."""
    held = {one.account for one in compared if one.new == HOLD}
    left = {row.account for row in taken} - held
    notes = []
    for cluster, found in slurm:
        parents = {name: row.parent for name, row in found.accounts.items()}
        for name in sorted(left & set(parents)):
            above = next((one for one in tree.ancestors(parents, name) if one in held), None)
            if above is not None:
                notes.append(
                    f"{cluster.name}: {name} is stopped too, because {above} above it is held:"
                    " so it was before (37)"
                )
    return notes
