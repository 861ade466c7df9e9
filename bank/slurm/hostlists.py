"""Lists of hosts as Slurm writes them: "c[1-3,07],login1"."""

import re
from itertools import product
from math import prod

from bank.errors import OutputNotUnderstood

_LIST = re.compile(r"(?:[^][,\s]|\[[0-9,-]+\])+(?:,(?:[^][,\s]|\[[0-9,-]+\])+)*")
_ITEM = re.compile(r"(?:[^][,]|\[[^]]*\])+")
_PART = re.compile(r"\[([^]]*)\]|([^[]+)")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
# Of a job that got no node.
_NOWHERE = ("None assigned", "")
# More hosts than any cluster has: a range with a digit too many must not fill the memory.
_MOST = 200_000


def hosts(text: str) -> frozenset[str]:
    """Return the hosts that a list names.

    sacct can look for nodes by itself, but by numbers that are of the cluster as it is now; where
    nodes were added since, it may show others.

    Raises:
        OutputNotUnderstood: it is not a list of hosts.

    Source:
        scontrol(1), show hostnames, which prints the same hosts.
    """
    if text in _NOWHERE:
        return frozenset()
    if _LIST.fullmatch(text) is None:
        raise OutputNotUnderstood(f"{text[:200]!r} is not a list of hosts")
    found: set[str] = set()
    for item in _ITEM.findall(text):
        parts = [
            [match.group(2)] if match.group(2) else _numbers(text, match.group(1))
            for match in _PART.finditer(item)
        ]
        if len(found) + prod(map(len, parts)) > _MOST:
            raise OutputNotUnderstood(f"{text[:200]!r} names more than {_MOST:,} hosts")
        found.update("".join(words) for words in product(*parts))
    return frozenset(found)


def _numbers(text: str, inside: str) -> list[str]:
    """Return the numbers of a bracket, each with as many digits as its range has."""
    found: list[str] = []
    for part in inside.split(","):
        match = _RANGE.fullmatch(part)
        first, last = match.groups() if match else ("1", "0")
        numbers = range(int(first), int(last or first) + 1)
        if not 0 < len(numbers) <= _MOST:
            raise OutputNotUnderstood(f"{part!r} in {text[:200]!r} is not a range of hosts")
        found += [f"{number:0{len(first)}d}" for number in numbers]
    return found
