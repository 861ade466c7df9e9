"""What sbatch takes as the value of an option: times, sizes, counts, lists."""

import re
from typing import NamedTuple

from bank.errors import InputError
from bank.policy.job_request import UNLIMITED, GresRequest

_TIME = re.compile(
    r"(?:(?P<days>[0-9]+)-(?P<day_hours>[0-9]+)(?::(?P<day_minutes>[0-9]+)"
    r"(?::(?P<day_seconds>[0-9]+))?)?"
    r"|(?P<hours>[0-9]+):(?P<minutes>[0-9]+):(?P<seconds>[0-9]+)"
    r"|(?P<only_minutes>[0-9]+)(?::(?P<more_seconds>[0-9]+))?)"
)
_NO_LIMIT = {"-1", "infinite", "unlimited"}
_SIZE = re.compile(r"([0-9]+)(?:([KMGT])B?)?", re.IGNORECASE)
_IN_MEGABYTES = {"": 1, "M": 1, "G": 1024, "T": 1024 * 1024}
_NODES = re.compile(r"([0-9]+)([KM]?)(?:-([0-9]+)([KM]?))?", re.IGNORECASE)
_THOUSANDS = {"": 1, "K": 1024, "M": 1024 * 1024}
_ARRAY = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?")
_LAYOUT = re.compile(r"([0-9]+)(?:-[0-9]+)?|\*|")
# MaxArraySize may not be more.
_HIGHEST_INDEX = 4_000_000
_LARGEST = 2**31 - 1


def minutes(text: str) -> int:
    """Read a time limit; seconds are rounded up to minutes, 0 is UNLIMITED.

    Raises:
        InputError: it is no time limit.

    Source:
        sbatch(1), --time: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
        days-hours:minutes and days-hours:minutes:seconds; 0 sets no limit.

    Example:
        >>> minutes("1-12"), minutes("0:30"), minutes("90")
        (2160, 1, 90)
    """
    if text.lower() in _NO_LIMIT:
        return UNLIMITED
    match = _TIME.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text!r} is not a time limit: give minutes, minutes:seconds, hours:minutes:seconds,"
            " days-hours, days-hours:minutes or days-hours:minutes:seconds"
        )
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    seconds = part["days"] * 86_400
    seconds += (part["hours"] + part["day_hours"]) * 3600
    seconds += (part["minutes"] + part["day_minutes"] + part["only_minutes"]) * 60
    seconds += part["seconds"] + part["day_seconds"] + part["more_seconds"]
    if seconds >= _LARGEST:
        raise InputError(f"{text!r} is too long for a time limit")
    return -(-seconds // 60) or UNLIMITED


def megabytes(text: str) -> int:
    """Read a size of memory; kilobytes are rounded up.

    Source:
        sbatch(1), --mem: K, M, G or T behind the number, else megabytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a size such as 4000, 500M or 16G")
    number, unit = int(match.group(1)), (match.group(2) or "").upper()
    return -(-number // 1024) if unit == "K" else number * _IN_MEGABYTES[unit]


def whole(text: str) -> int:
    """Read a count of at least 1."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST):
        raise InputError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def whole_or_none(text: str) -> int:
    """Read a count of at least 0."""
    return 0 if text and not text.strip("0") else whole(text)


def node_range(text: str) -> tuple[int, int]:
    """Read a number of nodes or a range of them.

    Source:
        sbatch(1), --nodes: minnodes[-maxnodes], each with k or m for 1,024 and 1,048,576.
    """
    match = _NODES.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a number of nodes such as 2, or a range such as 2-4")
    least = int(match.group(1)) * _THOUSANDS[match.group(2).upper()]
    if match.group(3) is None:
        most = least
    else:
        most = int(match.group(3)) * _THOUSANDS[match.group(4).upper()]
    if not 0 < least <= most:
        raise InputError(f"{text!r} is no range of nodes: from 1 up, the smaller number first")
    return least, most


class Array(NamedTuple):
    """An array of jobs: how many tasks, its highest index, how many at once (None for all)."""

    tasks: int
    highest: int
    at_once: int | None


def array(text: str) -> Array:
    """Read the indexes of an array.

    Source:
        sbatch(1), --array: "0-15", "0,6,16-32", "0-15:4", and %4 for four at once.
    """
    indexes, percent, limit = text.partition("%")
    at_once = whole(limit) if percent else None
    found: set[int] = set()
    for part in indexes.removeprefix("[").removesuffix("]").split(","):
        match = _ARRAY.fullmatch(part)
        first = int(match.group(1)) if match else 0
        last = int(match.group(2) or first) if match else -1
        step = int((match.group(3) if match else None) or 1)
        if not (first <= last <= _HIGHEST_INDEX and step):
            raise InputError(f"{text!r} is not an array such as 0-15, 0,6,16-32 or 0-15:4%2")
        found.update(range(first, last + 1, step))
    return Array(len(found), max(found), at_once)


def gres(text: str, per: str) -> tuple[GresRequest, ...]:
    """Read generic resources: "gpu:2", "gpu:tesla:1,shard", also with "gres:" before the name.

    Source:
        sbatch(1), --gres: name[[:type]:count], count 1 where none is given; none asks for nothing.
    """
    if text.lower() == "none":
        return ()
    found = []
    for part in text.split(","):
        name, *rest = part.removeprefix("gres:").removeprefix("gres/").split(":")
        count = _count(rest.pop()) if rest and rest[-1][:1].isdigit() else 1
        kind = rest.pop() if rest else ""
        if not name or rest:
            raise InputError(f"{part!r} is not a generic resource such as gpu:2 or gpu:tesla:1")
        found.append(GresRequest(name, kind, count, per))
    return tuple(one for one in found if one.number)


def gpus(text: str, per: str) -> tuple[GresRequest, ...]:
    """Read a number of GPUs: "2", "tesla:1", "tesla:1,volta:2".

    Source:
        sbatch(1), --gpus: [type:]number.
    """
    return gres(",".join(f"gpu:{part}" for part in text.split(",")), per)


def licenses(text: str) -> tuple[tuple[str, int], ...]:
    """Read licenses: "matlab:2,ansys@server".

    Source:
        sbatch(1), --licenses: name[@db][:count].
    """
    found = []
    for part in text.split(","):
        name, colon, count = part.partition(":")
        if not name or any(sign in part for sign in ";|&"):
            raise InputError(f"{part!r} is not a license such as matlab:2")
        found.append((name, whole(count) if colon else 1))
    return tuple(found)


def layout(text: str) -> tuple[int | None, int | None, int | None]:
    """Read sockets[:cores[:threads]]; None is any number.

    Source:
        sbatch(1), --extra-node-info.
    """
    found: list[int | None] = []
    parts = text.split(":")
    for part in parts:
        match = _LAYOUT.fullmatch(part)
        if match is None or len(parts) > len(("sockets", "cores", "threads")):
            raise InputError(f"{text!r} is not sockets[:cores[:threads]]")
        found.append(int(match.group(1)) if match.group(1) else None)
    sockets, cores, threads = (*found, None, None)[:3]
    return sockets, cores, threads


def _count(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([KM]?)", text, re.IGNORECASE)
    if match is None:
        raise InputError(f"{text!r} is not a count")
    return int(match.group(1)) * _THOUSANDS[match.group(2).upper()]
