"""The table of limits: every combination of what should be, what is on record and what is."""

import pytest

from bank.policy.enforcement import (
    CHANGED_BY_OTHERS,
    CONFIRM,
    FORGET,
    HELD_BY_OTHERS,
    NOTHING,
    RELEASE,
    SET,
    Association,
    Decision,
    Ours,
    decide,
    has_nothing_left,
    native_limit,
)

FREE = Ours(original=None, value=0, replaced=frozenset(), confirmed=True)
FREE_ASKED = FREE._replace(confirmed=False)
HAD_500 = FREE._replace(original=500)
HAD_500_ASKED = HAD_500._replace(confirmed=False)
# Native limits; the controller counts 1000 minutes, and 60 more or less make no difference.
AT_1300 = FREE._replace(value=1300)
TO_1300 = AT_1300._replace(replaced={1200, 900}, confirmed=False)
TO_HOLD = FREE._replace(replaced={1300}, confirmed=False)
FREED_TO_1300 = AT_1300._replace(replaced={0}, confirmed=False)


@pytest.mark.parametrize(
    ("wanted", "ours", "present", "decision"),
    [
        (None, None, None, Decision(NOTHING, None)),
        (None, None, 500, Decision(NOTHING, 500)),
        (None, None, 0, Decision(HELD_BY_OTHERS, None)),
        (0, None, None, Decision(SET, None)),
        (0, None, 500, Decision(SET, 500)),
        (0, None, 0, Decision(HELD_BY_OTHERS, None)),
        (0, FREE, 0, Decision(NOTHING, None)),
        (0, FREE_ASKED, 0, Decision(CONFIRM, None)),
        (0, HAD_500, 0, Decision(NOTHING, 500)),
        (0, HAD_500_ASKED, 0, Decision(CONFIRM, 500)),
        # Lifted by others, or never set.
        (0, FREE, None, Decision(SET, None)),
        (0, HAD_500, None, Decision(SET, 500)),
        (0, HAD_500_ASKED, 500, Decision(SET, 500)),
        # Others put a limit of theirs in its place: that is what will come back.
        (0, FREE, 700, Decision(SET, 700)),
        (0, HAD_500, 700, Decision(SET, 700)),
        (None, FREE, 0, Decision(RELEASE, None)),
        (None, HAD_500, 0, Decision(RELEASE, 500)),
        (None, FREE, None, Decision(FORGET, None)),
        (None, HAD_500, 500, Decision(FORGET, 500)),
        # Asked for and never seen: it may still be on its way to the controller.
        (None, FREE_ASKED, None, Decision(RELEASE, None)),
        (None, HAD_500_ASKED, 500, Decision(RELEASE, 500)),
        (None, FREE, 700, Decision(CHANGED_BY_OTHERS, 700)),
        (None, HAD_500, None, Decision(CHANGED_BY_OTHERS, None)),
        # Native limits.
        (1300, None, None, Decision(SET, None)),
        (1300, None, 500, Decision(SET, 500)),
        (1300, None, 0, Decision(HELD_BY_OTHERS, None)),
        (1300, AT_1300, 1300, Decision(NOTHING, None)),
        # Too little is tolerated only as far as rounding goes, too much up to the tolerance.
        (1302, AT_1300, 1300, Decision(NOTHING, None)),
        (1303, AT_1300, 1300, Decision(SET, None)),
        (1240, AT_1300, 1300, Decision(NOTHING, None)),
        (1239, AT_1300, 1300, Decision(SET, None)),
        (0, AT_1300, 1300, Decision(SET, None)),
        # Let go after a hold, and a hold after a limit.
        (1300, FREE, 0, Decision(SET, None)),
        (None, AT_1300, 1300, Decision(RELEASE, None)),
        # Killed between the intent and the change: what Slurm shows is the bank's own, and neither
        # another's limit nor another's hold.
        (1300, TO_1300, 1200, Decision(SET, None)),
        (1300, TO_1300, 900, Decision(SET, None)),
        (1300, TO_1300, 1300, Decision(CONFIRM, None)),
        # Killed likewise, and then changed by others.
        (1300, TO_1300, 0, Decision(HELD_BY_OTHERS, None)),
        (1300, TO_1300, 7777, Decision(SET, 7777)),
        (1300, TO_1300, None, Decision(SET, None)),
        (0, TO_HOLD, 1300, Decision(SET, None)),
        (1300, FREED_TO_1300, 0, Decision(SET, None)),
        (None, TO_1300, 1200, Decision(RELEASE, None)),
        # Others changed it: set again; they stopped the account: that is theirs to lift.
        (1300, AT_1300, None, Decision(SET, None)),
        (1300, AT_1300, 5000, Decision(SET, 5000)),
        (1300, AT_1300, 0, Decision(HELD_BY_OTHERS, None)),
        (None, AT_1300, 5000, Decision(CHANGED_BY_OTHERS, 5000)),
    ],
)
def test_decision(
    wanted: int | None, ours: Ours | None, present: int | None, decision: Decision
) -> None:
    found = decide(
        wanted=wanted, ours=ours, present=present, counted_minutes=1000, tolerance_minutes=60
    )
    assert found == decision


def test_a_limit_that_stops_too_early_is_set_again_however_near() -> None:
    # 1001 minutes are paid for, the controller counts 1000 and stops at 1000: rounding takes more.
    at_1000 = FREE._replace(value=1000)
    found = decide(
        wanted=1001, ours=at_1000, present=1000, counted_minutes=1000, tolerance_minutes=60
    )
    assert found == Decision(SET, None)


@pytest.mark.parametrize(
    ("left", "counted", "limit"),
    [
        (None, 800, None),
        # What is left alone would stop the account at once.
        (500 * 60, 800, 1300),
        (500 * 60 + 59, 800, 1300),
        (0, 800, 800),
        (-1, 800, 800),
        (59, 800, 800),
        (59, 0, 0),
    ],
)
def test_a_native_limit_is_all_use_so_far_and_what_is_left(
    left: int | None, counted: int, limit: int | None
) -> None:
    assert native_limit(left=left, counted_minutes=counted) == limit


@pytest.mark.parametrize(
    ("limit", "used", "nothing_left"),
    [
        (3600, 3599, False),
        (3600, 3600, True),
        (3600, 3601, True),
        (0, 0, True),
        (None, 10**15, False),
    ],
)
def test_an_account_has_nothing_left_to_the_billing_second(
    limit: int | None, used: int, nothing_left: bool
) -> None:
    assert has_nothing_left(limit=limit, used=used) is nothing_left


@pytest.mark.parametrize(
    ("association", "text"),
    [
        (Association("physics"), "physics"),
        (Association("physics", "ada"), "ada in physics"),
        (Association("physics", "ada", "gpu"), "ada in physics, partition gpu"),
    ],
)
def test_an_association_is_named_for_people(association: Association, text: str) -> None:
    assert str(association) == text
