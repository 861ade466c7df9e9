"""Grants with dates, on a model of Slurm: who pays, what ends, what is carried over."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bank.errors import InputError, Refusal, SlurmError
from bank.ledger.amounts import MAX_SU
from bank.operations import (
    applying,
    clusters,
    corrections,
    dates,
    differences,
    dumps,
    grants,
    history,
    looking,
    metering,
    movements,
    queues,
    shown_grants,
    transfers,
    upkeep,
    usage,
    user_limits,
)
from bank.operations.bank import Bank, use_zone
from bank.operations.commands import Command
from bank.operations.days import day_text, moment, same_span_after
from bank.operations.enforcement import enforce, run_pass
from bank.slurm.command import Slurm
from bank.store import read
from bank.store.connect import reading
from bank.store.meters import Overlap
from bank.store.read import Standing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU

pytestmark = pytest.mark.usefixtures("in_utc")
JAN, FEB, MAR, APR = (moment(f"2027-0{month}-01", "") for month in range(1, 5))
HOUR = 3_600_000_000


class Calendar:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = JAN

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def bank(bank: Bank, calendar: Calendar) -> Bank:
    """A bank on the first of January 2027 that has nothing but a department and its project."""
    return bank._replace(clock=calendar, warn=lambda _: None)


@pytest.fixture
def meter(fake: FakeSlurm) -> int:
    return fake.add_user("test1")


def give(bank: Bank, name: str, su: float, start: int, end: int, **more: Any) -> int:  # noqa: ANN401
    """Give a grant with dates; return its number."""
    command = Command("grant", name, int(su * SU), start_at=start, end_at=end, **more)
    grants.grant(bank, command)
    return int(shown_grants.grants(bank, name)[-1]["grant"])


def do(bank: Bank, verb: str, name: str, su: float | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    rooms = (movements, transfers, corrections, grants)
    act = next(getattr(room, verb) for room in rooms if hasattr(room, verb))
    amount = None if su is None else int(su * SU)
    done: dict[str, Any] = act(bank, Command(verb, name, amount, **more))
    return done


def standing(bank: Bank, name: str = "test1") -> Standing:
    with reading(bank.database) as reader:
        found = read.standing(reader, name)
    assert found is not None
    return found


def has(bank: Bank, name: str = "test1") -> tuple[float, float]:
    """Return an account's limit and use in SUs, when the books have proven themselves."""
    assert not upkeep.verify(bank)
    found = standing(bank, name)
    return found.account.books.granted / SU, found.used / SU


def states(bank: Bank, name: str = "test1") -> list[tuple[str, float]]:
    """Return the state of each grant with dates, and what it has left."""
    return [
        (one["state"], one["left_billing_seconds"] / SU)
        for one in shown_grants.grants(bank, name)
        if one["carry_percent"] is not None
    ]


def entries(bank: Bank, name: str = "test1") -> list[tuple[str, float]]:
    with reading(bank.database) as reader:
        rows = reader.query(
            "SELECT kind, amount FROM entry JOIN account USING (account_id) WHERE name = :name"
            " ORDER BY seq",
            name=name,
        )
    return [(kind, amount / SU) for kind, amount in rows]


def written(bank: Bank) -> list[bytes]:
    """Return every byte of the database, which any commit changes."""
    known = Path(bank.settings.database)
    files = [known, known.with_name(f"{known.name}-wal")]
    return [file.read_bytes() if file.exists() else b"" for file in files]


@pytest.fixture
def go(bank: Bank, fake: FakeSlurm, calendar: Calendar, meter: int) -> Callable[..., None]:
    """Let it be a time, some SUs be used until then, and a pass run."""

    def run(at: int, used: float = 0) -> None:
        calendar.now = at
        fake.use(meter, int(used * SU))
        enforce(bank)

    return run


Go = Callable[..., None]


# -- who pays, and what ends -------------------------------------------------------------------


def test_what_ends_first_is_used_first_and_loses_only_what_is_left(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    assert has(bank) == (150, 20)
    go(FEB - 1, 10)
    assert states(bank) == [("in force", 20)]
    go(FEB)
    assert has(bank) == (100, 0)
    assert states(bank) == [("over", 0)]
    assert entries(bank)[-2:] == [("expiry", 20), ("closing", 30)]


def test_what_was_used_before_a_grant_started_is_not_its_to_pay(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    go(JAN + HOUR, 40)
    give(bank, "test1", 50, JAN + 2 * HOUR, FEB)
    assert has(bank) == (100, 40)
    go(JAN + 2 * HOUR)
    assert has(bank) == (150, 40)
    go(JAN + 3 * HOUR, 10)
    go(FEB)
    assert entries(bank)[-2:] == [("expiry", 40), ("closing", 10)]
    assert has(bank) == (100, 40)


def test_what_nobody_could_pay_the_next_grant_pays(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    go(JAN + HOUR, 25)
    give(bank, "test1", 50, JAN + HOUR, FEB)
    go(FEB)
    assert entries(bank)[-2:] == [("expiry", 35), ("closing", 15)]
    assert has(bank) == (10, 10)


def test_a_grant_that_has_not_started_gives_nothing_and_releases_when_it_does(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    assert fake.limits["test1"]
    give(bank, "test1", 50, FEB, MAR)
    assert (has(bank), states(bank)) == ((0, 0), [("promised", 50)])
    go(FEB - 1)
    assert fake.limits["test1"]
    go(FEB)
    assert not fake.limits["test1"]
    assert has(bank) == (50, 0)


def test_use_is_for_the_grant_in_force_when_it_was_read(bank: Bank, go: Go) -> None:
    """Half-open: the instant of the end is the first of the next one."""
    do(bank, "insert", "test1", 0)
    first = give(bank, "test1", 50, JAN, FEB)
    second = give(bank, "test1", 50, FEB, MAR)
    go(FEB - 1, 10)
    go(FEB, 5)
    with reading(bank.database) as reader:
        paid = reader.query("SELECT grant_id, amount FROM entry WHERE kind = 'charge' ORDER BY seq")
    assert paid == [(first, 10 * SU), (second, 5 * SU)]
    assert (has(bank), states(bank)) == ((50, 5), [("over", 0), ("in force", 45)])
    # An end comes before a start at the same instant.
    assert [kind for kind, _ in entries(bank)] == [
        *("deposit", "charge", "expiry", "closing", "deposit", "charge")
    ]


def test_a_charge_that_two_grants_pay_is_two_entries(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 7)
    first = give(bank, "test1", 10, JAN, FEB)
    second = give(bank, "test1", 10, JAN, MAR)
    go(JAN + HOUR, 30)
    with reading(bank.database) as reader:
        base = reader.query("SELECT grant_id FROM account WHERE name = 'test1'")[0][0]
        paid = reader.query("SELECT grant_id, amount FROM entry WHERE kind = 'charge' ORDER BY seq")
    # The rest is for the one without an end, which is overdrawn by it.
    assert paid == [(first, 10 * SU), (second, 10 * SU), (base, 10 * SU)]
    assert has(bank) == (27, 30)


def test_each_charge_is_paid_of_what_those_before_it_left(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    other = fake.add_user("test1", "bob")
    do(bank, "insert", "test1", 100)
    number = give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    fake.use(other, 25 * SU)
    go(JAN + 2 * HOUR, 10)
    go(JAN + 3 * HOUR, 5)
    with reading(bank.database) as reader:
        base = reader.query("SELECT grant_id FROM account WHERE name = 'test1'")[0][0]
        paid = reader.query(
            "SELECT grant_id, user_name, amount FROM entry WHERE kind = 'charge' ORDER BY seq"
        )
    assert [(grant, user, amount // SU) for grant, user, amount in paid] == [
        (number, "ada", 20),
        (number, "ada", 10),
        (number, "bob", 20),
        (base, "bob", 5),
        (base, "ada", 5),
    ]


def test_what_running_jobs_may_use_expires_only_when_they_have_ended(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR, 10)
    go(FEB)
    # 10 used, 20 kept for the jobs, 20 gone.
    assert (has(bank), states(bank)) == ((30, 10), [("ending", 20)])
    assert not fake.limits["test1"]
    fake.running["test1"] = 5 * 60
    go(FEB + HOUR, 12)
    go(FEB + 2 * HOUR)
    assert (has(bank), states(bank)) == ((27, 22), [("ending", 5)])
    fake.running["test1"] = 0
    go(FEB + 3 * HOUR, 5)
    go(FEB + 4 * HOUR)
    assert (has(bank), states(bank)) == ((0, 0), [("over", 0)])
    assert fake.limits["test1"]


@pytest.mark.parametrize(("percent", "carried"), [(0, 0), (50, 15), (100, 30)])
def test_a_share_is_carried_over_once(bank: Bank, go: Go, percent: int, carried: float) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB, carry_percent=percent)
    go(JAN + HOUR, 20)
    go(FEB)
    assert has(bank) == (carried, 0)
    rest = states(bank)[1:]
    assert rest == ([("in force", carried)] if carried else [])
    go(APR)
    assert has(bank) == (0, 0)


def test_what_goes_on_comes_from_the_settings_where_the_grant_does_not_say(
    bank: Bank, go: Go
) -> None:
    bank = bank._replace(settings=bank.settings._replace(carry_over_percent=25))
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 40, JAN, FEB)
    go(FEB)
    assert has(bank) == (10, 0)


def test_a_whole_span_between_two_passes_is_begun_and_ended(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, FEB, MAR)
    give(bank, "test1", 30, MAR, APR)
    go(MAR, 5)
    assert (has(bank), states(bank)) == ((40, 5), [("over", 0), ("in force", 25)])
    again = entries(bank)
    go(MAR)
    assert entries(bank) == again


def test_every_command_begins_with_what_is_due(bank: Bank, calendar: Calendar) -> None:
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, FEB)
    calendar.now = FEB
    with pytest.raises(Refusal, match="available are 10"):
        do(bank, "withdraw", "test1", 60)
    do(bank, "add", "test1", 1)
    assert has(bank) == (11, 0)


def test_what_is_due_is_done_before_a_command_that_asks_nothing_of_slurm(
    bank: Bank, calendar: Calendar
) -> None:
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, FEB)
    calendar.now = FEB
    do(bank, "modify", "test1", 5)
    assert has(bank) == (5, 0)


def test_use_of_a_child_is_paid_by_grants_of_its_parent_too(
    bank: Bank, fake: FakeSlurm, calendar: Calendar
) -> None:
    association = fake.add_user("proj")
    do(bank, "insert", "dept", 100)
    do(bank, "insert", "proj", 100)
    give(bank, "dept", 50, JAN, FEB)
    fake.use(association, 30 * SU)
    enforce(bank)
    calendar.now = FEB
    enforce(bank)
    assert (has(bank, "dept"), has(bank, "proj")) == ((100, 0), (100, 30))
    assert entries(bank, "dept")[-2:] == [("expiry", 20), ("closing", 30)]


def test_what_dates_do_is_logged_with_the_ends_of_the_chains(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    bank = bank._replace(settings=bank.settings._replace(logfile=str(tmp_path / "log")))
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    calendar.now = FEB
    said = run_pass(bank).notes
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (turned,) = [line for line in lines if line["event"] == "grants"]
    assert (turned["notes"], list(turned["heads"])) == (said, ["test1"])
    assert said == ["account test1: grant 2 has ended; 50 SUs expired"]
    assert not upkeep.verify(bank)


# -- giving, renewing, taking back -------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "new_end"),
    [
        ("2027-01-01", "2028-01-01", "2029-01-01"),
        ("2027-01-31", "2027-02-28", "2027-03-28"),
        ("2027-07-01", "2027-10-01", "2028-01-01"),
        ("2027-08-31", "2027-10-31", "2027-12-31"),
        ("2027-12-31", "2028-01-31", "2028-02-29"),
        ("2027-01-01", "2027-01-15", "2027-01-29"),
        ("2027-03-01T12:00", "2027-04-01T12:00", "2027-05-01T12:00:00"),
        ("2027-03-01", "2027-04-01T12:00", "2027-05-03"),
    ],
)
def test_a_span_that_follows_is_as_long_by_the_calendar(start: str, end: str, new_end: str) -> None:
    assert day_text(same_span_after(moment(start, ""), moment(end, ""))) == new_end


def test_renewed_is_as_much_as_long_and_of_the_same_kind(bank: Bank, go: Go) -> None:
    give(bank, "test1", 50, JAN, FEB, kind="INCITE", carry_percent=10)
    do(bank, "deposit", "test1", 10, grant_id=shown_grants.grants(bank, "test1")[-1]["grant"])
    go(JAN + HOUR, 20)
    do(bank, "renew", "test1")
    do(bank, "renew", "test1", 7, kind="more")
    # One that is only promised is renewed as well.
    do(bank, "renew", "test1", kind="yet more")
    _, first, second, third, fourth = shown_grants.grants(bank, "test1")
    assert (fourth["start"], fourth["given_su"]) == ("2027-04-01", "7")
    assert (first["given_su"], first["left_su"]) == ("60", "40")
    assert [second[what] for what in ("start", "end", "kind", "given_su", "carry_percent")] == [
        *("2027-02-01", "2027-03-01", "INCITE", "60", 10)
    ]
    assert [third[what] for what in ("start", "end", "kind", "given_su")] == [
        *("2027-03-01", "2027-04-01", "more", "7")
    ]


def test_a_repeat_is_an_answer(bank: Bank) -> None:
    give(bank, "test1", 50, JAN, FEB, key="a")
    again = grants.grant(
        bank, Command("grant", "test1", 50 * SU, key="a", start_at=JAN, end_at=FEB)
    )
    assert again["is_repeat"]
    assert len(states(bank)) == 1
    with pytest.raises(Refusal, match="was used for"):
        give(bank, "test1", 50, JAN, MAR, key="a")


def test_what_is_promised_is_taken_back_without_an_entry(bank: Bank) -> None:
    number = give(bank, "test1", 50, FEB, MAR)
    do(bank, "withdraw", "test1", 20, grant_id=number)
    do(bank, "deposit", "test1", 5, grant_id=number)
    assert states(bank) == [("promised", 35)]
    do(bank, "withdraw", "test1", 35, grant_id=number)
    assert (states(bank), entries(bank)) == ([("over", 0)], [])
    with pytest.raises(Refusal, match="no grant"):
        do(bank, "deposit", "test1", 5, grant_id=number)


def test_sus_are_taken_back_in_the_order_of_use(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    do(bank, "withdraw", "test1", 40)
    assert (has(bank), states(bank)) == ((110, 20), [("in force", 0)])
    with pytest.raises(Refusal, match=r"available are 90 \("):
        do(bank, "withdraw", "test1", 91)


def test_of_one_grant_no_more_than_it_has_left(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    number = give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    with pytest.raises(Refusal, match="it has 30"):
        do(bank, "withdraw", "test1", 31, grant_id=number)
    do(bank, "withdraw", "test1", 30, grant_id=number)
    assert (has(bank), states(bank)) == ((120, 20), [("in force", 0)])


def test_insert_add_and_modify_keep_their_meaning(bank: Bank) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    do(bank, "add", "test1", 10)
    assert (has(bank), states(bank)) == ((160, 0), [("in force", 50)])
    do(bank, "modify", "test1", 70)
    assert (has(bank), states(bank)) == ((70, 0), [("in force", 50)])
    with pytest.raises(Refusal, match="has 50 SUs in grants with dates"):
        do(bank, "modify", "test1", 49)


def test_a_new_period_gives_all_back_and_leaves_the_dates(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 70)
    do(bank, "reset_usage", "test1")
    assert (has(bank), states(bank)) == ((150, 0), [("in force", 50)])


def test_a_period_that_ends_by_itself_gives_nothing_to_grants_with_dates(
    bank: Bank, go: Go
) -> None:
    bank = bank._replace(
        settings=bank.settings._replace(check_dates=True, on_end="renew", proposal_length_days=30)
    )
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, APR)
    go(JAN + HOUR, 70)
    bank.clock.now = FEB  # type: ignore[attr-defined]
    enforce(bank)
    assert (has(bank), states(bank)) == ((100, 0), [("in force", 0)])


def test_a_closed_account_has_no_grant_and_one_that_is_opened_again_none_of_old(
    bank: Bank, go: Go
) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 60, FEB, MAR)
    go(JAN + HOUR, 20)
    do(bank, "delete", "test1", force=True)
    do(bank, "insert", "test1", 5)
    assert (has(bank), states(bank)) == ((5, 0), [("over", 0), ("over", 0)])
    go(MAR)
    assert has(bank) == (5, 0)


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [(FEB, FEB, "is not after"), (FEB, JAN + 1, "is not after"), (JAN - HOUR, JAN, "is over")],
)
def test_spans_that_are_none(bank: Bank, start: int, end: int, why: str) -> None:
    with pytest.raises(InputError, match=why):
        give(bank, "test1", 50, start, end)


@pytest.mark.parametrize(
    "text",
    [
        *("2027-02-29", "2027-1-1", "20270101", "tomorrow", "", "2027-01-01 10:00", "2027-13-01"),
        *("2027-01-01T25:00", "2027-01-01T10", "0001-01-01", "2027-01-01z", "\uff12027-01-01"),
    ],
)
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="--start .* is not a day or a time"):
        moment(text, "--start")


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("UTC", "2027-03-28", "2027-03-28T00:00:00"),
        ("Europe/Berlin", "2027-03-28", "2027-03-27T23:00:00"),
        ("Europe/Berlin", "2027-03-29", "2027-03-28T22:00:00"),
        ("Europe/Berlin", "2027-03-28T12:00", "2027-03-28T10:00:00"),
        ("Europe/Berlin", "2027-03-28T12:00Z", "2027-03-28T12:00:00"),
        ("America/New_York", "2027-11-08", "2027-11-08T05:00:00"),
        # Where midnight itself does not exist, the day begins with its first hour.
        ("Africa/Cairo", "2027-04-30", "2027-04-29T22:00:00"),
        ("Pacific/Kiritimati", "2027-01-01", "2026-12-31T10:00:00"),
    ],
)
def test_days_are_those_of_the_named_zone(zone: str, text: str, utc: str) -> None:
    use_zone(zone)
    found = datetime.fromisoformat(f"{utc}+00:00").timestamp()
    assert moment(text, "") == int(found) * 1_000_000


# -- transfers, refunds, adjustments, credit ---------------------------------------------------


def test_what_is_transferred_keeps_its_dates(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    do(bank, "insert", "dept", 10)
    give(bank, "test1", 50, JAN, FEB, kind="INCITE")
    go(JAN + HOUR, 20)
    do(bank, "transfer", "test1", 60, to="dept")
    assert (has(bank), has(bank, "dept")) == ((90, 20), (70, 0))
    assert (states(bank), states(bank, "dept")) == ([("in force", 0)], [("in force", 30)])
    go(FEB)
    assert (has(bank), has(bank, "dept")) == ((70, 0), (40, 0))
    # A second one goes into the same grant.
    give(bank, "test1", 5, FEB, MAR)
    do(bank, "transfer", "test1", 2, to="dept")
    do(bank, "transfer", "test1", 1, to="dept")
    assert states(bank, "dept") == [("over", 0), ("in force", 3)]


def test_what_one_has_settled_is_not_settled_for_the_other(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    association = fake.add_user("dept")
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 100)
    give(bank, "test1", 50, JAN, MAR)
    go(JAN + HOUR, 20)
    give(bank, "test1", 5, JAN + HOUR, APR)
    give(bank, "dept", 50, JAN, FEB)
    do(bank, "transfer", "test1", 30, to="dept")
    assert not fake.limits["dept"]
    fake.use(association, 25 * SU)
    go(JAN + 2 * HOUR)
    assert states(bank, "dept") == [("in force", 25), ("in force", 30)]


def test_nobody_is_transferred_more_than_a_limit_can_be(bank: Bank) -> None:
    do(bank, "insert", "test1", 5)
    do(bank, "insert", "dept", MAX_SU - 5)
    with pytest.raises(Refusal, match="give less"):
        do(bank, "transfer", "test1", 5, to="dept")
    do(bank, "transfer", "test1", 4, to="dept")


@pytest.mark.parametrize(
    ("giving", "taking", "su", "why"),
    [
        ("test1", "test1", 1, "the same account"),
        ("test1", "dept", 101, "101 SUs cannot be transferred from test1: available are 80"),
        ("test1", "nosuch", 1, "nosuch doesn't exist"),
        ("nosuch", "test1", 1, "nosuch doesn't exist"),
        ("test1", "dept", 0, "changes nothing"),
        ("test1", "proj", 5, "dept above it in Slurm's tree has 10"),
        ("dept", "test1", 5, "proj below it in Slurm's tree has 10"),
    ],
)
def test_transfers_that_are_refused(
    bank: Bank, go: Go, giving: str, taking: str, su: int, why: str
) -> None:
    for name, amount in (("test1", 100), ("dept", 10), ("proj", 10)):
        do(bank, "insert", name, amount)
    go(JAN + HOUR, 20)
    before = entries(bank, "dept")
    with pytest.raises(Refusal, match=why):
        do(bank, "transfer", giving, su, to=taking)
    assert entries(bank, "dept") == before


def test_credit_lets_an_account_be_overdrawn(bank: Bank, fake: FakeSlurm, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    do(bank, "insert", "dept", 0)
    do(bank, "set_credit", "test1", 15)
    go(JAN + HOUR, 20)
    assert not fake.limits["test1"]
    assert standing(bank).available == 5 * SU
    with pytest.raises(Refusal, match=r"available are 5 \(10 granted, 15 of credit, 20 used"):
        do(bank, "transfer", "test1", 6, to="dept")
    do(bank, "transfer", "test1", 5, to="dept")
    assert (has(bank), has(bank, "dept")) == ((5, 20), (5, 0))
    assert (bool(fake.limits["test1"]), bool(fake.limits["dept"])) == (True, False)
    do(bank, "set_credit", "test1", 16)
    assert not fake.limits["test1"]
    do(bank, "set_credit", "test1", 0)
    assert fake.limits["test1"]


def test_an_account_may_owe_more_than_it_was_given_and_a_new_period_does_not_forgive_it(
    bank: Bank,
) -> None:
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 0)
    do(bank, "set_credit", "test1", 50)
    do(bank, "transfer", "test1", 30, to="dept")
    assert (has(bank), standing(bank).available) == ((-30, 0), 20 * SU)
    do(bank, "reset_usage", "test1")
    assert has(bank) == (-30, 0)


def test_a_refund_is_at_most_what_was_used(bank: Bank, fake: FakeSlurm, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    go(JAN + HOUR, 15)
    assert fake.limits["test1"]
    with pytest.raises(Refusal, match="itself has used 15"):
        do(bank, "refund", "test1", 16)
    do(bank, "refund", "test1", 6)
    assert has(bank) == (10, 9)
    assert not fake.limits["test1"]
    do(bank, "reset_usage", "test1")
    with pytest.raises(Refusal, match="itself has used 0"):
        do(bank, "refund", "test1", 1)


@pytest.mark.parametrize("closed", [0, 20, 50])
def test_what_a_child_is_refunded_counts_for_its_parent_as_far_as_that_was_not_settled(
    bank: Bank, fake: FakeSlurm, closed: int
) -> None:
    association = fake.add_user("proj")
    for name in ("dept", "proj"):
        do(bank, "insert", name, 100)
    fake.use(association, closed * SU)
    if closed:
        do(bank, "reset_usage", "dept")
    fake.use(association, (50 - closed) * SU)
    enforce(bank)
    used = has(bank, "dept")[1]
    do(bank, "refund", "proj", 40)
    assert (has(bank, "dept"), has(bank, "proj")) == ((100, max(used - 40, 0)), (100, 10))
    with pytest.raises(Refusal, match="dept itself has used 0 SU"):
        do(bank, "refund", "dept", 1)
    fake.use(association, 7 * SU)
    enforce(bank)
    assert has(bank, "dept")[1] == max(used - 40, 0) + 7


def test_use_is_corrected_by_hand_both_ways_and_says_why(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    go(JAN + HOUR, 15)
    with pytest.raises(Refusal, match="needs a reason"):
        do(bank, "adjust", "test1", 5)
    number = give(bank, "test1", 3, JAN + HOUR, FEB)
    do(bank, "adjust", "test1", 5, reason="on the test nodes")
    assert (has(bank), states(bank)) == ((103, 20), [("in force", 0)])
    with reading(bank.database) as reader:
        paid = reader.query("SELECT grant_id, amount FROM entry WHERE kind = 'adjustment'")
    assert paid[0] == (number, 3 * SU)
    assert sum(amount for _, amount in paid) == 5 * SU
    do(bank, "adjust", "test1", -19, reason="not theirs")
    assert has(bank) == (103, 1)
    with pytest.raises(Refusal, match="itself has used 1 "):
        do(bank, "adjust", "test1", -2, reason="not theirs")
    with pytest.raises(Refusal, match="is on fake"):
        do(bank, "adjust", "test1", 2, reason="x", cluster="other")


# -- the tree ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "name", "su", "more"),
    [
        ("add", "proj", 1, {}),
        ("deposit", "proj", 1, {}),
        ("modify", "proj", 11, {}),
        ("modify", "proj", None, {}),
        ("grant", "proj", 1, {"start_at": FEB, "end_at": MAR}),
        ("modify", "dept", 9, {}),
        ("withdraw", "dept", 1, {}),
    ],
)
def test_a_child_has_no_more_than_its_parent_unless_it_is_said(
    bank: Bank, verb: str, name: str, su: float | None, more: dict[str, int]
) -> None:
    for account in ("dept", "proj"):
        do(bank, "insert", account, 10)
    with pytest.raises(Refusal, match="say --force to mean it"):
        do(bank, verb, name, su, **more)
    do(bank, verb, name, su, force=True, **more)


def test_one_that_the_bank_has_not_seen_is_looked_up_in_slurm(bank: Bank, fake: FakeSlurm) -> None:
    do(bank, "insert", "dept", 10)
    fake.add_account("group", "dept")
    fake.add_account("deep", "group")
    with pytest.raises(Refusal, match="deep would have 11 SUs, and dept above it"):
        do(bank, "insert", "deep", 11)
    with pytest.raises(Refusal, match="deep would have 11 SUs, and dept above it"):
        give(bank, "deep", 11, JAN, FEB)
    do(bank, "insert", "deep", 10)
    # One in between that the bank has closed is none.
    do(bank, "insert", "group", 1)
    do(bank, "delete", "group", force=True)
    with pytest.raises(Refusal, match="deep would have 11 SUs, and dept above it"):
        do(bank, "add", "deep", 1)


def test_whether_slurm_has_an_account_is_not_guessed(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(slurm: Slurm, arguments: Sequence[str]) -> str:
        if "assoc_mgr" in arguments:
            raise SlurmError("no answer")
        return fake.run(slurm, arguments)

    monkeypatch.setattr(metering, "run", nothing)
    for act in (lambda: do(bank, "insert", "test1", 1), lambda: give(bank, "test1", 1, JAN, FEB)):
        with pytest.raises(SlurmError, match="no answer"):
            act()


# -- what jobs that run may still use ----------------------------------------------------------


def test_jobs_that_began_since_the_last_pass_are_seen_where_a_grant_ends(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR)
    fake.running["test1"] = 20 * 60
    go(FEB)
    assert (has(bank), states(bank)) == ((20, 0), [("ending", 20)])
    # What those that were known have used since is paid from it as well.
    fake.running["test1"] = 5 * 60
    go(FEB + HOUR, 15)
    assert (has(bank), states(bank)) == ((20, 15), [("ending", 5)])


def test_what_jobs_may_use_is_kept_once_whatever_ends(bank: Bank, fake: FakeSlurm, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 15, JAN, FEB - 1)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR)
    go(FEB)
    assert states(bank) == [("ending", 5), ("over", 0), ("ending", 15)]
    assert standing(bank).available == 10 * SU
    with pytest.raises(Refusal, match="available are 10 "):
        do(bank, "withdraw", "test1", 11)


def test_while_jobs_run_on_nothing_is_written(bank: Bank, fake: FakeSlurm, go: Go) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR)
    go(FEB)
    before = written(bank)
    bank.clock.now = FEB + HOUR  # type: ignore[attr-defined]
    # Nor is said again that it has ended.
    assert run_pass(bank).notes == []
    assert written(bank) == before
    fake.running["test1"] = 19 * 60
    go(FEB + 2 * HOUR)
    assert written(bank) != before
    go(FEB + 3 * HOUR)
    assert states(bank) == [("ending", 19)]


def test_what_ends_later_of_what_was_kept_is_carried_over_too(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB, carry_percent=50)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR, 10)
    go(FEB)
    assert (has(bank), states(bank)) == ((40, 10), [("ending", 20), ("in force", 10)])
    fake.running["test1"] = 0
    go(FEB + HOUR, 4)
    go(FEB + 2 * HOUR)
    assert (has(bank), states(bank)) == ((18, 0), [("over", 0), ("in force", 18)])


def test_jobs_that_began_after_the_end_keep_nothing_alive(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 40 * 60
    go(JAN + HOUR)
    go(FEB)
    assert states(bank) == [("ending", 40)]
    # What is kept never grows, whatever begins since.
    fake.running["test1"] = 90 * 60
    go(FEB + HOUR)
    assert states(bank) == [("ending", 40)]
    fake.running["test1"] = 20 * 60
    go(FEB + 2 * HOUR)
    go(FEB + 3 * HOUR)
    assert states(bank) == [("ending", 20)]
    # Another job has begun, and the last one that ran at the end has ended, which a meter may show
    # only some minutes later.
    fake.running["test1"] = 90 * 60
    job = "1,1,{state},ada,p,q,1:00:00,{began},1,cpu=1,,,,None,test1,\n".replace(",", "\x1f")
    fake.waiting = job.format(state="COMPLETED", began=FEB // 1_000_000 - 1)
    go(FEB + 3 * HOUR)
    assert states(bank) == [("ending", 20)]
    fake.waiting = "".join(
        job.format(state=state, began=began)
        for state, began in (
            ("RUNNING", FEB // 1_000_000),
            ("PENDING", FEB // 1_000_000 - 1),
            ("PENDING", "N/A"),
        )
    )
    bank.clock.now = FEB + 4 * HOUR  # type: ignore[attr-defined]
    fake.use(fake.add_user("test1", "bob"), 5 * SU)
    rehearsed = run_pass(bank, dry_run=True)
    assert states(bank) == [("ending", 20)]
    # It books nothing, so what is read with it is not used yet.
    assert rehearsed.passes[0].held_now == ["test1"]
    assert rehearsed.notes == ["account test1: grant 2 has ended; 20 SUs expired"]
    assert run_pass(bank).notes == ["account test1: grant 2 has ended; 15 SUs expired"]
    assert (has(bank), states(bank)) == ((0, 0), [("over", 0)])
    assert entries(bank)[-3:] == [("charge", 5), ("expiry", 15), ("closing", 5)]
    # Nobody asks when jobs began where nothing is ending.
    before = len(fake.calls)
    enforce(bank)
    assert not [call for call in fake.calls[before:] if call[0] == "squeue"]


def test_while_a_cluster_cannot_be_asked_what_is_kept_stays(
    bank: Bank, fake: FakeSlurm, go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    fake.began["test1"] = FEB // 1_000_000
    go(JAN + HOUR)
    go(FEB)

    def run(slurm: Slurm, arguments: Sequence[str]) -> str:
        if "down" in arguments:
            raise SlurmError("no answer")
        return fake.run(slurm, arguments)

    monkeypatch.setattr(clusters, "run", run)
    several = bank._replace(settings=bank.settings._replace(clusters=("fake", "down")))
    assert [one.cluster for one in run_pass(several).failures] == ["down"]
    assert states(bank) == [("ending", 20)]
    go(FEB + HOUR)
    assert states(bank) == [("over", 0)]


def test_a_job_below_keeps_what_the_account_above_has_for_it(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "dept", 0)
    give(bank, "dept", 50, JAN, FEB)
    fake.running["proj"] = fake.running["dept"] = 20 * 60
    go(JAN + HOUR)
    go(FEB)
    fake.began["dept"] = fake.began["proj"] = FEB // 1_000_000 - 1
    go(FEB + HOUR)
    assert states(bank, "dept") == [("ending", 20)]
    fake.began["dept"] = FEB // 1_000_000
    go(FEB + 2 * HOUR)
    assert states(bank, "dept") == [("ending", 20)]
    fake.began["proj"] = FEB // 1_000_000
    go(FEB + 3 * HOUR)
    assert states(bank, "dept") == [("over", 0)]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "nonsense\n",
    ],
)
def test_where_slurm_does_not_say_what_runs_everything_stays_and_the_pass_goes_on(
    bank: Bank, fake: FakeSlurm, go: Go, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR)
    go(FEB)

    def asked(slurm: Slurm, arguments: Sequence[str]) -> str:
        if arguments[0] != "squeue":
            return fake.run(slurm, arguments)
        if answer is None:
            raise SlurmError("squeue ended with status 1")
        return answer

    monkeypatch.setattr(queues, "run", asked)
    heard: list[str] = []
    outcome = run_pass(bank._replace(warn=heard.append))
    assert (outcome.failures, states(bank)) == ([], [("ending", 20)])
    (warning,) = heard
    assert warning.startswith("what grants that have ended keep for running jobs stays: squeue")


@pytest.fixture
def ending(bank: Bank, fake: FakeSlurm, go: Go) -> int:
    """A grant that has ended, of which jobs may still use 20 SUs, and 10 SUs without an end."""
    do(bank, "insert", "test1", 10)
    number = give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR, 5)
    go(FEB)
    assert (has(bank), states(bank)) == ((35, 5), [("ending", 20)])
    return number


def test_what_is_kept_for_jobs_is_not_taken_back(bank: Bank, ending: int) -> None:
    do(bank, "withdraw", "test1", 4)
    assert (has(bank), states(bank)) == ((31, 5), [("ending", 20)])
    for verb in ("withdraw", "deposit"):
        with pytest.raises(Refusal, match=f"has no grant {ending} that is in force or promised"):
            do(bank, verb, "test1", 1, grant_id=ending)


@pytest.mark.usefixtures("ending")
def test_what_has_ended_is_given_nothing_again_by_a_new_period(bank: Bank) -> None:
    do(bank, "reset_usage", "test1")
    assert (has(bank), states(bank)) == ((30, 0), [("ending", 20)])
    assert entries(bank)[-3:] == [("closing", 5), ("expiry", 10), ("deposit", 10)]


def test_of_one_grant_nothing_is_taken_back_that_jobs_may_still_use(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    number = give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 40 * 60
    go(JAN + HOUR)
    with pytest.raises(Refusal, match="it has 10 that are neither used nor set aside"):
        do(bank, "withdraw", "test1", 11, grant_id=number)
    do(bank, "withdraw", "test1", 10, grant_id=number)


def test_what_is_due_is_so_when_the_meters_were_asked(
    bank: Bank, fake: FakeSlurm, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)

    def slowly(slurm: Slurm, arguments: Sequence[str]) -> str:
        answer = fake.run(slurm, arguments)
        calendar.now = FEB
        return answer

    calendar.now = FEB - 1
    with monkeypatch.context() as patches:
        patches.setattr(metering, "run", slowly)
        run_pass(bank)
    assert states(bank) == [("in force", 50)]
    run_pass(bank)
    assert states(bank) == [("over", 0)]


def test_what_dates_did_is_said_also_where_the_reading_was_overtaken(
    bank: Bank, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB)
    calendar.now = FEB
    write, calls = metering._write, []

    def overtaken(*arguments: Any) -> dict[str, str]:  # noqa: ANN401
        calls.append(arguments)
        if len(calls) == 1:
            raise Overlap
        return write(*arguments)

    monkeypatch.setattr(metering, "_write", overtaken)
    assert len(run_pass(bank).notes) == 1
    assert len(calls) == 2


# -- what is settled, and what is not ----------------------------------------------------------


@pytest.mark.parametrize(("verb", "su"), [("refund", 20), ("adjust", -20)])
@pytest.mark.parametrize("name", ["proj", "dept"])
def test_what_is_used_after_use_was_given_back_is_for_the_grant_that_ends_first(
    bank: Bank, fake: FakeSlurm, go: Go, verb: str, su: int, name: str
) -> None:
    user = fake.add_user("proj")
    for account in ("dept", "proj"):
        do(bank, "insert", account, 100)
    fake.use(user, 50 * SU)
    go(JAN)
    give(bank, name, 40, JAN, FEB, force=True)
    do(bank, verb, "proj", su, reason="by mistake")
    assert states(bank, name) == [("in force", 40)]
    # Who pays for it is not whoever paid for what was given back.
    fake.use(user, 20 * SU)
    go(JAN + HOUR)
    assert states(bank, name) == [("in force", 20)]
    go(FEB)
    assert has(bank, name) == (100, 30)


def test_what_is_used_after_a_child_left_is_for_the_grant_that_ends_first(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    own, user = fake.add_user("dept"), fake.add_user("proj")
    for account in ("dept", "proj"):
        do(bank, "insert", account, 100)
    fake.use(user, 30 * SU)
    go(JAN)
    give(bank, "dept", 40, JAN, FEB)
    fake.add_account("other")
    fake.parents["proj"] = "other"
    go(JAN + HOUR)
    fake.use(own, 20 * SU)
    go(JAN + 2 * HOUR)
    assert states(bank, "dept") == [("in force", 20)]
    go(FEB)
    assert has(bank, "dept") == (100, 0)


def test_what_was_settled_and_closed_is_forgotten(bank: Bank, go: Go) -> None:
    bank = bank._replace(settings=bank.settings._replace(on_top_up="reset"))
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, MAR)
    go(JAN + HOUR, 20)
    # From here on the longer one has paid 20, whatever else starts.
    give(bank, "test1", 50, JAN + HOUR, FEB)
    do(bank, "add", "test1", 1)
    assert (has(bank), states(bank)) == ((81, 0), [("in force", 30), ("in force", 50)])
    go(JAN + 2 * HOUR, 10)
    assert states(bank) == [("in force", 30), ("in force", 40)]


def test_what_a_grant_is_given_anew_in_a_new_period_is_not_renewed_twice(
    bank: Bank, go: Go
) -> None:
    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 70)
    do(bank, "reset_usage", "test1")
    do(bank, "renew", "test1")
    dated = [one for one in shown_grants.grants(bank, "test1") if one["carry_percent"] is not None]
    assert [one["given_su"] for one in dated] == ["50", "50"]


def test_top_ups_that_book_use_off_leave_each_grant_what_it_has_left(bank: Bank, go: Go) -> None:
    bank = bank._replace(settings=bank.settings._replace(on_top_up="reset"))
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 55)
    do(bank, "add", "test1", 7)
    assert (has(bank), states(bank)) == ((12, 0), [("in force", 0)])
    go(FEB)
    assert has(bank) == (12, 0)


@pytest.mark.parametrize("back", [0, 20, 50])
def test_a_grant_ends_after_a_child_whose_use_it_paid_has_moved_away(
    bank: Bank, fake: FakeSlurm, calendar: Calendar, back: int
) -> None:
    association = fake.add_user("proj")
    fake.add_account("other")
    for name in ("dept", "proj", "other"):
        do(bank, "insert", name, 100)
    fake.use(association, 20 * SU)
    enforce(bank)
    give(bank, "dept", 50, JAN, FEB)
    fake.use(association, 30 * SU)
    enforce(bank)
    assert (has(bank, "dept"), states(bank, "dept")) == ((150, 50), [("in force", 20)])
    if back:
        do(bank, "refund", "proj", back)
    fake.parents["proj"] = "other"
    enforce(bank)
    assert (has(bank, "dept"), states(bank, "dept")) == ((150, 0), [("in force", 50)])
    assert has(bank, "other") == (100, 50 - back)
    calendar.now = FEB
    enforce(bank)
    assert has(bank, "dept") == (100, 0)
    fake.parents["proj"] = "dept"
    enforce(bank)
    assert has(bank, "dept") == (100, 50 - back)


def test_an_account_that_owes_is_paid_for_by_what_it_is_given_for_a_time(
    bank: Bank, fake: FakeSlurm, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 0)
    do(bank, "set_credit", "test1", 40)
    do(bank, "transfer", "test1", 30, to="dept")
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 25)
    assert (has(bank), states(bank), standing(bank).available) == (
        (20, 25),
        [("in force", 25)],
        35 * SU,
    )
    go(FEB)
    # What it has not used goes back, and what it owes stays.
    assert (has(bank), standing(bank).available) == ((-30, 0), 10 * SU)
    assert not fake.limits["test1"]
    do(bank, "modify", "test1", 5)
    assert has(bank) == (5, 0)


def test_an_unlimited_account_has_grants_that_end(bank: Bank, fake: FakeSlurm, go: Go) -> None:
    do(bank, "insert", "test1", None)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 70)
    assert (states(bank), fake.limits["test1"]) == ([("in force", 0)], {})
    go(FEB)
    assert (has(bank), fake.limits["test1"]) == ((0, 20), {})


# -- more of what is refused, and of what is not -----------------------------------------------


def test_what_is_closed_has_no_credit_when_it_is_opened_again(bank: Bank) -> None:
    do(bank, "insert", "test1", 10)
    do(bank, "set_credit", "test1", 5)
    do(bank, "delete", "test1", force=True)
    do(bank, "insert", "test1", 10)
    assert standing(bank).available == 10 * SU


def test_an_account_that_is_promised_something_is_closed_only_with_force(bank: Bank) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, FEB, MAR)
    with pytest.raises(Refusal, match="has 0 SUs left and 50 promised"):
        do(bank, "delete", "test1")
    do(bank, "delete", "test1", force=True)


def test_a_limit_and_what_is_promised_are_together_no_more_than_a_limit_can_be(bank: Bank) -> None:
    do(bank, "insert", "test1", 1)
    give(bank, "test1", MAX_SU // 2, FEB, MAR)
    for verb in ("modify", "add", "deposit"):
        with pytest.raises(Refusal, match="give less"):
            do(bank, verb, "test1", MAX_SU // 2)
    with pytest.raises(Refusal, match="give less"):
        give(bank, "test1", MAX_SU // 2, FEB, MAR)


def test_an_account_that_a_grant_opens_counts_from_now_where_the_site_says_so(
    bank: Bank, fake: FakeSlurm, meter: int
) -> None:
    bank = bank._replace(settings=bank.settings._replace(usage_baseline="now"))
    do(bank, "insert", "test1", 10)
    do(bank, "delete", "test1", force=True)
    fake.use(meter, 30 * SU)
    give(bank, "test1", 50, JAN, FEB)
    assert has(bank) == (50, 0)


def test_a_repeat_is_an_answer_also_when_the_grant_is_over(bank: Bank, calendar: Calendar) -> None:
    give(bank, "test1", 50, JAN, FEB, key="a")
    calendar.now = FEB
    command = Command("grant", "test1", 50 * SU, key="a", start_at=JAN, end_at=FEB)
    assert grants.grant(bank, command)["is_repeat"]


def test_a_grant_that_would_be_over_is_not_renewed(bank: Bank, calendar: Calendar) -> None:
    give(bank, "test1", 50, JAN, FEB)
    calendar.now = APR
    with pytest.raises(InputError, match="from 2027-02-01 until before 2027-03-01 is over"):
        do(bank, "renew", "test1")
    with pytest.raises(InputError, match="--start needs --end"):
        do(bank, "renew", "test1", start_at=APR)
    do(bank, "renew", "test1", end_at=APR + HOUR)
    assert states(bank) == [("over", 0), ("in force", 50)]


def test_a_grant_whose_successor_no_calendar_has_is_not_renewed(bank: Bank) -> None:
    give(bank, "test1", 50, JAN, moment("9000-01-01", ""))
    with pytest.raises(InputError, match="after the year 9999"):
        do(bank, "renew", "test1")


def test_the_grant_that_is_named_is_renewed(bank: Bank) -> None:
    first = give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 60, JAN, MAR)
    do(bank, "renew", "test1", grant_id=first)
    assert [one["given_su"] for one in shown_grants.grants(bank, "test1")[1:]] == ["50", "60", "50"]
    with pytest.raises(Refusal, match=f"no grant {first - 1} that can be renewed; it has had"):
        do(bank, "renew", "test1", grant_id=first - 1)
    do(bank, "insert", "dept", 1)
    with pytest.raises(Refusal, match="has had no grant with dates"):
        do(bank, "renew", "dept")


def test_what_was_carried_over_is_not_renewed_nor_called_so_by_others(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 50, JAN, FEB, carry_percent=100)
    go(FEB)
    do(bank, "renew", "test1")
    assert states(bank) == [("over", 0), ("in force", 50), ("in force", 50)]
    with pytest.raises(InputError, match="is what the bank itself says"):
        give(bank, "test1", 1, FEB, MAR, kind="carry-over 2")


def test_an_account_that_owes_is_never_written_as_one_without_limit(
    bank: Bank, tmp_path: Path
) -> None:
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 5)
    do(bank, "set_credit", "test1", 1)
    do(bank, "transfer", "test1", 1, to="dept")
    give(bank, "dept", 5, JAN, FEB)
    dumps.export_csv(bank, str(tmp_path / "grants.csv"))
    assert "test1,-1," not in (tmp_path / "grants.csv").read_text()
    dumped = dumps.dump_json(bank, str(tmp_path / "dump.json"))
    assert dumped["notes"] == [
        f"not in it: {what}; 'backup' copies all"
        for what in (
            "the debts of test1",
            "the credit of test1",
            "the dates of grants, and grants that are promised, of dept",
        )
    ]
    plan = differences.plan_repopulate(bank, "repopulate_json", dumped["file"], reason="")
    assert plan.differences == []


@pytest.mark.parametrize("on_end", ["hold", "renew", "report"])
def test_a_period_has_no_end_where_grants_with_dates_are_all_there_is(
    bank: Bank, fake: FakeSlurm, go: Go, on_end: str
) -> None:
    bank = bank._replace(
        settings=bank.settings._replace(check_dates=True, on_end=on_end, proposal_length_days=30)
    )
    give(bank, "test1", 50, JAN, APR)
    go(JAN + HOUR, 5)
    bank.clock.now = MAR  # type: ignore[attr-defined]
    assert dates.describe(bank, "test1")["has_end"] is False
    enforce(bank)
    assert not fake.limits["test1"]
    with reading(bank.database) as reader:
        assert reader.query("SELECT event FROM notice WHERE event LIKE 'period%'") == []
    do(bank, "add", "test1", 1)
    assert dates.describe(bank, "test1")["has_end"] is True
    enforce(bank)
    assert bool(fake.limits["test1"]) == (on_end == "hold")


def test_a_refund_of_a_child_releases_the_account_above_it_at_once(
    bank: Bank, fake: FakeSlurm
) -> None:
    association = fake.add_user("proj")
    for name in ("dept", "proj"):
        do(bank, "insert", name, 10)
    fake.use(association, 12 * SU)
    enforce(bank)
    assert fake.limits["dept"]
    do(bank, "refund", "proj", 3)
    assert not fake.limits["dept"]
    do(bank, "adjust", "proj", 1, reason="on the test nodes")
    assert fake.limits["dept"]


# -- rehearsed ---------------------------------------------------------------------------------


def test_a_pass_that_is_rehearsed_says_what_grants_that_are_due_will_do(
    bank: Bank, fake: FakeSlurm, calendar: Calendar, meter: int
) -> None:
    for name in ("test1", "dept", "proj"):
        do(bank, "insert", name, 0, force=True)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "dept", 50, FEB, MAR)
    give(bank, "proj", 10, FEB, MAR, force=True)
    association = fake.add_user("proj")
    enforce(bank)
    assert (bool(fake.limits["test1"]), bool(fake.limits["dept"])) == (False, True)
    calendar.now = FEB
    fake.use(association, 12 * SU)
    fake.use(meter, 1)
    before = written(bank)
    outcome = run_pass(bank, dry_run=True)
    (done,) = outcome.passes
    assert written(bank) == before
    real = run_pass(bank)
    assert real.notes == outcome.notes
    assert len(real.notes) == 3
    assert (done.held_now, done.released) == (["test1"], ["dept"])
    assert real.passes == [done]


def test_a_renewal_that_is_rehearsed_leaves_grants_with_dates_what_they_have_left(
    bank: Bank, fake: FakeSlurm, calendar: Calendar, meter: int
) -> None:
    bank = bank._replace(
        settings=bank.settings._replace(
            check_dates=True, on_end="renew", proposal_length_days=30, enforcement="limit"
        )
    )
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, APR)
    calendar.now = FEB
    fake.use(meter, 45 * SU)
    (rehearsed,) = run_pass(bank, dry_run=True).passes
    (done,) = run_pass(bank).passes
    assert has(bank) == (15, 0)
    assert (rehearsed.limited, rehearsed.held) == (done.limited, done.held)
    fake.use(meter, 20 * SU)
    calendar.now = MAR + 120 * HOUR
    (rehearsed,) = run_pass(bank, dry_run=True).passes
    (done,) = run_pass(bank).passes
    assert has(bank) == (10, 0)
    assert (rehearsed.limited, rehearsed.held) == (done.limited, done.held)


def test_a_renewal_and_a_grant_that_starts_are_rehearsed_together(
    bank: Bank, fake: FakeSlurm, calendar: Calendar, meter: int
) -> None:
    bank = bank._replace(
        settings=bank.settings._replace(check_dates=True, on_end="renew", proposal_length_days=30)
    )
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, APR)
    give(bank, "test1", 20, FEB, APR)
    calendar.now = FEB
    fake.use(meter, 80 * SU)
    rehearsed = run_pass(bank, dry_run=True)
    assert rehearsed.passes == run_pass(bank).passes
    assert has(bank) == (10, 0)


@pytest.mark.parametrize(
    ("verb", "su", "more"),
    [
        ("deposit", 5, {}),
        ("withdraw", 5, {}),
        ("transfer", 5, {"to": "dept"}),
        ("refund", 5, {}),
        ("adjust", 5, {"reason": "x"}),
        ("adjust", -5, {"reason": "x"}),
        ("set_credit", 5, {}),
        ("grant", 5, {"start_at": JAN, "end_at": APR}),
        ("grant", 5, {"start_at": FEB, "end_at": APR}),
        ("renew", 5, {}),
        ("reset_usage", None, {}),
        ("delete", None, {"force": True}),
    ],
)
def test_whatever_is_rehearsed_writes_nothing_and_answers_alike(
    bank: Bank, fake: FakeSlurm, go: Go, verb: str, su: float | None, more: dict[str, Any]
) -> None:
    do(bank, "insert", "test1", 100)
    do(bank, "insert", "dept", 10)
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    before, limits = written(bank), repr(fake.limits)
    rehearsed = do(bank, verb, "test1", su, dry_run=True, key="k", **more)
    assert (written(bank), repr(fake.limits)) == (before, limits)
    done = do(bank, verb, "test1", su, key="k", **more)
    assert rehearsed["is_dry_run"]
    assert {**rehearsed, "is_dry_run": False} == done
    assert not upkeep.verify(bank)


def test_a_dump_changes_what_has_no_end_and_leaves_the_dates(
    bank: Bank, go: Go, tmp_path: Path
) -> None:
    files = iter(tmp_path / f"dump{number}.json" for number in range(9))

    def take(su: int) -> None:
        path = next(files)
        dumps.dump_json(bank, str(path))
        text = re.sub(r'_hrs": [0-9]+', f'_hrs": {su}', path.read_text())
        path.with_suffix(".new").write_text(text)
        new = str(path.with_suffix(".new"))
        plan = differences.plan_repopulate(bank, "repopulate_json", new, reason="")
        applying.apply(bank, plan, dry_run=True)
        applying.apply(bank, plan, dry_run=False)

    do(bank, "insert", "test1", 100)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 30, FEB, MAR)
    go(JAN + HOUR, 20)
    take(120)
    assert (has(bank), states(bank)) == ((120, 20), [("in force", 30), ("promised", 30)])
    with pytest.raises(Refusal, match="test1 49 .its grants with dates have 50.; 'withdraw --gr"):
        take(49)
    # What is due is done before.
    bank.clock.now = FEB  # type: ignore[attr-defined]
    take(60)
    assert (has(bank), states(bank)) == ((60, 0), [("over", 0), ("in force", 30)])


# -- clocks and zones --------------------------------------------------------------------------


def test_a_clock_that_was_set_back_undoes_nothing(bank: Bank, calendar: Calendar, go: Go) -> None:
    do(bank, "insert", "test1", 10)
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 30, FEB, MAR)
    go(FEB, 5)
    calendar.now = JAN + HOUR
    go(JAN + HOUR, 2)
    assert (has(bank), states(bank)) == ((40, 7), [("over", 0), ("in force", 23)])
    go(MAR)
    assert has(bank) == (10, 0)


@pytest.mark.parametrize(
    ("start", "end", "new_end"),
    [
        # The clock was put on, and back: days are those of the wall, however long they are.
        ("2027-03-01", "2027-04-01", "2027-05-01"),
        ("2027-03-21", "2027-03-28", "2027-04-04"),
        ("2027-10-24", "2027-10-31", "2027-11-07"),
        ("2027-10-30T12:00", "2027-10-31T12:00", "2027-11-01T12:00:00"),
        ("2027-03-27T02:30", "2027-03-28T03:30", "2027-03-29T04:30:00"),
    ],
)
def test_spans_over_a_change_of_the_clock(start: str, end: str, new_end: str) -> None:
    use_zone("Europe/Berlin")
    assert day_text(same_span_after(moment(start, ""), moment(end, ""))) == new_end


# -- told --------------------------------------------------------------------------------------


def test_history_says_of_grants_what_people_can_read(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    do(bank, "set_credit", "test1", 2.5)
    go(JAN + HOUR, 5)
    first = give(bank, "test1", 50, FEB, MAR, kind="INCITE")
    go(FEB, 5)
    give(bank, "test1", 7, FEB, APR)
    do(bank, "withdraw", "test1", 3, grant_id=first)
    go(MAR, 5)
    told = [(one["kind"], one["reference"]) for one in history.history(bank, "test1")]
    span = "from 2027-02-01 until before 2027-03-01, INCITE"
    after = f"{first + 1} in force, from 2027-02-01 until before 2027-04-01, allocation"
    assert [one for one in told if one[0] in ("grant", "credit")] == [
        ("credit", "2.5 SUs"),
        ("grant", f"{first} of 50 SUs promised, {span}"),
        ("grant", f"{first} in force, {span}"),
        ("grant", after.replace("in force", "of 7 SUs promised")),
        ("grant", after),
        ("grant", f"{first} over, {span}"),
    ]
    assert not [kind for kind, _ in told if "changed" in kind]


def test_grants_of_different_years_do_not_add_up_to_a_larger_share(bank: Bank) -> None:
    for name in ("dept", "proj"):
        do(bank, "insert", name, 0)
    give(bank, "dept", 500, JAN, FEB)
    give(bank, "dept", 500, FEB, MAR)
    with pytest.raises(Refusal, match=r"proj would have 900 SUs, and dept .* has 500"):
        give(bank, "proj", 900, JAN, FEB)
    give(bank, "proj", 500, JAN, FEB)
    with pytest.raises(Refusal, match=r"proj would have 501 SUs from 2027-02-01 on, and dept"):
        give(bank, "proj", 501, FEB, MAR)


def test_a_refusal_says_from_when_on_the_parent_has_more(bank: Bank) -> None:
    for name in ("dept", "proj"):
        do(bank, "insert", name, 0)
    give(bank, "dept", 500, FEB, APR)
    give(bank, "dept", 200, MAR, APR)
    with pytest.raises(Refusal, match=r"dept .* has 0 now, and 500 from 2027-02-01 on: give dept"):
        do(bank, "add", "proj", 100)
    with pytest.raises(Refusal, match=r"dept .* has 500, and 700 from 2027-03-01 on: give dept"):
        give(bank, "proj", 501, FEB, APR)


# -- limits of users ----------------------------------------------------------------------------


def users(bank: Bank) -> list[tuple[str, str]]:
    """Return who of test1 has a limit and what of it is used, when the books agree."""
    assert not upkeep.verify(bank)
    return [(one["user"], one["used_su"]) for one in looking.balance(bank, "test1")[0]["users"]]


def test_next_years_grant_lets_users_use_their_limits_again(
    bank: Bank, fake: FakeSlurm, meter: int, go: Go
) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 500, JAN, FEB)
    give(bank, "test1", 500, FEB, MAR)
    user_limits.limit_user(bank, Command("limit_user", "test1", 100 * SU, user="ada"))
    go(JAN + HOUR, 100)
    go(FEB - 1)
    assert (users(bank), bool(fake.user_limits[meter])) == ([("ada", "100")], True)
    bank.clock.now = FEB  # type: ignore[attr-defined]
    assert run_pass(bank, dry_run=True).passes[0].users.released == [("test1", "ada")]
    go(FEB)
    assert (users(bank), bool(fake.user_limits[meter])) == ([("ada", "0")], False)
    go(FEB + HOUR, 30)
    assert users(bank) == [("ada", "30")]


def test_a_grant_beside_another_lets_nobody_use_a_limit_again(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 500, JAN, FEB, carry_percent=100)
    give(bank, "test1", 50, JAN + 2 * HOUR, MAR)
    go(JAN + HOUR, 60)
    user_limits.limit_user(bank, Command("limit_user", "test1", 100 * SU, user="ada"))
    go(JAN + 2 * HOUR)
    assert users(bank) == [("ada", "60")]
    # Nor what is carried over, or given, while another one is in force.
    give(bank, "test1", 500, FEB, APR)
    go(FEB)
    assert users(bank) == [("ada", "60")]
    go(APR)
    give(bank, "test1", 1, APR, APR + HOUR)
    assert users(bank) == [("ada", "0")]


@pytest.mark.parametrize("su", [1, None])
def test_where_something_has_no_end_periods_are_those_of_that(
    bank: Bank, go: Go, su: float | None
) -> None:
    do(bank, "insert", "test1", su)
    give(bank, "test1", 500, JAN, FEB)
    give(bank, "test1", 500, FEB, MAR)
    user_limits.limit_user(bank, Command("limit_user", "test1", 100 * SU, user="ada"))
    go(JAN + HOUR, 60)
    go(FEB)
    assert users(bank) == [("ada", "60")]


def test_what_was_used_before_the_first_grant_counts_for_the_user_too(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 0)
    go(JAN + HOUR, 12)
    give(bank, "test1", 500, JAN, FEB)
    user_limits.limit_user(bank, Command("limit_user", "test1", 100 * SU, user="ada"))
    assert users(bank) == [("ada", "12")]


# -- what a reading of the whole has found ------------------------------------------------------


def test_no_period_begins_anew_where_all_that_there_is_has_dates(bank: Bank, go: Go) -> None:
    """What nobody could pay stays to be paid; it was written off with each period."""
    bank = bank._replace(
        settings=bank.settings._replace(check_dates=True, on_end="renew", proposal_length_days=20)
    )
    give(bank, "test1", 100, JAN, APR)
    go(JAN + HOUR, 130)
    bank.clock.now = FEB  # type: ignore[attr-defined]
    enforce(bank)
    assert has(bank) == (100, 130)
    give(bank, "test1", 100, FEB, MAR)
    assert standing(bank).left == 70 * SU


def test_what_is_owed_is_not_forgiven_by_closing_the_account(bank: Bank) -> None:
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 0)
    do(bank, "set_credit", "test1", 50)
    do(bank, "transfer", "test1", 30, to="dept")
    with pytest.raises(Refusal, match="owes 30 SUs"):
        do(bank, "delete", "test1")
    do(bank, "delete", "test1", force=True)


def test_what_is_transferred_keeps_what_is_carried_over_of_it(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 0)
    do(bank, "insert", "dept", 0)
    give(bank, "test1", 100, JAN, FEB)
    give(bank, "dept", 1, JAN, FEB, carry_percent=100)
    do(bank, "transfer", "test1", 100, to="dept")
    go(FEB)
    assert has(bank, "dept") == (1, 0)


def test_a_grant_from_before_1970_has_a_history(bank: Bank) -> None:
    do(bank, "insert", "test1", 0)
    give(bank, "test1", 100, moment("1960-01-01", ""), FEB)
    told = [one["reference"] for one in history.history(bank, "test1") if one["kind"] == "grant"]
    assert "from 1960-01-01 until before 2027-02-01" in str(told)


def test_a_period_begun_on_the_day_of_the_one_before_is_one_of_its_own(bank: Bank, go: Go) -> None:
    do(bank, "insert", "test1", 100)
    go(JAN + HOUR, 40)
    go(JAN + 2 * HOUR)
    do(bank, "reset_usage", "test1")
    go(JAN + 3 * HOUR, 5)
    told = usage.usage(bank, "test1")
    assert [row["used_billing_seconds"] for row in told["rows"]] == [5 * SU]
