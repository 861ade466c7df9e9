"""Who connects is known; who is slow, sends too much or comes too often keeps nobody waiting."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.serving import PATIENCE_SECONDS, ROOT, Service, ask, connected, lien

NOBODY = 65534
# What keeps a test from waiting as long as a real client may.
QUICK = "import bank.service.protocol as p; p.SLOWEST_SECONDS = 1"


@pytest.fixture
def quick(unstarted: Service) -> Service:
    """A service that waits a second for what is slow."""
    return unstarted.start(QUICK)


def rest_of(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def refusals(service: Service, code: str) -> float:
    for line in service.ask("GET", "/metrics").body.decode().splitlines():
        if line.startswith(f'bank_refusals_total{{code="{code}"}}'):
            return float(line.split()[1])
    return 0


@pytest.mark.parametrize("script", ["", "import sys; sys.modules['uvloop'] = None"])
def test_who_is_at_the_other_end_is_known(unstarted: Service, script: str) -> None:
    """With uvloop, and without it."""
    service = unstarted.start(script)
    assert service.ask("GET", "/v1/accounts/proj").status == 200
    said = service.ask_as(NOBODY, "GET", "/v1/accounts/proj")
    assert said.status == 403
    assert "nothing is published for you" in said.json["detail"]
    assert service.ask_as(NOBODY, "GET", "/v1/liens").status == 403
    assert service.ask_as(NOBODY, "GET", "/metrics").status == 403
    assert service.ask_as(NOBODY, "GET", "/health").status == 200


def test_over_the_network_nobody_is_known_without_a_token(service: Service) -> None:
    for path in ("/v1/accounts", "/v1/liens", "/metrics", "/v1/accounts/proj/entries"):
        got = ask(service.port, "GET", path)
        assert got.status == 401
        assert got.headers["www-authenticate"].startswith("Bearer")
        assert got.json["type"] == "not_known"
    assert ask(service.port, "POST", "/v1/liens", lien()).status == 401
    assert ask(service.port, "GET", "/health").status == 200


def test_why_it_is_not_ready_is_told_to_those_who_run_it_only(service: Service) -> None:
    assert "scontrol" in service.ask("GET", "/ready").json["detail"]
    assert "scontrol" not in ask(service.port, "GET", "/ready").json["detail"]


@pytest.mark.parametrize(
    "sent", [b"", b"GET /health HT", b"\r\n", b"GET /health HTTP/1.1\r\nA: b\r\n"]
)
def test_a_head_that_does_not_come_is_not_waited_for(quick: Service, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", quick.port), timeout=PATIENCE_SECONDS) as one:
        one.sendall(sent)
        assert rest_of(one).startswith(b"HTTP/1.1 408 ")
    assert refusals(quick, "too_slow") == 1


def test_a_byte_now_and_then_is_too_slow_and_keeps_nobody_waiting(quick: Service) -> None:
    with socket.create_connection(("127.0.0.1", quick.port), timeout=PATIENCE_SECONDS) as one:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while refusals(quick, "too_slow") == 0:
            one.sendall(b"b")
            assert quick.ask("GET", "/health").status == 200
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert rest_of(one).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_does_not_come_is_not_waited_for(quick: Service) -> None:
    with connected(quick.socket) as one:
        one.sendall(b"POST /v1/liens HTTP/1.1\r\nHost: b\r\nContent-Length: 100\r\n\r\n{")
        answer = rest_of(one)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert refusals(quick, "too_slow") == 1
    assert quick.tokens_in_books() == set()


def test_who_does_not_read_is_given_up(quick: Service) -> None:
    many = b"GET /openapi.json HTTP/1.1\r\nHost: b\r\n\r\n" * 400
    with socket.create_connection(("127.0.0.1", quick.port), timeout=PATIENCE_SECONDS) as one:
        one.settimeout(0.5)
        try:
            while True:
                one.sendall(many)
        except OSError:
            pass
        deadline = time.monotonic() + PATIENCE_SECONDS
        while refusals(quick, "too_slow") < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert refusals(quick, "too_slow") >= 1


@pytest.mark.parametrize("length", [b"Content-Length: 300000", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused(service: Service, length: bytes) -> None:
    with connected(service.socket) as one:
        one.sendall(b"POST /v1/liens HTTP/1.1\r\nHost: b\r\n" + length + b"\r\n\r\n")
        try:
            for _ in range(300):
                one.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        except OSError:
            pass
        answer = rest_of(one)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert refusals(service, "too_large") == 1


def test_a_head_that_is_too_large_is_refused(service: Service) -> None:
    with connected(service.socket) as one:
        try:
            one.sendall(b"GET /health HTTP/1.1\r\n")
            for number in range(10_000):
                one.sendall(b"X-%d: y\r\n" % number)
        except OSError:
            pass
        answer = rest_of(one)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert refusals(service, "head_too_large") == 1


def test_what_is_no_request_is_refused(service: Service) -> None:
    with connected(service.socket) as one:
        one.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert rest_of(one).startswith(b"HTTP/1.1 400 ")
    assert service.ask("GET", "/health").status == 200


@contextmanager
def many_connections(service: Service, count: int) -> Iterator[None]:
    some = [
        socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_SECONDS)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for one in some:
            one.close()


def test_too_many_connections_over_the_network_leave_the_socket_free(
    unstarted: Service,
) -> None:
    service = unstarted.start("import bank.service.protocol as p; p.MOST_OVER_NETWORK = 20")
    with many_connections(service, 20):
        assert service.ask("GET", "/health").status == 200
        assert ask(service.port, "GET", "/health").status == 503
        assert refusals(service, "too_many_connections") >= 1
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ask(service.port, "GET", "/health").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_service_is_refused(service: Service) -> None:
    other = Service(service.settings)
    other.said = service.settings.parent / "said by the other"
    with pytest.raises(AssertionError, match="another service is running"):
        start_without_waiting(other)
    assert service.ask("GET", "/health").status == 200


def start_without_waiting(service: Service) -> None:
    run = [sys.executable, str(ROOT / "slurm_bank.py"), "serve"]
    done = subprocess.run(
        run,
        env={**os.environ, "SLURM_BANK_SETTINGS": str(service.settings)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 75
    raise AssertionError(done.stderr)


def test_it_listens_where_systemd_does(unstarted: Service) -> None:
    """LISTEN_FDS: the socket is systemd's, and stays when the service ends."""
    unstarted.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
        theirs.bind(str(unstarted.socket))
        theirs.listen()
        handed = f"import os; os.dup2({theirs.fileno()}, 3, True)"
        os.set_inheritable(theirs.fileno(), True)
        script = f"{handed}; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')"
        service = unstarted.start(script, pass_fds=(theirs.fileno(),))
        assert service.ask("GET", "/v1/accounts/proj").status == 200
        assert ask(service.port, "GET", "/health").status == 200
        assert service.kill(signal.SIGTERM) == 0
        assert service.socket.exists()


def test_what_is_no_socket_is_left_where_it_is(unstarted: Service) -> None:
    unstarted.socket.parent.mkdir()
    unstarted.socket.write_text("mine")
    with pytest.raises(AssertionError, match="SERVICE_SOCKET"):
        unstarted.start()
    assert unstarted.socket.read_text() == "mine"
