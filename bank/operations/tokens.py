"""Tokens: made, listed, revoked, and known again when they are shown.

A token is 256 bits from the system's random source. Nobody guesses one, so a plain SHA-256 of it is
enough to keep: salt and slow hashes protect passwords, which people choose. It is found by its
digest, so how long that takes says nothing of how near a wrong one came.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

from bank.errors import InputError, NotKnown, Refusal
from bank.ledger.names import account_name
from bank.operations.bank import Bank, utc_text
from bank.operations.days import moment
from bank.operations.files import log
from bank.store import tokens
from bank.store.connect import Kept, reading, writing
from bank.store.tokens import Token

# `read` looks; `jobs` also sets SUs aside, and reports jobs.
SCOPES = ("read", "jobs")
_PREFIX = "bank_"
_RANDOM_BYTES = 32
_DEFAULT_DAYS = 365
_MICROSECONDS_PER_DAY = 86_400 * 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,63}")
# Longer than any that was ever made; a digest of a megabyte takes its time.
_LONGEST = 200
_BUSY_SECONDS = 1


def create(
    bank: Bank, name: str, scope: str, accounts: Sequence[str] = (), until: str | None = None
) -> dict[str, Any]:
    """Make a token; what it returns under "token" can be had this once only.

    Args:
        bank: see `Bank`.
        name: what people call it.
        scope: one of `SCOPES`.
        accounts: those that it is for; none are all.
        until: the first day, or the time, on which it is good no more; None is in a year.

    Raises:
        InputError: a value that cannot be used.
        Refusal: the name is taken, also by one that was revoked.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"{name[:80]!r} is not the name of a token: up to 64 lower-case letters, digits and"
            " _ . @ - are allowed, not first _ . @ -"
        )
    if scope not in SCOPES:
        raise InputError(f"{scope[:40]!r} is not a scope: {' or '.join(SCOPES)}")
    now = bank.clock()
    expires_at = now + _DEFAULT_DAYS * _MICROSECONDS_PER_DAY
    if until is not None:
        expires_at = moment(until, "--until")
    if expires_at <= now:
        raise InputError(f"--until {until!r} is over: a token ends in time to come")
    names = tuple(dict.fromkeys(account_name(one) for one in accounts))
    token = Token(name, scope, names, bank.actor, now, expires_at, None)
    secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    with writing(bank.database) as writer:
        if tokens.find_by_name(writer, name) is not None:
            raise Refusal(
                "token_exists", f"there is, or was, a token {name}: a new one needs another name"
            )
        tokens.write(writer, token, _digest(secret))
    log(bank, "token create", token=name, scope=scope, accounts=names, until=utc_text(expires_at))
    return {**_told(token, now), "token": secret}


def listing(bank: Bank) -> list[dict[str, Any]]:
    """Return every token that ever was, without what is shown for it."""
    now = bank.clock()
    with reading(bank.database) as reader:
        return [_told(token, now) for token in tokens.find_all(reader)]


def revoke(bank: Bank, name: str) -> dict[str, Any]:
    """Let a token be good no more, from now on; of one that is revoked already nothing changes.

    Raises:
        Refusal: there never was one of this name.
    """
    now = bank.clock()
    with writing(bank.database) as writer:
        token = tokens.find_by_name(writer, name)
        if token is None:
            raise Refusal("no_such_token", f"there is no token {name!r}: 'token list' shows them")
        is_new = token.revoked_at is None
        if is_new:
            token = token._replace(revoked_at=now)
            tokens.revoke(writer, name, now=now)
    if is_new:
        log(bank, "token revoke", token=name)
    return _told(token, now)


def _told(token: Token, now: int) -> dict[str, Any]:
    return {
        "name": token.name,
        "scope": token.scope,
        "accounts": list(token.accounts),
        "state": _state(token, now),
        "created_by": token.created_by,
        "created_at": utc_text(token.created_at),
        "expires_at": utc_text(token.expires_at),
        "revoked_at": None if token.revoked_at is None else utc_text(token.revoked_at),
    }


def _state(token: Token, now: int) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= now else "good"


class Known:
    """Knows tokens again, for one thread of a program that stays up.

    It asks the database each time, which takes some ten microseconds: a token that was revoked is
    good no more at once.
    """

    def __init__(self, bank: Bank) -> None:
        """Take the bank; nothing is opened yet."""
        self._bank = bank
        self._kept = Kept(bank.database, busy_seconds=_BUSY_SECONDS)

    def token(self, shown: str) -> Token:
        """Return the token that is shown.

        Raises:
            NotKnown: it is none, or was revoked, or has expired.
        """
        token = None
        if len(shown) <= _LONGEST:
            with self._kept.reading() as reader:
                token = tokens.find_by_digest(reader, _digest(shown))
        # What is wrong with it is for whoever made it: 'token list' says it.
        if token is None or _state(token, self._bank.clock()) != "good":
            raise NotKnown("this token is not good, or not any more")
        return token

    def close(self) -> None:
        """Close the database."""
        self._kept.close()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
