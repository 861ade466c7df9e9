"""What a meter lost on a real cluster is booked from sacct: once, and exactly."""

import re

from tests.lab.accounts import usage
from tests.operations.branch import ADA, BOB, SU, Branch


def read_and_lost(branch: Branch, name: str, *, cpus: int = 1) -> tuple[int, int]:
    """Run a job that is read, and one that is not; return them."""
    read = branch.run(name, cpus=cpus)
    branch.let_second_pass()
    branch.enforce()
    return read, branch.run(name)


def test_use_before_a_reset_by_hand_is_taken_from_sacct(branch: Branch) -> None:
    branch.open("fall")
    read, lost = read_and_lost(branch, "fall")
    branch.let_second_pass()
    branch.reset_by_hand("fall")
    done = branch.enforce()
    assert branch.booked("fall") == [
        ("charge", branch.ran(read)),
        ("adjustment", branch.ran(lost)),
    ]
    (note,) = done.notes
    assert "lab-ada in fall" in note
    assert f"counter was set back; {branch.ran(lost) // SU} SUs" in note
    branch.agrees(fall=branch.ran(read, lost))


def test_use_before_and_after_a_reset_by_hand_counts_once_each(branch: Branch) -> None:
    branch.open("fallrise")
    read, lost = read_and_lost(branch, "fallrise", cpus=9)
    branch.let_second_pass()
    branch.reset_by_hand("fallrise")
    after = branch.run("fallrise")
    branch.let_second_pass()
    branch.enforce()
    branch.agrees(fallrise=branch.ran(read, cpus=9) + branch.ran(lost, after))


def test_a_reset_by_hand_is_seen_although_the_counter_has_passed_its_old_value(
    branch: Branch,
) -> None:
    branch.open("hidden")
    read, lost = read_and_lost(branch, "hidden")
    branch.let_second_pass()
    branch.reset_by_hand("hidden")
    after = branch.run("hidden", cpus=9)
    assert branch.lab.raw_usage("hidden") > branch.ran(read)
    branch.let_second_pass()
    branch.enforce()
    branch.agrees(hidden=branch.ran(read, lost) + branch.ran(after, cpus=9))


def test_an_account_made_again_is_seen_although_it_has_used_more_since(branch: Branch) -> None:
    branch.open("anew")
    read, lost = read_and_lost(branch, "anew")
    branch.let_second_pass()
    branch.sacctmgr("delete", "user", "where", f"name={ADA}", "account=anew")
    branch.sacctmgr("add", "user", ADA, "account=anew")
    branch.lab.wait_for(lambda: ("anew", ADA) in usage(branch.lab), "the user to be back")
    after = branch.run("anew", cpus=9)
    branch.let_second_pass()
    branch.enforce()
    branch.agrees(anew=branch.ran(read, lost) + branch.ran(after, cpus=9))


def test_lost_use_counts_with_the_factor_of_its_qos(branch: Branch) -> None:
    branch.open("factor")
    branch.sacctmgr("add", "qos", "double", "set", "UsageFactor=2")
    branch.sacctmgr("modify", "account", "where", "name=factor", "set", "qos=normal,double")
    read = branch.run("factor", cpus=9)
    branch.let_second_pass()
    branch.enforce()
    lost = branch.run_untold("factor", extra=["--qos=double"])
    assert branch.lab.raw_usage("factor") == branch.ran(read, cpus=9) + 2 * branch.ran(*lost)
    branch.let_second_pass()
    branch.reset_by_hand("factor")
    branch.enforce()
    branch.agrees(factor=branch.ran(read, cpus=9) + 2 * branch.ran(*lost))


def test_lost_use_of_a_resized_job_counts_each_size_for_its_own_time(branch: Branch) -> None:
    branch.open("resized")
    read = branch.run("resized")
    branch.let_second_pass()
    branch.enforce()
    job = branch.lab.submit(
        "resized", ADA, partition="fast", command="sleep 4", extra=["-N2", "-n2"]
    )
    branch.lab.wait_for_state(job, {"RUNNING"})
    branch.let_second_pass()
    branch.lab.run("scontrol", "update", f"jobid={job}", "numnodes=1")
    branch.lab.wait_for_state(job, {"COMPLETED"})
    branch.lab.wait_for(lambda: "COMPLETED" in branch.state(job), "slurmdbd to know its end")
    branch.let_second_pass()
    question = ("sacct", "-aXnPD", "-j", str(job), "-o", "ElapsedRaw,AllocCPUS")
    rows = [row.split("|") for row in branch.lab.run(*question).split()]
    # slurmdbd has the whole time for the size that the job had at its end.
    (on_two, two), (in_all, one) = sorted((int(seconds), int(cpus)) for seconds, cpus in rows)
    assert (two, one) == (2, 1)
    assert 0 < on_two < in_all
    branch.reset_by_hand("resized")
    branch.enforce()
    branch.agrees(resized=branch.ran(read) + (2 * on_two + in_all - on_two) * SU)


def test_lost_use_counts_with_the_weights_of_its_time(branch: Branch) -> None:
    branch.open("weights")
    read = branch.run("weights")
    branch.let_second_pass()
    branch.enforce()
    lost = branch.run("weights", cpus=5)
    branch.let_second_pass()
    weights = ("scontrol", "update", "partitionname=fast")
    branch.lab.run(*weights, "TRESBillingWeights=CPU=36")
    try:
        branch.reset_by_hand("weights")
        branch.enforce()
        branch.agrees(weights=branch.ran(read) + branch.ran(lost, cpus=5))
    finally:
        branch.lab.run(*weights, "TRESBillingWeights=CPU=3600")


def test_a_billing_that_slurm_misses_by_a_hair_counts_in_full(branch: Branch) -> None:
    branch.open("hair")
    read = branch.run("hair")
    branch.let_second_pass()
    branch.enforce()
    weights = ("scontrol", "update", "partitionname=fast")
    # 0.3 + 10 x 0.47 is 5, and a hair less in floating-point numbers, which sacct cuts off to 4.
    branch.lab.run(*weights, "TRESBillingWeights=CPU=0.3,Mem=0.47")
    try:
        lost = branch.run("hair", command="sleep 3", extra=["--mem=10"])
        branch.let_second_pass()
        assert "billing=4," in branch.lab.run("sacct", "-aXnP", "-j", str(lost), "-o", "AllocTRES")
        branch.reset_by_hand("hair")
        branch.enforce()
        branch.agrees(hair=branch.ran(read) + 5 * branch.elapsed(lost))
    finally:
        branch.lab.run(*weights, "TRESBillingWeights=CPU=3600")


def test_lost_use_in_a_qos_that_is_gone_is_said(branch: Branch) -> None:
    branch.open("qosgone")
    branch.sacctmgr("add", "qos", "brief", "set", "UsageFactor=2")
    branch.sacctmgr("modify", "account", "where", "name=qosgone", "set", "qos=normal,brief")
    read = branch.run("qosgone")
    branch.let_second_pass()
    branch.enforce()
    lost = branch.run_untold("qosgone", extra=["--qos=brief"])
    branch.let_second_pass()
    branch.sacctmgr("delete", "qos", "brief")
    branch.reset_by_hand("qosgone")
    done = branch.enforce()
    told = [note for note in done.notes if "sacct does not say what it was billed" in note]
    assert {f"job {job} " in "".join(told) for job in lost} == {True}
    branch.agrees(qosgone=branch.ran(read))


def test_a_qos_of_a_partition_says_nothing_of_what_did_not_happen(branch: Branch) -> None:
    branch.open("partqos")
    branch.sacctmgr("add", "qos", "parted")
    change = ("scontrol", "update", "partitionname=fast")
    branch.lab.wait_for(
        lambda: "QOS=parted(" in branch.lab.run("scontrol", "-o", "show", "assoc_mgr", "flags=qos"),
        "the controller to know the QOS",
    )
    branch.lab.run(*change, "qos=parted")
    try:
        read = branch.run("partqos")
        running = branch.start("partqos")
        branch.let_second_pass()
        assert branch.enforce().notes == []
        branch.cancel(running)
        branch.let_second_pass()
        assert branch.enforce().notes == []
        branch.agrees(partqos=branch.ran(read, running))
    finally:
        branch.lab.run(*change, "qos=")


def test_a_reset_of_a_parent_by_hand_falls_on_all_children(branch: Branch) -> None:
    branch.open("rp")
    branch.open("rc1", parent="rp")
    branch.lab.make_account("rc2", parent="rp", users=[BOB])
    first = [branch.run("rp"), branch.run("rc1")]
    branch.let_second_pass()
    branch.enforce()
    lost = [branch.run("rp"), branch.run("rc1"), branch.run("rc2", BOB)]
    branch.let_second_pass()
    branch.reset_by_hand("rp")
    branch.enforce()
    branch.agrees(
        rp=branch.ran(first[0], lost[0]), rc1=branch.ran(first[1], lost[1]), rc2=branch.ran(lost[2])
    )
    assert branch.used("rp") == branch.ran(*first, *lost)


def test_a_reset_of_a_child_by_hand_leaves_the_parent_alone(branch: Branch) -> None:
    branch.open("sp")
    branch.open("sc", parent="sp")
    own = branch.run("sp")
    child = branch.run("sc")
    branch.let_second_pass()
    branch.enforce()
    lost = branch.run("sc")
    branch.let_second_pass()
    branch.reset_by_hand("sc")
    branch.enforce()
    branch.agrees(sp=branch.ran(own), sc=branch.ran(child, lost))
    assert branch.used("sp") == branch.ran(own, child, lost)


def test_a_reset_while_a_job_runs_books_nothing_twice(branch: Branch) -> None:
    branch.open("running")
    read = branch.run("running")
    branch.let_second_pass()
    branch.enforce()
    before = branch.control()
    job = branch.start("running")
    branch.let_second_pass()
    branch.reset_by_hand("running")
    # What the controller had counted of the job when it was set back: nothing, but for the moment
    # in each minute when it counts the jobs that run. The QOS, which no reset touches, tells it
    # here. The bank cannot go by that: accounts that are not in it count for the QOS as well.
    lost = branch.control() - before - branch.ran(read)
    done = branch.enforce()
    (said,) = (note for note in done.notes if "set back while jobs ran" in note)
    (unknown,) = re.findall(r"up to ([0-9.]+) SUs more were used cannot be known", said)
    assert 0 <= lost <= float(unknown) * SU
    branch.cancel(job)
    branch.let_second_pass()
    branch.enforce()
    branch.agrees(running=branch.ran(read, job) - lost)


def test_use_of_a_removed_user_is_taken_from_sacct(branch: Branch) -> None:
    branch.open("removed", users=[ADA, BOB])
    read = branch.run("removed", BOB)
    branch.let_second_pass()
    branch.enforce()
    stays = branch.run("removed", ADA)
    lost = branch.run("removed", BOB)
    branch.sacctmgr("delete", "user", "where", f"name={BOB}", "account=removed")
    branch.lab.wait_for(lambda: ("removed", BOB) not in usage(branch.lab), "the user to be gone")
    done = branch.enforce()
    assert [note for note in done.notes if "cannot be known" in note] == []
    assert ("adjustment", branch.ran(lost)) in branch.booked("removed")
    branch.agrees(removed=branch.ran(read, lost, stays))


def test_a_user_removed_and_added_again_goes_on_from_nothing(branch: Branch) -> None:
    branch.open("again", users=[ADA, BOB])
    read, lost = read_and_lost(branch, "again")
    branch.sacctmgr("delete", "user", "where", f"name={ADA}", "account=again")
    branch.sacctmgr("add", "user", ADA, "account=again")
    branch.lab.wait_for(lambda: usage(branch.lab).get(("again", ADA)) == 0, "the user to be back")
    branch.let_second_pass()
    branch.enforce()
    after = branch.run("again")
    branch.enforce()
    branch.agrees(again=branch.ran(read, lost, after))


def test_a_user_added_used_and_removed_between_two_passes_counts(branch: Branch) -> None:
    branch.open("guest")
    read = branch.run("guest")
    branch.let_second_pass()
    branch.enforce()
    branch.sacctmgr("add", "user", BOB, "account=guest")
    branch.lab.wait_for(lambda: ("guest", BOB) in usage(branch.lab), "the guest to be known")
    unseen = branch.run("guest", BOB, cpus=2)
    branch.let_second_pass()
    branch.sacctmgr("delete", "user", "where", f"name={BOB}", "account=guest")
    branch.lab.wait_for(lambda: ("guest", BOB) not in usage(branch.lab), "the guest to be gone")
    branch.enforce()
    branch.agrees(guest=branch.ran(read) + branch.ran(unseen, cpus=2))


def test_a_deleted_account_keeps_its_books_and_its_last_use(branch: Branch) -> None:
    branch.open("deleted")
    read = branch.run("deleted")
    branch.let_second_pass()
    branch.enforce()
    # Deleted before slurmdbd hears of the last job's start: sacct never knows its association.
    lost = branch.run_untold("deleted")
    branch.sacctmgr("delete", "account", "where", "name=deleted")
    branch.lab.wait_for(lambda: ("deleted", "") not in usage(branch.lab), "it to be gone")
    done = branch.enforce()
    assert done.gone == ["deleted"]
    branch.agrees(deleted=branch.ran(read, *lost))


def test_use_of_a_deleted_child_stays_with_its_parent_once(branch: Branch) -> None:
    branch.open("dp")
    branch.lab.make_account("dc", parent="dp", users=[BOB])
    read = branch.run("dc", BOB)
    branch.let_second_pass()
    branch.enforce()
    lost = branch.run("dc", BOB)
    branch.let_second_pass()
    branch.sacctmgr("delete", "account", "where", "name=dc")
    branch.lab.wait_for(lambda: ("dc", "") not in usage(branch.lab), "it to be gone")
    branch.enforce()
    branch.agrees(dc=branch.ran(read, lost), dp=0)
    assert branch.used("dp") == branch.ran(read, lost)


def test_an_account_made_again_goes_on_from_nothing(branch: Branch) -> None:
    branch.open("phoenix")
    read, lost = read_and_lost(branch, "phoenix", cpus=9)
    branch.sacctmgr("delete", "account", "where", "name=phoenix")
    branch.lab.wait_for(lambda: ("phoenix", "") not in usage(branch.lab), "it to be gone")
    branch.lab.make_account("phoenix", users=[ADA])
    assert branch.lab.raw_usage("phoenix", ADA) == 0
    after = branch.run("phoenix")
    branch.let_second_pass()
    branch.enforce()
    branch.agrees(phoenix=branch.ran(read, cpus=9) + branch.ran(lost, after))
