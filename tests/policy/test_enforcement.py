"""The table of holds: every combination of what should be, what is on record and what is."""

import pytest

from bank.policy.enforcement import (
    CHANGED_BY_OTHERS,
    CONFIRM,
    FORGET,
    HELD_BY_OTHERS,
    HOLD,
    NOTHING,
    RELEASE,
    Decision,
    Ours,
    decide,
    has_nothing_left,
)

FREE = Ours(original=None, confirmed=True)
FREE_ASKED = Ours(original=None, confirmed=False)
HAD_500 = Ours(original=500, confirmed=True)
HAD_500_ASKED = Ours(original=500, confirmed=False)


@pytest.mark.parametrize(
    ("should_hold", "ours", "present", "decision"),
    [
        (False, None, None, Decision(NOTHING, None)),
        (False, None, 500, Decision(NOTHING, 500)),
        (False, None, 0, Decision(HELD_BY_OTHERS, None)),
        (True, None, None, Decision(HOLD, None)),
        (True, None, 500, Decision(HOLD, 500)),
        (True, None, 0, Decision(HELD_BY_OTHERS, None)),
        (True, FREE, 0, Decision(NOTHING, None)),
        (True, FREE_ASKED, 0, Decision(CONFIRM, None)),
        (True, HAD_500, 0, Decision(NOTHING, 500)),
        (True, HAD_500_ASKED, 0, Decision(CONFIRM, 500)),
        # Lifted by others, or never set.
        (True, FREE, None, Decision(HOLD, None)),
        (True, HAD_500, None, Decision(HOLD, 500)),
        (True, HAD_500_ASKED, 500, Decision(HOLD, 500)),
        # Others put a limit of theirs in its place: that is what will come back.
        (True, FREE, 700, Decision(HOLD, 700)),
        (True, HAD_500, 700, Decision(HOLD, 700)),
        (False, FREE, 0, Decision(RELEASE, None)),
        (False, HAD_500, 0, Decision(RELEASE, 500)),
        (False, FREE, None, Decision(FORGET, None)),
        (False, HAD_500, 500, Decision(FORGET, 500)),
        # Asked for and never seen: it may still be on its way to the controller.
        (False, FREE_ASKED, None, Decision(RELEASE, None)),
        (False, HAD_500_ASKED, 500, Decision(RELEASE, 500)),
        (False, FREE, 700, Decision(CHANGED_BY_OTHERS, 700)),
        (False, HAD_500, None, Decision(CHANGED_BY_OTHERS, None)),
    ],
)
def test_decision(
    should_hold: bool, ours: Ours | None, present: int | None, decision: Decision
) -> None:
    assert decide(should_hold=should_hold, ours=ours, present=present) == decision


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
