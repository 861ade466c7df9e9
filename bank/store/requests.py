"""Commands that were given a key: a repeat is answered, not done again."""

import json
from typing import Any

from bank.errors import Refusal
from bank.store.connect import Reader, Writer


def find_answer(reader: Reader, key: str, content: list[Any]) -> dict[str, Any] | None:
    """Return the answer that a command with this key got, None if there was none.

    Raises:
        Refusal: the key was used for another command.
    """
    rows = reader.query("SELECT content, answer FROM request WHERE idempotency_key = :key", key=key)
    if not rows:
        return None
    before, answer = json.loads(rows[0][0]), json.loads(rows[0][1])
    if before != content:
        raise Refusal(
            "idempotency_key_reused",
            f"key {key!r} was used for {' '.join(map(str, before))}: a new command needs a new key",
        )
    found: dict[str, Any] = answer
    return found


def write_answer(
    writer: Writer, key: str, content: list[Any], answer: dict[str, Any], *, now: int
) -> None:
    """Keep a command's answer, in the transaction that did what it asked."""
    writer.insert(
        "INSERT INTO request (idempotency_key, content, answer, answered_at)"
        " VALUES (:key, :content, :answer, :now)",
        key=key,
        content=json.dumps(content),
        answer=json.dumps(answer),
        now=now,
    )
