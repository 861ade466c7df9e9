"""Spans of time as Slurm prints them."""

import re

from bank.errors import OutputNotUnderstood

_NO_LIMIT = {"UNLIMITED", "NOT_SET"}
_SPAN = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?(?:([0-9]+):)?([0-9]+)")


def minutes(text: str) -> int | None:
    """Read [days-][[hours:]minutes:]seconds, which is whole minutes; None where there is no limit.

    Raises:
        OutputNotUnderstood: it is no time limit.
    """
    if text in _NO_LIMIT:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise OutputNotUnderstood(f"{text!r} is not a time limit as Slurm prints it")
    days, first, second, seconds = match.groups()
    # With one colon only, what stands before it is minutes.
    hours, whole = (first, second) if second is not None else (None, first)
    total = (int(days or 0) * 24 + int(hours or 0)) * 60 + int(whole or 0)
    return total + (1 if int(seconds) else 0)
