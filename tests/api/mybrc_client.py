"""The service with a bank on the model of Slurm, and what clients of myBRC send it."""

import http.client
import json
import os
import pwd
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from uvicorn import Config, Server

from bank.operations import looking, tokens, upkeep
from bank.operations.bank import Bank
from bank.operations.shape_cache import ShapeCache
from bank.service.app import make_app
from bank.service.protocol import Connection
from bank.settings import Settings
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert

# Whoever runs the tests is somebody that this machine knows.
UID = os.getuid()
USER = pwd.getpwuid(UID).pw_name
NOBODY = 4_000_000_000
SECONDS = 20


class Answer(NamedTuple):
    """An answer: its status, its body, and its headers in lower case."""

    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """Sends what the plugins' client sends: a connection for each request, and a token."""

    def __init__(self, bank: Bank, address: tuple[str, int], authorization: str) -> None:
        self.bank = bank
        self.address = address
        self.authorization: str | None = authorization

    def send(
        self, method: str, path: str, body: object = None, *, media_type: str = "application/json"
    ) -> Answer:
        """Send one request; a body that is no text is sent as JSON."""
        headers = {"User-Agent": "OpenAPI-Generator/v1/rust", "Accept": "*/*"}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        data = None
        if body is not None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            headers["Content-Type"] = media_type
        with closing(http.client.HTTPConnection(*self.address, timeout=SECONDS)) as connection:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read()
            got = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, json.loads(text) if text else None, got)

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, path: str, body: object, **more: str) -> Answer:
        return self.send("POST", path, body, **more)

    def put(self, path: str, body: object, **more: str) -> Answer:
        return self.send("PUT", path, body, **more)

    def token(self, scope: str, accounts: tuple[str, ...] = ()) -> "Client":
        """Return a client with a token of its own."""
        name = f"{scope}-{'-'.join(accounts)}-{time.monotonic_ns()}"
        made = tokens.create(self.bank, name.lower(), scope, accounts)
        return Client(self.bank, self.address, f"Token {made['token']}")

    def books(self, name: str = "proj") -> tuple[str, str]:
        """Return what an account has used, and what is set aside."""
        (state,) = looking.balance(self.bank, name)
        return state["used_su"], state["set_aside_su"]


def _asked(bank: Bank) -> ShapeCache:
    cache = ShapeCache(bank)
    cache.refresh()
    return cache


@contextmanager
def answering(bank: Bank) -> Iterator[tuple[str, int]]:
    """Let the service answer for a bank, in this process; yield its address."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.MonkeyPatch.context() as patch,
    ):
        # What goes on beside the answering is for others to test.
        patch.setattr("bank.service.app.BACKGROUND", ())
        patch.setattr("bank.service.app.ShapeCache", _asked)
        server = Server(
            Config(make_app(bank), http=Connection, ws="none", log_config=None, access_log=False)
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            until = time.monotonic() + SECONDS
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < until
                time.sleep(0.005)
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(SECONDS)
        assert not thread.is_alive()


def make_bank(fake: FakeSlurm, path: Path, **settings: Any) -> Bank:  # noqa: ANN401
    """Return a bank that charges by jobs, with 100 SUs for dept and for proj below it."""
    more = {"usage_source": "jobs", **settings}
    bank = Bank(Settings(str(path / "bank.db"), **more), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.uids[USER] = UID
    fake.add_user("proj", USER)
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return bank


@contextmanager
def client_of(bank: Bank) -> Iterator[Client]:
    """Let the service answer, and yield a client that may do all that clients of myBRC do."""
    made = tokens.create(bank, "plugins", "jobs")
    with answering(bank) as address:
        yield Client(bank, address, f"Token {made['token']}")
