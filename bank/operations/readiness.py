"""Whether the books can be worked with."""

import os

from bank.errors import NotPermitted
from bank.operations.bank import Bank
from bank.store.connect import reading


def refuse_unusable(bank: Bank) -> None:
    """Refuse to work with books that cannot be read or written.

    Raises:
        SettingsError: there are none, or they are of another schema.
        NotPermitted: this user may not read or write them.
        StoreError, Busy: they cannot be read.
    """
    with reading(bank.database):
        pass
    path = bank.database.path
    if not os.access(path, os.W_OK) or not os.access(os.path.dirname(path), os.W_OK):
        raise NotPermitted(f"{path} cannot be written by this user: run as the user who owns it")
