"""Accounts over HTTP: as the command line has them, and no more than the caller may see."""

import pytest

from bank.operations.history import history
from bank.operations.looking import balance
from tests.api.conftest import Asking
from tests.serving import Service


def test_an_account_is_as_the_command_line_has_it(service: Service) -> None:
    (known,) = balance(service.bank, "proj")
    assert service.ask("GET", "/v1/accounts/proj").json == known
    # Slurm folds names.
    assert service.ask("GET", "/v1/accounts/PROJ").json == known
    assert service.ask("GET", "/v1/accounts").json == {"accounts": balance(service.bank, None)}


def test_entries_come_in_parts(service: Service) -> None:
    known = history(service.bank, "proj")
    assert len(known) > 2
    found, after = [], 0
    while after is not None:
        page = service.ask("GET", f"/v1/accounts/proj/entries?limit=2&after={after}").json
        found += page["entries"]
        after = page["next"]
    assert found == known
    assert service.ask("GET", "/v1/accounts/proj/entries?after=99").json["entries"] == []


def test_a_statement_has_what_was_asked_for(service: Service) -> None:
    whole = service.ask("GET", "/v1/accounts/proj/statement").json
    assert whole["closing"]["granted_su"] == "1000"
    assert "groups" in whole
    itemized = service.ask("GET", "/v1/accounts/proj/statement?itemized=true").json
    assert [entry["amount_su"] for entry in itemized["entries"]] == ["1000"]
    wrong = service.ask("GET", "/v1/accounts/proj/statement?from=soon")
    assert (wrong.status, wrong.json["type"]) == (422, "bad_input")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/accounts/nobody", 404, "no_such_account"),
        ("/v1/accounts/nobody/entries", 404, "no_such_account"),
        ("/v1/accounts/nobody/statement", 404, "no_such_account"),
        ("/v1/accounts/two%20names", 422, "bad_input"),
        ("/v1/accounts/root", 422, "bad_input"),
        ("/v1/accounts/proj/entries?limit=0", 422, "bad_input"),
        ("/v1/accounts/proj/entries?limit=many", 422, "bad_input"),
        ("/v1/accounts/..%2f..%2fetc%2fpasswd", 404, "no_such_route"),
        ("/v1/nothing", 404, "no_such_route"),
        ("/docs", 404, "no_such_route"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(
    service: Service, path: str, status: int, code: str
) -> None:
    got = service.ask("GET", path)
    assert (got.status, got.json["type"], got.json["status"]) == (status, code, status)
    assert got.headers["content-type"] == "application/problem+json"


def test_another_method_is_a_problem_too(service: Service) -> None:
    got = service.ask("DELETE", "/v1/accounts/proj")
    assert (got.status, got.json["type"]) == (405, "no_such_method")
    assert got.headers["allow"] == "GET"


def test_a_token_for_one_account_sees_no_other(with_token: Asking) -> None:
    def get(path: str) -> tuple[int, str]:
        got = with_token("read", ("proj",), "GET", path)
        return got.status, got.json.get("type", "")

    assert get("/v1/accounts/proj") == (200, "")
    # Whether there is such an account is not told.
    assert get("/v1/accounts/dept") == get("/v1/accounts/nobody") == (403, "not_permitted")
    assert get("/v1/accounts/dept/entries") == (403, "not_permitted")
    assert get("/v1/accounts/dept/statement") == (403, "not_permitted")
    listed = with_token("read", ("proj",), "GET", "/v1/accounts").json["accounts"]
    assert [one["account"] for one in listed] == ["proj"]
    said = with_token("read", ("proj",), "GET", "/metrics").body.decode()
    assert 'account="proj"' in said
    assert 'account="dept"' not in said


def test_what_is_measured_is_what_the_books_say(service: Service) -> None:
    said = service.ask("GET", "/metrics").body.decode()
    assert 'bank_account_limit_su{account="proj"} 1000.0' in said
    assert 'bank_account_available_su{account="proj"} 1000.0' in said
    assert 'bank_liens{state="placed"} 0.0' in said
    assert "bank_writes_waiting 0.0" in said
