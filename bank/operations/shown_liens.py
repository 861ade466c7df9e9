"""Liens as plain data, for a person or a program."""

from typing import Any

from bank.errors import Refusal
from bank.ledger.amounts import format_su
from bank.operations.bank import Bank, utc_text
from bank.store import held_jobs, liens
from bank.store.connect import reading
from bank.store.liens import Lien

# Ended ones are kept for ever; so many of the newest are shown.
_MOST = 1000


def show_liens(bank: Bank, *, with_ended: bool = False) -> list[dict[str, Any]]:
    """Return the liens that are open, oldest first, or the newest of all, newest first."""
    with reading(bank.database) as reader:
        found = liens.find_newest(reader, _MOST) if with_ended else liens.find_open(reader)
        held = {(one.cluster, one.job_id) for one in held_jobs.find(reader)}
    return [describe_lien(lien, is_held=(lien.cluster, lien.job_id) in held) for lien in found]


def count_liens(bank: Bank) -> dict[str, int]:
    """Return how many liens there are: placed, bound, and ended in any way."""
    with reading(bank.database) as reader:
        return liens.count_by_state(reader)


def show_lien(bank: Bank, token: str) -> dict[str, Any]:
    """Return one lien.

    Raises:
        Refusal: there never was one with this token.
    """
    with reading(bank.database) as reader:
        lien = liens.find_by_tokens(reader, [token]).get(token)
        held = {(one.cluster, one.job_id) for one in held_jobs.find(reader)}
    if lien is None:
        raise Refusal("no_such_lien", f"there is no lien {token!r}")
    return describe_lien(lien, is_held=(lien.cluster, lien.job_id) in held)


def describe_lien(lien: Lien, *, is_held: bool = False) -> dict[str, Any]:
    """Return one lien: amounts as SUs and billing-seconds, times in UTC."""
    return {
        "token": lien.token,
        "cluster": lien.cluster,
        "account": lien.account,
        "user": lien.user,
        "job": lien.job_id,
        "is_array": bool(lien.is_array),
        "state": lien.state,
        "set_aside_su": format_su(lien.amount),
        "set_aside_billing_seconds": lien.amount,
        "tasks": lien.tasks,
        "tasks_at_once": lien.tasks_at_once,
        "tasks_ended": lien.tasks_ended,
        "placed_by": lien.placed_by,
        "placed": utc_text(lien.placed_at),
        "bound": _text(lien.bound_at),
        "gone": _text(lien.gone_at),
        "expires": _text(lien.expires_at),
        "ended": _text(lien.ended_at),
        "is_held": is_held,
        "reason": lien.reason,
    }


def _text(at: int | None) -> str | None:
    return None if at is None else utc_text(at)


def show_held_jobs(bank: Bank) -> list[dict[str, Any]]:
    """Return the jobs that are held because nobody could pay for them, longest held first."""
    with reading(bank.database) as reader:
        found = held_jobs.find(reader)
    return [
        {
            "cluster": one.cluster,
            "job": one.job_id,
            "account": one.account,
            "user": one.user,
            "cost_su": format_su(one.amount),
            "cost_billing_seconds": one.amount,
            "held": utc_text(one.held_at),
        }
        for one in found
    ]
