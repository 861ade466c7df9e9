"""Changing limits in Slurm: few calls, several at once, and what the controller then shows."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bank.errors import SlurmError, SlurmTimedOut
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.policy.enforcement import Association
from bank.slurm import assoc_mgr, sacctmgr
from bank.slurm.assoc_mgr import Limited
from bank.slurm.command import chunked, run

# A call does nearly nothing but wait for slurmdbd: 200 different values took 73 s one after the
# other, 4.8 s with 16 at once (Slurm 22.05).
_AT_ONCE = 16
# Where the controller of any cluster is frozen each call takes 40 s: others must not wait for the
# lock that long for each of a thousand accounts.
_LONGEST_SECONDS = 120
_LONGEST_POLL_SECONDS = 0.5


class Change(NamedTuple):
    """One limit of one association, and what it ought to be; None is no limit."""

    association: Association
    limit: str
    value: int | None


# By the limit's name, for each association the value; None is no limit.
Shown = dict[str, dict[Association, int | None]]


def shown_limits(rows: Mapping[Association, Limited], names: Iterable[str]) -> Shown:
    """Return each limit of each association as the controller has it."""
    return {
        name: {association: assoc_mgr.limit(row, name) for association, row in rows.items()}
        for name in names
    }


def make(bank: Bank, cluster: Cluster, changes: Sequence[Change]) -> set[Association]:
    """Change Slurm, and wait until the controller shows it.

    Returns:
        The associations for which it does not.
    """
    if not changes:
        return set()
    failures = _write(bank, cluster, changes)
    late = _not_shown(bank, cluster, changes)
    if late and not failures:
        # slurmdbd tells the controller only of what is new to it. Where it has the value and the
        # controller has not, since one of them was killed in between, saying it again does nothing:
        # so first it is told what the controller shows.
        shown = _ask(bank, cluster, late)
        late = [change for change in late if change.association in shown[change.limit]]
        back = [one._replace(value=shown[one.limit][one.association]) for one in late]
        failures = [*_write(bank, cluster, back), *_write(bank, cluster, late)]
        late = _not_shown(bank, cluster, changes)
    if late and failures:
        bank.warn(f"sacctmgr did not change everything: {failures[0]}")
    return {change.association for change in late}


def _write(bank: Bank, cluster: Cluster, changes: Sequence[Change]) -> list[SlurmError]:
    """Tell slurmdbd; return what went wrong. What was done all the same the controller will say."""
    # An association stands once under each limit. Two writers of the same one at the same time have
    # left the controller with other limits than slurmdbd, so one limit comes after the other.
    failures: list[SlurmError] = []
    for limit in dict.fromkeys(change.limit for change in changes):
        some = [change for change in changes if change.limit == limit]
        failures += _run_all(bank, list(_calls(cluster.name, limit, some)))
    return failures


def _calls(cluster: str, limit: str, changes: Sequence[Change]) -> Iterator[list[str]]:
    """Yield the commands that change one limit of accounts and users."""
    values: dict[int | None, list[str]] = defaultdict(list)
    of_users: dict[tuple[str, str, int | None], list[str]] = defaultdict(list)
    for (account, user, partition), _, value in changes:
        if user:
            of_users[account, partition, value].append(user)
        else:
            values[value].append(account)
    for value, names in values.items():
        for chunk in chunked(sorted(names)):
            yield sacctmgr.limit_arguments(cluster, chunk, limit, value)
    for (account, partition, value), names in of_users.items():
        for chunk in chunked(sorted(names)):
            yield sacctmgr.user_limit_arguments(cluster, account, chunk, partition, limit, value)


def _run_all(bank: Bank, calls: Sequence[Sequence[str]]) -> list[SlurmError]:
    failures: list[SlurmError] = []
    deadline = time.monotonic() + _LONGEST_SECONDS

    def call(arguments: Sequence[str]) -> None:
        if any(isinstance(error, SlurmTimedOut) for error in failures):
            # Each would wait as long.
            return
        try:
            if time.monotonic() > deadline:
                raise SlurmTimedOut(f"not all was begun within {_LONGEST_SECONDS} s")
            run(bank.slurm, arguments)
        except SlurmError as error:
            failures.append(error)

    if len(calls) == 1:
        call(calls[0])
        return failures
    # Imported here: most passes change nothing.
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for ended in [pool.submit(call, arguments) for arguments in calls]:
            ended.result()
    finally:
        # Whoever interrupts does not wait for those that are not begun.
        pool.shutdown(cancel_futures=True)
    return failures


def _not_shown(bank: Bank, cluster: Cluster, changes: Sequence[Change]) -> list[Change]:
    deadline = time.monotonic() + bank.settings.confirm_seconds
    pause = 0.01
    while True:
        shown = _ask(bank, cluster, changes)
        # -1 is no limit that Slurm shows: an association that is gone shows none.
        late = [one for one in changes if shown[one.limit].get(one.association, -1) != one.value]
        if not late or time.monotonic() + pause > deadline:
            return late
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_POLL_SECONDS)


def _ask(bank: Bank, cluster: Cluster, changes: Sequence[Change]) -> Shown:
    limits = {change.limit for change in changes}
    users = {(one.account, one.user) for one, _, _ in changes if one.user}
    shown: Shown = {limit: {} for limit in limits}
    for chunk in chunked(sorted({one.account for one, _, _ in changes})):
        output = run(bank.slurm, assoc_mgr.arguments(cluster.on, chunk))
        rows = assoc_mgr.rows(assoc_mgr.read(output, cluster.name), users)
        for limit, found in shown_limits(rows, limits).items():
            shown[limit].update(found)
    return shown
