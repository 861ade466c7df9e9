"""What may be the name of an account, a user or a cluster."""

import re
from collections.abc import Sequence

from bank.errors import InputError

# Slurm itself takes almost anything, commas and quotes apart. Those that could be read as more than
# one name, as an option or as a row of their own are refused here, at the door.
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.@+-]{0,254}")
_NAMES_SHOWN = 20


def is_plain(name: str) -> bool:
    """Tell whether a name can be handed to Slurm's commands without being misread."""
    return _NAME.fullmatch(name) is not None


def account_name(text: str) -> str:
    """Return the name of an account as Slurm has it: in lower case.

    Raises:
        InputError: the text is not one plain account name, or is root.

    Source:
        sacctmgr(1): account names are folded to lower case.
    """
    name = text.lower() if text.isascii() else text
    if not is_plain(name):
        raise InputError(
            f"{text[:80]!r} is not an account name: up to 255 letters, digits and _ . @ + - are"
            " allowed, not first . @ + -"
        )
    if name == "root":
        raise InputError("'root' is the top of Slurm's tree and cannot have an account here")
    return name


def is_plain_user(name: str) -> bool:
    """Tell whether the name of a user or a partition can be handed to Slurm's commands.

    Those may have capitals: slurmdbd keeps them in users' names where it is told to.
    """
    return is_plain(name.lower()) and name.isascii()


def user_name(text: str) -> str:
    """Return the name of a user, as it was typed.

    Raises:
        InputError: the text is not one plain user name.
    """
    if not is_plain_user(text):
        raise InputError(
            f"{text[:80]!r} is not a user name that the bank can hand to Slurm: up to 255 letters,"
            " digits and _ . @ + - are allowed, not first . @ + -"
        )
    return text


def listed(names: Sequence[str]) -> str:
    """Return names for a line that people read; of very many, how many more there are."""
    rest = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
