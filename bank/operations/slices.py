"""Slices: so many accounts as are written in one transaction, so that nobody waits long for it."""

from collections.abc import Iterator, Sequence

_AT_ONCE = 200


def slices(names: Sequence[str], *, at_once: int = _AT_ONCE) -> Iterator[Sequence[str]]:
    """Yield accounts in their order, a transaction's worth each time.

    Args:
        names: the accounts.
        at_once: how many; fewer where more is written of each.
    """
    for start in range(0, len(names), at_once):
        yield names[start : start + at_once]
