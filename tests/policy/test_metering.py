"""What a reading means: the spans that sacct gives, and what is booked of them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.metering import (
    BACK,
    BASELINE,
    FALL,
    FIRST,
    GONE,
    RESTART,
    RISE,
    Booking,
    Ran,
    Run,
    Span,
    booking,
    disturbed_booking,
    ran_in,
)

# Read at 1000 (answered at 1001), asked again at 2000; running jobs are counted every 62 s.
SPAN = Span(Fraction(1000), Fraction(1001), Fraction(2000), 62)
ONE = Fraction(1)


@pytest.mark.parametrize(
    ("what", "run", "least", "most"),
    [
        ("ran and ended between", Run(1100, 1200, False, ONE), 100, 100),
        ("at four a second", Run(1100, 1200, False, Fraction(4)), 400, 400),
        ("at a fraction a second, cut off", Run(1100, 1101, False, Fraction(1, 2)), 0, 1),
        ("ended long before", Run(100, 900, False, ONE), 0, 0),
        ("ended at the reading's edge", Run(900, 1000, False, ONE), 0, 62),
        ("was running at the older reading", Run(500, 1500, False, ONE), 499, 562),
        ("runs still", Run(1500, None, False, ONE), 438, 500),
        ("ended at the newer one's edge", Run(1900, 2000, False, ONE), 38, 100),
        ("started just now", Run(1990, None, False, ONE), 0, 10),
        ("was lost by the controller", Run(1500, None, True, ONE), 0, 500),
        ("runs on for the controller alone", Run(1500, 1700, True, ONE), 0, 500),
    ],
)
def test_what_ran(what: str, run: Run, least: int, most: int) -> None:
    assert ran_in(SPAN, [run]) == Ran(least, most), what


def test_runs_add_up_before_anything_is_cut_off() -> None:
    half = Run(1100, 1101, False, Fraction(1, 2))
    assert ran_in(SPAN, [half, half]) == Ran(1, 1)


RUNS = st.builds(
    Run,
    st.integers(0, 3000),
    st.none() | st.integers(0, 3000),
    st.booleans(),
    st.fractions(0, 100, max_denominator=8),
).filter(lambda run: run.ended_at is None or run.ended_at >= run.started_at)


@given(st.lists(RUNS, max_size=5))
def test_the_least_is_never_more_than_the_most(runs: list[Run]) -> None:
    ran = ran_in(SPAN, runs)
    assert 0 <= ran.least <= ran.most


@given(RUNS, st.integers(1100, 1900), st.integers(0, 2))
def test_two_spans_never_book_more_than_ran(run: Run, middle: int, slow: int) -> None:
    """Whatever the reading between them says, the least of both is not above what ran at all."""
    first = Span(Fraction(0), Fraction(0), Fraction(middle), 62)
    second = Span(Fraction(middle), Fraction(middle + slow), Fraction(5000), 62)
    ended = 5000 if run.ended_at is None else run.ended_at
    if run.is_disputed:
        return
    least = ran_in(first, [run]).least + ran_in(second, [run]).least
    assert least <= (ended - run.started_at) * run.rate


@pytest.mark.parametrize(
    ("last", "raw", "baseline", "booked"),
    [
        (None, 70, False, Booking(FIRST, 70, 0, 0)),
        (None, 70, True, Booking(BASELINE, 0, 0, 0)),
        (70, 100, False, Booking(RISE, 30, 0, 0)),
        (70, 100, True, Booking(RISE, 30, 0, 0)),
    ],
)
def test_an_undisturbed_reading(
    last: int | None, raw: int, baseline: bool, booked: Booking
) -> None:
    assert booking(last, raw, baseline=baseline) == booked


@pytest.mark.parametrize(
    ("what", "last", "raw", "ran", "new_controller", "booked"),
    [
        ("set to 0, 40 ran since", 100, 0, Ran(40, 40), False, Booking(FALL, 0, 40, 0)),
        ("set to 0, counts again", 100, 15, Ran(40, 40), False, Booking(FALL, 15, 25, 0)),
        ("counted more than sacct knows", 100, 15, Ran(10, 12), False, Booking(FALL, 15, 0, 0)),
        ("came back older", 100, 60, Ran(40, 40), True, Booking(FALL, 0, 40, 0)),
        ("gone", 100, None, Ran(40, 50), False, Booking(GONE, 0, 40, 10)),
        ("restarted, nothing lost", 100, 140, Ran(40, 40), True, Booking(RESTART, 40, 0, 0)),
        ("restarted, a part lost", 100, 110, Ran(40, 40), True, Booking(RESTART, 10, 30, 0)),
        ("a hair below the next whole", 100, 139, Ran(40, 40), True, Booking(RESTART, 39, 0, 1)),
        ("restarted, jobs run", 100, 140, Ran(30, 90), True, Booking(RESTART, 40, 0, 50)),
    ],
)
def test_a_disturbed_reading(
    what: str, last: int, raw: int | None, ran: Ran, new_controller: bool, booked: Booking
) -> None:
    assert disturbed_booking(last, raw, ran, new_controller=new_controller) == booked, what


@pytest.mark.parametrize(
    ("what", "raw", "ran", "booked"),
    [
        ("made again, has counted", 40, Ran(40, 40), Booking(BACK, 40, 0, 0)),
        ("made again, jobs run", 30, Ran(20, 90), Booking(BACK, 30, 0, 60)),
        ("came back with what it had", 1000, Ran(0, 0), Booking(BACK, 0, 0, 0)),
        ("came back and has counted", 1040, Ran(40, 40), Booking(BACK, 0, 40, 0)),
    ],
)
def test_a_meter_that_was_gone_is_never_charged_for_the_same_again(
    what: str, raw: int, ran: Ran, booked: Booking
) -> None:
    assert disturbed_booking(0, raw, ran, new_controller=False, was_gone=True) == booked, what
