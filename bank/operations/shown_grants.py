"""Grants as people look at them, as plain data. Quick to start."""

from typing import Any

from bank.ledger.amounts import format_su
from bank.ledger.grants import payments
from bank.operations.bank import Bank, utc_text
from bank.operations.days import day_text, zone_name
from bank.operations.named import standing_of
from bank.store import grants as rows
from bank.store.connect import reading
from bank.store.grants import Grant


def grants(bank: Bank, name: str) -> list[dict[str, Any]]:
    """Return every grant of an account, oldest first, with what of it is used and left.

    Raises:
        Refusal: the account is not open in the bank.
    """
    with reading(bank.database) as reader:
        standing = standing_of(reader, name)
        found = rows.find_all(reader, standing.account.account_id)
        given = {one.grant_id: rows.given(reader, one) for one in found}
    paid = payments(rows.paying(found), max(standing.used, 0))
    return [shown(one, given[one.grant_id], paid.get(one.grant_id, 0)) for one in found]


def shown(one: Grant, given: int, paid: int) -> dict[str, Any]:
    """Return a grant as plain data: dates in the site's zone and as UTC, SUs and billing-seconds.

    Of one that is over nothing is left, and what it paid is in the account's entries.

    Args:
        one: its row.
        given: billing-seconds that it was given in all.
        paid: billing-seconds that it pays of what is used now.
    """
    left = one.granted - paid if one.is_paying else one.promised
    return {
        "grant": one.grant_id,
        "kind": one.kind,
        "state": one.state,
        "start": day_text(one.start_at),
        "end": day_text(one.end_at) or None,
        "given_su": format_su(given or one.promised),
        "used_su": format_su(paid),
        "left_su": format_su(left),
        "carry_percent": one.carry_percent if one.is_dated else None,
        "zone": zone_name(),
        "start_at": utc_text(one.start_at),
        "end_at": None if one.end_at is None else utc_text(one.end_at),
        "given_billing_seconds": given or one.promised,
        "used_billing_seconds": paid,
        "left_billing_seconds": left,
    }
