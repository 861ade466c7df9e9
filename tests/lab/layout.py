"""Where a lab's things lie, and what is kept about it between two programs that use it."""

import json
import os
import re
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .config import Node, Site
from .errors import AlreadyThere, LabError
from .processes import find_user

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# A Unix socket's path must fit into 108 bytes, and the longest one below the directory is short.
LONGEST_DIRECTORY = 80


def home() -> Path:
    """Return the directory below which labs lie unless told otherwise."""
    chosen = os.environ.get("SLURM_LAB_HOME")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / "slurm-lab"


def check_name(name: str) -> str:
    """Return a cluster name that Slurm and MariaDB both take as it is.

    Raises:
        LabError: it is another kind of name.
    """
    if NAME.fullmatch(name) is None:
        raise LabError(f"{name!r} is no name for a lab: lower case letters, digits, '_'")
    return name


@dataclass
class Record:
    """What a lab's directory says about it, so that another program can attach to it.

    Attributes:
        cluster: Slurm's name of the cluster.
        slurm_version: of the daemons.
        hostname: the machine's short name.
        slurmctld_port: where slurmctld listens.
        slurmdbd_port: where slurmdbd listens; the first cluster's for a second one.
        nodes: the compute nodes.
        parent: the first cluster's directory, for a second cluster; else empty.
        overrides: parameters of slurm.conf that were set differently.
        address: where on the loopback interface the daemons talk to each other.
        partitions: further ones, see ``config.Site``.
    """

    cluster: str
    slurm_version: tuple[int, int]
    hostname: str
    slurmctld_port: int
    slurmdbd_port: int
    nodes: tuple[Node, ...]
    parent: str = ""
    overrides: dict[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"
    partitions: tuple[str, ...] = ()

    def site(self, directory: Path) -> Site:
        """Return what the configuration files are made from."""
        return Site(
            cluster=self.cluster,
            directory=directory,
            munge_socket=munge_socket(Path(self.parent) if self.parent else directory),
            hostname=self.hostname,
            slurm_version=self.slurm_version,
            slurmctld_port=self.slurmctld_port,
            slurmdbd_port=self.slurmdbd_port,
            nodes=self.nodes,
            address=self.address,
            partitions=self.partitions,
        )

    def write(self, directory: Path) -> None:
        """Write it into the lab's directory."""
        aside = directory / "lab.json.new"
        aside.write_text(json.dumps(asdict(self), indent=1) + "\n")
        aside.rename(directory / "lab.json")


def read_record(directory: Path) -> Record | None:
    """Return a lab's record; None if there is no lab in the directory."""
    try:
        known = json.loads((directory / "lab.json").read_text())
    except FileNotFoundError:
        return None
    known["nodes"] = tuple(
        Node(**{**node, "gpu_types": tuple(node["gpu_types"])}) for node in known["nodes"]
    )
    known["partitions"] = tuple(known["partitions"])
    major, minor = known["slurm_version"]
    known["slurm_version"] = (major, minor)
    return Record(**known)


def munge_socket(directory: Path) -> Path:
    """Return the munge daemon's socket of a lab."""
    return directory / "munge" / "socket"


def database_socket(directory: Path) -> Path:
    """Return the MariaDB daemon's socket of a lab."""
    return directory / "database.socket.d" / "socket"


def make_home(directory: Path) -> None:
    """Make the directory that holds labs; refuse one that another user could have planted.

    Raises:
        LabError: it is not a directory of ours.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LabError(f"{directory} is not a directory of user {os.geteuid()}; set SLURM_LAB_HOME")


def make_directories(directory: Path, nodes: tuple[Node, ...]) -> None:
    """Make an empty lab's directories, each owned by whoever writes there.

    Raises:
        AlreadyThere: something of this name exists.
    """
    if len(str(directory)) > LONGEST_DIRECTORY:
        raise LabError(f"{directory} is too long: Unix sockets below it would not work")
    try:
        directory.mkdir(mode=0o755)
    except FileExistsError:
        raise AlreadyThere(f"{directory} exists") from None
    owners = {"etc": "root", "log": "root", "pid": "root", "run": "slurm", "state": "slurm"}
    owners |= {"munge": "munge", "database.socket.d": "slurm", "spool": "root", "gpu": "root"}
    for name, owner in owners.items():
        made = directory / name
        made.mkdir(mode=0o755)
        os.chown(made, find_user(owner).pw_uid, find_user(owner).pw_gid)
    for node in nodes:
        (directory / "spool" / node.name).mkdir(mode=0o755)
        for number in range(node.gpus):
            (directory / "gpu" / f"gpu{number}").touch()


def remove(directory: Path) -> None:
    """Remove a lab's directory, and nothing that is not one.

    Raises:
        LabError: the directory does not look like a lab's.
    """
    if not directory.exists():
        return
    if not (directory / "pid").is_dir() or not (directory / "etc").is_dir():
        raise LabError(f"{directory} does not look like a lab; not removing it")
    shutil.rmtree(directory)
