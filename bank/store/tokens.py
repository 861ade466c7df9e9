"""Tokens: who may ask over the network. What is shown is known by its digest only."""

from typing import Any, NamedTuple

from bank.store.connect import Reader, Writer


class Token(NamedTuple):
    """What one token allows.

    Attributes:
        name: what people call it.
        scope: what may be asked with it.
        accounts: those that it is for; none are all.
        created_by: login of whoever made it.
        created_at, expires_at: UTC microseconds.
        revoked_at: likewise, None where it was not.
    """

    name: str
    scope: str
    accounts: tuple[str, ...]
    created_by: str
    created_at: int
    expires_at: int
    revoked_at: int | None


_COLUMNS = "name, scope, accounts, created_by, created_at, expires_at, revoked_at"


def _token(row: tuple[Any, ...]) -> Token:
    name, scope, accounts, *rest = row
    return Token(name, scope, tuple(accounts.split()), *rest)


def find_by_digest(reader: Reader, digest: str) -> Token | None:
    """Return the token with this digest, None where there never was one."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM token WHERE token_digest = :digest", digest=digest)
    return _token(rows[0]) if rows else None


def find_by_name(reader: Reader, name: str) -> Token | None:
    """Return the token of this name, None where there never was one."""
    rows = reader.query(f"SELECT {_COLUMNS} FROM token WHERE name = :name", name=name)
    return _token(rows[0]) if rows else None


def find_all(reader: Reader) -> list[Token]:
    """Return every token that ever was, in the order of their names."""
    return [_token(row) for row in reader.query(f"SELECT {_COLUMNS} FROM token ORDER BY name")]


def write(writer: Writer, token: Token, digest: str) -> None:
    """Write down a new token."""
    writer.insert(
        f"INSERT INTO token (token_digest, {_COLUMNS}) VALUES (:digest, :name, :scope, :accounts,"
        " :created_by, :created_at, :expires_at, :revoked_at)",
        **{**token._asdict(), "accounts": " ".join(token.accounts), "digest": digest},
    )


def revoke(writer: Writer, name: str, *, now: int) -> None:
    """Write down that a token is good no more."""
    writer.execute(
        "UPDATE token SET revoked_at = :now WHERE name = :name", [{"name": name, "now": now}]
    )
