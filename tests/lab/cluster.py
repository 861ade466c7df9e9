"""One private Slurm cluster: the class that tests, the demo and benchmarks use."""

import contextlib
import dataclasses
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import accounts, bulk, layout, machine, services
from .client import Client
from .config import Node, cgroup_conf, gres_conf, slurm_conf, slurmdbd_conf
from .daemons import Daemon
from .database import make_database
from .errors import AlreadyThere, LabError, Missing
from .processes import PLAIN_ENVIRONMENT, find_user, wait_for

SLURM_USER = "slurm"


def keep_quiet(_: str) -> None:
    """Say nothing."""


class Lab(Client):
    """A private Slurm cluster on this machine: its life, its daemons, its configuration.

    What can be done with the running cluster (jobs, accounts) comes from ``Client``.

    Args:
        name: Slurm's name of the cluster, and of the directory.
        directory: where everything of it lies; by default below ``layout.home()``.
        say: gets a line for each step that takes time.
        parent: the first cluster, for one that shares its slurmdbd, MariaDB and munge.
        is_quick: without it the daemons talk over the plain 127.0.0.1, and sacctmgr is as slow as
            on a site's network (see ``machine.loopback``).
    """

    def __init__(
        self,
        name: str = "lab",
        directory: Path | None = None,
        *,
        say: Callable[[str], None] = keep_quiet,
        parent: "Lab | None" = None,
        is_quick: bool = True,
    ) -> None:
        self.directory = (directory or layout.home() / name).absolute()
        super().__init__(layout.check_name(name), self.directory / "etc" / "slurm.conf")
        self.parent = parent
        self.is_quick = is_quick
        self.say = say
        self._record: layout.Record | None = None

    @classmethod
    def attach(
        cls,
        name: str = "lab",
        directory: Path | None = None,
        *,
        say: Callable[[str], None] = keep_quiet,
    ) -> Self:
        """Return a lab that somebody else started.

        Raises:
            Missing: there is none.
        """
        where = (directory or layout.home() / name).absolute()
        record = layout.read_record(where)
        if record is None:
            raise Missing(f"there is no lab in {where}")
        parent = cls.attach(directory=Path(record.parent), say=say) if record.parent else None
        lab = cls(record.cluster, where, say=say, parent=parent)
        lab._record = record
        return lab

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- up and down -----------------------------------------------------------------------

    def start(
        self,
        cpu_nodes: int = 2,
        gpu_nodes: int = 1,
        *,
        nodes: Sequence[Node] = (),
        partitions: Sequence[str] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Bring the cluster up; return when jobs can be submitted.

        What a crashed lab of the same name left behind is removed first, and said.

        Args:
            cpu_nodes: how many nodes without GPUs.
            gpu_nodes: how many with.
            nodes: further ones, with features so that the lab's own partitions leave them out.
            partitions: further ones, see ``config.Site``.
            parameters: of slurm.conf, as ``reconfigure`` takes them.

        Raises:
            AlreadyThere: a lab of this name is up.
            Missing: the machine lacks something.
            DaemonFailed: a daemon did not come up; with the end of its log.
        """
        machine.require()
        machine.make_job_users(self.say)
        layout.make_home(self.directory.parent)
        self._remove_leftovers()
        self._record = self._new_record(cpu_nodes, gpu_nodes, nodes, partitions)
        self._record.overrides = dict(parameters or {})
        layout.make_directories(self.directory, self._record.nodes)
        try:
            self._record.write(self.directory)
            self._write_configuration()
            self._start_daemons()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of the cluster, frozen or not, and remove its directory.

        Nothing is saved: the directory goes anyway, and killing is quick.
        """
        for other in self.second_clusters():
            other.stop()
        running = [daemon for daemon in self.daemons() if daemon.pid is not None]
        # The controller first, so that it does not act on the nodes' disappearance.
        for daemon in running:
            daemon.send(signal.SIGKILL)
        for daemon in running:
            daemon.wait_until_gone()
        self._end_jobs()
        if self.parent is not None and self.parent.daemon("slurmdbd").pid is not None:
            # As if it had never been there, so that the name can be used again.
            self.parent.run(
                "sacctmgr", "-i", "delete", "cluster", self.cluster, timeout=60, check=False
            )
        layout.remove(self.directory)
        self._record = None

    def second_cluster(self, name: str, cpu_nodes: int = 1) -> "Lab":
        """Start one more cluster on this one's slurmdbd, MariaDB and munge."""
        where = self.directory / "clusters" / layout.check_name(name)
        other = Lab(name, where, say=self.say, parent=self)
        other.start(cpu_nodes=cpu_nodes, gpu_nodes=0)
        return other

    def second_clusters(self) -> list["Lab"]:
        """Return the clusters that share this one's slurmdbd."""
        found = sorted((self.directory / "clusters").glob("*/lab.json"))
        return [Lab.attach(directory=path.parent, say=self.say) for path in found]

    def is_up(self) -> bool:
        """Say whether every daemon of the cluster runs."""
        daemons = self.daemons()
        return bool(daemons) and all(daemon.pid is not None for daemon in daemons)

    def _new_record(
        self, cpu_nodes: int, gpu_nodes: int, more: Sequence[Node], partitions: Sequence[str]
    ) -> layout.Record:
        names = [f"c{number + 1}" for number in range(cpu_nodes)]
        gpu_names = [f"g{number + 1}" for number in range(gpu_nodes)]
        layout.make_home(layout.home())
        counter = layout.home() / "next_port"
        own = cpu_nodes + gpu_nodes
        dbd, ctld, *ports = machine.free_ports(2 + own + len(more), counter)
        nodes = [Node(name, port) for name, port in zip(names, ports, strict=False)]
        nodes += [
            Node(name, port, gpus=4)
            for name, port in zip(gpu_names, ports[cpu_nodes:own], strict=True)
        ]
        nodes += [
            dataclasses.replace(node, port=port)
            for node, port in zip(more, ports[own:], strict=True)
        ]
        return layout.Record(
            cluster=self.cluster,
            slurm_version=machine.slurm_version(),
            hostname=machine.hostname(),
            slurmctld_port=ctld,
            slurmdbd_port=self.parent.record.slurmdbd_port if self.parent else dbd,
            nodes=tuple(nodes),
            parent=str(self.parent.directory) if self.parent else "",
            address=self._address(),
            partitions=tuple(partitions),
        )

    def _address(self) -> str:
        if self.parent is not None:
            return self.parent.record.address
        return machine.loopback(self.say) if self.is_quick else "127.0.0.1"

    def _remove_leftovers(self) -> None:
        self._record = layout.read_record(self.directory)
        if self._record is None:
            if (self.directory / "pid").is_dir():
                self.say(f"removing {self.directory}, left behind by an interrupted start")
                layout.remove(self.directory)
            return
        running = [daemon.name for daemon in self.daemons() if daemon.pid is not None]
        if running:
            raise AlreadyThere(
                f"the lab {self.cluster} in {self.directory} is up ({', '.join(running)}):"
                " attach to it, or take it down first"
            )
        self.say(f"removing {self.directory}: its daemons are gone")
        self.stop()

    def _write_configuration(self) -> None:
        site = self.record.site(self.directory)
        etc = self.slurm_conf.parent
        texts = {
            "slurm.conf": slurm_conf(site, SLURM_USER, self.record.overrides),
            "gres.conf": gres_conf(site),
            "cgroup.conf": cgroup_conf(site),
        }
        if self.parent is None:
            texts["slurmdbd.conf"] = slurmdbd_conf(site, SLURM_USER)
        for name, text in texts.items():
            (etc / name).write_text(text)
        if self.parent is None:
            # slurmdbd refuses a file that others may read.
            private = etc / "slurmdbd.conf"
            private.chmod(0o600)
            os.chown(private, find_user(SLURM_USER).pw_uid, find_user(SLURM_USER).pw_gid)

    def _start_daemons(self) -> None:
        if self.parent is None:
            self.say("starting munged, MariaDB and slurmdbd")
            self._make_munge_key()
            self.daemon("munged").start()
            make_database(self.directory / "database", layout.home(), self.say)
            self.daemon("mariadbd").start()
            self.daemon("munged").wait_until_ready()
            self.daemon("mariadbd").wait_until_ready()
            self.daemon("slurmdbd").start()
            self.daemon("slurmdbd").wait_until_ready(60)
        self.run("sacctmgr", "-i", "add", "cluster", self.cluster, timeout=60)
        self.say(f"starting slurmctld and the nodes {' '.join(n.name for n in self.record.nodes)}")
        self.daemon("slurmctld").start()
        self.daemon("slurmctld").wait_until_ready()
        nodes = [daemon for daemon in self.daemons() if daemon.name.startswith("slurmd-")]
        for daemon in nodes:
            daemon.start()
        for daemon in nodes:
            daemon.wait_until_ready()

    def _make_munge_key(self) -> None:
        key = self.directory / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        os.chown(key, find_user("munge").pw_uid, find_user("munge").pw_gid)

    def _end_jobs(self) -> None:
        marker = f"SLURM_CONF={self.slurm_conf}"

        def none_left() -> bool:
            strays = machine.stray_processes(marker)
            for pid in strays:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not strays

        wait_for(none_left, f"the jobs of {self.cluster} to end")

    # -- daemons ---------------------------------------------------------------------------

    @property
    def record(self) -> layout.Record:
        """What is known about the running lab."""
        if self._record is None:
            raise LabError(f"the lab {self.cluster} is not up")
        return self._record

    def daemons(self) -> list[Daemon]:
        """Return the cluster's own daemons, the controller first."""
        if self._record is None:
            return []
        site = self._record.site(self.directory)
        mine = [services.slurmctld(site, self.environment)]
        mine += [services.slurmd(site, self.environment, node.name) for node in site.nodes]
        if self.parent is None:
            mine.append(services.slurmdbd(site, self.environment))
            mine.append(services.mariadbd(site, PLAIN_ENVIRONMENT))
            mine.append(services.munged(site, PLAIN_ENVIRONMENT))
        return mine

    def daemon(self, name: str) -> Daemon:
        """Return a daemon by its name: slurmctld, slurmdbd, mariadbd, munged, slurmd-c1, ..."""
        known = {daemon.name: daemon for daemon in self.daemons()}
        if name not in known:
            raise LabError(f"{self.cluster} has no daemon {name!r}; it has {', '.join(known)}")
        return known[name]

    def freeze(self, name: str) -> None:
        """Stop a daemon where it is: it keeps its ports and answers nobody."""
        self.daemon(name).freeze()

    def thaw(self, name: str) -> None:
        """Let a frozen daemon go on."""
        self.daemon(name).thaw()

    def kill(self, name: str) -> None:
        """Kill a daemon (SIGKILL): it saves nothing."""
        self.daemon(name).kill()

    def terminate(self, name: str) -> None:
        """End a daemon in an orderly way: it saves its state."""
        self.daemon(name).terminate()

    def save_jobs(self, account: str) -> None:
        """Have what the controller knows of jobs saved, which it does within seconds of a change.

        A job that ended after the last save runs on for a controller that was killed: it counts it
        again, and for longer than it ran.

        Args:
            account: one in which a job can be submitted.
        """
        changed = time.time()
        change = self.submit(account, partition="fast", command="true", extra=["--hold"])

        def is_saved() -> bool:
            # The controller takes the old file away before it puts the new one in its place.
            with contextlib.suppress(FileNotFoundError):
                return (self.directory / "state" / "job_state").stat().st_mtime > changed
            return False

        self.wait_for(is_saved, "the jobs to be saved")
        self.run("scancel", str(change))

    def restart(self, name: str) -> None:
        """End a daemon in an orderly way if it runs, start it, and wait until it answers."""
        daemon = self.daemon(name)
        if daemon.pid is not None:
            daemon.terminate()
        daemon.start()
        daemon.wait_until_ready(60)
        if name == "slurmctld":
            self._wake_nodes()

    def _wake_nodes(self) -> None:
        """Have the nodes report to a new controller at once; by itself that takes 5 seconds."""
        nodes = [self.daemon(f"slurmd-{node.name}") for node in self.record.nodes]
        awake = [daemon for daemon in nodes if daemon.pid is not None and not daemon.is_frozen]
        for daemon in awake:
            daemon.send(signal.SIGHUP)
        for daemon in awake:
            daemon.wait_until_ready()

    def reconfigure(self, **parameters: str) -> None:
        """Set global parameters of slurm.conf and restart slurmctld.

        What an earlier call set is put back first, so that a call without arguments restores
        the lab's own configuration. An empty value leaves the parameter out.
        """
        self.record.overrides = dict(parameters)
        self.record.write(self.directory)
        self._write_configuration()
        self.restart("slurmctld")

    # -- accounts --------------------------------------------------------------------------

    def make_accounts(
        self, names: Sequence[str], *, parent: str = "root", users: Sequence[str] = ()
    ) -> None:
        """Make many accounts, each with the same users; return when the controller knows them.

        Many with users are written into the database (see ``bulk``); slurmctld restarts then.
        """
        socket = layout.database_socket((self.parent or self).directory)
        if len(names) * len(users) < bulk.WORTH_IT or not bulk.is_possible(
            socket, self.cluster, names
        ):
            super().make_accounts(names, parent=parent, users=users)
            return
        # The first one in the ordinary way: it makes the users, too.
        super().make_accounts(names[:1], parent=parent, users=users)
        self.terminate("slurmctld")
        bulk.insert(socket, self.cluster, names[1:], parent=parent, users=users)
        self.restart("slurmctld")
        accounts.wait_until_known(self, names, users)

    def clean(self) -> None:
        """Put the running lab back to how it began, as far as that is quick.

        Ends all jobs; deletes all users and accounts but root and all QOSs but normal, on this
        cluster and on those that share its slurmdbd. Job ids and finished jobs stay.
        """
        first = self.parent or self
        clusters = [first, *first.second_clusters()]
        for cluster in clusters:
            accounts.end_jobs(cluster)
        socket = layout.database_socket(first.directory)
        rows = sum(len(accounts.usage(cluster)) for cluster in clusters)
        if rows > bulk.WORTH_IT and bulk.is_possible(socket, first.cluster, ["root.none"]):
            for cluster in clusters:
                cluster.terminate("slurmctld")
            first.terminate("slurmdbd")
            bulk.empty(socket, [cluster.cluster for cluster in clusters])
            first.restart("slurmdbd")
            for cluster in clusters:
                cluster.restart("slurmctld")
        accounts.clean(first)
        for cluster in clusters:
            accounts.wait_until_forgotten(cluster)
            accounts.resume_nodes(cluster)
