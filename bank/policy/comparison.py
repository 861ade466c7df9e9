"""The predecessor's check beside the first pass of this bank: what each does to every account.

Where they differ, one of the predecessor's numbered defects says why; docs/predecessor.md has all
of them.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_SU
from bank.ledger.names import is_plain
from bank.policy.enforcement import has_nothing_left
from bank.policy.predecessor import Row

HOLD, RELEASE, NOTHING, CANNOT_SAY = "hold", "release", "nothing", "cannot say"

# What made the predecessor's check wrong, or silent, by the number of the defect.
DEFECTS = {
    4: "an account that had something left again stayed held until somebody ran release_hold",
    6: "an unlimited account that was held stayed held, and release_hold refused it (5)",
    9: "an account that had used exactly its limit was not held",
    10: "a part of an hour above the limit did not count",
    11: "an account with 0 SUs was not held before it had used a whole hour",
    22: "an account that it did not know ran without limit",
    23: "an account that is not on every cluster was never checked",
    39: "a name that is not in lower case was never found, because Slurm has it in lower case",
    44: "of several rows about one account it read the first",
    52: "it took any value into its table and could not work with this one",
    69: "a name longer than 30 characters was cut off and never found",
    70: "an account whose name does not match PROJECT_PREFIX was never checked",
}
_LONGEST_NAME = 30


class Site(NamedTuple):
    """What is the same for all accounts.

    Attributes:
        clusters: names of all clusters.
        prefix: PROJECT_PREFIX.
        baseline: USAGE_BASELINE.
        unknown_accounts: UNKNOWN_ACCOUNTS.
        default_allocation: billing-seconds.
        is_running_counted: whether what running jobs may still use counts for a hold.
        on_end: ON_END, "report" where no pass looks at dates.
    """

    clusters: tuple[str, ...]
    prefix: str
    baseline: str
    unknown_accounts: str
    default_allocation: int
    is_running_counted: bool = False
    on_end: str = "report"


class Seen(NamedTuple):
    """One account as it is found at the takeover.

    Attributes:
        name: as Slurm has it.
        rows: its rows in the predecessor's table by id, in whatever case they have the name.
        taken: the row that is taken, None where it has none.
        raw: RawUsage by cluster; only clusters that have the account.
        used: billing-seconds that the first pass will have counted for it.
        running: billing-seconds that running jobs may still use.
        ended_on: the last day of its period where that is over, as an ISO date.
        is_held: whether Slurm holds it now, on any cluster.
        is_ours: whether that hold is taken over.
        is_stranger: whether it counts for nobody in the bank and holds nobody in it together.
    """

    name: str
    rows: tuple[Mapping[str, object], ...]
    taken: Row | None
    raw: Mapping[str, int]
    used: int
    running: int = 0
    ended_on: str | None = None
    is_held: bool = False
    is_ours: bool = False
    is_stranger: bool = False


class Check(NamedTuple):
    """What the predecessor's check does: HOLD, NOTHING or CANNOT_SAY, and why if not by the rule.

    Attributes:
        number: the defect that keeps it from looking at all, None where it looks.
    """

    decision: str
    number: int | None = None


class Compared(NamedTuple):
    """What both do to one account.

    Attributes:
        has_row: whether it is taken over.
        limit_su: whole SUs, None is unlimited, or that it is not taken over.
        used: billing-seconds.
        old, new: what they do; "held" is left as it is.
        is_same: whether the account is held afterwards with both, or with neither.
        number: the defect that explains the difference, None where a setting does.
        why: in words, "" where there is none.
    """

    account: str
    has_row: bool
    limit_su: int | None
    used: int
    old: str
    new: str
    is_same: bool
    number: int | None
    why: str


def compare(seen: Seen, site: Site) -> Compared:
    """Say what both do to an account, and why that differs."""
    old, new = old_check(seen, site), first_pass(seen, site)
    is_held_by_old = old.decision == HOLD or seen.is_held
    is_held_by_new = new == HOLD or (seen.is_held and new != RELEASE)
    is_same = is_held_by_old == is_held_by_new and old.decision != CANNOT_SAY
    number, why = None, ""
    if not is_same:
        number, why = _explanation(seen, site, old, is_held_by_new=is_held_by_new)
    limit = seen.taken.limit_su if seen.taken else None
    return Compared(
        seen.name,
        seen.taken is not None,
        limit,
        seen.used,
        _shown(old.decision, seen),
        _shown(new, seen),
        is_same,
        number,
        why,
    )


def _shown(decision: str, seen: Seen) -> str:
    return "stays held" if decision == NOTHING and seen.is_held else decision


def old_check(seen: Seen, site: Site) -> Check:
    """Say what the predecessor's cron check does to an account."""
    if not seen.raw:
        return Check(NOTHING)
    if _prefix(site.prefix).search(seen.name) is None:
        return Check(NOTHING, 70)
    if len(seen.name) > _LONGEST_NAME:
        return Check(NOTHING, 69)
    if any(cluster not in seen.raw for cluster in site.clusters):
        return Check(NOTHING, 23)
    row = _row_it_reads(seen)
    if row is None:
        return Check(NOTHING, 39 if seen.rows else 22)
    limit = row["su_limit_hrs"]
    if not isinstance(limit, int | float):
        return Check(CANNOT_SAY, 52)
    return Check(HOLD if _is_over(limit, seen) else NOTHING)


def was_over(seen: Seen) -> bool:
    """Tell whether by the predecessor's rule an account is to be held, by any of its rows."""
    limits = (row["su_limit_hrs"] for row in seen.rows)
    return any(isinstance(limit, int | float) and _is_over(limit, seen) for limit in limits)


def _is_over(limit: float, seen: Seen) -> bool:
    return limit != -1 and sum(seen.raw.values()) // BILLING_SECONDS_PER_SU > limit


def _row_it_reads(seen: Seen) -> Mapping[str, object] | None:
    return next((row for row in seen.rows if row["account"] == seen.name), None)


def _prefix(text: str) -> re.Pattern[str]:
    """Return PROJECT_PREFIX as grep reads it: anywhere in the name, and a dot is any letter."""
    return re.compile("".join("." if letter == "." else re.escape(letter) for letter in text))


def first_pass(seen: Seen, site: Site) -> str:
    """Say what the first pass of this bank does to an account: HOLD, RELEASE or NOTHING."""
    if not seen.raw:
        return NOTHING
    if seen.taken is None:
        if _is_stranger_to_hold(seen, site):
            return HOLD
        return RELEASE if seen.is_held and seen.is_ours else NOTHING
    limit = seen.taken.limit
    if seen.ended_on is not None and site.on_end == "hold" and limit:
        return HOLD
    used = 0 if _is_renewed(seen, site) else seen.used
    if has_nothing_left(limit=limit, used=used + _running(seen, site)):
        return HOLD
    return RELEASE if seen.is_held and seen.is_ours else NOTHING


def _running(seen: Seen, site: Site) -> int:
    return seen.running if site.is_running_counted else 0


def _is_renewed(seen: Seen, site: Site) -> bool:
    return seen.ended_on is not None and site.on_end == "renew"


def _is_stranger_to_hold(seen: Seen, site: Site) -> bool:
    if not seen.is_stranger or not is_plain(seen.name):
        return False
    if site.unknown_accounts == "allocate":
        used = seen.used + _running(seen, site)
        return has_nothing_left(limit=site.default_allocation, used=used)
    return site.unknown_accounts == "hold"


def _explanation(
    seen: Seen, site: Site, old: Check, *, is_held_by_new: bool
) -> tuple[int | None, str]:
    number: int | None
    is_empty = seen.taken is None or has_nothing_left(limit=seen.taken.limit, used=seen.used)
    if old.decision == CANNOT_SAY:
        number = old.number
    elif seen.taken is not None and is_held_by_new != is_empty:
        return None, _setting(seen, site, is_held_by_new=is_held_by_new)
    elif is_held_by_new:
        number = old.number or _why_only_now(seen)
    elif old.decision == HOLD:
        number = _why_no_more(seen)
    else:
        # Slurm holds it, and the old check leaves it so.
        number = 6 if seen.taken is not None and seen.taken.limit_su is None else 4
    if number is None:
        return None, _forgiven(site)
    return number, DEFECTS[number]


def _setting(seen: Seen, site: Site, *, is_held_by_new: bool) -> str:
    """Name the setting by which an account is held that has something left, or not held."""
    if not is_held_by_new:
        return "ON_END = 'renew': its period is over and a new one begins"
    if seen.ended_on is not None and site.on_end == "hold":
        return "ON_END = 'hold': its period is over"
    return "HOLD_COUNTS_RUNNING: its running jobs may use all that is left"


def _forgiven(site: Site) -> str:
    if site.baseline == "now":
        return "USAGE_BASELINE = 'now': what was used so far is forgiven"
    return "RawUsage of its users and child accounts is less than its own"


def _why_only_now(seen: Seen) -> int:
    """Return why the old check did not hold an account that has nothing left."""
    read = _row_it_reads(seen)
    if seen.taken is None:
        return 52
    if read is not None and read["id"] != seen.taken.number and not _says_the_same(read, seen):
        return 44
    if seen.taken.limit_su == 0:
        return 11
    limit = seen.taken.limit
    return 9 if seen.used == limit else 10


def _why_no_more(seen: Seen) -> int | None:
    """Return why the old check holds an account that has something left; None is no defect."""
    if seen.taken is None:
        return 52
    read = _row_it_reads(seen)
    return 44 if read is not None and not _says_the_same(read, seen) else None


def _says_the_same(read: Mapping[str, object], seen: Seen) -> bool:
    assert seen.taken is not None
    limit = read["su_limit_hrs"]
    return limit == (-1 if seen.taken.limit_su is None else seen.taken.limit_su)
