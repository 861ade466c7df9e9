"""History: what happened to an account, in the words of the command line. Quick to start."""

from collections.abc import Iterable, Iterator
from typing import Any

from bank.ledger.amounts import format_known_su, format_su
from bank.operations.bank import Bank, utc_text
from bank.operations.days import day_text
from bank.operations.named import account_of
from bank.store import read
from bank.store.connect import reading
from bank.store.grants import read_stated
from bank.store.read import Event
from bank.store.user_limits import FIELD as USER_LIMIT


def history(bank: Bank, name: str) -> list[dict[str, Any]]:
    """Return all that happened to an account, oldest first; also to one that is closed.

    Raises:
        Refusal: the bank never had it.
    """
    with reading(bank.database) as reader:
        events = read.history(reader, account_of(reader, name))
    return [
        {
            "kind": kind,
            "reference": reference,
            "at": utc_text(event.at),
            "amount_su": format_known_su(event.amount),
            "granted_su": format_known_su(event.granted),
            "used_su": format_known_su(event.used),
            "cluster": event.cluster,
            "user": user,
            "actor": event.actor,
            "reason": event.reason,
        }
        for event, kind, reference, user in _told(events)
    ]


def _told(events: Iterable[Event]) -> Iterator[tuple[Event, str, str | None, str | None]]:
    """Yield events with kind, what they rest on and user, in the words of the command line."""
    before: dict[str, str] = {}
    for event in events:
        field = event.kind.removesuffix(" changed")
        # Which grant is in force, and what each has paid, shows in the entries.
        if field == "grant_id" or (field.startswith("grant ") and field.endswith(" paid")):
            continue
        if field.startswith("grant ") and event.reference is not None:
            text = _granted(field.removeprefix("grant "), event.reference)
            if before.get(field) != text:
                yield event, "grant", text, None
            before[field] = text
            continue
        yield event, *_changed(event)


def _granted(number: str, stated: str) -> str:
    """Return what became of a grant with dates, with days as the site counts them."""
    grant = read_stated(stated)
    amount = f" of {format_su(grant.promised)} SUs" if grant.promised else ""
    return (
        f"{number}{amount} {grant.state}, from {day_text(grant.start_at)} until before"
        f" {day_text(grant.end_at)}, {grant.kind}"
    )


def _changed(event: Event) -> tuple[str, str | None, str | None]:
    """Return kind, what it rests on, and user."""
    new = event.reference
    if event.kind.startswith(USER_LIMIT):
        user = event.kind.removeprefix(USER_LIMIT).removesuffix(" changed")
        limit = "no limit" if new is None else f"{format_su(int(new))} SUs"
        return "limit_user", limit, user
    changes = {
        "is_open changed": ("opened" if new == "1" else "closed", None),
        "is_unlimited changed": ("unlimited" if new is None else "limited", None),
        "period_started_on changed": ("period", new),
        "hold_reason changed": ("release" if new is None else "hold", new),
    }
    if event.kind == "credit changed" and new is not None:
        return "credit", f"{format_su(int(new))} SUs", None
    return *changes.get(event.kind, (event.kind, new)), event.user
