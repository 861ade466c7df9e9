"""What the books keep that says why: who changed an account last, and when."""

from typing import NamedTuple

from bank.store.connect import Reader


class Change(NamedTuple):
    """The newest change of one field of an account; `at` is UTC microseconds."""

    actor: str
    at: int


def last_change(reader: Reader, account_id: int, field: str) -> Change | None:
    """Return who changed a field last, and when; None where nobody ever did."""
    rows = reader.query(
        "SELECT actor, changed_at FROM account_change"
        " WHERE account_id = :account_id AND field = :field ORDER BY seq DESC LIMIT 1",
        account_id=account_id,
        field=field,
    )
    return Change(*rows[0]) if rows else None
