"""Spans of time as Slurm prints them."""

import re

from bank.errors import OutputNotUnderstood

_NO_LIMIT = {"UNLIMITED", "INFINITE", "NOT_SET"}
_SPAN = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?([0-9]+):([0-9]+)")


def seconds(text: str) -> int:
    """Read [days-][hours:]minutes:seconds.

    Raises:
        OutputNotUnderstood: it is no span of time.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise OutputNotUnderstood(f"{text[:80]!r} is not a span of time as Slurm prints it")
    days, hours, whole, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + whole) * 60 + rest


def minutes(text: str) -> int | None:
    """Read a time limit, which is of whole minutes; None where there is no limit.

    Raises:
        OutputNotUnderstood: it is no time limit.
    """
    if text in _NO_LIMIT:
        return None
    whole, rest = divmod(seconds(text), 60)
    if rest:
        raise OutputNotUnderstood(f"{text!r} is not a time limit of whole minutes")
    return whole
