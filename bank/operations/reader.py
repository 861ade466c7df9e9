"""Who asks: whoever can read the books sees the books, everybody else a copy that a pass made."""

import os

from bank.errors import NotPermitted
from bank.operations.bank import Bank

# In the directory PUBLISHED: a copy is the number of its user and this, and as of when all are.
SUFFIX, AS_OF = ".db", "as_of"


def as_reader(bank: Bank) -> tuple[Bank, str | None]:
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
    path = _own_copy(directory)
    nothing = NotPermitted(
        "you belong to no account that the bank knows: nothing is published for you; a new"
        " account can be looked at after the next pass"
    )
    if not os.access(path, os.R_OK):
        raise nothing
    try:
        with open(f"{directory}/{AS_OF}", encoding="ascii") as file:
            as_of = file.read()
    except OSError as error:
        # A first pass that was killed has written copies, and not yet of when they are.
        raise nothing from error
    return bank._replace(settings=bank.settings._replace(database=path)), as_of


def is_copy(bank: Bank) -> bool:
    """Say whether what a bank is read from is the copy of whoever asks."""
    return bank.database.path == _own_copy(bank.settings.published)


def _own_copy(directory: str) -> str:
    return f"{directory}/{os.getuid()}{SUFFIX}"


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return False
    except OSError:
        return True
    return False
