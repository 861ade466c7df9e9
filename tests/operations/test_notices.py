"""Notices: what comes about is on record once, and the flags that others read agree. On a model."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bank.errors import SlurmError
from bank.operations import applying, enforcement, movements, upkeep
from bank.operations import notices as operations_notices
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import plan_repopulate
from bank.operations.dumps import write
from bank.operations.enforcement import enforce
from bank.policy.dumps import json_text
from bank.store import connect
from bank.store.connect import reading
from bank.store.notices import find_unsent
from tests.fake_slurm import FakeSlurm
from tests.frozen import from_noon
from tests.operations.conftest import SU, insert

LOWER, UPPER, FULL = "lower_limit", "upper_limit", "max_limit"


@pytest.fixture
def bank(bank: Bank) -> Bank:
    """The bank, of which no test ends on another day."""
    return bank._replace(clock=from_noon())


@pytest.fixture(autouse=True)
def flags_agree_in_the_end(bank: Bank) -> Iterator[None]:
    """Whatever a test has done, the proof holds."""
    yield
    assert upkeep.verify(bank) == []


def rows(bank: Bank, name: str = "test1") -> list[tuple[str, int, bool]]:
    """Return event, crossing and whether it is still so, of all that came about."""
    with reading(bank.database) as reader:
        found = reader.query(
            "SELECT event, crossing, cleared_at IS NULL FROM notice WHERE account = :name"
            " ORDER BY raised_at, event, crossing",
            name=name,
        )
    return [(event, crossing, bool(is_open)) for event, crossing, is_open in found]


def flags(bank: Bank, name: str = "test1") -> str:
    """Return the flags as db_print.sh prints them: upper, lower, max."""
    with reading(bank.database) as reader:
        found = reader.query(
            "SELECT upper_limit_informed, lower_limit_informed, max_limit_informed FROM sbank"
            " WHERE account = :name",
            name=name,
        )
    return "|".join(map(str, found[0])) if found else ""


def no_answer(*_: object, **__: object) -> None:
    raise SlurmError("no answer")


@pytest.fixture
def meter(bank: Bank, fake: FakeSlurm) -> int:
    """The meter of test1, which has 100 SUs and has used nothing."""
    association = fake.add_user("test1")
    insert(bank, "test1", 100)
    return association


def test_each_threshold_comes_about_once_on_the_way_up(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    seen = []
    for _ in range(11):
        fake.use(meter, 10 * SU)
        enforce(bank)
        enforce(bank)
        seen.append(flags(bank))
    assert seen == [*["0|0|0"] * 5, *["0|1|0"] * 3, "1|1|0", *["1|1|1"] * 2]
    assert rows(bank) == [(LOWER, 1, True), (UPPER, 1, True), (FULL, 1, True)]


def test_a_jump_over_several_brings_about_all_of_them(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    fake.use(meter, 50 * SU)
    enforce(bank)
    fake.use(meter, 45 * SU)
    enforce(bank)
    assert flags(bank) == "1|1|0"
    assert sorted(rows(bank)) == [(LOWER, 1, True), (UPPER, 1, True)]


def test_a_fall_clears_and_the_next_rise_comes_about_again(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank)
    movements.add(bank, Command("add", "test1", 50 * SU))
    assert flags(bank) == "0|1|0"
    movements.add(bank, Command("add", "test1", 850 * SU))
    assert flags(bank) == "0|0|0"
    fake.use(meter, 505 * SU)
    enforce(bank)
    assert flags(bank) == "0|1|0"
    assert rows(bank) == [(LOWER, 1, False), (UPPER, 1, False), (LOWER, 2, True)]


def test_a_withdrawal_may_bring_about_what_use_did_not(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    fake.use(meter, 50 * SU)
    movements.withdraw(bank, Command("withdraw", "test1", 50 * SU))
    assert flags(bank) == "1|1|1"


@pytest.mark.parametrize(("su", "expected"), [(0, "0|0|1"), (None, "0|0|0")])
def test_nothing_is_full_and_no_limit_is_never_reached(
    bank: Bank, fake: FakeSlurm, su: int | None, expected: str
) -> None:
    association = fake.add_user("test1")
    movements.insert(bank, Command("insert", "test1", None if su is None else su * SU))
    assert flags(bank) == expected
    fake.use(association, 10 * SU)
    enforce(bank)
    assert flags(bank) == expected


def test_an_account_made_unlimited_has_reached_nothing(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank)
    movements.modify(bank, Command("modify", "test1", None))
    assert flags(bank) == "0|0|0"
    movements.modify(bank, Command("modify", "test1", 100 * SU))
    assert flags(bank) == "1|1|0"


def test_a_new_period_clears(bank: Bank, fake: FakeSlurm, meter: int) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank)
    movements.reset_usage(bank, Command("reset_usage", "test1"))
    assert flags(bank) == "0|0|0"
    fake.use(meter, 61 * SU)
    enforce(bank)
    assert flags(bank) == "0|1|0"


@pytest.mark.parametrize("is_slurm_there", [True, False])
def test_flags_do_not_come_back_from_the_dead(
    bank: Bank, fake: FakeSlurm, meter: int, monkeypatch: pytest.MonkeyPatch, is_slurm_there: bool
) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank)
    quiet = bank._replace(warn=print)
    with monkeypatch.context() as patch:
        if not is_slurm_there:
            patch.setattr(enforcement, "run_pass", no_answer)
        movements.delete(quiet, Command("delete", "test1", force=True))
        assert upkeep.verify(bank) == []
        assert flags(bank) == ""
        # Nor is anybody told of what is closed.
        assert [is_open for *_, is_open in rows(bank)] == [False, False]
        movements.insert(quiet, Command("insert", "test1", 1000 * SU))
        assert flags(bank) == "0|0|0"
        assert upkeep.verify(bank) == []
    enforce(bank)
    assert flags(bank) == "0|0|0"
    assert [is_open for *_, is_open in rows(bank)] == [False, False]


def test_use_of_a_child_counts_for_its_parent(bank: Bank, fake: FakeSlurm, proj: int) -> None:
    movements.add(bank, Command("add", "proj", 900 * SU, force=True))
    fake.use(proj, 91 * SU)
    enforce(bank)
    assert (flags(bank, "dept"), flags(bank, "proj")) == ("1|1|0", "0|0|0")


def test_a_pass_for_one_account_minds_that_one_alone(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    fake.use(proj, 95 * SU)
    enforce(bank, only="proj")
    assert (flags(bank, "dept"), flags(bank, "proj")) == ("0|0|0", "1|1|0")
    movements.add(bank, Command("add", "dept", 900 * SU))
    enforce(bank)
    assert (flags(bank, "dept"), flags(bank, "proj")) == ("0|0|0", "1|1|0")


def impatient(bank: Bank) -> Bank:
    """Return a bank that leaves Slurm to the next pass while another is running."""
    settings = bank.settings._replace(slurm_timeout_seconds=0)
    return bank._replace(settings=settings, warn=print)


@contextmanager
def during_a_pass(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> Iterator[None]:
    """Let something be changed after a pass has looked at the books, and before it says so."""
    record = operations_notices.record_thresholds

    def late(*given: Any) -> None:  # noqa: ANN401
        patch.undo()
        change()
        record(*given)

    with monkeypatch.context() as patch:
        patch.setattr(operations_notices, "record_thresholds", late)
        yield


def test_what_was_changed_during_a_pass_has_not_come_about(
    bank: Bank, fake: FakeSlurm, meter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.use(meter, 100 * SU)
    busy = impatient(bank)
    modify = partial(movements.modify, busy, Command("modify", "test1", 1000 * SU))
    with during_a_pass(monkeypatch, modify):
        enforce(busy)
    assert rows(bank) == []


def test_what_was_told_during_a_pass_is_not_told_again(
    bank: Bank, fake: FakeSlurm, meter: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.use(meter, 50 * SU)
    enforce(bank)
    path = str(tmp_path / "dump")
    told = ("test1", 50, bank.today(), True, True, True)
    write(path, json_text([(1, *told)]))
    busy = impatient(bank)
    plan = plan_repopulate(busy, "repopulate_json", path, reason="")
    with during_a_pass(monkeypatch, lambda: applying.apply(busy, plan, dry_run=False)):
        enforce(busy)
    assert flags(bank) == "1|1|1"
    with reading(bank.database) as reader:
        assert find_unsent(reader) == []


def test_a_dry_run_brings_nothing_about(bank: Bank, fake: FakeSlurm, meter: int) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank, dry_run=True)
    assert rows(bank) == []


def test_other_percents_count_from_the_next_pass(bank: Bank, fake: FakeSlurm, meter: int) -> None:
    fake.use(meter, 50 * SU)
    enforce(bank)
    lower = bank._replace(settings=bank.settings._replace(lower_limit_percent=50))
    enforce(lower)
    assert flags(bank) == "0|1|0"
    enforce(bank)
    assert flags(bank) == "0|0|0"


def test_what_is_on_record_says_what_came_about(bank: Bank, fake: FakeSlurm, meter: int) -> None:
    fake.use(meter, 95 * SU + 1800)
    enforce(bank)
    with reading(bank.database) as reader:
        ((content,),) = reader.query("SELECT content FROM notice WHERE event = 'lower_limit'")
    assert json.loads(content) == {"limit_su": "100", "used_su": "95.5", "percent": 95}


def test_a_restore_keeps_what_people_were_told(
    bank: Bank, fake: FakeSlurm, meter: int, tmp_path: object
) -> None:
    fake.use(meter, 61 * SU)
    enforce(bank)
    copy = f"{tmp_path}/copy.db"
    upkeep.backup(bank, copy)
    fake.use(meter, 30 * SU)
    enforce(bank)
    with closing(connect._connected(bank.database, "rw")) as connection:
        connection.execute("UPDATE notice SET sent_at = 1")
    upkeep.restore(bank, copy, dry_run=False)
    assert flags(bank) == "1|1|0"
    assert upkeep.verify(bank) == []
    enforce(bank)
    with reading(bank.database) as reader:
        told = reader.query("SELECT event, sent_at FROM notice ORDER BY event")
    assert told == [(LOWER, 1), (UPPER, 1)]


def test_an_account_that_a_restore_takes_away_has_reached_nothing(
    bank: Bank, fake: FakeSlurm, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = f"{tmp_path}/copy.db"
    insert(bank, "dept", 10)
    upkeep.backup(bank, copy)
    fake.use(fake.add_user("test1"), 95 * SU)
    insert(bank, "test1", 100)
    assert flags(bank) == "1|1|0"
    upkeep.restore(bank, copy, dry_run=False)
    assert upkeep.verify(bank) == []
    with monkeypatch.context() as patch:
        patch.setattr(enforcement, "run_pass", no_answer)
        movements.insert(bank._replace(warn=print), Command("insert", "test1", 1000 * SU))
    assert flags(bank) == "0|0|0"


def test_a_flag_that_somebody_wrote_is_found(bank: Bank, meter: int) -> None:
    assert meter
    for flag, expected in ((1, "upper_limit_informed of test1 is 1"), (0, None)):
        with closing(connect._connected(bank.database, "rw")) as connection:
            connection.execute("UPDATE sbank SET upper_limit_informed = ?", (flag,))
        found = upkeep.verify(bank)
        assert (expected in found[0]) if expected else not found


@pytest.mark.parametrize(
    "damage", ["UPDATE sbank SET upper_limit_informed = 0", "DELETE FROM sbank"]
)
def test_the_next_change_of_an_account_puts_its_row_right(
    bank: Bank, fake: FakeSlurm, meter: int, damage: str
) -> None:
    fake.use(meter, 95 * SU)
    enforce(bank)
    with closing(connect._connected(bank.database, "rw")) as connection:
        connection.execute(damage)
    assert upkeep.verify(bank) != []
    movements.add(bank, Command("add", "test1", SU))
    assert flags(bank) == "1|1|0"
