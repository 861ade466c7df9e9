"""What jobs of every kind really cost on a real cluster is what is given back for them."""

import pytest

from bank.errors import Refusal
from bank.operations import job_refunds, outage_refunds
from bank.operations.bank import utc_text
from bank.operations.job_refunds import JobCommand
from bank.operations.outage_refunds import Outage
from tests.lab.accounts import usage
from tests.lab.client import FINAL_STATES
from tests.operations.branch import ADA, BOB, SU, Branch


def refund(branch: Branch, job: int | str) -> int:
    """Refund a job; return the billing-seconds that were given back."""
    answer = job_refunds.refund_job(branch.bank, JobCommand(str(job)))
    return int(answer["refund_billing_seconds"])


def refused(branch: Branch, job: int | str) -> str:
    """Return why a job is not refunded."""
    with pytest.raises(Refusal) as refusal:
        refund(branch, job)
    return refusal.value.code


def counted(branch: Branch, account: str, user: str = ADA) -> int:
    """Return what Slurm itself has counted for a user."""
    return usage(branch.lab)[account, user]


def add_qos(branch: Branch, account: str, name: str, factor: str) -> None:
    branch.sacctmgr("add", "qos", name, "set", f"UsageFactor={factor}")
    branch.sacctmgr("modify", "account", "where", f"name={account}", "set", f"qos=normal,{name}")
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=qos")
    branch.lab.wait_for(lambda: f"QOS={name}(" in branch.lab.run(*question), "the QOS")


def end(branch: Branch, *jobs: int) -> None:
    """Wait until jobs have ended, for slurmdbd too, and the second with them."""
    for job in jobs:
        branch.wait_for_sacct(job)
    branch.let_second_pass()


def test_each_kind_of_job_gives_back_what_slurm_counted_for_it(branch: Branch) -> None:
    kinds = {
        "fraction": ("fractional", 3, "sleep 3", ["--mem=1500M"]),
        "below_one": ("fractional", 1, "sleep 3", ["--mem=1M"]),
        "factor": ("fractional", 3, "sleep 3", ["--qos=dear"]),
        "two_nodes": ("normal", 1, "sleep 3", ["-N2", "-n2"]),
        "failed": ("fast", 1, "sleep 2; false", []),
        "gpu": ("gpu", 1, "sleep 3", ["--gres=gpu:2"]),
    }
    for name in kinds:
        branch.open(name)
    add_qos(branch, "factor", "dear", "2.5")
    # Side by side, each in an account of its own: the time of each has to pass anyway.
    jobs = {
        name: branch.lab.submit(
            name, ADA, partition=partition, cpus=cpus, command=command, extra=extra
        )
        for name, (partition, cpus, command, extra) in kinds.items()
    }
    end(branch, *jobs.values())
    for name, job in jobs.items():
        # RawUsage is cut off.
        assert 0 <= counted(branch, name) - refund(branch, job) <= 1, name
        assert 0 <= branch.used(name) <= 1, name
    branch.agrees(**{name: counted(branch, name) for name in kinds})


def run_suspended(branch: Branch, account: str) -> int:
    """Run a job that is suspended for two seconds or more, and all is known; return its id."""
    job = branch.start(account)
    branch.lab.run("scontrol", "suspend", str(job))
    branch.let_second_pass()
    branch.let_second_pass()
    branch.lab.run("scontrol", "resume", str(job))
    branch.cancel(job)
    branch.let_second_pass()
    return job


def test_a_suspended_job_costs_the_time_in_which_it_was_suspended(branch: Branch) -> None:
    branch.open("susp")
    job = run_suspended(branch, "susp")
    given = refund(branch, job)
    # sacct's own time has none of it.
    assert given == counted(branch, "susp") >= branch.ran(job) + 2 * SU
    assert branch.used("susp") == 0


def test_runs_that_cost_nothing_or_run_still(branch: Branch) -> None:
    branch.open("never")
    job = branch.lab.submit("never", ADA, partition="fast", extra=["--begin=now+1hour"])
    branch.lab.run("scancel", str(job))
    branch.wait_for_sacct(job)
    assert refused(branch, job) == "nothing_to_refund"
    running = branch.start("never")
    assert refused(branch, running) == "still_running"
    branch.cancel(running)
    assert refused(branch, 999_999) == "no_such_job"


def test_each_task_of_an_array_and_each_run_of_a_requeued_job(branch: Branch) -> None:
    branch.open("many")
    ran = branch.run_array("many", 3, partition="fast", extra=["--array=1-3"])
    branch.let_second_pass()
    (array,) = {
        line.split("_")[0]
        for line in branch.lab.run("sacct", "-aXnP", "-A", "many", "-o", "JobID").split()
    }
    first = refund(branch, f"{array}_2")
    assert first + refund(branch, array) == ran * SU
    assert refused(branch, array) == "already_refunded"
    job = branch.start("many")
    branch.let_second_pass()
    branch.lab.run("scontrol", "requeue", str(job))
    branch.lab.wait_for_state(job, {"PENDING"})
    branch.lab.run("scontrol", "update", f"jobid={job}", "starttime=now")
    branch.lab.wait_for_state(job, {"RUNNING", *FINAL_STATES}, timeout=180)
    branch.lab.wait_for(lambda: branch.state(job).strip() != "PENDING", "sacct to know it")
    branch.lab.run("scancel", str(job))
    branch.wait_for_sacct(job)
    branch.let_second_pass()
    answer = job_refunds.refund_job(branch.bank, JobCommand(str(job)))
    assert [one["state"] for one in answer["runs"]] == ["REQUEUED", branch.state(job).split()[0]]
    assert answer["runs"][0]["refund_billing_seconds"] > 0
    assert branch.used("many") == 0
    branch.agrees(many=counted(branch, "many"))


def test_an_outage_of_one_node(branch: Branch) -> None:
    branch.open("one", users=[ADA])
    branch.open("two", users=[BOB])
    branch.lab.make_account("stranger", users=[ADA])
    branch.let_second_pass()
    start = utc_text(branch.bank.clock())
    on_c1 = branch.lab.submit("one", ADA, partition="fast", extra=["-w", "c1"])
    on_c2 = branch.lab.submit("two", BOB, partition="fast", extra=["-w", "c2"])
    on_both = branch.lab.submit("one", ADA, partition="fast", extra=["-N2", "-n2"])
    strange = branch.lab.submit("stranger", ADA, partition="fast", extra=["-w", "c2"])
    end(branch, on_c1, on_c2, on_both, strange)
    outage = Outage(start, utc_text(branch.bank.clock()), "c2", reason="c2 lost power")
    plan = outage_refunds.plan_refunds(branch.bank, outage, dry_run=False)
    rehearsed = outage_refunds.refund(branch.bank, plan, dry_run=True)
    done = outage_refunds.refund(branch.bank, plan, dry_run=False)
    assert {**rehearsed, "is_dry_run": False} == done
    assert [(one["job"], one["code"]) for one in done["runs"]] == [
        (str(on_both), None),
        (str(strange), "no_such_account"),
        (str(on_c2), None),
    ]
    assert branch.used("one") == branch.ran(on_c1)
    assert branch.used("two") == 0
    again = outage_refunds.plan_refunds(branch.bank, outage, dry_run=False)
    assert outage_refunds.refund(branch.bank, again, dry_run=False)["refund_su"] == "0"
    shown = branch.lab.run("scontrol", "show", "hostnames", "c[1-2]").split()
    assert shown == ["c1", "c2"]


def test_a_job_of_a_removed_user(branch: Branch) -> None:
    branch.open("gone", users=[ADA, BOB])
    job = branch.run("gone", BOB)
    branch.let_second_pass()
    branch.enforce()
    branch.sacctmgr("delete", "user", "where", f"name={BOB}", "account=gone")
    branch.lab.wait_for(lambda: ("gone", BOB) not in usage(branch.lab), "the user to be gone")
    assert refund(branch, job) == branch.ran(job)
    assert branch.used("gone") == 0


def test_what_a_killed_controller_lost_is_given_back_as_far_as_it_was_booked(
    branch: Branch,
) -> None:
    branch.open("lost")
    read = branch.run("lost")
    branch.let_second_pass()
    branch.enforce()
    job = branch.run("lost", cpus=2)
    branch.lab.save_jobs("lost")
    branch.let_second_pass()
    branch.lab.kill("slurmctld")
    branch.lab.restart("slurmctld")
    assert refund(branch, job) == branch.ran(job, cpus=2)
    assert branch.used("lost") == branch.ran(read)
    branch.agrees(lost=branch.ran(read) + branch.ran(job, cpus=2))
