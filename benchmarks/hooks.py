"""What the hooks cost at a submission: with the bank answering, frozen, and away."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, seconds_of
from tests.lab import JOB_USERS, Lab

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "acc"
_PAIRS = 300
_AT_ONCE = 500
_READY_SECONDS = 60
# From the freezing on; then the controller has stopped asking.
_FIRST_SECOND = 1.0
_LONGEST_SECONDS = 60
_MORE_MS = 10


class Site(NamedTuple):
    """A cluster, and a bank that its controller may ask.

    Attributes:
        lab: the cluster.
        directory: of the bank's files.
        environment: of all that is run.
    """

    lab: Lab
    directory: Path
    environment: Mapping[str, str]

    def bank(self, *words: str) -> str:
        """Run one command of the bank; return what it says."""
        argv = [sys.executable, str(ROOT / "slurm_bank.py"), *words]
        done = subprocess.run(argv, env=self.environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    def sbatch(self) -> None:
        """Submit a job that stays in the queue."""
        argv = ["/usr/bin/sbatch", "--hold", "-A", ACCOUNT, "-t", "10", "-o", "/dev/null"]
        subprocess.run(
            [*argv, "--wrap=true"],
            env=self.environment, check=True, stdout=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip

    def sinfo(self) -> None:
        """Ask the controller something that is answered from memory."""
        subprocess.run(
            ["/usr/bin/sinfo", "-h"], env=self.environment, check=True, stdout=subprocess.DEVNULL
        )


def hooks() -> Iterator[Row]:
    """What a submission takes with the hooks and without, in turn, on two clusters."""
    with _sites() as (plain, hooked):
        for lien_at in ("start", "submit"):
            _set(hooked, LIEN_AT=lien_at)
            with _served(hooked):
                yield from _rows(f"with the hook (LIEN_AT = '{lien_at}')", hooked, plain)
        with _served(hooked) as service:
            yield from _frozen(hooked, plain, service)
        yield from _rows("with the bank away", hooked, plain)


def _rows(what: str, hooked: Site, plain: Site) -> Iterator[Row]:
    for site in (hooked, plain):
        site.sbatch()
    pairs = [(seconds_of(hooked.sbatch), seconds_of(plain.sbatch)) for _ in range(_PAIRS)]
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    middle = (statistics.median(ours) * 1000, statistics.median(theirs) * 1000)
    yield Row(f"`sbatch` {what}, median", middle[0], "without", middle[1], ratio, "1.5")
    late = [statistics.quantiles(all_of, n=100)[98] * 1000 for all_of in (ours, theirs)]
    more = (late[0] - late[1]) / _MORE_MS
    yield Row(
        f"the same, p99: how much more than {_MORE_MS} ms", late[0], "without", late[1], more, "1"
    )


def _frozen(hooked: Site, plain: Site, service: "subprocess.Popen[bytes]") -> Iterator[Row]:
    """Freeze the bank, submit very much at once, and ask the controller meanwhile."""
    service.send_signal(signal.SIGSTOP)
    try:
        ours = _asked_meanwhile(hooked)
    finally:
        service.send_signal(signal.SIGCONT)
    theirs = _asked_meanwhile(plain)
    ratio = statistics.median(ours) / statistics.median(theirs)
    yield Row(
        f"`sinfo` while {_AT_ONCE} submit at once and the bank is frozen, after its first second",
        statistics.median(ours) * 1000,
        "without hooks",
        statistics.median(theirs) * 1000,
        ratio,
        "1.5",
    )


def _asked_meanwhile(site: Site) -> list[float]:
    """Return how long `sinfo` took while very many submitted at once, after the first second."""
    argv = [
        "/usr/bin/sbatch",
        "--hold",
        "-A",
        ACCOUNT,
        "-t",
        "10",
        "-o",
        "/dev/null",
        "--wrap=true",
    ]
    began = time.perf_counter()
    crowd = [
        subprocess.Popen(
            argv, env=site.environment, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for _ in range(_AT_ONCE)
    ]  # fmt: skip
    found = []
    while any(one.poll() is None for one in crowd):
        at = time.perf_counter()
        if at - began > _LONGEST_SECONDS:
            raise RuntimeError("the submissions do not end")
        taken = seconds_of(site.sinfo)
        if at - began >= _FIRST_SECOND:
            found.append(taken)
    # Where all had ended within the second, what comes right after it counts.
    found += [seconds_of(site.sinfo) for _ in range(21 - len(found))]
    return found


@contextmanager
def _sites() -> Iterator[tuple[Site, Site]]:
    """Start two clusters alike, of which one asks a bank."""
    with tempfile.TemporaryDirectory(prefix="slurm-bank-bench-") as name:
        # SlurmUser has to pass through it.
        Path(name).chmod(0o755)
        pid = os.getpid()
        with Lab(f"bench_nohook_{pid}") as one, Lab(f"bench_hook_{pid}") as other:
            sites = [_site(lab, Path(name) / which) for lab, which in ((one, "a"), (other, "b"))]
            plain, hooked = sites
            hooked.bank("migrate")
            hooked.bank("insert", ACCOUNT, "1000000")
            with _served(hooked):
                lines = hooked.bank("hooks", "install", "--json")
                hooked.lab.reconfigure(**_parameters(lines))
            yield plain, hooked


def _site(lab: Lab, directory: Path) -> Site:
    directory.mkdir()
    lab.make_accounts([ACCOUNT], users=["root", JOB_USERS[0]])
    environment = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "SLURM_CONF": str(lab.slurm_conf),
        "SLURM_BANK_SETTINGS": str(directory / "settings.py"),
    }
    site = Site(lab, directory, environment)
    _set(site, LIEN_AT="start")
    return site


def _set(site: Site, **values: object) -> None:
    """Write the settings of a site's bank."""
    lines = {
        "DATABASE": str(site.directory / "bank.db"),
        "LOGFILE": "",
        "USAGE_SOURCE": "jobs",
        "HOOKS": "enforce",
        "SERVICE_SOCKET": str(site.directory / "bank.sock"),
        "SPOOL": str(site.directory / "spool"),
        **values,
    }
    path = site.directory / "settings.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in lines.items()))
    path.chmod(0o644)


def _parameters(told: str) -> dict[str, str]:
    lines: Sequence[str] = json.loads(told)["lines"]
    return dict(line.split("=", 1) for line in lines)


@contextmanager
def _served(site: Site) -> Iterator["subprocess.Popen[bytes]"]:
    """Let the service answer."""
    with (site.directory / "service.log").open("ab") as log:
        service = subprocess.Popen(
            [sys.executable, str(ROOT / "slurm_bank.py"), "serve"],
            env=site.environment,
            stdout=log,
            stderr=log,
        )
    try:
        site.lab.wait_for(lambda: _is_ready(site), "the service to be ready", _READY_SECONDS)
        yield service
    finally:
        service.terminate()
        service.wait(_READY_SECONDS)


def _is_ready(site: Site) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(site.directory / "bank.sock"))
        except OSError:
            return False
        client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        return b" 200 " in client.makefile("rb").readline()
