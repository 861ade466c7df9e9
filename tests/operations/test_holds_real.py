"""Holds on a real cluster: who has nothing left is held, and nobody else's limit is touched."""

import pytest

from bank.errors import Refusal
from bank.operations import movements
from bank.operations.commands import Command
from bank.operations.releases import release_hold
from tests.operations.branch import ADA, SU, Branch

HELD = "AssocGrpCPUMinutesLimit"


def waits(branch: Branch, name: str, reason: str = HELD) -> int:
    """Submit a job that must wait for a reason; return its id."""
    job = branch.lab.submit(name, ADA, partition="fast", command="sleep 1", minutes=1)
    branch.lab.wait_for_reason(job, reason)
    return job


def runs(branch: Branch, job: int) -> None:
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})


def use_up(branch: Branch, name: str) -> None:
    """Use more than the 2 SUs that an account has."""
    branch.run(name, cpus=3)


def test_an_account_with_0_is_held_at_once(branch: Branch) -> None:
    branch.open("zero", 0)
    assert branch.limits("zero")["GrpTRESMins"] == "cpu=0"
    assert branch.standing("zero").is_held
    waits(branch, "zero")
    assert branch.enforce().held == ["zero"]


def test_what_was_there_before_comes_back(branch: Branch) -> None:
    branch.lab.make_account("before", users=[ADA])
    branch.set_limit("before", "GrpTRESMins=cpu=500,gres/gpu=7")
    branch.insert("before", 2)
    use_up(branch, "before")
    done = branch.enforce()
    assert (done.held_now, done.held) == (["before"], ["before"])
    assert branch.limits("before")["GrpTRESMins"] == "cpu=0,gres/gpu=7"
    job = waits(branch, "before")
    movements.add(branch.bank, Command("add", "before", 100 * SU))
    assert branch.limits("before")["GrpTRESMins"] == "cpu=500,gres/gpu=7"
    runs(branch, job)
    assert not branch.standing("before").is_held
    assert branch.warnings == []


def test_a_running_job_goes_on_and_is_counted(branch: Branch) -> None:
    branch.open("goeson", 2)
    job = branch.start("goeson")
    use_up(branch, "goeson")
    done = branch.enforce()
    assert (done.held_now, done.running_on_held) == (["goeson"], {"goeson": 1})
    waits(branch, "goeson")
    assert branch.lab.job(job)["JobState"] == "RUNNING"
    branch.cancel(job)
    branch.enforce()
    assert branch.used("goeson") > branch.ran(job)


@pytest.mark.parametrize("way", ["modify", "release_hold", "pass", "reset_usage"])
def test_every_way_to_be_released(branch: Branch, way: str) -> None:
    name = f"way{way.replace('_', '')}"
    branch.open(name, 2)
    if way == "release_hold":
        movements.hold(branch.bank, Command("hold", name, reason="asked for"))
    else:
        use_up(branch, name)
    assert branch.enforce().held == [name]
    job = waits(branch, name)
    if way == "modify":
        movements.modify(branch.bank, Command("modify", name, 200 * SU))
    elif way == "reset_usage":
        movements.reset_usage(branch.bank, Command("reset_usage", name))
    elif way == "release_hold":
        release_hold(branch.bank, name, reason="", dry_run=False)
    else:
        # The controller does not answer while SUs are added: the next pass does it.
        branch.set(slurm_timeout_seconds=1)
        branch.lab.freeze("slurmctld")
        movements.add(branch.bank, Command("add", name, 200 * SU))
        assert "Slurm is not up to date" in branch.warnings.pop()
        branch.lab.thaw("slurmctld")
        branch.set(slurm_timeout_seconds=30)
        assert branch.enforce().released == [name]
    assert branch.limits(name)["GrpTRESMins"] == ""
    runs(branch, job)
    assert branch.warnings == []


def test_release_hold_refuses_where_nothing_is_left(branch: Branch) -> None:
    branch.open("norelease", 0)
    with pytest.raises(Refusal, match="stays held"):
        release_hold(branch.bank, "norelease", reason="", dry_run=False)
    assert branch.limits("norelease")["GrpTRESMins"] == "cpu=0"


def test_a_hold_of_others_is_reported_and_not_touched(branch: Branch) -> None:
    branch.lab.make_account("others", users=[ADA])
    branch.set_limit("others", "GrpTRESMins=cpu=0")
    branch.insert("others", 100)
    assert branch.enforce().held_by_others == ["others"]
    movements.modify(branch.bank, Command("modify", "others", 0))
    done = branch.enforce()
    assert (done.held_by_others, done.held) == (["others"], [])
    movements.add(branch.bank, Command("add", "others", 100 * SU))
    assert branch.limits("others")["GrpTRESMins"] == "cpu=0"
    with pytest.raises(Refusal, match="did not set"):
        release_hold(branch.bank, "others", reason="", dry_run=False)
    assert branch.limits("others")["GrpTRESMins"] == "cpu=0"


def test_a_hold_lifted_by_hand_is_set_again_and_said(branch: Branch) -> None:
    branch.open("lifted", 0)
    branch.set_limit("lifted", "GrpTRESMins=cpu=-1")
    done = branch.enforce()
    assert done.held_now == ["lifted"]
    assert any("lifted by others; held again" in note for note in done.notes)
    assert branch.limits("lifted")["GrpTRESMins"] == "cpu=0"


def test_a_limit_put_in_place_of_the_hold_is_kept_for_later(branch: Branch) -> None:
    branch.open("replaced", 0)
    branch.set_limit("replaced", "GrpTRESMins=cpu=77")
    assert branch.enforce().held_now == ["replaced"]
    assert branch.limits("replaced")["GrpTRESMins"] == "cpu=0"
    movements.add(branch.bank, Command("add", "replaced", SU))
    assert branch.limits("replaced")["GrpTRESMins"] == "cpu=77"


def test_a_limit_set_while_it_should_be_released_is_left_alone(branch: Branch) -> None:
    branch.open("changed", 0)
    branch.set(slurm_timeout_seconds=1)
    branch.lab.freeze("slurmctld")
    movements.add(branch.bank, Command("add", "changed", SU))
    branch.lab.thaw("slurmctld")
    branch.set(slurm_timeout_seconds=30)
    branch.set_limit("changed", "GrpTRESMins=cpu=88")
    done = branch.enforce()
    assert any("was set by others in place of the hold" in note for note in done.notes)
    assert branch.limits("changed")["GrpTRESMins"] == "cpu=88"
    assert not branch.standing("changed").is_held
    assert branch.enforce().notes == []


def test_unlimited_is_never_held(branch: Branch) -> None:
    branch.open("endless", None)
    use_up(branch, "endless")
    done = branch.enforce()
    assert (done.held, done.charged > 0) == ([], True)
    movements.modify(branch.bank, Command("modify", "endless", SU))
    assert branch.limits("endless")["GrpTRESMins"] == "cpu=0"
    movements.modify(branch.bank, Command("modify", "endless", None))
    assert branch.limits("endless")["GrpTRESMins"] == ""


@pytest.mark.parametrize("on_top_up", ["keep", "reset"])
def test_both_ways_to_top_up_leave_the_same(branch: Branch, on_top_up: str) -> None:
    branch.set(on_top_up=on_top_up)
    name = f"top{on_top_up}"
    branch.open(name, 2)
    ran = branch.ran(branch.run(name, cpus=3), cpus=3)
    branch.enforce()
    assert branch.standing(name).is_held
    movements.add(branch.bank, Command("add", name, 10 * SU))
    standing = branch.standing(name)
    assert standing.available == 12 * SU - ran
    assert not standing.is_held
    assert branch.limits(name)["GrpTRESMins"] == ""
    if on_top_up == "reset":
        assert branch.lab.raw_usage(name) == 0
        # What was granted is booked off; what was used beyond it stays as used.
        assert standing.used == 0
    else:
        assert branch.lab.raw_usage(name) == standing.used == ran
    branch.agrees(**{name: ran})
    assert branch.warnings == []


@pytest.mark.parametrize(("su", "stored"), [(0, "1=0"), (None, ""), (500, "5=30000")])
def test_what_slurmdbd_has_and_the_controller_has_not_is_said_again(
    branch: Branch, su: int | None, stored: str
) -> None:
    """So it is where one of them was killed between the two; the same value is not passed on."""
    way = "limit" if su else "hold"
    branch.set(enforcement=way, confirm_seconds=2)
    branch.open("untold", 1 if su is None else 1000)
    if su is None:
        # A release: the database has no limit any more, the controller holds.
        movements.modify(branch.bank, Command("modify", "untold", 0))
        assert branch.limits("untold")["GrpTRESMins"] == "cpu=0"
    branch.store_limit("untold", stored)
    amount = None if su is None else su * SU
    movements.modify(branch.bank, Command("modify", "untold", amount))
    assert branch.warnings == []
    wanted = {0: "cpu=0", None: "", 500: "billing=30000"}[su]
    assert branch.shown_limits("untold") == branch.limits("untold")["GrpTRESMins"] == wanted
