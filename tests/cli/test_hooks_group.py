"""The verbs of 'hooks' on the command line."""

import json

import pytest

from bank.cli import hooking
from bank.cli.arguments import read_group
from bank.cli.main import run
from bank.errors import UsageError
from bank.operations import hook_files
from slurm_bank import __doc__ as usage


def told(monkeypatch: pytest.MonkeyPatch, verb: str, **answer: object) -> None:
    monkeypatch.setattr(hook_files, verb, lambda _bank, **_options: answer)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    arguments = read_group(hooking.__doc__ or "", ["hooks", *words])
    assert hooking.run_group(None, arguments) == 0  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_help_needs_no_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_BANK_SETTINGS", "/nowhere")
    assert run(usage, ["hooks", "--help"]) == 0
    assert "slurm_bank.py hooks install" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["instal"], ["install", "--dry"], ["install", "show"], [], ["show", "--dry-run"]]
)
def test_what_is_not_understood_is_said(words: list[str]) -> None:
    with pytest.raises(UsageError):
        read_group(hooking.__doc__ or "", ["hooks", *words])


def test_install_says_which_lines_are_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = "/etc/slurm/slurm.conf"
    told(monkeypatch, "install", done=["wrote x"], lines=["JobSubmitPlugins=lua"], slurm_conf=conf)
    assert printed(capsys, "install") == (
        "wrote x\n"
        "/etc/slurm/slurm.conf needs, in place of what it says of these:\n"
        "  JobSubmitPlugins=lua\n"
        "then restart slurmctld ('scontrol reconfigure' is not enough), and 'slurm_bank.py hooks"
        " show'\n"
    )
    told(monkeypatch, "install", done=[], lines=[], slurm_conf=conf)
    assert printed(capsys, "install") == (
        "the hooks are as they should be\nthe controller runs with them\n"
    )
    assert json.loads(printed(capsys, "install", "--json"))["lines"] == []


def test_remove_says_what_must_go_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told(monkeypatch, "remove", done=[], lines=["PrologSlurmctld="], slurm_conf="/s")
    text = printed(capsys, "remove", "--dry-run")
    assert "let /s say\n  PrologSlurmctld=\n" in text
    assert "'slurm_bank.py hooks remove' once more" in text
    told(monkeypatch, "remove", done=[], lines=[], slurm_conf="/s")
    assert printed(capsys, "remove") == "there are no hooks to remove\n"


def test_show_prints_all_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {
        "files": {"/e/job_submit.lua": "installed"},
        "site_script": "/e/job_submit.site.lua",
        "installed": {"mode": "report", "fail_open": "true"},
        "is_as_set": False,
        "runs_with": False,
        "is_older": True,
        "lines": ["JobSubmitPlugins=lua"],
        "service": "answers",
        "decisions": {"submit yes": 3},
        "spool_waiting": 1,
        "spool_broken": 0,
    }
    told(monkeypatch, "show", **answer)
    text = printed(capsys, "show")
    for part in (
        *("/e/job_submit.lua: installed", "job_submit.site.lua: the site's own, called first"),
        *("mode: report, FAIL_OPEN true", "the settings have changed since"),
        *("does not run with them: slurm.conf needs\n  JobSubmitPlugins=lua", "service: answers"),
        *("  submit yes: 3", "spool: 1 waiting, 0 broken"),
    ):
        assert part in text
    told(monkeypatch, "show", **{**answer, "runs_with": True, "lines": []})
    assert "has changed since slurmctld was started: restart" in printed(capsys, "show")
    told(monkeypatch, "show", **{**answer, "runs_with": True, "is_older": False})
    assert "the controller runs with them" in printed(capsys, "show")


def test_group_is_reached_from_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(usage or "", ["hooks", "--help"]) == 0
    assert "slurm_bank.py hooks remove" in capsys.readouterr().out
