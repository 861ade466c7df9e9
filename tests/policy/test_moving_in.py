import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import InputError
from bank.policy.moving_in import Choices, read_choices, select_rows
from tests.predecessor.old_file import old_row


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("", Choices()),
        ("7", Choices(keep=frozenset({7}))),
        (
            " 7, out:9 ,ours:Physics",
            Choices(frozenset({7}), frozenset({9}), frozenset({"physics"})),
        ),
        ("out:-3", Choices(out=frozenset({-3}))),
    ],
)
def test_choices_are_a_list(text: str, choices: Choices) -> None:
    assert read_choices(text) == choices


@pytest.mark.parametrize(
    "text", ["x", "7;8", "7,,8", "out:", "ours:", "ours:-h", "7,7", "1e3", "³"]
)
def test_what_is_no_choice_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError):
        read_choices(text)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", "b", "B", "c", "-h", "root"]),
        st.sampled_from([-500, -1, 0, 7, None]),
    ),
    max_size=8,
)


@given(wanted=ROWS, seed=st.integers())
def test_every_row_is_taken_or_named_and_each_choice_settles_one_thing(
    wanted: list[tuple[str, int | None]], seed: int
) -> None:
    rows = [old_row(number, *values) for number, values in enumerate(wanted, start=1)]
    before = select_rows(rows, Choices())
    pick = random.Random(seed)  # noqa: S311 - an example
    choices = Choices(
        frozenset(
            pick.choice([row.number for row in conflict.rows]) for conflict in before.conflicts
        ),
        frozenset(row.number for row in before.unusable),
    )
    after = select_rows(rows, choices)
    assert (after.conflicts, after.unusable, after.wrong_choices) == ([], [], [])
    numbers = [row.number for row in after.taken] + [row.number for row in after.left_out]
    assert sorted(numbers) == list(range(1, len(rows) + 1))
    names = [row.account for row in after.taken]
    assert len(names) == len(set(names))
    assert choices.keep <= {row.number for row in after.taken}
    # The same once more chooses nothing that was not asked.
    superfluous = select_rows([], choices)
    assert len(superfluous.wrong_choices) == len(choices.keep) + len(choices.out)
