"""sacctmgr: the changes the bank makes in Slurm, and who coordinates accounts."""

import re
from collections.abc import Sequence

from bank.errors import OutputNotUnderstood

_UNSET = -1
_PURGED = re.compile(
    r"^PurgeJobAfter\s*= (?:NONE|([0-9]+) (hour|day|month)s?\*?)\s*$", re.MULTILINE
)
_UNIT_SECONDS = {"hour": 3600, "day": 86_400, "month": 28 * 86_400}


def limit_arguments(
    cluster: str, accounts: Sequence[str], limit: str, value: int | None
) -> list[str]:
    """Build the change of one limit of many accounts, in one call.

    Args:
        cluster: always named, so that no other cluster of the same slurmdbd is touched.
        accounts: plain names, few enough for one argument.
        limit: "GrpTRESMins=cpu", "GrpJobs" and so on.
        value: the new limit; None removes it, and only it.

    Source:
        sacctmgr(1), modify account; -1 clears a limit.
    """
    number = _UNSET if value is None else value
    return [*_modify(cluster, accounts), f"{limit}={number}"]


def user_limit_arguments(
    cluster: str,
    account: str,
    users: Sequence[str],
    partition: str,
    limit: str,
    value: int | None,
) -> list[str]:
    """Build the change of one limit of users of one account, in one call.

    Args:
        cluster: as above.
        account: a plain name; with two, every user would be changed in both.
        users: plain names, few enough for one argument.
        partition: "" for the associations of no partition. It is always said: without it those of
            every partition are changed.
        limit: as above.
        value: as above.

    Source:
        sacctmgr(1), modify user; that an empty partition= means none was tried (Slurm 22.05).
    """
    number = _UNSET if value is None else value
    where = (f"cluster={cluster}", f"account={account}", f"name={','.join(users)}")
    which = ("where", *where, f"partition={partition}")
    return ["sacctmgr", "-i", "modify", "user", *which, "set", f"{limit}={number}"]


def reset_usage_arguments(cluster: str, account: str) -> list[str]:
    """Build the reset of an account's RawUsage, which resets all below it too.

    Source:
        sacctmgr(1), modify account set RawUsage=0.
    """
    return [*_modify(cluster, [account]), "RawUsage=0"]


def _modify(cluster: str, accounts: Sequence[str]) -> list[str]:
    where = [f"cluster={cluster}", f"account={','.join(accounts)}"]
    return ["sacctmgr", "-i", "modify", "account", "where", *where, "set"]


def coordinators_arguments() -> list[str]:
    """Build the question for the coordinators of all accounts.

    Source:
        sacctmgr(1), show account withcoord.
    """
    return ["sacctmgr", "-n", "-P", "show", "account", "withcoord", "format=Account,Coordinators"]


def read_coordinators(output: str) -> dict[str, list[str]]:
    """Read who coordinates each account that somebody does.

    Raises:
        OutputNotUnderstood: a row is not in the form known, or root is not among them: then not
            all was said.
    """
    found: dict[str, list[str]] = {}
    is_whole = False
    for line in output.splitlines():
        account, separator, users = line.rpartition("|")
        if not separator:
            raise OutputNotUnderstood(f"sacctmgr show account printed {line[:200]!r}")
        is_whole = is_whole or account == "root"
        if users:
            found[account] = users.split(",")
    if not is_whole:
        raise OutputNotUnderstood("sacctmgr show account does not list the account root")
    return found


def configuration_arguments() -> list[str]:
    """Build the question for slurmdbd's own configuration."""
    return ["sacctmgr", "-n", "-P", "show", "configuration"]


def read_jobs_kept_seconds(output: str) -> int | None:
    """Return how long slurmdbd keeps jobs, None where it keeps them for ever.

    Raises:
        OutputNotUnderstood: it does not say.

    Source:
        slurmdbd.conf(5), PurgeJobAfter: hours, days or months; sacctmgr adds * where jobs are
        archived before. A month has 28 days at least.
    """
    match = _PURGED.search(output)
    if match is None:
        raise OutputNotUnderstood("sacctmgr show configuration does not say PurgeJobAfter")
    if match.group(1) is None:
        return None
    return int(match.group(1)) * _UNIT_SECONDS[match.group(2)]
