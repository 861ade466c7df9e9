"""Amounts at the door: what is read, what is refused, what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import InputError
from bank.ledger.amounts import MAX_SU, format_su, parse_su


@pytest.mark.parametrize(
    ("text", "billing_seconds"),
    [
        ("0", 0),
        ("1", 3600),
        ("10000", 36_000_000),
        ("10,000", 36_000_000),
        ("1,234,567", 4_444_441_200),
        ("99.5", 358_200),
        ("0.01", 36),
        ("0.125", 450),
        ("1.50", 5400),
        ("007", 25_200),
        (str(MAX_SU - 1), (MAX_SU - 1) * 3600),
    ],
)
def test_amounts_people_type_are_read_exactly(text: str, billing_seconds: int) -> None:
    assert parse_su(text) == billing_seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-1", "+1", "1e6", "-1e6", "1_000", "0x10", "inf", "-inf", "nan", "NaN", "5%"),
        *("1.", ".5", "1,5", "1,00", "10,0000", ",100", "1,,000", "1.5.2", "1 000", "1\n", "ten"),
        *("\u0661\u0662", "1\u00a0000", "\uff11", "0.0001", "1/3", "10,000.5,0", str(MAX_SU)),
        *("9" * 20, "9" * 400),
    ],
)
def test_everything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="SUs|billing-seconds") as refused:
        parse_su(text)
    assert repr(text)[:20] in str(refused.value)


@given(st.integers(0, MAX_SU * 3600 - 1))
def test_what_the_bank_prints_it_takes(billing_seconds: int) -> None:
    assert parse_su(format_su(billing_seconds)) == billing_seconds


@pytest.mark.parametrize(
    ("billing_seconds", "text"),
    [
        (0, "0"),
        (1, "0.0003"),
        (3599, "0.9997"),
        (3600, "1"),
        (-1800, "-0.5"),
        (-1, "-0.0003"),
        (433_800, "120.5"),
        (36, "0.01"),
    ],
)
def test_amounts_are_shown_with_as_many_decimals_as_they_need(
    billing_seconds: int, text: str
) -> None:
    assert format_su(billing_seconds) == text


@given(st.integers(0, MAX_SU * 100 - 1))
def test_every_hundredth_of_an_su_survives_being_shown_and_read(hundredths: int) -> None:
    assert parse_su(format_su(hundredths * 36)) == hundredths * 36


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_different_amounts_are_shown_differently(one: int, other: int) -> None:
    assert (format_su(one) == format_su(other)) == (one == other)
