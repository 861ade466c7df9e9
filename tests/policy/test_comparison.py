import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.comparison import (
    CANNOT_SAY,
    DEFECTS,
    HOLD,
    NOTHING,
    RELEASE,
    Seen,
    Site,
    compare,
    old_check,
)
from bank.policy.predecessor import checked_row
from tests.predecessor.old_file import old_row

SU = 3600
SITE = Site(("hpc",), "", "all", "report", SU)
LONG = "a" * 31


def seen(limit: object, used: int, *, name: str = "a", written: str | None = None) -> Seen:
    row = old_row(1, written or name, limit)
    return Seen(name, (row,), checked_row(row), {"hpc": used}, used)


def unknown(used: int = 0) -> Seen:
    return Seen("a", (), None, {"hpc": used}, used, is_stranger=True)


def held(account: Seen) -> Seen:
    return account._replace(is_held=True, is_ours=True)


@pytest.mark.parametrize(
    ("account", "site", "old", "new", "number"),
    [
        (seen(10, 9 * SU), {}, NOTHING, NOTHING, None),
        (seen(10, 11 * SU), {}, HOLD, HOLD, None),
        (held(seen(10, 11 * SU)), {}, HOLD, HOLD, None),
        (seen(-1, 99 * SU), {}, NOTHING, NOTHING, None),
        (seen(10, 10 * SU), {}, NOTHING, HOLD, 9),
        (held(seen(10, 10 * SU)), {}, "stays held", HOLD, None),
        (seen(10, 10 * SU + 3599), {}, NOTHING, HOLD, 10),
        (seen(0, 0), {}, NOTHING, HOLD, 11),
        (seen(0, 3599), {}, NOTHING, HOLD, 11),
        (seen(0, SU), {}, HOLD, HOLD, None),
        (held(seen(10, 9 * SU)), {}, "stays held", RELEASE, 4),
        (held(seen(-1, 99 * SU)), {}, "stays held", RELEASE, 6),
        (seen(10, 9 * SU)._replace(is_held=True), {}, "stays held", "stays held", None),
        (unknown(99 * SU), {}, NOTHING, NOTHING, None),
        (unknown(), {"unknown_accounts": "hold"}, NOTHING, HOLD, 22),
        (unknown(SU), {"unknown_accounts": "allocate"}, NOTHING, HOLD, 22),
        (unknown(SU - 1), {"unknown_accounts": "allocate"}, NOTHING, NOTHING, None),
        (
            unknown(SU - 1)._replace(running=1),
            {"unknown_accounts": "allocate", "is_running_counted": True},
            NOTHING,
            HOLD,
            22,
        ),
        (seen(10, 11 * SU), {"clusters": ("hpc", "gpu")}, NOTHING, HOLD, 23),
        (seen(10, 11 * SU, written="A"), {}, NOTHING, HOLD, 39),
        (seen(10, 11 * SU, name=LONG), {}, NOTHING, HOLD, 69),
        (seen(10, 11 * SU, name=LONG[1:]), {}, HOLD, HOLD, None),
        (seen(10, 11 * SU), {"prefix": "phys"}, NOTHING, HOLD, 70),
        (seen(10, 11 * SU, name="biophys1"), {"prefix": "phys"}, HOLD, HOLD, None),
        (seen(10, 11 * SU, name="phxs"), {"prefix": "ph.s"}, HOLD, HOLD, None),
        (held(seen(10, 9 * SU, written="A")), {}, "stays held", RELEASE, 4),
    ],
)
def test_both_do_the_same_or_a_defect_says_why(
    account: Seen, site: dict[str, object], old: str, new: str, number: int | None
) -> None:
    found = compare(account, SITE._replace(**site))  # type: ignore[arg-type]
    assert (found.old, found.new, found.number) == (old, new, number)
    assert found.is_same == (number is None)
    assert found.why == DEFECTS.get(number or 0, "")


def test_the_first_of_several_rows_was_read_and_another_was_chosen() -> None:
    rows = (old_row(1, "a", 10), old_row(2, "a", 5))
    used = 7 * SU
    kept = Seen("a", rows, checked_row(rows[1]), {"hpc": used}, used)
    found = compare(kept, SITE)
    assert (found.old, found.new, found.number) == (NOTHING, HOLD, 44)
    kept = kept._replace(rows=rows[::-1], taken=checked_row(rows[0]))
    found = compare(kept, SITE)
    assert (found.old, found.new, found.number) == (HOLD, NOTHING, 44)


def test_a_row_that_cannot_be_taken_made_the_old_check_fail() -> None:
    left_out = Seen("a", (old_row(1, "a", None),), None, {"hpc": 7}, 7)
    found = compare(left_out, SITE)
    assert (found.old, found.number) == (CANNOT_SAY, 52)
    found = compare(left_out._replace(is_held=True), SITE)
    assert (found.is_same, found.number) == (False, 52)
    negative = left_out._replace(rows=(old_row(1, "a", -500),))
    found = compare(negative, SITE)
    assert (found.old, found.new, found.number) == (HOLD, NOTHING, 52)


def test_use_that_is_forgiven_is_no_defect_and_said() -> None:
    forgiven = seen(10, 11 * SU)._replace(used=0)
    found = compare(forgiven, SITE._replace(baseline="now"))
    assert (found.old, found.new, found.number) == (HOLD, NOTHING, None)
    assert "'now'" in found.why


@pytest.mark.parametrize(
    ("account", "site", "old", "new", "said"),
    [
        (seen(10, 9 * SU), {"on_end": "hold"}, NOTHING, HOLD, "ON_END = 'hold'"),
        (seen(10, 11 * SU), {"on_end": "hold"}, HOLD, HOLD, ""),
        (seen(-1, 9 * SU), {"on_end": "hold"}, NOTHING, NOTHING, ""),
        (seen(10, 11 * SU), {"on_end": "renew"}, HOLD, NOTHING, "ON_END = 'renew'"),
        (held(seen(10, 11 * SU)), {"on_end": "renew"}, HOLD, RELEASE, "ON_END = 'renew'"),
        (seen(0, SU), {"on_end": "renew"}, HOLD, HOLD, ""),
        (seen(10, 9 * SU), {"is_running_counted": True}, NOTHING, HOLD, "HOLD_COUNTS_RUNNING"),
        (seen(10, 8 * SU), {"is_running_counted": True}, NOTHING, NOTHING, ""),
    ],
)
def test_a_setting_that_the_predecessor_did_not_have_is_named(
    account: Seen, site: dict[str, object], old: str, new: str, said: str
) -> None:
    account = account._replace(running=SU, ended_on="2023-04-08")
    found = compare(account, SITE._replace(**site))  # type: ignore[arg-type]
    assert (found.old, found.new, found.number) == (old, new, None)
    assert found.is_same == (not said)
    assert found.why.startswith(said)


def test_use_is_added_up_over_all_clusters() -> None:
    both = seen(10, 0)._replace(raw={"hpc": 6 * SU, "gpu": 5 * SU}, used=11 * SU)
    assert old_check(both, SITE._replace(clusters=("hpc", "gpu"))).decision == HOLD


@given(
    limit=st.integers(-1, 5),
    used=st.integers(0, 6 * SU),
    is_held=st.booleans(),
    is_ours=st.booleans(),
    name=st.sampled_from(["a", LONG, "B"]),
    prefix=st.sampled_from(["", "a", "z"]),
)
def test_no_difference_is_without_a_number(
    limit: int, used: int, *, is_held: bool, is_ours: bool, name: str, prefix: str
) -> None:
    account = seen(limit, used, name=name.lower(), written=name)
    account = account._replace(is_held=is_held, is_ours=is_ours)
    found = compare(account, SITE._replace(prefix=prefix))
    assert found.is_same == (found.number is None)
    assert found.is_same or found.why
