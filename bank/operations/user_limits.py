"""Limits of users: what one user may use of an account in each of its periods."""

from typing import Any

from bank.errors import Refusal, SlurmError
from bank.ledger.names import listed
from bank.operations.bank import Bank
from bank.operations.clusters import failure, find_clusters
from bank.operations.commands import Command, do
from bank.operations.named import standing_of
from bank.slurm import assoc_mgr
from bank.slurm.command import run
from bank.store import user_limits
from bank.store.connect import Reader, Writer, reading


def limit_user(bank: Bank, command: Command) -> dict[str, Any]:
    """Set what a user may use of an account in a period; None takes that limit away.

    Raises:
        Refusal: the account is not open in the bank, Slurm does not have the user there, or there
            is no limit to take away.
        NotConfirmed: the limit is 0, and Slurm does not stop the user yet; the next pass does.
    """
    return do(bank, command, _limit, before=_require_in_slurm)


def _limit(bank: Bank, writer: Writer, command: Command) -> None:
    assert command.user is not None
    _has_limit(writer, command)
    user_limits.change(
        writer,
        command.account,
        command.user,
        command.amount,
        actor=bank.actor,
        reason=command.reason,
        now=bank.clock(),
    )


def _has_limit(reader: Reader, command: Command) -> bool:
    """Tell whether the user has a limit.

    Raises:
        Refusal: the account is not open, or there is no limit to take away.
    """
    users = [one.limit.user for one in standing_of(reader, command.account).users]
    if command.amount is None and command.user not in users:
        who = f"those who have one are {listed(users)}" if users else "nobody there has one"
        raise Refusal(
            "no_such_limit",
            f"{command.user} has no limit in {command.account} that could be taken away: {who}",
        )
    return command.user in users


def _require_in_slurm(bank: Bank, command: Command) -> Command:
    """Refuse a user whom no cluster has in the account; one with a limit was there.

    Raises:
        Refusal: with those who are there.
        SlurmError: a cluster did not answer, and no other one has the user: unknown is not "none".
    """
    with reading(bank.database) as reader:
        if _has_limit(reader, command):
            return command
    found = find_clusters(bank)
    failures = list(found.failures)
    users: set[str] = set()
    for cluster in found.reached:
        try:
            output = run(bank.slurm, assoc_mgr.arguments(cluster.on, [command.account]))
            users |= {row.user for row in assoc_mgr.read(output, cluster.name).users}
        except SlurmError as error:
            failures.append(failure(bank, cluster.name, error))
    if command.user in users:
        return command
    if failures:
        raise failures[0].error
    raise _no_such_user(command, sorted(users))


def _no_such_user(command: Command, users: list[str]) -> Refusal:
    import difflib

    near = difflib.get_close_matches(command.user or "", users, n=3)
    there = "it has none there;"
    if users:
        there = f"did you mean {' or '.join(near)}?" if near else f"there are {listed(users)};"
    return Refusal(
        "no_such_user",
        f"Slurm has no user {command.user} in account {command.account}: {there}"
        f" 'sacctmgr add user {command.user} account={command.account}' adds one",
    )
