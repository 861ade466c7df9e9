"""Holds: write the intent, change Slurm, ask the controller, write the result."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bank.errors import SlurmError
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.policy import enforcement
from bank.policy.enforcement import Ours
from bank.slurm import assoc_mgr, sacctmgr
from bank.slurm.assoc_mgr import Associations
from bank.slurm.command import chunked, run
from bank.store import limits
from bank.store.connect import writing
from bank.store.limits import Limit

HOLD_VALUE = 0
_LONGEST_POLL_SECONDS = 0.5


class Held(NamedTuple):
    """What was done and found on one cluster; lists are of account names."""

    held_now: list[str]
    released: list[str]
    held: list[str]
    held_by_others: list[str]
    unconfirmed: list[str]
    notes: list[str]


class Work(NamedTuple):
    """What is to be done, decided but not begun."""

    holds: list[Limit]
    releases: list[Limit]
    confirmed: list[Limit]
    forgotten: list[Limit]


def limit_name(account_hold: str) -> str:
    """Return the limit that ACCOUNT_HOLD chooses, as sacctmgr takes it before "=VALUE"."""
    return account_hold if account_hold in ("GrpJobs", "GrpSubmitJobs") else f"{account_hold}=cpu"


def apply(
    bank: Bank,
    cluster: Cluster,
    slurm: Associations,
    wanted: Mapping[str, bool],
    ours: Sequence[Limit],
    *,
    dry_run: bool,
) -> Held:
    """Make Slurm's holds what they should be.

    Args:
        bank: settings, Slurm, database.
        cluster: where.
        slurm: what the controller just said.
        wanted: whether each account ought to be held; accounts that are not in it are left alone.
        ours: the bank's own limits there, as on record.
        dry_run: decide only.
    """
    hold_limit = limit_name(bank.settings.account_hold)
    present = _present(slurm, {hold_limit, *(held.limit for held in ours)})
    report = Held([], [], [], [], [], [])
    work = _decided(cluster, hold_limit, wanted, ours, present, report)
    # An account of the same name that is made again has no hold, and not the limit of this one.
    work.forgotten.extend(held for held in ours if held.account not in slurm.accounts)
    if not dry_run and any(work):
        _write_intent(bank, work)
        late = _change(bank, cluster, work)
        _write_result(bank, work, late)
        report.unconfirmed.extend(sorted(late))
    failed = set(report.unconfirmed)
    report.held_now.extend(held.account for held in work.holds if held.account not in failed)
    report.released.extend(
        freed.account
        for freed in work.releases
        if freed.account not in failed and not wanted[freed.account]
    )
    report.held.extend(report.held_now)
    for names in (report.held_now, report.released, report.held, report.held_by_others):
        names.sort()
    if report.held:
        report.notes.extend(_bypassing(slurm, hold_limit))
    return report


def _present(slurm: Associations, names: Iterable[str]) -> dict[str, dict[str, int | None]]:
    """Return each limit of each account as the controller has it."""
    return {
        name: {account: assoc_mgr.limit(row, name) for account, row in slurm.accounts.items()}
        for name in names
    }


def _decided(
    cluster: Cluster,
    hold_limit: str,
    wanted: Mapping[str, bool],
    ours: Sequence[Limit],
    present: Mapping[str, Mapping[str, int | None]],
    report: Held,
) -> Work:
    work = Work([], [], [], [])
    on_record: dict[str, dict[str, Limit]] = defaultdict(dict)
    for one in ours:
        on_record[one.account][one.limit] = one
    for account, should_hold in wanted.items():
        mine = on_record.get(account, {})
        for name in dict.fromkeys((hold_limit, *mine)):
            held = mine.get(name)
            # ACCOUNT_HOLD was changed: what was set by another limit is taken back.
            decision = enforcement.decide(
                should_hold=should_hold and name == hold_limit,
                ours=_as_it_counts(held, should_hold=should_hold) if held else None,
                present=present[name].get(account),
            )
            new = Limit(cluster.name, account, name, decision.original, "hold", None)
            _sort_in(decision.action, new, held, work, report)
            if decision.action == enforcement.NOTHING and should_hold and name == hold_limit:
                report.held.append(account)
    return work


def _as_it_counts(held: Limit, *, should_hold: bool) -> Ours:
    # One that was to be released, without that having been seen, is a hold again when it is seen.
    is_settled = held.intent == "hold" or not should_hold
    return Ours(held.original, held.confirmed_at is not None and is_settled)


def _sort_in(action: str, new: Limit, held: Limit | None, work: Work, report: Held) -> None:
    """Put one decision where it belongs."""
    account = new.account
    if action == enforcement.HOLD:
        work.holds.append(new)
        if held is not None and held.confirmed_at is not None:
            put = "" if new.original is None else f"; {new.limit}={new.original} is put back later"
            report.notes.append(
                f"account {account}: the hold was lifted by others; held again{put}"
            )
    elif action == enforcement.RELEASE:
        assert held is not None
        work.releases.append(held._replace(intent="release"))
    elif action == enforcement.CONFIRM:
        assert held is not None
        work.confirmed.append(held)
        report.held.append(account)
    elif action == enforcement.FORGET:
        assert held is not None
        work.forgotten.append(held)
    elif action == enforcement.CHANGED_BY_OTHERS:
        assert held is not None
        work.forgotten.append(held)
        report.notes.append(
            f"account {account}: {new.limit}={new.original} was set by others in place of the"
            " hold; it is left as it is"
        )
    elif action == enforcement.HELD_BY_OTHERS:
        report.held_by_others.append(account)


def _write_intent(bank: Bank, work: Work) -> None:
    now = bank.clock()
    with writing(bank.database) as writer:
        limits.write_intent(writer, [*work.holds, *work.releases], now=now)
        limits.confirm(writer, work.confirmed, now=now)
        limits.forget(writer, work.forgotten)


def _change(bank: Bank, cluster: Cluster, work: Work) -> set[str]:
    """Change Slurm, and wait until the controller shows it.

    Returns:
        The accounts for which it does not.
    """
    values: dict[tuple[str, int | None], list[str]] = defaultdict(list)
    for held in work.holds:
        values[held.limit, HOLD_VALUE].append(held.account)
    for freed in work.releases:
        values[freed.limit, freed.original].append(freed.account)
    failures: list[SlurmError] = []
    for (limit, value), names in values.items():
        for chunk in chunked(sorted(names)):
            question = sacctmgr.limit_arguments(cluster.name, chunk, limit, value)
            try:
                run(bank.slurm, question)
            except SlurmError as error:
                # What it did before it failed, the controller will say.
                failures.append(error)
    late = _not_shown(bank, cluster, values) if values else set()
    if failures and late:
        bank.warn(f"sacctmgr did not change everything: {failures[0]}")
    return late


def _not_shown(
    bank: Bank, cluster: Cluster, values: Mapping[tuple[str, int | None], Sequence[str]]
) -> set[str]:
    deadline = time.monotonic() + bank.settings.confirm_seconds
    pause = 0.01
    every = sorted({name for names in values.values() for name in names})
    while True:
        shown: dict[str, dict[str, int | None]] = {limit: {} for limit, _ in values}
        for chunk in chunked(every):
            output = run(bank.slurm, assoc_mgr.arguments(cluster.on, chunk))
            for limit, found in _present(assoc_mgr.read(output, cluster.name), shown).items():
                shown[limit].update(found)
        late = {
            name
            for (limit, value), names in values.items()
            for name in names
            if shown[limit].get(name, -1) != value
        }
        if not late or time.monotonic() + pause > deadline:
            return late
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_POLL_SECONDS)


def _write_result(bank: Bank, work: Work, late: set[str]) -> None:
    with writing(bank.database) as writer:
        confirmed = [held for held in work.holds if held.account not in late]
        limits.confirm(writer, confirmed, now=bank.clock())
        limits.forget(writer, [freed for freed in work.releases if freed.account not in late])


def _bypassing(slurm: Associations, hold_limit: str) -> list[str]:
    """Name every QOS whose own limit wins over the hold."""
    return [
        f"QOS {name} has {hold_limit}={value} of its own: jobs in it are not stopped by a hold"
        for name, value in assoc_mgr.qos_limits(slurm, hold_limit).items()
        if value != HOLD_VALUE
    ]
