"""Whether a job fits into a limit of Slurm's, and how long it may be for that."""

from collections.abc import Mapping
from fractions import Fraction

import pytest

from bank.policy.queue import ACCOUNT, Holder
from bank.policy.slurm_limits import (
    Limit,
    does_not_fit,
    minutes_that_fit,
    needed,
    stops_all,
    would_fit,
)
from tests.policy.test_reasons_of_jobs import job

HOLDER = Holder(ACCOUNT, "free", {})


def limit(name: str, value: int, used: str = "0", reserved: str = "0") -> Limit:
    return Limit(HOLDER, name, value, Fraction(used), Fraction(reserved))


@pytest.mark.parametrize(
    ("there", "asked", "takes", "is_stopped", "fits"),
    [
        # The job asks for 10 minutes; of a limit of use its minutes of a resource count.
        (limit("GrpTRESMins=cpu", 100, "60", "20"), {"cpu": 2}, 20, False, 100),
        (limit("GrpTRESMins=cpu", 100, "60", "21"), {"cpu": 2}, 20, True, 101),
        (limit("GrpTRESMins=cpu", 100, "99.5"), {"cpu": 0}, 0, False, 100),
        # Where all of it is gone, also a job that takes nothing of it waits.
        (limit("GrpTRESMins=cpu", 100, "100"), {"cpu": 0}, 0, True, 101),
        (limit("GrpTRESRunMins=cpu", 100, "80"), {"cpu": 2}, 20, False, 100),
        (limit("GrpTRESRunMins=cpu", 100, "81"), {"cpu": 2}, 20, True, 101),
        (limit("GrpTRES=cpu", 8, "6"), {"cpu": 2}, 2, False, 8),
        (limit("GrpTRES=cpu", 8, "8"), {"cpu": 0}, 0, False, 8),
        (limit("GrpTRES=cpu", 8, "7"), {"cpu": 2}, 2, True, 9),
        (limit("GrpJobs", 3, "2"), {}, 1, False, 3),
        (limit("GrpJobs", 3, "3"), {}, 1, True, 4),
        # A job that waits is one of those that are submitted.
        (limit("MaxSubmitJobs", 3, "3"), {}, 0, False, 3),
        (limit("GrpWall", 60, "59"), {}, 0, False, 60),
        (limit("GrpWall", 60, "60"), {}, 0, True, 61),
        (limit("MaxTRESPN=cpu", 4), {"cpu": 8, "node": 2}, 4, False, 4),
        (limit("MaxTRESPN=cpu", 4), {"cpu": 10, "node": 2}, 5, True, 5),
        (limit("MaxTRESPJ=cpu", 4), {"cpu": 5}, 5, True, 5),
        (limit("MinTRESPJ=cpu", 4), {"cpu": 4}, 4, False, 4),
        (limit("MinTRESPJ=cpu", 4), {"cpu": 3}, 3, True, 3),
        (limit("MaxWallPJ", 10), {}, 10, False, 10),
        (limit("MaxWallPJ", 9), {}, 10, True, 10),
    ],
)
def test_a_job_fits_where_what_it_takes_is_left(
    there: Limit, asked: Mapping[str, int], takes: int, *, is_stopped: bool, fits: int
) -> None:
    waits = job(asked)
    assert needed(there, waits) == takes
    assert does_not_fit(there, waits) is is_stopped
    assert would_fit(there, waits) == fits
    if there.field != "MinTRESPJ":
        assert not does_not_fit(there._replace(value=fits), waits)


@pytest.mark.parametrize(
    ("there", "asked", "minutes"),
    [
        (limit("GrpTRESMins=cpu", 100, "50", "20"), {"cpu": 2}, 15),
        (limit("GrpTRESMins=cpu", 100, "50", "20"), {"cpu": 4}, 7),
        (limit("GrpTRESMins=cpu", 100, "99"), {"cpu": 2}, None),
        (limit("GrpTRESMins=cpu", 100), {"cpu": 0}, None),
        (limit("MaxWallPJ", 30), {}, 30),
        (limit("GrpTRES=cpu", 4), {"cpu": 8}, None),
    ],
)
def test_the_longest_time_that_fits(
    there: Limit, asked: Mapping[str, int], minutes: int | None
) -> None:
    assert minutes_that_fit(there, job(asked)) == minutes


@pytest.mark.parametrize(
    ("there", "is_stop"),
    [
        (limit("GrpTRESMins=billing", 5, "5"), True),
        (limit("GrpTRESMins=billing", 5, "4.9"), False),
        # Not every job asks for GPUs.
        (limit("GrpTRESMins=gres/gpu", 5, "5"), False),
        (limit("GrpJobs", 2, "2"), True),
        (limit("MaxWallPJ", 0), False),
    ],
)
def test_what_is_reached_stops_all_jobs_where_each_takes_some(there: Limit, is_stop: bool) -> None:
    assert stops_all(there) is is_stop
