"""Grants as CSV: exact, and refused whole where a line is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import InputError
from bank.ledger.amounts import MAX_SU
from bank.policy.grants import Grant, read, text

SU = 3600
HEAD = "account,su,start,kind,reason\r\n"
names = st.from_regex(r"[a-z0-9_][a-z0-9_.@+-]{0,12}", fullmatch=True).filter(
    lambda name: name != "root"
)
reasons = st.text(st.characters(codec="utf-8"), max_size=20).filter(
    lambda reason: reason == "" or reason.isprintable()
)
grants = st.builds(
    Grant,
    names,
    st.none() | st.integers(0, MAX_SU * SU - SU),
    st.dates().map(lambda day: day.isoformat()),
    st.just("allocation"),
    reasons,
)


@given(st.lists(grants, max_size=6, unique_by=lambda grant: grant.account))
def test_what_is_exported_is_read_back_to_the_billing_second(found: list[Grant]) -> None:
    assert read(text(found)) == found


def test_grants_look_as_a_person_would_write_them() -> None:
    found = [
        Grant("physics", 100 * SU + SU // 2, "2022-04-08", "allocation", 'call "2", first'),
        Grant("biology", None, "2022-04-09", "allocation", ""),
    ]
    assert text(found) == (
        HEAD
        + 'physics,100.5,2022-04-08,allocation,"call ""2"", first"\r\n'
        + "biology,-1,2022-04-09,allocation,\r\n"
    )


def test_what_other_programs_save_is_read() -> None:
    content = '\ufeffreason,account,kind,start,su\nx,PHYSICS,allocation,2022-04-08,"10,000"\n'
    assert read(content) == [Grant("physics", 10_000 * SU, "2022-04-08", "allocation", "x")]


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
    with pytest.raises(InputError) as caught:
        read(f"{HEAD}{line}\r\n")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
