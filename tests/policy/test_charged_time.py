"""Which seconds of a run its job is charged for: each second counts once, for one source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.charged_time import JOBS, METERS, Mark, Ran, Seen, Source, charged_seconds

LONG_AGO = Seen(1, 0)
ALWAYS = [Source(1, JOBS, 0)]
OVER = [Source(1, METERS, 0), Source(2, JOBS, 1000)]
BACK = [*OVER, Source(3, METERS, 2000)]
AGAIN = [*BACK, Source(4, JOBS, 3000)]


@pytest.mark.parametrize(
    ("ran", "sources", "marks", "seen", "wanted"),
    [
        (Ran(100, 160, 0), ALWAYS, {}, LONG_AGO, 60),
        (Ran(100, 160, 20), ALWAYS, {}, LONG_AGO, 40),
        (Ran(100, 160, 90), ALWAYS, {}, LONG_AGO, 0),
        # Over before jobs took over, or begun since.
        (Ran(100, 900, 0), OVER, {}, LONG_AGO, 0),
        (Ran(1000, 1100, 5), OVER, {}, LONG_AGO, 95),
        # Running then: what meters have counted, suspended or not, is not charged again.
        (Ran(900, 1100, 0), OVER, {2: Mark(1000, 0)}, LONG_AGO, 100),
        (Ran(900, 1100, 60), OVER, {2: Mark(1000, 50)}, LONG_AGO, 90),
        # Ended between that second and the reading.
        (Ran(900, 1002, 0), OVER, {2: Mark(1002, 0)}, LONG_AGO, 0),
        # Meters take over again.
        (Ran(900, 2500, 0), BACK, {2: Mark(1000, 0), 3: Mark(2000, 0)}, LONG_AGO, 1000),
        (Ran(1500, 2500, 90), BACK, {3: Mark(2000, 30)}, LONG_AGO, 470),
        (Ran(1500, 2001, 0), BACK, {3: Mark(2001, 0)}, LONG_AGO, 501),
        (Ran(2100, 2500, 0), BACK, {}, LONG_AGO, 0),
        # And jobs once more.
        (
            Ran(900, 3100, 60),
            AGAIN,
            {2: Mark(1000, 10), 3: Mark(2000, 30), 4: Mark(3000, 50)},
            LONG_AGO,
            1000 - 20 + 100 - 10,
        ),
        # An account that came while jobs charged: all of its runs, or those since then.
        (Ran(100, 1100, 0), OVER, {}, Seen(1500, 0), 1000),
        (Ran(100, 1600, 0), OVER, {}, Seen(1500, 1500), 100),
        (Ran(100, 1400, 0), OVER, {}, Seen(1500, 1500), 0),
        # One that came while meters did was counted by them from the beginning.
        (Ran(1100, 1200, 0), AGAIN, {}, Seen(2500, 0), 0),
        (Ran(3100, 3200, 0), AGAIN, {}, Seen(2500, 0), 100),
        (Ran(1100, 3200, 0), AGAIN, {4: Mark(3000, 0)}, Seen(2500, 0), 200),
        # One that came while jobs charged for the first time.
        (Ran(100, 2500, 0), BACK, {3: Mark(2000, 0)}, Seen(1500, 0), 1900),
    ],
)
def test_for_how_long_a_run_is_charged(
    ran: Ran, sources: list[Source], marks: dict[int, Mark], seen: Seen, wanted: int
) -> None:
    assert charged_seconds(ran, sources, marks, seen) == wanted


@given(st.data())
def test_each_second_is_charged_by_one_source(data: st.DataObject) -> None:
    """Were the sources the other way round, the job would be charged for the rest."""
    edges = sorted(data.draw(st.sets(st.integers(1, 100), max_size=5)))
    began = data.draw(st.integers(0, 100))
    ended = data.draw(st.integers(began, 120))
    marks = {seq: Mark(at, 0) for seq, at in enumerate(edges, start=2) if began < at < ended}
    names = [METERS, JOBS]
    both = [
        [Source(seq, names[(seq + turn) % 2], at) for seq, at in enumerate([0, *edges], start=1)]
        for turn in (0, 1)
    ]
    ran = Ran(began, ended, 0)
    found = [charged_seconds(ran, sources, marks, Seen(-1, 0)) for sources in both]
    assert sum(found) == ended - began
