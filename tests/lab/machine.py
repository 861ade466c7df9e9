"""What a lab needs from the machine: rights, programs, users, free ports."""

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from .errors import CommandFailed, LabError, Missing
from .processes import SYSTEM_PATH, find_user, run_or_raise

PROGRAMS = (
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sacctmgr",
    "sbatch",
    "sshare",
)
JOB_USERS = ("lab-ada", "lab-bob")
# Below the range from which Linux takes ports for outgoing connections (32768 and up).
PORTS = range(20_000, 32_000)
QUICK_ADDRESS = "127.77.0.1"


def require(programs: tuple[str, ...] = PROGRAMS) -> None:
    """Raise unless this process may and can run a lab.

    Raises:
        Missing: says what is missing and what installs it.
    """
    if os.geteuid() != 0:
        raise Missing("a lab needs root: its daemons and jobs run as several users")
    absent = [name for name in programs if shutil.which(name, path=SYSTEM_PATH) is None]
    if absent:
        raise Missing(f"not installed: {' '.join(absent)}; scripts/lab-packages installs them")
    for name in ("slurm", "munge"):
        find_user(name)


def make_job_users(say: Callable[[str], None]) -> None:
    """Create the operating system's users that jobs run as, where absent."""
    for name in JOB_USERS:
        try:
            find_user(name)
        except Missing:
            say(f"creating the system user {name} (no home, no login)")
            _make_job_user(name)


def _make_job_user(name: str) -> None:
    argv = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        run_or_raise([*argv, "--shell", "/usr/sbin/nologin", "--user-group", name])
    except CommandFailed:
        # Another cluster that is started at the same time may have made it first.
        find_user(name)


def hostname() -> str:
    """Return the machine's name as Slurm's daemons see it: up to the first dot."""
    return socket.gethostname().partition(".")[0]


def slurm_version() -> tuple[int, int]:
    """Return the installed Slurm's major and minor number, such as (22, 5)."""
    text = run_or_raise(["slurmctld", "-V"])
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        raise LabError(f"slurmctld -V says {text!r}, which holds no version")
    return int(found[1]), int(found[2])


def free_ports(count: int, counter: Path) -> list[int]:
    """Return ports on which nobody listens, and that no other lab is given for a long time.

    A port that is free now may be another lab's that has not come so far as to listen on it.

    Args:
        count: how many.
        counter: file that all labs of this machine share: the port to go on from.
    """
    with counter.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        begin = int(file.read() or PORTS[os.getpid() % len(PORTS)]) - PORTS.start
        found = []
        for step in range(len(PORTS)):
            port = PORTS[(begin + step) % len(PORTS)]
            if _is_free(port):
                found.append(port)
            if len(found) == count:
                file.truncate(0)
                file.write(str(port + 1))
                return found
    raise LabError(f"fewer than {count} free ports in {PORTS.start}-{PORTS.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def loopback(say: Callable[[str], None]) -> str:
    """Return the address on which a lab's daemons talk to each other.

    Slurm 22.05 writes each message to slurmdbd in two parts and leaves Nagle's algorithm on; with
    delayed acknowledgements each message then takes 43 ms, and a sacctmgr call half a second. A
    loopback address of its own, routed with ``quickack``, makes that a tenth, and leaves the
    machine's 127.0.0.1 alone. Where the route cannot be made, all works, only slower.
    """
    route = ["ip", "route", "replace", "local", f"{QUICK_ADDRESS}/32", "dev", "lo"]
    route += ["table", "local", "src", QUICK_ADDRESS, "quickack", "1"]
    try:
        run_or_raise(route)
    except LabError:
        say(f"no quick route to {QUICK_ADDRESS} (needs 'ip' and CAP_NET_ADMIN): sacctmgr is slower")
        return "127.0.0.1"
    return QUICK_ADDRESS


def answers(address: tuple[str, int] | Path) -> bool:
    """Say whether somebody accepts connections on a TCP port or a Unix socket."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
    return True


def stray_processes(marker: str) -> list[int]:
    """Return job processes that carry ``marker`` in their environment.

    Jobs and the processes that watch over them (slurmstepd) outlive a killed slurmd. The
    caller's own line of ancestors is left out: it may be a shell inside the lab.
    """
    spared = set()
    pid = os.getpid()
    while pid > 1:
        spared.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            name = (entry / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        in_a_job = any(text.startswith(b"SLURM_JOB_ID=") for text in variables)
        if marker.encode() in variables and (in_a_job or name == "slurmstepd"):
            found.append(int(entry.name))
    return found
