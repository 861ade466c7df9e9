"""What a site can choose about holds, and what a pass costs, on a real cluster."""

import stat
from collections import Counter
from pathlib import Path

import pytest

from bank.operations import movements
from bank.operations.commands import Command
from tests.lab import CommandFailed
from tests.operations.branch import ADA, SU, Branch

TOOLS = ("scontrol", "sacctmgr", "sacct", "squeue", "sshare", "sdiag")


@pytest.mark.parametrize(
    ("account_hold", "limit", "reason"),
    [
        ("GrpTRESMins", "cpu=0", "AssocGrpCPUMinutesLimit"),
        ("GrpTRES", "cpu=0", "AssocGrpCpuLimit"),
        ("GrpTRESRunMins", "cpu=0", "AssocGrpCPURunMinutesLimit"),
        ("GrpJobs", "0", "AssocGrpJobsLimit"),
        ("GrpSubmitJobs", "0", ""),
    ],
)
def test_every_kind_of_hold_holds_and_lets_go(
    branch: Branch, account_hold: str, limit: str, reason: str
) -> None:
    branch.set(account_hold=account_hold)
    name = f"kind{account_hold.lower()}"
    branch.open(name, 0)
    assert branch.limits(name)[account_hold] == limit
    if reason:
        job = branch.lab.submit(name, ADA, partition="fast", command="sleep 1", minutes=1)
        branch.lab.wait_for_reason(job, reason)
    else:
        with pytest.raises(CommandFailed, match="AssocGrpSubmitJobsLimit|limit"):
            branch.lab.submit(name, ADA)
    assert branch.enforce().held == [name]
    movements.add(branch.bank, Command("add", name, 1000 * SU))
    assert branch.limits(name)[account_hold] == ""
    if not reason:
        job = branch.lab.submit(name, ADA, partition="fast", command="sleep 1", minutes=1)
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})


def test_another_choice_moves_a_hold_that_is_there(branch: Branch) -> None:
    branch.lab.make_account("movehold", users=[ADA])
    branch.set_limit("movehold", "GrpTRESMins=cpu=600")
    branch.set_limit("movehold", "GrpJobs=9")
    branch.insert("movehold", 0)
    branch.set(account_hold="GrpJobs")
    done = branch.enforce()
    assert (done.held, done.released) == (["movehold"], [])
    limits = branch.limits("movehold")
    assert (limits["GrpTRESMins"], limits["GrpJobs"]) == ("cpu=600", "0")
    movements.add(branch.bank, Command("add", "movehold", SU))
    assert branch.limits("movehold")["GrpJobs"] == "9"


def test_a_qos_that_lifts_the_hold_is_named(branch: Branch) -> None:
    branch.open("bypass", 0)
    branch.sacctmgr("add", "qos", "express", "set", "GrpTRESMins=cpu=1000000")
    branch.sacctmgr("modify", "account", "where", "name=bypass", "set", "qos=normal,express")
    done = branch.enforce()
    (note,) = done.notes
    assert "QOS express has GrpTRESMins=cpu=1000000 of its own" in note
    branch.lab.wait_for(
        lambda: "express" in branch.lab.run("scontrol", "-o", "show", "assoc_mgr", "flags=qos"),
        "the QOS to be known",
    )
    # It is true: the job runs in an account that is held.
    job = branch.lab.submit(
        "bypass", ADA, partition="fast", command="sleep 1", extra=["--qos=express"]
    )
    branch.lab.wait_for_state(job, {"COMPLETED"})


def test_unknown_accounts_are_reported_held_or_given_something(branch: Branch) -> None:
    branch.lab.make_accounts(["stranger", "foreign"], users=[ADA])
    done = branch.enforce()
    assert (done.unknown, done.held) == (["foreign", "stranger"], [])
    assert branch.limits("stranger")["GrpTRESMins"] == ""
    branch.set(unknown_accounts="hold")
    assert branch.enforce().held_now == ["foreign", "stranger"]
    job = branch.lab.submit("stranger", ADA, partition="fast", command="sleep 1")
    branch.lab.wait_for_reason(job, "AssocGrpCPUMinutesLimit")
    branch.set(unknown_accounts="allocate", default_allocation=5000 * SU, project_prefix="str")
    # An account that is none of ours any more by its name is not left held.
    assert branch.enforce().released == ["foreign", "stranger"]
    assert branch.limits("foreign")["GrpTRESMins"] == ""
    assert branch.standing("stranger").limit == 5000 * SU
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})
    branch.set(unknown_accounts="report", project_prefix="")
    done = branch.enforce()
    assert (done.unknown, done.held) == (["foreign"], [])


def test_an_account_gone_from_slurm_is_reported_while_it_is_gone(branch: Branch) -> None:
    branch.open("vanished", 0)
    branch.sacctmgr("delete", "account", "where", "name=vanished")
    branch.lab.wait_for(
        lambda: "vanished" not in branch.lab.run("sshare", "-anP"), "the account to be gone"
    )
    assert branch.enforce().gone == ["vanished"]
    branch.lab.make_account("vanished", users=[ADA])
    done = branch.enforce()
    assert (done.gone, done.held_now) == ([], ["vanished"])
    assert branch.limits("vanished")["GrpTRESMins"] == "cpu=0"


def counted(branch: Branch, directory: Path) -> Path:
    """Have the bank call Slurm through scripts that write down each call; return where."""
    calls = directory / "calls"
    programs = directory / "bin"
    programs.mkdir()
    for tool in TOOLS:
        script = programs / tool
        script.write_text(f'#!/bin/sh\necho {tool} "$*" >>{calls}\nexec /usr/bin/{tool} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    branch.set(slurm_bin=str(programs))
    return calls


def asked(calls: Path) -> Counter[str]:
    """Return how often each thing was asked for since the last look."""
    lines = calls.read_text().splitlines()
    calls.unlink()
    kinds = ("show config", "show assoc_mgr flags=assoc", "show assoc_mgr flags=qos", "modify")
    found = [next((kind for kind in kinds if kind in line), line) for line in lines]
    # A chunk of accounts is asked for again until the controller shows the change.
    return Counter(
        "confirm" if "accounts=" in line else what for line, what in zip(lines, found, strict=True)
    )


def test_a_pass_with_nothing_to_do_asks_little_and_writes_nothing(
    branch: Branch, tmp_path: Path
) -> None:
    branch.open("idle")
    branch.open("idlezero", None)
    branch.run("idle")
    branch.enforce()
    calls = counted(branch, tmp_path)
    before = branch.written()
    done = branch.enforce()
    assert (done.charged, done.held) == (0, [])
    # The configuration before and after, so that both are of one controller.
    assert asked(calls) == {"show config": 2, "show assoc_mgr flags=assoc": 1}
    assert branch.written() == before


def test_200_accounts_are_held_and_released_by_one_call_each(
    branch: Branch, tmp_path: Path
) -> None:
    names = [f"many{number:03}" for number in range(200)]
    branch.lab.make_accounts(names)
    branch.set(unknown_accounts="hold")
    calls = counted(branch, tmp_path)
    done = branch.enforce()
    assert done.held_now == names
    seen = asked(calls)
    assert (seen["modify"], seen["show assoc_mgr flags=assoc"]) == (1, 1)
    assert {branch.limits(name)["GrpTRESMins"] for name in names[::50]} == {"cpu=0"}
    assert set(seen) <= {
        "modify",
        "show config",
        "confirm",
        "show assoc_mgr flags=assoc",
        "show assoc_mgr flags=qos",
    }
    before = branch.written()
    assert branch.enforce().held == names
    assert asked(calls)["modify"] == 0
    assert branch.written() == before
    branch.set(unknown_accounts="report")
    assert branch.enforce().released == names
    assert asked(calls)["modify"] == 1
    assert {branch.limits(name)["GrpTRESMins"] for name in names[::50]} == {""}
