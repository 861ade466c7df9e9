"""Entries: what the ledger is made of, and the digests that chain them.

An entry moves an amount from one book of an account to another and is never changed; a mistake is
mended by a further entry. Each account has a chain of its own, so writers to different accounts
never wait for each other.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

# The books of an account. The treasury is the site: SUs come from it and go back to it. Through
# clearing they go from one account to another: what one gives, another takes.
TREASURY, AVAILABLE, USED, CLEARING = "treasury", "available", "used", "clearing"

# What each kind of entry may move, as (source, target).
KINDS = {
    "deposit": {(TREASURY, AVAILABLE)},
    "withdrawal": {(AVAILABLE, TREASURY)},
    "transfer": {(AVAILABLE, CLEARING), (CLEARING, AVAILABLE)},
    "charge": {(AVAILABLE, USED)},
    "refund": {(USED, AVAILABLE)},
    # Use that the meter lost and sacct still knows; use corrected by hand, either way; or a limit
    # set to what a dump says.
    "adjustment": {
        (AVAILABLE, USED),
        (USED, AVAILABLE),
        (TREASURY, AVAILABLE),
        (AVAILABLE, TREASURY),
    },
    # The end of a period: use is settled with the treasury. An account pays for what its children
    # used from what it has available, because that use stands in the children's books.
    "closing": {(USED, TREASURY), (AVAILABLE, TREASURY)},
    # What a grant that ended had left goes back, or is written off where it was overdrawn.
    "expiry": {(AVAILABLE, TREASURY), (TREASURY, AVAILABLE)},
}

FIRST_DIGEST = ""


class Draft(NamedTuple):
    """An entry that has not been posted yet.

    Attributes:
        account: name of the account whose books move.
        kind: one of `KINDS`.
        source, target: books.
        amount: billing-seconds, greater than 0.
        actor: login of whoever caused it.
        reason: free text, may be empty.
        grant_id: the grant that pays or is paid; None where it is of no single one.
        cluster: where the use was, or None.
        user: whose use it was, or None.
        reference: what it rests on, as `bank.ledger.references` says it, or None.
        idempotency_key: the key that the caller gave the whole command, or None.
        leg: number of this entry among those of one key, from 0; given when it is posted.
    """

    account: str
    kind: str
    source: str
    target: str
    amount: int
    actor: str
    reason: str = ""
    grant_id: int | None = None
    cluster: str | None = None
    user: str | None = None
    reference: str | None = None
    idempotency_key: str | None = None
    leg: int = 0


class Entry(NamedTuple):
    """One immutable line of the ledger.

    Attributes:
        seq: its number within the account, from 1.
        posted_at: UTC microseconds, never before the account's last entry.
        digest: SHA-256 over the digest of the entry before it and all of its own fields.
    """

    seq: int
    posted_at: int
    draft: Draft
    digest: str


@cache
def digester() -> Callable[[list[object]], str]:
    """Return the function that makes a row's digest of [the digest before it, field, ...].

    For who needs a million of them: the encoder is prepared once.
    """
    # Loaded here, because who only looks at a balance need not wait for it.
    from hashlib import sha256  # noqa: PLC0415
    from json import encoder  # noqa: PLC0415

    # JSONEncoder.encode makes this anew for each row, which takes longer than the row.
    parts = encoder.c_make_encoder(  # type: ignore[attr-defined]
        markers=None,
        default=None,
        encoder=encoder.encode_basestring_ascii,
        indent=None,
        key_separator=":",
        item_separator=",",
        sort_keys=False,
        skipkeys=False,
        allow_nan=False,
    )

    def digest(content: list[object]) -> str:
        return sha256("".join(parts(content, 0)).encode()).hexdigest()

    return digest


def chained_digest(previous: str, *fields: object) -> str:
    """Return the digest of a row that follows the row with the digest `previous`."""
    return digester()([previous, *fields])


def entry_digest(previous: str, seq: int, posted_at: int, draft: Draft) -> str:
    """Return the digest of an entry."""
    return chained_digest(previous, seq, posted_at, *draft)
