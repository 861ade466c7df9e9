"""scontrol show assoc_mgr: every limit of some accounts and of each QOS, and what is in use.

The answer is the one that `assoc_mgr` reads, and that has checked it whole.
"""

import re
from collections.abc import Collection, Iterator
from fractions import Fraction

from bank.errors import OutputNotUnderstood
from bank.policy.queue import ACCOUNT, QOS, USER, Holder, Limits, Qos, Use
from bank.slurm import tres

_ASSOCIATION = re.compile(
    r"ClusterName=\S+ Account=(.*?) UserName=(?:(\S+)\(([0-9]+)\))? Partition=(\S*) Priority="
)
_QOS = re.compile(r"QOS=(.*?)\([0-9]+\) UsageRaw=")
_LIMIT = re.compile(r" ((?:Grp|Max|Min)\w+)=(\S*)")
_ENTRY = re.compile(r"(?:(N|[0-9]+)\(([0-9.]+)\)|([0-9]+[KMGTPE]?))")
# "proj={MaxJobsPA=N(0) ...} dept={...}": what stands in the braces holds no brace.
_GROUP = re.compile(r"\s*(.*?)=\{([^{}]*)\}")


def read_holders(output: str, accounts: Collection[str]) -> list[Holder]:
    """Return the limits of some accounts, and of every user in them, as they stand in the answer.

    Raises:
        OutputNotUnderstood: a limit is not in the form known.
    """
    found = []
    for line in output.splitlines():
        head = _ASSOCIATION.match(line)
        if head is None or head.group(1) not in accounts:
            continue
        name, user, uid, partition = head.groups()
        limits = _limits(line[head.end() :])
        if user is None:
            found.append(Holder(ACCOUNT, name, limits))
        else:
            found.append(Holder(USER, name, limits, user, uid, partition))
    return found


def read_accounts_of_users(output: str) -> dict[str, tuple[str, ...]]:
    """Return by user the accounts in which the user has an association."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        head = _ASSOCIATION.match(line)
        if head is not None and head.group(2) is not None:
            names = found.setdefault(head.group(2), [])
            if head.group(1) not in names:
                names.append(head.group(1))
    return {user: tuple(sorted(names)) for user, names in found.items()}


def read_qos(output: str) -> dict[str, Qos]:
    """Return the limits of every QOS.

    Raises:
        OutputNotUnderstood: a limit is not in the form known.
    """
    found = {}
    for line in output.splitlines():
        head = _QOS.match(line)
        if head is None:
            continue
        own, _, rest = line.partition(" Account Limits=")
        accounts, _, users = rest.partition(" User Limits=")
        holder = Holder(QOS, head.group(1), _limits(own[head.end() :]))
        found[head.group(1)] = Qos(holder, dict(_groups(accounts)), dict(_groups(users)))
    return found


def _groups(text: str) -> Iterator[tuple[str, Limits]]:
    for match in _GROUP.finditer(text):
        yield match.group(1), _limits(f" {match.group(2)}")


def _limits(text: str) -> dict[str, Use]:
    """Read " GrpJobs=7(0) GrpTRES=cpu=N(0),mem=4096(0) MaxWallPJ=5": what is set or in use."""
    found = {}
    for match in _LIMIT.finditer(text):
        field, said = match.groups()
        for part in said.split(",") if said else ():
            resource, equals, value = part.rpartition("=")
            use = _use(value, f"{field}={said}")
            found[f"{field}={resource}" if equals else field] = use
    return found


def _use(value: str, whole: str) -> Use:
    match = _ENTRY.fullmatch(value)
    if match is None:
        raise OutputNotUnderstood(f"scontrol show assoc_mgr printed a limit as {whole[:120]!r}")
    limit, used, alone = match.groups()
    if alone is not None:
        # Of a limit for one job nothing is in use.
        return Use(int(tres.quantities(f"x={alone}")["x"]))
    return Use(None if limit == "N" else int(limit), Fraction(used))
