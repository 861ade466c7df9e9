"""What was charged on a cluster in a span of time, and the readings that it rests on."""

from typing import NamedTuple

from bank.ledger.references import of_reading
from bank.store.connect import Reader
from bank.store.spans import MOVES_USE, USE_MOVED


class Moment(NamedTuple):
    """When meters were read: asked and answered, in UTC microseconds."""

    asked_at: int
    answered_at: int


class MeterReading(NamedTuple):
    """One reading of a meter.

    Attributes:
        reference: what entries that rest on it refer to.
        cause: one of those in `bank.policy.metering`.
        moment: when it was.
        rise: billing-seconds by which the meter rose since the reading before; below 0 it fell.
        raw: what it showed.
    """

    reference: str
    cause: str
    moment: Moment
    rise: int
    raw: int


class MeterInSpan(NamedTuple):
    """A meter, and its readings of a span of time.

    Attributes:
        before: when it was last written before, None where it never was.
        readings: those of the span, in order.
        has_later: whether there is one after the span.
    """

    association: int
    account: str
    user: str
    partition: str
    before: Moment | None
    readings: list[MeterReading]
    has_later: bool


class Charge(NamedTuple):
    """An entry by which the use of an account changed, but for what was closed.

    Attributes:
        amount: billing-seconds, below 0 where use was taken off.
        posted_at: UTC microseconds.
    """

    account: str
    kind: str
    amount: int
    user: str | None
    reference: str | None
    posted_at: int


_OF_CLUSTER = "FROM reading JOIN meter USING (meter_id) WHERE cluster = :cluster"


def find_meters_in_span(
    reader: Reader, cluster: str, *, since: int, until: int
) -> list[MeterInSpan]:
    """Return every meter of a cluster with its readings of a span; UTC microseconds."""
    before = {
        meter_id: Moment(asked_at, answered_at)
        for meter_id, _, asked_at, answered_at in reader.query(
            "SELECT meter_id, max(seq), reading.asked_at, reading.answered_at"
            f" {_OF_CLUSTER} AND reading.asked_at < :since GROUP BY meter_id",
            cluster=cluster,
            since=since,
        )
    }
    readings: dict[int, list[MeterReading]] = {}
    for meter_id, seq, cause, asked_at, answered_at, raw, before_raw in reader.stream(
        "SELECT meter_id, seq, cause, reading.asked_at, reading.answered_at, reading.raw,"
        " coalesce((SELECT raw FROM reading AS last WHERE last.meter_id = meter.meter_id"
        " AND last.seq = reading.seq - 1), 0)"
        f" {_OF_CLUSTER} AND reading.asked_at >= :since AND reading.asked_at < :until"
        " ORDER BY meter_id, seq",
        cluster=cluster,
        since=since,
        until=until,
    ):
        moment = Moment(asked_at, answered_at)
        one = MeterReading(of_reading(meter_id, seq), cause, moment, raw - before_raw, raw)
        readings.setdefault(meter_id, []).append(one)
    later = {
        meter_id
        for (meter_id,) in reader.query(
            f"SELECT DISTINCT meter_id {_OF_CLUSTER} AND reading.asked_at >= :until",
            cluster=cluster,
            until=until,
        )
    }
    rows = reader.query(
        "SELECT meter_id, association, name, user_name, partition_name FROM meter"
        " JOIN account USING (account_id) WHERE cluster = :cluster ORDER BY name, user_name",
        cluster=cluster,
    )
    return [
        MeterInSpan(
            association,
            account,
            user,
            partition,
            before=before.get(meter_id),
            readings=readings.get(meter_id, []),
            has_later=meter_id in later,
        )
        for meter_id, association, account, user, partition in rows
    ]


def find_looks(reader: Reader, cluster: str, *, until: int) -> list[Moment]:
    """Return when meters of a cluster were read before a time, as far as that is on record.

    All are read at once, so what is on record of any of them is the time of all.
    """
    rows = reader.query(
        f"SELECT DISTINCT reading.asked_at, reading.answered_at {_OF_CLUSTER}"
        " AND reading.asked_at < :until ORDER BY reading.asked_at",
        cluster=cluster,
        until=until,
    )
    return [Moment(*row) for row in rows]


def find_first_openings(reader: Reader) -> dict[str, int]:
    """Return since when accounts have been open in the bank, in UTC microseconds, by name."""
    rows = reader.query(
        "SELECT name, min(changed_at) FROM account_change JOIN account USING (account_id)"
        " WHERE field = 'is_open' GROUP BY name"
    )
    return dict(rows)


def find_charges(reader: Reader, cluster: str, since: int) -> list[Charge]:
    """Return how use on a cluster changed by entries since a time in UTC microseconds."""
    rows = reader.query(
        f"SELECT name, kind, {USE_MOVED}, user_name, reference, posted_at"
        " FROM entry JOIN account USING (account_id)"
        f" WHERE cluster = :cluster AND posted_at >= :since AND {MOVES_USE}",
        cluster=cluster,
        since=since,
    )
    return [Charge(*row) for row in rows]
