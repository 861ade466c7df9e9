"""Tokens: shown once, kept as a digest, good until they end or are revoked."""

import sqlite3
from pathlib import Path

import pytest

from bank.errors import InputError, NotKnown, Refusal
from bank.operations import tokens, upkeep
from bank.operations.bank import Bank
from bank.operations.tokens import Known
from bank.settings import Settings

DAY = 86_400 * 1_000_000
NOW = 1_800_000_000_000_000


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    settings = Settings(str(tmp_path / "bank.db"), logfile=str(tmp_path / "bank.log"))
    bank = Bank(settings, "ada", pytest.fail, clock=lambda: NOW)
    upkeep.migrate(bank, dry_run=False)
    return bank


def at(bank: Bank, when: int) -> Bank:
    return bank._replace(clock=lambda: when)


def is_known(bank: Bank, secret: str) -> bool:
    known = Known(bank)
    try:
        known.token(secret)
    except NotKnown:
        return False
    finally:
        known.close()
    return True


def test_a_token_is_known_again_with_what_it_is_for(bank: Bank) -> None:
    told = tokens.create(bank, "portal", "jobs", ["proj", "PROJ", "dept"])
    known = Known(bank)
    token = known.token(told["token"])
    known.close()
    assert (token.name, token.scope, token.accounts) == ("portal", "jobs", ("proj", "dept"))
    assert token.created_by == "ada"
    assert token.expires_at == NOW + 365 * DAY


def test_what_is_shown_is_kept_nowhere(bank: Bank, tmp_path: Path) -> None:
    secret = tokens.create(bank, "portal", "read")["token"]
    assert len(secret) >= 43
    plain = secret.removeprefix("bank_").encode()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"bank.db", "bank.log"}
    assert [path.name for path in files if plain in path.read_bytes()] == []
    assert all("token" not in told for told in tokens.listing(bank))


def test_no_two_tokens_are_alike(bank: Bank) -> None:
    made = {tokens.create(bank, f"t{number}", "read")["token"] for number in range(20)}
    assert len(made) == 20


def test_a_wrong_token_is_not_known(bank: Bank) -> None:
    secret = tokens.create(bank, "portal", "read")["token"]
    assert is_known(bank, secret)
    for wrong in (secret[:-1], secret + "x", secret.upper(), "", "bank_", "x" * 10**6):
        assert not is_known(bank, wrong)


def test_the_digest_that_is_kept_lets_nobody_in(bank: Bank) -> None:
    tokens.create(bank, "portal", "read")
    with sqlite3.connect(bank.database.path) as connection:
        ((digest,),) = connection.execute("SELECT token_digest FROM token")
    connection.close()
    assert not is_known(bank, digest)


def test_a_token_ends_with_its_day_and_not_before(bank: Bank) -> None:
    told = tokens.create(bank, "portal", "read", until="2027-03-01T00:00Z")
    end = 1_803_859_200_000_000
    assert told["expires_at"] == "2027-03-01T00:00:00Z"
    assert is_known(at(bank, end - 1), told["token"])
    assert not is_known(at(bank, end), told["token"])
    assert tokens.listing(at(bank, end))[0]["state"] == "expired"


def test_a_revoked_token_is_good_no_more_at_once(bank: Bank) -> None:
    secret = tokens.create(bank, "portal", "read")["token"]
    known = Known(bank)
    assert known.token(secret).name == "portal"
    first = tokens.revoke(bank, "portal")
    with pytest.raises(NotKnown):
        known.token(secret)
    known.close()
    assert first["state"] == "revoked"
    assert tokens.revoke(at(bank, NOW + DAY), "portal") == first
    with pytest.raises(Refusal, match="there is, or was"):
        tokens.create(bank, "portal", "read")


@pytest.mark.parametrize(
    ("name", "scope", "accounts", "until"),
    [
        ("", "read", (), None),
        ("Portal", "read", (), None),
        ("a b", "read", (), None),
        ("-x", "read", (), None),
        ("x" * 65, "read", (), None),
        ("x", "admin", (), None),
        ("x", "", (), None),
        ("x", "read", ("a b",), None),
        ("x", "read", ("root",), None),
        ("x", "read", (), "soon"),
        ("x", "read", (), "2020-01-01"),
    ],
)
def test_what_cannot_be_a_token_is_refused(
    bank: Bank, name: str, scope: str, accounts: tuple[str, ...], until: str | None
) -> None:
    with pytest.raises(InputError):
        tokens.create(bank, name, scope, accounts, until)
    assert tokens.listing(bank) == []


def test_a_name_is_used_once_and_one_that_never_was_is_not_revoked(bank: Bank) -> None:
    tokens.create(bank, "portal", "read")
    with pytest.raises(Refusal) as twice:
        tokens.create(bank, "portal", "jobs")
    assert twice.value.code == "token_exists"
    with pytest.raises(Refusal) as never:
        tokens.revoke(bank, "other")
    assert never.value.code == "no_such_token"


def test_an_old_backup_makes_no_revoked_token_good_again(bank: Bank, tmp_path: Path) -> None:
    secret = tokens.create(bank, "portal", "read")["token"]
    copy = str(tmp_path / "copy.db")
    upkeep.backup(bank, copy)
    tokens.revoke(bank, "portal")
    upkeep.restore(bank, copy, dry_run=False)
    assert not is_known(bank, secret)
