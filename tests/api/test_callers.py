"""Who asks with a token: as it was made, and only as long as it is good."""

from itertools import count

import pytest

from bank.operations import tokens
from tests.api.conftest import Asking
from tests.serving import Got, Service, ask

NUMBERS = count()


@pytest.fixture
def secret(service: Service) -> str:
    """A new token that may read."""
    return str(tokens.create(service.bank, f"secret-{next(NUMBERS)}", "read")["token"])


def get(service: Service, *values: str) -> Got:
    headers = dict(zip(("Authorization", "authorization"), values, strict=False))
    return ask(service.port, "GET", "/v1/accounts/proj", None, headers)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "Token {}", "{}"])
def test_all_ways_to_show_a_token_are_taken(service: Service, secret: str, form: str) -> None:
    assert get(service, form.format(secret)).status == 200


@pytest.mark.parametrize(
    "form",
    ["Bearer", "Bearer ", "Basic {}", "Bearer {}x", "Bearer \xe4", "Bearer {0} {0}"],
)
def test_what_is_no_good_token_is_not_known(service: Service, secret: str, form: str) -> None:
    got = get(service, form.format(secret))
    assert got.status == 401, got
    assert got.json["type"] == "not_known"
    assert got.headers["www-authenticate"].startswith("Bearer")
    assert secret not in got.body.decode()


def test_two_that_are_shown_are_not_understood(service: Service, secret: str) -> None:
    assert get(service, f"Bearer {secret}", f"Bearer {secret}").status == 401


def test_on_the_socket_a_token_counts_and_not_who_shows_it(service: Service, secret: str) -> None:
    assert service.ask("GET", "/v1/accounts/proj", Authorization="Bearer wrong").status == 401
    got = service.ask("POST", "/v1/liens/12345678/void", Authorization=f"Bearer {secret}")
    assert got.status == 403


def test_a_revoked_token_is_refused_by_a_service_that_knew_it(service: Service) -> None:
    secret = tokens.create(service.bank, "to-be-revoked", "read")["token"]
    assert get(service, f"Bearer {secret}").status == 200
    tokens.revoke(service.bank, "to-be-revoked")
    assert get(service, f"Bearer {secret}").status == 401


def test_refusals_are_counted(service: Service) -> None:
    def count() -> float:
        text = service.ask("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if 'refusals_total{code="not_known"}' in line]
        return float(lines[0].split()[1]) if lines else 0

    before = count()
    get(service, "Bearer wrong")
    get(service)
    assert count() == before + 2


def test_hooks_are_not_asked_with_a_token(with_token: Asking) -> None:
    for path in ("/v1/hooks/submit", "/v1/hooks/start", "/v1/hooks/end"):
        assert with_token("jobs", (), "POST", path, {}).status in (401, 403, 404)
