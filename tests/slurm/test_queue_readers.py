"""The readers behind `explain`, held to what Slurm 22.05 really printed."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import OutputNotUnderstood
from bank.policy.queue import License, Node, Use
from bank.slurm import (
    assoc_limits,
    assoc_mgr,
    availability,
    jobs,
    partitions,
    sacct,
    spans,
)
from tests.slurm.test_readers import RECORDED, recorded


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("jobs", jobs.arguments(None)),
        ("limits", assoc_mgr.arguments(None)),
        ("unavailable_nodes", availability.nodes_arguments(None)),
        ("reservations", availability.reservations_arguments(None)),
        ("licenses", availability.licenses_arguments(None)),
        ("partitions_limited", partitions.arguments(None)),
        ("ended_job", sacct.job_arguments("rec", "15")),
    ],
)
def test_what_is_asked_is_what_was_recorded(name: str, argv: list[str]) -> None:
    assert argv == (Path(RECORDED) / f"{name}.argv").read_text().removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    "argv",
    [
        jobs.arguments("c2"),
        availability.nodes_arguments("c2"),
        availability.reservations_arguments("c2"),
        availability.licenses_arguments("c2"),
        sacct.job_arguments("c2", "14_3"),
    ],
)
def test_another_cluster_is_named_right_after_the_command(argv: list[str]) -> None:
    assert argv[1:3] == ["-M", "c2"]


def test_jobs() -> None:
    found = {job.shown_id: job for job in jobs.read(recorded("jobs"))}
    assert len(found) == 16
    assert {job.reason for job in found.values()} == {
        "None",
        "AssocGrpCPUMinutesLimit",
        "AssocMaxWallDurationPerJobLimit",
        "BeginTime",
        "Dependency",
        "JobArrayTaskLimit",
        "JobHeldUser",
        "Licenses",
        "NonZeroExitCode",
        "PartitionTimeLimit",
        "QOSMaxCpuPerUserLimit",
        "ReqNodeNotAvail, UnavailableNodes:c1",
        "Reservation",
    }
    waiting = found["4_[2-4%1]"]
    assert (waiting.job_id, waiting.state, waiting.limit_minutes) == (4, "PENDING", 10)
    assert (waiting.account, waiting.user, waiting.qos) == ("free", "lab-ada", "normal")
    assert waiting.tres == {"cpu": 1, "mem": 1024, "node": 1, "billing": 1}
    assert found["4_1"].state == "RUNNING"
    assert (found["5"].dependency, found["3"].licenses) == ("afterok:2(unfulfilled)", "matlab:1")
    assert (found["10"].reservation, found["4_1"].reservation) == ("later", "")
    assert found["12"].limit_minutes == 60
    assert found["6"].starts_at == 1795302445
    assert found["1"].starts_at is None
    # Its billing of 0.5 Slurm cuts off to 0, and leaves out.
    assert "billing" not in found["14"].tres
    assert found["9"].priority == 0


def line(**changes: str) -> str:
    """Return a row of squeue with some fields changed."""
    fields = {
        "JobID": "7",
        "JobArrayID": "7",
        "State": "PENDING",
        "UserName": "ada",
        "Partition": "normal,fast",
        "QOS": "normal",
        "TimeLimit": "UNLIMITED",
        "StartTime": "N/A",
        "PriorityLong": "1",
        "tres-alloc": "",
        "Licenses": "(null)",
        "Reservation": "(null)",
        "Dependency": "(null)",
        "Reason": "None",
        "Account": "proj",
    }
    return "".join(f"{value}\x1f" for value in (fields | changes).values()) + "\n"


def test_jobs_of_another_cluster_in_several_partitions_and_in_free_words() -> None:
    reason = "Job's account not permitted to use this partition (a | b)\x1e"
    output = "CLUSTER: c2\n" + line(Reason=reason, Account="a b|c (x)")
    (job,) = jobs.read(output)
    assert (job.partitions, job.limit_minutes) == (("normal", "fast"), None)
    assert (job.account, job.tres) == ("a b|c (x)", {})
    assert job.reason.startswith("Job's account not permitted")
    assert jobs.read("") == []


@pytest.mark.parametrize(
    "output",
    [
        "slurm_load_jobs error: Unable to contact slurm controller",
        line(JobID="x"),
        line(StartTime="soon"),
        line(TimeLimit="a while"),
        line(PriorityLong="high"),
        line()[:-3],
        line().removesuffix("\n") + "more\n",
        line().replace("\x1f", "|"),
    ],
)
def test_a_row_of_squeue_in_another_form_is_refused(output: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        jobs.read(output)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("10:00", 10),
        ("1:30:00", 90),
        ("2-00:00:00", 2880),
        ("7-12:30:00", 10_830),
        ("INFINITE", None),
        ("UNLIMITED", None),
        ("NOT_SET", None),
    ],
)
def test_time_limits(text: str, minutes: int | None) -> None:
    assert spans.minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "10", "1:2:3:4", "-1:00", "0:30", "1:00:01", "1-2"])
def test_what_is_no_time_limit_is_refused(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        spans.minutes(text)


def test_limits_of_an_account_and_its_users() -> None:
    holders = assoc_limits.read_holders(recorded("limits"), {"wall", "dept"})
    by_name = {str(holder): holder.limits for holder in holders}
    assert set(by_name) == {
        "account wall",
        "account dept",
        *(f"user lab-ada in account {name}" for name in ("wall", "dept")),
    }
    dept, wall = by_name["account dept"], by_name["account wall"]
    assert dept["GrpTRESMins=billing"] == Use(100)
    assert dept["GrpTRESMins=gres/gpu"] == Use(60)
    assert dept["GrpTRESMins=mem"].limit is None
    assert dept["GrpJobs"] == Use(2)
    assert wall["MaxWallPJ"] == Use(5)
    assert wall["MaxTRESPJ=mem"] == Use(8192)
    assert wall["MaxTRESPN=cpu"] == Use(2)
    assert wall["MaxTRESMinsPJ=cpu"] == Use(100)
    assert wall["GrpWall"].limit == 9000
    ada = by_name["user lab-ada in account wall"]
    assert (ada["MaxJobs"], ada["MaxSubmitJobs"]) == (Use(3), Use(9, Fraction(1)))
    # A user has from the account what she has not of her own.
    assert ada["MaxWallPJ"] == Use(5)
    assert "MaxJobs" not in wall


def test_running_jobs_show_in_what_is_used() -> None:
    (free,) = [
        one
        for one in assoc_limits.read_holders(recorded("limits"), {"free"})
        if one.kind == "account"
    ]
    assert free.limits["GrpJobs"] == Use(None, Fraction(2))
    assert free.limits["GrpTRESRunMins=billing"].used > 0


def test_limits_of_qos() -> None:
    found = assoc_limits.read_qos(recorded("limits"))
    few = found["few"]
    assert few.holder.limits["MaxWallPJ"] == Use(30)
    assert few.holder.limits["MinTRESPJ=cpu"] == Use(1)
    assert few.holder.limits["GrpTRESMins=billing"] == Use(50)
    (uid,) = few.by_uid
    assert few.by_uid[uid]["MaxTRESPU=cpu"] == Use(2)
    assert few.by_account["free"]["MaxJobsPA"] == Use(4)
    users = assoc_limits.read_holders(recorded("limits"), {"free"})
    assert uid in {one.uid for one in users}
    assert found["normal"].holder.limits["GrpJobs"].limit is None


def test_accounts_of_users() -> None:
    found = assoc_limits.read_accounts_of_users(recorded("limits"))
    assert found["lab-ada"] == ("dept", "free", "proj", "wall")
    assert found["lab-bob"] == ("proj",)


def test_the_earlier_recording_is_read_too() -> None:
    found = assoc_limits.read_holders(recorded("associations"), {"a b|c (x)", "proj"})
    assert {one.name for one in found} == {"a b|c (x)", "proj"}
    assert {one.partition for one in found if one.user == "lab-bob"} == {"", "gpu"}


def test_a_limit_in_another_form_is_refused() -> None:
    output = recorded("limits").replace("GrpJobs=2(", "GrpJobs=two(")
    with pytest.raises(OutputNotUnderstood):
        assoc_limits.read_holders(output, {"dept"})


def test_partitions() -> None:
    found = partitions.read(recorded("partitions_limited"))
    assert (found["gpu"].state, found["normal"].state) == ("DOWN", "UP")
    assert found["gpu"].refuses_qos == {"few"}
    assert found["gpu"].takes_qos is None
    short = found["fractional"]
    assert (short.max_minutes, short.min_nodes, short.max_nodes) == (30, 1, 1)
    assert short.takes_accounts == frozenset({"dept", "proj"})
    assert not short.takes_account("free")
    normal = found["normal"]
    assert normal.takes_account("free")
    assert (normal.max_minutes, normal.max_nodes, normal.total_nodes) == (7 * 24 * 60, None, 2)
    assert normal.weights == {"cpu": 1}
    assert found["fractional"].weights["cpu"] == Fraction(1, 2)


def test_a_partition_that_does_not_say_its_state_is_refused() -> None:
    with pytest.raises(OutputNotUnderstood, match="State"):
        partitions.read("PartitionName=normal MaxTime=UNLIMITED MinNodes=0 MaxNodes=1")


def test_nodes_that_take_no_jobs_are_named_once() -> None:
    assert availability.read_nodes(recorded("unavailable_nodes")) == [
        Node("c1", "draining", "fan | broken")
    ]
    for state in ("idle~", "mixed", "allocated", "planned", "completing", "idle*"):
        is_away = state.endswith("*")
        found = availability.read_nodes(f"c1\x1f{state}\x1fnone\n")
        assert bool(found) == is_away, state
    for output in ("c1 idle", "c1\x1f\x1fnone"):
        with pytest.raises(OutputNotUnderstood):
            availability.read_nodes(output)


def test_reservations_and_licenses() -> None:
    (later,) = availability.read_reservations(recorded("reservations"))
    assert (later.name, later.nodes, later.ends_at - later.starts_at) == ("later", "c2", 3600)
    assert availability.read_reservations("No reservations in the system\n") == []
    assert availability.read_licenses(recorded("licenses")) == [License("matlab", 2, 2)]
    assert availability.read_licenses("No licenses configured in Slurm.\n") == []
    with pytest.raises(OutputNotUnderstood):
        availability.read_reservations("something else")
    with pytest.raises(OutputNotUnderstood):
        availability.read_licenses("something else")


def test_a_job_that_only_the_accounting_knows() -> None:
    job = sacct.read_job(recorded("ended_job"))
    assert job is not None
    assert (job.job_id, job.state, job.account, job.user) == (15, "FAILED", "free", "lab-ada")
    assert job.limit_minutes == 10
    assert sacct.read_job("") is None
    with pytest.raises(OutputNotUnderstood):
        sacct.read_job("15|FAILED\n")


@given(st.text(min_size=1, max_size=200).filter(str.strip))
def test_anything_else_is_no_job(text: str) -> None:
    if text.startswith("CLUSTER: "):
        return
    with pytest.raises(OutputNotUnderstood):
        jobs.read(text.strip("\n") + "\n")
