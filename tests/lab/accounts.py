"""Makes and clears Slurm accounts, many at a time."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from .errors import LabError
from .processes import wait_for

# Linux takes no argument above 128 kB; well below it.
LONGEST_ARGUMENT = 60_000
SLOW = 600.0


class Runner(Protocol):
    """What this module needs of a cluster."""

    cluster: str

    def run(
        self,
        *argv: str,
        user: str | None = None,
        timeout: float = 30,
        check: bool = True,
        stdin: str = "",
    ) -> str:
        """Run a program against the cluster; return its standard output."""

    def look(self, *argv: str) -> str:
        """Run a program that only looks, once more if need be."""


def in_chunks(names: Sequence[str]) -> Iterator[str]:
    """Yield comma lists of names, each short enough for one argument."""
    chunk: list[str] = []
    length = 0
    for name in names:
        if chunk and length + len(name) + 1 > LONGEST_ARGUMENT:
            yield ",".join(chunk)
            chunk, length = [], 0
        chunk.append(name)
        length += len(name) + 1
    if chunk:
        yield ",".join(chunk)


def make(cluster: Runner, names: Sequence[str], *, parent: str, users: Sequence[str]) -> None:
    """Make accounts below a parent, each with all of the users."""
    for chunk in in_chunks(names):
        cluster.run(
            *("sacctmgr", "-i", "add", "account", chunk, f"cluster={cluster.cluster}"),
            *(f"parent={parent}", "description=lab", "organization=lab"),
            timeout=SLOW,
        )
        if users:
            cluster.run(
                *("sacctmgr", "-i", "add", "user", ",".join(users), f"account={chunk}"),
                f"cluster={cluster.cluster}",
                timeout=SLOW,
            )
    wait_until_known(cluster, names, users)


def wait_until_known(cluster: Runner, names: Sequence[str], users: Sequence[str]) -> None:
    """Wait until the controller, which hears of it from slurmdbd, shows accounts and users."""
    wanted = {(name, user) for name in names for user in ("", *users)}
    wait_for(
        lambda: wanted <= usage(cluster).keys(),
        f"the controller to know {len(names)} new accounts",
    )


def usage(cluster: Runner) -> dict[tuple[str, str], int]:
    """Return RawUsage in billing-seconds by account and user; the user of an account is ''."""
    text = cluster.look("sshare", "-a", "-n", "-P", "-o", "Account,User,RawUsage")
    found = {}
    for line in text.splitlines():
        account, user, raw = line.split("|")
        found[account.strip(), user.strip()] = int(raw)
    return found


def clean(cluster: Runner) -> None:
    """Delete all users, accounts and QOSs that a lab does not start with; of all its clusters.

    Users and accounts belong to slurmdbd, not to one cluster; and only a deletion that names no
    cluster may take a user's default account away.
    """
    left: list[str] = []
    for _ in range(5):
        users = names_of(cluster, "user", "user")
        if users:
            delete(cluster, "user", users)
        known = names_of(cluster, "account", "account")
        if known:
            delete(cluster, "account", known)
        qoses = names_of(cluster, "qos", "name")
        if qoses:
            delete(cluster, "qos", qoses)
        left = [*users, *known, *qoses]
        if not left:
            return
    raise LabError(f"{len(left)} accounts, users or QOSs stay: {' '.join(left[:10])}")


def names_of(cluster: Runner, kind: str, column: str) -> list[str]:
    """Return the names of a kind of thing, without those that a lab starts with."""
    found = cluster.run("sacctmgr", "-n", "-P", "show", kind, f"format={column}").split()
    return sorted(set(found) - {"root", "normal"})


def delete(cluster: Runner, kind: str, names: Sequence[str]) -> None:
    """Delete; a refusal (jobs still known to slurmdbd) shows in what is left afterwards."""
    for chunk in in_chunks(names):
        argv = ("sacctmgr", "-i", "delete", kind, "where", f"name={chunk}")
        cluster.run(*argv, timeout=SLOW, check=False)


def wait_until_forgotten(cluster: Runner) -> None:
    """Wait until the controller knows no account and no user but root."""
    wait_for(
        lambda: usage(cluster).keys() <= {("root", ""), ("root", "root")},
        f"the controller of {cluster.cluster} to forget its accounts",
    )


def end_jobs(cluster: Runner) -> None:
    """Cancel all jobs, and wait until the controller has none left."""

    def none_left() -> bool:
        ids = cluster.run("squeue", "-h", "-a", "-o", "%A").split()
        for chunk in in_chunks(sorted(set(ids))):
            cluster.run("scancel", "--quiet", *chunk.split(","), check=False)
        return not ids

    wait_for(none_left, "all jobs to end", every_seconds=0.05)


def resume_nodes(cluster: Runner) -> None:
    """Put drained nodes back to work.

    A killed slurmctld forgets the newest jobs and gives their ids away again; it then drains
    the node on which the forgotten one still runs ('Duplicate jobid').
    """
    shown = cluster.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines()
    drained = sorted({line.split()[0] for line in shown if "drain" in line.split()[1]})
    if drained:
        cluster.run("scontrol", "update", f"nodename={','.join(drained)}", "state=resume")
