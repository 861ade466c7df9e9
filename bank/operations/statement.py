"""Statements: what an account had, what was booked, and what it has, as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from bank.ledger.amounts import format_known_su, format_su
from bank.ledger.names import listed
from bank.operations.bank import Bank, utc_text
from bank.operations.named import account_of
from bank.operations.spans import cuts, end_of, read_span, told_span
from bank.policy import csv_text
from bank.policy.spans import Span
from bank.policy.statement import (
    Balance,
    Below,
    Group,
    Line,
    Statement,
    closed_child,
    grouped,
    made,
    not_counted,
    running,
)
from bank.store import read, spans
from bank.store.accounts import Account
from bank.store.connect import Reader, reading
from bank.store.read import Standing

# A span of no more days than this is told day by day, a longer one month by month.
_DAYS_APART = 7
_DAY_MICROSECONDS = 86_400 * 1_000_000
_TREE = (
    "use of accounts below counts as Slurm's tree stands now: where they stood before is not on"
    " record"
)


def statement(
    bank: Bank,
    name: str,
    *,
    since: str | None = None,
    until: str | None = None,
    is_itemized: bool = False,
) -> dict[str, Any]:
    """Return a statement of an account, also of one that is closed.

    Args:
        bank: settings and clock.
        name: the account.
        since: the option --from; None is since the present period was begun.
        until: the option --to; None is until now.
        is_itemized: each entry by itself, else sums.

    Raises:
        Refusal: the bank never had the account.
        InputError: the dates make no span.
    """
    with reading(bank.database) as reader:
        account = account_of(reader, name)
        began_at = spans.period_began_at(reader, account)
        span = read_span(bank, since, until, start_at=began_at)
        return _told(bank, reader, account, span, is_itemized=is_itemized)


def _told(
    bank: Bank, reader: Reader, account: Account, span: Span, *, is_itemized: bool
) -> dict[str, Any]:
    below = spans.find_below(reader, account)
    found = _made(bank, reader, account, below, span, is_itemized=is_itemized)
    until = end_of(bank, span)
    standing = read.standing(reader, account.name) if span.end_at is None else None
    told: dict[str, Any] = {
        "account": account.name,
        **told_span(bank, span),
        "opening": _balance(reader, account, found.opening, span.start_at),
        "closing": _balance(reader, account, found.closing, span.end_at)
        | ({} if standing is None else _available(standing)),
        "notes": _notes(below, found),
    }
    is_unlimited = told["closing"]["left_su"] is None
    if is_itemized:
        entries = [
            _entry(line, after, account.name, is_unlimited=is_unlimited)
            for line, after in running(found)
        ]
        return {**told, "entries": entries}
    of = "day" if until - span.start_at <= _DAYS_APART * _DAY_MICROSECONDS else "month"
    groups = [
        _group(group, account.name, is_unlimited=is_unlimited)
        for group in grouped(found, cuts(bank, span, of=of))
    ]
    return {**told, "groups": groups}


def _made(
    bank: Bank,
    reader: Reader,
    account: Account,
    below: Sequence[Below],
    span: Span,
    *,
    is_itemized: bool,
) -> Statement:
    own = spans.entries_since(reader, account, span.start_at)
    use_below = []
    if below:
        find = spans.use_below_since if is_itemized else spans.sums_below_since
        use_below = find(reader, account, span)
        now = max(end_of(bank, span), bank.clock())
        use_below += not_counted(own, use_below, below, span, now=now)
    used_below = sum(one.counts for one in below)
    present = Balance(account.books.granted, account.books.used + used_below)
    return made(account.name, present, own, use_below, span)


def _notes(below: Sequence[Below], found: Statement) -> list[str]:
    """Return what a reader has to know of the use of accounts below."""
    notes = [_TREE] if below else []
    children = {one.child for one in below}
    closed = {closed_child(line.kind, line.reference) for line in found.lines} - {None}
    if gone := sorted(str(child) for child in closed - children):
        notes.append(f"{listed(gone)}: not below it any more; use is told where it was closed only")
    return notes


def _balance(reader: Reader, account: Account, balance: Balance, at: int | None) -> dict[str, Any]:
    """Return a balance as of just before an instant, None for now."""
    is_open, is_unlimited = account.is_open, account.is_unlimited
    if at is not None:
        is_open, is_unlimited = spans.state_at(reader, account, at)
    return {
        "is_open": is_open,
        **_amounts(balance, is_unlimited=is_unlimited),
        "granted_billing_seconds": balance.granted,
        "used_billing_seconds": balance.used,
        "left_billing_seconds": None if is_unlimited else balance.left,
    }


def _amounts(balance: Balance, *, is_unlimited: bool) -> dict[str, str | None]:
    return {
        "granted_su": format_su(balance.granted),
        "used_su": format_su(balance.used),
        "left_su": None if is_unlimited else format_su(balance.left),
    }


def _available(standing: Standing) -> dict[str, Any]:
    available = standing.available
    return {
        "credit_su": format_su(standing.account.credit),
        "set_aside_su": format_su(standing.set_aside),
        "available_su": format_known_su(available),
        "credit_billing_seconds": standing.account.credit,
        "set_aside_billing_seconds": standing.set_aside,
        "available_billing_seconds": available,
    }


def _entry(line: Line, after: Balance, name: str, *, is_unlimited: bool) -> dict[str, Any]:
    return {
        "at": utc_text(line.at),
        "kind": line.kind,
        "account": None if line.account == name else line.account,
        "user": line.user,
        "amount_su": format_su(line.amount),
        **_amounts(after, is_unlimited=is_unlimited),
        "cluster": line.cluster,
        "grant": line.grant_id,
        "actor": line.actor,
        "reason": line.reason,
        "reference": line.reference,
        "granted_billing_seconds": line.granted,
        "used_billing_seconds": line.used,
    }


def _group(group: Group, name: str, *, is_unlimited: bool) -> dict[str, Any]:
    return {
        "when": group.when or None,
        "kind": group.kind,
        "account": None if group.account == name else group.account,
        "user": group.user,
        "entries": group.entry_count,
        "granted_su": _signed(group.granted),
        "used_su": _signed(group.used),
        "left_su": None if is_unlimited else _signed(group.granted - group.used),
        "granted_billing_seconds": group.granted,
        "used_billing_seconds": group.used,
    }


def _signed(amount: int) -> str:
    return f"+{format_su(amount)}" if amount > 0 else format_su(amount)


_COLUMNS = (
    *("at", "account", "kind", "user", "cluster", "amount_su", "granted_su", "used_su", "left_su"),
    *("grant", "actor", "reason", "reference", "granted_billing_seconds", "used_billing_seconds"),
)
# What people wrote, or may have chosen.
_TEXTS = ("account", "user", "actor", "reason", "reference")


def as_csv(found: Mapping[str, Any]) -> str:
    """Return an itemized statement as CSV: a line for each entry, with the balance after it.

    The last two columns are by how much the entry changes what is granted and what is used.
    """
    rows = []
    for entry in found["entries"]:
        cells = {**entry, "account": entry["account"] or found["account"]}
        cells.update((name, csv_text.harmless(cells[name])) for name in _TEXTS)
        rows.append([cells[name] for name in _COLUMNS])
    return csv_text.written(_COLUMNS, rows)
