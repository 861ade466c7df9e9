"""Limits in Slurm: write the intent, change Slurm, ask the controller, write the result."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_MINUTE
from bank.operations import changes
from bank.operations.bank import Bank
from bank.operations.changes import Change
from bank.operations.clusters import Cluster
from bank.policy import enforcement
from bank.policy.enforcement import HELD, HOLD_LIMITS, NATIVE_LIMIT, Association, Ours
from bank.settings import Settings
from bank.slurm import assoc_mgr
from bank.slurm.assoc_mgr import Associations, Limited
from bank.store import limits
from bank.store.connect import writing
from bank.store.limits import Limit


class Done(NamedTuple):
    """What was done and found on one cluster."""

    held_now: list[Association]
    released: list[Association]
    held: list[Association]
    held_by_others: list[Association]
    limited: list[Association]
    unconfirmed: list[Association]
    notes: list[str]


class Wanted(NamedTuple):
    """What the bank wants of an account, or of a user's association, on one cluster.

    Attributes:
        is_held: whether it is to be stopped.
        native_minutes: GrpTRESMins=billing, None for none of the bank's.
    """

    is_held: bool
    native_minutes: int | None = None


class Work(NamedTuple):
    """What is to be done, decided but not begun."""

    sets: list[Limit]
    releases: list[Limit]
    confirmed: list[Limit]
    forgotten: list[Limit]


def hold_limit_name(settings: Settings) -> str:
    """Return the limit that ACCOUNT_HOLD chooses, as sacctmgr takes it before "=VALUE"."""
    hold = settings.account_hold
    return hold if hold in ("GrpJobs", "GrpSubmitJobs") else f"{hold}=cpu"


def apply(
    bank: Bank,
    cluster: Cluster,
    slurm: Associations,
    rows: Mapping[Association, Limited],
    wanted: Mapping[Association, Wanted],
    ours: Sequence[Limit],
    *,
    dry_run: bool,
) -> Done:
    """Make the bank's limits in Slurm what they should be.

    Args:
        bank: settings, Slurm, database.
        cluster: where.
        slurm: what the controller just said.
        rows: what of it has limits: every account, and every user with a limit in the bank or on
            record.
        wanted: what the bank wants of each; those that are not in it are left alone.
        ours: the bank's own limits there, as on record.
        dry_run: decide only.
    """
    names = {hold_limit_name(bank.settings), *(limit.limit for limit in ours)}
    if bank.settings.enforcement == "limit":
        names.add(NATIVE_LIMIT)
    present = changes.shown_limits(rows, names)
    report = Done([], [], [], [], [], [], [])
    work = _decided(bank, cluster, rows, wanted, ours, present, report)
    report.held_by_others.extend(_stopped_by_others(rows, wanted, ours))
    # One of the same name that is made again has no limit, and not the original of this one.
    work.forgotten.extend(limit for limit in ours if limit.association not in rows)
    if not dry_run and any(work):
        report.unconfirmed.extend(sorted(_do(bank, cluster, work)))
    in_force = {
        limit.association
        for limit in ours
        if limit.is_hold and present[limit.limit].get(limit.association) == HELD
    }
    _tell(report, work, wanted, in_force)
    if report.held:
        report.notes.extend(_bypassing(slurm, hold_limit_name(bank.settings)))
    if any(want.native_minutes is not None for want in wanted.values()):
        report.notes.extend(_bypassing(slurm, NATIVE_LIMIT))
    return report


def _do(bank: Bank, cluster: Cluster, work: Work) -> set[Association]:
    """Write the intent, change Slurm, and write what the controller shows.

    Returns:
        The associations for which it does not show all.
    """
    _write_intent(bank, work)
    # What stops accounts goes first.
    sets = sorted(work.sets, key=lambda limit: limit.value != HELD)
    to_set = [Change(one.association, one.limit, one.value) for one in sets]
    late = changes.make(bank, cluster, to_set)
    # What was before is taken back only where what takes its place is there.
    freed = [limit for limit in work.releases if limit.association not in late]
    back = [Change(one.association, one.limit, one.original) for one in freed]
    still = changes.make(bank, cluster, back)
    with writing(bank.database) as writer:
        confirmed = [limit for limit in work.sets if limit.association not in late]
        limits.confirm(writer, confirmed, now=bank.clock())
        limits.forget(writer, [limit for limit in freed if limit.association not in still])
    return late | still


def _tell(
    report: Done,
    work: Work,
    wanted: Mapping[Association, Wanted],
    in_force: set[Association],
) -> None:
    """Say what became of what was changed."""
    failed = set(report.unconfirmed)
    for limit in work.sets:
        association = limit.association
        if association in failed:
            continue
        if not limit.is_hold:
            report.limited.append(association)
            continue
        report.held.append(association)
        # Another limit that holds what was held before is no news.
        if association not in in_force:
            report.held_now.append(association)
    freed = {limit.association for limit in work.releases if limit.is_hold} - failed
    report.released.extend(one for one in freed if not wanted[one].is_held)
    for names in (report.held_now, report.released, report.held, report.held_by_others):
        names.sort()
    report.limited.sort()


def _decided(
    bank: Bank,
    cluster: Cluster,
    rows: Mapping[Association, Limited],
    wanted: Mapping[Association, Wanted],
    ours: Sequence[Limit],
    present: changes.Shown,
    report: Done,
) -> Work:
    work = Work([], [], [], [])
    hold_limit = hold_limit_name(bank.settings)
    on_record: dict[Association, dict[str, Limit]] = defaultdict(dict)
    for one in ours:
        on_record[one.association][one.limit] = one
    for association, want in wanted.items():
        mine = on_record.get(association, {})
        values: dict[str, int | None] = {hold_limit: HELD if want.is_held else None}
        if want.native_minutes is not None:
            values[NATIVE_LIMIT] = want.native_minutes
        for name in dict.fromkeys((*values, *mine)):
            # The site chose another limit since: what was set by the one before is taken back.
            value = values.get(name)
            record = mine.get(name)
            shown = present[name].get(association)
            known = _as_it_counts(record, value) if record else None
            decision = enforcement.decide(
                wanted=value,
                ours=known,
                present=shown,
                counted_minutes=rows[association].counted_minutes if value else 0,
                tolerance_minutes=bank.settings.limit_tolerance // BILLING_SECONDS_PER_MINUTE,
            )
            if decision.action == enforcement.NOTHING:
                if name == hold_limit and want.is_held:
                    report.held.append(association)
                continue
            new = Limit(
                cluster.name,
                association.account,
                name,
                decision.original,
                "hold",
                None,
                value or HELD,
                frozenset() if known is None else _may_be_shown(known, shown),
                association.user,
                association.partition,
            )
            _sort_in(decision.action, new, record, shown, work, report)
    return work


def _may_be_shown(known: Ours, shown: int | None) -> frozenset[int]:
    """Return the bank's own values that Slurm may show until the next one is there."""
    if not known.confirmed:
        return frozenset({known.value, *known.replaced})
    return frozenset({known.value}) if known.is_shown(shown) else frozenset()


def _stopped_by_others(
    rows: Mapping[Association, Limited],
    wanted: Mapping[Association, Wanted],
    ours: Sequence[Limit],
) -> Iterator[Association]:
    """Yield what a limit of 0 stops that is not the bank's, whichever it is."""
    on_record = {(limit.association, limit.limit) for limit in ours}
    for association in wanted:
        row = rows[association]
        # Quick for the many that have none.
        if "=0(" in row.limits and any(
            assoc_mgr.limit(row, name) == HELD and (association, name) not in on_record
            for name in (NATIVE_LIMIT, *HOLD_LIMITS)
        ):
            yield association


def _as_it_counts(record: Limit, wanted: int | None) -> Ours:
    # One that was to be released, without that having been seen, is a limit again when it is seen.
    is_settled = record.intent == "hold" or wanted is None
    is_confirmed = record.confirmed_at is not None and is_settled
    return Ours(record.original, record.value, record.replaced, is_confirmed)


def _sort_in(
    action: str, new: Limit, record: Limit | None, shown: int | None, work: Work, report: Done
) -> None:
    """Put one decision where it belongs."""
    if action == enforcement.SET:
        work.sets.append(new)
        if record is not None and record.confirmed_at is not None and not new.replaced:
            report.notes.append(_taken_back(new, shown))
        elif record is None and not new.is_hold and new.original is not None:
            report.notes.append(
                f"{_whose(new)}: {new.limit}={new.original} was there before the bank's limit;"
                " it is put back when that ends"
            )
    elif action == enforcement.HELD_BY_OTHERS and record is not None:
        # In place of a limit of the bank's, which stays on record.
        report.held_by_others.append(new.association)
    elif action != enforcement.HELD_BY_OTHERS:
        assert record is not None
        _sort_in_known(action, new, record, work, report)


def _taken_back(new: Limit, shown: int | None) -> str:
    """Say that the bank sets again what somebody changed."""
    put = "" if shown is None else f"; {new.limit}={shown} is put back later"
    if new.is_hold:
        return f"{_whose(new)}: the hold was lifted by others; held again{put}"
    return f"{_whose(new)}: {new.limit} was changed by others; set again{put}"


def _whose(limit: Limit) -> str:
    return f"{'user' if limit.user else 'account'} {limit.association}"


def _sort_in_known(action: str, new: Limit, record: Limit, work: Work, report: Done) -> None:
    if action == enforcement.RELEASE:
        work.releases.append(record._replace(intent="release"))
    elif action == enforcement.CONFIRM:
        work.confirmed.append(record)
        if record.is_hold:
            report.held.append(record.association)
    elif action == enforcement.FORGET:
        work.forgotten.append(record)
    elif action == enforcement.CHANGED_BY_OTHERS:
        work.forgotten.append(record)
        instead = "hold" if record.is_hold else "limit"
        report.notes.append(
            f"{_whose(record)}: {new.limit}={new.original} was set by others in place of"
            f" the {instead}; it is left as it is"
        )


def _write_intent(bank: Bank, work: Work) -> None:
    now = bank.clock()
    with writing(bank.database) as writer:
        limits.write_intent(writer, [*work.sets, *work.releases], now=now)
        limits.confirm(writer, work.confirmed, now=now)
        limits.forget(writer, work.forgotten)


def _bypassing(slurm: Associations, limit: str) -> list[str]:
    """Name every QOS whose own limit wins over the bank's."""
    return [
        f"QOS {name} has {limit}={value} of its own: jobs in it are not stopped by the bank's"
        for name, value in assoc_mgr.qos_limits(slurm, limit).items()
        if value != HELD
    ]
