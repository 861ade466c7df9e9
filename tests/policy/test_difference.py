"""What a file of accounts would change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.difference import Line, State, compare, lines, with_fractions, with_told

SU = 3600
DAY, OTHER_DAY = "2022-04-08", "2023-01-01"
TOLD = frozenset({"upper_limit", "lower_limit"})


def state(su: float | None, day: str = DAY, told: frozenset[str] = frozenset()) -> State:
    return State(None if su is None else int(su * SU), day, told)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (None, state(10), [("opened", None, "10"), ("date", None, DAY)]),
        (None, state(None, DAY, TOLD), [("opened", None, "unlimited"), ("date", None, DAY),
                                        ("flags", "none", "lower_limit, upper_limit")]),
        (state(10.5), None, [("closed", "10.5", None)]),
        (state(None), None, [("closed", "unlimited", None)]),
        (state(10), state(11), [("raised", "10", "11")]),
        (state(10.5), state(0), [("lowered", "10.5", "0")]),
        (state(10), state(None), [("unlimited", "10", "unlimited")]),
        (state(None), state(10), [("limited", "unlimited", "10")]),
        (state(10), state(10, OTHER_DAY), [("date", DAY, OTHER_DAY)]),
        (state(10), state(10, DAY, TOLD), [("flags", "none", "lower_limit, upper_limit")]),
        (state(10, DAY, TOLD), state(10), [("flags", "lower_limit, upper_limit", "none")]),
        (state(10, DAY, TOLD), state(11, OTHER_DAY), [
            ("raised", "10", "11"), ("date", DAY, OTHER_DAY),
            ("flags", "lower_limit, upper_limit", "none")]),
        (state(10, DAY, TOLD), state(10, DAY, TOLD), []),
    ],
)  # fmt: skip
def test_each_difference_is_said(
    before: State | None, after: State | None, found: list[tuple[str, str | None, str | None]]
) -> None:
    present = {} if before is None else {"a": before}
    wanted = {} if after is None else {"a": after}
    said = [line for one in compare(present, wanted, is_complete=True) for line in lines(one)]
    assert said == [Line("a", *one) for one in found]


def test_only_a_file_of_all_accounts_closes_others() -> None:
    present = {"a": state(1), "b": state(2)}
    assert compare(present, {"a": state(1)}, is_complete=False) == []
    (closed,) = compare(present, {"a": state(1)}, is_complete=True)
    assert closed == ("b", state(2), None)


@pytest.mark.parametrize(
    ("present", "whole", "kept"),
    [
        (10.5, 10, 10.5),
        (10, 10, 10),
        (9.75, 10, 10),
        (11.5, 10, 10),
        (0.5, 0, 0.5),
        (None, 10, 10),
        (10.5, None, None),
    ],
)
def test_a_limit_that_rounds_down_to_that_of_the_file_is_kept(
    present: float | None, whole: float | None, kept: float | None
) -> None:
    found = with_fractions({"a": state(present)}, {"a": state(whole, OTHER_DAY), "b": state(1)})
    assert found == {"a": state(kept, OTHER_DAY), "b": state(1)}


@pytest.mark.parametrize(
    ("told", "file", "reached", "after"),
    [
        ("", "lu", "l", "l"),
        ("", "lu", "", ""),
        ("u", "l", "lu", "lu"),
        ("u", "", "", "u"),
        ("l", "l", "", "l"),
    ],
)
def test_a_flag_is_taken_over_where_it_is_so_and_nobody_was_told(
    told: str, file: str, reached: str, after: str
) -> None:
    present, wanted = state(1, DAY, frozenset(told)), state(2, DAY, frozenset(file))
    found = with_told({"a": present}, {"a": wanted, "new": wanted}, {"a": reached})
    assert found == {"a": wanted._replace(told=frozenset(after)), "new": wanted}


states = st.builds(
    State,
    st.none() | st.integers(0, 10 * SU),
    st.sampled_from([DAY, OTHER_DAY]),
    st.frozensets(st.sampled_from(["upper_limit", "lower_limit", "max_limit"])),
)
banks = st.dictionaries(st.sampled_from("abcd"), states)


@given(banks, banks, st.booleans())
def test_what_the_differences_say_leads_to_what_the_file_says(
    present: dict[str, State], wanted: dict[str, State], is_complete: bool
) -> None:
    after = dict(present)
    for name, before, new in compare(present, wanted, is_complete=is_complete):
        assert after.pop(name, None) == before
        if new is not None:
            after[name] = new
    assert after == (wanted if is_complete else {**present, **wanted})
    assert compare(after, wanted, is_complete=is_complete) == []


@given(banks)
def test_what_a_dump_rounded_down_is_no_difference(present: dict[str, State]) -> None:
    dumped = {
        name: one._replace(limit=None if one.limit is None else one.limit // SU * SU)
        for name, one in present.items()
    }
    assert compare(present, with_fractions(present, dumped), is_complete=True) == []
