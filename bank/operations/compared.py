"""What a comparison of charges with Slurm found, line by line, as data."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from bank.ledger.amounts import format_su
from bank.policy import reconciliation
from bank.policy.reconciliation import ROUNDED, RUNNING, UNEXPLAINED

# An account, and one of its users.
Whose = tuple[str, str]


class Line(NamedTuple):
    """What of one user's use of one account sacct shows, what is booked, and what leads there.

    Attributes:
        counted: where jobs charge, the same of what the meters counted; None where they charge.
    """

    sacct: Fraction
    booked: int
    parts: dict[str, Fraction]
    counted: "Line | None" = None


def together(first: Mapping[str, Fraction], second: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Return the parts of two lines as those of one."""
    return {
        cause: first.get(cause, Fraction(0)) + second.get(cause, Fraction(0))
        for cause in {**first, **second}
    }


def described_rows(found: Mapping[str, Mapping[Whose, Line]]) -> list[dict[str, Any]]:
    """Return a row for each cluster, account and user of whom something ran, or was booked."""
    return [
        _described_line(cluster, account, user, line)
        for cluster, lines in sorted(found.items())
        for (account, user), line in sorted(lines.items())
        if line.sacct or line.booked or line.counted or any(line.parts.values())
    ]


def _described_line(cluster: str, account: str, user: str, line: Line) -> dict[str, Any]:
    rest = RUNNING if line.counted is None else ROUNDED
    parts = reconciliation.in_whole(line.sacct, line.booked, line.parts, rest=rest)
    sacct = round(line.sacct)
    unexplained = parts.get(UNEXPLAINED, 0)
    return {
        "cluster": cluster,
        "account": account,
        "user": user or None,
        "sacct_su": format_su(sacct),
        "booked_su": format_su(line.booked),
        "difference_su": format_su(line.booked - sacct),
        "unexplained_su": format_su(unexplained),
        "sacct_billing_seconds": sacct,
        "booked_billing_seconds": line.booked,
        "unexplained_billing_seconds": unexplained,
        "causes": [
            {"cause": cause, "amount_su": format_su(amount), "amount_billing_seconds": amount}
            for cause, amount in parts.items()
        ],
        **_described_meters(line),
    }


def _described_meters(line: Line) -> dict[str, Any]:
    """Return what leads from what jobs are charged to what meters counted.

    Both start at what sacct shows: where one has more of a cause than the other, it is one here.
    Of jobs that run over an edge of the period meters have counted a part.
    """
    counted = line.counted
    if counted is None:
        return {}
    leads = together(counted.parts, {cause: -amount for cause, amount in line.parts.items()})
    leads[RUNNING] = leads.get(RUNNING, Fraction(0)) + counted.sacct - line.sacct
    parts = reconciliation.in_whole(Fraction(line.booked), counted.booked, leads)
    return {
        "meters_su": format_su(counted.booked),
        "meters_billing_seconds": counted.booked,
        "meters_causes": [
            {"cause": cause, "amount_su": format_su(amount), "amount_billing_seconds": amount}
            for cause, amount in parts.items()
        ],
        "meters_unexplained_billing_seconds": parts.get(UNEXPLAINED, 0),
    }
