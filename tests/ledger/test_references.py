"""References: each form stands in digests, so what it says is held here to the letter."""

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.ledger import references
from bank.ledger.references import (
    LIKE_CHILD,
    LIKE_FIRST_READING,
    LIKE_JOB,
    LIKE_READING,
    LIKE_REPORT,
    LIKE_TRANSFER,
    child_of,
    giver_of,
    is_of_first_look,
    is_of_job,
    is_of_reading,
    of_child,
    of_file,
    of_first_look,
    of_job,
    of_reading,
    of_report,
    of_transfer,
    of_transfers,
    reading_of,
)

# One of each form, as entries have had them since the first version.
FORMS = {
    of_reading(12, 3): "reading 12/3",
    of_reading(12, 31): "reading 12/31",
    of_reading("others", 1): "reading others/1",
    of_first_look("c1"): "first look at c1",
    of_child("proj_x"): "child proj_x",
    of_transfer("dept", 17): "transfer dept/17",
    of_job("c1", 5): "job c1/5",
    of_report("c1", "17_3", 2): "report c1/17_3/2",
    of_file("0123456789abcdef01", is_dump=True): "dump 0123456789abcdef",
    of_file("0123456789abcdef01", is_dump=False): "import 0123456789abcdef",
    references.BY_HAND: "by hand",
    references.GIVEN_AGAIN: "given again",
    references.OWN_USE: "own use",
    references.ANY_TRANSFER: "transfer",
}
NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.@+-]{0,9}", fullmatch=True)
NUMBERS = st.integers(1, 2**40)


def test_the_forms_are_what_entries_have() -> None:
    assert list(FORMS) == list(FORMS.values())


@given(NAMES, NUMBERS, NUMBERS)
def test_what_is_written_is_read(name: str, first: int, second: int) -> None:
    assert reading_of(of_reading(first, second)) == (first, second)
    assert child_of(of_child(name)) == name
    assert giver_of(of_transfer(name, first)) == name
    assert of_transfer(name, first) == f"{of_transfers(name)}{first}"


@pytest.mark.parametrize(
    ("reads", "own"),
    [
        (is_of_reading, {"reading 12/3", "reading 12/31", "reading others/1"}),
        (reading_of, {"reading 12/3", "reading 12/31"}),
        (is_of_first_look, {"first look at c1"}),
        (child_of, {"child proj_x"}),
        (giver_of, {"transfer dept/17"}),
        (is_of_job, {"job c1/5"}),
    ],
)
def test_a_reader_knows_its_own_form_alone(reads: Callable[[str], object], own: set[str]) -> None:
    # Neither a name alone, nor a form's first word alone, nor numbers without one.
    others = ("", "c1", "12/3", "reading", "child", "job", "first look", "transfer dept", "dept/17")
    assert {text for text in (*FORMS, *others) if reads(text)} == own


@pytest.mark.parametrize("text", ["reading 1", "reading /1", "reading 1/", "reading 1/2/3"])
def test_what_names_no_reading_is_none(text: str) -> None:
    assert reading_of(text) is None


def test_what_names_no_entry_is_no_transfer() -> None:
    assert giver_of("transfer dept") is None


@pytest.mark.parametrize(
    ("pattern", "own"),
    [
        (LIKE_READING, {"reading 12/3", "reading 12/31", "reading others/1"}),
        (LIKE_FIRST_READING, {"reading others/1"}),
        (LIKE_CHILD, {"child proj_x"}),
        (LIKE_TRANSFER, {"transfer dept/17"}),
        (LIKE_JOB, {"job c1/5"}),
        (LIKE_REPORT, {"report c1/17_3/2"}),
    ],
)
def test_a_pattern_is_of_its_own_form_alone(pattern: str, own: set[str]) -> None:
    connection = sqlite3.connect(":memory:")
    rows = {text: connection.execute("SELECT ? LIKE ?", (text, pattern)) for text in FORMS}
    assert {text for text, row in rows.items() if row.fetchone()[0]} == own
    connection.close()
