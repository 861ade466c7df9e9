"""Files that people keep: they appear whole or not at all, and never over another."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from bank.errors import InputError, StoreError

_ONLY_OURS = 0o600
_AT_ONCE_BYTES = 1 << 20


def refuse_existing(path: str) -> None:
    """Refuse a name that is taken, also by a link that leads nowhere.

    Raises:
        InputError: it is.
    """
    if os.path.lexists(path):
        raise _there_already(path)


def _there_already(path: str) -> InputError:
    return InputError(f"{path} is there already and is not overwritten")


@contextmanager
def part_of(path: str) -> Iterator[str]:
    """Make an empty file beside a path, for as long as it is worked with: `path`.part-PROCESS.

    Raises:
        InputError: it cannot be made.
        StoreError: it cannot be written.
    """
    part = f"{path}.part-{os.getpid()}"
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _ONLY_OURS))
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from error
    try:
        yield part
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; it was not made") from error
    finally:
        if os.path.exists(part):
            os.unlink(part)


def name_it(part: str, path: str) -> None:
    """Give a file its name, unless there is one of that name by now.

    Raises:
        InputError: there is.
    """
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError:
        # A file system without hard links.
        refuse_existing(path)
        os.rename(part, path)


def to_disk(path: str) -> None:
    """Wait until a file, or the names in a directory, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: str, content: bytes, *, beside: dict[str, bytes] | None = None) -> None:
    """Write a new file, and before it has its name those that belong to it.

    Args:
        path: a name that is not taken.
        content: all of it.
        beside: further new files by their paths; where `path` is there, they are there.

    Raises:
        InputError: one of the names is taken, or cannot be made.
        StoreError: no space.
    """
    beside = beside or {}
    for name in (path, *beside):
        refuse_existing(name)
    with part_of(path) as part:
        _fill(part, content)
        made = []
        try:
            for name, text in beside.items():
                write_new(name, text)
                made.append(name)
            name_it(part, path)
        except BaseException:
            for name in made:
                os.unlink(name)
            raise
        to_disk(os.path.dirname(os.path.abspath(path)))


def _fill(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_small(path: str, *, at_most_bytes: int) -> bytes:
    """Read a regular file that is not too large; what is larger is not read at all.

    Raises:
        InputError: it is not there, not a file, too large, or cannot be read.
    """
    try:
        # Without waiting: a pipe that nobody writes to would keep us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a regular file")
        content = bytearray()
        # A file may grow while it is read.
        while max(status.st_size, len(content)) <= at_most_bytes:
            some = os.read(descriptor, _AT_ONCE_BYTES)
            if not some:
                return bytes(content)
            content += some
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    raise InputError(f"{path} is larger than {at_most_bytes:,} bytes and was not read")
