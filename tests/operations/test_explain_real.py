"""`explain` on a real cluster: what it says first is what stops, and what it advises lets it start.

Each situation is made for real. As many as can stand side by side stand on one cluster.
"""

from collections.abc import Iterator

import pytest

from bank.errors import Refusal, SlurmTimedOut
from bank.operations import explaining, movements, user_limits
from bank.operations.commands import Command
from bank.operations.explaining import Explanation
from bank.policy.reasons import ABOVE, ACCOUNT, COMING, JOB, STOPS, USER, WAITS, Reason
from bank.slurm import (
    assoc_limits,
    assoc_mgr,
    availability,
    jobs,
    partitions,
    qos,
    sacct,
    scontrol,
)
from tests.lab import CommandFailed
from tests.operations.branch import ADA, BOB, SU, Branch


def of_job(branch: Branch, job: int | str) -> Explanation:
    return explaining.explain(branch.bank, None, user=None, job=str(job))


def of(branch: Branch, account: str, user: str | None = None) -> Explanation:
    return explaining.explain(branch.bank, account, user=user, job=None)


def first(found: Explanation) -> Reason:
    """Return what is said first; nothing was left unanswered."""
    assert found.error is None
    return found.reasons[0]


def starts(branch: Branch, job: int) -> None:
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"})


def waits(branch: Branch, account: str, reason: str, user: str = ADA, **asked: object) -> int:
    """Submit a job, wait until it waits for a reason, and return it."""
    asked.setdefault("command", "sleep 1")
    job = branch.lab.submit(account, user, **asked)  # type: ignore[arg-type]
    branch.lab.wait_for_reason(job, reason)
    return job


def do(branch: Branch, remedy: str) -> None:
    """Do the first command that a remedy names, as whoever may."""
    command = remedy.split("'")[1] if "'" in remedy else remedy
    argv = command.replace("an administrator: ", "").split()
    if argv[0] == "sacctmgr":
        argv.insert(1, "-i")
    branch.lab.run(*argv)


# -- what the bank has against it --------------------------------------------------------------


def test_holds_of_the_bank(branch: Branch) -> None:
    branch.open("empty", 0)
    branch.open("byhand", 100)
    branch.open("dept", 0, users=())
    branch.lab.make_account("child", parent="dept", users=[ADA])
    # More than the account above it has.
    movements.insert(branch.bank, Command("insert", "child", 100 * SU, force=True))
    movements.hold(branch.bank, Command("hold", "byhand", reason="audit"))
    held = "AssocGrpCPUMinutesLimit"
    waiting = {name: waits(branch, name, held) for name in ("empty", "byhand", "child")}

    nothing = first(of_job(branch, waiting["empty"]))
    assert (nothing.code, nothing.effect, nothing.scope) == ("nothing_left", STOPS, ACCOUNT)
    assert "GrpTRESMins=cpu=0 on" in nothing.sentence
    assert nothing.remedy.startswith("'slurm_bank.py add empty 1'")
    by_hand = first(of(branch, "byhand"))
    assert (by_hand.code, by_hand.effect) == ("held_by_hand", STOPS)
    assert "held by hand by tester at" in by_hand.sentence
    assert "audit" in by_hand.sentence
    above = first(of_job(branch, waiting["child"]))
    assert (above.code, above.scope, above.subject) == ("nothing_left", ABOVE, "account dept")
    assert of(branch, "child").verdict.startswith("no job of account child starts: account dept:")
    # Each job is said to wait for the hold and not for a limit that somebody must raise.
    for name, holder in (("empty", "empty"), ("byhand", "byhand"), ("child", "dept")):
        (own,) = [one for one in of(branch, name).reasons if one.scope == JOB]
        assert f"is the bank's hold of account {holder}" in own.sentence

    movements.add(branch.bank, Command("add", "empty", SU))
    movements.add(branch.bank, Command("add", "dept", SU, force=True))
    starts(branch, waiting["empty"])
    starts(branch, waiting["child"])
    assert "'slurm_bank.py release_hold byhand'" in by_hand.remedy
    found = of(branch, "child")
    assert found.verdict.startswith("nothing stops jobs of account child: ")


def test_what_is_about_to_be_held_or_released_and_what_others_did(branch: Branch) -> None:
    branch.open("soon", 100)
    branch.open("lifted", 0)
    branch.open("others", 100)
    branch.set_limit("others", "GrpJobs=0")
    theirs = waits(branch, "others", "AssocGrpJobsLimit")
    said = first(of_job(branch, theirs))
    assert (said.code, said.effect) == ("held_by_others", STOPS)
    assert "GrpJobs=0" in said.sentence
    do(branch, said.remedy.removeprefix("whoever set it: "))
    starts(branch, theirs)

    # Somebody lifted the bank's hold: until the next pass jobs start.
    branch.set_limit("lifted", "GrpTRESMins=cpu=-1")
    said = first(of(branch, "lifted"))
    assert (said.code, said.effect) == ("nothing_left", COMING)
    branch.enforce()
    assert first(of(branch, "lifted")).effect == STOPS

    branch.lab.make_account("stranger", users=[ADA])
    said = next(one for one in of(branch, "stranger").reasons if one.code == "not_in_bank")
    assert "counts for nobody" in said.sentence


# -- what Slurm has against it -----------------------------------------------------------------


@pytest.fixture
def many(branch: Branch) -> Iterator[Branch]:
    """Accounts, limits, a reservation and partitions, for one job each that waits."""
    lab = branch.lab
    lab.reconfigure(Licenses="matlab:2")
    for name in ("native", "walled", "counted", "user", "chem", "plain", "peer"):
        branch.open(name, 1_000_000)
    branch.sacctmgr("modify", "account", "walled", "set", "MaxWall=5")
    branch.sacctmgr("modify", "user", "where", f"name={ADA}", "account=user", "set", "MaxJobs=0")
    branch.sacctmgr("add", "qos", "short,tight")
    branch.sacctmgr("modify", "qos", "short", "set", "MaxWall=2")
    branch.sacctmgr("modify", "qos", "tight", "set", "MaxTRESPerUser=cpu=1")
    branch.sacctmgr("modify", "user", "where", f"name={ADA}", "set", "qos+=short,tight")
    branch.set_limit("native", "GrpTRESMins=billing=100")
    branch.set_limit("counted", "GrpJobs=1")
    branch.set_limit("chem", "GrpTRESRunMins=cpu=100")
    yield branch
    lab.run("scancel", "-u", ADA)
    lab.wait_for(lambda: not lab.run("squeue", "-h", "-a"), "all jobs to end")
    lab.run("scontrol", "delete", "reservationname=later", check=False)


def advised(branch: Branch, job: int, code: str, said: str) -> Reason:
    """Assert what is said first of a job, and return it."""
    found = first(of_job(branch, job))
    assert found.code == code, f"{found.code}: {found.sentence}"
    assert said in found.sentence, found.sentence
    assert found.scope == JOB
    return found


def test_every_reason_of_slurm_and_what_ends_it(many: Branch) -> None:
    branch, lab = many, many.lab
    run = lab.submit("counted", ADA, command="sleep 600", extra=["--licenses=matlab:2"])
    lab.wait_for_state(run, {"RUNNING"})
    failed = lab.submit("plain", ADA, command="false")
    lab.wait_for_state(failed, {"FAILED"})

    limited: list[tuple[str, int, str]] = [
        (
            "AssocGrpBillingMinutes",
            waits(branch, "native", "AssocGrpBillingMinutes", minutes=200),
            "GrpTRESMins=billing=100 of account native",
        ),
        (
            "AssocMaxWallDurationPerJobLimit",
            waits(branch, "walled", "AssocMaxWallDurationPerJobLimit", minutes=10),
            "MaxWallPJ=5 of account walled; the job asks for 10 minutes",
        ),
        (
            "AssocGrpCPURunMinutesLimit",
            waits(branch, "chem", "AssocGrpCPURunMinutesLimit", minutes=200),
            "GrpTRESRunMins=cpu=100 of account chem: 0 cpu-minutes in use",
        ),
        (
            "QOSMaxWallDurationPerJobLimit",
            waits(
                branch, "plain", "QOSMaxWallDurationPerJobLimit", minutes=9, extra=["--qos=short"]
            ),
            "MaxWallPJ=2 of QOS short",
        ),
    ]
    for code, job, said in limited:
        found = advised(branch, job, code, said)
        # A shorter time, which whoever submitted it may set.
        assert found.remedy.startswith("a time of at most")
        do(branch, found.remedy)
        starts(branch, job)

    two = waits(branch, "plain", "QOSMaxCpuPerUserLimit", cpus=2, extra=["--qos=tight"])
    found = advised(branch, two, "QOSMaxCpuPerUserLimit", "MaxTRESPU=cpu=1 of QOS tight")
    assert "sacctmgr modify qos tight set MaxTRESPerUser=cpu=2" in found.remedy
    do(branch, found.remedy[found.remedy.index("an administrator: '") :])
    starts(branch, two)

    waiting = waits(branch, "counted", "AssocGrpJobsLimit")
    found = first(of_job(branch, waiting))
    assert (found.code, found.subject) == ("limit_reached", "account counted")
    assert "GrpJobs=1 is reached: 1 job in use" in found.sentence
    assert found.remedy.startswith("wait for a job to end")
    licensed = waits(branch, "plain", "Licenses", extra=["--licenses=matlab:1"])
    found = advised(branch, licensed, "Licenses", "of 2 matlab 2 are in use")
    assert found.remedy == f"wait for one of the jobs {run} to end"
    dependent = waits(branch, "plain", "Dependency", extra=[f"--dependency=afterany:{run}"])
    found = advised(branch, dependent, "Dependency", f"afterany:{run}(unfulfilled), which is RUNN")
    assert found.effect == WAITS
    lab.run("scancel", str(run))
    for job in (waiting, licensed, dependent):
        starts(branch, job)

    none = waits(branch, "user", "AssocMaxJobsLimit")
    found = first(of_job(branch, none))
    assert (found.code, found.scope) == ("limit_reached", USER)
    assert found.sentence == "MaxJobs=0: no job starts"
    do(branch, found.remedy)
    starts(branch, none)

    never = waits(
        branch, "plain", "DependencyNeverSatisfied", extra=[f"--dependency=afterok:{failed}"]
    )
    do(branch, advised(branch, never, "DependencyNeverSatisfied", "which is FAILED").remedy)
    starts(branch, never)
    user_held = waits(branch, "plain", "JobHeldUser", extra=["--hold"])
    do(branch, advised(branch, user_held, "JobHeldUser", "its user holds it").remedy)
    starts(branch, user_held)
    admin_held = lab.submit("plain", ADA, command="sleep 1", extra=["--begin=now+1hour"])
    lab.run("scontrol", "hold", str(admin_held))
    lab.wait_for_reason(admin_held, "JobHeldAdmin")
    do(branch, advised(branch, admin_held, "JobHeldAdmin", "administrator holds it").remedy)
    lab.wait_for_reason(admin_held, "BeginTime")
    do(branch, advised(branch, admin_held, "BeginTime", "not before 2").remedy)
    starts(branch, admin_held)


def test_partitions_nodes_arrays_and_reservations(many: Branch) -> None:
    branch, lab = many, many.lab
    array = lab.submit("plain", ADA, command="sleep 600", extra=["--array=1-3%1"])
    lab.wait_for_reason(array, "JobArrayTaskLimit")
    found = advised(branch, array, "JobArrayTaskLimit", "1 run, 1 may")
    # Of one task that waits with others the same is said.
    assert first(of_job(branch, f"{array}_3")).code == "JobArrayTaskLimit"
    assert of_job(branch, f"{array}_1").verdict.startswith(f"job {array}_1 of {ADA} in account")
    do(branch, found.remedy.removeprefix("wait for one to end, or "))
    lab.wait_for(
        lambda: lab.run("squeue", "-h", "-j", str(array), "-t", "R").count("\n") == 2,
        "two tasks to run",
    )

    lab.run(
        "scontrol",
        "create",
        "reservation",
        "reservationname=later",
        "starttime=now+3hours",
        "duration=60",
        "nodes=c2",
        f"users={ADA}",
    )
    reserved = waits(branch, "plain", "Reservation", extra=["--reservation=later"])
    found = advised(branch, reserved, "Reservation", "later on c2 is from 2")
    do(branch, found.remedy.removeprefix("wait, or "))
    starts(branch, reserved)

    lab.run("scontrol", "update", "nodename=c1", "state=drain", "reason=fan")
    drained = waits(
        branch, "plain", "ReqNodeNotAvail,_UnavailableNodes:c1", extra=["--nodelist=c1"]
    )
    found = advised(branch, drained, "ReqNodeNotAvail", "(fan)")
    do(branch, found.remedy)
    starts(branch, drained)

    lab.run("scontrol", "update", "partitionname=gpu", "state=down")
    down = waits(branch, "plain", "PartitionDown", partition="gpu")
    found = advised(branch, down, "PartitionDown", "gpu is DOWN")
    do(branch, found.remedy[found.remedy.index("an administrator") :])
    starts(branch, down)

    lab.run("scontrol", "update", "partitionname=fractional", "maxtime=30", "maxnodes=1")
    late = waits(branch, "plain", "PartitionTimeLimit", partition="fractional", minutes=60)
    found = advised(branch, late, "PartitionTimeLimit", "asks for 1:00:00, fractional allows 0:30")
    do(branch, found.remedy)
    starts(branch, late)
    wide = waits(branch, "plain", "PartitionNodeLimit", partition="fractional", extra=["--nodes=2"])
    found = advised(branch, wide, "PartitionNodeLimit", "it asks for 2, fractional has 2 and allow")
    do(branch, found.remedy)
    starts(branch, wide)
    lab.run(
        "scontrol",
        "update",
        "partitionname=fractional",
        "maxtime=7-0",
        "maxnodes=UNLIMITED",
        "denyaccounts=peer",
    )
    refused = lab.submit("peer", ADA, partition="fractional", command="sleep 1")
    lab.wait_for(
        lambda: "permitted" in lab.run("squeue", "-h", "-j", str(refused), "-o", "%r"),
        "the partition to refuse the account",
    )
    found = advised(branch, refused, "AccountNotAllowed", "fractional takes all but peer")
    assert "partition normal or fast" in found.remedy
    lab.run("scontrol", "update", f"jobid={refused}", "partition=normal")
    starts(branch, refused)
    lab.run("scontrol", "update", "partitionname=fractional", "denyaccounts=")


def test_the_queue_and_who_may_not_submit(branch: Branch) -> None:
    lab = branch.lab
    branch.open("full", 1_000_000, users=[ADA])
    branch.open("other", 1_000_000, users=[BOB])
    full = [lab.submit("full", ADA, cpus=64, command="sleep 600") for _ in range(2)]
    for job in full:
        lab.wait_for_state(job, {"RUNNING"})
    next_job = waits(branch, "full", "Resources", cpus=64, minutes=9)
    found = advised(branch, next_job, "Resources", "cpu=64")
    assert found.effect == WAITS
    after = waits(branch, "full", "Priority", cpus=64, minutes=9)
    found = advised(branch, after, "Priority", f"1 in normal, first of them job {next_job}")
    assert found.numbers["jobs_ahead"] == 1
    told = of(branch, "full")
    assert told.verdict.startswith("nothing stops account full as a whole; job")
    assert of_job(branch, full[0]).verdict.endswith("a hold stops no job that runs")
    lab.run("scancel", "-u", ADA)

    with pytest.raises(CommandFailed):
        lab.submit("full", BOB)
    found = first(of(branch, "full", BOB))
    assert (found.code, found.effect, found.scope) == ("no_association", STOPS, USER)
    assert "they are in other" in found.sentence
    do(branch, found.remedy)
    lab.wait_for(lambda: branch.meters("full") == 2, "the controller to know the user")
    starts(branch, lab.submit("full", BOB, command="sleep 1"))

    branch.sacctmgr(
        "modify", "user", "where", f"name={ADA}", "account=full", "set", "MaxSubmitJobs=0"
    )
    lab.wait_for(lambda: not submits(branch, "full"), "submissions to be refused")
    found = first(of(branch, "full", ADA))
    assert (found.code, found.sentence) == (
        "limit_reached",
        "MaxSubmitJobs=0: further jobs are refused",
    )
    do(branch, found.remedy)
    lab.wait_for(lambda: submits(branch, "full"), "submissions to be taken")

    gone = waits(branch, "other", "BeginTime", BOB, extra=["--begin=now+1hour"])
    branch.sacctmgr("delete", "user", BOB, "account=other")
    lab.run("scontrol", "update", f"jobid={gone}", "starttime=now")
    lab.wait_for_reason(gone, "InvalidAccount")
    codes = [one.code for one in of_job(branch, gone).reasons if one.effect == STOPS]
    assert codes == ["no_association", "InvalidAccount"]


def submits(branch: Branch, account: str) -> bool:
    """Tell whether a job may be submitted now."""
    try:
        branch.lab.submit(account, ADA, command="true")
    except CommandFailed:
        return False
    return True


def set_longest(branch: Branch, time: str) -> None:
    """Let jobs of the partition "normal" have so long a time limit."""
    branch.lab.run("scontrol", "update", "partitionname=normal", f"maxtime={time}")


def test_what_the_bank_limits_and_what_ended(branch: Branch) -> None:
    branch.set(enforcement="limit")
    branch.open("native", 10)
    # In the partition "fast" a minute of one core is 60 SUs.
    job = waits(branch, "native", "AssocGrpBillingMinutes", partition="fast", minutes=1)
    found = advised(branch, job, "AssocGrpBillingMinutes", "GrpTRESMins=billing=600 of account")
    assert found.numbers["at_most_billing_seconds"] == 60 * SU
    assert found.remedy.endswith("'slurm_bank.py add native 50'")
    set_longest(branch, "UNLIMITED")
    endless = waits(branch, "native", "AssocGrpBillingMinutes", minutes=0)
    set_longest(branch, "7-00:00:00")
    found = advised(branch, endless, "AssocGrpBillingMinutes", "the job has no time limit")
    do(branch, found.remedy)
    starts(branch, endless)
    movements.add(branch.bank, Command("add", "native", 50 * SU))
    starts(branch, job)
    branch.wait_for_sacct(job)
    ended = of_job(branch, job)
    assert "COMPLETED" in ended.verdict
    with pytest.raises(Refusal, match="no_such_job|knows a job"):
        of_job(branch, 999_999)
    with pytest.raises(Refusal, match="is of account native"):
        explaining.explain(branch.bank, "other", user=None, job=str(job))


def test_a_user_who_has_used_what_she_may(branch: Branch) -> None:
    branch.open("shared", 100, users=[ADA, BOB])
    user_limits.limit_user(branch.bank, Command("limit_user", "shared", 0, user=ADA))
    job = waits(branch, "shared", "AssocGrpCPUMinutesLimit")
    found = first(of_job(branch, job))
    assert (found.code, found.effect, found.scope) == ("user_limit_used", STOPS, USER)
    assert found.remedy == f"'slurm_bank.py limit_user shared {ADA} 1' or more"
    assert of(branch, "shared", BOB).verdict.startswith("nothing stops jobs of account shared")
    user_limits.limit_user(branch.bank, Command("limit_user", "shared", 10 * SU, user=ADA))
    starts(branch, job)


def test_a_frozen_controller_is_said_and_the_books_are_told_all_the_same(branch: Branch) -> None:
    branch.open("quiet", 100)
    branch.set(slurm_timeout_seconds=2)
    found = of(branch, "quiet")
    assert found.verdict.startswith("nothing stops jobs of account quiet: 100 SUs are available")
    branch.lab.freeze("slurmctld")
    found = of(branch, "quiet")
    branch.lab.thaw("slurmctld")
    assert isinstance(found.error, SlurmTimedOut)
    assert found.verdict.startswith("nothing that is known stops jobs of account quiet: what Slurm")
    assert {one.code for one in found.reasons} >= {"slurm_did_not_answer", "next_job"}


def test_slurm_answers_an_ordinary_user_what_explain_asks(branch: Branch) -> None:
    branch.open("open", 100)
    job = waits(branch, "open", "JobHeldUser", extra=["--hold"])

    def asked(argv: list[str]) -> str:
        return branch.lab.run("env", "SLURM_TIME_FORMAT=%s", *argv, user=ADA)

    assert job in [one.job_id for one in jobs.read(asked(jobs.arguments(None)))]
    limits = asked(assoc_mgr.arguments(None))
    assert "open" in assoc_mgr.read_all(limits, branch.lab.cluster).accounts
    assert assoc_limits.read_holders(limits, {"open"})
    assert partitions.read(asked(partitions.arguments(None)))
    assert scontrol.read_config(asked(scontrol.config_arguments(None))).cluster
    assert availability.read_nodes(asked(availability.nodes_arguments(None))) == []
    assert qos.read(asked(qos.arguments()))
    # The controller tells slurmdbd of it a few seconds later.
    ended = sacct.job_arguments(branch.lab.cluster, str(job))
    branch.lab.wait_for(lambda: sacct.read_job(asked(ended)), "slurmdbd to know the job")
