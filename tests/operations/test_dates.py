"""Dates: what passes do about periods that end, on the days and hours when they come. On a model.

Every period here has 365 days after its first one, unless said otherwise.
"""

import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bank.errors import Refusal
from bank.operations import dates, movements, periods, releases, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import Outcome, run_pass
from bank.store import accounts, connect, read
from bank.store.connect import Writer, reading, writing
from bank.store.read import Standing
from tests.fake_slurm import FakeSlurm
from tests.frozen import frozen
from tests.operations.conftest import SU

pytestmark = pytest.mark.usefixtures("in_utc")

HELD = {"GrpTRESMins=cpu": 0}
# Of a period that begins on the first of January 2026.
BEGAN, LAST_DAY, DAY_AFTER = "2026-01-01", "2027-01-01", "2027-01-02"
ZONES = {
    # The days of 23 and of 25 hours.
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
}


def settled(bank: Bank, **settings: object) -> Bank:
    """Return the bank after an admin has changed its settings."""
    return bank._replace(settings=bank.settings._replace(**settings))  # type: ignore[arg-type]


@pytest.fixture
def dated(bank: Bank) -> Bank:
    """A bank that looks at the ends of periods, and must warn of nothing else."""

    def hear(text: str) -> None:
        assert text.startswith("periods that are over"), text

    return settled(bank._replace(warn=hear), check_dates=True)


def insert(bank: Bank, name: str, su: int | None, *, day: str = BEGAN) -> None:
    with frozen(f"{day}T12:00:00"):
        movements.insert(bank, Command("insert", name, None if su is None else su * SU))


def do(bank: Bank, day: str, verb: str, name: str = "test1", su: int | None = None) -> Any:  # noqa: ANN401
    amount = None if su is None else su * SU
    with frozen(f"{day}T12:00:00"):
        return getattr(movements, verb)(bank, Command(verb, name, amount, force=verb == "delete"))


def enforce(bank: Bank, day: str, at: str = "12:00", **options: Any) -> Outcome:  # noqa: ANN401
    with frozen(f"{day}T{at}:00"):
        return run_pass(bank, **options)


def standing(bank: Bank, name: str = "test1") -> Standing:
    with reading(bank.database) as reader:
        found = read.standing(reader, name)
    assert found is not None
    return found


def began(bank: Bank, name: str = "test1") -> str | None:
    return standing(bank, name).account.period_started_on


def kinds(bank: Bank, name: str = "test1") -> list[str]:
    with reading(bank.database) as reader:
        account = accounts.find(reader, name)
        assert account is not None
        return [event.kind for event in read.history(reader, account)]


def renewals(bank: Bank, name: str = "test1") -> int:
    """Return how often a period followed another, each with its one grant."""
    found = kinds(bank, name)
    assert found.count("grant_id changed") == found.count("period_started_on changed")
    return found.count("period_started_on changed") - 1


def raised(bank: Bank) -> list[tuple[str, str, int]]:
    with reading(bank.database) as reader:
        return reader.query("SELECT account, event, crossing FROM notice ORDER BY raised_at, event")


def flags(bank: Bank) -> tuple[int, ...]:
    with reading(bank.database) as reader:
        rows = reader.query(
            "SELECT upper_limit_informed, lower_limit_informed, max_limit_informed FROM sbank"
        )
    return tuple(rows[0])


# -- each ON_END -----------------------------------------------------------------------------


def test_report_says_it_and_changes_nothing(dated: Bank, fake: FakeSlurm) -> None:
    insert(dated, "test1", 10)
    assert enforce(dated, LAST_DAY).notes == []
    for day in (DAY_AFTER, "2027-01-03"):
        said = "periods that are over (reported): test1 on 2027-01-01"
        assert enforce(dated, day).notes == [said]
    assert fake.limits["test1"] == {}
    assert began(dated) == BEGAN


def test_hold_holds_from_the_day_after_the_last_one(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    enforce(bank, LAST_DAY)
    assert fake.limits["test1"] == {}
    outcome = enforce(bank, DAY_AFTER)
    assert outcome.passes[0].held_now == ["test1"]
    assert fake.limits["test1"] == HELD
    assert outcome.notes == [
        "periods that are over (held until a new one is started): test1 on 2027-01-01"
    ]
    enforce(bank, "2027-02-01")
    assert kinds(bank).count("hold_reason changed") == 1
    assert upkeep.verify(bank) == []


def test_renew_begins_the_next_period_with_the_same_limit(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="renew")
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, 4 * SU)
    do(bank, "2026-06-01", "add", su=5)
    enforce(bank, LAST_DAY)
    assert standing(bank).used == 4 * SU
    # What it used after its end and before the pass is the old period's.
    fake.use(association, 3 * SU)
    outcome = enforce(bank, DAY_AFTER)
    assert outcome.notes == ["new periods were started for test1"]
    assert (standing(bank).limit, standing(bank).used) == (15 * SU, 0)
    assert began(bank) == DAY_AFTER
    # RawUsage is a meter and goes on.
    assert fake.raw("test1") == 7 * SU
    fake.use(association, SU)
    assert enforce(bank, DAY_AFTER).notes == []
    assert standing(bank).used == SU
    assert renewals(bank) == 1
    assert upkeep.verify(bank) == []


def test_renew_releases_who_had_nothing_left(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="renew")
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, 12 * SU)
    enforce(bank, LAST_DAY)
    assert fake.limits["test1"] == HELD
    assert flags(bank) == (1, 1, 1)
    assert enforce(bank, DAY_AFTER).passes[0].released == ["test1"]
    assert fake.limits["test1"] == {}
    assert standing(bank).left == 10 * SU
    # So that people are told again in the next period.
    assert flags(bank) == (0, 0, 0)


@pytest.mark.parametrize(
    ("late_days", "begins"), [(1, "2027-01-02"), (40, "2027-01-02"), (800, "2029-01-03")]
)
def test_a_pass_that_comes_late_keeps_the_calendar(
    dated: Bank, fake: FakeSlurm, late_days: int, begins: str
) -> None:
    del fake
    bank = settled(dated, on_end="renew")
    insert(bank, "test1", 10)
    day = (datetime.fromisoformat(DAY_AFTER) + timedelta(days=late_days)).date().isoformat()
    enforce(bank, day)
    enforce(bank, day)
    assert began(bank) == begins
    assert renewals(bank) == 1
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize("late_days", [0, 1, 40, 800])
def test_an_end_is_told_once_however_late(dated: Bank, fake: FakeSlurm, late_days: int) -> None:
    del fake
    insert(dated, "test1", 10)
    day = datetime.fromisoformat(DAY_AFTER) + timedelta(days=late_days)
    for _ in range(3):
        enforce(dated, day.date().isoformat())
        day += timedelta(days=1)
    assert raised(dated) == [("test1", "period_ended", 1)]


@pytest.mark.parametrize("started_on", ["2023-02-28", "2023-03-01", "2024-02-28", "2024-02-29"])
def test_a_period_over_a_leap_day_has_as_many_days_as_others(
    dated: Bank, fake: FakeSlurm, started_on: str
) -> None:
    del fake
    bank = settled(dated, on_end="renew")
    insert(bank, "test1", 10, day=started_on)
    first = datetime.fromisoformat(started_on)
    for days in range(360, 370):
        enforce(bank, (first + timedelta(days=days)).date().isoformat())
        expected = first + timedelta(days=366 if days >= 366 else 0)
        assert began(bank) == expected.date().isoformat(), days


# -- hours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day"), [(zone, day) for zone, days in ZONES.items() for day in days]
)
@pytest.mark.parametrize("on_end", ["hold", "renew"])
def test_days_of_23_and_25_hours(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, zone: str, day: str, on_end: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    bank = settled(dated, on_end=on_end, proposal_length_days=30)
    last_day = datetime.fromisoformat(day)
    started_on = (last_day - timedelta(days=30)).date().isoformat()
    insert(bank, "test1", 10, day=started_on)
    assert began(bank) == started_on
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    after = (last_day + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    hours = (after.timestamp() - midnight.timestamp()) / 3600
    assert hours in (23, 25)
    # Twice an hour around its beginning, when the clock is changed, and around its end.
    for half_hours in (*range(-3, 10), *range(43, 54)):
        instant = midnight.timestamp() + half_hours * 1800
        with frozen(datetime.fromtimestamp(instant, ZoneInfo("UTC"))):
            run_pass(bank)
        is_over = instant >= after.timestamp()
        if on_end == "hold":
            assert (fake.limits["test1"] == HELD) is is_over, half_hours
        else:
            assert (began(bank) != started_on) is is_over, half_hours
    changed = "hold_reason changed" if on_end == "hold" else "period_started_on changed"
    assert kinds(bank).count(changed) == (1 if on_end == "hold" else 2)
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize("at", ["23:30", "00:30", "02:30"])
@pytest.mark.parametrize("zone", ZONES)
def test_one_pass_a_day_at_an_awkward_hour(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, zone: str, at: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    bank = settled(dated, on_end="renew", proposal_length_days=9)
    insert(bank, "test1", 10, day="2026-03-01")
    del fake
    # Around the days of 23 and of 25 hours, and once after months without a pass.
    numbers = [*range(1, 33), *range(232, 250)]
    for days in numbers:
        day = datetime.fromisoformat("2026-03-01") + timedelta(days=days)
        local = datetime.fromisoformat(f"{day.date()}T{at}").replace(tzinfo=ZoneInfo(zone))
        # At an hour that does not exist cron runs an hour later.
        with frozen(local.astimezone(ZoneInfo("UTC"))):
            run_pass(bank)
        expected = datetime.fromisoformat("2026-03-01") + timedelta(days=days // 10 * 10)
        assert began(bank) == expected.date().isoformat(), day
    assert renewals(bank) == len({days // 10 for days in numbers} - {0})


def test_the_day_is_that_of_the_place_and_not_of_utc(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    # freezegun is given UTC: in New York it is five hours earlier.
    enforce(bank, DAY_AFTER, "04:59")
    assert fake.limits["test1"] == {}
    enforce(bank, DAY_AFTER, "05:00")
    assert fake.limits["test1"] == HELD


def test_a_clock_set_back_over_midnight_tells_no_end_twice(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    enforce(bank, DAY_AFTER, "00:10")
    enforce(bank, LAST_DAY, "23:50")
    assert fake.limits["test1"] == {}
    enforce(bank, DAY_AFTER, "00:20")
    assert fake.limits["test1"] == HELD
    ended = [row for row in raised(bank) if row[1] == "period_ended"]
    assert ended == [("test1", "period_ended", 1)]
    assert upkeep.verify(bank) == []


# -- changed settings, dry runs, one account ---------------------------------------------------


def test_settings_changed_between_two_passes(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    for settings, is_held in (
        ({"on_end": "hold"}, True),
        # What is held stays held where nobody looks at dates any more.
        ({"on_end": "hold", "check_dates": False}, True),
        ({"on_end": "report", "check_dates": False}, False),
        ({"on_end": "hold", "check_dates": False}, False),
        ({"on_end": "report", "check_dates": True}, False),
        ({"on_end": "hold", "check_dates": True}, True),
        # The period is longer: it is not over any more.
        ({"on_end": "hold", "proposal_length_days": 400}, False),
        ({"on_end": "hold"}, True),
        ({"on_end": "renew"}, False),
    ):
        enforce(settled(bank, **settings), DAY_AFTER)
        assert (fake.limits["test1"] == HELD) is is_held, settings
    assert began(bank) == DAY_AFTER
    assert upkeep.verify(bank) == []


def test_the_reason_of_a_hold_follows_the_length(dated: Bank, fake: FakeSlurm) -> None:
    del fake
    bank = settled(dated, on_end="hold", proposal_length_days=100)
    insert(bank, "test1", 10)
    enforce(bank, DAY_AFTER)
    enforce(settled(bank, proposal_length_days=200), DAY_AFTER)
    assert standing(bank).account.hold_reason == "its period ended on 2026-07-20"


@pytest.mark.parametrize("on_end", ["report", "hold", "renew"])
def test_a_dry_run_says_what_the_pass_then_does(
    dated: Bank, fake: FakeSlurm, tmp_path: Path, on_end: str
) -> None:
    bank = settled(dated, on_end=on_end)
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    insert(bank, "proj", 10)
    fake.use(association, 12 * SU)
    enforce(bank, LAST_DAY)
    before = dump(bank)
    rehearsed = enforce(bank, DAY_AFTER, dry_run=True)
    assert dump(bank) == before
    done = enforce(bank, DAY_AFTER)
    assert rehearsed.notes == [note.replace("were", "would be") for note in done.notes]
    for field in ("held_now", "released", "held"):
        assert getattr(rehearsed.passes[0], field) == getattr(done.passes[0], field), field
    assert list(tmp_path.glob("*lock"))


def dump(bank: Bank) -> list[str]:
    with closing(connect._connected(bank.database, "ro")) as connection:
        return list(connection.iterdump())


def test_a_dry_run_lets_go_what_is_held_for_a_period_that_is_not_over(
    dated: Bank, fake: FakeSlurm
) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    enforce(bank, DAY_AFTER)
    longer = settled(bank, proposal_length_days=400)
    assert enforce(longer, DAY_AFTER, dry_run=True).passes[0].released == ["test1"]
    assert fake.limits["test1"] == HELD


def test_one_account_by_verb_where_passes_do_not_look(bank: Bank, fake: FakeSlurm) -> None:
    bank = settled(bank, on_end="hold")
    for name in ("test1", "proj"):
        insert(bank, name, 10)
    assert enforce(bank, DAY_AFTER).notes == []
    enforce(bank, DAY_AFTER, only="test1", is_date_asked=True)
    assert (fake.limits["test1"], fake.limits["proj"]) == (HELD, {})
    # The hold stays until a new period begins, and nothing is told of the other.
    enforce(bank, "2027-01-03")
    assert (fake.limits["test1"], fake.limits["proj"]) == (HELD, {})
    assert raised(bank) == [("test1", "period_ended", 1)]
    do(bank, "2027-01-03", "modify", su=20)
    assert fake.limits["test1"] == {}


def test_three_months_are_told_once_a_period(bank: Bank, fake: FakeSlurm) -> None:
    del fake
    insert(bank, "test1", 10)

    def ask(day: str) -> str | None:
        with frozen(f"{day}T12:00:00"):
            return str(dates.three_months(bank, "test1", dry_run=False)["event"])

    assert ask("2026-10-02") == "None"
    assert raised(bank) == []
    # The day that is 90 days before the end was missed.
    for day in ("2026-10-20", "2026-10-21", LAST_DAY):
        assert ask(day) == "period_ending"
        assert raised(bank) == [("test1", "period_ending", 1)]
    do(bank, LAST_DAY, "modify", su=10)
    # Nobody asked in between: it is told of the new period all the same.
    assert ask("2027-12-01") == "period_ending"
    assert raised(bank) == [("test1", "period_ending", 1), ("test1", "period_ending", 2)]
    assert ask("2028-06-01") == "period_ended"


# -- what else begins or ends ------------------------------------------------------------------


@pytest.fixture
def over_and_held(dated: Bank) -> Bank:
    """One that holds test1, the period of which is over on the day after."""
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    enforce(bank, DAY_AFTER)
    return bank


@pytest.mark.parametrize("verbs", [["modify"], ["reset_usage"], ["delete", "insert"]])
def test_a_new_period_lets_go(over_and_held: Bank, fake: FakeSlurm, verbs: Sequence[str]) -> None:
    bank = over_and_held
    assert fake.limits["test1"] == HELD
    for verb in verbs:
        do(bank, "2027-03-01", verb, su=10 if verb in ("modify", "insert") else None)
    assert began(bank) == "2027-03-01"
    assert standing(bank).account.hold_reason is None
    assert fake.limits["test1"] == {}
    assert enforce(bank, "2027-03-01").notes == []
    assert upkeep.verify(bank) == []


def test_a_rehearsed_modify_says_that_it_lets_go(over_and_held: Bank, fake: FakeSlurm) -> None:
    bank = over_and_held
    with frozen(DAY_AFTER):
        answer = movements.modify(bank, Command("modify", "test1", 20 * SU, dry_run=True))
    assert answer["held"] == "no"
    assert fake.limits["test1"] == HELD


def test_an_account_deleted_while_its_period_is_over_stays_held_until_it_is_let_go(
    over_and_held: Bank, fake: FakeSlurm
) -> None:
    bank = over_and_held
    do(bank, DAY_AFTER, "delete")
    assert fake.limits["test1"] == HELD
    with frozen(DAY_AFTER):
        releases.release_hold(bank, "test1", reason="", dry_run=False)
    assert fake.limits["test1"] == {}


@pytest.mark.parametrize("dry_run", [False, True])
def test_release_hold_does_not_let_go_what_is_over(
    over_and_held: Bank, fake: FakeSlurm, dry_run: bool
) -> None:
    bank = over_and_held
    with frozen(DAY_AFTER), pytest.raises(Refusal, match="its period ended on 2027-01-01; "):
        releases.release_hold(bank, "test1", reason="", dry_run=dry_run)
    assert fake.limits["test1"] == HELD


def test_a_hold_by_hand_outlives_the_period_and_its_end_outlives_it(
    over_and_held: Bank, fake: FakeSlurm
) -> None:
    bank = over_and_held
    do(bank, DAY_AFTER, "hold")
    assert standing(bank).account.hold_reason == "ordered by ada"
    # Its period is over as well: lifting the one leaves the other.
    with (
        frozen(DAY_AFTER),
        pytest.raises(Refusal, match="the hold by hand is lifted, but its period ended on"),
    ):
        releases.release_hold(bank, "test1", reason="", dry_run=False)
    assert fake.limits["test1"] == HELD
    do(bank, DAY_AFTER, "hold")
    do(bank, "2027-01-05", "modify", su=10)
    assert fake.limits["test1"] == HELD
    with frozen("2027-01-05"):
        releases.release_hold(bank, "test1", reason="", dry_run=False)
    assert fake.limits["test1"] == {}


@pytest.mark.parametrize("su", [None, 0])
@pytest.mark.parametrize("on_end", ["report", "hold", "renew"])
def test_without_a_limit_or_with_nothing_no_end_means_anything(
    dated: Bank, fake: FakeSlurm, su: int | None, on_end: str
) -> None:
    bank = settled(dated, on_end=on_end)
    association = fake.add_user("test1")
    insert(bank, "test1", su)
    fake.use(association, 3 * SU)
    for day in ("2026-12-01", LAST_DAY, DAY_AFTER):
        notes = enforce(bank, day).notes
    assert notes == (["new periods were started for test1"] if on_end == "renew" else [])
    assert standing(bank).account.hold_reason is None
    assert began(bank) == (DAY_AFTER if on_end == "renew" else BEGAN)
    # Nobody's record is destroyed where nothing is renewed.
    assert standing(bank).used == (0 if on_end == "renew" else 3 * SU)
    assert fake.raw("test1") == 3 * SU
    assert [row for row in raised(bank) if row[1].startswith("period")] == []
    assert upkeep.verify(bank) == []


def test_parents_and_children_are_renewed_each_for_themselves(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="renew")
    association = fake.add_user("proj")
    insert(bank, "dept", 100)
    insert(bank, "proj", 50, day="2026-03-01")
    fake.use(association, 20 * SU)
    enforce(bank, LAST_DAY)
    assert (standing(bank, "dept").used, standing(bank, "proj").used) == (20 * SU, 20 * SU)
    enforce(bank, DAY_AFTER)
    assert (standing(bank, "dept").used, standing(bank, "proj").used) == (0, 20 * SU)
    fake.use(association, 5 * SU)
    # The child's period ends on the first of March, the parent's goes on.
    enforce(bank, "2027-03-02")
    assert (standing(bank, "dept").used, standing(bank, "proj").used) == (5 * SU, 0)
    assert (began(bank, "dept"), began(bank, "proj")) == (DAY_AFTER, "2027-03-02")
    assert upkeep.verify(bank) == []


def test_parent_and_child_renewed_by_one_pass(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="renew")
    association = fake.add_user("proj")
    for name in ("dept", "proj"):
        insert(bank, name, 100)
    fake.use(association, 20 * SU)
    enforce(bank, DAY_AFTER)
    fake.use(association, 3 * SU)
    enforce(bank, DAY_AFTER)
    for name in ("dept", "proj"):
        assert (standing(bank, name).limit, standing(bank, name).used) == (100 * SU, 3 * SU)
    assert fake.raw("proj") == 23 * SU
    assert upkeep.verify(bank) == []


def test_a_parent_held_for_its_end_does_not_end_its_children(dated: Bank, fake: FakeSlurm) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100, day="2026-06-01")
    enforce(bank, DAY_AFTER)
    assert (fake.limits["dept"], fake.limits["proj"]) == (HELD, {})


def test_nothing_is_renewed_while_use_may_be_unread(dated: Bank, fake: FakeSlurm) -> None:
    del fake
    bank = settled(dated, on_end="renew")
    insert(bank, "test1", 10)
    with frozen(DAY_AFTER):
        report = dates.check_periods(bank, None, is_asked=False, is_all_read=False, dry_run=False)
    assert report.notes == ["no period is renewed before all clusters were read"]
    assert began(bank) == BEGAN
    assert raised(bank) == []


@pytest.mark.parametrize("on_end", ["hold", "renew"])
def test_what_a_person_did_since_the_pass_looked_is_left_as_it_is(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, on_end: str
) -> None:
    del fake
    bank = settled(dated, on_end=on_end)
    insert(bank, "test1", 10)
    look = dates._look

    def looked(*arguments: Any) -> Any:  # noqa: ANN401
        found = look(*arguments)
        monkeypatch.setattr(dates, "_look", look)
        with writing(bank.database) as writer:
            if on_end == "renew":
                periods.start(bank, writer, found[0]["test1"], "by hand", None, is_refilled=True)
            fields: dict[str, accounts.Value] = {"hold_reason": "invoice not paid"}
            accounts.change(writer, "test1", fields, actor="eve", reason="", now=bank.clock())
            accounts.show(writer, bank.database, ["test1"])
        return found

    monkeypatch.setattr(dates, "_look", looked)
    enforce(bank, DAY_AFTER)
    assert renewals(bank) == (1 if on_end == "renew" else 0)
    assert standing(bank).account.hold_reason == "invoice not paid"
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize("verb", ["delete", "modify"])
def test_what_was_closed_or_began_anew_since_the_pass_looked_is_not_held(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    bank = settled(dated, on_end="hold")
    insert(bank, "test1", 10)
    look = dates._look

    def looked(*arguments: Any) -> Any:  # noqa: ANN401
        found = look(*arguments)
        monkeypatch.setattr(dates, "_look", look)
        with writing(bank.database) as writer:
            now = read.standing(writer, "test1")
            assert now is not None
            if verb == "delete":
                periods.close_account(bank, writer, now, reason="")
            else:
                fields = periods.beginning(now.account, bank.today())
                accounts.change(writer, "test1", fields, actor="eve", reason="", now=bank.clock())
            accounts.show(writer, bank.database, ["test1"])
        return found

    monkeypatch.setattr(dates, "_look", looked)
    enforce(bank, DAY_AFTER)
    assert fake.limits["test1"] == {}
    assert raised(bank) == []
    assert upkeep.verify(bank) == []


# -- killed ------------------------------------------------------------------------------------


class Killed(BaseException):
    """Takes the place of a kill -9: nothing catches it, and no transaction is committed."""


class Fuse:
    """Kills at the n-th call of what it is laid to; 0 is never.

    Attributes:
        left: calls until then.
    """

    def __init__(self) -> None:
        self.left = 0

    def laid_to(self, function: Any) -> Any:  # noqa: ANN401
        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            self.left -= 1
            if self.left == 0:
                raise Killed
            return function(*arguments, **options)

        return call


def copy_database(source: str, target: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(target + suffix).unlink(missing_ok=True)
        if suffix != "-shm" and Path(source + suffix).exists():
            shutil.copy(source + suffix, target + suffix)


def is_killed(bank: Bank) -> bool:
    try:
        enforce(bank, DAY_AFTER)
    except Killed:
        return True
    return False


@pytest.mark.parametrize(("on_end", "moments"), [("hold", 20), ("renew", 50)])
def test_killed_anywhere_it_is_done_once(
    dated: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, on_end: str, moments: int
) -> None:
    bank = settled(dated, on_end=on_end)
    association = fake.add_user("proj")
    for name in ("dept", "proj"):
        insert(bank, name, 100)
    fake.use(association, 20 * SU)
    enforce(bank, LAST_DAY)
    path = bank.settings.database
    copy_database(path, f"{path}.kept")
    fuse = Fuse()
    for method in ("execute", "insert", "query"):
        monkeypatch.setattr(Writer, method, fuse.laid_to(getattr(Writer, method)))
    monkeypatch.setattr(fake, "_modify", fuse.laid_to(fake._modify))
    moment = 1
    fuse.left = moment
    while is_killed(bank):
        fuse.left = 0
        enforce(bank, DAY_AFTER)
        for name in ("dept", "proj"):
            held = kinds(bank, name).count("hold_reason changed")
            assert (renewals(bank, name), held) == ((1, 0) if on_end == "renew" else (0, 1)), moment
            assert standing(bank, name).limit == 100 * SU
            assert (fake.limits[name] == HELD) is (on_end == "hold")
            fake.limits[name] = {}
        assert upkeep.verify(bank) == []
        copy_database(f"{path}.kept", path)
        moment += 1
        fuse.left = moment
    # Were calls to be counted no more, this would prove less without a word.
    assert moment > moments
