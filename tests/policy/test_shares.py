"""Whether a child has more than its parent, at any time from now on."""

import pytest

from bank.policy.shares import Allocation, Gift, first_excess, first_rise

NOW = 100
THIS_YEAR, NEXT_YEAR = (50, 150), (150, 250)


def gifts(*given: tuple[tuple[int, int], int]) -> list[Gift]:
    return [Gift(*span, amount) for span, amount in given]


@pytest.mark.parametrize(
    ("what", "child", "parent", "at"),
    [
        ("as much", Allocation(10), Allocation(10), None),
        ("more", Allocation(11), Allocation(10), NOW),
        ("nobody is larger than one without a limit", Allocation(11), Allocation(None), None),
        ("one without a limit is larger than any", Allocation(None), Allocation(10), NOW),
        ("both without a limit", Allocation(None), Allocation(None), None),
        (
            "grants of different years do not add up",
            Allocation(0, gifts((THIS_YEAR, 9))),
            Allocation(0, gifts((THIS_YEAR, 5), (NEXT_YEAR, 5))),
            NOW,
        ),
        (
            "promised to the child alone",
            Allocation(5, gifts((NEXT_YEAR, 1))),
            Allocation(5, gifts((THIS_YEAR, 9))),
            150,
        ),
        (
            "promised to both",
            Allocation(5, gifts((NEXT_YEAR, 1))),
            Allocation(5, gifts((NEXT_YEAR, 1))),
            None,
        ),
        (
            "the end of a parent's grant is no gift to the child",
            Allocation(9),
            Allocation(0, gifts((THIS_YEAR, 10))),
            None,
        ),
        (
            "what is given to the parent is looked at where it starts",
            Allocation(9),
            Allocation(0, gifts((THIS_YEAR, 10), (NEXT_YEAR, 5))),
            150,
        ),
    ],
)
def test_when_a_child_first_has_more(
    what: str, child: Allocation, parent: Allocation, at: int | None
) -> None:
    del what
    assert first_excess(child, parent, now=NOW) == at


@pytest.mark.parametrize(
    ("what", "allocation", "at"),
    [
        ("nothing is promised", Allocation(10, gifts((THIS_YEAR, 5))), None),
        ("something is", Allocation(0, gifts((NEXT_YEAR, 5))), 150),
        ("more than what ends", Allocation(0, gifts((THIS_YEAR, 5), (NEXT_YEAR, 6))), 150),
        ("as much as what ends", Allocation(0, gifts((THIS_YEAR, 5), (NEXT_YEAR, 5))), None),
        (
            "less than what ends, and more later",
            Allocation(0, gifts((THIS_YEAR, 5), (NEXT_YEAR, 4), ((200, 300), 2))),
            200,
        ),
        ("it is without a limit", Allocation(None, gifts((NEXT_YEAR, 5))), None),
    ],
)
def test_from_when_on_an_account_has_more(
    what: str, allocation: Allocation, at: int | None
) -> None:
    assert first_rise(allocation, NOW) == at, what
