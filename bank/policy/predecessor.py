"""The rows of the predecessor's table: what is in one, and whether it can be taken as it is."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from bank.errors import InputError
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU
from bank.ledger.names import account_name
from bank.policy.thresholds import FLAGS

COLUMNS = (
    "id",
    "account",
    "su_limit_hrs",
    "date",
    "upper_limit_informed",
    "lower_limit_informed",
    "max_limit_informed",
)
_UNLIMITED = -1


class Row(NamedTuple):
    """One row.

    Attributes:
        number: its id in the predecessor's table.
        account: the name as Slurm has it, in lower case.
        written: the name as it stood in the row.
        limit_su: whole SUs, None is unlimited.
        started_on: ISO date on which the period began.
        told: the thresholds of which its flags say that people were told.
    """

    number: int
    account: str
    written: str
    limit_su: int | None
    started_on: str
    told: frozenset[str]

    @property
    def limit(self) -> int | None:
        """Billing-seconds; None is unlimited."""
        return None if self.limit_su is None else self.limit_su * BILLING_SECONDS_PER_SU


def name_in_slurm(written: object) -> str | None:
    """Return the name that a row is about, as Slurm has it; None where there is no name.

    Only ASCII letters are folded: Unicode folds others into them, such as the Kelvin sign into k.
    """
    if not isinstance(written, str):
        return None
    return written.lower() if written.isascii() else written


def checked_row(values: Mapping[str, object]) -> Row:
    """Read one row; nothing in it is guessed.

    Args:
        values: by column; flags are booleans, 0 or 1, or None, which the predecessor takes for
            False.

    Raises:
        InputError: says which column is missing, too much or not what it may be.
    """
    if set(values) != set(COLUMNS):
        missing = ", ".join(name for name in COLUMNS if name not in values)
        more = ", ".join(sorted(str(name) for name in values if name not in COLUMNS))
        wrong = "; ".join(
            f"{what} {names}" for what, names in (("no column", missing), ("column", more)) if names
        )
        raise InputError(f"{wrong}: a row has exactly {', '.join(COLUMNS)}")
    number, written, limit = values["id"], values["account"], values["su_limit_hrs"]
    if type(number) is not int or number < 1:
        raise InputError(f"id {number!r} is not a number above 0")
    if not isinstance(written, str):
        raise InputError(f"account {written!r} is not a name")
    if type(limit) is not int or not _UNLIMITED <= limit < MAX_SU:
        raise InputError(
            f"su_limit_hrs {limit!r} is not a whole number of SUs, nor -1, which is unlimited"
        )
    return Row(
        number,
        account_name(written),
        written,
        None if limit == _UNLIMITED else limit,
        _date(values["date"]),
        frozenset(event for event, flag in FLAGS.items() if _flag(flag, values[flag])),
    )


def _date(value: object) -> str:
    try:
        # Python reads other forms of ISO 8601 too; the predecessor wrote only this one.
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise InputError(f"date {value!r} is not a day such as 2022-04-08")


def _flag(name: str, value: object) -> bool:
    if value is None or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InputError(f"{name} {value!r} is neither true nor false")
