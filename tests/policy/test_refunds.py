"""What of a job's cost the books still hold: the newest use, of its user, in its readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.refunds import CHARGED, CLOSED, REFUNDED, Move, less, open_use, refundable


def charge(amount: int, reference: str = "r1", user: str = "ada") -> Move:
    return Move(CHARGED, amount, user, reference)


def close(amount: int) -> Move:
    return Move(CLOSED, amount, None, "own use")


def refund(amount: int, user: str | None = "ada") -> Move:
    return Move(REFUNDED, amount, user, "job c/1")


@pytest.mark.parametrize(
    ("what", "moves", "total", "by_reference"),
    [
        ("nothing", [], 0, {}),
        ("two readings", [charge(5), charge(7, "r2")], 12, {"r1": 5, "r2": 7}),
        ("two entries of one reading", [charge(5), charge(7)], 12, {"r1": 12}),
        ("all closed", [charge(5), close(5)], 0, {}),
        ("closed, and used again", [charge(5), close(5), charge(7, "r2")], 7, {"r2": 7}),
        ("the oldest is closed", [charge(5), charge(7, "r2"), close(5)], 7, {"r2": 7}),
        ("a part is closed", [charge(5), charge(7, "r2"), close(8)], 4, {"r2": 4}),
        ("and used since", [charge(10), close(5), charge(6, "r3")], 11, {"r1": 5, "r3": 6}),
        ("refunded", [charge(5), charge(7, "r2"), refund(7)], 5, {"r1": 5, "r2": 7}),
        ("refunded, then closed", [charge(5), refund(2), close(3)], 0, {}),
        (
            "refunded of late, the oldest closed",
            [charge(5), charge(7, "r2"), refund(4), close(5)],
            3,
            {"r2": 7},
        ),
    ],
)
def test_open_use(what: str, moves: list[Move], total: int, by_reference: dict[str, int]) -> None:
    use = open_use(moves)
    assert (use.total, use.by_reference) == (total, by_reference), what


TWO = [charge(10), charge(20, "r2", "bob"), charge(5, "r3")]


@pytest.mark.parametrize(
    ("what", "moves", "references", "cost", "amount"),
    [
        ("all of its cost", TWO, {"r1", "r3"}, 12, 12),
        ("no more than its readings hold", TWO, {"r3"}, 12, 5),
        ("no more than its user has used", [*TWO, refund(9)], {"r1", "r3"}, 12, 6),
        ("a refund of nobody's leaves less", [*TWO, refund(30, None)], {"r1", "r3"}, 12, 5),
        ("nothing of what is closed", [*TWO, close(30)], {"r1"}, 8, 0),
        ("what is not closed", [*TWO, close(30)], {"r3"}, 8, 5),
        ("of no reading", TWO, set(), 12, 0),
        ("of more refunds than charges", [*TWO, refund(14), refund(8)], {"r1"}, 5, 0),
    ],
)
def test_refundable(
    what: str, moves: list[Move], references: set[str], cost: int, amount: int
) -> None:
    assert refundable(open_use(moves), "ada", references, cost) == amount, what


def test_what_is_given_back_is_there_no_more() -> None:
    use = open_use(TWO)
    rest = less(use, "ada", 15)
    assert refundable(rest, "ada", {"r1", "r3"}, 1) == 0
    assert refundable(rest, "bob", {"r2"}, 100) == 20
    assert rest.total == 20


@given(st.lists(st.tuples(st.sampled_from([CHARGED, REFUNDED, CLOSED]), st.integers(1, 50))))
def test_what_is_open_is_what_the_books_call_used(steps: list[tuple[str, int]]) -> None:
    moves, used = [], 0
    for what, amount in steps:
        if what == CHARGED or amount <= used:
            moves.append(Move(what, amount, "ada", "r"))
            used += amount if what == CHARGED else -amount
    use = open_use(moves)
    assert use.total == used
    assert use.total <= use.by_reference.get("r", 0)
