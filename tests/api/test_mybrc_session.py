"""A job's life as the plugins tell it: the bytes that their client sends, to a service process."""

import json
import os
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from bank.operations import looking, tokens, upkeep
from tests.service.conftest import make_books
from tests.serving import PATIENCE_SECONDS, Service

UID = os.getuid()
JOB = {
    "jobslurmid": "4711",
    "submitdate": "2027-01-31T11:58:00+00:00",
    "startdate": "2027-01-31T12:00:00+00:00",
    "userid": str(UID),
    "accountid": "proj",
    "amount": "20.00",
    "jobstatus": "RUNNING",
    "partition": "savio",
    "qos": "savio_normal",
    "nodes": [{"name": "n0000.savio1"}],
    "num_cpus": 20,
    "num_alloc_nodes": 1,
}
END = {
    **JOB,
    "enddate": "2027-01-31T12:21:03+00:00",
    "amount": "7.02",
    "jobstatus": "COMPLETING",
    "num_req_nodes": 1,
    "raw_time": 0.35083333,
    "cpu_time": 7.016667,
}


class Plugin:
    """What one of the plugins is: an address and a token from bank-config.toml."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.token = f"Token {tokens.create(service.bank, 'plugins', 'jobs')['token']}"

    def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send one request over a connection of its own; return status and body."""
        lines = [f"{method} {path} HTTP/1.1"]
        data = b""
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            lines += ["content-type: application/json"]
        lines += ["user-agent: OpenAPI-Generator/v1/rust", f"authorization: {self.token}"]
        if body is not None:
            lines += [f"content-length: {len(data)}"]
        lines += ["accept: */*", f"host: 127.0.0.1:{self.service.port}", "", ""]
        address = ("127.0.0.1", self.service.port)
        with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
            connection.sendall("\r\n".join(lines).encode() + data)
            response = HTTPResponse(connection, method=method)
            response.begin()
            return response.status, json.loads(response.read())


@pytest.fixture
def service(public_directory: Path) -> Iterator[Service]:
    """A service that is not started; proj has 100 SUs."""
    service = Service(make_books(public_directory, su=100))
    yield service
    if service.process is not None:
        service.stop()


def books(service: Service) -> tuple[str, str]:
    (state,) = looking.balance(service.bank, "proj")
    return state["used_su"], state["set_aside_su"]


def test_a_job_is_asked_about_begun_and_charged_though_the_service_is_killed_in_between(
    service: Service,
) -> None:
    service.start()
    plugin = Plugin(service)
    assert plugin.send("GET", f"/can_submit_job/20.00/{UID}/proj/")[1]["success"] is True
    assert plugin.send("POST", "/jobs/", JOB)[0] == 201
    # Each step of the job says it again.
    assert plugin.send("POST", "/jobs/", JOB)[0] == 400
    service.kill()
    assert books(service) == ("0", "20")

    service.start()
    status, verdict = plugin.send("GET", f"/can_submit_job/80.01/{UID}/proj/")
    assert (status, verdict["success"]) == (200, False)
    assert "80.0 available (100 granted, 0 used, 20 set aside for 1 job)" in verdict["message"]
    assert plugin.send("PUT", "/jobs/4711/", END)[0] == 200
    service.kill()
    assert books(service) == ("7.02", "0")

    service.start()
    # A client that had no answer says it again.
    status, job = plugin.send("PUT", "/jobs/4711/", END)
    assert (status, job["amount"], job["jobstatus"]) == (200, "7.02", "COMPLETING")
    assert books(service) == ("7.02", "0")
    assert service.stop() == 0
    assert upkeep.verify(service.bank) == []
