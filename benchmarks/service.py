"""What the service does in a second: liens, each on the disk before it is answered.

One process asks over the Unix socket with many connections at once, on the same cores as the
service. With --fsync-ms each wait for the disk takes that much longer, as on slower ones: strace
holds the two system calls back, and stops at no other (--seccomp-bpf). Run it as

    python -m benchmarks.service [--seconds N] [--connections N] [--fsync-ms N] [--directory DIR]
"""

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from bank.store.connect import Database, reading, writing
from benchmarks.million import CLUSTER, TABLE, Size, write

ROOT = Path(__file__).resolve().parent.parent
ACCOUNTS = 1000
_PATIENCE_SECONDS = 30
_ANSWER_BYTES = 65536


class Measured(NamedTuple):
    """What came of one run.

    Attributes:
        liens: answered with success.
        seconds: how long it took.
        median_ms, p99_ms, longest_ms: from a question to its answer.
        megabytes_before, megabytes_after: what the service keeps in memory.
    """

    liens: int
    seconds: float
    median_ms: float
    p99_ms: float
    longest_ms: float
    megabytes_before: float
    megabytes_after: float

    @property
    def liens_per_second(self) -> float:
        """How many were answered each second."""
        return self.liens / self.seconds


def make_books(directory: Path) -> Path:
    """Make accounts that can pay, whose jobs are charged one by one; return the settings."""
    database = directory / "bank.db"
    write(database, Size(ACCOUNTS, ACCOUNTS), now=time.time_ns() // 1000)
    with writing(Database(str(database), TABLE)) as writer:
        writer.execute("UPDATE cluster SET source = 'jobs' WHERE name = :name", [{"name": CLUSTER}])
    settings = directory / "settings.py"
    settings.write_text(
        f"DATABASE = '{database}'\nDB_TABLE_NAME = '{TABLE}'\n"
        f"SERVICE_SOCKET = '{directory}/socket'\n"
    )
    settings.chmod(0o600)
    return settings


@contextmanager
def serving(settings: Path, *, fsync_ms: int) -> Iterator[tuple[Path, int]]:
    """Run the service; yield its socket and its process."""
    path = settings.parent / "socket"
    environment = {**os.environ, "SLURM_BANK_SETTINGS": str(settings)}
    argv = [sys.executable, str(ROOT / "slurm_bank.py"), "serve"]
    if fsync_ms:
        slow = f"inject=fsync,fdatasync:delay_enter={fsync_ms * 1000}"
        argv = [
            *("strace", "--follow-forks", "--seccomp-bpf", "--output=/dev/null"),
            *("--trace=fsync,fdatasync", "-e", slow, *argv),
        ]
    process = subprocess.Popen(argv, env=environment)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not path.exists() or not _answers(path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the service does not answer")
            time.sleep(0.05)
        yield path, _service_of(process.pid) if fsync_ms else process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        if fsync_ms:
            os.kill(_service_of(process.pid), signal.SIGTERM)
        process.wait(_PATIENCE_SECONDS)


def _answers(path: Path) -> bool:
    try:
        _connected(path).close()
    except OSError:
        return False
    return True


def _service_of(strace: int) -> int:
    children = Path(f"/proc/{strace}/task/{strace}/children").read_text(encoding="ascii").split()
    return int(children[0])


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    return connection


def _question(number: int) -> bytes:
    body = json.dumps(
        {
            "account": f"acc{number % ACCOUNTS:05d}",
            "user": "ada",
            "cluster": CLUSTER,
            "cost_su": "0.01",
        }
    )
    head = f"POST /v1/liens HTTP/1.1\r\nHost: bank\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n{body}".encode()


def _answer(connection: socket.socket) -> bytes:
    """Read one answer whole; its head and its body come one after the other."""
    found = connection.recv(_ANSWER_BYTES)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(_ANSWER_BYTES)
    return found


def measure(path: Path, pid: int, *, connections: int, seconds: float) -> Measured:
    """Ask for liens with so many connections, each with one question at a time."""
    took: list[float] = []
    numbers = count()
    before = _megabytes(pid)
    with selectors.DefaultSelector() as selector:
        asked: dict[socket.socket, float] = {}
        for _ in range(connections):
            connection = _connected(path)
            selector.register(connection, selectors.EVENT_READ)
            asked[connection] = time.perf_counter()
            connection.sendall(_question(next(numbers)))
        began = time.perf_counter()
        end = began + seconds
        while asked:
            for key, _ in selector.select(_PATIENCE_SECONDS):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                answer = _answer(one)
                now = time.perf_counter()
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"not answered with success: {answer!r}")
                took.append(now - asked[one])
                if now < end:
                    asked[one] = now
                    one.sendall(_question(next(numbers)))
                else:
                    del asked[one]
                    selector.unregister(one)
                    one.close()
        passed = time.perf_counter() - began
    took.sort()
    return Measured(
        len(took),
        passed,
        took[len(took) // 2] * 1000,
        took[len(took) * 99 // 100] * 1000,
        took[-1] * 1000,
        before,
        _megabytes(pid),
    )


def _megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) * 1024 / 1e6


def count_liens(settings: Path) -> int:
    """Return how many liens are in the books."""
    with reading(Database(str(settings.parent / "bank.db"), TABLE)) as reader:
        ((found,),) = reader.query("SELECT count(*) FROM lien")
    return int(found)


def main(argv: Sequence[str]) -> int:
    """Measure once, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--fsync-ms", type=int, default=0)
    parser.add_argument("--directory", help="a disk to measure on; else that of temporary files")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bank-service-", dir=given.directory) as name:
        settings = make_books(Path(name))
        with serving(settings, fsync_ms=given.fsync_ms) as (path, pid):
            measure(path, pid, connections=given.connections, seconds=1)
            already = count_liens(settings)
            found = measure(path, pid, connections=given.connections, seconds=given.seconds)
        kept = count_liens(settings) - already
    sys.stdout.write(
        f"{found.liens_per_second:.0f} liens/s, median {found.median_ms:.1f} ms, p99"
        f" {found.p99_ms:.1f} ms, longest {found.longest_ms:.0f} ms; memory"
        f" {found.megabytes_before:.0f} MB, then {found.megabytes_after:.0f} MB; {found.liens}"
        f" answered, {kept} in the books\n"
    )
    return 0 if kept == found.liens else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
