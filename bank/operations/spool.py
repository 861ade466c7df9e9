"""The spool: what the end hook wrote down, until somebody has looked at what ended.

An event says "look now" and nothing else: what a job is charged comes from slurmdbd. So one that is
lost, or comes twice, costs nothing.
"""

import os
import re
import time
from collections.abc import Callable

from bank.operations.bank import Bank

# What the hook is still writing begins with a dot.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_LINE = re.compile(r"([A-Z]+)=([A-Za-z0-9_.+ -]{0,200})")
_MOST_BYTES = 4096
_BROKEN = "broken"
# The controller tells its hooks before it tells slurmdbd.
_SETTLES_SECONDS = 2
_MOST_AT_ONCE = 10_000


def deliver(bank: Bank, act: Callable[[], bool]) -> int:
    """Have somebody look where jobs have ended, and forget the events once that was done.

    What is no event is put aside, and said.

    Args:
        bank: see `Bank`.
        act: looks; returns whether it could: else all events stay for the next time.

    Returns:
        How many events were dealt with.
    """
    spool = bank.settings.spool
    found = _found(spool)
    done = []
    for path in found:
        try:
            _read(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            _put_aside(bank, path, str(error))
        else:
            done.append(path)
    if not (done and act()):
        return 0
    for path in done:
        os.unlink(path)
    return len(done)


def waiting(bank: Bank) -> tuple[int, int]:
    """Return how many events wait, and how many were put aside as broken."""
    spool = bank.settings.spool
    return len(_names(spool)), len(_names(os.path.join(spool, _BROKEN)))


def _names(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, PermissionError):
        return []
    return sorted(name for name in names if not name.startswith(".") and name != _BROKEN)


def _found(spool: str) -> list[str]:
    """Return the events that are old enough, of very many the first."""
    latest = time.time() - _SETTLES_SECONDS
    paths = (os.path.join(spool, name) for name in _names(spool)[:_MOST_AT_ONCE])
    return [path for path in paths if _changed_at(path) <= latest]


def _changed_at(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def _read(path: str) -> int:
    """Return which job an event is about.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    if _NAME.fullmatch(os.path.basename(path)) is None:
        raise ValueError("its name is not one that the hook gives")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        text = file.read(_MOST_BYTES).decode("ascii")
    lines = [_LINE.fullmatch(line) for line in text.split("\n")[:-1]]
    said = {line.group(1): line.group(2) for line in lines if line is not None}
    if None in lines or not said.get("JOBID", "").isdecimal() or not text.endswith("END=yes\n"):
        raise ValueError("it is not what the hook writes")
    return int(said["JOBID"])


def _put_aside(bank: Bank, path: str, why: str) -> None:
    broken = os.path.join(os.path.dirname(path), _BROKEN)
    try:
        os.makedirs(broken, 0o700, exist_ok=True)
        os.replace(path, os.path.join(broken, os.path.basename(path)))
    except OSError as error:
        bank.warn(f"{path} is no event of a job ({why}), and cannot be put aside: {error.strerror}")
    else:
        bank.warn(f"{path} is no event of a job ({why}): it was put into {broken}")
