"""Looking: where accounts stand, as plain data for a person or a program. Quick to start."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from bank.ledger.amounts import format_known_su, format_su
from bank.operations.bank import Bank
from bank.operations.named import standing_of
from bank.policy import tree
from bank.policy.enforcement import has_nothing_left
from bank.policy.thresholds import percent
from bank.settings import Settings
from bank.store import above, accounts, read
from bank.store.connect import Reader, reading
from bank.store.read import Standing, UserStanding

# By cluster, the accounts above one that are held there, the nearest first.
HeldAbove = Mapping[str, Sequence[str]]


def describe(bank: Bank, reader: Reader, name: str) -> dict[str, Any]:
    """Return where one account stands; of one that is closed its name, and whether it is held.

    Amounts are SUs as text, exact to four decimals, and billing-seconds as numbers; None is
    unlimited.
    """
    standing = read.standing(reader, name)
    if standing is not None:
        return _shown_one(bank.settings, reader, standing)
    account = accounts.find(reader, name)
    is_held = account is not None and account.hold_reason is not None
    return {"account": name, "is_open": False, "is_held": is_held}


def balance(bank: Bank, name: str | None) -> list[dict[str, Any]]:
    """Return where one account stands, or all of them in the order of their names.

    Raises:
        Refusal: the account is not open in the bank.
    """
    with reading(bank.database) as reader:
        if name is None:
            return list(shown_all(bank.settings, reader, read.standings(reader)).values())
        return [_shown_one(bank.settings, reader, standing_of(reader, name))]


def _shown_one(settings: Settings, reader: Reader, standing: Standing) -> dict[str, Any]:
    name = standing.account.name
    parents = above.find_parents(reader, name)
    held = above.find_held_among(reader, parents)
    return _shown(
        settings,
        standing,
        _held_above(settings, name, parents, held),
        lambda name: _held_of(settings, reader, name),
    )


def shown_all(
    settings: Settings, reader: Reader, standings: Mapping[str, Standing]
) -> dict[str, dict[str, Any]]:
    """Return where accounts stand, as `balance` does, by name.

    Args:
        settings: the site's.
        reader: the database.
        standings: those of all open accounts.
    """
    held = above.find_held(reader)
    parents = above.find_all_parents(reader) if held else {}

    def held_of(name: str) -> str:
        known = standings.get(name)
        return (
            _held_of_account(settings, known)
            if known is not None
            else _held_of(settings, reader, name)
        )

    return {
        name: _shown(settings, one, _held_above(settings, name, parents, held), held_of)
        for name, one in standings.items()
    }


def _held_above(
    settings: Settings,
    name: str,
    parents: above.Parents,
    held: Mapping[str, AbstractSet[str]],
) -> HeldAbove:
    """Return which accounts above one are held: jobs below them wait as they do in them.

    Args:
        settings: the clusters that are the site's.
        name: the account.
        parents: see `store.above`.
        held: by cluster, the accounts that are held.
    """
    found = {}
    for cluster in held.keys() & parents.keys():
        names = [one for one in tree.ancestors(parents[cluster], name) if one in held[cluster]]
        if names and (not settings.clusters or cluster in settings.clusters):
            found[cluster] = names
    return found


def _held_of(settings: Settings, reader: Reader, name: str) -> str:
    """Say by whom an account that is held is held, open in the bank or not."""
    standing = read.standing(reader, name)
    if standing is not None:
        return _held_of_account(settings, standing.within(settings.clusters))
    account = accounts.find(reader, name)
    reason = account.hold_reason if account is not None else None
    return f"by the bank: {reason or 'it is not open in the bank'}"


def _shown(
    settings: Settings,
    standing: Standing,
    held_above: HeldAbove,
    held_of: Callable[[str], str],
) -> dict[str, Any]:
    limit, used = standing.limit, standing.used
    standing = standing.within(settings.clusters)
    all_above = list(dict.fromkeys(name for names in held_above.values() for name in names))
    return {
        "account": standing.account.name,
        "is_open": True,
        "limit_su": format_known_su(limit),
        "used_su": format_su(used),
        "set_aside_su": format_su(standing.set_aside),
        "available_su": format_known_su(standing.available),
        "percent": percent(limit=limit, used=used),
        "held": _with_above(
            _held_of_account(settings, standing), {name: held_of(name) for name in all_above}
        ),
        "is_held": standing.is_held,
        "held_above": all_above,
        "period_started_on": standing.account.period_started_on,
        "credit_su": format_su(standing.account.credit),
        "credit_billing_seconds": standing.account.credit,
        "limit_billing_seconds": limit,
        "used_billing_seconds": used,
        "set_aside_billing_seconds": standing.set_aside,
        "available_billing_seconds": standing.available,
        "clusters": [
            {
                "cluster": share.cluster,
                "used_su": format_su(share.used),
                "set_aside_su": format_su(share.set_aside),
                "used_billing_seconds": share.used,
                "set_aside_billing_seconds": share.set_aside,
                "is_held": standing.is_held_on(share),
                "held_above": list(held_above.get(share.cluster, ())),
            }
            for share in standing.shares
        ],
        "users": [_shown_user(user) for user in standing.users],
    }


def _shown_user(standing: UserStanding, *, is_soon: bool = False) -> dict[str, Any]:
    """Return where a user of an account stands, now or once Slurm has followed the books."""
    limit, why = standing.limit, "nothing left"
    is_to_be, is_held = should_hold_user(standing), standing.is_held
    held = _held(standing, is_to_be=is_to_be, why=why)
    if is_soon and not standing.is_held_by_others:
        held, is_held = f"by the bank: {why}" if is_to_be else "no", is_to_be
    return {
        "user": limit.user,
        "limit_su": format_su(limit.amount),
        "used_su": format_su(limit.used),
        "left_su": format_su(limit.left),
        "held": held,
        "is_held": is_held,
        "limit_billing_seconds": limit.amount,
        "used_billing_seconds": limit.used,
        "left_billing_seconds": limit.left,
    }


def _with_above(own: str, above_it: Mapping[str, str]) -> str:
    """Say who holds an account and those above it, each with its own reason."""
    said = [
        f"{name} above it: {'held ' if held.startswith('by ') else ''}{held}"
        for name, held in above_it.items()
    ]
    return "; ".join([*([own] if own != "no" or not said else []), *said])


def _held_of_account(settings: Settings, standing: Standing) -> str:
    """Say whether an account is held, and by whom."""
    is_to_be = should_hold(settings, standing)
    return _held(standing, is_to_be=is_to_be, why=_why(settings, standing))


def _held(standing: Standing | UserStanding, *, is_to_be: bool, why: str) -> str:
    """Say whether an account or a user is held, and by whom."""
    if standing.is_held_by_others:
        return "by others, in Slurm"
    if not standing.holds:
        return f"not yet, to be: {why}" if is_to_be else "no"
    if not is_to_be:
        # Its reason is gone: what it was is not known any more.
        return _going(standing)
    if not standing.is_held:
        return f"not yet, asked for by the bank: {why}"
    return f"by the bank: {why}"


def _going(standing: Standing | UserStanding) -> str:
    """Say how far the end of a hold has come that ought not to be there any more."""
    if not standing.is_held:
        return "no; a hold that was asked for is being taken back"
    if all(limit.intent == "release" for limit in standing.holds):
        return "being released; was held by the bank"
    return "by the bank, to be released by the next pass"


def _why(settings: Settings, standing: Standing) -> str:
    if standing.account.hold_reason is not None:
        return standing.account.hold_reason
    if (standing.payable or 0) > 0 and counted_as_used(settings, standing) > standing.used:
        return "nothing left, counting what running jobs may still use"
    return "nothing left"


def should_hold(settings: Settings, standing: Standing) -> bool:
    """Tell whether an account ought to be held: by hand, or because it has nothing left."""
    if standing.account.hold_reason is not None:
        return True
    used = counted_as_used(settings, standing)
    return has_nothing_left(limit=standing.limit, used=used, credit=standing.account.credit)


def should_hold_user(standing: UserStanding) -> bool:
    """Tell whether a user ought to be held: with nothing left of what one may use.

    What running jobs may still use does not count, whatever HOLD_COUNTS_RUNNING says of accounts:
    it is kept for accounts only.
    """
    return has_nothing_left(limit=standing.limit.amount, used=standing.limit.used)


def counted_as_used(settings: Settings, standing: Standing) -> int:
    """Return what an account has used, with what running jobs may still use where that counts.

    Where ENFORCEMENT is 'limit', Slurm itself takes that off.
    """
    if settings.hold_counts_running and settings.enforcement == "hold":
        return standing.used + standing.set_aside
    return standing.used


def describe_soon(bank: Bank, reader: Reader, name: str) -> dict[str, Any]:
    """Return what `describe` will say of one account once Slurm has followed the books."""
    standing = read.standing(reader, name)
    if standing is None:
        return describe(bank, reader, name)
    is_held = should_hold(bank.settings, standing)
    held = "by others, in Slurm" if standing.is_held_by_others else "no"
    if is_held:
        held = f"by the bank: {_why(bank.settings, standing)}"
    shown = _shown_one(bank.settings, reader, standing)
    above_it = {one: _held_of(bank.settings, reader, one) for one in shown["held_above"]}
    users = [_shown_user(one, is_soon=True) for one in standing.users]
    is_held = is_held or standing.is_held_by_others
    return {**shown, "held": _with_above(held, above_it), "is_held": is_held, "users": users}
