"""ENFORCEMENT = 'limit' on a real cluster: Slurm itself starts no job that cannot be paid for."""

import pytest

from bank.errors import Refusal
from bank.operations import movements
from bank.operations.commands import Command
from bank.operations.releases import release_hold
from tests.operations.branch import ADA, SU, Branch

WAITS = "AssocGrpBillingMinutes"
HELD = "AssocGrpCPUMinutesLimit"


@pytest.fixture
def branch(branch: Branch) -> Branch:
    branch.set(enforcement="limit")
    return branch


def native(branch: Branch, name: str) -> str:
    """Return what slurmdbd has as the account's limits of TRES minutes."""
    return branch.limits(name)["GrpTRESMins"]


def submit(branch: Branch, name: str, minutes: int, command: str = "sleep 1") -> int:
    # In the partition "fast" one core bills 3600: a minute of it is 60 SUs.
    return branch.lab.submit(name, ADA, partition="fast", command=command, minutes=minutes)


def runs(branch: Branch, job: int) -> None:
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})


def test_a_job_starts_only_where_what_is_left_pays_for_all_of_it(branch: Branch) -> None:
    branch.open("native", 130)
    assert native(branch, "native") == f"billing={130 * 60}"
    # Two minutes of one core are 120 SUs, three are 180.
    job = submit(branch, "native", 3)
    branch.lab.wait_for_reason(job, WAITS)
    runs(branch, submit(branch, "native", 2))
    movements.add(branch.bank, Command("add", "native", 180 * SU))
    runs(branch, job)
    assert branch.warnings == []


def test_use_so_far_does_not_block_what_is_left(branch: Branch) -> None:
    branch.open("usedsome", 200)
    used = branch.ran(branch.run("usedsome", cpus=3, extra=["--time=1"]), cpus=3)
    movements.modify(branch.bank, Command("modify", "usedsome", used + 70 * SU))
    # Slurm compares the limit with all use so far, in minutes of its own count.
    assert native(branch, "usedsome") == f"billing={used // 60 + 70 * 60}"
    runs(branch, submit(branch, "usedsome", 1))
    branch.agrees(usedsome=branch.charged("usedsome"))


def test_what_running_jobs_may_still_use_is_taken_off_by_slurm(branch: Branch) -> None:
    branch.open("together", 130)
    first = submit(branch, "together", 1, "sleep 600")
    branch.lab.wait_for_state(first, {"RUNNING"})
    # One more minute would be paid for, two more would not.
    waiting = submit(branch, "together", 2)
    branch.lab.wait_for_reason(waiting, WAITS)
    branch.cancel(first)
    runs(branch, waiting)


def test_an_account_with_nothing_left_is_held_and_released(branch: Branch) -> None:
    branch.open("nativeheld", 0)
    # A job whose billing Slurm cuts off to 0 would run for nothing under any limit of billing.
    assert native(branch, "nativeheld") == "cpu=0"
    assert branch.standing("nativeheld").is_held
    free = branch.lab.submit("nativeheld", ADA, partition="fractional", command="sleep 1")
    branch.lab.wait_for_reason(free, HELD)
    job = submit(branch, "nativeheld", 1)
    branch.lab.wait_for_reason(job, HELD)
    assert branch.enforce().held == ["nativeheld"]
    movements.add(branch.bank, Command("add", "nativeheld", 100 * SU))
    assert native(branch, "nativeheld") == f"billing={100 * 60}"
    assert not branch.standing("nativeheld").is_held
    runs(branch, job)


def test_a_hold_by_hand_and_no_limit_at_all(branch: Branch) -> None:
    branch.open("byhand", None)
    assert native(branch, "byhand") == ""
    movements.hold(branch.bank, Command("hold", "byhand", reason="audit"))
    assert native(branch, "byhand") == "cpu=0"
    job = submit(branch, "byhand", 1)
    branch.lab.wait_for_reason(job, HELD)
    release_hold(branch.bank, "byhand", reason="", dry_run=False)
    assert native(branch, "byhand") == ""
    runs(branch, job)
    movements.modify(branch.bank, Command("modify", "byhand", 10_000 * SU))
    assert native(branch, "byhand").startswith("billing=")
    movements.modify(branch.bank, Command("modify", "byhand", None))
    assert native(branch, "byhand") == ""


def test_it_is_written_again_only_when_it_drifts(branch: Branch) -> None:
    branch.open("drifts", 1000)
    assert branch.enforce().limited == []
    # Slurm counts the same use on both sides, so use alone changes nothing.
    branch.run("drifts", cpus=10, extra=["--time=1"])
    assert branch.enforce().limited == []
    # What is given can be used at once.
    movements.add(branch.bank, Command("add", "drifts", SU))
    assert native(branch, "drifts") == f"billing={1001 * 60}"
    # LIMIT_TOLERANCE is 1 SU.
    movements.withdraw(branch.bank, Command("withdraw", "drifts", SU))
    assert native(branch, "drifts") == f"billing={1001 * 60}"
    movements.withdraw(branch.bank, Command("withdraw", "drifts", SU))
    assert native(branch, "drifts") == f"billing={999 * 60}"


def test_changing_the_way_leaves_nothing_behind(branch: Branch) -> None:
    branch.set(enforcement="hold")
    branch.open("changes", 500)
    branch.open("changesheld", 0)
    branch.lab.make_account("had", users=[ADA])
    branch.set_limit("had", "GrpTRESMins=billing=7777,gres/gpu=5")
    branch.insert("had", 100)
    before = {name: native(branch, name) for name in ("changes", "changesheld", "had")}
    assert before == {
        "changes": "",
        "changesheld": "cpu=0",
        "had": "billing=7777,gres/gpu=5",
    }
    branch.set(enforcement="limit")
    done = branch.enforce()
    assert (done.limited, done.held, done.released) == (["changes", "had"], ["changesheld"], [])
    assert native(branch, "changes") == f"billing={500 * 60}"
    assert native(branch, "changesheld") == "cpu=0"
    assert native(branch, "had") == f"billing={100 * 60},gres/gpu=5"
    branch.set(enforcement="hold")
    done = branch.enforce()
    assert (done.limited, done.held, done.released) == ([], ["changesheld"], [])
    assert {name: native(branch, name) for name in before} == before
    assert branch.enforce().notes == []


def test_what_others_change_is_set_again_and_their_stop_is_left_alone(branch: Branch) -> None:
    branch.open("others", 500)
    branch.set_limit("others", "GrpTRESMins=billing=999999")
    done = branch.enforce()
    assert done.limited == ["others"]
    assert "changed by others" in done.notes[0]
    assert native(branch, "others") == f"billing={500 * 60}"
    branch.set_limit("others", "GrpTRESMins=billing=0")
    done = branch.enforce()
    assert (done.held_by_others, done.limited) == (["others"], [])
    assert native(branch, "others") == "billing=0"


def test_a_deleted_account_keeps_no_limit_of_the_banks(branch: Branch) -> None:
    branch.open("leaves", 500)
    movements.delete(branch.bank, Command("delete", "leaves", force=True))
    assert native(branch, "leaves") == ""


def test_a_qos_whose_own_limit_wins_is_named(branch: Branch) -> None:
    branch.sacctmgr("add", "qos", "nativeqos", "GrpTRESMins=billing=1000000")
    branch.open("byqos", 500)
    (note,) = branch.enforce().notes
    assert "QOS nativeqos has GrpTRESMins=billing=1000000 of its own" in note


def test_a_child_is_stopped_by_its_parents_limit(branch: Branch) -> None:
    branch.open("above", 100)
    branch.open("below", 100, parent="above")
    movements.add(branch.bank, Command("add", "below", 900 * SU, force=True))
    job = submit(branch, "below", 2)
    branch.lab.wait_for_reason(job, WAITS)
    movements.add(branch.bank, Command("add", "above", 100 * SU))
    runs(branch, job)


def test_a_hold_may_count_what_running_jobs_can_still_use(branch: Branch) -> None:
    branch.set(enforcement="hold", hold_counts_running=True)
    branch.open("counts", 100)
    # Two minutes of one core may use 120 SUs.
    job = submit(branch, "counts", 2, "sleep 600")
    branch.lab.wait_for_state(job, {"RUNNING"})
    done = branch.enforce()
    assert (done.held, done.running_on_held) == (["counts"], {"counts": 1})
    waiting = submit(branch, "counts", 1)
    branch.lab.wait_for_reason(waiting, "AssocGrpCPUMinutesLimit")
    branch.cancel(job)
    assert branch.enforce().released == ["counts"]
    runs(branch, waiting)


@pytest.mark.parametrize("way", ["limit", "hold"])
@pytest.mark.parametrize("stop", ["GrpTRESMins=cpu=0", "GrpJobs=0", "GrpTRES=cpu=0"])
def test_a_stop_by_any_limit_that_others_set_is_reported(
    branch: Branch, way: str, stop: str
) -> None:
    branch.set(enforcement=way, account_hold="GrpTRESRunMins")
    branch.open("stopped", 500)
    branch.set_limit("stopped", stop)
    done = branch.enforce()
    assert (done.held_by_others, done.held, done.limited) == (["stopped"], [], [])
    assert branch.standing("stopped").is_held_by_others
    with pytest.raises(Refusal, match="a limit of 0 that the bank did not set"):
        release_hold(branch.bank, "stopped", reason="", dry_run=False)
    branch.set_limit("stopped", stop.removesuffix("0") + "-1")
    assert branch.enforce().held_by_others == []
    assert not branch.standing("stopped").is_held


def test_a_reset_above_leaves_no_limit_too_large_below(branch: Branch) -> None:
    branch.set(limit_tolerance=0)
    branch.open("resetabove", 1000)
    branch.open("resetbelow", 61, parent="resetabove")
    branch.run("resetbelow", extra=["--time=1"])
    branch.enforce()
    movements.reset_usage(branch.bank, Command("reset_usage", "resetabove"))
    left = 61 * SU - branch.used("resetbelow")
    # Slurm counts from 0 again below as well, the bank goes on with what was used.
    assert native(branch, "resetbelow") == f"billing={left // 60}"
