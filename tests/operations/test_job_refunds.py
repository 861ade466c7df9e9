"""What a job cost is given back: at most that, at most what stands as used, and once."""

from contextlib import nullcontext
from typing import Any

import pytest

from bank.errors import Busy, InputError, Refusal
from bank.operations import grants, job_refunds, movements, outage_refunds, shown_grants
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.metering import Result, read_meters
from bank.operations.outage_refunds import Outage
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert
from tests.operations.jobs import START, Jobs, utc

SU = 3600


@pytest.fixture
def jobs(bank: Bank, fake: FakeSlurm, proj: int) -> Jobs:
    return Jobs(bank, fake, proj)


def test_what_a_job_cost_is_given_back_and_counts_for_nobody_above(jobs: Jobs) -> None:
    jobs.ran("7", tres="billing=4,cpu=4,node=1", counted=4 * SU)
    jobs.ran("8")
    answer = jobs.refund("7", reason="node died")
    assert answer["refund_billing_seconds"] == 4 * SU
    assert (jobs.used(), jobs.used("dept")) == (SU, SU)
    jobs.agrees()


def test_what_runs_after_a_refund_is_for_the_grant_that_ends_first(jobs: Jobs) -> None:
    jobs.ran("7")
    enforce(jobs.bank)
    at = jobs.now * 1_000_000
    given = Command("grant", "proj", 50 * SU, start_at=at, end_at=2 * at, force=True)
    grants.grant(jobs.bank, given)
    jobs.refund("7")
    jobs.ran("8")
    enforce(jobs.bank)
    found = shown_grants.grants(jobs.bank, "proj")
    assert sorted(one["used_billing_seconds"] for one in found) == [0, SU]
    assert [one["used_su"] for one in found if one["carry_percent"] is not None] == ["1"]
    jobs.agrees()


@pytest.mark.parametrize(
    ("what", "run", "cost"),
    [
        ("whole", {}, 3600),
        ("a fraction of a billing unit", {"partition": "half", "tres": "billing=1,cpu=3"}, 5400),
        ("no whole billing at all", {"partition": "half", "tres": "cpu=1", "seconds": 3}, 1),
        ("a usage factor", {"qos": "double"}, 7200),
        ("weights that were others then", {"tres": "billing=7,cpu=1"}, 25_200),
        ("a partition that is gone", {"partition": "gone", "tres": "billing=3,cpu=1"}, 10_800),
        ("timed out", {"state": "TIMEOUT"}, 3600),
        ("cancelled by somebody", {"state": "CANCELLED by 0"}, 3600),
    ],
)
def test_a_run_costs_what_rawusage_counts(
    jobs: Jobs, what: str, run: dict[str, Any], cost: int
) -> None:
    jobs.ran("7", counted=cost, **run)
    assert jobs.refund("7")["refund_billing_seconds"] == cost, what
    assert jobs.used() == 0
    jobs.agrees()


def test_all_tasks_of_an_array_and_each_of_them_once(jobs: Jobs) -> None:
    for task in (1, 2, 3):
        jobs.ran(f"7_{task}")
    jobs.ran("8")
    assert jobs.refund("7_2")["refund_billing_seconds"] == SU
    answer = jobs.refund("7")
    assert [one["refund_billing_seconds"] for one in answer["runs"]] == [SU, 0, SU]
    assert [one["code"] for one in answer["runs"]] == [None, "already_refunded", None]
    assert jobs.used() == SU
    assert jobs.refused("7")[0] == "already_refunded"
    jobs.agrees()


def test_all_components_of_a_het_job(jobs: Jobs) -> None:
    jobs.ran("7+0")
    jobs.ran("7+1", seconds=100)
    assert jobs.refund("7+1")["refund_billing_seconds"] == 100
    assert jobs.refund("7")["refund_billing_seconds"] == SU
    jobs.agrees()


def test_every_run_of_a_requeued_job(jobs: Jobs) -> None:
    jobs.ran("7", state="REQUEUED")
    jobs.ran("7", start=START + 2 * SU, seconds=60)
    assert jobs.refund("7")["refund_billing_seconds"] == SU + 60
    jobs.agrees()


def test_each_size_of_a_resized_job_costs_its_own_time(jobs: Jobs) -> None:
    jobs.ran("7", state="RESIZING", seconds=100, tres="billing=2,cpu=2", counted=200)
    jobs.ran("7", seconds=SU, counted=SU - 100)
    answer = jobs.refund("7")
    assert [one["cost_billing_seconds"] for one in answer["runs"]] == [200, SU - 100]
    assert jobs.used() == 0
    jobs.agrees()


def test_a_second_time_is_refused_and_shows_the_first(jobs: Jobs) -> None:
    jobs.ran("7")
    jobs.refund("7")
    code, text = jobs.refused("7")
    assert code == "already_refunded"
    assert f"refunded on {utc(jobs.now)} by ada: 1 SUs, entry 3 of proj" in text
    jobs.agrees()


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ({"state": "RUNNING"}, "still_running"),
        ({"seconds": 0}, "nothing_to_refund"),
        ({"account": "test1"}, "no_such_account"),
        ({"qos": "gone"}, "cost_unknown"),
        ({"partition": "gone", "tres": "cpu=1"}, "cost_unknown"),
        # Before the bank's first look nothing of it was charged.
        ({"counted": 0}, "not_used_now"),
    ],
)
def test_what_cannot_be_refunded_is_refused_by_name(
    jobs: Jobs, run: dict[str, Any], code: str
) -> None:
    jobs.ran("7", **run)
    assert jobs.refused("7")[0] == code
    with reading(jobs.bank.database) as reader:
        assert reader.query("SELECT 1 FROM entry WHERE kind = 'refund'") == []
    jobs.agrees()


def test_a_job_that_never_was_and_one_that_never_started(jobs: Jobs) -> None:
    assert jobs.refused("7")[0] == "no_such_job"
    jobs.fake.sacct = "9|9|9|7|ada|normal|normal|CANCELLED|None|17|00:00:00||None assigned|proj\n"
    assert jobs.refused("9")[0] == "nothing_to_refund"


@pytest.mark.parametrize(
    "name", ["", "0", "x", "7.batch", "7_", "7_[1-3]", "-7", "7,8", "7 8", "٣"]
)
def test_what_is_no_id_of_a_job_is_refused(jobs: Jobs, name: str) -> None:
    with pytest.raises(InputError, match="id of a job"):
        jobs.refund(name)


def test_an_id_that_slurm_gave_away_twice_is_refused(jobs: Jobs) -> None:
    jobs.ran("7")
    jobs.ran("7", start=START + 2 * SU, user="bob")
    code, text = jobs.refused("7")
    assert code == "many_jobs"
    assert "ada and bob" in text


def test_an_unknown_cluster_is_named(jobs: Jobs) -> None:
    jobs.ran("7")
    with pytest.raises(InputError, match="'nosuch' is not a cluster of the bank's; there are fake"):
        jobs.refund("7", cluster="nosuch")


def test_a_job_that_ended_this_very_second_is_for_the_next_try(jobs: Jobs) -> None:
    jobs.ran("7", start=jobs.now - SU)
    with pytest.raises(Busy, match="this very moment"):
        jobs.refund("7")


def test_what_was_used_in_a_period_that_is_over_is_settled(jobs: Jobs) -> None:
    jobs.ran("7")
    movements.reset_usage(jobs.bank, Command("reset_usage", "proj"))
    jobs.ran("8", start=jobs.now)
    jobs.now += 2 * SU
    code, text = jobs.refused("7")
    assert code == "not_used_now"
    assert "deposit proj" in text
    assert jobs.refund("8")["refund_billing_seconds"] == SU
    assert jobs.used() == 0
    jobs.agrees()


def test_of_a_job_that_ran_into_the_new_period_only_what_was_used_in_it(jobs: Jobs) -> None:
    jobs.fake.use(jobs.association, 1000)
    movements.reset_usage(jobs.bank, Command("reset_usage", "proj"))
    jobs.ran("7", start=jobs.now - 1000, counted=SU - 1000)
    jobs.now += 2 * SU
    answer = jobs.refund("7")
    assert answer["refund_billing_seconds"] == SU - 1000
    assert answer["runs"][0]["code"] == "not_used_now"
    jobs.agrees()


def test_what_a_meter_lost_and_nobody_booked_is_not_given_back(jobs: Jobs) -> None:
    jobs.ran("7", counted=1000)
    jobs.ran("8", counted=500, seconds=500)
    assert jobs.refund("7")["refund_billing_seconds"] == 1500
    # Two jobs in one reading: together no more than the reading has.
    assert jobs.refused("8")[0] == "not_used_now"
    assert jobs.used() == 0
    jobs.agrees()


def test_a_job_that_was_never_charged_is_not_paid_with_earlier_use(jobs: Jobs) -> None:
    jobs.ran("7")
    enforce(jobs.bank)
    jobs.ran("8", start=jobs.now + SU, counted=0)
    jobs.now += 3 * SU
    assert jobs.refused("8")[0] == "not_used_now"
    assert jobs.used() == SU


def test_a_job_of_another_user_is_not_paid_with_somebodys_use(jobs: Jobs, fake: FakeSlurm) -> None:
    bob = fake.add_user("proj", "bob")
    jobs.ran("7", counted=0, user="bob", association=bob)
    jobs.ran("8")
    assert jobs.refused("7")[0] == "not_used_now"


def test_a_job_of_an_account_below_a_banked_one_is_of_its_own_books(
    jobs: Jobs, fake: FakeSlurm
) -> None:
    fake.add_account("sub", "proj")
    sub = fake.add_user("sub")
    jobs.ran("7", account="sub", association=sub)
    enforce(jobs.bank)
    assert jobs.used() == SU
    answer = jobs.refund("7")
    assert [(one["account"], one["is_open"]) for one in answer["accounts"]] == [("sub", False)]
    assert (jobs.used(), jobs.used("dept")) == (0, 0)
    jobs.agrees()


def test_an_account_that_was_held_is_released(bank: Bank, fake: FakeSlurm) -> None:
    jobs = Jobs(bank, fake, fake.add_user("proj"))
    insert(bank, "proj", 1)
    jobs.ran("7")
    enforce(jobs.bank)
    assert fake.limits["proj"] == {"GrpTRESMins=cpu": 0}
    jobs.refund("7")
    assert fake.limits["proj"] == {}


def test_the_account_above_that_was_held_for_it_is_released_too(
    bank: Bank, fake: FakeSlurm
) -> None:
    jobs = Jobs(bank, fake, fake.add_user("proj"))
    insert(bank, "proj", 10)
    insert(bank, "dept", 1)
    jobs.ran("7")
    enforce(jobs.bank)
    assert fake.limits["dept"] == {"GrpTRESMins=cpu": 0}
    jobs.refund("7")
    assert fake.limits["dept"] == {}


def test_the_same_key_is_answered_and_refunds_nothing_again(jobs: Jobs) -> None:
    jobs.ran("7_1")
    first = jobs.refund("7", key="k")
    jobs.ran("7_2")
    again = jobs.refund("7", key="k")
    assert {**first, "is_repeat": True, "accounts": []} == {**again, "accounts": []}
    with pytest.raises(Refusal, match="needs a new key"):
        jobs.refund("8", key="k")
    assert jobs.used() == SU
    jobs.agrees()


def test_a_dry_run_says_it_and_does_nothing(jobs: Jobs) -> None:
    jobs.ran("7")
    enforce(jobs.bank)
    answer = jobs.refund("7", dry_run=True)
    assert (answer["refund_su"], answer["is_dry_run"]) == ("1", True)
    assert jobs.used() == SU
    assert jobs.refund("7")["refund_su"] == "1"


def test_a_dry_run_counts_what_no_pass_has_booked_yet(jobs: Jobs, fake: FakeSlurm) -> None:
    jobs.ran("7")
    enforce(jobs.bank)
    # What ran since is in the meter and not in the books; part of it was lost.
    jobs.ran("8", start=jobs.now + SU, counted=1000)
    jobs.now += 3 * SU
    rehearsed = jobs.refund("8", dry_run=True)
    assert (rehearsed["refund_billing_seconds"], rehearsed["is_dry_run"]) == (1000, True)
    assert jobs.used() == SU
    jobs.agrees()
    done = jobs.refund("8")
    assert rehearsed == {**done, "is_dry_run": True}
    # A stranger is none of the bank's in a dry run either.
    jobs.ran("9", account="test1", association=fake.add_user("test1"))
    assert jobs.window(START, jobs.now, dry_run=True)["runs"][-1]["code"] == "no_such_account"


def test_a_dry_run_ends_grants_that_are_due_before_it_refunds(jobs: Jobs) -> None:
    jobs.ran("7")
    enforce(jobs.bank)
    start, end = ((jobs.now + hours * SU) * 1_000_000 for hours in (0, 1))
    grants.grant(jobs.bank, Command("grant", "proj", SU, start_at=start, end_at=end, force=True))
    jobs.ran("8", start=jobs.now + 1)
    jobs.now += 3 * SU // 2
    rehearsed = jobs.refund("8", dry_run=True)
    assert rehearsed == {**jobs.refund("8"), "is_dry_run": True}
    jobs.agrees()


def test_a_dry_run_that_was_overtaken_says_so(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.ran("7")

    def overtaken(bank: Bank, cluster: Cluster, *, dry_run: bool) -> Result:
        result = read_meters(bank, cluster, dry_run=dry_run)
        enforce(bank)
        return result

    monkeypatch.setattr(job_refunds, "book_use", overtaken)
    monkeypatch.setattr(job_refunds, "only_one", lambda *_, **__: nullcontext())
    with pytest.raises(Busy, match="others have booked readings of cluster fake: try again"):
        jobs.refund("7", dry_run=True)


# -- outages ----------------------------------------------------------------------------


def test_an_outage_gives_back_every_run_that_was_there_then(jobs: Jobs, fake: FakeSlurm) -> None:
    other = fake.add_user("test1")
    insert(jobs.bank, "test1", 100)
    at = START
    jobs.ran("1", start=at - SU)  # ended as it began
    jobs.ran("2", start=at - SU, seconds=SU + 1)
    jobs.ran("3", start=at + 99, account="test1", association=other)
    jobs.ran("4", start=at + 100)  # began as it ended
    jobs.ran("5", start=at, seconds=50, nodes="n[1-2]")
    jobs.ran("6", start=at + 20, state="REQUEUED", nodes="n2", seconds=0)
    jobs.ran("7", start=at + 20, state="RUNNING", nodes="n2", seconds=0)
    done = jobs.window(at, at + 100)
    assert [(one["job"], one["refund_billing_seconds"]) for one in done["runs"]] == [
        ("2", SU + 1),
        ("5", 50),
        ("6", 0),
        ("7", 0),
        ("3", SU),
    ]
    assert [one["code"] for one in done["runs"]] == [
        *(None, None, "nothing_to_refund", "still_running", None)
    ]
    assert jobs.used() == 2 * SU
    assert jobs.used("test1") == 0
    jobs.agrees()


@pytest.mark.parametrize(
    ("nodes", "hit"), [(None, "12"), ("n1", "1"), ("n2", "12"), ("n[1-2]", "12")]
)
def test_an_outage_of_nodes_hits_what_ran_on_one_of_them(
    jobs: Jobs, nodes: str | None, hit: str
) -> None:
    jobs.ran("1", nodes="n[1-2]")
    jobs.ran("2", nodes="n2")
    done = jobs.window(START, START + 1, nodes=nodes)
    assert "".join(one["job"] for one in done["runs"]) == hit


def test_a_node_that_was_removed_since_is_known_from_what_ran_on_it(jobs: Jobs) -> None:
    jobs.ran("1", nodes="old[1-3]")
    assert jobs.window(START, START + 1, nodes="old2")["refund_billing_seconds"] == SU


@pytest.mark.parametrize(
    ("start", "end", "options", "said"),
    [
        ("2026-01-02", "2026-01-01", {}, "is not after"),
        ("2026-01-01", "2026-01-01", {}, "is not after"),
        ("2999-01-01", "2999-01-02", {}, "has not happened yet"),
        ("yesterday", "2026-01-01", {}, "the start 'yesterday' is not a day or a time"),
        ("2026-01-01", "2026-02-30", {}, "the end '2026-02-30' is not a day or a time"),
        ("2026-01-01", "2026-01-02", {"nodes": "n[1-"}, "is not a list of nodes"),
        ("2026-01-01", "2026-01-02", {"nodes": ""}, "is not a list of nodes"),
        ("2026-01-01", "2026-01-02", {"nodes": "n1,n3"}, "cluster fake has no node n3"),
        ("2026-01-01", "2026-01-02", {"cluster": "nosuch"}, "'nosuch' is not a cluster"),
    ],
)
def test_an_outage_that_cannot_have_been_is_refused(
    bank: Bank, start: str, end: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        outage_refunds.plan_refunds(bank, Outage(start, end, **options), dry_run=True)


def test_the_same_outage_again_and_a_longer_one_refund_only_the_rest(jobs: Jobs) -> None:
    jobs.ran("1")
    jobs.ran("2", start=START + SU)
    jobs.refund("1")
    assert jobs.window(START, START + 1)["refund_billing_seconds"] == 0
    assert jobs.window(START, START + SU + 1)["refund_billing_seconds"] == SU
    assert jobs.window(START, START + SU + 1)["refund_billing_seconds"] == 0
    assert jobs.used() == 0
    jobs.agrees()


def test_a_size_from_before_the_outage_does_not_count_for_the_later_one(jobs: Jobs) -> None:
    jobs.ran("7", state="RESIZING", seconds=100, tres="billing=2,cpu=2", counted=200)
    jobs.ran("7", counted=SU - 100)
    (one,) = jobs.window(START + 200, START + 300)["runs"]
    assert one["refund_billing_seconds"] == SU - 100
    jobs.agrees()


def test_accounts_that_the_bank_does_not_know_are_listed(jobs: Jobs, fake: FakeSlurm) -> None:
    stranger = fake.add_user("test1")
    jobs.ran("1", account="test1", association=stranger)
    jobs.ran("2")
    done = jobs.window(START, START + 1)
    assert [one["code"] for one in done["runs"]] == [None, "no_such_account"]
    assert done["refund_billing_seconds"] == SU


def test_a_rehearsed_outage_does_nothing(jobs: Jobs) -> None:
    # No pass has booked it yet.
    jobs.ran("1")
    done = jobs.window(START, START + 1, dry_run=True)
    assert (done["refund_billing_seconds"], done["is_dry_run"]) == (SU, True)
    assert jobs.used() == 0
    assert jobs.window(START, START + 1)["refund_billing_seconds"] == SU
