"""The prolog and the end hook as programs: run with what slurmctld gives them and nothing else."""

import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.policy.hook_setup import settings_text
from tests.plugins.fake_bank import FakeBank, fake_bank, said

SHIPPED = Path(__file__).parents[2] / "bank" / "plugins"
JOB = {
    "SLURM_JOB_ID": "17",
    "SLURM_JOB_ACCOUNT": "proj",
    "SLURM_JOB_NAME": 'a "name"\\ with\nall ä \U0001f600',
    "SLURM_CLUSTER_NAME": "c1",
    "HOME": "/root",
}


@pytest.fixture
def here(public_directory: Path) -> Path:
    for name, installed in (("prolog", "slurm_bank_prolog"), ("end", "slurm_bank_end")):
        path = public_directory / installed
        path.write_text((SHIPPED / name).read_text())
        path.chmod(0o755)
    scontrol = public_directory / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$SLURM_CONF|$*" >> {public_directory}/called\n')
    scontrol.chmod(0o755)
    (public_directory / "spool").mkdir(mode=0o700)
    return public_directory


@pytest.fixture
def bank(here: Path) -> Iterator[FakeBank]:
    with fake_bank(here / "bank.sock") as bank:
        yield bank


def configure(here: Path, **changes: str | int | bool) -> None:
    values: dict[str, str | int | bool] = {
        "socket": str(here / "bank.sock"),
        "fail_open": True,
        "mode": "enforce",
        "slurm_conf": "/etc/slurm/slurm.conf",
        "scontrol": str(here / "scontrol"),
        "spool": str(here / "spool"),
        "site_prolog": "",
        "site_epilog": "",
    }
    (here / "slurm_bank_hooks.lua").write_text(settings_text({**values, **changes}))


def prolog(here: Path, **changes: str | int | bool) -> int:
    """Run the prolog; return its status."""
    configure(here, **changes)
    argv = [here / "slurm_bank_prolog"]
    return subprocess.run(argv, env=JOB, cwd="/", timeout=30, check=False).returncode


def called(here: Path) -> list[str]:
    path = here / "called"
    return path.read_text().splitlines() if path.exists() else []


def test_bank_is_told_what_slurmctld_says_of_the_job(here: Path, bank: FakeBank) -> None:
    assert prolog(here) == 0
    ((path, question),) = bank.asked
    assert path == "/v1/hooks/start"
    # What lies beyond the first plane of Unicode decides nothing.
    name = JOB["SLURM_JOB_NAME"].replace("\U0001f600", "")
    known = {key: value for key, value in JOB.items() if key.startswith("SLURM_")}
    assert question == {**known, "SLURM_JOB_NAME": name, "mode": "enforce"}
    assert called(here) == []


@pytest.mark.parametrize(("decision", "status"), [("run", 0), ("kill", 1), ("yes", 0)])
def test_job_runs_or_ends_as_the_bank_says(
    here: Path, bank: FakeBank, decision: str, status: int
) -> None:
    bank.answer = lambda _path, _question: said(decision, "", "too dear", "")
    assert prolog(here) == status
    assert called(here) == []


def test_held_job_gets_its_comment_before_it_is_held(here: Path, bank: FakeBank) -> None:
    comment = "bank:abc held by the bank: $(rm) 'too' dear; 5.0 SUs"
    bank.answer = lambda _path, _question: said("hold", "", comment, "")
    assert prolog(here) == 1
    assert called(here) == [
        f"/etc/slurm/slurm.conf|update jobid=17 admincomment={comment}",
        "/etc/slurm/slurm.conf|requeuehold 17",
    ]


def test_report_only_never_stops_a_job(here: Path, bank: FakeBank) -> None:
    for decision in ("hold", "kill", "unknown", "no", "anything"):
        answer = said(decision, "", "too dear", "")
        bank.answer = lambda _path, _question, answer=answer: answer  # type: ignore[misc]
        assert prolog(here, mode="report", fail_open=False) == 0
    bank.stop()
    assert prolog(here, mode="report", fail_open=False) == 0
    assert called(here) == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"HTTP/1.1 500 x\r\n\r\nyes\n\n\n",
        b"HTTP/1.1 200 OK\r\n\r\nyes",
        b"yes\n\n\n",
        said("unknown", "", "what the cluster has is not known yet", ""),
        b"\xff\xfe",
    ],
)
def test_setting_decides_where_there_is_no_answer(
    here: Path, bank: FakeBank, answer: bytes | None
) -> None:
    bank.answer = lambda _path, _question: answer
    if answer is None:
        bank.stop()
    assert prolog(here, fail_open=True) == 0
    assert prolog(here, fail_open=False) == 1


def test_bank_that_does_not_answer_is_not_waited_for_longer_than_some_seconds(
    here: Path, bank: FakeBank
) -> None:
    bank.answer = lambda _path, _question: None
    began = time.monotonic()
    assert prolog(here) == 0
    assert 4 < time.monotonic() - began < 15


def test_sites_own_prolog_runs_after_it_where_the_job_may_start(here: Path, bank: FakeBank) -> None:
    site = here / "site"
    site.write_text(f"#!/bin/sh\necho site $SLURM_JOB_ID >> {here}/called\nexit 3\n")
    site.chmod(0o755)
    assert prolog(here, site_prolog=str(site)) == 3
    assert called(here) == ["site 17"]
    bank.answer = lambda _path, _question: said("kill", "", "too dear", "")
    assert prolog(here, site_prolog=str(site)) == 1
    assert called(here) == ["site 17"]


def end(here: Path, environment: dict[str, str], **changes: str | int | bool) -> int:
    configure(here, **changes)
    argv = [here / "slurm_bank_end"]
    return subprocess.run(argv, env=environment, cwd="/", timeout=30, check=False).returncode


JOBCOMP = {"JOBID": "17", "CLUSTER": "c1", "END": "1795317310", "JOBSTATE": "COMPLETED"}


@pytest.mark.parametrize("environment", [JOBCOMP, JOB], ids=["jobcomp", "epilogslurmctld"])
def test_end_is_written_whole_and_for_nobody_else(here: Path, environment: dict[str, str]) -> None:
    assert end(here, environment) == 0
    (event,) = (here / "spool").iterdir()
    assert event.read_text() == "JOBID=17\nCLUSTER=c1\nEND=yes\n"
    assert stat.S_IMODE(event.stat().st_mode) == 0o600
    assert event.name.startswith("17.")


def test_two_ends_of_a_job_are_two_events(here: Path) -> None:
    assert end(here, JOBCOMP) == end(here, JOBCOMP) == 0
    assert len(list((here / "spool").iterdir())) == 2


def test_end_hook_never_fails_however_its_spool_is(here: Path) -> None:
    assert end(here, JOBCOMP, spool="") == 0
    assert end(here, JOBCOMP, spool=str(here / "nowhere")) == 0
    assert end(here, {}) == 0
    assert list((here / "spool").iterdir()) == []


def test_sites_own_epilog_runs_after_it(here: Path) -> None:
    site = here / "site"
    site.write_text(f"#!/bin/sh\necho site $SLURM_JOB_ID >> {here}/called\nexit 3\n")
    site.chmod(0o755)
    assert end(here, JOB, site_epilog=str(site)) == 3
    assert end(here, JOBCOMP, site_epilog=str(site)) == 0
    assert called(here) == ["site 17"]
