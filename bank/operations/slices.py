"""Slices: so much as is written in one transaction, so that nobody waits long for it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

_AT_ONCE = 200


def slices(items: Sequence[Item], *, at_once: int = _AT_ONCE) -> Iterator[Sequence[Item]]:
    """Yield accounts, or runs of jobs, in their order, a transaction's worth each time.

    Args:
        items: the accounts.
        at_once: how many; fewer where more is written of each.
    """
    for start in range(0, len(items), at_once):
        yield items[start : start + at_once]
