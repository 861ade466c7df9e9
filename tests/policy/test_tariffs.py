"""Prices by date: which weights and factors a run is priced with, as a table."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy import prices
from bank.policy.tariffs import (
    Price,
    Tariffs,
    Unpriced,
    Weights,
    in_force,
    price,
    read_weights,
    weights_text,
)


def weights(cpu: str) -> Weights:
    return {"cpu": Fraction(cpu)}


TARIFFS = Tariffs(
    {"p": [(100, weights("1")), (200, weights("2")), (300, weights("0.4"))], "q": [(100, {})]},
    {"normal": [(100, Fraction(1)), (250, Fraction(3))], "half": [(100, Fraction("0.5"))]},
    [(100, False)],
)
CPU, BILLING = "cpu", "billing"


@pytest.mark.parametrize(
    ("began_at", "allocated", "partition", "qos", "wanted"),
    [
        # In force at its start; of runs older than the first look that of the first.
        (150, {CPU: 4, BILLING: 4}, "p", "normal", ("4", "1", "weights")),
        (200, {CPU: 4, BILLING: 8}, "p", "normal", ("8", "1", "weights")),
        (50, {CPU: 4, BILLING: 4}, "p", "normal", ("4", "1", "weights")),
        (250, {CPU: 4, BILLING: 8}, "p", "normal", ("8", "3", "weights")),
        # sacct's whole number is of the weights that were seen next, or before.
        (199, {CPU: 4, BILLING: 8}, "p", "normal", ("8", "1", "weights seen next")),
        (201, {CPU: 4, BILLING: 4}, "p", "normal", ("4", "1", "weights seen before")),
        # Not of any nearby: then it is all there is.
        (150, {CPU: 4, BILLING: 9}, "p", "normal", ("9", "1", "billing")),
        # It is cut off, and absent where it is below 1.
        (310, {CPU: 4, BILLING: 1}, "p", "half", ("8/5", "1/2", "weights")),
        (310, {CPU: 1}, "p", "normal", ("2/5", "3", "weights")),
        # Absent is not 0, nor is it 4: what was seen next makes less than 1, else what was.
        (299, {CPU: 1}, "p", "half", ("2/5", "1/2", "weights seen next")),
        (150, {CPU: 4}, "p", "half", ("4", "1/2", "weights")),
        # Without weights the number of cores.
        (150, {CPU: 4, BILLING: 4}, "q", "half", ("4", "1/2", "weights")),
        # Gone before anybody looked.
        (150, {CPU: 4, BILLING: 4}, "gone", "half", ("4", "1/2", "billing")),
        (150, {CPU: 4}, "gone", "half", "the weights of partition gone are not known"),
        (150, {CPU: 4}, "p", "gone", "the UsageFactor of QOS gone is not known"),
        # slurmdbd was never told of its start.
        (310, {CPU: 4, BILLING: 4}, "", "", "the UsageFactor of its QOS"),
    ],
)
def test_what_a_run_is_priced_with(
    began_at: int,
    allocated: dict[str, int],
    partition: str,
    qos: str,
    wanted: tuple[str, str, str] | str,
) -> None:
    exact = {name: Fraction(amount) for name, amount in allocated.items()}
    found = price(TARIFFS, exact, partition=partition, qos=qos, began_at=began_at)
    if isinstance(wanted, str):
        assert isinstance(found, Unpriced)
        assert found.why.startswith(wanted)
    else:
        assert found == Price(Fraction(wanted[0]), Fraction(wanted[1]), wanted[2])


def test_a_run_that_slurmdbd_was_not_told_of_has_the_factor_that_all_have() -> None:
    tariffs = TARIFFS._replace(factors={"a": [(1, Fraction(2))], "b": [(1, Fraction(2))]})
    found = price(tariffs, {BILLING: Fraction(3)}, partition="", qos="", began_at=5)
    assert found == Price(Fraction(3), Fraction(2), "billing")


@given(
    seen=st.lists(st.integers(0, 20), min_size=1, unique=True).map(sorted), at=st.integers(0, 25)
)
def test_what_is_in_force_is_what_was_seen_last(seen: list[int], at: int) -> None:
    found = in_force([(one, one) for one in seen], at)
    assert found == max((one for one in seen if one <= at), default=seen[0])


@given(
    st.dictionaries(
        st.sampled_from(["cpu", "mem", "gres/gpu:a100", "license/a=b"]), st.fractions(min_value=0)
    )
)
def test_weights_are_read_as_they_were_written(known: dict[str, Fraction]) -> None:
    assert read_weights(weights_text(known)) == known


@given(st.fractions(min_value=0))
def test_a_cost_is_rounded_to_the_nearest_and_half_of_one_upwards(exact: Fraction) -> None:
    assert exact - Fraction(1, 2) < prices.rounded(exact) <= exact + Fraction(1, 2)
