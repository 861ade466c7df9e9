"""How each daemon of a lab is started, and how to see that it answers."""

from collections.abc import Callable, Mapping

from .config import Site
from .daemons import Daemon
from .layout import database_socket, munge_socket
from .machine import answers
from .processes import run

# The database lives as long as the lab: nothing in it needs to survive a power cut.
MARIADB_OPTIONS = (
    "--skip-networking",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-log-file-size=64M",
    "--innodb-buffer-pool-size=256M",
    "--innodb-lock-wait-timeout=900",
    "--innodb-fast-shutdown=1",
    "--max-allowed-packet=64M",
)


def make_daemon(
    site: Site,
    name: str,
    argv: list[str],
    environment: Mapping[str, str],
    user: str,
    is_ready: Callable[[], bool],
) -> Daemon:
    """Return a daemon whose files lie where a lab keeps them."""
    return Daemon(
        name=name,
        argv=argv,
        environment=environment,
        user=user,
        log=site.directory / "log" / f"{name}.log",
        pid_file=site.directory / "pid" / f"{name}.json",
        is_ready=is_ready,
    )


def munged(site: Site, environment: Mapping[str, str]) -> Daemon:
    """Return the daemon that proves to one process who another one is."""
    at = site.directory / "munge"
    socket = munge_socket(site.directory)
    argv = ["munged", "--foreground", f"--socket={socket}", f"--key-file={at / 'key'}"]
    argv += [f"--pid-file={at / 'pid'}", f"--seed-file={at / 'seed'}", "--num-threads=4"]
    argv += [f"--log-file={at / 'log'}"]
    return make_daemon(site, "munged", argv, environment, "munge", lambda: answers(socket))


def mariadbd(site: Site, environment: Mapping[str, str]) -> Daemon:
    """Return the database daemon below slurmdbd."""
    socket = database_socket(site.directory)
    argv = ["mariadbd", "--no-defaults", f"--datadir={site.directory / 'database'}"]
    argv += [f"--socket={socket}", f"--pid-file={socket.parent / 'pid'}", *MARIADB_OPTIONS]
    # A starting MariaDB removes what others have in a directory that they share.
    argv += [f"--tmpdir={socket.parent}"]
    return make_daemon(site, "mariadbd", argv, environment, "slurm", lambda: answers(socket))


def slurmdbd(site: Site, environment: Mapping[str, str]) -> Daemon:
    """Return Slurm's accounting daemon."""
    socket = database_socket(site.directory)
    return make_daemon(
        site,
        "slurmdbd",
        ["slurmdbd", "-D"],
        {**environment, "MYSQL_UNIX_PORT": str(socket)},
        "slurm",
        lambda: answers((site.address, site.slurmdbd_port)),
    )


def slurmctld(site: Site, environment: Mapping[str, str]) -> Daemon:
    """Return Slurm's controller. It answers once it also knows its accounts."""

    def is_ready() -> bool:
        if not answers((site.address, site.slurmctld_port)):
            return False
        done = run(["sshare", "--noheader", "--parsable"], environment=environment)
        return done.returncode == 0 and "root|" in done.stdout

    return make_daemon(site, "slurmctld", ["slurmctld", "-D"], environment, "slurm", is_ready)


def slurmd(site: Site, environment: Mapping[str, str], node: str) -> Daemon:
    """Return the daemon of one compute node. It is ready once the controller may use the node."""

    def is_ready() -> bool:
        argv = ["sinfo", "--noheader", f"--nodes={node}", "--Format=StateLong"]
        states = run(argv, environment=environment).stdout.split()
        # A star means that the node has not answered the controller yet.
        return bool(states) and not any(
            state.endswith("*") or state.startswith(("unknown", "down")) for state in states
        )

    argv = ["slurmd", "-D", "-N", node]
    return make_daemon(site, f"slurmd-{node}", argv, environment, "root", is_ready)
