"""Forecasts: when SUs run out and what will expire unused, as plain data."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from bank.ledger.amounts import format_known_su, format_su
from bank.ledger.grants import payments
from bank.operations.bank import Bank, utc_text
from bank.operations.days import day_of, day_text, start_of_day
from bank.operations.named import standing_of
from bank.operations.spans import period_from
from bank.policy.forecast import (
    DAY_MICROSECONDS,
    LEAST_DAYS,
    LONG_DAYS,
    SHORT_DAYS,
    Course,
    Rate,
    Supply,
    course,
    left_at,
    overall,
    rate,
    renewed,
)
from bank.policy.periods import has_end
from bank.policy.statement import Line
from bank.policy.tree import ancestors
from bank.store import forecast as store
from bank.store import grants as rows
from bank.store import read, spans
from bank.store.above import find_all_parents
from bank.store.connect import Reader, reading
from bank.store.forecast import DayOfUse
from bank.store.grants import IN_FORCE, OVER, PROMISED, Grant
from bank.store.read import Standing

# How far a chart looks ahead at most, and into how many parts that is divided.
_LONGEST_AHEAD_DAYS = 3 * 365
_PARTS_AHEAD = 60
_NOTHING_LEFT = "nothing is left"


class _Known(NamedTuple):
    """What is known of one account.

    Attributes:
        standing: where it stands.
        daily: billing-seconds that ran on each whole day on record, the last one first.
        hours: for how many whole hours the bank has looked after it.
        grants: those that are not over.
    """

    standing: Standing
    daily: list[int]
    hours: int
    grants: list[Grant]


class _Courses(NamedTuple):
    """What becomes of an account at the least, the expected and the highest rate."""

    slow: Course
    expected: Course
    fast: Course


def forecast(bank: Bank, name: str) -> dict[str, Any]:
    """Return the forecast of one account, with the points of its chart.

    Raises:
        Refusal: the account is not open in the bank.
    """
    now = bank.clock()
    with reading(bank.database) as reader:
        standing = standing_of(reader, name)
        account = standing.account
        days = store.days_of_use(reader, account, now=now, days=LONG_DAYS)
        since = store.known_since(reader, account)
        grants = {name: rows.find_living(reader, account.account_id)}
        ran = _by_day(days, "ran")
        known = _known(standing, ran, since, grants, now)
        past = _past(reader, standing, days, len(known.daily), now)
    found, courses = _told(bank, known, now)
    return {
        **found,
        "past": [_point(at, left=left) for at, left in past],
        "ahead": [] if courses is None else _ahead(courses, found, now),
    }


def forecasts(bank: Bank) -> list[dict[str, Any]]:
    """Return the forecast of every open account, those that run out first before others."""
    now = bank.clock()
    with reading(bank.database) as reader:
        standings = read.standings(reader)
        days = store.days_of_use(reader, None, now=now, days=LONG_DAYS)
        since = store.known_since(reader, None)
        grants = _living(rows.every(reader))
        parents = find_all_parents(reader)
    ran: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for day in days:
        above = parents.get(day.cluster or "", {})
        for name in (day.account, *ancestors(above, day.account)):
            ran[name][day.days_ago] += day.ran
    found = [
        _told(bank, _known(standing, ran[name], since, grants, now), now)[0]
        for name, standing in standings.items()
    ]
    return sorted(found, key=_urgency)


def _urgency(found: Mapping[str, Any]) -> tuple[Any, ...]:
    """Order: what runs out first, then what may run out, then the rest, each by name."""
    far = "9999"
    run_out = found["run_out"] or {}
    first = "" if (found["why"] or "").startswith(_NOTHING_LEFT) else run_out.get("expected") or far
    return first, run_out.get("earliest") or far, found["why"] is not None, found["account"]


def _living(every: Iterable[Grant]) -> dict[str, list[Grant]]:
    """Return the grants that are not over, by account."""
    found: dict[str, list[Grant]] = defaultdict(list)
    for grant in every:
        if grant.state != OVER:
            found[grant.account].append(grant)
    return found


def _by_day(days: Sequence[DayOfUse], what: str) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for day in days:
        sums[day.days_ago] += getattr(day, what)
    return sums


def _known(
    standing: Standing,
    ran: Mapping[int, int],
    since: Mapping[str, int],
    grants: Mapping[str, list[Grant]],
    now: int,
) -> _Known:
    name = standing.account.name
    age = max(now - since.get(name, now), 0)
    whole_days = min(age // DAY_MICROSECONDS, LONG_DAYS)
    daily = [ran.get(ago, 0) for ago in range(whole_days)]
    return _Known(standing, daily, age * 24 // DAY_MICROSECONDS, grants.get(name, []))


def _told(bank: Bank, known: _Known, now: int) -> tuple[dict[str, Any], _Courses | None]:
    left = known.standing.left
    short, long = rate(known.daily, SHORT_DAYS), rate(known.daily, LONG_DAYS)
    found: dict[str, Any] = {
        "account": known.standing.account.name,
        "at": utc_text(now),
        "left_su": format_known_su(left),
        "left_billing_seconds": left,
        "credit_su": format_su(known.standing.account.credit),
        "rates": [_rate(SHORT_DAYS, short), _rate(LONG_DAYS, long)],
        "run_out": None,
        "grants": [],
        "period": None,
        "why": None,
    }
    payable = known.standing.payable
    if payable is None:
        return {**found, "why": "unlimited: nothing runs out"}, None
    if short is None or long is None:
        nothing = f"{_NOTHING_LEFT}; " if payable <= 0 else ""
        why = f"{nothing}{known.hours} hours are on record, {LEAST_DAYS} days are needed"
        return {**found, "why": why}, None
    expected = overall(short, long)
    supplies, debt = _supplies(bank, known, now)
    credit = known.standing.account.credit
    slow, likely, fast = (
        course(supplies, per_day, now=now, debt=debt, credit=credit)
        for per_day in (expected.least, expected.expected, expected.most)
    )
    courses = _Courses(slow, likely, fast)
    if payable <= 0:
        found["why"] = _NOTHING_LEFT
    elif expected.most == 0:
        found["why"] = f"nothing ran in {expected.days} days"
    return {
        **found,
        "run_out": _run_out(courses),
        "grants": _ends(known.grants, courses),
        "period": _period(bank, known, courses, now),
    }, courses


def _supplies(bank: Bank, known: _Known, now: int) -> tuple[list[Supply], int]:
    """Return what each grant has left, and what of the use none of them has paid yet."""
    standing = known.standing
    used = max(standing.used, 0)
    paid = payments(rows.paying(known.grants), used)
    found: list[Supply] = []
    for grant in known.grants:
        rest = grant.granted - paid.get(grant.grant_id, 0)
        # One that is ending is for running jobs, which end when they do.
        end_at = grant.end_at if grant.state in (IN_FORCE, PROMISED) else None
        supply = Supply(grant.start_at, end_at, rest, grant.grant_id, grant.carry_percent)
        if grant.state == PROMISED:
            found.append(supply._replace(rest=grant.promised))
        elif grant.is_dated:
            found.append(supply)
        else:
            found += _base(bank, standing, supply, grant.granted, now)
    return found, used - sum(paid.values())


def _base(bank: Bank, standing: Standing, supply: Supply, granted: int, now: int) -> list[Supply]:
    """Return what the grant without an end has, and gets, where periods are renewed."""
    settings = bank.settings
    last_day = _last_day(bank, standing)
    ends_at = None if last_day is None else _end_of_day(last_day)
    if not settings.check_dates or settings.on_end != "renew" or ends_at is None or ends_at <= now:
        return [supply]
    length = (settings.proposal_length_days + 1) * DAY_MICROSECONDS
    return renewed(supply, granted=granted, period_ends_at=ends_at, length=length)


def _rate(window_days: int, found: Rate | None) -> dict[str, Any]:
    """Return a rate; its days are those that it is the average of, None where they are too few."""
    told: dict[str, Any] = {
        "window_days": window_days,
        "days": None if found is None else found.days,
    }
    for what in ("expected", "least", "most"):
        amount = None if found is None else getattr(found, what)
        told[f"{what}_su"] = format_known_su(amount)
        told[f"{what}_billing_seconds"] = amount
    return told


def _run_out(courses: _Courses) -> dict[str, str | None]:
    """Return the days on which nothing is left; None where that is not within FARTHEST_DAYS."""
    days = {
        "earliest": courses.fast.run_out_at,
        "expected": courses.expected.run_out_at,
        "latest": courses.slow.run_out_at,
    }
    return {what: None if at is None else day_of(at).isoformat() for what, at in days.items()}


def _unused(fast: int, expected: int, slow: int) -> dict[str, Any]:
    """Return what is unused at three rates: least at the highest one."""
    amounts = {"expected": expected, "least": fast, "most": slow}
    texts = {f"{what}_su": format_su(amount) for what, amount in amounts.items()}
    return {**texts, **{f"{what}_billing_seconds": amount for what, amount in amounts.items()}}


def _ends(grants: Sequence[Grant], courses: _Courses) -> list[dict[str, Any]]:
    """Return what expires unused at the end of each grant that has one."""
    kinds = {grant.grant_id: grant.kind for grant in grants}
    return [
        {
            "grant": one.grant_id,
            "kind": kinds[one.grant_id],
            "end": day_text(one.at),
            "end_at": utc_text(one.at),
            "unused": _unused(fast.unused, one.unused, slow.unused),
        }
        for fast, one, slow in zip(
            courses.fast.ends, courses.expected.ends, courses.slow.ends, strict=True
        )
    ]


def _period(bank: Bank, known: _Known, courses: _Courses, now: int) -> dict[str, Any] | None:
    """Return what is left when the period ends, None where it is over or that means nothing."""
    dated = sum(grant.granted for grant in known.grants if grant.is_dated)
    if not has_end(known.standing.limit, dated):
        return None
    last_day = _last_day(bank, known.standing)
    ends_at = None if last_day is None else _end_of_day(last_day)
    if last_day is None or ends_at is None or ends_at <= now:
        return None
    fast, expected, slow = (left_at(one.points, ends_at - 1) for one in reversed(courses))
    return {"last_day": last_day.isoformat(), "left": _unused(fast, expected, slow)}


def _last_day(bank: Bank, standing: Standing) -> date | None:
    started_on = standing.account.period_started_on
    return None if started_on is None else period_from(bank, started_on).last_day


def _end_of_day(day: date) -> int | None:
    """Return the first instant after a day, None where no calendar goes so far."""
    try:
        return start_of_day(date.fromordinal(day.toordinal() + 1))
    except (ValueError, OverflowError):
        return None


def _past(
    reader: Reader, standing: Standing, days: Sequence[DayOfUse], known_days: int, now: int
) -> list[tuple[int, int]]:
    """Return what an account could use at the ends of the days on record, oldest first.

    That is with what it may be overdrawn by now, as in what is ahead.
    """
    account, left = standing.account, standing.payable
    if left is None:
        return []
    since = now - LONG_DAYS * DAY_MICROSECONDS + 1
    own = spans.entries_since(reader, account, since)
    lost: dict[int, int] = defaultdict(int)
    for line in own:
        lost[_days_ago(line, now)] += line.used - line.granted
    for day in days:
        if day.account != account.name:
            lost[day.days_ago] += day.booked
    points = [(now, left)]
    for ago in range(known_days):
        left += lost[ago]
        points.append((now - (ago + 1) * DAY_MICROSECONDS, left))
    return points[::-1]


def _days_ago(line: Line, now: int) -> int:
    return max((now - line.at) // DAY_MICROSECONDS, 0)


def _ahead(courses: _Courses, found: Mapping[str, Any], now: int) -> list[dict[str, Any]]:
    """Return what will be left at the three rates, at equal steps of time."""
    ends = [one.at for one in courses.expected.ends]
    for at in (courses.expected.run_out_at, courses.fast.run_out_at):
        ends += [] if at is None else [at]
    if not ends and found["period"] is not None:
        ends = [_end_of_day(date.fromisoformat(found["period"]["last_day"])) or now]
    least = now + LONG_DAYS * DAY_MICROSECONDS
    until = min(max([least, *ends]), now + _LONGEST_AHEAD_DAYS * DAY_MICROSECONDS)
    steps = [now + (until - now) * part // _PARTS_AHEAD for part in range(_PARTS_AHEAD + 1)]
    slow, expected, fast = courses
    return [
        _point(
            at,
            least=left_at(fast.points, at),
            expected=left_at(expected.points, at),
            most=left_at(slow.points, at),
        )
        for at in steps
    ]


def _point(at: int, **amounts: int) -> dict[str, Any]:
    """Return what is left at an instant."""
    told: dict[str, Any] = {"at": utc_text(at), "at_seconds": at // 1_000_000}
    for what, amount in amounts.items():
        told[f"{what}_su"] = format_su(amount)
        told[f"{what}_billing_seconds"] = amount
    return told
