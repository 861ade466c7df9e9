"""Proof that rows agree with each other: chains of digests, and totals that are their fold.

Rows pass by once, in their order, and none is kept: a chain of a million takes no more room than
one of ten. Who proves something of them hands them on to who proves the next.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bank.errors import LedgerBroken
from bank.ledger.books import EFFECTS, MAX_TOTAL, Books, moved
from bank.ledger.entries import (
    AVAILABLE,
    CLEARING,
    FIRST_DIGEST,
    USED,
    Draft,
    chained_digest,
    digester,
)
from bank.ledger.references import (
    child_of,
    giver_of,
    is_of_job,
    is_of_reading,
    of_transfer,
    reading_of,
)

# A row with its digest last; before it all that the digest holds, in that order.
Row = tuple[Any, ...]


class Found:
    """What does not fit: of each kind the first of whatever it is of, and how many more there are.

    A chain of a million rows that was computed again is then one line, and its memory.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._kinds: dict[tuple[str, str], list[Any]] = {}

    def say(self, whose: str, kind: str, what: str, row: str = "") -> None:
        """Add one.

        Args:
            whose: the account, meter or table.
            kind: a word that all of its like share.
            what: what is wrong, for people.
            row: which row of it, e.g. "entry 12".
        """
        known = self._kinds.get((whose, kind))
        if known is None:
            where = f"{whose}, {row}" if row else whose
            self._kinds[whose, kind] = [f"{where}: {what}", 0, ""]
        else:
            known[1] += 1
            known[2] = row

    def told(self) -> Iterator[str]:
        """Yield what was found, in the order in which it was."""
        for text, more, last in self._kinds.values():
            last_one = f", the last is {last}" if last else ""
            yield f"{text} (and {more} more like it{last_one})" if more else text


def prove_chain(name: str, entries: Iterable[Row], stated: Books, found: Found) -> None:
    """Prove one account's chain.

    Args:
        name: the account.
        entries: of each its number, time, all that a `Draft` has, and digest; in their order.
        stated: the totals that stand in the account's row.
        found: gets what is wrong, the first wrong entry first.
    """
    digest_of = digester()
    whose = f"account {name}"
    granted = used = count = last_at = 0
    head: str = FIRST_DIGEST
    for row in entries:
        seq, at, _, kind, source, target, amount = row[:7]
        digest = row[-1]
        if seq != count + 1:
            found.say(whose, "gap", f"entry {count + 1} is missing before it", f"entry {seq}")
        if at < last_at:
            found.say(whose, "time", "is older than the entry before it", f"entry {seq}")
        if digest != digest_of([head, *row[:-1]]):
            changed = "its digest does not fit: it or an entry before it was changed"
            found.say(whose, "digest", changed, f"entry {seq}")
        effect = EFFECTS.get((kind, source, target))
        if effect is not None and type(amount) is int and amount > 0:
            more, spent = granted + effect[0] * amount, used + effect[1] * amount
        else:
            more, spent = 0, -1
        if 0 <= spent <= MAX_TOTAL >= abs(more) and abs(more - spent) <= MAX_TOTAL:
            granted, used = more, spent
        else:
            try:
                moved(Books(granted, used), Draft(*row[2:-1]))
            except LedgerBroken as error:
                found.say(whose, "move", str(error), f"entry {seq}")
        count, head, last_at = seq, digest, at
    books = Books(granted, used, count, head, last_at)
    for field in Books._fields:
        told, is_so = getattr(stated, field), getattr(books, field)
        if told != is_so:
            found.say(whose, field, f"its row says {field} {told}, its entries say {is_so}")


class Totals:
    """What one account's entries add up to, gathered while they pass.

    Attributes:
        granted: billing-seconds by grant; None for none.
        charged, closed, refunded: by cluster; "" for none.
        settled: by (cluster, child).
        jobs_refunded: how many entries refund a job.
    """

    def __init__(
        self,
        name: str,
        grants: Iterable[int],
        bookings: "Bookings",
        net: dict[str, int],
        found: Found,
    ) -> None:
        """Start with nothing.

        Args:
            name: the account.
            grants: all that it ever had.
            bookings: gets what rests on readings.
            net: gets what each transfer brought to clearing less what it took, of all accounts.
            found: gets what is wrong.
        """
        self.granted: dict[int | None, int] = {None: 0, **dict.fromkeys(grants, 0)}
        self.charged: dict[str, int] = defaultdict(int)
        self.closed: dict[str, int] = defaultdict(int)
        self.refunded: dict[str, int] = defaultdict(int)
        self.settled: dict[tuple[str, str], int] = defaultdict(int)
        self.jobs_refunded = 0
        # The newest transfer that it gave.
        self._given = ""
        self._name = name
        self._bookings = bookings
        self._net = net
        self._found = found

    def counted(self, entries: Iterable[Row]) -> Iterator[Row]:
        """Count entries and hand them on; one that the ledger does not know counts for nothing."""
        for row in entries:
            seq, _, _, kind, source, target, amount = row[:7]
            effect = EFFECTS.get((kind, source, target))
            if row[9] not in self.granted:
                self._say(seq, "grant", "its grant is another account's")
            elif effect is not None and type(amount) is int:
                if effect[0]:
                    self.granted[row[9]] += effect[0] * amount
                cluster, reference = row[10] or "", row[12] or ""
                if target == USED:
                    self.charged[cluster] += amount
                    self._rests(seq, reference, amount)
                elif source == USED:
                    self._leaves(kind, target, cluster, reference, amount)
                elif kind == "closing":
                    self.settled[cluster, child_of(reference) or reference] += amount
                elif kind == "transfer":
                    self._passes(seq, source, reference, amount)
            yield row

    def _rests(self, seq: int, reference: str, amount: int) -> None:
        if is_of_reading(reference):
            self._bookings.hold(reference, amount)
        elif not reference:
            self._say(seq, "no reading", "a charge that rests on no reading")

    def _leaves(self, kind: str, target: str, cluster: str, reference: str, amount: int) -> None:
        if target == AVAILABLE:
            self.charged[cluster] -= amount
            self.refunded[cluster] += amount
            self.jobs_refunded += kind == "refund" and is_of_job(reference)
        else:
            self.closed[cluster] += amount

    def _passes(self, seq: int, source: str, reference: str, amount: int) -> None:
        """Count an entry of a transfer, which is named by the first entry of who gives."""
        is_given = source != CLEARING
        if is_given and reference == of_transfer(self._name, seq):
            self._given = reference
        is_others = giver_of(reference) not in (None, self._name)
        if not (reference == self._given if is_given else is_others):
            self._say(seq, "transfer", f"is of a transfer and refers to {reference or 'nothing'}")
        net = self._net.pop(reference, 0) + (amount if is_given else -amount)
        if net:
            self._net[reference] = net

    def _say(self, seq: int, kind: str, what: str) -> None:
        self._found.say(f"account {self._name}", kind, what, f"entry {seq}")


class Bookings:
    """What readings booked, held against what the entries that rest on them hold.

    Entries and readings stand in the same order but for what was written at once, so each meter is
    read as far as its entries have come, and only what does not balance yet is kept.
    """

    def __init__(
        self, account: str, meters: Mapping[int, Iterator[tuple[int, int]]], found: Found
    ) -> None:
        """Start before the first reading.

        Args:
            account: whose meters they are.
            meters: by meter, number and booked billing-seconds of each reading, in order.
            found: gets entries that rest on no reading of these.
        """
        self._account = account
        self._meters = meters
        self._last = dict.fromkeys(meters, 0)
        self._found = found
        # By meter and number: what was booked less what its entries hold, where that is not 0.
        self._open: dict[tuple[int, int], int] = {}

    def hold(self, reference: str, amount: int) -> None:
        """Count an entry that rests on a reading."""
        reading = reading_of(reference)
        if reading is None or not self._is_read(*reading):
            what = f"entries rest on {reference}, which is not one of its readings"
            self._found.say(f"account {self._account}", "reading", what)
            return
        left = self._open.pop(reading, 0) - amount
        if left:
            self._open[reading] = left

    def _is_read(self, meter: int, seq: int) -> bool:
        """Read a meter up to a number; tell whether it goes that far."""
        last = self._last.get(meter, seq - 1)
        while last < seq:
            reading = next(self._meters[meter], None) if meter in self._meters else None
            if reading is None:
                return False
            last = self._last[meter] = reading[0]
            if reading[1]:
                self._open[meter, reading[0]] = reading[1]
        return True

    def left(self) -> list[tuple[int, int, int]]:
        """Read all meters to their ends.

        Returns:
            Meter, number, and what was booked less what entries hold, where the two are not equal.
        """
        for meter, readings in self._meters.items():
            self._open.update({(meter, seq): booked for seq, booked in readings if booked})
        return [(meter, seq, left) for (meter, seq), left in sorted(self._open.items())]


class Change(NamedTuple):
    """One audited change of an account that is not an amount."""

    seq: int
    field: str
    old: str | None
    new: str | None
    actor: str
    reason: str
    changed_at: int
    digest: str


def prove_changes(
    name: str,
    account_id: int,
    changes: Iterable[Change],
    stated: dict[str, str | None],
    head: tuple[int, str],
    found: Found,
) -> None:
    """Prove the changes of one account.

    Args:
        name: the account.
        account_id: its number, which is part of each digest.
        changes: all of them in order.
        stated: the fields that stand in its row and in those of what is its own, as text; what
            its changes say of any other must be nothing.
        head: the count and the newest digest that stand in its row.
        found: gets what is wrong.
    """
    whose = f"account {name}"
    digest, count, fields = "", 0, {"is_open": "0", "is_unlimited": "0", "credit": "0"}
    # What a grant has paid is nothing until its first change says otherwise.
    paid = {field: "0" for field in stated if field.endswith(" paid")}
    values: dict[str, str | None] = {**dict.fromkeys(stated), **fields, **paid}
    for change in changes:
        row = f"change {change.seq}"
        count += 1
        if change.seq != count:
            found.say(whose, "change gap", f"change {count} is missing before it", row)
            count = change.seq
        if change.digest != chained_digest(digest, account_id, *change[:-1]):
            changed = "its digest does not fit: it or a change before it was changed"
            found.say(whose, "change digest", changed, row)
        if values.get(change.field) != change.old:
            was = values.get(change.field)
            found.say(whose, "old", f"says {change.field} was {change.old}, it was {was}", row)
        values[change.field], digest = change.new, change.digest
    if (count, digest) != head:
        found.say(whose, "change head", "its row does not end with its newest change")
    for field, is_so in values.items():
        told = stated.get(field)
        if told != is_so:
            found.say(whose, field, f"its row says {field} {told}, its changes say {is_so}")


class MeterState(NamedTuple):
    """What stands in a meter's row of its newest reading."""

    seq: int
    raw: int
    digest: str
    is_gone: int
    user: str
    partition: str
    asked_at: int
    answered_at: int


def proven_readings(
    name: str, readings: Iterable[Row], stated: MeterState, found: Found
) -> Iterator[tuple[int, int]]:
    """Prove the readings of one meter while they are handed on.

    Args:
        name: the meter, for people.
        readings: cluster, association, user, partition, number, raw, cause, booked, asked_at,
            answered_at, digest; all of them in order.
        stated: what stands in the meter's row.
        found: gets what is wrong.

    Yields:
        The number of a reading, and the billing-seconds that it booked.
    """
    digest_of = digester()
    seq, raw, head, newest = 0, 0, "", None
    for row in readings:
        before, (number, shown, cause, booked) = seq, row[4:8]
        if number != before + 1:
            found.say(
                name, "gap", f"reading {before + 1} is missing before it", f"reading {number}"
            )
        if row[-1] != digest_of([head, *row[:-1]]):
            changed = "its digest does not fit: it or a reading before it was changed"
            found.say(name, "digest", changed, f"reading {number}")
        rise = shown - raw
        if booked != rise or cause in ("baseline", "control"):
            what = _wrong_booking(cause, number, rise, booked)
            if what:
                found.say(name, cause, what, f"reading {number}")
        seq, raw, head, newest = number, shown, row[-1], row
        yield number, booked
    if (seq, raw, head) != stated[:3]:
        found.say(name, "head", "its row does not end with its newest reading")
    if newest is not None and stated[3:] != (newest[6] == "gone", *newest[2:4], *newest[8:10]):
        what = "its row does not say what, whose or when its newest reading was"
        found.say(name, "newest", what)


def _wrong_booking(cause: str, number: int, rise: int, booked: int) -> str:
    """Say what is wrong with what a reading booked that is not its rise; "" where nothing is."""
    if cause in ("rise", "first"):
        return f"the meter rose by {rise}, {booked} were booked"
    if cause in ("restart", "compared") and booked < rise:
        return f"the meter rose by {rise}, only {booked} were booked"
    if cause == "control" and booked:
        return f"where jobs charge a meter books nothing, and {booked} were booked"
    if cause == "baseline" and (booked or number != 1):
        return "only a first reading may set where counting begins, without a booking"
    return ""
