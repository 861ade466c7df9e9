"""The verbs of tokens, as they are typed."""

import json

import pytest

from tests.cli.conftest import Command


def test_a_token_is_printed_alone_and_once(command: Command) -> None:
    done = command("token", "create", "portal", "--scope", "jobs", "--accounts", "a,b")
    assert done.status == 0
    assert done.out.startswith("bank_")
    assert len(done.out.split()) == 1
    assert "token portal for a, b, scope jobs, until " in done.err
    listed = command("token", "list")
    assert "portal\tjobs\ta,b\tgood\t" in listed.out
    assert done.out.strip() not in listed.out


def test_programs_get_json(command: Command) -> None:
    made = json.loads(command("token", "create", "portal", "--scope=read", "--json").out)
    (listed,) = json.loads(command("token", "list", "--json").out)
    assert made == {**listed, "token": made["token"]}
    revoked = json.loads(command("token", "revoke", "portal", "--json").out)
    assert revoked["state"] == "revoked"


def test_revoked_is_said(command: Command) -> None:
    command("token", "create", "portal", "--scope", "read")
    assert command("token", "revoke", "portal").out.startswith("token portal is revoked since 20")
    assert "\trevoked\t" in command("token", "list").out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("token", 2, "not understood"),
        ("token create portal", 2, "not understood"),
        ("token create portal --sc read", 2, "--sc is not an option"),
        ("token create portal --scope read --accounts a,,b", 2, "--accounts takes names"),
        ("token create portal --scope root", 65, "not a scope"),
        ("token create portal --scope read --until soon", 65, "--until"),
        ("token revoke portal", 1, "no token"),
        ("token list more", 2, "not understood"),
        ("token list --dry-run", 2, "--dry-run is not an option"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    command: Command, words: str, status: int, said: str
) -> None:
    done = command(*words.split())
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_help_needs_no_settings(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_BANK_SETTINGS", "/nowhere")
    done = command("token", "--help")
    assert done.status == 0
    assert "token create <name> --scope=SCOPE" in done.out
