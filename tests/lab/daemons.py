"""Starts, freezes, kills and ends one daemon, known by a pid file of its own.

A pid alone proves nothing: after a reboot or a wrap-around it belongs to somebody else. The pid
file therefore also holds when the process started, as the kernel counts it, and the kernel's boot
id; a signal goes only to a process for which all three agree.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DaemonFailed, LabError, Missing, NotInTime
from .processes import find_user, wait_for

LOG_TAIL_BYTES = 3000

# Children of this Python process, kept so that they can be reaped; a zombie would look alive.
_children: dict[int, subprocess.Popen[bytes]] = {}


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone or a zombie."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return None
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def _stat(pid: int) -> list[str] | None:
    """Return what the kernel says of a process, from its state on; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may hold spaces and parentheses itself.
    return stat.rpartition(")")[2].split()


@dataclass(frozen=True)
class Daemon:
    """One daemon of a lab.

    Attributes:
        name: how the lab calls it, such as ``slurmctld`` or ``slurmd-c1``.
        argv: how it is started, in the foreground.
        environment: all that it gets to see.
        user: whom it runs as.
        log: gets its standard output and error.
        pid_file: where its pid is kept.
        is_ready: says whether it answers.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    user: str
    log: Path
    pid_file: Path
    is_ready: Callable[[], bool]

    @property
    def pid(self) -> int | None:
        """The pid of the running daemon; None if it is not running."""
        try:
            known = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        pid, ticks = int(known["pid"]), start_ticks(int(known["pid"]))
        # One that ended before it could be looked at was written down without a time.
        is_ours = ticks is not None and (known["start_ticks"], known["boot"]) == (ticks, boot_id())
        return pid if is_ours else None

    @property
    def is_frozen(self) -> bool:
        """Whether it runs, but is stopped where it is."""
        pid = self.pid
        fields = None if pid is None else _stat(pid)
        return fields is not None and fields[0] == "T"

    @property
    def log_tail(self) -> str:
        """The last lines that it logged."""
        try:
            text = self.log.read_bytes()
        except FileNotFoundError:
            return ""
        return text[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def start(self) -> None:
        """Start it, unless it runs; ``wait_until_ready`` says when it answers."""
        if self.pid is not None:
            return
        account = find_user(self.user)
        with self.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    list(self.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self.environment),
                    cwd="/",
                    user=account.pw_uid,
                    group=account.pw_gid,
                    extra_groups=[],
                    # Ctrl-C on the terminal of whoever started the lab must not end it.
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise Missing(f"the program {self.argv[0]!r} is not installed") from None
        _children[process.pid] = process
        ticks = start_ticks(process.pid)
        known = {"pid": process.pid, "start_ticks": ticks, "boot": boot_id()}
        # Written aside and renamed: a reader never meets half a file.
        aside = self.pid_file.with_suffix(".new")
        aside.write_text(json.dumps(known))
        aside.rename(self.pid_file)

    def wait_until_ready(self, timeout_seconds: float = 30) -> None:
        """Wait until it answers.

        Raises:
            DaemonFailed: it ended, or does not answer in time; with the end of its log.
        """

        def look() -> bool:
            if self.pid is None:
                raise DaemonFailed(self.name, "ended while starting", self.log_tail)
            return self.is_ready()

        try:
            wait_for(look, f"{self.name} to answer", timeout_seconds)
        except NotInTime:
            why = f"does not answer after {timeout_seconds:g} s"
            raise DaemonFailed(self.name, why, self.log_tail) from None

    def send(self, *signals: signal.Signals) -> None:
        """Send signals to the running daemon.

        Raises:
            LabError: it is not running.
        """
        pid = self.pid
        if pid is None:
            raise LabError(f"{self.name} is not running")
        for number in signals:
            os.kill(pid, number)

    def freeze(self) -> None:
        """Stop it where it is (SIGSTOP): it keeps its ports and answers nobody."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it (SIGKILL), so that it saves nothing, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait_until_gone()

    def terminate(self, timeout_seconds: float = 30) -> None:
        """End it in an orderly way (SIGTERM), frozen or not; it saves its state."""
        self.send(signal.SIGTERM, signal.SIGCONT)
        self.wait_until_gone(timeout_seconds)

    def wait_until_gone(self, timeout_seconds: float = 30) -> None:
        """Wait until the process has ended, then forget its pid.

        Raises:
            LabError: it is still there.
        """
        try:
            wait_for(lambda: self.pid is None, f"{self.name} to end", timeout_seconds)
        except NotInTime as error:
            raise LabError(f"{error}; its log ends with:\n{self.log_tail}") from None
        self.pid_file.unlink(missing_ok=True)
