"""Grants with dates as CSV: every line one that the bank has, promises, or is told to change."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bank.errors import BankError, InputError, Refusal, SlurmTimedOut
from bank.ledger.amounts import MAX_SU
from bank.operations import applying, dumps, grants, movements, shown_grants, transfers, upkeep
from bank.operations.bank import Bank, use_zone
from bank.operations.commands import Command
from bank.operations.days import exact_text, moment, zone_name
from bank.operations.differences import describe, plan_import, plan_repopulate
from bank.operations.enforcement import enforce
from bank.store import accounts, read
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU

pytestmark = pytest.mark.usefixtures("in_utc")
JAN, FEB, MAR, APR = (moment(f"2027-0{month}-01", "") for month in range(1, 5))
HOUR = 3_600_000_000
HEAD = "account,su,start,kind,reason,end,carry,owed\n"
NEW_HEAD = "account,su,start,kind,reason,end,carry,owed,zone\n"
OLD_HEAD = "account,su,start,kind,reason\n"
IN_JAN = "2027-01-01,allocation,,2027-02-01"
IN_FEB = "2027-02-01,allocation,,2027-03-01"


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
    """A bank on the first of January 2027 with "test1", which has 100 SUs."""
    bank = bank._replace(clock=calendar, warn=lambda _: None)
    movements.insert(bank, Command("insert", "test1", 100 * SU, "year 1"))
    return bank


@pytest.fixture
def go(bank: Bank, fake: FakeSlurm, calendar: Calendar) -> Callable[..., None]:
    """Let it be a time, some SUs be used until then, and a pass run."""
    meter = fake.add_user("test1")

    def run(at: int, used: float = 0) -> None:
        calendar.now = at
        fake.use(meter, int(used * SU))
        enforce(bank)

    return run


Go = Callable[..., None]


def give(bank: Bank, name: str, su: float, start: int, end: int, **more: Any) -> int:  # noqa: ANN401
    """Give a grant with dates; return its number."""
    command = Command("grant", name, int(su * SU), start_at=start, end_at=end, **more)
    return int(grants.grant(bank, command)["grant"]["grant"])


def exported(bank: Bank, directory: Path) -> str:
    path = directory / f"export{len(list(directory.glob('export*')))}"
    dumps.export_csv(bank, str(path))
    return path.read_bytes().decode().replace("\r\n", "\n")


def lines(bank: Bank, directory: Path) -> list[str]:
    """Return what an export has beside its names of columns."""
    return exported(bank, directory).splitlines()[1:]


def import_csv(
    bank: Bank,
    directory: Path,
    *rows: str,
    head: str = HEAD,
    reason: str = "",
    force: bool = False,
) -> list[tuple[str | None, ...]]:
    """Import lines; return what was different."""
    path = directory / "grants.csv"
    path.write_text(head + "".join(f"{row}\n" for row in rows))
    plan = plan_import(bank, str(path), reason=reason, force=force)
    applying.apply(bank, plan, dry_run=True)
    applying.apply(bank, plan, dry_run=False)
    assert upkeep.verify(bank) == []
    # The same file again is no difference.
    assert plan_import(bank, str(path), reason="").differences == []
    said = ("account", "start", "change", "before", "after")
    return [tuple(line[what] for what in said) for line in describe(plan)["differences"]]


def states(bank: Bank, name: str = "test1") -> list[tuple[str, float]]:
    """Return the state of each grant with dates, and what it has left."""
    return [
        (one["state"], one["left_billing_seconds"] / SU)
        for one in shown_grants.grants(bank, name)
        if one["carry_percent"] is not None
    ]


def limit(bank: Bank, name: str = "test1") -> float:
    with reading(bank.database) as reader:
        standing = read.standing(reader, name)
    assert standing is not None
    return standing.account.books.granted / SU


def entries(bank: Bank, name: str = "test1") -> list[tuple[Any, ...]]:
    with reading(bank.database) as reader:
        rows = reader.query(
            "SELECT kind, amount, reason, reference FROM entry JOIN account USING (account_id)"
            " WHERE name = :name ORDER BY seq",
            name=name,
        )
    return [(kind, amount / SU, reason, (what or "")[:7]) for kind, amount, reason, what in rows]


# -- what is exported --------------------------------------------------------------------------


def test_a_line_for_each_grant_that_is_promised_or_in_force(
    bank: Bank, go: Go, tmp_path: Path
) -> None:
    movements.insert(bank, Command("insert", "dept", None))
    give(bank, "test1", 50, JAN, FEB, carry_percent=10, reason="call 1")
    give(bank, "test1", 7, FEB + HOUR, MAR, kind='of "it"', reason="next, year")
    give(bank, "dept", 5, JAN, MAR)
    go(JAN + HOUR, 60)
    assert exported(bank, tmp_path) == (
        NEW_HEAD
        + "dept,-1,2027-01-01,allocation,,,,,\n"
        + "dept,5,2027-01-01,allocation,,2027-03-01,0,,UTC\n"
        + "test1,100,2027-01-01,allocation,year 1,,,,\n"
        + "test1,50,2027-01-01,allocation,call 1,2027-02-01,10,,UTC\n"
        + 'test1,7,2027-02-01T01:00:00,"of ""it""","next, year",2027-03-01,0,,UTC\n'
    )
    go(FEB)
    assert lines(bank, tmp_path) == [
        "dept,-1,2027-01-01,allocation,,,,,",
        "dept,5,2027-01-01,allocation,,2027-03-01,0,,UTC",
        "test1,100,2027-01-01,allocation,year 1,,,,",
        'test1,7,2027-02-01T01:00:00,"of ""it""","next, year",2027-03-01,0,,UTC',
    ]


def test_what_has_ended_is_not_in_it_also_before_a_pass_has_seen_it(
    bank: Bank, fake: FakeSlurm, go: Go, calendar: Calendar, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 20 * 60
    go(JAN + HOUR)
    calendar.now = FEB
    path = tmp_path / "now"
    assert dumps.export_csv(bank, str(path))["notes"] == [
        "not in it: what is left of grants that have ended of test1; 'backup' copies all"
    ]
    assert len(path.read_text().splitlines()) == 2
    go(FEB)
    assert states(bank) == [("ending", 20)]
    assert lines(bank, tmp_path) == ["test1,100,2027-01-01,allocation,year 1,,,,"]
    # Nor where a clock is set back: what it has is for the jobs that run.
    calendar.now = FEB - HOUR
    assert lines(bank, tmp_path) == ["test1,100,2027-01-01,allocation,year 1,,,,"]


def test_a_grant_is_what_it_was_given_whatever_of_it_was_used_and_closed(
    bank: Bank, go: Go, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, APR)
    before = exported(bank, tmp_path)
    go(JAN + HOUR, 20)
    assert exported(bank, tmp_path) == before
    # What a new period gives again it was not given twice.
    movements.reset_usage(bank, Command("reset_usage", "test1", reason="year 1"))
    assert limit(bank) == 150
    assert exported(bank, tmp_path) == before
    go(JAN + 2 * HOUR, 10)
    # In a period that ends by itself it keeps what it has left, and was given as much as before.
    settings = bank.settings._replace(check_dates=True, on_end="renew", proposal_length_days=30)
    bank.clock.now = FEB  # type: ignore[attr-defined]
    enforce(bank._replace(settings=settings))
    assert (limit(bank), states(bank)) == (140, [("in force", 40)])
    (_, line) = lines(bank, tmp_path)
    assert line == "test1,50,2027-01-01,allocation,,2027-04-01,0,,UTC"


def test_grants_of_one_span_and_kind_are_one_line(bank: Bank, tmp_path: Path) -> None:
    give(bank, "test1", 50, JAN, FEB, carry_percent=5)
    give(bank, "test1", 7, JAN, FEB, carry_percent=5)
    assert lines(bank, tmp_path)[1:] == [f"test1,57,{IN_JAN},5,,UTC"]
    assert import_csv(bank, tmp_path, f"test1,60,{IN_JAN},,") == [
        ("test1", "2027-01-01", "raised", "57", "60")
    ]
    assert states(bank) == [("in force", 53), ("in force", 7)]
    import_csv(bank, tmp_path, f"test1,4,{IN_JAN},,")
    assert states(bank) == [("in force", 0), ("in force", 4)]
    # Where they differ no line can say it; one that does makes them all so.
    give(bank, "test1", 1, JAN, FEB, carry_percent=6)
    path = tmp_path / "differs"
    (note,) = dumps.export_csv(bank, str(path))["notes"]
    assert "what is carried over of grants of one span and kind that differ in it of test1" in note
    assert f"test1,5,{IN_JAN},,,UTC\r\n" in path.read_bytes().decode()
    assert import_csv(bank, tmp_path, f"test1,5,{IN_JAN},8,") == [
        ("test1", "2027-01-01", "carry", None, "8 %")
    ]
    assert {one["carry_percent"] for one in shown_grants.grants(bank, "test1")} == {None, 8}


@pytest.mark.parametrize("su", [1, 2, 50])
def test_a_debt_goes_out_and_comes_in_and_is_never_unlimited(
    bank: Bank, fake: FakeSlurm, tmp_path: Path, su: int
) -> None:
    movements.set_credit(bank, Command("set_credit", "test1", 50 * SU))
    movements.insert(bank, Command("insert", "dept", 0, "lent"))
    transfers.transfer(bank, Command("transfer", "test1", (100 + su) * SU, to="dept"))
    path = tmp_path / "debt"
    dumps.export_csv(bank, str(path))
    assert f"test1,0,2027-01-01,allocation,year 1,,,{su},\r\n" in path.read_bytes().decode()
    assert plan_import(bank, str(path), reason="").differences == []
    other = another(bank, tmp_path)
    plan = plan_import(other, str(path), reason="")
    applying.apply(other, plan, dry_run=False)
    assert (limit(other), limit(other, "dept")) == (-su, 100 + su)
    assert exported(other, tmp_path) == exported(bank, tmp_path)
    assert upkeep.verify(other) == []
    # It may owe more, less and nothing again.
    for owed in (su + 1, su, 0):
        row = f"test1,0,2027-01-01,allocation,year 1,,,{owed}"
        import_csv(other, tmp_path, row)
        assert limit(other) == -owed
    assert fake.limits["test1"]


def another(bank: Bank, directory: Path) -> Bank:
    """Return a bank without accounts beside another one."""
    settings = bank.settings._replace(database=str(directory / "other.db"))
    other = bank._replace(settings=settings)
    upkeep.migrate(other, dry_run=False)
    return other


# -- what a line does --------------------------------------------------------------------------


def test_a_line_promises_and_what_has_started_begins_at_once(bank: Bank, tmp_path: Path) -> None:
    assert import_csv(
        bank,
        tmp_path,
        "test1,50,2026-12-01,INCITE,call 2,2027-02-01,20,",
        f"test1,7.5,{IN_FEB},,",
    ) == [
        ("test1", "2026-12-01", "granted", None, "50"),
        ("test1", "2026-12-01", "carry", "0 %", "20 %"),
        ("test1", "2027-02-01", "granted", None, "7.5"),
    ]
    assert states(bank) == [("in force", 50), ("promised", 7.5)]
    assert (limit(bank), len(entries(bank))) == (150, 2)
    # What no line says stays as it is.
    assert import_csv(bank, tmp_path, f"test1,8,{IN_FEB},,") == [
        ("test1", "2027-02-01", "raised", "7.5", "8")
    ]
    assert (limit(bank), states(bank)) == (150, [("in force", 50), ("promised", 8)])


def test_what_a_new_grant_carries_over_is_the_sites_where_no_line_says_it(
    bank: Bank, tmp_path: Path
) -> None:
    bank = bank._replace(settings=bank.settings._replace(carry_over_percent=25))
    import_csv(bank, tmp_path, f"test1,50,{IN_JAN},,", f"test1,50,{IN_FEB},0,")
    # And it stays so.
    bank = bank._replace(settings=bank.settings._replace(carry_over_percent=30))
    import_csv(bank, tmp_path, f"test1,51,{IN_JAN},,", f"test1,50,{IN_FEB},5,")
    assert [one["carry_percent"] for one in shown_grants.grants(bank, "test1")] == [None, 25, 5]


def test_a_line_sets_what_a_grant_was_given(bank: Bank, go: Go, tmp_path: Path) -> None:
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    assert import_csv(bank, tmp_path, "test1,60,2027-01-01,allocation,more,2027-02-01,,") == [
        ("test1", "2027-01-01", "raised", "50", "60")
    ]
    assert (limit(bank), states(bank)) == (160, [("in force", 40)])
    import_csv(bank, tmp_path, f"test1,20,{IN_JAN},,", reason="by decree")
    assert (limit(bank), states(bank)) == (120, [("in force", 0)])
    assert entries(bank)[-2:] == [
        ("deposit", 10, "more", "import "),
        ("withdrawal", 40, "by decree", "import "),
    ]


def test_no_more_is_taken_back_than_is_neither_used_nor_set_aside(
    bank: Bank, fake: FakeSlurm, go: Go, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    go(JAN + HOUR, 20)
    row = f"test1,19.5,{IN_JAN},,"
    with pytest.raises(Refusal, match=r"30\.5 SUs cannot be taken back from the grant of test1, all"
                       r"ocation, 2027-01-01 until before 2027-02-01: it has 30 that"):  # fmt: skip
        import_csv(bank, tmp_path, row)
    import_csv(bank, tmp_path, f"test1,20,{IN_JAN},,")
    import_csv(bank, tmp_path, f"test1,50,{IN_JAN},,")
    movements.withdraw(bank, Command("withdraw", "test1", 90 * SU))
    fake.running["test1"] = 25 * 60
    go(JAN + 2 * HOUR)
    # 60 given to it, 20 used, 25 set aside.
    assert (limit(bank), states(bank)) == (60, [("in force", 0)])


def test_what_the_grant_without_an_end_owes_keeps_none_of_a_grant_with_dates(
    bank: Bank, go: Go, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    import_csv(bank, tmp_path, "test1,0,2027-01-01,allocation,,,,60")
    go(JAN + HOUR, 20)
    with pytest.raises(Refusal, match="it has 30 that are neither used nor set aside"):
        import_csv(bank, tmp_path, f"test1,19,{IN_JAN},,")
    import_csv(bank, tmp_path, f"test1,20,{IN_JAN},,")
    assert limit(bank) == -40


def test_what_was_used_is_read_before_anything_is_taken_back(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    fake.use(fake.add_user("test1"), 45 * SU)
    with pytest.raises(Refusal, match="it has 5 that are neither used nor set aside"):
        import_csv(bank, tmp_path, f"test1,40,{IN_JAN},,")
    assert (limit(bank), states(bank)) == (150, [("in force", 5)])


def test_where_slurm_does_not_answer_nothing_is_taken_back(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(bank, "test1", 50, JAN, FEB)

    def silent(*_: object, **__: object) -> str:
        raise SlurmTimedOut("no answer")

    for room in ("changes", "clusters", "metering"):
        monkeypatch.setattr(f"bank.operations.{room}.run", silent)
    with pytest.raises(SlurmTimedOut):
        import_csv(bank, tmp_path, f"test1,40,{IN_JAN},,")
    assert limit(bank) == 150


def test_what_has_started_is_in_force_before_any_pass(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "enforce_soon", lambda *_, **__: None)
    import_csv(bank, tmp_path, f"test1,50,{IN_JAN},,", f"dept,7,{IN_JAN},,")
    assert (states(bank), states(bank, "dept")) == ([("in force", 50)], [("in force", 7)])
    assert (limit(bank), limit(bank, "dept")) == (150, 7)
    with reading(bank.database) as reader:
        shown = {row[1]: row[2] for row in accounts.shown_rows(reader, bank.database)}
    assert shown == {"test1": 150, "dept": 7}


def test_what_is_promised_changes_without_entries(bank: Bank, tmp_path: Path) -> None:
    give(bank, "test1", 50, FEB, MAR)
    before = entries(bank)
    assert import_csv(bank, tmp_path, f"test1,70,{IN_FEB},30,") == [
        ("test1", "2027-02-01", "raised", "50", "70"),
        ("test1", "2027-02-01", "carry", "0 %", "30 %"),
    ]
    import_csv(bank, tmp_path, f"test1,10,{IN_FEB},,")
    assert states(bank) == [("promised", 10)]
    # Nothing is promised any more, and a line of nothing promises nothing.
    import_csv(bank, tmp_path, f"test1,0,{IN_FEB},,")
    assert (states(bank), entries(bank)) == ([("over", 0)], before)


def test_what_is_given_comes_before_what_is_taken_back(
    bank: Bank, fake: FakeSlurm, go: Go, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    fake.running["test1"] = 120 * 60
    go(JAN + HOUR)
    # Of 150 there are 30 that no running job may still use.
    with pytest.raises(Refusal, match="it has 30 that"):
        import_csv(bank, tmp_path, f"test1,10,{IN_JAN},,")
    import_csv(bank, tmp_path, f"test1,10,{IN_JAN},,", "test1,120,2027-01-01,allocation,,,,")
    import_csv(bank, tmp_path, f"test1,0,{IN_JAN},,", f"test1,20,{IN_JAN.replace('all', 'x')},,")
    assert (limit(bank), states(bank)) == (140, [("in force", 0), ("in force", 20)])
    # And of the grant without an end all may be taken, as by modify, but only then.
    less = f"test1,5,{IN_JAN.replace('all', 'x')},,"
    import_csv(bank, tmp_path, "test1,1,2027-01-01,allocation,,,,", less)
    assert (limit(bank), states(bank)) == (6, [("in force", 0), ("in force", 5)])


def test_an_account_with_dates_only_is_opened_with_nothing_else(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    lines = (f"dept,50,{IN_JAN},,", f"dept,50,{IN_FEB},,", f"proj,5,{IN_FEB},,")
    assert import_csv(bank, tmp_path, *lines) == [
        ("dept", None, "opened", None, "0"),
        ("dept", None, "date", None, "2027-01-01"),
        ("dept", "2027-01-01", "granted", None, "50"),
        ("dept", "2027-02-01", "granted", None, "50"),
        ("proj", None, "opened", None, "0"),
        ("proj", None, "date", None, "2027-01-01"),
        ("proj", "2027-02-01", "granted", None, "5"),
    ]
    assert (limit(bank, "dept"), limit(bank, "proj")) == (50, 0)
    assert not fake.limits["dept"]
    assert fake.limits["proj"]


def test_a_line_without_an_end_is_about_the_grant_without_an_end(
    bank: Bank, tmp_path: Path
) -> None:
    """Also in a file of before there were dates: SUs with dates are none of its business."""
    give(bank, "test1", 50, JAN, FEB)
    assert import_csv(bank, tmp_path, "test1,100,2027-01-01,allocation,", head=OLD_HEAD) == []
    import_csv(bank, tmp_path, "test1,30,2027-01-01,allocation,", head=OLD_HEAD)
    assert (limit(bank), states(bank)) == (80, [("in force", 50)])
    import_csv(bank, tmp_path, "test1,-1,2027-01-01,allocation,", head=OLD_HEAD)
    import_csv(bank, tmp_path, "test1,10,2027-01-01,allocation,", head=OLD_HEAD)
    assert (limit(bank), states(bank)) == (60, [("in force", 50)])


def test_what_has_nothing_left_then_is_said(bank: Bank, go: Go, tmp_path: Path) -> None:
    number = give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 500, FEB, MAR)
    go(JAN + HOUR, 60)
    path = tmp_path / "grants.csv"

    def notes(su: int) -> list[str]:
        promised = f"test1,70,{IN_FEB.replace('all', 'x')},,"
        path.write_text(f"{HEAD}test1,{su},2027-01-01,allocation,,,,\n{promised}\n")
        return list(plan_import(bank, str(path), reason="").notes)

    said = "with nothing left, and so held: test1"
    # Of the 60 the grant with dates pays 50; what is promised does not count, and credit does.
    assert (notes(11), notes(10)) == ([], [said])
    movements.set_credit(bank, Command("set_credit", "test1", 3 * SU))
    assert (notes(8), notes(7)) == ([], [said])
    # What a period has closed is nothing that it still has.
    settings = bank.settings._replace(check_dates=True, on_end="renew", proposal_length_days=28)
    movements.deposit(bank, Command("deposit", "test1", 5 * SU, grant_id=number))
    bank.clock.now = JAN + 720 * HOUR  # type: ignore[attr-defined]
    enforce(bank._replace(settings=settings))
    assert (limit(bank), states(bank)[0]) == (100, ("in force", 0))
    go(JAN + 721 * HOUR, 9)
    assert (notes(7), notes(6)) == ([], [said])


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        (["test1,5,2026-12-01,x,,2027-01-01,,"], InputError, "line 3: end 2027-01-01 is over"),
        ([f"test1,5,{IN_JAN},,", f"test1,6,{IN_JAN},,"], InputError,
         "line 4: grant of test1, allocation, 2027-01-01 until before 2027-02-01, stands in line"),
        (["test1,5,2027-01-01,x,,2027-01-32,,"], InputError, "line 3: end '2027-01-32' is not a"),
        (["nosuch,5,2027-01-01,x,,2027-02-01,,"], Refusal, "Slurm has no account nosuch"),
        ([f"test1,{MAX_SU - 1},{IN_JAN},,"], Refusal, "test1 has 100 SUs, and with that it would"),
        ([f"test1,{MAX_SU - 1},{IN_FEB},,"], Refusal, "test1 has 100 SUs, and with that it would"),
        ([f"proj,{MAX_SU - 1},{IN_JAN},,", f"proj,{MAX_SU - 1},{IN_FEB},,"], Refusal,
         "proj has 0 SUs, and with that it would"),
    ],
)  # fmt: skip
def test_one_wrong_line_stops_all(
    bank: Bank, tmp_path: Path, rows: list[str], kind: type[BankError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        import_csv(bank, tmp_path, "dept,5,2027-01-01,allocation,,,,", *rows)
    with reading(bank.database) as reader:
        assert list(read.standings(reader)) == ["test1"]
    assert (limit(bank), states(bank)) == (100, [])


def test_more_than_the_account_above_has_is_given_where_that_is_meant(
    bank: Bank, tmp_path: Path
) -> None:
    movements.insert(bank, Command("insert", "dept", 10 * SU))
    dept, proj = "dept,{},2027-01-01,allocation,,,,", "proj,{},2027-01-01,allocation,,,,"
    for row in (proj.format(11), proj.format(-1), f"proj,11,{IN_JAN},,", f"proj,11,{IN_FEB},,"):
        with pytest.raises(Refusal, match=r"dept above it in Slurm's tree has 10.*--force"):
            import_csv(bank, tmp_path, row)
    # All of the file counts, in any order of its lines.
    import_csv(bank, tmp_path, proj.format(11), dept.format(11))
    with pytest.raises(Refusal, match="proj below it in Slurm's tree has 11"):
        import_csv(bank, tmp_path, dept.format(10))
    import_csv(bank, tmp_path, dept.format(10), force=True)
    # What is as it was is nobody's business.
    import_csv(bank, tmp_path, proj.format(11), dept.format(10), f"test1,5,{IN_JAN},,")
    import_csv(bank, tmp_path, f"proj,5,{IN_FEB},,", force=True)
    import_csv(bank, tmp_path, f"proj,4,{IN_FEB},,")


def test_what_is_above_an_account_that_the_bank_never_saw_slurm_says(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    movements.insert(bank, Command("insert", "dept", 10 * SU))
    fake.add_account("late", "dept")
    row = f"late,11,{IN_JAN},,"
    with pytest.raises(Refusal, match="late would have 11 SUs, and dept above it in Slurm's tree"):
        import_csv(bank, tmp_path, row)
    import_csv(bank, tmp_path, row, force=True)


def test_a_grant_that_ends_while_somebody_thinks_about_it_is_not_given(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(f"{HEAD}test1,5,{IN_JAN},,\n")
    plan = plan_import(bank, str(path), reason="")
    calendar.now = FEB
    with pytest.raises(InputError, match="account test1: end 2027-02-01 is over"):
        applying.apply(bank, plan, dry_run=False)
    assert states(bank) == []


def test_what_others_changed_since_is_not_written_over(bank: Bank, tmp_path: Path) -> None:
    number = give(bank, "test1", 50, JAN, FEB)
    path = tmp_path / "grants.csv"
    path.write_text(f"{HEAD}test1,60,{IN_JAN},,\n")
    plan = plan_import(bank, str(path), reason="")
    movements.deposit(bank, Command("deposit", "test1", SU, grant_id=number))
    with pytest.raises(Refusal, match="the books were changed since"):
        applying.apply(bank, plan, dry_run=False)
    assert states(bank) == [("in force", 51)]
    # What becomes of an account that the file does not name is no change to it.
    plan = plan_import(bank, str(path), reason="")
    movements.insert(bank, Command("insert", "dept", SU))
    give(bank, "dept", 5, FEB, MAR)
    applying.apply(bank, plan, dry_run=False)
    assert states(bank) == [("in force", 60)]


# -- what is due -------------------------------------------------------------------------------


def test_what_is_due_is_started_and_ended_first(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB, carry_percent=100)
    give(bank, "test1", 30, FEB, MAR)
    calendar.now = FEB
    # No pass has seen February yet, and nothing is carried over a second time.
    (ended,) = [
        one["grant"] for one in shown_grants.grants(bank, "test1") if one["end"] == "2027-02-01"
    ]
    carried = f"2027-02-01,carry-over {ended},,2027-03-01"
    assert import_csv(bank, tmp_path, f"test1,50,{carried},0,", f"test1,31,{IN_FEB},,") == [
        ("test1", "2027-02-01", "raised", "30", "31")
    ]
    assert states(bank) == [("over", 0), ("in force", 31), ("in force", 50)]
    assert limit(bank) == 181


def test_looking_at_a_file_starts_and_ends_nothing(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 30, FEB, MAR)
    calendar.now = FEB
    path = tmp_path / "grants.csv"
    path.write_text(f"{HEAD}test1,40,{IN_FEB},,\n")
    assert len(plan_import(bank, str(path), reason="").differences) == 1
    assert states(bank) == [("in force", 50), ("promised", 30)]


# -- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "at", "text"),
    [
        ("UTC", "2027-01-01", "2027-01-01"),
        ("Europe/Berlin", "2027-01-01", "2027-01-01"),
        ("Europe/Berlin", "2027-01-01T00:00:01", "2027-01-01T00:00:01"),
        # Half past two comes twice; as a time on the wall it is the first one.
        ("Europe/Berlin", "2027-10-31T00:30:00Z", "2027-10-31T02:30:00"),
        ("Europe/Berlin", "2027-10-31T01:30:00Z", "2027-10-31T01:30:00Z"),
        # The day begins with its first hour.
        ("Africa/Cairo", "2027-04-29T22:00:00Z", "2027-04-30T01:00:00"),
        ("UTC", "2027-01-01T00:00:00.000001", "2027-01-01T00:00:00.000001Z"),
        ("Europe/Berlin", "2027-07-01T12:00:00.500000", "2027-07-01T10:00:00.500000Z"),
    ],
)
def test_times_are_written_so_that_they_read_back_exactly(zone: str, at: str, text: str) -> None:
    use_zone(zone)
    assert exact_text(moment(at, "")) == text
    assert moment(text, "") == moment(at, "")


def test_a_grant_of_the_hour_that_comes_twice_is_one_grant(bank: Bank, tmp_path: Path) -> None:
    use_zone("Europe/Berlin")
    first, second = moment("2027-10-31T00:30:00Z", ""), moment("2027-10-31T01:30:00Z", "")
    give(bank, "test1", 5, first, second, reason="summer")
    give(bank, "test1", 7, second, second + HOUR, reason="winter")
    path = tmp_path / "twice"
    dumps.export_csv(bank, str(path))
    assert plan_import(bank, str(path), reason="").differences == []
    other = another(bank, tmp_path)
    applying.apply(other, plan_import(other, str(path), reason=""), dry_run=False)
    assert exported(other, tmp_path) == exported(bank, tmp_path)


def test_a_file_of_a_site_in_another_zone_is_refused(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    use_zone("Europe/Berlin")
    give(bank, "test1", 5, FEB, MAR)
    path = tmp_path / "berlin"
    dumps.export_csv(bank, str(path))
    assert path.read_text().splitlines()[-1].endswith(",Europe/Berlin")
    assert plan_import(bank, str(path), reason="").differences == []
    # In this zone a day begins at another instant.
    use_zone("UTC")
    with pytest.raises(InputError, match="line 3: zone 'Europe/Berlin': times are read in UTC"):
        plan_import(bank, str(path), reason="")


def test_the_machines_own_zone_has_one_name_all_year(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ")
    monkeypatch.setattr(time, "tzname", ("CET", "CEST"))
    assert zone_name() == "CET/CEST"


# -- dumps -------------------------------------------------------------------------------------


def test_a_dump_says_that_dates_and_debts_are_not_in_it(bank: Bank, tmp_path: Path) -> None:
    movements.insert(bank, Command("insert", "dept", 0))
    movements.set_credit(bank, Command("set_credit", "dept", 9 * SU))
    transfers.transfer(bank, Command("transfer", "dept", 5 * SU, to="test1"))
    give(bank, "test1", 50, FEB, MAR)
    assert dumps.dump_json(bank, str(tmp_path / "dump"))["notes"] == [
        f"not in it: {what}; 'backup' copies all"
        for what in (
            "the debts of dept",
            "the credit of dept",
            "the dates of grants, and grants that are promised, of test1",
        )
    ]


def repopulate(bank: Bank, path: Path) -> list[str]:
    """Make the bank what a dump says; return what was said."""
    plan = plan_repopulate(bank, "repopulate_json", str(path), reason="")
    applying.apply(bank, plan, dry_run=False)
    assert upkeep.verify(bank) == []
    assert plan_repopulate(bank, "repopulate_json", str(path), reason="").differences == []
    return list(plan.notes)


def test_a_dump_leaves_dates_alone_and_says_where_what_differs_goes(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    path = tmp_path / "dump"
    give(bank, "test1", 50, JAN, FEB)
    give(bank, "test1", 7, FEB, MAR)
    dumps.dump_json(bank, str(path))
    movements.add(bank, Command("add", "test1", 10 * SU))
    (note,) = [note for note in repopulate(bank, path) if "grants with dates stay" in note]
    assert note.endswith(": test1")
    assert (limit(bank), states(bank)) == (150, [("in force", 50), ("promised", 7)])
    # What has ended the dump does not know: its limit is given without an end now.
    calendar.now = FEB
    assert any("grants with dates stay" in note for note in repopulate(bank, path))
    assert (limit(bank), states(bank)) == (150, [("over", 0), ("in force", 7)])
    assert lines(bank, tmp_path)[0].startswith("test1,143,")


def test_a_dump_with_less_than_the_dated_grants_have_is_refused(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    movements.modify(bank, Command("modify", "test1", 10 * SU))
    dumps.dump_json(bank, str(path))
    give(bank, "test1", 50, JAN, FEB)
    with pytest.raises(Refusal, match=r"test1 10 \(its grants with dates have 50\)"):
        repopulate(bank, path)
    assert (limit(bank), states(bank)) == (60, [("in force", 50)])


def test_an_account_that_a_dump_closes_loses_its_grants_with_dates(
    bank: Bank, tmp_path: Path
) -> None:
    path = tmp_path / "dump"
    dumps.dump_json(bank, str(path))
    movements.insert(bank, Command("insert", "dept", 0))
    give(bank, "dept", 50, JAN, FEB)
    give(bank, "dept", 50, FEB, MAR)
    (note,) = [note for note in repopulate(bank, path) if "grants with dates stay" in note]
    assert note.endswith("but for accounts that are closed, whose grants all end: dept")
    movements.insert(bank, Command("insert", "dept", 0))
    assert states(bank, "dept") == [("over", 0), ("over", 0)]


def test_a_debt_is_not_forgiven_by_a_dump_that_cannot_say_it(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    movements.insert(bank, Command("insert", "dept", 0))
    movements.set_credit(bank, Command("set_credit", "dept", 9 * SU))
    transfers.transfer(bank, Command("transfer", "dept", 5 * SU, to="test1"))
    dumps.dump_json(bank, str(path))
    assert "with what they owe, which a dump says as 0: dept" in repopulate(bank, path)
    assert limit(bank, "dept") == -5


def test_a_dump_may_give_more_to_what_owes_and_has_dates(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    movements.modify(bank, Command("modify", "test1", 30 * SU))
    dumps.dump_json(bank, str(path))
    give(bank, "test1", 50, JAN, FEB)
    movements.insert(bank, Command("insert", "dept", 0))
    row = "test1,0,2027-01-01,allocation,,,,30"
    import_csv(bank, tmp_path, row)
    assert limit(bank) == 20
    repopulate(bank, path)
    assert (limit(bank), states(bank)) == (30, [("in force", 50)])


def test_what_is_due_is_started_and_ended_before_a_dump_is_compared(
    bank: Bank, calendar: Calendar, tmp_path: Path
) -> None:
    """A limit that is that of the dump only until the next pass would be one by chance."""
    path = tmp_path / "dump"
    give(bank, "test1", 50, FEB, MAR)
    dumps.dump_json(bank, str(path))
    calendar.now = FEB
    plan = plan_repopulate(bank, "repopulate_json", str(path), reason="")
    (one,) = describe(plan)["differences"]
    assert (one["change"], one["before"], one["after"]) == ("lowered", "150", "100")
    repopulate(bank, path)
    assert (limit(bank), states(bank)) == (100, [("in force", 50)])
