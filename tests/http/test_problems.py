"""Every error of the bank has one shape over HTTP, and tells no more than it may."""

import json

import pytest

from bank import errors
from bank.errors import BankError, Busy, InputError, Refusal, StoreError
from bank.http.problems import of_error, status_of

STATUSES = {
    "BankError": 500,
    "UsageError": 400,
    "InputError": 422,
    "NotPermitted": 403,
    "NotKnown": 401,
    "SettingsError": 500,
    "NotPrinted": 500,
    "SlurmError": 502,
    "SlurmTimedOut": 504,
    "OutputNotUnderstood": 502,
    "NotConfirmed": 502,
    "NotTold": 500,
    "StoreError": 503,
    "Busy": 503,
    "LedgerBroken": 500,
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BankError) and kind is not Refusal
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[BankError]) -> None:
    assert status_of(kind("what")) == STATUSES[kind.__name__]


@pytest.mark.parametrize(
    ("code", "status"), [("insufficient_funds", 409), ("no_such_account", 404)]
)
def test_a_refusal_is_a_conflict_or_not_found(code: str, status: int) -> None:
    got = of_error(Refusal(code, "what"))
    assert got.status_code == status
    assert got.media_type == "application/problem+json"
    said = json.loads(bytes(got.body))
    assert said.pop("title")
    assert said == {"type": code, "status": status, "detail": "what"}


def test_everything_that_is_wrong_is_told() -> None:
    got = of_error(InputError("two things", ["one", "two"]))
    assert json.loads(bytes(got.body))["problems"] == ["one", "two"]


def test_what_is_for_the_admin_goes_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    got = of_error(StoreError("/secret/path is damaged"))
    assert b"secret" not in bytes(got.body)
    assert "/secret/path is damaged (store_failed)" in caplog.text


def test_who_may_try_again_is_told_when() -> None:
    got = of_error(Busy("5000 writes wait already"))
    assert got.headers["retry-after"] == "1"
    assert b"5000 writes wait already" in bytes(got.body)
    assert "retry-after" not in of_error(Refusal("no", "no")).headers
