"""Applying the lines of grants with dates: given, promised and taken back."""

from collections.abc import Iterator
from typing import NamedTuple

from bank.errors import InputError, Refusal
from bank.ledger.amounts import format_su
from bank.ledger.books import Books
from bank.ledger.grants import Part, taken
from bank.operations import shares
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import Plan
from bank.operations.giving import available_parts, give, refuse_too_much
from bank.operations.grant_dates import turn
from bank.operations.named import standing_of
from bank.operations.present import TIMES, span_of
from bank.policy.difference import Dated
from bank.policy.grant_files import Span, span_text
from bank.policy.grant_files import refuse_over as refuse_span_over
from bank.store import accounts, grants
from bank.store.accounts import Account
from bank.store.connect import Reader, Writer
from bank.store.grants import IN_FORCE, PROMISED, Grant


class _Change(NamedTuple):
    """What a file changes of what an account was given for a span."""

    account: str
    span: Span
    before: Dated | None
    after: Dated

    @property
    def more(self) -> int:
        """Billing-seconds that are given, or below 0 taken back."""
        return self.after.amount - (self.before.amount if self.before else 0)


def _changes(plan: Plan) -> Iterator[_Change]:
    for account, before, after in plan.differences:
        if after is None:
            continue
        known = {} if before is None else before.dated
        for span, dated in sorted(after.dated.items()):
            if known.get(span) != dated:
                yield _Change(account, span, known.get(span), dated)


def takes_back(plan: Plan, *, now: int) -> bool:
    """Tell whether SUs that may have been used are to be taken back."""
    return any(one.more < 0 and one.span.start_at <= now for one in _changes(plan))


def refuse_over(plan: Plan, *, now: int) -> None:
    """Refuse a file of which a grant has ended since it was read.

    Raises:
        InputError: names it.
    """
    for line in plan.grants:
        if line.span is not None:
            try:
                refuse_span_over(line.span, TIMES, now=now)
            except InputError as error:
                raise InputError(f"{plan.file}: account {line.account}: {error}") from error


def give_dated(bank: Bank, writer: Writer, plan: Plan, now: int) -> None:
    """Promise what is new, give what is more, and set what is carried over."""
    begun: dict[str, None] = {}
    for one in _changes(plan):
        reason = plan.why(one.account, one.span)
        if one.before is None:
            promised = _promised(one)
            grants.promise(writer, promised, actor=bank.actor, reason=reason, now=now)
            begun[one.account] = None
            continue
        same = _of_span(writer, one.account, one.span, now=now)
        if (share := one.after.carry_percent) is not None:
            for grant in same:
                carrying = grant._replace(carry_percent=share)
                grants.change(writer, grant, carrying, actor=bank.actor, reason=reason, now=now)
        if one.more > 0:
            present = grants.find(writer, same[0].grant_id)
            give(bank, writer, _command(plan, one), present, one.more, reference=plan.reference)
    # What is promised may have started.
    turn(bank, writer, begun, at=now)


def _promised(one: _Change) -> Grant:
    start_at, end_at, kind = one.span
    return Grant(
        0,
        one.account,
        kind,
        start_at,
        end_at,
        PROMISED,
        granted=0,
        promised=one.after.amount,
        paid=0,
        carry_percent=one.after.carry_percent or 0,
        is_dated=1,
    )


def _command(plan: Plan, one: _Change) -> Command:
    return Command(plan.verb, one.account, reason=plan.why(one.account, one.span))


def _of_span(reader: Reader, name: str, span: Span, *, now: int) -> list[Grant]:
    account = accounts.find(reader, name)
    assert account is not None
    living = grants.find_living(reader, account.account_id)
    return [grant for grant in living if span_of(grant, now=now) == span]


def take_dated(bank: Bank, writer: Writer, plan: Plan, now: int) -> None:
    """Take back what is less.

    Raises:
        Refusal: it is used, or set aside for running jobs.
    """
    for one in _changes(plan):
        if one.more >= 0:
            continue
        same = _of_span(writer, one.account, one.span, now=now)
        there, parts = available_parts(writer, standing_of(writer, one.account))
        unused = {part.grant_id: part.amount for part in parts}
        has = [
            Part(grant.grant_id, max(unused.get(grant.grant_id, grant.promised), 0))
            for grant in same
        ]
        most = sum(part.amount for part in has)
        if any(grant.state == IN_FORCE for grant in same):
            # What the grant without an end owes is no bound: the file says that too.
            owed = -sum(min(part.amount, 0) for part in parts)
            most = max(min(most, there + owed), 0)
        if -one.more > most:
            raise Refusal(
                "insufficient_funds",
                f"{plan.file}: {format_su(-one.more)} SUs cannot be taken back from the grant of"
                f" {one.account}, {span_text(one.span, TIMES)}: it has {format_su(most)} that are"
                " neither used nor set aside",
            )
        for grant_id, some in taken(has, -one.more, None):
            grant = next(grant for grant in same if grant.grant_id == grant_id)
            give(bank, writer, _command(plan, one), grant, -some, reference=plan.reference)


def refuse_unfit(bank: Bank, reader: Reader, plan: Plan, before: dict[str, Account]) -> None:
    """Refuse what other commands refuse too, once all of a file is done.

    Args:
        bank: its clock.
        reader: the transaction that has done it.
        plan: the file.
        before: the accounts that there were.

    Raises:
        Refusal: an account has more than a limit can be; or, unless that is meant, more than the
            account above it, or less than one below.
    """
    dated = grants.find_paid_by_dated(reader)
    for name, was, state in plan.differences:
        if state is None:
            continue
        if state.dated or name in dated:
            account = accounts.find(reader, name)
            assert account is not None
            refuse_too_much(reader, before.get(name, account._replace(books=Books())))
        old, new = was.allocation() if was else 0, state.allocation()
        command = Command(plan.verb, name, force=plan.force, above=plan.above.get(name))
        if new is None or (old is not None and new > old):
            shares.refuse_larger(bank, reader, command, name)
        elif new != old:
            shares.refuse_smaller(bank, reader, command, name)
