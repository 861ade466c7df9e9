"""The burn-down chart: lines that fit, whatever is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.cli.chart import Point, Text, drawn

TEXT = Text("100", "2027-01-01", "2027-01-16", "2027-01-31")
# 100 fall to 50 until now; then to 0 at the highest, 20 at the expected, 40 at the lowest rate.
CHART = {
    True: [
        "100 |######",
        "    |###############",
        "    |####################=====---............",
        "  0 |####################===============-----",
        "    +----------------------------------------",
        "     2027-01-01         2027-01-16 2027-01-31",
    ],
    False: [
        "100 │█▇▆▅▄▄▃▂▁",
        "    │███████████▇▆▅▄▃▂▂▁",
        "    │████████████████████▓▓▓▓▓▒▒▒░░░░░░░░░░░░",
        "  0 │████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒",
        "    └────────────────────────────────────────",
        "     2027-01-01         2027-01-16 2027-01-31",
    ],
}


def flat(at: int, amount: int) -> Point:
    return Point(at, amount, amount, amount)


@pytest.mark.parametrize("is_ascii", [True, False])
def test_it_falls_from_the_left_to_the_right(is_ascii: bool) -> None:
    points = [flat(0, 100), flat(50, 50), Point(100, 0, 20, 40)]
    lines = drawn(points, 50, TEXT, width=45, height=4, is_ascii=is_ascii)
    assert lines == CHART[is_ascii]


@pytest.mark.parametrize("width", [0, 10, 34])
def test_where_it_is_too_narrow_nothing_is_drawn(width: int) -> None:
    points = [flat(0, 100), flat(10, 50)]
    assert drawn(points, 5, TEXT, width=width, height=4, is_ascii=True) == []


AMOUNTS = st.integers(-(10**15), 10**15)


@given(
    st.lists(st.tuples(st.integers(0, 10**10), AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=40),
    st.integers(0, 10**10),
    st.integers(36, 200),
    st.booleans(),
)
def test_it_fits(
    rows: list[tuple[int, int, int, int]], now: int, width: int, is_ascii: bool
) -> None:
    points = [Point(at, *sorted(amounts)) for at, *amounts in sorted(rows)]
    lines = drawn(points, now, TEXT, width=width, height=7, is_ascii=is_ascii)
    assert all(len(line) <= width for line in lines)
    assert len(lines) in (0, 9)
    if is_ascii:
        assert "".join(lines).isascii()
