"""Which grants pay for jobs: those that were in force when the job began.

A meter does not say whose use it counts, so what it counted is paid by the rule alone. Of a run it
is known: where the rule would let another grant pay, what those of its time pay is settled with
them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bank.ledger.entries import Draft
from bank.ledger.grants import Part, less, taken, unused
from bank.operations.bank import Bank
from bank.policy import tree
from bank.store import above, accounts, grants, read
from bank.store.connect import Writer
from bank.store.grants import Grant


class Begun(NamedTuple):
    """A charge, without a grant, and when its run began in UTC microseconds."""

    draft: Draft
    began_at: int


class _Purse:
    """What the grants of one account pay while charges are posted one after the other."""

    def __init__(self, living: Sequence[Grant], used: int, base: int | None) -> None:
        self.settled: dict[int, int] = {}
        self._paying = [grant for grant in living if grant.is_paying]
        self._left = unused(grants.paying(living), max(used, 0))
        self._base = base

    def pay(self, amount: int, began_at: int) -> list[Part]:
        """Take an amount; return which grants pay it, the overdraft for the one without an end."""
        ours = {grant.grant_id for grant in self._paying if _is_of(grant, began_at)}
        is_by_rule = len(ours) == len(self._paying)
        of_its_time = [part for part in self._left if part.grant_id in ours]
        paid = taken(of_its_time, amount, None)
        for part in paid:
            if not is_by_rule and part.grant_id is not None:
                more = self.settled.get(part.grant_id, 0) + part.amount
                self.settled[part.grant_id] = more
        self._left = less(self._left, paid)
        # What none of its time can pay is for whichever has something left.
        missing = sum(part.amount for part in paid if part.grant_id is None)
        rest = taken(self._left, missing, self._base)
        self._left = less(self._left, rest)
        return [*(part for part in paid if part.grant_id is not None), *rest]


def _is_of(grant: Grant, began_at: int) -> bool:
    if not grant.is_dated:
        return True
    return grant.start_at <= began_at and (grant.end_at is None or began_at < grant.end_at)


def paid_by_grants_then(
    bank: Bank, writer: Writer, cluster: str, begun: Sequence[Begun]
) -> list[Draft]:
    """Return charges of jobs with the grants that pay for each; one that two pay becomes two.

    Accounts above are paid with grants of their own, so what those pay is settled as well.

    Args:
        bank: clock and actor.
        writer: the transaction in which they are to be posted.
        cluster: where the jobs ran.
        begun: the charges.
    """
    names = list(dict.fromkeys(one.draft.account for one in begun))
    base = {name: one.grant_id for name, one in accounts.find_many(writer, names).items()}
    purses = _purses(writer, grants.find_paid_by_dated(writer))
    parents = above.find_all_parents(writer).get(cluster, {}) if purses else {}
    split: list[Draft] = []
    for draft, began_at in begun:
        name = draft.account
        parts = [Part(base[name], draft.amount)]
        for whose in (name, *tree.ancestors(parents, name)):
            if whose in purses:
                paid = purses[whose].pay(draft.amount, began_at)
                parts = paid if whose == name else parts
        split += [
            draft._replace(grant_id=number, amount=amount) for number, amount in _paid_once(parts)
        ]
    _settle(bank, writer, purses)
    return split


def _paid_once(parts: Sequence[Part]) -> list[Part]:
    """Return parts with one for each grant, in their order."""
    amounts: dict[int | None, int] = {}
    for number, amount in parts:
        amounts[number] = amounts.get(number, 0) + amount
    return [Part(number, amount) for number, amount in amounts.items()]


def _purses(writer: Writer, names: set[str]) -> dict[str, _Purse]:
    found = {}
    for name in sorted(names):
        standing = read.standing(writer, name)
        if standing is not None:
            living = grants.find_living(writer, standing.account.account_id)
            found[name] = _Purse(living, standing.used, standing.account.grant_id)
    return found


def _settle(bank: Bank, writer: Writer, purses: Mapping[str, _Purse]) -> None:
    for purse in purses.values():
        for number, amount in purse.settled.items():
            grant = grants.find(writer, number)
            after = grant._replace(paid=grant.paid + amount)
            grants.change(writer, grant, after, actor=bank.actor, reason="", now=bank.clock())
