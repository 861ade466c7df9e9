"""Limits of users on a real cluster, in both ways: one user's jobs wait while the others' run."""

import pytest

from bank.errors import Refusal
from bank.operations import looking, movements
from bank.operations.commands import Command
from bank.operations.user_limits import limit_user
from tests.operations.branch import ADA, BOB, SU, Branch

HELD = "AssocGrpCPUMinutesLimit"
WAITS = "AssocGrpBillingMinutes"


def limit(branch: Branch, name: str, su: int | None, user: str = ADA) -> None:
    amount = None if su is None else su * SU
    limit_user(branch.bank, Command("limit_user", name, amount, user=user))


def submit(branch: Branch, name: str, user: str = ADA, minutes: int = 1) -> int:
    # In the partition "fast" one core bills 3600: a minute of it is 60 SUs, a second 1.
    return branch.lab.submit(name, user, partition="fast", command="sleep 1", minutes=minutes)


def runs(branch: Branch, *jobs: int) -> None:
    for job in jobs:
        branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})


def shown(branch: Branch, name: str, user: str = ADA) -> list[tuple[str, str, str]]:
    """Return partition, GrpTRESMins and GrpJobs of a user's associations, as slurmdbd has them."""
    text = branch.lab.run(
        *("sacctmgr", "-nP", "show", "assoc", "where", f"account={name}", f"user={user}"),
        *(f"cluster={branch.lab.cluster}", "format=partition,GrpTRESMins,GrpJobs"),
    )
    return sorted((one, two, three) for one, two, three in map(_split, text.splitlines()))


def _split(line: str) -> list[str]:
    # slurmdbd keeps the TRES of a limit in the order in which they came.
    return [",".join(sorted(limits.split(","))) for limits in line.split("|")]


def set_by_hand(branch: Branch, name: str, limits: str, partition: str = "") -> None:
    """Set a limit of ada's by hand, and wait until the controller shows it."""
    where = (f"cluster={branch.lab.cluster}", f"account={name}", f"name={ADA}")
    branch.sacctmgr("modify", "user", "where", *where, f"partition={partition}", "set", limits)
    # The first of several TRES is enough: they are set in one go.
    first = limits.split(",", maxsplit=1)[0]
    what = "=".join(first.split("=")[-2:]) + "("
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", f"accounts={name}")
    branch.lab.wait_for(
        lambda: any(
            what in line
            for line in branch.lab.run(*question).splitlines()
            if f"UserName={ADA}(" in line and f"Partition={partition} " in line
        ),
        f"the controller to show {limits}",
    )


def states(branch: Branch, name: str) -> dict[str, str]:
    (state,) = looking.balance(branch.bank, name)
    return {one["user"]: one["held"] for one in state["users"]}


def test_one_user_waits_while_another_runs_and_a_raise_lets_her_go(branch: Branch) -> None:
    branch.open("team", users=(ADA, BOB))
    limit(branch, "team", 2)
    # Three cores bill more than 2 SUs in a second.
    branch.run("team", cpus=3)
    done = branch.enforce()
    assert (done.users.held_now, done.held) == ([("team", ADA)], [])
    assert (shown(branch, "team"), shown(branch, "team", BOB)) == (
        [("", "cpu=0", "")],
        [("", "", "")],
    )
    job = submit(branch, "team")
    branch.lab.wait_for_reason(job, HELD)
    runs(branch, submit(branch, "team", BOB))
    assert states(branch, "team") == {ADA: "by the bank: nothing left"}
    limit(branch, "team", 1000)
    assert shown(branch, "team") == [("", "", "")]
    runs(branch, job)
    assert states(branch, "team") == {ADA: "no"}
    assert branch.warnings == []


@pytest.mark.parametrize("way", ["hold", "limit"])
def test_0_stops_at_once_and_a_new_period_does_not_let_go(branch: Branch, way: str) -> None:
    branch.set(enforcement=way)
    branch.open("never", users=(ADA, BOB))
    limit(branch, "never", 0)
    job = submit(branch, "never")
    branch.lab.wait_for_reason(job, HELD)
    runs(branch, submit(branch, "never", BOB))
    movements.reset_usage(branch.bank, Command("reset_usage", "never"))
    assert shown(branch, "never") == [("", "cpu=0", "")]
    limit(branch, "never", None)
    runs(branch, job)
    assert states(branch, "never") == {}


@pytest.mark.parametrize("way", ["hold", "limit"])
def test_what_was_there_before_comes_back_with_a_new_period(branch: Branch, way: str) -> None:
    branch.set(enforcement=way)
    branch.lab.make_account("anew", users=[ADA])
    set_by_hand(branch, "anew", "GrpTRESMins=cpu=500,gres/gpu=7,billing=900000")
    before = shown(branch, "anew")
    branch.insert("anew", 100_000)
    branch.run("anew", cpus=3)
    limit(branch, "anew", 2)
    assert shown(branch, "anew") == [("", "billing=900000,cpu=0,gres/gpu=7", "")]
    job = submit(branch, "anew", minutes=2)
    branch.lab.wait_for_reason(job, HELD)
    movements.reset_usage(branch.bank, Command("reset_usage", "anew"))
    if way == "hold":
        assert shown(branch, "anew") == before
        runs(branch, job)
    else:
        # 2 SUs do not pay for 2 minutes.
        assert shown(branch, "anew") == [("", "billing=120,cpu=500,gres/gpu=7", "")]
        branch.lab.wait_for_reason(job, WAITS)
        limit(branch, "anew", None)
        assert shown(branch, "anew") == before
        runs(branch, job)


def test_natively_no_job_starts_that_is_not_paid_for(branch: Branch) -> None:
    branch.set(enforcement="limit", limit_tolerance=0)
    branch.open("native", users=(ADA, BOB))
    used = branch.ran(branch.run("native", cpus=3, extra=["--time=1"]), cpus=3)
    branch.enforce()
    limit(branch, "native", used // SU + 70)
    # Slurm compares it with what it has counted for the association itself.
    left = (used // SU + 70) * SU - used
    assert shown(branch, "native") == [("", f"billing={used // 60 + left // 60}", "")]
    job = submit(branch, "native", minutes=2)
    branch.lab.wait_for_reason(job, WAITS)
    paid = submit(branch, "native", minutes=1)
    runs(branch, paid, submit(branch, "native", BOB, minutes=2))
    branch.cancel(paid)
    limit(branch, "native", used // SU + 1000)
    runs(branch, job)
    branch.cancel(job)


def test_changing_the_way_leaves_nothing_behind(branch: Branch) -> None:
    branch.open("both", users=(ADA, BOB))
    set_by_hand(branch, "both", "GrpTRESMins=billing=7777")
    limit(branch, "both", 10)
    limit(branch, "both", 0, BOB)
    before = (shown(branch, "both"), shown(branch, "both", BOB))
    assert before == ([("", "billing=7777", "")], [("", "cpu=0", "")])
    branch.set(enforcement="limit")
    done = branch.enforce()
    assert (done.users.limited, done.users.held) == ([("both", ADA)], [("both", BOB)])
    assert shown(branch, "both") == [("", "billing=600", "")]
    assert shown(branch, "both", BOB) == before[1]
    branch.set(enforcement="hold", account_hold="GrpJobs")
    done = branch.enforce()
    # Held by another limit is no news.
    assert (done.users.held_now, done.users.held) == ([], [("both", BOB)])
    assert (shown(branch, "both"), shown(branch, "both", BOB)) == (before[0], [("", "", "0")])
    job = submit(branch, "both", BOB)
    branch.lab.wait_for_reason(job, "AssocGrpJobsLimit")
    movements.delete(branch.bank, Command("delete", "both", force=True))
    assert (shown(branch, "both"), shown(branch, "both", BOB)) == (before[0], [("", "", "")])
    runs(branch, job)
    assert branch.enforce().notes == []


@pytest.mark.parametrize("hold", ["GrpTRES", "GrpTRESRunMins", "GrpSubmitJobs"])
def test_every_hold_that_the_site_may_choose_holds_a_user(branch: Branch, hold: str) -> None:
    branch.set(account_hold=hold)
    branch.open("chosen", users=(ADA, BOB))
    jobs = [submit(branch, "chosen", BOB)]
    if hold != "GrpSubmitJobs":
        limit(branch, "chosen", 0)
        jobs.append(submit(branch, "chosen"))
        reason = {"GrpTRES": "AssocGrpCpuLimit", "GrpTRESRunMins": "AssocGrpCPURunMinutesLimit"}
        branch.lab.wait_for_reason(jobs[1], reason[hold])
    else:
        limit(branch, "chosen", 0)
        with pytest.raises(Exception, match="AssocGrpSubmitJobsLimit"):
            submit(branch, "chosen")
    limit(branch, "chosen", 10)
    runs(branch, *jobs)
    runs(branch, submit(branch, "chosen"))


def test_each_partition_has_its_own(branch: Branch) -> None:
    branch.open("parts", users=(ADA, BOB))
    where = ("account=parts", f"cluster={branch.lab.cluster}")
    branch.sacctmgr("add", "user", ADA, *where, "partition=fast")
    set_by_hand(branch, "parts", "GrpTRESMins=cpu=321", "fast")
    limit(branch, "parts", 10)
    assert shown(branch, "parts") == [("", "", ""), ("fast", "cpu=321", "")]
    # A job in "fast" counts for the association of that partition.
    branch.run("parts", cpus=10)
    done = branch.enforce()
    assert done.users.held_now == [("parts", ADA)]
    assert shown(branch, "parts") == [("", "cpu=0", ""), ("fast", "cpu=0", "")]
    jobs = [submit(branch, "parts"), branch.lab.submit("parts", ADA, command="sleep 1")]
    for job in jobs:
        branch.lab.wait_for_reason(job, HELD)
    runs(branch, submit(branch, "parts", BOB))
    limit(branch, "parts", 1000)
    assert shown(branch, "parts") == [("", "", ""), ("fast", "cpu=321", "")]
    runs(branch, *jobs)
    branch.set(enforcement="limit")
    branch.enforce()
    natively = [one[1] for one in shown(branch, "parts")]
    assert natively[0] != natively[1]
    assert all("billing=" in one for one in natively)
    branch.set(enforcement="hold")
    branch.enforce()
    assert shown(branch, "parts") == [("", "", ""), ("fast", "cpu=321", "")]


def test_one_who_is_not_in_the_account_is_refused_by_name(branch: Branch) -> None:
    branch.open("mine", users=(ADA, BOB))
    with pytest.raises(Refusal, match=f"did you mean {ADA}"):
        limit(branch, "mine", 5, "lab-adda")


def test_one_who_leaves_and_comes_back_is_held_anew(branch: Branch) -> None:
    # Another account is the default: that of a default account cannot be removed.
    branch.open("home", users=(ADA,))
    branch.open("leaves", users=(ADA,))
    set_by_hand(branch, "leaves", "GrpJobs=5")
    limit(branch, "leaves", 0)
    where = ("account=leaves", f"cluster={branch.lab.cluster}")
    branch.sacctmgr("delete", "user", "where", f"name={ADA}", *where)
    branch.lab.wait_for(
        lambda: f"UserName={ADA}" not in shown_by_controller(branch, "leaves"), "ada to be gone"
    )
    assert branch.enforce().users.held == []
    branch.sacctmgr("add", "user", ADA, *where)
    branch.lab.wait_for(
        lambda: f"UserName={ADA}" in shown_by_controller(branch, "leaves"), "ada to be back"
    )
    assert shown(branch, "leaves") == [("", "", "")]
    assert branch.enforce().users.held_now == [("leaves", ADA)]
    limit(branch, "leaves", None)
    assert shown(branch, "leaves") == [("", "", "")]


def shown_by_controller(branch: Branch, name: str) -> str:
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", f"accounts={name}")
    return branch.lab.run(*question)


def test_a_frozen_controller_is_caught_up_with_by_the_next_pass(branch: Branch) -> None:
    branch.open("frozen", users=(ADA, BOB))
    branch.set(slurm_timeout_seconds=1)
    limit(branch, "frozen", 5)
    branch.lab.freeze("slurmctld")
    limit(branch, "frozen", 1)
    assert "Slurm is not up to date" in branch.warnings.pop()
    branch.lab.thaw("slurmctld")
    branch.set(slurm_timeout_seconds=30)
    branch.run("frozen", cpus=3)
    assert branch.enforce().users.held_now == [("frozen", ADA)]
