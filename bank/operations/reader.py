"""Who asks: whoever can read the books sees the books, everybody else a copy that a pass made."""

import os
from typing import NamedTuple

from bank.errors import NotPermitted
from bank.operations.bank import Bank

# In the directory PUBLISHED: a copy is the number of its user and this, and as of when all are.
SUFFIX, AS_OF = ".db", "as_of"


class AsOf(NamedTuple):
    """When a copy was true.

    Attributes:
        at: as people read it.
        age_seconds: how long ago that is, below 0 where a clock was set back.
    """

    at: str
    age_seconds: int


def as_reader(bank: Bank) -> tuple[Bank, AsOf | None]:
    """Return the bank as whoever asks may see it.

    Returns:
        The bank itself and None where its database can be read. Else the bank with a copy in place
        of its database, and as of when that is.

    Raises:
        NotPermitted: this user may not read the database, and no copy was made for this user.
    """
    directory = bank.settings.published
    if not directory or os.access(bank.database.path, os.R_OK) or _is_missing(bank.database.path):
        return bank, None
    return as_published(bank, os.getuid())


def as_published(bank: Bank, uid: int) -> tuple[Bank, AsOf]:
    """Return the bank as a user may see it, and as of when that is.

    Args:
        bank: its PUBLISHED says where copies are.
        uid: the number of the user.

    Raises:
        NotPermitted: no copy was made for this user.
    """
    directory = bank.settings.published
    if not directory:
        raise NotPermitted("nothing is published here (PUBLISHED): only admins may look")
    path = f"{directory}/{uid}{SUFFIX}"
    nothing = NotPermitted(
        "you belong to no account that the bank knows: nothing is published for you; a new"
        " account can be looked at after the next pass"
    )
    if not os.access(path, os.R_OK):
        raise nothing
    try:
        as_of = _as_of(bank, f"{directory}/{AS_OF}")
    except (OSError, ValueError) as error:
        # A first pass that was killed has written copies, and not yet of when they are; and what a
        # machine that lost its power had not on its disk yet, is empty.
        raise nothing from error
    return bank._replace(settings=bank.settings._replace(database=path)), as_of


def _as_of(bank: Bank, path: str) -> AsOf:
    # Loaded here, because who reads the books has no need of it.
    from datetime import datetime

    with open(path, encoding="ascii") as file:
        text = file.read()
    return AsOf(text, bank.clock() // 1_000_000 - int(datetime.fromisoformat(text).timestamp()))


def is_copy(bank: Bank) -> bool:
    """Say whether what a bank is read from is the copy of whoever asks."""
    return bank.database.path == f"{bank.settings.published}/{os.getuid()}{SUFFIX}"


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return False
    except OSError:
        return True
    return False
