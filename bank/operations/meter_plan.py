"""What one look at a cluster's meters will write: what Slurm said against what is on record.

Nothing is written here, and nothing is asked but sacct, where a meter has lost something.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from bank.ledger.amounts import format_su
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.places import changed_places, forgotten_before
from bank.policy import metering
from bank.policy.charged_time import JOBS
from bank.policy.metering import Booking, Span
from bank.slurm.assoc_mgr import Associations, UserRow
from bank.store.accounts import Account
from bank.store.meters import ClusterState, Meter, Place, Reading

_MICROSECONDS = 1_000_000
# The controller counts running jobs every PriorityCalcPeriod; its own work takes a moment more.
LAG_SECONDS = 2


class Known(NamedTuple):
    """What was on record before Slurm was asked."""

    accounts: dict[str, Account]
    meters: dict[int, Meter]
    places: dict[str, Place]
    state: ClusterState | None


class Observed(NamedTuple):
    """What Slurm said, and between which instants (UTC microseconds) it was true."""

    slurm: Associations
    asked_at: int
    answered_at: int


class Booked(NamedTuple):
    """A reading, and what it books.

    Attributes:
        reading: the new reading.
        booking: how its amount came about.
    """

    reading: Reading
    booking: Booking


class Plan(NamedTuple):
    """All that one look at a cluster will write, by account.

    Attributes:
        readings: new readings with their amounts.
        places: where accounts stand, for those that moved or whose figures changed.
        forgotten: use of associations that Slurm had forgotten before the bank first looked.
        notes: what a person should know.
        state: what is now known of the cluster.
        is_news: whether that is to be written.
    """

    readings: dict[str, list[Booked]]
    places: dict[str, Place]
    forgotten: dict[str, int]
    notes: list[str]
    state: ClusterState
    is_news: bool = False


def make_plan(
    bank: Bank, cluster: Cluster, known: Known, observed: Observed, covered: set[str]
) -> Plan:
    """Compare what Slurm says with what is on record. Writes nothing."""
    source = bank.settings.usage_source
    places, orphaned = changed_places(
        known.places, observed.slurm, covered, is_by_jobs=source == JOBS
    )
    started, control = cluster.config.started, _control(known, observed.slurm)
    state = ClusterState(source, started, control, observed.asked_at, observed.answered_at)
    plan = Plan(defaultdict(list), places, {}, [], state)
    is_new_controller = known.state is not None and known.state.controller_started != started
    rows = {row.association: row for row in observed.slurm.users if row.account in covered}
    if source == JOBS:
        for one in _control_readings(known, rows, observed):
            plan.readings[one.reading.account].append(one)
        is_news = known.state is None or is_new_controller or control != known.state.control
        return plan._replace(is_news=is_news or bool(plan.readings or plan.places))
    is_lost = is_new_controller or _has_hidden_loss(known, observed.slurm)
    suspects = _suspects(known, observed.slurm, covered, rows, is_lost=is_lost)
    for association, row in rows.items():
        meter = known.meters.get(association)
        if association not in suspects and row.raw != (meter.raw if meter else 0):
            baseline = bank.settings.usage_baseline == "now" and row.account not in known.places
            booking = metering.booking(meter.raw if meter else None, row.raw, baseline=baseline)
            plan.readings[row.account].append(_booked(meter, row, row.raw, booking, observed))
    if bank.settings.usage_baseline == "all":
        plan.forgotten.update(forgotten_before(known.places, places))
    if suspects or orphaned:
        _add_lost(bank, cluster, known, observed, plan, suspects, orphaned)
    is_news = known.state is None or is_new_controller or control != known.state.control
    is_news = is_news or bool(plan.readings or plan.places or plan.forgotten)
    return plan._replace(is_news=is_news)


def _control_readings(
    known: Known, rows: dict[int, UserRow], observed: Observed
) -> Iterator[Booked]:
    """Yield what meters show where jobs charge: it is booked as nothing."""
    for association, row in rows.items():
        meter = known.meters.get(association)
        if row.raw != (meter.raw if meter else 0):
            control = Booking(metering.CONTROL, 0, 0, 0)
            yield _booked(meter, row, row.raw, control, observed)
    for association, meter in known.meters.items():
        if association not in rows and not meter.is_gone:
            row = UserRow(association, meter.account, meter.user, meter.partition, 0)
            yield _booked(meter, row, 0, Booking(metering.GONE, 0, 0, 0), observed)


def _control(known: Known, slurm: Associations) -> int:
    """Return the control figure; the one on record where it differs by what cutting off may do."""
    if known.state is not None and abs(slurm.control - known.state.control) <= _inexact(slurm):
        return known.state.control
    return slurm.control


def _inexact(slurm: Associations) -> int:
    return 1 + (len(slurm.users) + len(slurm.qos)) // 50


def _has_hidden_loss(known: Known, slurm: Associations) -> bool:
    """Tell whether a meter lost something that does not show: the control figure rose for no cause.

    What meters fell by, or had shown before they were gone, is a cause that shows.
    """
    rise = 0 if known.state is None else slurm.control - known.state.control
    if rise <= _inexact(slurm):
        return False
    now = {row.association: row.raw for row in slurm.users}
    falls = [
        meter.raw - now.get(association, 0)
        for association, meter in known.meters.items()
        if meter.raw > now.get(association, 0) and not meter.is_gone
    ]
    return rise - sum(falls) > _inexact(slurm) + len(falls)


def _suspects(
    known: Known,
    slurm: Associations,
    covered: set[str],
    rows: dict[int, UserRow],
    *,
    is_lost: bool,
) -> dict[int, Meter]:
    """Return the meters that may have lost something, as they stood.

    A meter that lost something and has counted since does not show it. So where the controller is
    another one, or the control figure says that some meter lost something, or one in the same tree
    fell (a reset falls on all below an account), all of them are compared with sacct.
    """
    suspects = {
        association: meter
        for association, meter in known.meters.items()
        if association not in rows and not meter.is_gone
    }
    fallen = {
        _top(slurm, covered, row.account)
        for association, row in rows.items()
        if association in known.meters and row.raw < known.meters[association].raw
    }
    for association, row in rows.items():
        # What is seen for the first time has nothing that it could have lost.
        if row.account in known.places and (is_lost or _top(slurm, covered, row.account) in fallen):
            suspects[association] = known.meters.get(association) or _never_read(row)
        elif row.raw and association in known.meters and known.meters[association].is_gone:
            suspects[association] = known.meters[association]
    return suspects


def _top(slurm: Associations, covered: set[str], account: str) -> str:
    """Return the highest account above one that the bank keeps books for, or itself."""
    parent = slurm.accounts[account].parent
    while parent is not None and parent in covered:
        account, parent = parent, slurm.accounts[parent].parent
    return account


# A meter without a reading.
_NEVER = Meter(0, 0, "", "", "", 0, 0, 0, 0, 0, "")


def _never_read(row: UserRow) -> Meter:
    return _NEVER._replace(
        association=row.association, account=row.account, user=row.user, partition=row.partition
    )


def _booked(
    meter: Meter | None, row: UserRow, raw: int, booking: Booking, observed: Observed
) -> Booked:
    return Booked(
        Reading(
            row.association,
            row.account,
            row.user,
            row.partition,
            follows=meter.reading_count if meter else 0,
            previous_digest=meter.head_digest if meter else "",
            raw=raw,
            cause=booking.cause,
            booked=booking.charge + booking.adjustment,
            asked_at=observed.asked_at,
            answered_at=observed.answered_at,
        ),
        booking,
    )


def _add_lost(
    bank: Bank,
    cluster: Cluster,
    known: Known,
    observed: Observed,
    plan: Plan,
    suspects: dict[int, Meter],
    orphaned: dict[str, int],
) -> None:
    """Book what meters lost, as sacct knows it, and say what nobody can know."""
    state = known.state
    assert state is not None
    names = {meter.account for meter in suspects.values()} | set(orphaned)
    since = min(
        [
            state.asked_at,
            observed.asked_at,
            *(_read_at(meter, state, observed)[0] for meter in suspects.values()),
        ]
    )
    lag = cluster.config.calc_period_seconds + LAG_SECONDS
    rows = {row.association: row for row in observed.slurm.users}
    # Loaded here, because hardly any pass asks sacct, and each of them would wait for it.
    from bank.operations import lost

    found = lost.find_runs(
        bank,
        cluster,
        sorted(names),
        _whose(suspects, rows),
        since_seconds=since // _MICROSECONDS - lag,
        until_seconds=observed.asked_at // _MICROSECONDS + 1,
    )
    new_controller = state.controller_started != cluster.config.started
    for association, meter in suspects.items():
        row = rows.get(association)
        raw = row.raw if row else None
        runs = found[association].runs if association in found else []
        span = _span(_read_at(meter, state, observed), observed, lag)
        ran = metering.ran_in(span, runs, is_gone=row is None)
        booking = metering.disturbed_booking(
            meter.raw, raw, ran, new_controller=new_controller, was_gone=bool(meter.is_gone)
        )
        seen = UserRow(association, meter.account, meter.user, meter.partition, raw or 0)
        if booking.charge or booking.adjustment or booking.cause in _ALWAYS_WRITTEN:
            plan.readings[meter.account].append(_booked(meter, seen, raw or 0, booking, observed))
        _note(plan, cluster, state, seen, booking)
    for association, mine in found.items():
        # Made, used and removed between two readings.
        meter_before = known.meters.get(association)
        if association in rows or association in suspects or mine.account not in orphaned:
            continue
        span = _span(_read_at(_NEVER, state, observed), observed, lag)
        ran = metering.ran_in(span, mine.runs, is_gone=True)
        booking = metering.disturbed_booking(0, None, ran, new_controller=new_controller)
        seen = UserRow(association, mine.account, mine.user, mine.partition, 0)
        if booking.adjustment:
            plan.readings[mine.account].append(_booked(meter_before, seen, 0, booking, observed))
        _note(plan, cluster, state, seen, booking)
    plan.notes.extend(
        f"job {job_id} of {mine.user} in {mine.account} on {cluster.name}: sacct does not say what"
        " it was billed; what of it the meter lost cannot be known"
        for mine in found.values()
        for job_id in mine.unpriced
    )
    _note_unexplained(plan, cluster, suspects, orphaned)


def _whose(suspects: dict[int, Meter], rows: dict[int, UserRow]) -> dict[tuple[str, str, str], int]:
    """Return the suspect associations by account, user and partition; those gone win."""
    order = sorted(suspects.items(), key=lambda item: item[0] not in rows)
    return {(meter.account, meter.user, meter.partition): number for number, meter in order}


def _read_at(meter: Meter, state: ClusterState, observed: Observed) -> tuple[int, int]:
    """Return when a meter was last known to show what is on record: all were read at once.

    A time that has not come yet was written while the clock was wrong.
    """
    asked_at = min(max(meter.asked_at, state.asked_at), observed.asked_at)
    return asked_at, min(max(meter.answered_at, state.answered_at), observed.asked_at)


def _span(read_at: tuple[int, int], observed: Observed, lag: int) -> Span:
    return Span(
        Fraction(read_at[0], _MICROSECONDS),
        Fraction(read_at[1], _MICROSECONDS),
        Fraction(observed.asked_at, _MICROSECONDS),
        lag,
    )


# The counter has another value than the one on record, whatever was booked.
_ALWAYS_WRITTEN = (metering.FALL, metering.GONE, metering.BACK)
_WHAT_HAPPENED = {
    metering.FALL: "its counter was set back",
    metering.GONE: "Slurm has removed it",
    metering.BACK: "Slurm has it again after it was gone",
    metering.RESTART: "the controller was restarted",
    metering.COMPARED: "a counter was set back",
}


def _note(
    plan: Plan, cluster: Cluster, state: ClusterState, row: UserRow, booking: Booking
) -> None:
    whose = f"{row.user} in {row.account} on {cluster.name}"
    happened = _WHAT_HAPPENED[booking.cause]
    if booking.cause == metering.RESTART and not state.controller_started:
        # So it stands in a backup that was put back.
        happened = "the books were put back from a backup"
    if booking.adjustment:
        plan.notes.append(
            f"meter of {whose}: {happened}; {format_su(booking.adjustment)} SUs that it had not"
            " shown were booked from sacct"
        )
    # One that was only compared has lost nothing as far as it shows.
    if booking.unknown and booking.cause != metering.COMPARED:
        plan.notes.append(
            f"meter of {whose}: {happened} while jobs ran; whether up to"
            f" {format_su(booking.unknown)} SUs more were used cannot be known"
        )


def _note_unexplained(
    plan: Plan, cluster: Cluster, suspects: dict[int, Meter], orphaned: dict[str, int]
) -> None:
    explained = {meter.account for meter in suspects.values()}
    explained |= {name for name, booked in plan.readings.items() if booked}
    for name, change in orphaned.items():
        if change > 0 and name not in explained:
            plan.notes.append(
                f"account {name} on {cluster.name}: its sum rose by {format_su(change)} SUs of"
                " associations that are gone; what of it was not read before cannot be known"
            )
