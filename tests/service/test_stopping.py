"""However the service ends, what it answered is on the disk, and what it took is answered."""

import http.client
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.serving import PATIENCE_SECONDS, Got, Service, ask, lien

ASKERS = 8


class Asked(NamedTuple):
    """What many who ask at once were answered."""

    tokens: list[str]
    others: list[Got]


@contextmanager
def many_asking(service: Service) -> Iterator[Asked]:
    """Ask for liens from several threads until nobody answers any more."""
    asked = Asked([], [])
    some = threading.Event()

    def work() -> None:
        while True:
            try:
                got = ask(service.socket, "POST", "/v1/liens", lien())
            except (OSError, http.client.HTTPException):
                return
            if got.status == 200:
                asked.tokens.append(got.json["lien"]["token"])
            else:
                asked.others.append(got)
            if len(asked.tokens) > 200:
                some.set()

    threads = [threading.Thread(target=work) for _ in range(ASKERS)]
    for thread in threads:
        thread.start()
    try:
        assert some.wait(PATIENCE_SECONDS)
        yield asked
    finally:
        if service.process is not None and service.process.poll() is None:
            service.kill()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def test_a_stop_under_load_answers_all_that_it_took(service: Service) -> None:
    with many_asking(service) as asked:
        assert service.kill(signal.SIGTERM) == 0
    assert service.tokens_in_books() == set(asked.tokens)
    assert [got for got in asked.others if got.status != 503] == []
    assert not service.socket.exists()
    assert "Traceback" not in service.said.read_text()


@pytest.mark.parametrize("run", range(3))
def test_what_was_answered_before_a_kill_is_there(service: Service, run: int) -> None:
    del run
    with many_asking(service) as asked:
        assert service.kill(signal.SIGKILL) == -signal.SIGKILL
    missing = set(asked.tokens) - service.tokens_in_books()
    assert missing == set()


def test_after_a_kill_the_socket_is_taken_over(service: Service) -> None:
    service.kill()
    assert service.socket.exists()
    assert service.start().ask("GET", "/health").status == 200


def test_a_full_disk_refuses_and_is_got_over(service: Service) -> None:
    """As with a full disk, no file can grow: nothing is answered that is not there."""
    assert service.process is not None
    answered = {service.ask("POST", "/v1/liens", lien()).json["lien"]["token"]}
    grown = service.settings.with_name("bank.db-wal").stat().st_size
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (grown, resource.RLIM_INFINITY))
    got = service.ask("POST", "/v1/liens", lien())
    assert (got.status, got.json["type"]) == (503, "store_failed")
    assert got.headers["retry-after"] == "1"
    assert "bank.db" not in got.json["detail"]
    assert "bank.db" in service.said.read_text()
    assert service.ask("GET", "/v1/accounts/proj").status == 200, service.said.read_text()
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, no_limit)
    answered.add(service.ask("POST", "/v1/liens", lien()).json["lien"]["token"])
    assert service.tokens_in_books() == answered
