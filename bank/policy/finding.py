"""Finding accounts: what the options of 'list' ask for, and the order in which they are shown."""

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from bank.errors import InputError

_PERCENT = re.compile(r"([0-9]{1,4})%?")
_DAYS = re.compile(r"([0-9]{1,5})d?")
# What a name may be, with what stands for any of it.
_GLOB = re.compile(r"(?:[a-z0-9_.@+*?-]|\[!?[a-z0-9_.@+-]+\])+")
# Shares that differ by less than this part are in the order of the names.
_WHOLE = 10**9


class Wanted(NamedTuple):
    """Which accounts are asked for; None, or False, where it does not matter.

    Attributes:
        is_held: those that are held, or stand below one that is.
        over_percent: those that have used so much of their limit, or more.
        ending_days: those whose period, or a grant of theirs, ends within so many days, or is over.
        match: those whose whole name the pattern fits.
    """

    is_held: bool = False
    over_percent: int | None = None
    ending_days: int | None = None
    match: str | None = None


class Candidate(NamedTuple):
    """What of an account decides whether it is asked for.

    Attributes:
        name: of the account.
        is_held: whether it is held, or one above it.
        limit, used: billing-seconds; None is unlimited.
        days_left: until the last day of its period or of a grant, whichever comes first; below 0
            when that is over; None where no end means anything.
    """

    name: str
    is_held: bool
    limit: int | None
    used: int
    days_left: int | None


def read(*, is_held: bool, over: str | None, ending: str | None, match: str | None) -> Wanted:
    """Read the options of 'list'; None where one was not given.

    Raises:
        InputError: names the option whose value cannot be used, and says what is allowed.
    """
    return Wanted(
        is_held,
        _number(_PERCENT, over, "--over", "a whole percent such as 80 or 80%, up to 9999"),
        _number(_DAYS, ending, "--ending", "whole days such as 30 or 30d, up to 99999"),
        None if match is None else _pattern(match),
    )


def _number(form: re.Pattern[str], text: str | None, option: str, allowed: str) -> int | None:
    if text is None:
        return None
    found = form.fullmatch(text)
    if found is None:
        raise InputError(f"{option} {text[:80]!r} cannot be used: give {allowed}")
    return int(found.group(1))


def _pattern(text: str) -> str:
    pattern = text.lower() if text.isascii() else text
    if _GLOB.fullmatch(pattern) is None:
        raise InputError(
            f"--match {text[:80]!r} fits no account name: letters, digits and _ . @ + - stand for"
            " themselves, * for any of them, ? for one, [abc] for one of these, [!abc] for another"
        )
    return pattern


def is_wanted(one: Candidate, wanted: Wanted) -> bool:
    """Tell whether an account is asked for: all that was asked must be so."""
    return (
        (one.is_held or not wanted.is_held)
        and (wanted.over_percent is None or _is_over(one, wanted.over_percent))
        and (wanted.ending_days is None or _is_ending(one, wanted.ending_days))
        and (wanted.match is None or fnmatchcase(one.name, wanted.match))
    )


def _is_over(one: Candidate, percent: int) -> bool:
    if one.limit is None:
        return False
    # One with a limit of 0 has no percent, and is full.
    whole = (one.limit, one.used) if one.limit > 0 else (1, 1)
    return whole[1] * 100 >= whole[0] * percent


def _is_ending(one: Candidate, days: int) -> bool:
    return one.days_left is not None and one.days_left <= days


def order(one: Candidate, wanted: Wanted) -> tuple[int, int, str]:
    """Return the key by which accounts are sorted.

    With --ending what ends first comes first, with --over what has used most of its limit, and
    otherwise accounts stand in the order of their names. With both, the day comes before the use.
    """
    days = one.days_left or 0 if wanted.ending_days is not None else 0
    share = 0
    if wanted.over_percent is not None and one.limit is not None:
        share = one.used * _WHOLE // one.limit if one.limit > 0 else _WHOLE
    return days, -share, one.name
