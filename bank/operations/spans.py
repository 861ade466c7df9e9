"""Spans of time: periods, what was typed, and the months and days in them, of the site's zone."""

from bank.errors import InputError
from bank.operations.bank import Bank, utc_text
from bank.operations.days import day_of, day_text, moment, start_of_day, zone_name
from bank.policy import periods
from bank.policy.periods import Period
from bank.policy.spans import Span, first_days


def read_span(bank: Bank, since: str | None, until: str | None, *, start_at: int) -> Span:
    """Read a span as it was typed.

    Args:
        bank: its clock says what "until now" is.
        since: the option --from, None where it was not given.
        until: the option --to, None where it was not given.
        start_at: where it begins without --from, UTC microseconds.

    Raises:
        InputError: no such day or time, or nothing lies between them, or all of it is to come.
    """
    now = bank.clock()
    begins = start_at if since is None else moment(since, "--from")
    ends = None if until is None else moment(until, "--to")
    if begins > now:
        raise InputError(
            f"--from {day_text(begins)} is to come: nothing was booked yet; give a day, or a time,"
            f" before {day_text(now)}"
        )
    if ends is not None and ends <= begins:
        raise InputError(
            f"--to {day_text(ends)} is not after --from {day_text(begins)}: a span is from its"
            " first day, or time, until before --to"
        )
    return Span(begins, None if ends is None or ends > now else ends)


def period_from(bank: Bank, started_on: str) -> Period:
    """Return the period that began on a day of ISO: its last day, and how it stands today."""
    length_days = bank.settings.proposal_length_days
    return periods.period(started_on, length_days=length_days, today=bank.today())


def end_of(bank: Bank, span: Span) -> int:
    """Return where a span ends for people: now, where all until now belongs to it."""
    return max(bank.clock(), span.start_at) if span.end_at is None else span.end_at


def told_span(bank: Bank, span: Span) -> dict[str, str]:
    """Return a span as plain data: days of the site's zone, and UTC."""
    end_at = end_of(bank, span)
    return {
        "start": day_text(span.start_at),
        "end": day_text(end_at),
        "zone": zone_name(),
        "start_at": utc_text(span.start_at),
        "end_at": utc_text(end_at),
    }


def cuts(bank: Bank, span: Span, *, of: str) -> list[tuple[int, str]]:
    """Return where the months, or the days, of a span begin, with their names: 2027-01, 2027-01-31.

    Args:
        bank: its clock says what "until now" is.
        span: the span.
        of: "month" or "day".
    """
    last = day_of(max(end_of(bank, span) - 1, span.start_at))
    length = len("2027-01") if of == "month" else len("2027-01-31")
    days = first_days(day_of(span.start_at), last, of=of)
    return [(start_of_day(day), day.isoformat()[:length]) for day in days]
