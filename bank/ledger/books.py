"""An account's books: its totals, and the only way in which they change."""

from collections.abc import Iterable
from typing import NamedTuple

from bank.errors import LedgerBroken
from bank.ledger.entries import AVAILABLE, FIRST_DIGEST, KINDS, USED, Draft, Entry, entry_digest

# What a signed 64-bit column holds.
MAX_TOTAL = 2**63 - 1


class Books(NamedTuple):
    """The state of one account's chain.

    Attributes:
        granted: billing-seconds received from the treasury, less what went back: the limit.
        used: billing-seconds charged in the present period.
        entry_count: entries so far, which is the newest sequence number.
        head_digest: digest of the newest entry.
        last_posted_at: its time in UTC microseconds.
    """

    granted: int = 0
    used: int = 0
    entry_count: int = 0
    head_digest: str = FIRST_DIGEST
    last_posted_at: int = 0

    @property
    def available(self) -> int:
        """Billing-seconds that are granted and not used; negative when overdrawn."""
        return self.granted - self.used


def effect(source: str, target: str) -> tuple[int, int]:
    """Return how an entry changes what is granted and what is used: 1, 0 or -1 for each."""
    own = (AVAILABLE, USED)
    return (target in own) - (source in own), (target == USED) - (source == USED)


# By kind, source and target, those that there are. Whatever is not used is available, so the two
# totals say it all.
EFFECTS = {(kind, *pair): effect(*pair) for kind, pairs in KINDS.items() for pair in pairs}


def moved(books: Books, draft: Draft) -> Books:
    """Return the totals after an entry; the chain is left as it was.

    Raises:
        LedgerBroken: the entry is not one that the ledger knows: a fault of the program.
    """
    known = EFFECTS.get((draft.kind, draft.source, draft.target))
    if known is None:
        raise LedgerBroken(f"no {draft.kind} moves from {draft.source} to {draft.target}")
    if type(draft.amount) is not int or draft.amount <= 0:
        raise LedgerBroken(f"an entry moves more than 0 billing-seconds, not {draft.amount!r}")
    granted = books.granted + known[0] * draft.amount
    used = books.used + known[1] * draft.amount
    if max(abs(granted), abs(used), abs(granted - used)) > MAX_TOTAL:
        raise LedgerBroken(f"account {draft.account} would hold more than 64 bits can")
    if used < 0:
        raise LedgerBroken(f"account {draft.account} would have used less than nothing")
    return books._replace(granted=granted, used=used)


def granted_by(draft: Draft) -> int:
    """Return by how much an entry changes what is granted; below 0 it takes."""
    return draft.amount * effect(draft.source, draft.target)[0]


def extended(books: Books, drafts: Iterable[Draft], *, now: int) -> tuple[Books, list[Entry]]:
    """Append entries to one account's chain.

    Args:
        books: the account's present state.
        drafts: what to post, in order; all of the same account.
        now: UTC microseconds; a clock that was set back never makes an entry older than the last.

    Returns:
        The new state and the entries with their numbers, times and digests.
    """
    entries = []
    posted_at = max(now, books.last_posted_at)
    for draft in drafts:
        seq = books.entry_count + 1
        digest = entry_digest(books.head_digest, seq, posted_at, draft)
        entries.append(Entry(seq, posted_at, draft, digest))
        books = moved(books, draft)._replace(
            entry_count=seq, head_digest=digest, last_posted_at=posted_at
        )
    return books, entries
