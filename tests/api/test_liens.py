"""Liens over HTTP: set aside once, within what can be paid, by whom it may be."""

import threading
from collections.abc import Sequence

import pytest

from bank.operations.looking import balance
from tests.api.conftest import Asking
from tests.serving import Got, Service, lien


def available(service: Service) -> str:
    (state,) = balance(service.bank, "proj")
    return str(state["available_su"])


@pytest.fixture(autouse=True)
def nothing_is_left(service: Service) -> None:
    """Void what a test before has placed."""
    for one in service.ask("GET", "/v1/liens").json["liens"]:
        assert service.ask("POST", f"/v1/liens/{one['token']}/void").status == 200
    assert available(service) == "1000"


def test_a_lien_is_placed_seen_and_ended(service: Service) -> None:
    got = service.ask("POST", "/v1/liens", lien("100.5", tasks=4, at_once=2, reason="why"))
    assert got.status == 200
    assert (got.json["cost_su"], got.json["available_su"]) == ("201", "799")
    token = got.json["lien"]["token"]
    assert available(service) == "799"
    assert service.ask("GET", f"/v1/liens/{token}").json == got.json["lien"]
    assert service.ask("GET", "/v1/liens?account=proj").json["liens"] == [got.json["lien"]]
    assert service.ask("GET", "/v1/liens?account=dept").json["liens"] == []
    ended = service.ask("POST", f"/v1/liens/{token}/settle").json
    assert (ended["state"], ended["set_aside_su"]) == ("settled", "0")
    assert available(service) == "1000"
    # A repeat is an answer; another end is none.
    assert service.ask("POST", f"/v1/liens/{token}/settle").json == ended
    other = service.ask("POST", f"/v1/liens/{token}/void")
    assert (other.status, other.json["type"]) == (409, "lien_ended")


def test_what_cannot_be_paid_is_refused_with_the_numbers(service: Service) -> None:
    got = service.ask("POST", "/v1/liens", lien("1000.5"))
    assert (got.status, got.json["type"]) == (409, "insufficient_funds")
    assert got.json["detail"] == (
        "this job may cost up to 1,000.5 SUs; account proj has 1,000.0 available"
        " (1,000 granted, 0 used)"
    )
    assert available(service) == "1000"


def test_a_key_makes_a_repeat_an_answer(service: Service, with_token: Asking) -> None:
    first = service.ask("POST", "/v1/liens", lien("10"), Idempotency_Key="k")
    again = service.ask("POST", "/v1/liens", lien("10"), Idempotency_Key="k")
    assert [one.json["is_repeat"] for one in (first, again)] == [False, True]
    assert first.json["lien"] == again.json["lien"]
    assert available(service) == "990"
    for other in (lien("11"), lien("10", user="bob"), lien("10", tasks=2)):
        got = service.ask("POST", "/v1/liens", other, Idempotency_Key="k")
        assert got.status == 409
        assert got.json["type"] in ("idempotency_key_reused", "token_reused")
    # Somebody else's key of the same name is another key.
    theirs = with_token("jobs", (), "POST", "/v1/liens", lien("10"), **{"Idempotency-Key": "k"})
    assert theirs.json["is_repeat"] is False
    assert available(service) == "980"


def test_the_same_request_many_times_at_once_is_done_once(service: Service) -> None:
    found = at_once([lien("10")] * 20, service, key="race")
    tokens = {got.json["lien"]["token"] for got in found}
    assert len(tokens) == 1
    assert sorted(got.json["is_repeat"] for got in found) == [False] + [True] * 19
    assert available(service) == "990"


def at_once(bodies: Sequence[dict[str, object]], service: Service, key: str = "") -> list[Got]:
    """Ask all at once, each over a connection of its own."""
    found: list[Got] = []
    barrier = threading.Barrier(len(bodies))
    headers = {"Idempotency_Key": key} if key else {}

    def work(body: dict[str, object]) -> None:
        barrier.wait()
        found.append(service.ask("POST", "/v1/liens", body, **headers))

    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("run", range(5))
def test_of_twenty_who_race_as_many_are_paid_for_as_can_be(service: Service, run: int) -> None:
    del run
    found = at_once([lien("140")] * 20, service)
    assert sorted(got.status for got in found) == [200] * 7 + [409] * 13
    assert available(service) == "20"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"cost_su": 5}, "body.cost_su"),
        ({"cost_su": "-5"}, "body.cost_su"),
        ({"cost_su": "1e3"}, "body.cost_su"),
        ({"cost_su": "0.00001"}, "body.cost_su"),
        ({"cost_su": "1."}, "body.cost_su"),
        ({"account": "a b"}, "body.account"),
        ({"account": "--all"}, "body.account"),
        ({"user": "ada\n"}, "body.user"),
        ({"cluster": ""}, "body.cluster"),
        ({"tasks": 0}, "body.tasks"),
        ({"tasks": 10**9}, "body.tasks"),
        ({"job": -1}, "body.job"),
        ({"reason": "two\nlines"}, "body.reason"),
        ({"reason": "x" * 501}, "body.reason"),
        ({"is_forced": True}, "body.is_forced"),
        ({"token": "mine"}, "body.token"),
    ],
)
def test_what_is_not_a_lien_is_refused(
    service: Service, change: dict[str, object], what: str
) -> None:
    got = service.ask("POST", "/v1/liens", lien() | change)
    assert (got.status, got.json["type"]) == (422, "bad_input")
    assert [problem.partition(":")[0] for problem in got.json["problems"]] == [what]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'"x"', b'{"account": "\\ud800"}']
)
def test_what_is_no_request_at_all_is_refused(service: Service, body: bytes) -> None:
    got = service.ask("POST", "/v1/liens", body)
    assert (got.status, got.json["type"]) == (422, "bad_input")


def test_a_part_of_a_billing_second_is_set_aside_as_a_whole_one(service: Service) -> None:
    got = service.ask("POST", "/v1/liens", lien("0.0001")).json
    assert got["lien"]["set_aside_billing_seconds"] == 1
    exact = service.ask("POST", "/v1/liens", lien("0.5")).json
    assert exact["lien"]["set_aside_billing_seconds"] == 1800


def test_amounts_too_large_for_the_books_are_refused(service: Service) -> None:
    got = service.ask("POST", "/v1/liens", lien("99999999999", tasks=4_000_001))
    assert (got.status, got.json["type"]) == (409, "too_much")


def test_on_a_cluster_that_meters_charge_nothing_is_set_aside(service: Service) -> None:
    got = service.ask("POST", "/v1/liens", lien(cluster="other"))
    assert (got.status, got.json["type"]) == (409, "not_charged_by_jobs")


def test_who_may_only_read_places_and_ends_nothing(service: Service, with_token: Asking) -> None:
    token = service.ask("POST", "/v1/liens", lien()).json["lien"]["token"]
    for method, path, body in (
        ("POST", "/v1/liens", lien()),
        ("POST", f"/v1/liens/{token}/void", None),
        ("POST", f"/v1/liens/{token}/settle", None),
    ):
        got = with_token("read", (), method, path, body)
        assert (got.status, got.json["type"]) == (403, "not_permitted")
    assert with_token("read", (), "GET", f"/v1/liens/{token}").status == 200
    assert available(service) == "999"


def test_a_token_for_one_account_touches_no_lien_of_another(
    service: Service, with_token: Asking
) -> None:
    def refused(method: str, path: str, body: object = None) -> tuple[int, str]:
        got = with_token("jobs", ("dept",), method, path, body)
        return got.status, got.json["type"]

    token = service.ask("POST", "/v1/liens", lien()).json["lien"]["token"]
    assert refused("POST", "/v1/liens", lien()) == (403, "not_permitted")
    assert refused("POST", "/v1/liens", lien(account="nobody")) == (403, "not_permitted")
    not_there = refused("GET", "/v1/liens/not-there-at-all")
    assert not_there == (404, "no_such_lien")
    for end in ("", "/void", "/settle"):
        method = "POST" if end else "GET"
        assert refused(method, f"/v1/liens/{token}{end}") == not_there
    assert with_token("jobs", ("dept",), "GET", "/v1/liens").json["liens"] == []
    assert refused("GET", "/v1/liens?account=proj") == (403, "not_permitted")
    mine = with_token("jobs", ("dept",), "POST", "/v1/liens", lien(account="dept"))
    assert mine.status == 200
    assert available(service) == "999"
