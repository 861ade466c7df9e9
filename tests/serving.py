"""The service as a process, and what asks it over its sockets."""

import http.client
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bank.operations.bank import Bank
from bank.settings import load
from bank.store.connect import reading
from tests.children import in_child, status_of

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = "fake"
# For what always comes: long enough for a loaded machine.
PATIENCE_SECONDS = 60


class Got(NamedTuple):
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("bank", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = connected(self._path)


def connected(path: Path) -> socket.socket:
    """Return a connection to a Unix socket, for what http.client would not send."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def ask(
    place: Path | int,
    method: str,
    path: str,
    body: Any = None,  # noqa: ANN401
    headers: Mapping[str, str] | None = None,
) -> Got:
    """Ask once: over a Unix socket, or a port of this machine."""
    if isinstance(place, Path):
        connection: http.client.HTTPConnection = _OverSocket(place)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", place, timeout=PATIENCE_SECONDS)
    sent = {"Content-Type": "application/json"} if body is not None else {}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {**sent, **(headers or {})})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Got(response.status, found, response.read())
    finally:
        connection.close()


def lien(su: str = "1", **more: object) -> dict[str, object]:
    """Return what asks for a lien."""
    return {"account": "proj", "user": "ada", "cluster": CLUSTER, "cost_su": su, **more}


class Service:
    """A service of a bank, as a process of its own."""

    def __init__(self, settings: Path) -> None:
        """Take the settings; `start` starts it."""
        self.settings = settings
        loaded = load(str(settings))
        self.socket = Path(loaded.service_socket)
        self.port = int(loaded.service_address.rpartition(":")[2] or 0)
        self.bank = Bank(loaded, "ada", print)
        self.said = settings.parent / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, script: str = "", pass_fds: tuple[int, ...] = ()) -> "Service":
        """Start it, and wait until it answers.

        Args:
            script: Python to run before, in the same process: it makes something slow, or fail.
            pass_fds: files that it is to have open.
        """
        run = "import sys, slurm_bank; sys.exit(slurm_bank.run(slurm_bank.__doc__, ['serve']))"
        with self.said.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", f"{script}\n{run}"],
                cwd=ROOT,
                env={**os.environ, "SLURM_BANK_SETTINGS": str(self.settings)},
                stderr=file,
                pass_fds=pass_fds,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it does not answer: {self.said.read_text()}")
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            return ask(self.socket, "GET", "/health").status == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Got:  # noqa: ANN401
        """Ask over the Unix socket; _ in the name of a header is -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.socket, method, path, body, named)

    def ask_as(self, uid: int, method: str, path: str, body: Any = None) -> Got:  # noqa: ANN401
        """Ask over the Unix socket as another user of this machine."""
        reads, writes = os.pipe()

        def work() -> None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            got = self.ask(method, path, body)
            os.write(writes, pickle.dumps(tuple(got)))

        child = in_child(work)
        os.close(writes)
        with os.fdopen(reads, "rb") as said:
            found = said.read()
        assert status_of(child) == 0
        return Got(*pickle.loads(found))  # noqa: S301 -- from our own child

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; return how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """Let it end as systemd does; return its exit status."""
        assert self.process is not None
        status = self.process.poll()
        return self.kill(signal.SIGTERM) if status is None else status

    def tokens_in_books(self) -> set[str]:
        """Return the tokens of all liens that are on the disk."""
        with reading(self.bank.database) as reader:
            return {token for (token,) in reader.query("SELECT token FROM lien")}
