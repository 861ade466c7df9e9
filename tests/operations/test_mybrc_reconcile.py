"""What myBRC clients reported gives way to what sacct says: a run is never charged twice."""

from pathlib import Path
from typing import Any

import pytest

from bank.operations import comparison_with_slurm, mybrc_jobs, upkeep
from bank.operations.bank import Bank
from bank.operations.clusters import all_clusters
from bank.operations.mybrc_jobs import BEGIN, CHANGE, Telling
from bank.operations.reconciliation import look
from bank.policy import mybrc_fields
from bank.policy.mybrc_fields import Report, shown_time
from bank.settings import Settings
from bank.store import mybrc, read
from bank.store.connect import reading, writing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

NOW = 1_900_000_000
STARTED = NOW - SU - 30
ENDED = STARTED + SU
ZONE = 8 * SU


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    settings = Settings(str(tmp_path / "bank.db"), usage_source="jobs")
    before = Bank(settings, "ada", pytest.fail, lambda: (STARTED - 60) * 1_000_000)
    upkeep.migrate(before, dry_run=False)
    fake.add_user("proj")
    insert(before, "dept", 1000)
    insert(before, "proj", 1000)
    return before._replace(clock=lambda: NOW * 1_000_000)


def tell(bank: Bank, how: str, **fields: Any) -> None:  # noqa: ANN401
    times = {
        name: shown_time(value * 1_000_000)
        for name, value in fields.items()
        if name in ("startdate", "enddate")
    }
    body = {"jobslurmid": "17", "userid": "1000", "accountid": "proj", **fields, **times}
    report = mybrc_fields.read(body)
    assert isinstance(report, Report), report
    with writing(bank.database) as writer:
        (answer,) = mybrc_jobs.tell(bank, writer, [Telling(how, "fake", "ada", report)])
    assert isinstance(answer, mybrc_jobs.Taken)


def ran(fake: FakeSlurm) -> None:
    """Let sacct know a run of job 17 that took an hour on one CPU."""
    fake.sacct = (
        f"1|17|17|1000|ada|normal|normal|COMPLETED|{STARTED}|{ENDED}|00:00:00"
        "|billing=1,cpu=1,node=1|n1|proj\n"
    )


def reconcile(bank: Bank, later: int = 0) -> None:
    (cluster,) = all_clusters(bank)
    look(bank._replace(clock=lambda: (NOW + later) * 1_000_000), cluster)


def books(bank: Bank) -> tuple[int, int]:
    with reading(bank.database) as reader:
        standing = read.standing(reader, "proj")
    assert standing is not None
    assert upkeep.verify(bank) == []
    return standing.used, standing.set_aside


def test_the_exact_charge_takes_the_place_of_the_reported_one(bank: Bank, fake: FakeSlurm) -> None:
    tell(bank, BEGIN, startdate=STARTED, amount="5.00")
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.25")
    assert books(bank) == (SU * 5 // 4, 0)
    ran(fake)
    reconcile(bank)
    assert books(bank) == (SU, 0)
    # Told once more, and otherwise.
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.50")
    assert books(bank) == (SU, 0)


def test_what_nobody_can_price_stays_charged_as_it_was_reported(
    bank: Bank, fake: FakeSlurm
) -> None:
    tell(bank, BEGIN, startdate=STARTED, amount="5.00")
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.25")
    ran(fake)
    fake.sacct = fake.sacct.replace("|normal|normal|", "|gone|normal|", 1).replace("billing=1,", "")
    reconcile(bank)
    reconcile(bank, later=7200)
    assert books(bank) == (SU * 5 // 4, 0)


def test_a_job_whose_end_was_lost_is_charged_and_keeps_nothing(bank: Bank, fake: FakeSlurm) -> None:
    tell(bank, BEGIN, startdate=STARTED, amount="5.00")
    ran(fake)
    reconcile(bank)
    assert books(bank) == (SU, 0)
    with reading(bank.database) as reader:
        (row,) = mybrc.find_attempts(reader, "fake", "17")
    assert (row.told.jobstatus, row.told.enddate) == ("COMPLETED", ENDED * 1_000_000)
    assert row.amount == SU


def test_reports_that_come_late_book_nothing(bank: Bank, fake: FakeSlurm) -> None:
    ran(fake)
    reconcile(bank)
    tell(bank, BEGIN, startdate=STARTED, amount="5.00")
    assert books(bank) == (SU, 0)
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.25")
    assert books(bank) == (SU, 0)


@pytest.mark.parametrize("zone", [-ZONE, ZONE])
def test_a_script_that_takes_local_times_for_utc_charges_nothing_twice_for_long(
    bank: Bank, fake: FakeSlurm, zone: int
) -> None:
    ran(fake)
    reconcile(bank)
    tell(bank, CHANGE, startdate=STARTED + zone, enddate=ENDED + zone, amount="1.25")
    reconcile(bank, later=ZONE + SU)
    assert books(bank) == (SU, 0)


def test_what_slurmdbd_knows_nothing_of_is_not_charged_on_a_cluster_that_is_reconciled(
    bank: Bank,
) -> None:
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.25")
    assert books(bank) == (SU * 5 // 4, 0)
    reconcile(bank)
    assert books(bank) == (0, 0)


def test_what_is_charged_as_reported_is_told_as_that_beside_slurm(bank: Bank) -> None:
    tell(bank, CHANGE, startdate=STARTED, enddate=ENDED, amount="1.25")
    later = bank._replace(clock=lambda: (NOW + 10) * 1_000_000)
    found = comparison_with_slurm.compare(later, None, None)
    (row,) = found["rows"]
    assert [part["cause"] for part in row["causes"]] == ["charged as reported"]
    assert row["unexplained_billing_seconds"] == 0
