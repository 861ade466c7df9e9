"""Use summed up: each charge and refund once, whatever it is summed up by."""

from hypothesis import given
from hypothesis import strategies as st

from bank.policy.usage import Sum, Use, summed

USES = st.lists(
    st.builds(
        lambda user, amount: Use("a", 0, amount, "c", user, None),
        st.none() | st.sampled_from(["ada", "bob", "eve"]),
        st.integers(-50, 50).filter(bool),
    )
)


@given(USES)
def test_sums_hold_each_use_once_and_the_largest_is_first(uses: list[Use]) -> None:
    found = summed(uses, lambda use: use.user)
    assert sum(one.used for one in found) == sum(use.amount for use in uses)
    assert sum(one.charged for one in found) == sum(max(use.amount, 0) for use in uses)
    assert {one.key for one in found} == {use.user for use in uses}
    assert [one.used for one in found] == sorted((one.used for one in found), reverse=True)


def test_what_is_refunded_is_told() -> None:
    uses = [Use("a", 0, 5, "c", "ada", None), Use("a", 1, -2, "c", "ada", "job 7")]
    assert summed(uses, lambda use: use.user) == [Sum("ada", 5, 2)]
