"""Statement, usage, forecast and list as people and programs get them."""

import copy
import csv
import io
import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bank.operations import bank as clock
from bank.operations import movements, upkeep
from bank.operations.commands import Command as MovementCommand
from bank.operations.enforcement import enforce
from bank.settings import Settings
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm, take_over

DAY = 86_400_000_000
START = 1_798_761_600 * 1_000_000
SU = 3600


class Calendar:
    """The clock of the bank: 2027-01-01 UTC, until it is told to go on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def go_on(self, days: float) -> None:
        self.now += int(days * DAY)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch, settings: Path) -> Calendar:
    calendar = Calendar()
    monkeypatch.setattr(clock.Bank.__new__, "__defaults__", (calendar,))
    with settings.open("a") as file:
        file.write("TIME_ZONE = 'UTC'\n")
    return calendar


class Past(NamedTuple):
    """A bank of which months have gone by."""

    database: bytes
    slurm: dict[str, Any]
    now: int


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """An account test1 that has used 10 SUs a day by ada and 5 by bob, for 40 days."""
    path = tmp_path_factory.mktemp("past") / "bank.db"
    calendar = Calendar()
    with pytest.MonkeyPatch.context() as patches:
        fake = take_over(patches)
        fake.add_account("test1")
        ada, bob = fake.add_user("test1"), fake.add_user("test1", "bob", "gpu")
        bank = clock.Bank(Settings(str(path)), "root", pytest.fail, calendar)
        upkeep.migrate(bank, dry_run=False)
        reason = "<b>proposal</b> & more"
        movements.insert(bank, MovementCommand("insert", "test1", 1000 * SU, reason))
        for days in range(41):
            enforce(bank)
            if days < 40:
                calendar.go_on(1)
                fake.use(ada, 10 * SU)
                fake.use(bob, 5 * SU)
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return Past(path.read_bytes(), copy.deepcopy(vars(fake)), calendar.now)


@pytest.fixture
def used(
    past: Past, calendar: Calendar, command: Command, fake: FakeSlurm, tmp_path: Path
) -> Command:
    """A bank that has this behind it, at noon of 2027-02-10."""
    for left in tmp_path.glob("bank.db*"):
        left.unlink()
    (tmp_path / "bank.db").write_bytes(past.database)
    vars(fake).update(copy.deepcopy(past.slurm))
    fake.add_account("test2")
    calendar.now = past.now
    calendar.go_on(0.5)
    return command


def told(command: Command, *argv: str) -> Any:  # noqa: ANN401
    done = command(*argv, "--json")
    assert (done.status, done.err) == (0, "")
    return json.loads(done.out)


def test_a_statement_opens_and_closes_with_what_balance_says(used: Command) -> None:
    found = told(used, "statement", "test1")
    balance = told(used, "balance", "test1")
    opening, closing = found["opening"], found["closing"]
    assert (opening["granted_su"], opening["used_su"], opening["is_open"]) == ("0", "0", False)
    assert closing["granted_su"] == balance["limit_su"] == "1000"
    assert closing["used_su"] == balance["used_su"] == "600"
    assert closing["available_su"] == balance["available_su"] == "400"
    assert [
        (group["when"], group["kind"], group["user"], group["entries"], group["left_su"])
        for group in found["groups"]
    ] == [
        ("2027-01", "charge", "ada", 30, "-300"),
        ("2027-01", "charge", "bob", 30, "-150"),
        ("2027-01", "deposit", None, 1, "+1000"),
        ("2027-02", "charge", "ada", 10, "-100"),
        ("2027-02", "charge", "bob", 10, "-50"),
    ]


def test_an_itemized_statement_has_the_balance_after_each_entry(used: Command) -> None:
    argv = ("statement", "test1", "--from", "2027-02-09", "--to", "2027-02-10", "--itemized")
    found = told(used, *argv)
    assert (found["start_at"], found["end_at"]) == ("2027-02-09T00:00:00Z", "2027-02-10T00:00:00Z")
    assert [
        (entry["kind"], entry["user"], entry["amount_su"], entry["used_su"], entry["left_su"])
        for entry in found["entries"]
    ] == [("charge", "ada", "10", "580", "420"), ("charge", "bob", "5", "585", "415")]
    assert (found["opening"]["left_su"], found["closing"]["left_su"]) == ("430", "415")
    assert "available_su" not in found["closing"]
    shown = used(*argv).out.splitlines()
    assert shown[0] == "Statement of test1 from 2027-02-09 until before 2027-02-10 (UTC)"
    assert shown[2].split("\t")[1] == "opening balance"
    assert shown[-1].split("\t")[1] == "closing balance"


def test_a_short_span_is_told_day_by_day(used: Command) -> None:
    found = told(used, "statement", "test1", "--from", "2027-02-08")
    days = [group["when"] for group in found["groups"]]
    assert days == ["2027-02-08"] * 2 + ["2027-02-09"] * 2 + ["2027-02-10"] * 2


def test_what_accounts_below_used_stands_in_lines_of_their_own(
    calendar: Calendar, command: Command, fake: FakeSlurm
) -> None:
    fake.add_account("kid", "test1")
    meter = fake.add_user("kid")
    command("insert", "test1", "100")
    command("enforce")
    calendar.go_on(1)
    fake.use(meter, 7 * SU)
    command("enforce")
    found = told(command, "statement", "test1")
    assert found["closing"]["used_su"] == told(command, "balance", "test1")["used_su"] == "7"
    assert (
        found["groups"][-1] | {"account": "kid", "kind": "charge", "used_su": "+7"}
        == (found["groups"][-1])
    )
    assert "where they stood before is not on record" in found["notes"][0]
    assert "note: " in command("statement", "test1").out


def test_a_closed_account_has_a_statement_and_one_that_never_was_is_refused(used: Command) -> None:
    used("delete", "test1", "--force", "--yes")
    found = told(used, "statement", "test1")
    assert (
        found["closing"] | {"is_open": False, "granted_su": "0", "used_su": "0"}
        == (found["closing"])
    )
    assert [group["kind"] for group in found["groups"]][-2:] == ["closing", "expiry"]
    done = used("statement", "test2")
    assert (done.status, "never had an account test2" in done.err) == (1, True)


def test_an_unlimited_account_has_nothing_left_to_tell(used: Command) -> None:
    used("modify", "test1", "-1")
    found = told(used, "statement", "test1", "--itemized", "--from", "2027-02-01")
    assert found["closing"]["left_su"] is None
    assert {entry["left_su"] for entry in found["entries"]} == {None}
    assert "available: unlimited" in used("statement", "test1").out
    assert told(used, "forecast", "test1")["why"] == "unlimited: nothing runs out"


def test_csv_has_a_line_for_each_entry_and_no_formula(
    calendar: Calendar, command: Command, fake: FakeSlurm
) -> None:
    meter = fake.add_user("test1", "-eve")
    command("insert", "test1", "100", "--reason", '=1+1, "quoted"')
    command("withdraw", "test1", "1", "--reason", "@SUM(A1)")
    command("enforce")
    calendar.go_on(1)
    fake.use(meter, SU)
    command("enforce")
    out = command("statement", "test1", "--csv").out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["kind"], row["reason"], row["user"]) for row in rows] == [
        ("deposit", '\'=1+1, "quoted"', ""),
        ("withdrawal", "'@SUM(A1)", ""),
        ("charge", "", "'-eve"),
    ]
    assert [row["left_su"] for row in rows] == ["100", "99", "98"]
    assert {row["account"] for row in rows} == {"test1"}
    assert not re.search(r"(^|,)\"?[=+@-][^0-9]", out, re.MULTILINE)


class Checked(HTMLParser):
    """Reads a page and fails where it is not one."""

    EMPTY = frozenset({"meta"})
    KNOWN = frozenset(
        (
            *("html", "head", "meta", "title", "style", "body", "main", "h1", "p", "time"),
            *("table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "ul", "li"),
        )
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.KNOWN, tag
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        assert not {"src", "href", "onclick", "style"} & set(names)
        self.seen.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.EMPTY
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_charref(self, name: str) -> None:
        assert name == "x27"

    def handle_entityref(self, name: str) -> None:
        assert name in ("lt", "gt", "amp", "quot")


@pytest.mark.parametrize("more", [(), ("--itemized",)])
def test_the_page_is_valid_needs_nothing_else_and_prints_well(
    used: Command, more: tuple[str, ...]
) -> None:
    out = used("statement", "test1", "--html", *more).out
    assert out.startswith('<!DOCTYPE html>\n<html lang="en">')
    page = Checked()
    page.feed(out)
    page.close()
    assert page.open == []
    assert (page.seen.count("title"), page.seen.count("h1"), page.seen.count("main")) == (1, 1, 1)
    # It is well-formed XML too, so no end is left to be guessed.
    root = ET.fromstring(out.removeprefix("<!DOCTYPE html>"))  # noqa: S314 - the bank's own
    table = root.find("body/main/table")
    assert table is not None
    heads = table.findall("thead/tr/th")
    assert all(head.get("scope") == "col" for head in heads)
    rows = table.findall("tbody/tr")
    assert all(len(row) == len(heads) for row in rows)
    assert [row.get("class") for row in rows].count("balance") == 2
    assert "script" not in out
    assert "http" not in out
    assert "url(" not in out
    style = root.findtext("head/style") or ""
    assert re.search(r"@media print \{.*thead \{ display: table-header-group; \}", style, re.DOTALL)
    assert "break-inside: avoid" in style
    if more:
        assert "&lt;b&gt;proposal&lt;/b&gt; &amp; more" in out


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("statement", "test1", "--from", "2027-02-30"), 65, "--from '2027-02-30' is not a day"),
        (("statement", "test1", "--from", "yesterday"), 65, "--from 'yesterday'"),
        (("statement", "test1", "--from", "2027-1-1"), 65, "--from '2027-1-1'"),
        (("statement", "test1", "--from", ""), 2, "--from takes"),
        (("statement", "test1", "--from", "2028-01-01"), 65, "2028-01-01 is to come"),
        (
            ("usage", "test1", "--from", "2027-02-01", "--to", "2027-01-01"),
            65,
            "--to 2027-01-01 is not after --from 2027-02-01",
        ),
        (("usage", "--from", "2027-02-01", "--to", "2027-02-01"), 65, "is not after"),
        (("usage", "--by", "colour"), 65, "it is user, account, partition, month, cluster"),
        (("usage", "nosuch"), 1, "never had an account nosuch"),
        (("forecast", "nosuch"), 1, "did you want to insert it?"),
        (("forecast", "--chart"), 2, "with an account"),
        (("forecast", "test1", "--from", "2027-01-01"), 2, "does not take --from"),
        (("statement", "test1", "--json", "--csv"), 2, "one of --json, --csv and --html"),
        (("statement", "test1", "--html", "--csv"), 2, "one of --json, --csv and --html"),
        (("list", "--over", "lots"), 65, "--over 'lots' cannot be used: give a whole percent"),
        (("list", "--over", "1000000"), 65, "--over '1000000'"),
        (("list", "--ending", "soon"), 65, "--ending 'soon' cannot be used: give whole days"),
        (("list", "--match", "a/b"), 65, "--match 'a/b' fits no account name"),
        (("list", "--match", ""), 2, "--match takes"),
    ],
)
def test_refusals(used: Command, argv: tuple[str, ...], status: int, said: str) -> None:
    done = used(*argv)
    # With --json the refusal is JSON too.
    assert (done.status, said in done.err + done.out) == (status, True)
    assert len((done.err + done.out).splitlines()) == 1


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("user", [("ada", "400"), ("bob", "200")]),
        ("account", [("test1", "600")]),
        ("cluster", [("fake", "600")]),
        ("month", [("2027-01", "450"), ("2027-02", "150")]),
    ],
)
def test_usage(used: Command, by: str, rows: list[tuple[str, str]]) -> None:
    found = told(used, "usage", "test1", "--by", by)
    assert [(row[by], row["used_su"]) for row in found["rows"]] == rows
    assert found["total"]["used_su"] == "600"
    shown = used("usage", "test1", "--by", by).out.splitlines()
    assert shown[-1].split("\t") == ["total", "600", "0", "600", "100"]


def test_usage_by_partition_says_what_sacct_does_not(used: Command, fake: FakeSlurm) -> None:
    began = START // 1_000_000
    fake.sacct = (
        f"1|1|1|1000|ada|normal|normal|COMPLETED|{began}|{began + 150 * SU}|00:00:00"
        "|billing=1,cpu=1,node=1|n1|test1\n"
    )
    argv = ("usage", "test1", "--by", "partition")
    found = told(used, *argv)
    assert [(row["partition"], row["used_su"]) for row in found["rows"]] == [("normal", "150")]
    assert [(row["because"], row["used_su"]) for row in found["rest"]] == [
        ("not told by sacct", "450")
    ]
    assert [line.split("\t") for line in used(*argv).out.splitlines()[1:]] == [
        ["partition", "charged_su", "refunded_su", "used_su", "percent", "because"],
        ["normal", "150", "0", "150", "25", "-"],
        ["-", "450", "0", "450", "75", "not told by sacct"],
        ["total", "600", "0", "600", "100", "-"],
    ]


def test_usage_of_all_accounts_is_of_the_last_30_days_by_account(used: Command) -> None:
    found = told(used, "usage")
    assert (found["by"], found["start"]) == ("account", "2027-01-12")
    assert found["rows"][0] | {"account": "test1", "used_su": "450"} == found["rows"][0]


def test_a_forecast_of_even_use(used: Command) -> None:
    found = told(used, "forecast", "test1")
    assert [(rate["days"], rate["expected_su"]) for rate in found["rates"]] == [
        (7, "15"),
        (30, "15"),
    ]
    # 400 SUs at 15 a day from noon of the tenth of February.
    assert found["run_out"] == dict.fromkeys(("earliest", "expected", "latest"), "2027-03-09")
    assert found["period"]["last_day"] == "2028-01-01"
    assert found["period"]["left"]["expected_su"] == "0"
    assert found["past"][-1]["left_su"] == "400"
    assert found["past"][0]["left_su"] == "850"
    assert found["ahead"][0]["expected_su"] == "400"
    assert found["ahead"][-1]["expected_su"] == "0"
    shown = used("forecast", "test1").out
    assert "runs out: 2027-03-09 (between 2027-03-09 and 2027-03-09)" in shown
    assert "█" not in shown


def test_a_forecast_knows_grants_with_dates(used: Command) -> None:
    used("grant", "test1", "500", "--start", "2027-02-01", "--end", "2027-03-01")
    found = told(used, "forecast", "test1")
    # Until the first of March 18.5 days of 15 SUs are paid by the grant that ends.
    (grant,) = found["grants"]
    assert (grant["end"], grant["unused"]["expected_su"]) == ("2027-03-01", "222.5")
    assert found["run_out"]["expected"] == "2027-03-27"
    assert "222.5 SUs (222.5 to 222.5) will expire unused" in used("forecast", "test1").out


def test_a_forecast_says_where_it_knows_too_little_and_where_nothing_runs(
    calendar: Calendar, command: Command, fake: FakeSlurm
) -> None:
    meter = fake.add_user("test1")
    # What was used before the bank first looked says nothing of how fast it is.
    fake.use(meter, 50 * SU)
    command("insert", "test1", "100")
    command("enforce")
    calendar.go_on(0.25)
    found = told(command, "forecast", "test1")
    assert (found["run_out"], found["why"]) == (None, "6 hours are on record, 3 days are needed")
    assert found["left_su"] == "50"
    calendar.go_on(4)
    found = told(command, "forecast", "test1")
    assert found["why"] == "nothing ran in 4 days"
    assert found["run_out"] == dict.fromkeys(("earliest", "expected", "latest"))
    shown = command("forecast", "test1").out
    assert "runs out: never" in shown
    # Of 7 and of 30 days all that is known are the same 4.
    assert [line.split("\t")[0] for line in shown.splitlines() if "\t" in line] == ["days", "4"]
    fake.use(meter, 60 * SU)
    command("enforce")
    assert told(command, "forecast", "test1")["why"] == "nothing is left"


def test_refunds_do_not_lower_the_rate_and_new_periods_do_not_either(used: Command) -> None:
    used("refund", "test1", "100", "--reason", "outage")
    used("reset_usage", "test1")
    found = told(used, "forecast", "test1")
    assert [rate["expected_su"] for rate in found["rates"]] == ["15", "15"]
    assert found["left_su"] == "1000"


def test_forecasts_of_all_begin_with_those_that_run_out_first(
    used: Command, fake: FakeSlurm, calendar: Calendar
) -> None:
    for name, su in (("late", "90000"), ("soon", "100"), ("free", "-1"), ("out", "0")):
        fake.add_account(name)
        used("insert", name, su)
        meter = fake.add_user(name)
        used("enforce")
        for _ in range(4):
            calendar.go_on(1)
            fake.use(meter, 10 * SU if name != "out" else 0)
            used("enforce")
    found = told(used, "forecast")
    assert [one["account"] for one in found] == ["out", "soon", "test1", "late", "free"]
    assert told(used, "forecast", "soon")["run_out"] == found[1]["run_out"]
    shown = used("forecast").out.splitlines()
    assert shown[0].split("\t")[0] == "account"
    assert shown[-1].split("\t")[-1] == "unlimited: nothing runs out"


def test_the_chart_is_drawn_where_it_is_asked_for(used: Command) -> None:
    lines = used("forecast", "test1", "--chart").out.splitlines()
    assert lines[-1].startswith("█ was left  ▓ will be left at the highest rate")
    assert max(len(line) for line in lines) <= 82
    assert lines[-2].split() == ["2027-01-11", "2027-02-10", "2027-03-12"]


def test_the_days_under_a_chart_are_those_of_the_site(used: Command, settings: Path) -> None:
    text = settings.read_text()
    settings.write_text(text.replace("TIME_ZONE = 'UTC'", "TIME_ZONE = 'Pacific/Kiritimati'"))
    lines = used("forecast", "test1", "--chart").out.splitlines()
    assert lines[-2].split() == ["2027-01-12", "2027-02-11", "2027-03-13"]


def test_list_finds(used: Command, fake: FakeSlurm) -> None:
    fake.add_account("idle")
    used("insert", "test2", "100")
    used("insert", "idle", "100")
    used("hold", "test2")
    used("grant", "idle", "5", "--start", "2027-02-01", "--end", "2027-02-20")

    def names(*argv: str) -> list[str]:
        return [state["account"] for state in told(used, "list", *argv)]

    assert names() == ["idle", "test1", "test2"]
    assert names("--held") == ["test2"]
    assert names("--over", "60%") == ["test1"]
    assert names("--over", "61") == []
    assert names("--over", "0") == ["test1", "idle", "test2"]
    assert names("--match", "test*") == ["test1", "test2"]
    assert names("--match", "TEST?", "--held") == ["test2"]
    assert names("--ending", "9d") == ["idle"]
    assert names("--ending", "8") == []
    assert names("--ending", "9999") == ["idle", "test1", "test2"]
    (idle,) = told(used, "list", "--match", "idle")
    assert (idle["last_day"], idle["days_left"]) == ("2027-02-19", 9)
    assert used("list", "--ending", "9").out.splitlines()[0].endswith("\tlast_day\tdays_left")
