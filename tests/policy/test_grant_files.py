"""Grants as CSV: exact, and refused whole where a line is wrong."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import InputError
from bank.ledger.amounts import MAX_SU
from bank.policy.grant_files import COLUMNS, GrantLine, Span, Times, read, text

SU = 3600
OLD_HEAD = "account,su,start,kind,reason\r\n"
HEAD = "account,su,start,kind,reason,end,carry,owed\r\n"
NEW_HEAD = "account,su,start,kind,reason,end,carry,owed,zone\r\n"
DAY = 86_400_000_000
# 2027-01-01.
NOW = 20_819 * DAY


def read_day(cell: str, what: str) -> int:
    """Read times as a site does that knows days only."""
    try:
        return int(datetime.strptime(cell, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError as error:
        raise InputError(f"{what} {cell!r} is not a day") from error


def write_day(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d")


DAYS = Times(read_day, write_day, lambda: "UTC")


def read_now(content: str) -> list[GrantLine]:
    return read(content, DAYS, now=NOW)


names = st.from_regex(r"[a-z0-9_][a-z0-9_.@+-]{0,12}", fullmatch=True).filter(
    lambda name: name != "root"
)
lines = st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable)
amounts = st.integers(0, MAX_SU * SU - SU)
spans = st.builds(
    lambda start, days, kind: Span(start * DAY, (start + days) * DAY, kind),
    st.integers(20_820, 40_000),
    st.integers(1, 4000),
    lines.filter(bool),
)
without_end = st.builds(
    GrantLine,
    names,
    st.none() | amounts | amounts.map(lambda amount: -amount),
    lines,
    st.dates().map(lambda day: day.isoformat()),
    span=st.none(),
    carry_percent=st.none(),
)
dated = st.builds(
    GrantLine,
    names,
    amounts,
    lines,
    started_on=st.just(""),
    span=spans,
    carry_percent=st.none() | st.integers(0, 100),
)


@given(
    st.lists(without_end | dated, max_size=6, unique_by=lambda grant: (grant.account, grant.span))
)
def test_what_is_exported_is_read_back_to_the_billing_second(found: list[GrantLine]) -> None:
    assert read_now(text(found, DAYS)) == found


def test_grants_look_as_a_person_would_write_them() -> None:
    found = [
        GrantLine("physics", 100 * SU + SU // 2, 'call "2", first', "2022-04-08"),
        GrantLine(
            "physics", 50 * SU, "", span=Span(NOW, NOW + 31 * DAY, "INCITE"), carry_percent=10
        ),
        GrantLine("biology", None, "", "2022-04-09"),
        GrantLine("owing", -SU, "", "2022-04-09"),
    ]
    assert text(found, DAYS) == (
        NEW_HEAD
        + 'physics,100.5,2022-04-08,allocation,"call ""2"", first",,,,\r\n'
        + "physics,50,2027-01-01,INCITE,,2027-02-01,10,,UTC\r\n"
        + "biology,-1,2022-04-09,allocation,,,,,\r\n"
        # Not -1, which is unlimited.
        + "owing,0,2022-04-09,allocation,,,,1,\r\n"
    )


def test_what_other_programs_save_is_read() -> None:
    content = '\ufeffreason,account,kind,start,su\nx,PHYSICS,allocation,2022-04-08,"10,000"\n'
    assert read_now(content) == [GrantLine("physics", 10_000 * SU, "x", "2022-04-08")]


def test_times_of_another_zone_are_refused_and_not_read_as_others() -> None:
    line = "a,10,2027-01-01,INCITE,,2027-02-01,,,"
    assert read_now(f"{NEW_HEAD}{line}UTC\n") == read_now(f"{NEW_HEAD}{line}\n")
    with pytest.raises(InputError, match="line 2: zone 'Europe/Berlin': times are read in UTC"):
        read_now(f"{NEW_HEAD}{line}Europe/Berlin\n")


@pytest.mark.parametrize("columns", ["end", "end,carry", "owed", "carry,owed,end", "zone"])
def test_each_column_that_has_come_since_may_be_there_or_not(columns: str) -> None:
    rest = "," * columns.count(",")
    content = f"account,su,start,kind,reason,{columns}\na,10,2022-04-08,allocation,,{rest}\n"
    assert read_now(content) == [GrantLine("a", 10 * SU, "", "2022-04-08")]


def test_a_line_may_leave_open_what_is_carried_over() -> None:
    content = HEAD + "a,10,2027-01-01,INCITE,,2027-02-01,,\nb,5,2027-01-01,x,,2027-01-02,7%,\n"
    assert [grant.carry_percent for grant in read_now(content)] == [None, 7]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,10,2022-04-08,bonus,", "line 2: kind 'bonus' is not known"),
        ("a,10,2022-04-08,,", "kind '' is not known"),
        ("a,-2,2022-04-08,allocation,", "'-2' is not an amount"),
        ("a,,2022-04-08,allocation,", "'' is not an amount"),
        ("a,1e6,2022-04-08,allocation,", "'1e6' is not an amount"),
        ("a,0.00001,2022-04-08,allocation,", "is not a whole number of billing-seconds"),
        ("a,100000000000,2022-04-08,allocation,", "is too large"),
        (f"a,{'0' * 90}5,2022-04-08,allocation,", "is not an amount"),
        ("a,10,2022-02-30,allocation,", "start '2022-02-30' is not a day"),
        ("a,10,8.4.2022,allocation,", "start '8.4.2022' is not a day"),
        ("a,10,20220408,allocation,", "start '20220408' is not a day"),
        ("a,10,,allocation,", "start '' is not a day"),
        ("root,10,2022-04-08,allocation,", "'root'"),
        ("a b,10,2022-04-08,allocation,", "'a b' is not an account name"),
        ('a,10,2022-04-08,allocation,"x\ny"', "line 3: reason 'x\\ny' is not one line"),
        (f"a,10,2022-04-08,allocation,{'x' * 501}", "is not one line of at most 500"),
        ("a,10,2022-04-08,allocation", "line 2: has 4 columns, not 5"),
        ("a,1,2022-04-08,allocation,\r\nA,1,2022-04-08,allocation,",
         "line 3: account a stands in line 2 already"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(line: str, said: str) -> None:
    assert said in refused(f"{OLD_HEAD}{line}\r\n")


def refused(text: str) -> str:
    """Return why a file is refused, in one line."""
    with pytest.raises(InputError) as caught:
        read_now(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,10,2027-01-01,,,2027-02-01,,", "line 2: has no kind"),
        (f"a,10,2027-01-01,{'x' * 501},,2027-02-01,,", "is not one line of at most 500"),
        ("a,10,2027-01-01,x\u2028y,,2027-02-01,,", "kind 'x\\u2028y' is not one line"),
        ("a,-1,2027-01-01,x,,2027-02-01,,", "a grant with an end is an amount, and never unlimi"),
        ("a,-5,2027-01-01,x,,2027-02-01,,", "'-5' is not an amount"),
        ("a,,2027-01-01,x,,2027-02-01,,", "'' is not an amount"),
        ("a,0,2027-01-01,x,,2027-02-01,,5", "only the grant without an end is overdrawn"),
        ("a,10,2027-01-01,x,,2027-02-01,101,", "carry '101' is not a whole number from 0 to 100"),
        ("a,10,2027-01-01,x,,2027-02-01,-1,", "carry '-1' is not a whole number"),
        ("a,10,2027-01-01,x,,2027-02-01,5.5,", "carry '5.5' is not a whole number"),
        ("a,10,soon,x,,2027-02-01,,", "start 'soon' is not a day"),
        ("a,10,,x,,2027-02-01,,", "start '' is not a day"),
        ("a,10,2027-01-01,x,,soon,,", "end 'soon' is not a day"),
        ("a,10,2027-02-01,x,,2027-02-01,,", "end 2027-02-01 is not after start 2027-02-01"),
        ("a,10,2027-03-01,x,,2027-02-01,,", "end 2027-02-01 is not after start 2027-03-01"),
        ("a,10,2026-12-01,x,,2027-01-01,,", "end 2027-01-01 is over"),
        ("a,10,2022-04-08,allocation,,,5,", "carry without an end"),
        ("a,10,2022-04-08,allocation,,,,5", "su 10 and owed 5: what owes SUs has 0"),
        ("a,-1,2022-04-08,allocation,,,,5", "su -1 and owed 5"),
        ("a,0,2022-04-08,allocation,,,,-1", "'-1' is not an amount"),
        ("a,0,2022-04-08,allocation,,,,much", "'much' is not an amount"),
        (f"a,0,2022-04-08,allocation,,,,{'0' * 90}5", "owed '000"),
        ("a,1,2027-01-01,x,,2027-02-01,,\r\nA,2,2027-01-01,x,,2027-02-01,5,",
         "line 3: grant of a, x, 2027-01-01 until before 2027-02-01, stands in line 2 already"),
        ("a,1,2022-04-08,allocation,,,,\r\nA,0,2022-04-08,allocation,,,,7",
         "line 3: account a stands in line 2 already"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_grant_with_dates_is_named(line: str, said: str) -> None:
    assert said in refused(f"{HEAD}{line}\r\n")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("account,su,start,kind", "has no column reason"),
        (f"{','.join(COLUMNS)},note", "column 'note' that this version does not know; known are"),
        (f"{','.join(COLUMNS)},end", "has a column twice"),
        ("account,su,start,kind,reason,su", "has a column twice"),
    ],
)
def test_columns_that_are_not_those_of_grants(head: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_now(f"{head}\n")
