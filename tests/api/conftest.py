"""A service of a bank with some accounts, for all tests of a file."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bank.operations import tokens
from tests.service.conftest import make_books
from tests.serving import Got, Service, ask

Asking = Callable[..., Got]
NUMBERS = count()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service; dept has 1,000 SUs, and so has proj below it."""
    with tempfile.TemporaryDirectory(prefix="bank-") as name:
        Path(name).chmod(0o755)
        service = Service(make_books(Path(name), su=1000)).start()
        yield service
        assert service.stop() == 0


@pytest.fixture
def with_token(service: Service) -> Asking:
    """Ask over the network with a new token: scope, accounts, method, path, body."""
    made: dict[tuple[str, tuple[str, ...]], str] = {}

    def call(
        scope: str,
        accounts: tuple[str, ...],
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401
        **headers: str,
    ) -> Got:
        key = (scope, accounts)
        if key not in made:
            told = tokens.create(service.bank, f"t-{next(NUMBERS)}", scope, accounts)
            made[key] = told["token"]
        sent = {"Authorization": f"Bearer {made[key]}", **headers}
        return ask(service.port, method, path, body, sent)

    return call
