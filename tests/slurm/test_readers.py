"""Argument lists, and readers of what Slurm 22.05 really printed for them."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import OutputNotUnderstood, SlurmError
from bank.slurm import assoc_mgr, partitions, sacct, sacctmgr, scontrol, squeue, tres
from bank.slurm.assoc_mgr import UserRow
from bank.slurm.command import chunked
from tests.fake_slurm import FakeSlurm

RECORDED = Path(__file__).parent / "recorded" / "22.05"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.stdout").read_text()


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("config", scontrol.config_arguments(None)),
        ("partitions", partitions.arguments(None)),
        ("associations", assoc_mgr.arguments(None)),
        ("associations_of_proj", assoc_mgr.arguments(None, ["proj"])),
        ("associations_of_nobody", assoc_mgr.arguments(None, ["nosuch"])),
        ("sacct_array", sacct.runs_arguments("jobsx", "3")),
        ("sacct_task", sacct.runs_arguments("jobsx", "3_2")),
        ("sacct_het", sacct.runs_arguments("jobsx", "7")),
        ("sacct_nobody", sacct.runs_arguments("jobsx", "999999")),
        (
            "sacct_resized",
            sacct.resized_arguments(
                "jobsx", since_seconds=1_795_293_500, until_seconds=1_795_294_500
            ),
        ),
        (
            "sacct",
            sacct.arguments(
                "jobsx", since_seconds=1_795_293_500, until_seconds=1_795_294_500, accounts=None
            ),
        ),
        ("squeue", squeue.arguments(None)),
        ("coordinators", sacctmgr.coordinators_arguments()),
    ],
)
def test_what_is_asked_is_what_was_recorded(name: str, argv: list[str]) -> None:
    assert argv == (RECORDED / f"{name}.argv").read_text().splitlines()


@pytest.mark.parametrize(
    "argv",
    [
        scontrol.config_arguments("c2"),
        partitions.arguments("c2"),
        assoc_mgr.arguments("c2"),
        squeue.arguments("c2"),
        sacct.arguments("c2", since_seconds=0, until_seconds=60, accounts=None),
    ],
)
def test_another_cluster_is_named_right_after_the_command(argv: list[str]) -> None:
    assert argv[1:3] == ["-M", "c2"]


def test_sacct_is_asked_for_a_span_in_utc_and_for_every_run() -> None:
    argv = sacct.arguments("c1", since_seconds=0, until_seconds=86_400, accounts=["a", "b"])
    assert argv[argv.index("-S") + 1] == "1970-01-01T00:00:00"
    assert argv[argv.index("-E") + 1] == "1970-01-02T00:00:00"
    assert argv[argv.index("-A") + 1] == "a,b"
    assert {"-D", "-X", "-a"} < set(argv)


@pytest.mark.parametrize(
    ("value", "last"), [(0, "GrpTRESMins=cpu=0"), (500, "GrpTRESMins=cpu=500")]
)
def test_a_limit_is_changed_on_one_named_cluster(value: int, last: str) -> None:
    argv = sacctmgr.limit_arguments("c1", ["a", "b"], "GrpTRESMins=cpu", value)
    assert argv == [
        *("sacctmgr", "-i", "modify", "account", "where", "cluster=c1", "account=a,b"),
        *("set", last),
    ]


@pytest.mark.parametrize(("partition", "value", "last"), [("", 0, "=0"), ("Fast", None, "=-1")])
def test_a_limit_of_users_always_says_which_partition(
    partition: str, value: int | None, last: str
) -> None:
    argv = sacctmgr.user_limit_arguments(
        "c1", "a", ["ada", "bob"], partition, "GrpTRESMins=cpu", value
    )
    assert argv == [
        *("sacctmgr", "-i", "modify", "user", "where", "cluster=c1", "account=a"),
        *("name=ada,bob", f"partition={partition}", "set", f"GrpTRESMins=cpu{last}"),
    ]


def test_no_limit_is_minus_one() -> None:
    argv = sacctmgr.limit_arguments("c1", ["a"], "GrpJobs", None)
    assert argv[-1] == "GrpJobs=-1"


def test_config() -> None:
    config = scontrol.read_config(recorded("config"))
    assert config.cluster == "rec"
    assert config.started.isdigit()
    assert config.priority_type == "priority/multifactor"
    assert config.decay_half_life == "00:00:00"
    assert config.usage_reset_period == "NONE"
    assert config.calc_period_seconds == 60
    assert config.enforce == {"associations", "limits", "qos", "safe"}
    assert not config.max_tres


@pytest.mark.parametrize(
    "missing", ["ClusterName", "BOOT_TIME", "PriorityType", "AccountingStorageEnforce"]
)
def test_config_without_what_decisions_rest_on_is_not_understood(missing: str) -> None:
    lines = recorded("config").splitlines()
    cut = "\n".join(line for line in lines if not line.startswith(f"{missing} "))
    with pytest.raises(OutputNotUnderstood, match=missing):
        scontrol.read_config(cut)


def test_partitions() -> None:
    weights = partitions.read_weights(recorded("partitions"))
    assert weights["fractional"] == {"cpu": Fraction(1, 2), "mem": Fraction(1, 4096)}
    assert weights["gpu"]["gres/gpu"] == 1
    assert weights["fast"] == {"cpu": Fraction(3600)}


def test_associations() -> None:
    found = assoc_mgr.read_all(recorded("associations"), "rec")
    assert {name: row.parent for name, row in found.accounts.items()} == {
        "root": None,
        "dept": "root",
        "proj": "dept",
        "a b|c (x)": "dept",
    }
    ada = UserRow(7, "proj", "lab-ada", "", 11, uid=999)
    assert ada in [row._replace(line="") for row in found.users]
    assert [row.partition for row in found.users if row.user == "lab-bob"].count("gpu") == 1
    assert found.accounts["dept"].running_jobs == 2
    assert found.accounts["dept"].running_minutes == 20
    assert sum(row.raw for row in found.users) <= found.accounts["root"].raw
    assert found.control == 0


def test_limits_of_users_are_read_where_they_are_asked_for() -> None:
    found = assoc_mgr.read_all(recorded("associations"), "rec")
    rows = assoc_mgr.rows(found, {("proj", "lab-bob")})
    named = [one for one in rows if one.user]
    assert {one.account for one in rows if not one.user} == set(found.accounts)
    assert ("proj", "lab-bob", "gpu") in named
    assert {(one.account, one.user) for one in named} == {("proj", "lab-bob")}
    for one in named:
        assert assoc_mgr.limit(rows[one], "GrpTRESMins=cpu") is None
        assert rows[one].counted_minutes == 0
    changed = recorded("associations").replace("GrpTRESMins=cpu=N(", "GrpTRESMins=cpu=77(")
    again = assoc_mgr.rows(assoc_mgr.read_all(changed, "rec"), {("proj", "lab-bob")})
    assert {assoc_mgr.limit(again[one], "GrpTRESMins=cpu") for one in named} == {77}


def test_a_row_of_a_user_that_does_not_say_the_limits_is_refused() -> None:
    text = recorded("associations").replace(" GrpTRESRunMins=", " Other=")
    with pytest.raises(OutputNotUnderstood):
        assoc_mgr.user_limits(UserRow(7, "proj", "lab-ada", "", 11, text.splitlines()[-4]))


def test_an_answer_that_ends_before_the_qos_is_not_the_whole() -> None:
    lines = recorded("associations").splitlines(keepends=True)
    for end in range(3, len(lines) - 2):
        with pytest.raises(OutputNotUnderstood):
            assoc_mgr.read_all("".join(lines[:end]), "rec")


def test_the_control_figure_rises_when_a_meter_loses_something() -> None:
    output = recorded("associations")
    row = next(line for line in output.splitlines() if "ID=7 " in line)
    lost = re.sub(r"Efctv=[0-9.]+/", "Efctv=1.25/", row)
    before = float(re.search(r"Efctv=([0-9.]+)/", row)[1])  # type: ignore[index]
    found = assoc_mgr.read_all(output.replace(row, lost), "rec")
    assert found.control == int(before - 1.25)


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [
        ("proj", "GrpTRESMins=cpu", 500),
        ("proj", "GrpTRESMins=gres/gpu", 7000),
        ("proj", "GrpTRESMins=mem", None),
        ("proj", "GrpTRES=cpu", None),
        ("proj", "GrpTRESRunMins=cpu", None),
        ("proj", "GrpJobs", 7),
        ("proj", "GrpSubmitJobs", None),
        ("dept", "GrpTRESMins=cpu", None),
        ("dept", "GrpJobs", None),
    ],
)
def test_limits_of_accounts(name: str, limit: str, value: int | None) -> None:
    found = assoc_mgr.read_all(recorded("associations"), "rec")
    assert assoc_mgr.limit(found.accounts[name], limit) == value


def test_a_limit_that_is_not_there_is_not_taken_for_no_limit() -> None:
    found = assoc_mgr.read_all(recorded("associations"), "rec")
    with pytest.raises(OutputNotUnderstood):
        assoc_mgr.limit(found.accounts["proj"], "GrpTRESMins=nosuch")


def test_an_account_asked_for_alone_has_no_parent_and_unknown_ones_are_left_out() -> None:
    some = assoc_mgr.read(recorded("associations_of_proj"), "rec")
    assert some.accounts["proj"].parent is None
    assert assoc_mgr.read(recorded("associations_of_nobody"), "rec").accounts == {}


@pytest.mark.parametrize("name", ["associations_of_proj", "associations_of_nobody"])
def test_a_part_is_not_taken_for_the_whole(name: str) -> None:
    with pytest.raises(OutputNotUnderstood, match="root"):
        assoc_mgr.read_all(recorded(name), "rec")


def test_associations_of_another_cluster_are_refused() -> None:
    with pytest.raises(OutputNotUnderstood, match="rec"):
        assoc_mgr.read_all(recorded("associations"), "other")


def test_an_association_that_stands_there_twice_is_refused() -> None:
    lines = recorded("associations").splitlines()
    with pytest.raises(OutputNotUnderstood, match="twice"):
        assoc_mgr.read_all("\n".join([*lines[:5], lines[4], *lines[5:], ""]), "rec")


@pytest.mark.parametrize("cut", [0, 10, 40, 80, 120, 300, 500])
def test_a_row_that_is_cut_off_is_never_skipped(cut: int) -> None:
    lines = recorded("associations").splitlines()
    account = next(number for number, line in enumerate(lines) if "Account=proj UserName= " in line)
    lines[account] = lines[account][: cut + 1]
    with pytest.raises(OutputNotUnderstood):
        assoc_mgr.read_all("\n".join(lines), "rec")


@given(st.text(max_size=300))
def test_anything_else_is_not_understood(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        assoc_mgr.read_all(text, "rec")


def test_qos() -> None:
    found = assoc_mgr.read_all(recorded("associations"), "rec")
    assert assoc_mgr.qos_limits(found, "GrpTRESMins=cpu") == {"free": 1_000_000}
    assert assoc_mgr.qos_limits(found, "GrpJobs") == {}


def test_sacct() -> None:
    rows = {row.db_index: row for row in sacct.read(recorded("sacct"))}
    assert [row.job_id for row in rows.values()] == [1, 2, 4, 5, 6, 7, 8, 10, 11, 3, 6, 12, 12, 13]
    suspended, requeued, again, resized, running = (rows[number] for number in (1, 8, 17, 23, 26))
    assert (suspended.association, suspended.account, suspended.user) == (4, "pa", "lab-ada")
    assert suspended.ended_at is not None
    assert (suspended.ended_at - suspended.started_at, suspended.suspended_seconds) == (54, 54)
    assert suspended.alloc_tres == "billing=2,cpu=3,mem=3G,node=1"
    assert (requeued.state, requeued.job_id) == ("REQUEUED", again.job_id)
    assert (resized.state, resized.node_list) == ("RESIZING", "c[1-2]")
    assert (running.state, running.ended_at) == ("RUNNING", None)
    assert rows[11].shown_id == "7+1"


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("sacct_array", [3, 4, 5]),
        ("sacct_task", [4]),
        ("sacct_het", [9, 11]),
        ("sacct_nobody", []),
        ("sacct_resized", [23]),
    ],
)
def test_runs_of_one_job(name: str, indexes: list[int]) -> None:
    assert [row.db_index for row in sacct.read(recorded(name))] == indexes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:54", 54), ("02:00:01", 7201), ("3-04:05:06", 273_906), ("100-00:00:00", 8_640_000)],
)
def test_how_long_a_job_was_suspended(text: str, seconds: int) -> None:
    (row,) = sacct.read(f"1|1|1|7|ada|n|n|COMPLETED|1|2|{text}|cpu=1|c1|proj")
    assert row.suspended_seconds == seconds


def ran_on(nodes: str) -> sacct.JobRow:
    (row,) = sacct.read(f"1|1|1|7|ada|n|n|COMPLETED|1|2|00:00:00|cpu=1|{nodes}|proj")
    return row


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # As scontrol show hostnames prints them.
        ("c1", "c1"),
        ("c[1-2],g1", "c1 c2 g1"),
        ("c1,c2", "c1 c2"),
        ("n[001-003,7]", "n001 n002 n003 n7"),
        ("n[08-11]", "n08 n09 n10 n11"),
        ("rack-1-node[08-11]", "rack-1-node08 rack-1-node09 rack-1-node10 rack-1-node11"),
        ("c[1-2]x[02-4]", "c1x02 c1x03 c1x04 c2x02 c2x03 c2x04"),
        ("None assigned", ""),
        ("", ""),
    ],
)
def test_hosts(text: str, names: str) -> None:
    assert sacct.hosts(ran_on(text)) == set(names.split())


@pytest.mark.parametrize(
    "text",
    ["c[1", "c]", "c 1", ",", "c1,,c2", "c1,", "c[]", "c[2-1]", "c[a-b]", "c[1-2-3]", "c[1-2",
     "c[1-999999999]", "c[1-9999][1-9999]", "c[٣]"],
)  # fmt: skip
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        sacct.hosts(ran_on(text))


@given(st.text("c[]-,019", max_size=12))
def test_a_list_of_hosts_is_read_or_refused(text: str) -> None:
    try:
        found = sacct.hosts(ran_on(text))
    except OutputNotUnderstood:
        return
    assert not any(set("[],") & set(name) for name in found)


@pytest.mark.parametrize(
    "line",
    [
        "1|1|1|7|ada|normal|normal|COMPLETED|1|2|00:00:00|cpu=1|c1",
        "x|1|1|7|a|n|n|RUNNING|1|Unknown|00:00:00|cpu=1|c1|a",
        "1|x|1|7|a|n|n|RUNNING|1|Unknown|00:00:00|cpu=1|c1|a",
        "1|1|1|7|a|n|n|RUNNING|1|Unknown|INVALID|cpu=1|c1|a",
    ],
)
def test_a_row_of_sacct_in_another_form_is_not_skipped(line: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        sacct.read(line)


def test_jobs_that_never_started_used_nothing() -> None:
    line = "9|9|9|7|ada|normal|normal|CANCELLED by 0|None|1795237824|00:00:00||None assigned|proj"
    assert sacct.read(line) == []


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        # As sacctmgr of 22.05 prints them.
        ("NONE", None),
        ("12 months*", 12 * 28 * 86_400),
        ("1 months", 28 * 86_400),
        ("365 days", 365 * 86_400),
        ("36 hours", 36 * 3600),
    ],
)
def test_how_long_slurmdbd_keeps_jobs(said: str, seconds: int | None) -> None:
    output = f"PurgeEventAfter        = NONE\nPurgeJobAfter          = {said}\nPurgeResvAfter  = 1"
    assert sacctmgr.read_jobs_kept_seconds(output) == seconds


@pytest.mark.parametrize("said", ["", "PurgeJobAfter = soon", "PurgeStepAfter = NONE"])
def test_how_long_slurmdbd_keeps_jobs_is_never_guessed(said: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        sacctmgr.read_jobs_kept_seconds(said)


def test_squeue() -> None:
    # One runs, one is suspended.
    assert squeue.read(recorded("squeue")) == [
        squeue.Started(2, 1795284016, has_ended=False),
        squeue.Started(3, 1795284016, has_ended=False),
    ]
    cleaned_up = squeue.read("CLUSTER: c2\n4|1795284016|COMPLETING\n")
    assert cleaned_up == [squeue.Started(4, 1795284016, has_ended=True)]
    assert squeue.read("") == []


@pytest.mark.parametrize("line", ["Socket timed out", "4", "4|N/A|RUNNING", "4|1795284016|"])
def test_a_job_that_squeue_does_not_name_in_full_is_refused(line: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        squeue.read(line)


@pytest.mark.parametrize("text", ["cpu", "cpu=", "=1", "cpu=-1", "cpu=1x", "cpu=1.", "cpu=٣"])
def test_tres_that_are_not_understood_are_refused(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        tres.quantities(text)


@given(st.lists(st.text("abc_é", min_size=1, max_size=30), max_size=60), st.integers(80, 200))
def test_names_are_split_into_arguments_that_fit_and_none_is_lost(
    names: list[str], size: int
) -> None:
    chunks = chunked(names, size)
    assert [name for chunk in chunks for name in chunk] == names
    assert all(len(",".join(chunk).encode()) <= size for chunk in chunks)
    assert all(chunks)


def test_the_model_of_slurm_answers_in_the_recorded_form() -> None:
    """The fake is held to what was recorded: the same readers read both."""
    fake = FakeSlurm()
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    fake.use(fake.add_user("proj"), 11)
    slurm = None
    output = fake.run(slurm, assoc_mgr.arguments(None))  # type: ignore[arg-type]
    found = assoc_mgr.read_all(output, "fake")
    assert found.accounts["proj"].parent == "dept"
    assert [row.raw for row in found.users] == [11]
    assert {name: row.raw for name, row in found.accounts.items()} == dict.fromkeys(
        ("root", "dept", "proj"), 11
    )
    assert issubclass(OutputNotUnderstood, SlurmError)


def test_coordinators() -> None:
    found = sacctmgr.read_coordinators(recorded("coordinators"))
    assert found == {"pubdept": ["lab-bob"], "pubproj": ["lab-bob"]}
    assert sacctmgr.read_coordinators("a|b c|ada,bob\nroot|\n") == {"a|b c": ["ada", "bob"]}


@pytest.mark.parametrize("output", ["", "proj|ada\n", "root\n", "proj|ada\nError: gone\nroot|\n"])
def test_coordinators_that_are_not_all_are_not_understood(output: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        sacctmgr.read_coordinators(output)
