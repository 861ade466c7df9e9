"""A controller that is killed forgets use; one that may not meter is refused. On a real cluster."""

import subprocess
import sys

import pytest

from bank.errors import SettingsError
from tests.lab import Lab
from tests.operations.branch import ADA, BOB, Branch


def kill_and_restart(lab: Lab) -> None:
    lab.kill("slurmctld")
    lab.restart("slurmctld")


def save_state(lab: Lab) -> None:
    """Have the controller save its usage, which it does by itself every 300 seconds."""
    lab.restart("slurmctld")


def test_a_killed_controller_loses_nothing_of_the_books(branch: Branch) -> None:
    branch.open("kread")
    branch.open("kunread")
    branch.open("knever")
    branch.lab.make_account("kbelow", parent="knever", users=[BOB])
    # More than what is lost later: a counter that comes back has counted nothing new.
    saved, known = branch.run_all([("kunread", "lab-ada", 9), ("kread", "lab-ada", 9)])
    save_state(branch.lab)
    branch.enforce()
    read = branch.run("kread")
    branch.let_second_pass()
    branch.enforce()
    lost = [branch.run("kunread"), branch.run("knever", cpus=2), branch.run("kbelow", BOB)]
    branch.lab.save_jobs("kread")
    branch.let_second_pass()
    kill_and_restart(branch.lab)
    # Without this, Slurm would have forgotten nothing, and nothing be tried here.
    assert branch.lab.raw_usage("kread") == branch.ran(known, cpus=9)
    assert branch.lab.raw_usage("kunread") == branch.ran(saved, cpus=9)
    done = branch.enforce()
    assert [note for note in done.notes if "cannot be known" in note] == []
    assert sum("the controller was restarted" in note for note in done.notes) == 3
    branch.agrees(
        kread=branch.ran(read) + branch.ran(known, cpus=9),
        kunread=branch.ran(saved, cpus=9) + branch.ran(lost[0]),
        knever=branch.ran(lost[1], cpus=2),
        kbelow=branch.ran(lost[2]),
    )
    later = branch.run("kread", cpus=3)
    branch.enforce()
    branch.agrees(kread=branch.ran(read) + branch.ran(known, cpus=9) + branch.ran(later, cpus=3))


def test_a_clean_restart_books_nothing_twice(branch: Branch) -> None:
    branch.open("clean")
    read = branch.run("clean")
    branch.let_second_pass()
    branch.enforce()
    unread = branch.run("clean")
    branch.let_second_pass()
    branch.lab.restart("slurmctld")
    done = branch.enforce()
    assert (done.charged, done.notes) == (branch.ran(unread), [])
    branch.agrees(clean=branch.ran(read, unread))


def test_a_controller_killed_while_a_job_runs_books_nothing_twice(branch: Branch) -> None:
    branch.open("krun")
    read = branch.run("krun")
    save_state(branch.lab)
    branch.enforce()
    job = branch.start("krun")
    branch.lab.save_jobs("krun")
    branch.enforce()
    kill_and_restart(branch.lab)
    done = branch.enforce()
    assert any("cannot be known" in note for note in done.notes)
    branch.cancel(job)
    branch.enforce()
    branch.agrees(krun=branch.ran(read, job))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"PriorityDecayHalfLife": "1:00:00"}, "PriorityDecayHalfLife=01:00:00"),
        ({"PriorityUsageResetPeriod": "MONTHLY"}, "PriorityUsageResetPeriod=MONTHLY"),
        ({"PriorityType": "priority/basic"}, "PriorityType=priority/basic"),
        ({"AccountingStorageEnforce": "associations"}, "has no 'limits'"),
        ({"AccountingStorageEnforce": "associations,limits,qos"}, "has no 'safe'"),
    ],
)
def test_a_cluster_that_cannot_be_metered_or_held_is_refused(
    branch: Branch, parameters: dict[str, str], said: str
) -> None:
    branch.open("refused")
    job = branch.run("refused")
    branch.lab.reconfigure(**parameters)
    before = branch.written()
    with pytest.raises(SettingsError, match=said) as refusal:
        branch.enforce()
    assert refusal.value.exit_status == 78
    assert branch.written() == before
    if said == "has no 'safe'":
        branch.set(allow_hold_without_safe=True)
        assert branch.enforce().charged == branch.ran(job)
        branch.agrees(refused=branch.ran(job))


def test_what_decayed_is_taken_from_sacct_when_decay_is_off_again(branch: Branch) -> None:
    branch.open("decay")
    read = branch.run("decay", cpus=60)
    branch.let_second_pass()
    branch.enforce()
    branch.lab.reconfigure(PriorityDecayHalfLife="0:01:00")
    unread = branch.run("decay")
    branch.let_second_pass()
    with pytest.raises(SettingsError):
        branch.enforce()
    branch.lab.reconfigure()
    # Less than was read before: Slurm has forgotten some of it.
    assert branch.lab.raw_usage("decay") < branch.ran(read, cpus=60)
    branch.enforce()
    branch.agrees(decay=branch.ran(read, cpus=60) + branch.ran(unread))


def test_the_command_says_why_and_ends_with_78(branch: Branch) -> None:
    branch.open("command")
    branch.lab.reconfigure(PriorityDecayHalfLife="1:00:00")
    ended = subprocess.run(
        [sys.executable, "slurm_bank.py", "enforce"],
        env={"SLURM_BANK_SETTINGS": branch.settings_file()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 78
    assert "PriorityDecayHalfLife=01:00:00" in ended.stderr


def test_a_job_of_which_slurmdbd_knows_only_the_end_counts(branch: Branch) -> None:
    branch.open("onlyend", users=["lab-ada"])
    read = branch.run("onlyend")
    save_state(branch.lab)
    branch.enforce()
    # The controller tells slurmdbd of starts every five seconds: it is killed before.
    jobs = [branch.run("onlyend", command="true"), branch.run("onlyend", cpus=2)]
    kill_and_restart(branch.lab)
    # One whose end it had not saved runs on for it, and is counted and told once more.
    branch.lab.run("scancel", f"--user={ADA}")
    branch.lab.wait_for(lambda: not branch.lab.run("squeue", "-h"), "all jobs to have ended")
    branch.let_second_pass()
    branch.enforce()
    ran = [branch.ran(job, cpus=cpus) for job, cpus in zip(jobs, (1, 2), strict=True)]
    branch.agrees(onlyend=branch.ran(read) + sum(ran))
