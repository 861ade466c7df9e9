"""sacctmgr show user, assoc: for which accounts a user's jobs may count."""

from bank.errors import OutputNotUnderstood
from bank.policy.cluster_shape import Association
from bank.slurm import spans

_ASSOCIATION = "Account,User,Partition,DefaultQOS,QOS,MaxWall"
_USER = f"DefaultAccount,{_ASSOCIATION}"


def user_arguments(cluster: str, user: str) -> list[str]:
    """Build the question for a user's associations on a cluster."""
    where = ["where", f"name={user}", f"cluster={cluster}", "withassoc"]
    return ["sacctmgr", "-n", "-P", "show", "user", *where, f"format={_USER}"]


def users_arguments(cluster: str) -> list[str]:
    """Build the question for the associations of all users on a cluster."""
    where = ["where", f"cluster={cluster}", "withassoc"]
    return ["sacctmgr", "-n", "-P", "show", "user", *where, f"format={_USER}"]


def account_arguments(cluster: str, account: str) -> list[str]:
    """Build the question for an account itself, which says what its members get."""
    where = ["where", f"cluster={cluster}", f"account={account}", "user="]
    return ["sacctmgr", "-n", "-P", "show", "assoc", *where, f"format={_ASSOCIATION}"]


def read_user(output: str) -> tuple[Association, ...]:
    """Read a user's associations; none where Slurm does not know the user.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.

    Source:
        sacctmgr(1), show user withassoc: limits show what is inherited.
    """
    return tuple(
        _association(line.partition("|")[2], default=line.partition("|")[0])
        for line in output.splitlines()
    )


def read_users(output: str) -> dict[str, tuple[Association, ...]]:
    """Read the associations of all users, by login.

    Raises:
        OutputNotUnderstood: as read_user.
    """
    found: dict[str, list[Association]] = {}
    for line in output.splitlines():
        default, _, rest = line.partition("|")
        one = _association(rest, default=default)
        found.setdefault(rest.split("|")[1], []).append(one)
    return {user: tuple(mine) for user, mine in found.items()}


def read_account(output: str) -> tuple[Association, ...]:
    """Read an account's own association; none where there is no such account.

    Raises:
        OutputNotUnderstood: as read_user.
    """
    return tuple(_association(line, default="") for line in output.splitlines())


def _association(line: str, default: str) -> Association:
    parts = line.split("|")
    if len(parts) != len(_ASSOCIATION.split(",")):
        raise OutputNotUnderstood(
            f"sacctmgr printed a row that is not {_ASSOCIATION}: {line[:200]!r}"
        )
    account, _, partition, default_qos, qos, wall = parts
    return Association(
        account=account,
        partition=partition,
        default_qos=default_qos,
        qos=tuple(name for name in qos.split(",") if name),
        max_minutes=spans.minutes(wall) if wall else None,
        is_default=account == default,
    )
