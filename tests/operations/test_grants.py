"""Grants with dates, on a model of Slurm: who pays, what ends, what is carried over."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bank.errors import InputError, Refusal
from bank.operations import corrections, grants, movements, transfers, upkeep
from bank.operations.bank import Bank, use_zone
from bank.operations.commands import Command
from bank.operations.days import day_text, moment, same_span_after
from bank.operations.enforcement import enforce
from bank.store import read
from bank.store.connect import reading
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
    return int(grants.grants(bank, name)[-1]["grant"])


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
        for one in grants.grants(bank, name)
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
    do(bank, "deposit", "test1", 10, grant_id=grants.grants(bank, "test1")[-1]["grant"])
    go(JAN + HOUR, 20)
    do(bank, "renew", "test1")
    do(bank, "renew", "test1", 7, kind="more")
    _, first, second, third = grants.grants(bank, "test1")
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
def test_days_are_those_of_the_named_zone(
    zone: str, text: str, utc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
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
    assert fake.limits["test1"]
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
    do(bank, "adjust", "test1", 5, reason="on the test nodes")
    assert has(bank) == (100, 20)
    do(bank, "adjust", "test1", -19, reason="not theirs")
    assert has(bank) == (100, 1)
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
