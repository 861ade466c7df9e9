"""What leads from what sacct shows to what is booked: each cause with its size, and no other."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy import metering
from bank.policy.metering import Span
from bank.policy.reconciliation import (
    AFTER,
    BEFORE,
    FACTOR,
    FIRST_LOOK,
    FORGOTTEN,
    FRACTION,
    FROM_SACCT,
    LOST,
    RUNAWAY,
    RUNNING,
    SUSPENDED,
    UNEXPLAINED,
    UNPRICED,
    WEIGHTS,
    RunInSacct,
    Segment,
    in_whole,
    meter_parts,
    shown_by_sacct,
)

SINCE, UNTIL = Fraction(1000), Fraction(5000)
ONE = Fraction(1)


def ran(began: int, ended: int | None, *, rate: Fraction = ONE, **options: bool) -> RunInSacct:
    return RunInSacct(began, ended, 0, int(rate), rate, ONE, **options)


def segment(since: int, until: int, charged: int, **options: object) -> Segment:
    span = Span(Fraction(since), Fraction(since), Fraction(until), 62)
    values: dict[str, object] = {"adjusted": 0, "cause": metering.RISE, **options}
    return Segment(span, charged, **values)  # type: ignore[arg-type]


def whole(segments: list[Segment], runs: list[RunInSacct]) -> dict[str, int]:
    """Return all causes of a meter, in whole billing-seconds."""
    parts = meter_parts(segments, runs, SINCE, UNTIL)
    sacct = Fraction(0)
    for run in runs:
        amount, leads = shown_by_sacct(run, SINCE, UNTIL)
        sacct += amount
        for cause, part in leads.items():
            parts[cause] = parts.get(cause, Fraction(0)) + part
    return in_whole(sacct, sum(one.charged + one.adjusted for one in segments), parts)


@pytest.mark.parametrize(
    ("what", "run", "shown", "parts"),
    [
        ("a whole one", RunInSacct(2000, 3000, 0, 2, Fraction(2), ONE), 2000, {}),
        (
            "a fraction",
            RunInSacct(2000, 3000, 0, 2, Fraction(9, 4), ONE),
            2000,
            {FRACTION: 250},
        ),
        (
            "a factor",
            RunInSacct(2000, 3000, 0, 2, Fraction(2), Fraction(5, 2)),
            2000,
            {FACTOR: 3000},
        ),
        ("free", RunInSacct(2000, 3000, 0, 2, Fraction(2), Fraction(0)), 2000, {FACTOR: -2000}),
        ("suspended", RunInSacct(2000, 3000, 400, 2, Fraction(2), ONE), 1200, {SUSPENDED: 800}),
        (
            "all of them",
            RunInSacct(2000, 3000, 400, 2, Fraction(9, 4), Fraction(2)),
            1200,
            {FRACTION: 150, SUSPENDED: 900, FACTOR: 2250},
        ),
        ("over the edges", RunInSacct(0, 9000, 0, 1, ONE, ONE), 4000, {}),
        ("runs still", RunInSacct(4000, None, 0, 1, ONE, ONE), 1000, {}),
        ("suspended in part", RunInSacct(0, 2000, 1500, 1, ONE, ONE), 0, {SUSPENDED: 1000}),
        (
            "a runaway",
            RunInSacct(4000, None, 0, 1, ONE, ONE, is_disputed=True),
            1000,
            {RUNAWAY: -1000},
        ),
    ],
)
def test_what_sacct_shows_of_a_run(
    what: str, run: RunInSacct, shown: int, parts: dict[str, int]
) -> None:
    amount, leads = shown_by_sacct(run, SINCE, UNTIL)
    assert amount == shown, what
    assert {cause: part for cause, part in leads.items() if part} == parts


RAN = ran(2000, 3000)
CUT = ran(2000, 3000, is_cut=True)


@pytest.mark.parametrize(
    ("what", "segments", "runs", "causes"),
    [
        ("all as it ran", [segment(900, 4000, 1000)], [RAN], {}),
        ("not read yet", [segment(900, 2500, 500)], [RAN], {AFTER: -500}),
        ("nothing was read", [], [RAN], {AFTER: -1000}),
        ("ran before", [segment(500, 4000, 1300)], [RAN, ran(600, 900)], {BEFORE: 300}),
        ("counted late", [segment(900, 2500, 450)], [RAN], {AFTER: -500, RUNNING: -50}),
        ("cut off", [segment(900, 4000, 999)], [RAN], {RUNNING: -1}),
        ("charged for nothing", [segment(900, 4000, 1500)], [RAN], {RUNNING: 1, UNEXPLAINED: 499}),
        ("not charged", [segment(900, 4000, 0)], [RAN], {RUNNING: -1, UNEXPLAINED: -999}),
        ("no job at all", [segment(900, 4000, 70)], [], {RUNNING: 1, UNEXPLAINED: 69}),
        (
            "forgotten",
            [segment(900, 4000, 70, may_be_forgotten=True)],
            [],
            {RUNNING: 1, FORGOTTEN: 69},
        ),
        (
            "less than ran, and some forgotten",
            [segment(900, 4000, 0, may_be_forgotten=True)],
            [RAN],
            {RUNNING: -1, UNEXPLAINED: -999},
        ),
        (
            "the first look",
            [segment(1000, 4000, 5000, cause=metering.FIRST)],
            [RAN],
            {RUNNING: 1, FIRST_LOOK: 3999},
        ),
        (
            "the baseline",
            [segment(1000, 4000, 0, cause=metering.BASELINE)],
            [RAN],
            {RUNNING: -1, FIRST_LOOK: -999},
        ),
        (
            "lost, and taken from sacct",
            [segment(900, 4000, 300, adjusted=700, cause=metering.RESTART)],
            [RAN],
            {LOST: -700, FROM_SACCT: 700},
        ),
        (
            "lost while it ran",
            [segment(900, 2500, 400, adjusted=40, cause=metering.FALL)],
            [RAN],
            {AFTER: -500, LOST: -100, FROM_SACCT: 40},
        ),
        ("other weights", [segment(900, 4000, 1700)], [CUT], {RUNNING: 1, WEIGHTS: 699}),
        (
            "more than other weights can be",
            [segment(900, 4000, 2600)],
            [CUT],
            {RUNNING: 1, WEIGHTS: 1000, UNEXPLAINED: 599},
        ),
        (
            "nobody knows its price",
            [segment(900, 4000, 700)],
            [ran(2000, 3000, rate=Fraction(0), is_unpriced=True)],
            {RUNNING: 1, UNPRICED: 699},
        ),
    ],
)
def test_causes(
    what: str, segments: list[Segment], runs: list[RunInSacct], causes: dict[str, int]
) -> None:
    assert whole(segments, runs) == causes, what


FRACTIONS = st.fractions(0, 9, max_denominator=8)
RUNS = st.builds(
    lambda began, lasted, suspended, billing, factor, cut: RunInSacct(
        began, began + lasted, min(suspended, lasted), int(billing), billing, factor, is_cut=cut
    ),
    st.integers(0, 6000),
    st.integers(0, 3000),
    st.integers(0, 900),
    FRACTIONS,
    FRACTIONS,
    st.booleans(),
)
TIMES = st.lists(st.integers(0, 6000), min_size=1, max_size=5, unique=True).map(sorted)


@given(TIMES, st.lists(st.integers(0, 20_000), min_size=4, max_size=4), st.lists(RUNS, max_size=5))
def test_the_causes_together_are_the_difference(
    times: list[int], charged: list[int], runs: list[RunInSacct]
) -> None:
    spans = zip(times, times[1:], charged, strict=False)
    segments = [segment(since, until, amount) for since, until, amount in spans]
    causes = whole(segments, runs)
    shown = round(sum((shown_by_sacct(run, SINCE, UNTIL)[0] for run in runs), Fraction(0)))
    assert shown + sum(causes.values()) == sum(one.charged for one in segments)


@given(TIMES, st.lists(RUNS, max_size=5))
def test_what_is_booked_as_it_ran_is_never_left_unexplained(
    times: list[int], runs: list[RunInSacct]
) -> None:
    segments = []
    for since, until in pairwise(times):
        cost = sum(
            (run.per_second * run.seconds_in(Fraction(since), Fraction(until)) for run in runs),
            Fraction(0),
        )
        segments.append(segment(since, until, int(cost)))
    assert UNEXPLAINED not in whole(segments, runs)
