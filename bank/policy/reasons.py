"""A reason why jobs run, wait or are refused, and the order in which reasons are told."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

# What a reason does, what stops first.
STOPS = "stops"
# The job waits for its turn, or for something that comes by itself.
WAITS = "waits"
# Nothing is stopped yet; the next pass of the bank will.
COMING = "coming"
# Somebody who had to be asked did not answer, so more may stop it than is known.
UNKNOWN = "unknown"
NOTE = "note"
EFFECTS = (STOPS, WAITS, COMING, UNKNOWN, NOTE)

# How much a reason concerns: all jobs of the account, also those below one above it, those of one
# user, one job, or nothing but what is known of a cluster.
ACCOUNT, ABOVE, USER, JOB, CLUSTER = "account", "above", "user", "job", "cluster"
SCOPES = (ACCOUNT, ABOVE, USER, JOB, CLUSTER)

Numbers = Mapping[str, object]
_NO_NUMBERS: Numbers = MappingProxyType({})


class Reason(NamedTuple):
    """One reason.

    Attributes:
        code: for programs.
        effect: one of EFFECTS.
        scope: one of SCOPES.
        subject: what it is about: "account physics", "job 17".
        sentence: why, with the numbers.
        remedy: what would change it, "" where nothing need.
        numbers: for programs, each with its unit in the name.
        clusters: where it is so; empty where it is of no cluster.
    """

    code: str
    effect: str
    scope: str
    subject: str
    sentence: str
    remedy: str = ""
    numbers: Numbers = _NO_NUMBERS
    clusters: tuple[str, ...] = ()


def in_order(reasons: Iterable[Reason]) -> list[Reason]:
    """Return reasons as they are told: what stops comes first, and of that what stops most."""
    return sorted(reasons, key=lambda one: (EFFECTS.index(one.effect), SCOPES.index(one.scope)))


def verdict(account: str, reasons: Sequence[Reason], *, clusters: Sequence[str]) -> str:
    """Return one line that says whether jobs of an account start.

    Args:
        account: the account.
        reasons: all that is known, in order.
        clusters: those of the site that the account may be on.
    """
    first = reasons[0] if reasons else None
    if first is None or first.effect == NOTE:
        return f"nothing stops jobs of account {account}"
    where = ""
    if len(clusters) > 1 and first.clusters and set(first.clusters) < set(clusters):
        where = f" on {', '.join(first.clusters)}"
    if first.effect == COMING and first.scope == USER:
        return f"jobs of {first.subject} start until the next pass of the bank: {first.sentence}"
    if first.effect == COMING:
        said = _what(first, account)
        return f"jobs of account {account} start until the next pass of the bank: {said}"
    if first.effect == UNKNOWN:
        return f"nothing that is known stops jobs of account {account}: {first.sentence}"
    if first.scope in (ACCOUNT, ABOVE):
        return f"no job of account {account} starts{where}: {_what(first, account)}"
    if first.scope == USER:
        return f"no job of {first.subject} starts{where}: {first.sentence}"
    return f"nothing stops account {account} as a whole; {_what(first, account)}"


def _what(reason: Reason, account: str) -> str:
    """Say a reason, and what it is about where that is not the account itself."""
    own = reason.subject == f"account {account}"
    return reason.sentence if own else f"{reason.subject}: {reason.sentence}"
