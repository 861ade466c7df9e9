"""Thresholds of use: which of them an account has reached."""

from bank.policy.enforcement import has_nothing_left

LOWER, UPPER, FULL = "lower_limit", "upper_limit", "max_limit"
THRESHOLDS = (LOWER, UPPER, FULL)
# The column of the accounts table that shows whether it is reached and told.
FLAGS = {
    UPPER: "upper_limit_informed",
    LOWER: "lower_limit_informed",
    FULL: "max_limit_informed",
}


def percent(*, limit: int | None, used: int) -> int | None:
    """Return how much of a limit is used, in whole percent rounded down; None for no limit."""
    return used * 100 // limit if limit else None


def reached(
    *, limit: int | None, used: int, lower_percent: int, upper_percent: int
) -> tuple[str, ...]:
    """Return the thresholds that an account has reached, lowest first.

    One that jumps over several has reached all of them. An account without a limit (None) reaches
    none; one with a limit of 0 is full, and has no percent.

    Units:
        Billing-seconds.
    """
    found = []
    if limit:
        for event, percent in ((LOWER, lower_percent), (UPPER, upper_percent)):
            if used * 100 >= limit * percent:
                found.append(event)
    if has_nothing_left(limit=limit, used=used):
        found.append(FULL)
    return tuple(found)
