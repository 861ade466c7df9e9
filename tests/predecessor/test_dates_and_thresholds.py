"""Defects 12 to 21 of the predecessor: dates, and telling people.

docs/predecessor.md says what went wrong there.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slurm_bank
from bank.operations import dates, history, looking, movements
from bank.operations.bank import Bank
from bank.operations.commands import Command as Movement
from bank.operations.enforcement import enforce
from bank.store import notices
from bank.store.connect import reading
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm
from tests.frozen import NOON
from tests.operations.conftest import insert
from tests.predecessor.conftest import HELD, SU

DAY = 86_400_000_000
Row = Callable[[str], tuple[Any, ...]]


@pytest.fixture
def bank(bank: Bank) -> Bank:
    """The bank at noon."""
    return bank._replace(clock=lambda: NOON)


def later(bank: Bank, days: int, **settings: object) -> Bank:
    """Return the bank so many days after that, with CHECK_DATES and other settings."""
    changed = {"check_dates": True, **settings}
    return bank._replace(
        settings=bank.settings._replace(**changed),  # type: ignore[arg-type]
        clock=lambda: NOON + days * DAY,
    )


def test_12_percent_is_of_the_exact_use(bank: Bank, fake: FakeSlurm) -> None:
    insert(bank, "test1", 1)
    insert(bank, "dept", 0)
    movements.insert(bank, Movement("insert", "proj", None, force=True))
    fake.use(fake.add_user("test1"), SU // 2)
    enforce(bank)
    percent = {state["account"]: state["percent"] for state in looking.balance(bank, None)}
    # Of no limit and of nothing there is no percent, and so it is not called 0.
    assert percent == {"test1": 50, "dept": None, "proj": None}


def test_13_use_that_jumps_over_both_thresholds_reaches_both(
    bank: Bank, fake: FakeSlurm, sbank: Row
) -> None:
    insert(bank, "test1", 100)
    association = fake.add_user("test1")
    for used, flags in ((50, (0, 0, 0)), (45, (1, 1, 0))):
        fake.use(association, used * SU)
        enforce(bank)
        assert sbank("test1")[2:] == flags
    with reading(bank.database) as reader:
        told = [notice.event for notice in notices.find_unsent(reader)]
    assert told == ["lower_limit", "upper_limit"]


def test_14_flags_clear_when_the_percent_falls_and_the_next_crossing_is_told(
    bank: Bank, fake: FakeSlurm, sbank: Row
) -> None:
    insert(bank, "test1", 100)
    association = fake.add_user("test1")
    fake.use(association, 95 * SU)
    enforce(bank)
    assert sbank("test1")[2:] == (1, 1, 0)
    movements.add(bank, Movement("add", "test1", 100 * SU))
    assert sbank("test1")[2:] == (0, 0, 0)
    fake.use(association, 90 * SU)
    enforce(bank)
    assert sbank("test1")[2:] == (1, 1, 0)
    with reading(bank.database) as reader:
        crossings = [
            notice.crossing
            for notice in notices.find_unsent(reader)
            if notice.event == "upper_limit"
        ]
    assert crossings[-1] == 2


def test_15_a_threshold_is_logged_and_told_with_its_time(
    command: Command,
    fake: FakeSlurm,
    settings: Path,
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    program, told = settings.parent / "tell", settings.parent / "told"
    program.write_text(f"#!/bin/sh\ncat >>{told}\n")
    program.chmod(0o755)
    with settings.open("a", encoding="utf-8") as file:
        file.write(f"NOTIFY_COMMAND = '{program}'\n")
    command("insert", "test1", "100")
    fake.use(fake.add_user("test1"), 95 * SU)
    for _ in range(2):
        assert command("enforce").status == 0
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert {(event["account"], event["event"], event["percent"]) for event in events} == {
        ("test1", "lower_limit", 95),
        ("test1", "upper_limit", 95),
    }
    assert len(events) == 2
    assert all(event["at"].endswith("Z") for event in events)
    assert {"lower_limit", "upper_limit"} < {line["event"] for line in log()}


@pytest.fixture
def over(bank: Bank, fake: FakeSlurm) -> Bank:
    """The bank a year later: test1 had 100 SUs and used all, dept has no limit, proj nothing."""
    insert(bank, "test1", 100)
    movements.insert(bank, Movement("insert", "dept", None))
    insert(bank, "proj", 0)
    for name in ("test1", "dept"):
        fake.use(fake.add_user(name), 100 * SU)
    enforce(bank)
    assert fake.limits["test1"] == HELD
    # That periods were renewed is said, and is no fault.
    said: list[str] = []
    return later(bank, 366, on_end="renew")._replace(warn=said.append)


def test_16_a_renewed_account_is_told_of_every_threshold_again(
    over: Bank, fake: FakeSlurm, sbank: Row
) -> None:
    assert sbank("test1")[2:] == (1, 1, 1)
    enforce(over)
    assert sbank("test1")[2:] == (0, 0, 0)
    fake.use(min(fake.users), 60 * SU)
    enforce(over)
    assert sbank("test1")[2:] == (0, 1, 0)


def test_17_a_renewed_account_is_released(over: Bank, fake: FakeSlurm) -> None:
    enforce(over)
    assert fake.limits["test1"] == {}


def test_18_a_renewed_account_has_the_limit_that_it_had(over: Bank, sbank: Row) -> None:
    enforce(over)
    assert sbank("test1")[0] == 100


def test_19_renewing_leaves_the_record_of_unlimited_and_empty_accounts(
    over: Bank, fake: FakeSlurm, sbank: Row
) -> None:
    before = {name: history.history(over, name) for name in ("dept", "proj")}
    # What one pass wants of Slurm the next would do at the latest.
    for _ in range(2):
        enforce(over)
    assert (sbank("dept")[0], sbank("proj")[0]) == (-1, 0)
    for name, events in before.items():
        assert history.history(over, name)[: len(events)] == events
    assert [argv for argv in fake.calls if argv[-1] == "RawUsage=0"] == []
    # With nothing there is nothing to begin anew: it stays held.
    assert fake.limits["proj"] == HELD


def test_20_a_limit_can_be_corrected_without_touching_the_period(bank: Bank, sbank: Row) -> None:
    insert(bank, "test1", 1000)
    _, began, *_ = sbank("test1")
    tomorrow = later(bank, 1)
    movements.withdraw(tomorrow, Movement("withdraw", "test1", 900 * SU))
    movements.add(tomorrow, Movement("add", "test1", 10 * SU))
    assert sbank("test1")[:2] == (110, began)
    # modify does start it again, as people know it, and says so.
    movements.modify(tomorrow, Movement("modify", "test1", 120 * SU))
    assert sbank("test1")[:2] == (120, tomorrow.today())
    assert "set its limit, and start its period's clock again" in (slurm_bank.__doc__ or "")
    assert [event["kind"] for event in history.history(bank, "test1")].count("period") == 2


def test_21_the_end_of_a_period_is_told_once_on_any_day_within_three_months(bank: Bank) -> None:
    insert(bank, "test1", 10)
    insert(bank, "dept", 0)
    events, told = [], []
    # A period of 200 days has 90 left on the 110th, and nobody looked that day.
    for day in (109, 111, 112):
        on_that_day = later(bank, day, proposal_length_days=200)
        events += [
            dates.three_months(on_that_day, name, dry_run=False)["event"]
            for name in ("test1", "dept")
        ]
        with reading(bank.database) as reader:
            told.append([notice[:3] for notice in notices.find_unsent(reader)])
    assert events == [None, None, "period_ending", None, "period_ending", None]
    full = ("dept", "max_limit", 1)
    ending = ("test1", "period_ending", 1)
    assert [sorted(some) for some in told] == [[full], [full, ending], [full, ending]]
