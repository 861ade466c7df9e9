"""Usage: what was used in a span, by whom, where and when, as plain data."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bank.errors import InputError
from bank.ledger.amounts import format_su
from bank.operations.bank import Bank
from bank.operations.days import day_of, start_of_day
from bank.operations.named import account_of
from bank.operations.spans import cuts, read_span, told_span
from bank.policy.spans import Span
from bank.policy.thresholds import percent
from bank.policy.usage import KEYS, Sum, Use, summed
from bank.store import spans
from bank.store.connect import reading

# What is told of all accounts where no dates are given, with today; each has a period of its own.
_LAST_DAYS = 30


def usage(
    bank: Bank,
    name: str | None,
    *,
    by: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> dict[str, Any]:
    """Return what an account and all below it have used, or all accounts, summed up.

    Args:
        bank: settings and clock.
        name: the account, None for all.
        by: one of `KEYS`; None is by user of one account, and by account of all.
        since: the option --from; None is since the account's period was begun, or of all accounts
            the last 30 days.
        until: the option --to; None is until now.

    Returns:
        The sums by key as "rows", and as "rest" what is of no partition and why.

    Raises:
        Refusal: the bank never had the account.
        InputError: the key is not known, or the dates make no span.
        NotPermitted, SlurmError, SettingsError: by partition, see `by_partition`.
    """
    key = by or ("account" if name is None else "user")
    if key not in KEYS:
        raise InputError(f"--by {key[:80]!r} is not known: it is {', '.join(KEYS)}")
    found: list[Sum] = []
    rest: list[Sum] = []
    with reading(bank.database) as reader:
        account = None if name is None else account_of(reader, name)
        if account is None:
            first_day = day_of(bank.clock()) - timedelta(days=_LAST_DAYS - 1)
            span = read_span(bank, since, until, start_at=start_of_day(first_day))
        else:
            began_at = spans.period_began_at(reader, account)
            span = read_span(bank, since, until, start_at=began_at)
        if key != "partition":
            found = summed(spans.use_in(reader, account, span), _key(bank, span, key))
    if key == "partition":
        # Only this asks Slurm, and loads what that takes.
        from bank.operations.usage_by_partition import by_partition

        found, rest = by_partition(bank, account, span)
    if key == "month":
        found.sort(key=lambda one: one.key or "")
    every = [*found, *rest]
    total = Sum(None, sum(one.charged for one in every), sum(one.refunded for one in every))
    return {
        "account": name,
        **told_span(bank, span),
        "by": key,
        "rows": [{key: one.key, **_amounts(one, total)} for one in found],
        "rest": [{"because": one.key, **_amounts(one, total)} for one in rest],
        "total": _amounts(total, total),
    }


def _key(bank: Bank, span: Span, by: str) -> Callable[[Use], str | None]:
    """Return what tells under which key a charge is."""
    if by == "month":
        months = cuts(bank, span, of="month")
        starts = [at for at, _ in months]
        return lambda use: months[max(bisect_right(starts, use.at) - 1, 0)][1]
    return {
        "user": lambda use: use.user,
        "account": lambda use: use.account,
        "cluster": lambda use: use.cluster,
    }[by]


def _amounts(one: Sum, total: Sum) -> dict[str, Any]:
    return {
        "charged_su": format_su(one.charged),
        "refunded_su": format_su(one.refunded),
        "used_su": format_su(one.used),
        "percent": percent(limit=max(total.used, 0), used=one.used),
        "charged_billing_seconds": one.charged,
        "refunded_billing_seconds": one.refunded,
        "used_billing_seconds": one.used,
    }
