"""Refunds after an outage: every job that ran then, and there, is given back what it cost.

The whole cost of a run is given back, from its start to its end: what it had done before is lost
with it. Accounts are refunded in slices, so that nobody waits long for the lock. Killed in between,
the same command refunds the rest: each run is refunded once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bank.errors import InputError
from bank.ledger.names import listed
from bank.operations import days
from bank.operations.bank import Bank, utc_text
from bank.operations.clusters import find_cluster
from bank.operations.following import enforce_soon
from bank.operations.job_costs import CostedRun, find_overlapping
from bank.operations.job_refunds import (
    Order,
    Refund,
    describe_refunds,
    log_refund,
    read_now,
    refund_runs,
)
from bank.operations.slices import slices
from bank.policy import hostlists
from bank.slurm import sacct, shapes
from bank.slurm.command import run
from bank.store import accounts
from bank.store.connect import writing

_MICROSECONDS = 1_000_000


class Outage(NamedTuple):
    """What an admin says of an outage, as typed.

    Attributes:
        start, end: from when to when; what ended at the start or began at the end was not hit.
        nodes: the nodes that were hit; None for all.
        cluster: where; None is the only one.
        reason: free text.
    """

    start: str
    end: str
    nodes: str | None = None
    cluster: str | None = None
    reason: str = ""


class Plan(NamedTuple):
    """The runs that were hit.

    Attributes:
        order: where, and as of when the meters were read.
        runs: in the order of accounts, and of their starts.
        start_at, end_at: UTC microseconds.
        nodes: as typed.
    """

    order: Order
    runs: list[CostedRun]
    start_at: int
    end_at: int
    nodes: str | None


def plan_refunds(bank: Bank, outage: Outage, *, dry_run: bool) -> Plan:
    """Ask Slurm which runs an outage hit, and book what was used until now.

    Args:
        bank: see `Bank`.
        outage: what is known of it.
        dry_run: book nothing.

    Raises:
        InputError: no such time, span, cluster or node.
        SlurmError: Slurm did not answer or was not understood.
    """
    start_at = days.moment(outage.start, "the start")
    end_at = days.moment(outage.end, "the end")
    if start_at >= end_at:
        raise InputError(
            f"an outage ends after it starts: {outage.end} is not after {outage.start}"
        )
    if start_at > bank.clock():
        raise InputError(f"an outage that starts at {outage.start} has not happened yet")
    wanted = None if outage.nodes is None else _nodes(outage.nodes)
    cluster = find_cluster(bank, outage.cluster)
    found = find_overlapping(
        bank,
        cluster,
        since_seconds=start_at // _MICROSECONDS,
        until_seconds=end_at // _MICROSECONDS,
    )
    if wanted is not None:
        there = [sacct.hosts(one.job) for one in found]
        output = run(bank.slurm, shapes.nodes_arguments(cluster.on))
        known = [node.name for node in shapes.read_nodes(output)]
        # One that was removed since is known from what ran on it.
        unknown = sorted(wanted.difference(known, *there))
        if unknown:
            raise InputError(
                f"cluster {cluster.name} has no node {listed(unknown)}, and no job ran on one of"
                f" that name then; it has {listed(sorted(known))}"
            )
        found = [one for one, nodes in zip(found, there, strict=True) if nodes & wanted]
    order = read_now(bank, cluster, dry_run=dry_run)._replace(reason=outage.reason)
    return Plan(order, sorted(found, key=_by_account), start_at, end_at, outage.nodes)


def _nodes(text: str) -> frozenset[str]:
    found = frozenset(hostlists.names(text))
    if not found:
        raise InputError("--nodes '' is not a list of nodes such as c[1-3],g1")
    return found


def _by_account(run: CostedRun) -> tuple[str, int, int]:
    return run.job.account, run.began_at, run.job.db_index


def refund(bank: Bank, plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    """Give back what the runs cost that an outage hit.

    Returns:
        What became of each run, and the totals.

    Raises:
        StoreError: the database cannot be written; the accounts before are done.
    """
    done: list[Refund] = []
    for runs in _by_slices(plan.runs):
        with writing(bank.database, dry_run=dry_run) as writer:
            some = refund_runs(bank, writer, plan.order, runs)
            names = sorted({one.run.job.account for one in some if one.amount})
            found = accounts.find_many(writer, names)
        done += some
        if names and not dry_run:
            log_refund(bank, plan.order, some, found.values())
    names = sorted({one.run.job.account for one in done if one.amount})
    if names and not dry_run:
        enforce_soon(bank, names, only=None)
    return {
        "verb": "refund",
        "cluster": plan.order.cluster.name,
        "start": utc_text(plan.start_at),
        "end": utc_text(plan.end_at),
        "nodes": plan.nodes,
        **describe_refunds(done),
        "is_dry_run": dry_run,
    }


def _by_slices(runs: Sequence[CostedRun]) -> Iterator[list[CostedRun]]:
    """Yield the runs of so many accounts as are written in one transaction."""
    by_account: dict[str, list[CostedRun]] = {}
    for one in runs:
        by_account.setdefault(one.job.account, []).append(one)
    for names in slices(list(by_account)):
        yield [one for name in names for one in by_account[name]]
