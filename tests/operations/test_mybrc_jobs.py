"""Jobs as myBRC clients report them, and what the books hold for them, on a model of Slurm."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bank.errors import Refusal
from bank.operations import liens, looking, movements, mybrc_jobs, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.mybrc_jobs import BEGIN, BEGIN_WITHIN, CHANGE, Taken, Telling
from bank.policy import mybrc_fields
from bank.policy.mybrc_fields import Report
from bank.settings import Settings
from bank.store import job_charges, mybrc, proof
from bank.store import liens as stored
from bank.store.connect import reading, writing
from bank.store.job_charges import NOT_PRICED, JobCharge
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

CLUSTER = "fake"
# 12:00 to 13:00 on a day, and the next two hours.
START, END, AGAIN, LAST = (f"2027-01-31T{hour}:00:00Z" for hour in (12, 13, 14, 15))
ENDED_AT = 1801400400


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    """A bank that charges by jobs, with 100 SUs for dept and for proj below it."""
    bank = Bank(Settings(str(tmp_path / "bank.db"), usage_source="jobs"), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj", "ada")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return bank


def telling(how: str, job: str = "17", **fields: Any) -> Telling:  # noqa: ANN401
    body = {"jobslurmid": job, "userid": "1000", "accountid": "proj", **fields}
    report = mybrc_fields.read(body)
    assert isinstance(report, Report), report
    return Telling(how, CLUSTER, "ada", report)


def tell(bank: Bank, *items: Telling) -> Sequence[Any]:
    with writing(bank.database) as writer:
        return mybrc_jobs.tell(bank, writer, items)


def begin(bank: Bank, amount: str, job: str = "17", start: str = START) -> Any:  # noqa: ANN401
    fields = {"amount": amount, "startdate": start, "jobstatus": "RUNNING"}
    return tell(bank, telling(BEGIN, job, **fields))[0]


def end(bank: Bank, amount: str, **fields: Any) -> Any:  # noqa: ANN401
    said = {"amount": amount, "startdate": START, "enddate": END, "jobstatus": "COMPLETING"}
    return tell(bank, telling(CHANGE, **{**said, **fields}))[0]


def books(bank: Bank, name: str = "proj") -> tuple[str, str]:
    """Return what an account has used, and what is set aside."""
    (state,) = looking.balance(bank, name)
    return state["used_su"], state["set_aside_su"]


def entries(bank: Bank) -> list[tuple[str, str, int, str]]:
    with reading(bank.database) as reader:
        return reader.query(
            "SELECT kind, target, amount, reference FROM entry WHERE reference LIKE 'report %'"
            " ORDER BY seq"
        )


def attempts(bank: Bank, job: str = "17") -> list[Any]:
    with reading(bank.database) as reader:
        return mybrc.find_attempts(reader, CLUSTER, job)


def charge(job_id: int = 17, state: str = "TIMEOUT", priced_by: str = "tariff") -> JobCharge:
    """Return what a run of a job that ended at 13:00 was charged by what slurmdbd says."""
    whose = ("proj", "ada", "savio", "normal", state)
    times = (ENDED_AT - 3600, ENDED_AT, 3600)
    return JobCharge(
        job_id, 1, job_id, str(job_id), *whose, *times, "", "2", "1", priced_by, 7777, ENDED_AT
    )


def exact(bank: Bank, **more: Any) -> None:  # noqa: ANN401
    """Write down what was charged for the first run of a job, and take back what was reported."""
    with writing(bank.database) as writer:
        job_charges.write(writer, CLUSTER, [charge(**more)])
        mybrc_jobs.take_back(bank, writer, CLUSTER, [charge(**more)])


def test_a_job_that_runs_has_what_it_may_cost_set_aside_also_above(bank: Bank) -> None:
    taken = begin(bank, "20.00")
    assert isinstance(taken, Taken)
    assert books(bank) == ("0", "20")
    assert books(bank, "dept") == ("0", "20")
    assert entries(bank) == []


def test_its_end_charges_to_the_billing_second_and_sets_nothing_more_aside(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.01")
    assert books(bank) == ("7.01", "0")
    assert entries(bank) == [("charge", "used", 701 * 36, "report fake/17/1")]


def test_an_end_that_is_told_again_is_booked_once(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.00")
    assert end(bank, "7.00").is_repeat
    assert books(bank) == ("7", "0")
    assert len(entries(bank)) == 1


@pytest.mark.parametrize(("amount", "target"), [("9.50", "used"), ("2.25", "available")])
def test_another_cost_is_an_adjustment_of_the_difference(
    bank: Bank, amount: str, target: str
) -> None:
    end(bank, "7.00")
    end(bank, amount)
    used, _ = books(bank)
    assert float(used) == float(amount)
    assert [row[:2] for row in entries(bank)] == [("charge", "used"), ("adjustment", target)]


def test_a_job_whose_start_was_lost_is_charged_at_its_end(bank: Bank) -> None:
    end(bank, "7.00")
    assert books(bank) == ("7", "0")


def test_what_a_running_job_costs_may_overdraw_and_then_nothing_is_available(bank: Bank) -> None:
    begin(bank, "250.00")
    (state,) = looking.balance(bank, "proj")
    assert state["available_su"] == "-150"
    end(bank, "250.00")
    assert books(bank) == ("250", "0")


def test_a_job_that_must_be_payable_is_refused_with_the_numbers_and_leaves_nothing(
    bank: Bank,
) -> None:
    (refused,) = tell(bank, telling(BEGIN_WITHIN, amount="100.01", startdate=START))
    assert isinstance(refused, Refusal)
    assert refused.code == "insufficient_funds"
    assert "100.01 SUs; account proj has 100.0 available" in str(refused)
    assert attempts(bank) == []
    assert books(bank) == ("0", "0")


def test_of_twenty_that_must_be_payable_as_many_are_taken_as_can_be_paid(bank: Bank) -> None:
    items = [telling(BEGIN_WITHIN, str(job), amount="14.00") for job in range(1, 21)]
    answers = tell(bank, *items)
    assert sum(isinstance(one, Taken) for one in answers) == 7
    assert books(bank) == ("0", "98")


def test_a_job_is_begun_once(bank: Bank) -> None:
    begin(bank, "20.00")
    for again in (begin(bank, "20.00"), begin(bank, "30.00")):
        assert isinstance(again, Refusal)
        assert again.code == "job_exists"
    assert books(bank) == ("0", "20")
    assert len(attempts(bank)) == 1


def test_a_start_that_comes_after_the_end_is_known_already(bank: Bank) -> None:
    end(bank, "7.00")
    assert isinstance(begin(bank, "20.00"), Refusal)
    assert books(bank) == ("7", "0")


def test_each_run_of_a_job_that_is_requeued_is_charged(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.00")
    assert isinstance(begin(bank, "20.00", start=AGAIN), Taken)
    assert books(bank) == ("7", "20")
    end(bank, "5.00", startdate=AGAIN, enddate=LAST)
    assert books(bank) == ("12", "0")
    assert [row.amount for row in attempts(bank)] == [7 * SU, 5 * SU]
    assert [row[3] for row in entries(bank)] == ["report fake/17/1", "report fake/17/2"]


def test_a_run_whose_start_was_lost_too_is_another_run(bank: Bank) -> None:
    end(bank, "7.00")
    end(bank, "5.00", startdate=AGAIN, enddate=LAST)
    assert books(bank) == ("12", "0")


def test_a_job_that_has_begun_again_has_one_lien_though_nobody_told_its_first_end(
    bank: Bank,
) -> None:
    begin(bank, "20.00")
    begin(bank, "30.00", start=AGAIN)
    assert books(bank) == ("0", "30")
    first, _ = attempts(bank)
    assert (first.amount, first.told.jobstatus) == (0, "REQUEUED")
    # What is told late of the first run is charged, and takes nothing from the second.
    end(bank, "7.00")
    assert books(bank) == ("7", "30")


def test_an_end_with_another_start_is_that_of_the_job_that_runs(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.00", startdate="2027-01-31T04:00:00Z", enddate="2027-01-31T05:00:00Z")
    assert books(bank) == ("7", "0")
    assert len(attempts(bank)) == 1


def test_an_estimate_that_changes_changes_what_is_set_aside(bank: Bank) -> None:
    begin(bank, "20.00")
    tell(bank, telling(CHANGE, amount="35.00", startdate=START))
    assert books(bank) == ("0", "35")
    with reading(bank.database) as reader:
        assert len(stored.find_open(reader)) == 1


def test_an_end_without_an_amount_charges_what_was_estimated(bank: Bank) -> None:
    begin(bank, "20.00")
    tell(bank, telling(CHANGE, enddate=END))
    assert books(bank) == ("20", "0")


def test_what_is_not_said_stays_and_nodes_are_added(bank: Bank) -> None:
    fields: dict[str, Any] = {
        "partition": "savio",
        "qos": "normal",
        "nodes": [{"name": "n1"}],
        "num_cpus": 4,
    }
    tell(bank, telling(BEGIN, startdate=START, **fields))
    end(bank, "1.00", nodes=[{"name": "n2"}, {"name": "n1"}, {"name": ""}], qos=None)
    (row,) = attempts(bank)
    assert row.told.nodes == ("n1", "n2")
    assert (row.told.partition, row.told.qos, row.told.num_cpus) == ("savio", "normal", 4)


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"userid": "1001"}, "other_user"), ({"accountid": "dept"}, "other_account")],
)
def test_a_job_stays_that_of_its_user_and_account(
    bank: Bank, fields: dict[str, str], code: str
) -> None:
    begin(bank, "20.00")
    refused = end(bank, "7.00", **fields)
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert books(bank) == ("0", "20")


def test_what_a_closed_period_has_settled_is_not_given_back(bank: Bank) -> None:
    end(bank, "7.00")
    movements.reset_usage(bank, Command("reset_usage", "proj"))
    end(bank, "2.00")
    assert books(bank) == ("0", "0")
    assert end(bank, "2.00").is_repeat


def test_the_lien_that_a_hook_has_placed_is_not_placed_again(bank: Bank) -> None:
    with writing(bank.database) as writer:
        one = liens.Wanted(CLUSTER, "proj", "ada", "t", 12 * SU, job_id=17)
        liens.place(bank, writer, [one])
    begin(bank, "20.00")
    assert books(bank) == ("0", "12")
    end(bank, "7.00")
    assert books(bank) == ("7", "0")


def test_an_account_that_is_not_the_banks_has_a_row_and_no_entry(bank: Bank) -> None:
    tell(bank, telling(BEGIN, accountid="theirs", amount="5.00", startdate=START))
    end(bank, "5.00", accountid="theirs")
    (row,) = attempts(bank)
    assert (row.amount, row.charged) == (5 * SU, 0)
    assert entries(bank) == []


def test_an_account_that_no_pass_has_seen_on_the_cluster_is_charged_there(bank: Bank) -> None:
    with writing(bank.database) as writer:
        writer.execute("DELETE FROM place WHERE parent_id IS NOT NULL", [{}])
    end(bank, "7.00")
    assert books(bank) == ("7", "0")
    assert _problems(bank) == []


def test_where_meters_charge_reports_are_kept_and_nothing_is_booked(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    bank = Bank(Settings(str(tmp_path / "meters.db")), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj", "ada")
    insert(bank, "proj", 100)
    begin(bank, "20.00")
    end(bank, "7.00")
    assert books(bank) == ("0", "0")
    assert attempts(bank)[0].amount == 7 * SU


def test_what_slurmdbd_says_takes_the_place_of_what_was_reported(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.00")
    exact(bank)
    assert books(bank) == ("0", "0")
    end(bank, "9.00")
    assert books(bank) == ("0", "0")
    (row,) = attempts(bank)
    assert (row.amount, row.charged) == (9 * SU, 0)


def test_a_run_without_a_start_that_is_charged_exactly_is_not_charged_again(bank: Bank) -> None:
    tell(bank, telling(CHANGE, amount="7.00", enddate=END))
    exact(bank)
    tell(bank, telling(CHANGE, amount="8.00", enddate=END))
    assert books(bank) == ("0", "0")


def test_a_job_whose_end_was_never_reported_gets_it_from_slurmdbd(bank: Bank) -> None:
    begin(bank, "20.00")
    exact(bank)
    assert books(bank) == ("0", "0")
    (row,) = attempts(bank)
    assert row.told.enddate == ENDED_AT * 1_000_000
    assert (row.told.jobstatus, row.amount) == ("TIMEOUT", 7776)


@pytest.mark.parametrize(
    "more", [{"state": "RESIZING"}, {"state": "RUNNING"}, {"priced_by": NOT_PRICED}]
)
def test_of_a_job_that_goes_on_or_has_no_price_nothing_is_taken_back(
    bank: Bank, more: dict[str, str]
) -> None:
    begin(bank, "20.00")
    exact(bank, **more)
    assert books(bank) == ("0", "20")
    end(bank, "7.00")
    assert books(bank) == ("7", "0")


def test_a_report_that_comes_after_the_exact_charge_books_nothing(bank: Bank) -> None:
    exact(bank)
    begin(bank, "20.00", job="17")
    assert books(bank) == ("0", "0")
    end(bank, "7.00")
    assert books(bank) == ("0", "0")


def test_the_run_after_the_one_that_is_charged_exactly_goes_on(bank: Bank) -> None:
    begin(bank, "20.00")
    end(bank, "7.00")
    begin(bank, "30.00", start=AGAIN)
    exact(bank)
    assert books(bank) == ("0", "30")
    end(bank, "5.00", startdate=AGAIN, enddate=LAST)
    assert books(bank) == ("5", "0")


def test_nothing_stays_charged_by_reports_once_all_of_that_time_is_reconciled(bank: Bank) -> None:
    end(bank, "7.00")
    with writing(bank.database) as writer:
        mybrc_jobs.take_back_until(bank, writer, CLUSTER, ENDED_AT - 1)
    assert books(bank) == ("7", "0")
    with writing(bank.database) as writer:
        mybrc_jobs.take_back_until(bank, writer, CLUSTER, ENDED_AT)
    assert books(bank) == ("0", "0")


def test_an_end_before_the_time_that_is_reconciled_books_nothing(bank: Bank) -> None:
    with writing(bank.database) as writer:
        writer.execute("UPDATE cluster SET reconciled_until = :at", [{"at": ENDED_AT}])
    end(bank, "7.00")
    assert books(bank) == ("0", "0")
    assert attempts(bank)[0].amount == 7 * SU


def test_an_id_of_an_array_task_is_a_job_like_any_other(bank: Bank) -> None:
    begin(bank, "20.00", job="12345678_7")
    assert books(bank) == ("0", "20")
    end(bank, "7.00", job="12345678_7")
    assert books(bank) == ("7", "0")


def test_verify_agrees_after_all_of_it(bank: Bank) -> None:
    end(bank, "3.00", job="19")
    movements.reset_usage(bank, Command("reset_usage", "proj"))
    end(bank, "1.00", job="19")
    begin(bank, "20.00")
    end(bank, "7.00")
    end(bank, "5.00")
    begin(bank, "30.00", start=AGAIN)
    begin(bank, "1.00", job="18")
    end(bank, "1.00", job="20")
    with writing(bank.database) as writer:
        mybrc_jobs.take_back(bank, writer, CLUSTER, [charge(18), charge(20)])
    assert _problems(bank) == []


@pytest.mark.parametrize("amount", [7 * SU - 1, 7 * SU + 1])
def test_verify_finds_a_row_that_its_entries_do_not_fit(bank: Bank, amount: int) -> None:
    end(bank, "7.00")
    with writing(bank.database) as writer:
        writer.execute("UPDATE mybrc_job SET charged = :amount", [{"amount": amount}])
    (problem,) = _problems(bank)
    assert "report fake/17/1" in problem


def _problems(bank: Bank) -> list[str]:
    with reading(bank.database) as reader:
        return list(proof.problems(reader, bank.database))
