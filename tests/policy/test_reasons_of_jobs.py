"""Why jobs wait: one row a reason, against what a real cluster said of limits and partitions."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from bank.policy.queue import Job, License, Node, Qos, Queue, Reservation, Use
from bank.policy.reasons import ACCOUNT, STOPS, USER, WAITS
from bank.policy.reasons_of_jobs import Ours, cost_at_most, explain_job
from bank.policy.reasons_of_queue import (
    explain_cost,
    explain_other,
    explain_queue,
    explain_waiting,
)
from bank.slurm import assoc_limits, assoc_mgr, jobs, partitions
from tests.slurm.test_readers import recorded

NOBODY = Ours(frozenset(), frozenset())


def queue(**changes: object) -> Queue:
    """Return the recorded cluster."""
    output = recorded("limits")
    accounts = assoc_mgr.read_all(output, "rec").accounts
    known = Queue(
        cluster="rec",
        enforce=frozenset({"associations", "limits", "qos", "safe"}),
        max_tres=False,
        parents={name: row.parent for name, row in accounts.items()},
        holders=tuple(assoc_limits.read_holders(output, set(accounts))),
        qos=assoc_limits.read_qos(output),
        partitions=partitions.read(recorded("partitions_limited")),
        usage_factors={"normal": Fraction(1), "few": Fraction(2)},
        jobs=tuple(jobs.read(recorded("jobs"))),
        nodes=(Node("c1", "draining", "fan | broken"),),
        reservations=(Reservation("later", 1795306045, 1795309645, "c2"),),
        licenses=(License("matlab", 2, 2),),
        accounts_of=assoc_limits.read_accounts_of_users(output),
        asked_at=1795295300,
    )
    return known._replace(**changes)  # type: ignore[arg-type]


def job(tres: Mapping[str, int] | None = None, **changes: object) -> Job:
    """Return a job that asks for one core for ten minutes."""
    asked = {"cpu": Fraction(1), "mem": Fraction(1024), "node": Fraction(1), "billing": Fraction(1)}
    known = Job(
        job_id=99,
        shown_id="99",
        state="PENDING",
        user="lab-ada",
        account="free",
        partitions=("normal",),
        qos="normal",
        limit_minutes=10,
        starts_at=None,
        priority=1,
        tres=asked,
        licenses="",
        reservation="",
        dependency="",
        reason="None",
    )
    asked |= {name: Fraction(value) for name, value in (tres or {}).items()}
    return known._replace(**changes)  # type: ignore[arg-type]


REASONS: list[tuple[dict[str, Any], str, str, str]] = [
    # what of the job is other than usual, effect, part of the sentence, part of the remedy
    ({"reason": "None"}, WAITS, "not looked at yet", "wait"),
    ({"reason": "Priority"}, WAITS, "0 in normal", "wait for its turn"),
    (
        {"reason": "Resources", "starts_at": 1795295700},
        WAITS,
        "cpu=1, mem=1024, node=1; Slurm expects it to start at 2026-11-21T21:15:00Z",
        "wait",
    ),
    (
        {"reason": "Dependency", "dependency": "afterok:2(unfulfilled),afterany:77(unfulfilled)"},
        WAITS,
        "afterok:2(unfulfilled), which is RUNNING; afterany:77(unfulfilled)",
        "'scontrol update jobid=99 dependency='",
    ),
    (
        {"reason": "DependencyNeverSatisfied", "dependency": "afterok:15(failed)"},
        STOPS,
        "never starts: afterok:15(failed), which is FAILED",
        "'scancel 99'",
    ),
    ({"reason": "JobHeldUser"}, STOPS, "its user holds it", "scontrol release 99"),
    ({"reason": "JobHeldAdmin"}, STOPS, "administrator holds", "administrator: scontrol release"),
    (
        {"reason": "BeginTime", "starts_at": 1795302445},
        WAITS,
        "not before 2026-11-21T23:07:25Z",
        "'scontrol update jobid=99 starttime=now'",
    ),
    (
        {"reason": "JobArrayTaskLimit", "job_id": 4, "shown_id": "4_[2-4%1]"},
        WAITS,
        "1 run, 1 may",
        "'scontrol update jobid=4 arraytaskthrottle=2'",
    ),
    (
        {"reason": "Licenses", "licenses": "matlab:1"},
        WAITS,
        "it asks for matlab:1; of 2 matlab 2 are in use",
        "wait for one of the jobs 2 to end",
    ),
    (
        {"reason": "Reservation", "reservation": "later"},
        WAITS,
        "later on c2 is from 2026-11-22T00:07:25Z",
        "'scontrol update jobid=99 reservationname='",
    ),
    (
        {"reason": "ReservationDeleted", "reservation": "gone"},
        STOPS,
        "reservation is gone",
        "reservationname='",
    ),
    (
        {"reason": "PartitionTimeLimit", "partitions": ("fractional",), "limit_minutes": 90},
        STOPS,
        "it asks for 1:30:00, fractional allows 0:30:00",
        "timelimit=30'; or partition normal or fast:",
    ),
    (
        {
            "reason": "PartitionTimeLimit",
            "partitions": ("fractional", "normal"),
            "limit_minutes": 20_000,
        },
        STOPS,
        "fractional and normal allow 7-00:00:00",
        "timelimit=10080'; or another partition:",
    ),
    (
        {"reason": "PartitionNodeLimit", "partitions": ("fractional",), "tres": {"node": 2}},
        STOPS,
        "it asks for 2, fractional has 2 and allows at most 1",
        "at most 1: 'scontrol update jobid=99 numnodes=1-1'; or partition normal or fast",
    ),
    (
        {"reason": "PartitionDown", "partitions": ("gpu",)},
        STOPS,
        "gpu is DOWN",
        "'scontrol update partitionname=gpu state=up'",
    ),
    (
        {"reason": "ReqNodeNotAvail, UnavailableNodes:c1"},
        STOPS,
        "c1 is draining (fan | broken)",
        "'scontrol update nodename=c1 state=resume'",
    ),
    (
        {"reason": "Nodes required for job are DOWN, DRAINED or reserved for jobs"},
        STOPS,
        "c1 is draining (fan | broken)",
        "state=resume'",
    ),
    (
        {
            "reason": "Job's account not permitted to use this partition",
            "partitions": ("fractional",),
        },
        STOPS,
        "fractional takes only dept, proj",
        "partition normal or fast: 'scontrol update jobid=99 partition=NAME'",
    ),
    (
        {"reason": "InvalidAccount", "account": "dept", "user": "lab-bob"},
        STOPS,
        "lab-bob has no association in dept, but in proj",
        "'scontrol update jobid=99 account=proj'; or an administrator: 'sacctmgr add user lab-bob",
    ),
    (
        {"reason": "InvalidAccount", "user": "lab-eve"},
        STOPS,
        "lab-eve has no association in free (",
        "an administrator: 'sacctmgr add user lab-eve account=free'",
    ),
    (
        {"reason": "Job's QOS not permitted to use this partition", "partitions": ("gpu",)},
        STOPS,
        "QOS normal; gpu takes all but few",
        "partition=NAME",
    ),
    ({"reason": "InvalidQOS", "qos": "few"}, STOPS, "QOS few", "qos=NAME"),
    ({"reason": "BadConstraints"}, STOPS, "no node can ever", "scontrol show job 99"),
    (
        {"reason": "SomethingNew"},
        STOPS,
        "Slurm says 'SomethingNew', which is not known here",
        "squeue(1)",
    ),
    (
        {"reason": "AssocMaxWallDurationPerJobLimit", "account": "wall"},
        STOPS,
        "MaxWallPJ=5 of account wall; the job asks for 10 minutes",
        "timelimit=5'; or an administrator: 'sacctmgr modify account wall set MaxWall=10'",
    ),
    (
        {"reason": "AssocMaxCpuPerJobLimit", "account": "wall", "tres": {"cpu": 4}},
        STOPS,
        "MaxTRESPJ=cpu=2 of account wall; the job asks for 4 cpu",
        "'sacctmgr modify account wall set MaxTRESPerJob=cpu=4'",
    ),
    (
        {"reason": "AssocMaxCpuMinutesPerJobLimit", "account": "wall", "limit_minutes": 200},
        STOPS,
        "MaxTRESMinsPJ=cpu=100 of account wall; the job asks for 200 cpu-minutes",
        "a time of at most 1:40:00: 'scontrol update jobid=99 timelimit=100'",
    ),
    (
        {"reason": "QOSMaxCpuPerUserLimit", "qos": "few", "tres": {"cpu": 4}},
        STOPS,
        "MaxTRESPU=cpu=2 of QOS few: 0 cpu in use; the job asks for 4 cpu",
        "'sacctmgr modify qos few set MaxTRESPerUser=cpu=4'",
    ),
    (
        {"reason": "QOSMaxWallDurationPerJobLimit", "qos": "few", "limit_minutes": 45},
        STOPS,
        "MaxWallPJ=30 of QOS few; the job asks for 45 minutes",
        "timelimit=30'",
    ),
    (
        {"reason": "QOSMinCpuNotSatisfied", "qos": "few", "tres": {"cpu": 0}},
        STOPS,
        "MinTRESPJ=cpu=1 of QOS few; the job asks for 0 cpu",
        "another QOS or another size",
    ),
    (
        {"reason": "AssocGrpBillingMinutes", "account": "dept", "limit_minutes": 200},
        STOPS,
        "0 billing-minutes set aside for running jobs; the job asks for 200 billing-minutes",
        "timelimit=100'; or an administrator: 'sacctmgr modify account dept set GrpTRESMins=bil",
    ),
    (
        {"reason": "AssocGrpMemLimit"},
        STOPS,
        "no such limit is set where it can be seen",
        "scontrol show assoc_mgr",
    ),
]


@pytest.mark.parametrize(("changes", "effect", "said", "remedy"), REASONS)
def test_a_reason_in_plain_words(
    changes: dict[str, Any], effect: str, said: str, remedy: str
) -> None:
    first = explain_job(job(**changes), queue(), NOBODY)[0]
    assert said in first.sentence
    assert remedy in first.remedy
    assert (first.effect, first.subject) == (effect, f"job {changes.get('shown_id', '99')}")
    assert first.numbers["slurm_reason"] == changes["reason"]


@pytest.mark.parametrize(
    ("reason", "account", "said", "remedy"),
    [
        (
            "AssocGrpBillingMinutes",
            "dept",
            "set aside for running jobs; the job has no time limit (AssocGrpBillingMinutes)",
            "a time of at most 1:40:00: 'scontrol update jobid=99 timelimit=100'",
        ),
        (
            "AssocMaxWallDurationPerJobLimit",
            "wall",
            "MaxWallPJ=5 of account wall; the job has no time limit",
            "a time of at most 0:05:00: 'scontrol update jobid=99 timelimit=5'",
        ),
        (
            "AssocGrpCPUMinutesLimit",
            "proj",
            "GrpTRESMins=cpu=0 of account proj",
            "a time limit: 'scontrol update jobid=99 timelimit=MINUTES'",
        ),
    ],
)
def test_a_job_without_a_time_limit_fits_into_no_limit_of_time(
    reason: str, account: str, said: str, remedy: str
) -> None:
    waits = job(reason=reason, account=account, limit_minutes=None)
    first = explain_job(waits, queue(), NOBODY)[0]
    assert (first.effect, first.code) == (STOPS, reason)
    assert said in first.sentence
    assert first.remedy == remedy
    assert (first.numbers["needed"], first.numbers["would_fit"]) == (None, None)


def test_a_hold_of_the_banks_stops_a_job_without_a_time_limit() -> None:
    waits = job(reason="AssocGrpCPUMinutesLimit", account="proj", limit_minutes=None)
    ours = Ours(frozenset({("proj", "", "GrpTRESMins=cpu")}), frozenset())
    first = explain_job(waits, queue(), ours)[0]
    assert "GrpTRESMins=cpu=0 is the bank's hold of account proj" in first.sentence


def test_no_time_limit_does_not_matter_for_what_a_job_has_none_of() -> None:
    waits = job(reason="None", account="dept", limit_minutes=None, tres={"billing": 0})
    said = [one.sentence for one in explain_job(waits, queue(), NOBODY)]
    assert not any("GrpTRESMins=billing" in one for one in said)


def test_a_limit_of_the_banks_is_raised_with_sus() -> None:
    waits = job(reason="AssocGrpBillingMinutes", account="dept", limit_minutes=200)
    ours = Ours(frozenset(), frozenset({("dept", "")}))
    (only,) = explain_job(waits, queue(), ours)
    # 100 billing-minutes too few are 1.67 SUs.
    assert only.remedy.endswith("; or 'slurm_bank.py add dept 2'")
    assert (only.numbers["needed"], only.numbers["would_fit"]) == (200, 200)


def test_a_hold_of_the_banks_is_said_to_be_one_and_of_others_not() -> None:
    waits = job(reason="AssocGrpCPUMinutesLimit", account="proj")
    ours = Ours(frozenset({("proj", "", "GrpTRESMins=cpu")}), frozenset())
    (only,) = explain_job(waits, queue(), ours)
    assert "GrpTRESMins=cpu=0 is the bank's hold of account proj" in only.sentence
    (theirs,) = explain_job(waits, queue(), NOBODY)
    assert "hold" not in theirs.sentence
    assert "'sacctmgr modify account proj set GrpTRESMins=cpu=10'" in theirs.remedy


def test_what_else_would_stop_it_is_said_after_what_slurm_says() -> None:
    waits = job(reason="JobHeldUser", account="wall", tres={"cpu": 4, "billing": 4})
    reasons = explain_job(waits, queue(), NOBODY)
    assert [one.code for one in reasons] == ["JobHeldUser", *["another_limit"] * 3]
    assert all(one.sentence.startswith("also: Max") for one in reasons[1:])


def test_a_limit_that_fits_by_now_is_no_stop() -> None:
    waits = job(reason="AssocGrpJobsLimit", account="dept")
    (only,) = explain_job(waits, queue(), NOBODY)
    assert only.effect == WAITS
    assert "now it fits: GrpJobs=2 of account dept: 0 jobs in use" in only.sentence


def test_a_limit_of_a_qos_wins_over_the_same_one_of_an_account() -> None:
    known = queue()
    waits = job(reason="None", account="dept", qos="few", limit_minutes=30, tres={"billing": 4})
    reasons = explain_job(waits, known, NOBODY)
    said = [one.sentence for one in reasons[1:]]
    # 120 minutes fit into neither the account's 100 nor the 50 of the QOS.
    assert len(said) == 1
    assert "GrpTRESMins=billing=50 of QOS few" in said[0]
    longer = explain_job(job(reason="None", account="dept", limit_minutes=101), known, NOBODY)
    assert ["of account dept" in one.sentence for one in longer[1:]] == [True]


def test_what_running_jobs_may_still_use_is_not_left() -> None:
    known = queue()
    dept = next(one for one in known.holders if str(one) == "account dept")
    running = {**dept.limits, "GrpTRESRunMins=billing": Use(None, Fraction(60))}
    busy = [one if one is not dept else dept._replace(limits=running) for one in known.holders]
    waits = job(reason="AssocGrpBillingMinutes", account="dept", limit_minutes=50)
    (only,) = explain_job(waits, known._replace(holders=tuple(busy)), NOBODY)
    assert only.effect == STOPS
    assert "60 billing-minutes set aside for running jobs" in only.sentence
    assert only.remedy.startswith("a time of at most 0:40:00: 'scontrol update jobid=99 timelimit=")
    assert "wait until jobs end" in only.remedy
    assert "set GrpTRESMins=billing=110'" in only.remedy


def with_limits(known: Queue, limits: Mapping[str, Mapping[str, Use]]) -> Queue:
    """Return a cluster on which these limits were set, by whoever has them."""
    holders = (
        one._replace(limits={**one.limits, **limits.get(str(one), {})}) for one in known.holders
    )
    return known._replace(holders=tuple(holders))


def test_an_association_for_a_partition_counts_there_and_the_one_for_all_elsewhere() -> None:
    known = with_limits(queue(), {"user lab-ada in account free": {"MaxWallPJ": Use(3)}})
    for_all = next(one for one in known.holders if str(one) == "user lab-ada in account free")
    for_one = for_all._replace(partition="normal", limits={"MaxWallPJ": Use(5)})
    known = known._replace(holders=(*known.holders, for_one))
    for partition, said in (("normal", "MaxWallPJ=5"), ("fast", "MaxWallPJ=3")):
        waits = job(reason="AssocMaxWallDurationPerJobLimit", partitions=(partition,))
        (only,) = explain_job(waits, known, NOBODY)
        assert only.sentence.startswith(said)


@pytest.mark.parametrize(
    ("whose", "scope", "remedy"),
    [
        (
            ["account free", "user lab-ada in account free"],
            ACCOUNT,
            "'sacctmgr modify account free set MaxJobs=-1'",
        ),
        (
            ["user lab-ada in account free"],
            USER,
            "'sacctmgr modify user where name=lab-ada account=free set MaxJobs=-1'",
        ),
    ],
)
def test_no_job_for_anybody_is_of_the_account_where_the_account_says_it(
    whose: list[str], scope: str, remedy: str
) -> None:
    known = with_limits(queue(), {one: {"MaxJobs": Use(0)} for one in whose})
    reasons = explain_queue("free", None, known, NOBODY, told=())
    (reached,) = [one for one in reasons if one.code == "limit_reached"]
    assert (reached.scope, reached.subject) == (scope, whose[0])
    assert reached.sentence == "MaxJobs=0: no job starts"
    assert reached.remedy == f"whoever set it: {remedy}"


def test_limits_of_a_partition_have_their_qos() -> None:
    known = queue()
    normal = known.partitions["normal"]._replace(qos="few")
    known = known._replace(partitions={**known.partitions, "normal": normal})
    waits = job(reason="QOSMaxWallDurationPerJobLimit", limit_minutes=45)
    assert "MaxWallPJ=30 of QOS few" in explain_job(waits, known, NOBODY)[0].sentence
    assert isinstance(known.qos["few"], Qos)


@pytest.mark.parametrize(
    ("ahead", "count"),
    [
        ({"priority": 5}, 1),
        ({"priority": 1}, 1),
        ({"priority": 1, "job_id": 100}, 0),
        ({"priority": 0}, 0),
        ({"priority": 5, "partitions": ("gpu",)}, 0),
        ({"priority": 5, "state": "RUNNING"}, 0),
        ({"priority": 5, "reason": "AssocGrpJobsLimit"}, 0),
    ],
)
def test_how_many_jobs_are_before_one(ahead: dict[str, Any], count: int) -> None:
    usual: dict[str, Any] = {"job_id": 98, "shown_id": "98", "reason": "Resources"}
    first = job(**(usual | ahead))
    waits = job(reason="Priority")
    (only,) = explain_job(waits, queue(jobs=(first, waits)), NOBODY)
    assert only.numbers["jobs_ahead"] == count
    assert ("first of them job" in only.sentence) == bool(count)


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, 600),
        ({"qos": "few"}, 1200),
        # What Slurm itself cuts off to a billing of 0 costs half.
        ({"partitions": ("fractional",)}, (Fraction(1, 2) + Fraction(1, 4)) * 600),
        ({"partitions": ("normal", "fast")}, 3600 * 600),
        ({"limit_minutes": None}, None),
        ({"qos": "unheard-of"}, None),
        ({"partitions": ("unheard-of",)}, None),
    ],
)
def test_what_a_job_may_cost_at_most(changes: dict[str, Any], cost: int | None) -> None:
    assert cost_at_most(job(**changes), queue()) == cost


def test_jobs_that_wait_for_the_same_are_told_once() -> None:
    many = tuple(
        job(job_id=number, shown_id=str(number), reason="JobHeldUser") for number in range(1, 40)
    )
    other = job(job_id=50, shown_id="50", reason="BeginTime")
    told = explain_waiting("free", None, queue(jobs=(other, *many)), NOBODY)
    assert [one.subject for one in told] == ["job 1", "job 50"]
    assert "so do 2, 3" in told[0].sentence
    assert "and 18 more" in told[0].sentence
    assert told[0].numbers["other_jobs"] == [str(number) for number in range(2, 40)]
    assert explain_waiting("free", "lab-bob", queue(jobs=many), NOBODY) == []


def test_every_recorded_job_that_waits_is_explained_without_a_guess() -> None:
    known = queue()
    for one in known.jobs:
        reasons = explain_job(one, known, NOBODY)
        assert bool(reasons) == (one.state == "PENDING")
        for reason in reasons:
            assert reason.code != "unknown_reason"
            assert reason.remedy
        if one.state != "PENDING":
            assert explain_other(one, known).sentence.startswith(f"it is {one.state}")


@pytest.mark.parametrize(
    ("available", "said"),
    [
        (None, "it may cost 0.1667 SUs at most"),
        (600, "it may cost 0.1667 SUs at most, and account dept has 0.1667 available"),
        (599, "0.1664 available: run to its time limit it would use more than that"),
    ],
)
def test_what_a_job_may_cost_stands_against_what_is_left(available: int | None, said: str) -> None:
    (cost,) = explain_cost(job(), queue(), available, "dept")
    assert cost.sentence.endswith(said)
    assert explain_cost(job(limit_minutes=None), queue(), available, "dept") == []


def of_account(account: str, user: str | None, known: Queue) -> dict[str, str]:
    reasons = explain_queue(account, user, known, NOBODY, told=())
    return {one.code: one.sentence for one in reasons}


def test_who_may_submit() -> None:
    said = of_account("proj", None, queue())["who_may_submit"]
    assert said.startswith(
        "submissions on rec are refused but from lab-ada, lab-bob, and where Max"
    )
    assert "AccountingStorageEnforce=associations,limits,qos,safe" in said
    eve = of_account("proj", "lab-eve", queue())
    assert eve["no_association"].endswith("submissions are refused; they are in no account")
    nobody = queue(holders=tuple(one for one in queue().holders if one.kind == "account"))
    assert "no_users" in of_account("proj", None, nobody)
    free_for_all = queue(enforce=frozenset())
    found = of_account("proj", "lab-eve", free_for_all)
    assert "no_association" not in found
    assert "not_enforced" in found


def test_a_user_who_may_use_an_account_in_one_partition_only() -> None:
    known = queue()
    only = tuple(
        one._replace(partition="gpu") if one.user == "lab-bob" else one for one in known.holders
    )
    found = of_account("proj", "lab-bob", known._replace(holders=only))
    assert found["some_partitions"].startswith("they may use it in gpu only")


def test_partitions_that_refuse_an_account_or_are_away_are_noted() -> None:
    found = of_account("free", None, queue())
    assert found["partitions_refuse"] == "partition fractional takes no jobs of it"
    assert found["partitions_away"] == "partition gpu is DOWN"
    assert "no_such_account_in_slurm" in of_account("nosuch", None, queue())
