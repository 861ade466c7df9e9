"""Putting the hooks beside slurm.conf and taking them away: whole, again, and killed anywhere."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bank.errors import InputError, Refusal
from bank.operations import hook_files
from bank.operations.bank import Bank
from bank.operations.hook_needs import Controller, Needs
from bank.policy.hook_setup import Places, read_settings
from bank.settings import Settings

SITE = "-- the site's own\nreturn slurm.SUCCESS\n"


class Site:
    """A directory of slurm.conf, and what the controller runs with."""

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"
        self.etc.mkdir()
        self.places = Places(str(self.etc))
        self.config = {"SLURM_CONF": f"{self.etc}/slurm.conf"}
        self.problems: list[str] = []
        settings = Settings(
            str(directory / "bank.db"),
            hooks="enforce",
            end_hook="epilogslurmctld",
            spool=str(directory / "spool"),
            service_socket=str(directory / "no.sock"),
        )
        self.bank = Bank(settings, "ada", pytest.fail)

    def set(self, **settings: object) -> None:
        changed = self.bank.settings._replace(**settings)  # type: ignore[arg-type]
        self.bank = self.bank._replace(settings=changed)

    def controller(self, _bank: Bank) -> Controller:
        return Controller(self.config, self.places, os.getuid(), "root")

    def obey(self, lines: list[str]) -> None:
        """Let the controller run with lines of slurm.conf."""
        self.config |= dict(line.split("=", 1) for line in lines)

    def install(self) -> list[str]:
        told = hook_files.install(self.bank, dry_run=False)
        lines = list(told["lines"])
        self.obey(lines)
        return lines

    def remove(self) -> list[str]:
        lines = list(hook_files.remove(self.bank, dry_run=False)["lines"])
        self.obey(lines)
        return lines

    def files(self) -> dict[str, tuple[str, int, int]]:
        """Return all that lies there: text, rights, and which file it is."""
        return {
            path.name: (path.read_text(), path.stat().st_mode, path.stat().st_ino)
            for path in self.etc.iterdir()
        }

    def installed(self) -> dict[str, str]:
        return read_settings((self.etc / "slurm_bank_hooks.lua").read_text())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    monkeypatch.setattr(hook_files, "ask_controller", site.controller)
    monkeypatch.setattr(
        hook_files, "look_for_needs", lambda _bank, _controller: Needs(site.problems, "/lua/?.so")
    )
    return site


def test_nothing_is_written_where_something_is_missing_and_all_of_it_is_said(site: Site) -> None:
    site.problems[:] = ["no sockets", "no service"]
    with pytest.raises(Refusal, match="no sockets; no service"):
        site.install()
    assert site.files() == {}


def test_dry_run_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    (site.etc / "job_submit.lua").write_text(SITE)
    before = site.files()
    told = hook_files.install(site.bank, dry_run=True)
    assert [line.split()[0] for line in told["done"]] == ["made", "kept", *["wrote"] * 4]
    assert site.files() == before
    assert not Path(site.bank.settings.spool).exists()
    site.install()
    installed = site.files()
    hook_files.remove(site.bank, dry_run=True)
    site.config = {"SLURM_CONF": "x"}
    assert hook_files.remove(site.bank, dry_run=True)["done"]
    assert site.files() == installed


def test_second_install_changes_nothing(site: Site) -> None:
    site.config |= {"PrologSlurmctld": "/site/prolog", "EpilogSlurmctld": "/site/epilog"}
    (site.etc / "job_submit.lua").write_text(SITE)
    assert site.install() != []
    before = site.files()
    told = hook_files.install(site.bank, dry_run=False)
    assert (told["done"], told["lines"]) == ([], [])
    assert site.files() == before
    # What was the site's is kept although slurm.conf does not say it any more.
    assert site.installed()["site_prolog"] == "/site/prolog"
    assert site.installed()["site_epilog"] == "/site/epilog"


def test_changed_setting_reaches_the_controller_which_reads_a_newer_script(site: Site) -> None:
    site.install()
    script = site.etc / "job_submit.lua"
    os.utime(script, (5, 5))
    site.set(hooks="report", fail_open=False)
    site.install()
    assert (site.installed()["mode"], site.installed()["fail_open"]) == ("report", "false")
    assert script.stat().st_mtime > 5


def test_remove_gives_the_site_back_what_it_had(site: Site) -> None:
    script = site.etc / "job_submit.lua"
    script.write_text(SITE)
    script.chmod(0o640)
    site.config |= {"PrologSlurmctld": "/site/prolog", "JobSubmitPlugins": "lua"}
    before = site.files()
    site.install()
    assert sorted(site.files()) == [
        *("job_submit.lua", "job_submit.site.lua", "slurm_bank_end"),
        *("slurm_bank_hooks.lua", "slurm_bank_prolog"),
    ]
    # While the controller runs with them they stay, and refuse nothing.
    assert site.remove() == ["PrologSlurmctld=/site/prolog", "EpilogSlurmctld="]
    assert site.installed()["mode"] == "report"
    assert (site.etc / "slurm_bank_prolog").exists()
    assert site.remove() == []
    assert site.files() == before
    assert site.remove() == []


def test_remove_leaves_alone_what_is_not_the_banks(site: Site) -> None:
    (site.etc / "job_submit.lua").write_text(SITE)
    (site.etc / "slurm.conf").write_text("ClusterName=c1\n")
    before = site.files()
    assert site.remove() == []
    assert site.files() == before


def test_two_scripts_of_the_site_are_left_to_the_admin(site: Site) -> None:
    (site.etc / "job_submit.lua").write_text(SITE)
    (site.etc / "job_submit.site.lua").write_text("another")
    before = site.files()
    with pytest.raises(InputError, match=r"job_submit\.site\.lua is there too"):
        site.install()
    assert site.files() == before


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the step-th change of a file be the last thing that is done."""
    left = [step]

    def counted(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def act(*args: object, **more: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*args, **more)

        return act

    for name in ("link", "replace", "unlink", "makedirs", "utime", "fchmod", "fsync"):
        monkeypatch.setattr(os, name, counted(name))


def broken_off(monkeypatch: pytest.MonkeyPatch, step: int, work: Callable[[], object]) -> None:
    with monkeypatch.context() as patch, suppress(Killed):
        killed_at(patch, step)
        work()


def remove_all(site: Site) -> None:
    while site.remove():
        pass


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("step", range(20))
def test_what_was_begun_is_done_by_the_next_install_or_undone_by_the_next_remove(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: int, has_script: bool
) -> None:
    script = site.etc / "job_submit.lua"
    if has_script:
        script.write_text(SITE)
        site.config["JobSubmitPlugins"] = "lua"
    before = site.files()
    broken_off(monkeypatch, step, site.install)
    # The controller that had a script is never without one.
    assert script.exists() >= has_script
    broken_off(monkeypatch, 19 - step, lambda: remove_all(site))
    assert script.exists() >= has_script
    if step % 2:
        site.install()
        assert (site.etc / "job_submit.site.lua").exists() == has_script
    remove_all(site)
    assert site.files() == before
    assert not Path(site.bank.settings.spool).exists()


def test_show_tells_what_is_there_and_what_the_controller_runs_with(site: Site) -> None:
    told = hook_files.show(site.bank)
    assert set(told["files"].values()) == {"not there"}
    assert (told["runs_with"], told["installed"]) == (False, {})
    site.install()
    told = hook_files.show(site.bank)
    assert set(told["files"].values()) == {"installed"}
    assert (told["runs_with"], told["is_as_set"], told["lines"]) == (True, True, [])
    assert "does not answer" in told["service"]
    conf = site.etc / "slurm.conf"
    conf.write_text("ClusterName=c1\n")
    changed = int(conf.stat().st_mtime)
    for started, is_older in ((changed - 1, True), (changed, False), ("Unknown", False)):
        site.config["BOOT_TIME"] = str(started)
        assert hook_files.show(site.bank)["is_older"] is is_older
    site.set(hooks="report")
    (site.etc / "slurm_bank_end").write_text("older")
    told = hook_files.show(site.bank)
    assert not told["is_as_set"]
    assert "another version" in told["files"][f"{site.etc}/slurm_bank_end"]


def test_decisions_are_read_from_what_the_service_counts() -> None:
    text = (
        "# HELP bank_hook_decisions_total x\n"
        'bank_hook_decisions_total{answer="yes",hook="submit"} 12.0\n'
        'bank_hook_decisions_total{answer="let_through_without_the_bank",hook="submit"} 3.0\n'
        'bank_hook_decisions_created{answer="yes",hook="submit"} 1.7e9\n'
    )
    assert hook_files._decisions(text) == {
        "submit yes": 12,
        "submit let through without the bank": 3,
    }
