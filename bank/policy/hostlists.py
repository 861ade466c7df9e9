"""Lists of nodes as Slurm writes them: "c[1-3,07],g1"."""

import re
from itertools import product

from bank.errors import InputError

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_PART = re.compile(r"(?:[^,\[\]\s]|\[[^\[\]]*\])+")
# Slurm itself takes no list of more nodes.
_MOST = 64_000


def names(text: str) -> tuple[str, ...]:
    """Return the names in a list of nodes, in their order and each once.

    Raises:
        InputError: it is not such a list.

    Source:
        slurm.conf(5), NodeName: ranges of numbers in brackets, which keep leading zeros.

    Example:
        >>> names("c[08-10,2],g1")
        ('c08', 'c09', 'c10', 'c2', 'g1')
    """
    parts = _PART.findall(text)
    if ",".join(parts) != text:
        raise InputError(f"{text[:80]!r} is not a list of nodes such as c[1-3],g1")
    found: dict[str, None] = {}
    for part in parts:
        pieces = _BRACKETS.split(part)
        # Every second piece stood in brackets.
        choices = [
            _numbers(piece, text) if number % 2 else [piece] for number, piece in enumerate(pieces)
        ]
        for name in product(*choices):
            found["".join(name)] = None
            if len(found) > _MOST:
                raise InputError(f"{text[:80]!r} names more than {_MOST} nodes")
    return tuple(found)


def _numbers(text: str, whole: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        first = match.group(1) if match else "1"
        last = int(match.group(2) or first) if match else 0
        if not int(first) <= last < int(first) + _MOST:
            raise InputError(f"[{text[:80]}] in {whole[:80]!r} is not a list of numbers")
        found += [str(number).zfill(len(first)) for number in range(int(first), last + 1)]
    return found
