"""Keys: a command that was done under a key is answered as it was then, and not done again."""

from typing import Any, NamedTuple

from bank.operations.bank import Bank
from bank.store import requests
from bank.store.connect import Reader, Writer, reading


class Request(NamedTuple):
    """A command as far as its key is concerned.

    Attributes:
        key: None where the caller gave none: then it is a new one each time.
        content: what the key stands for.
    """

    key: str | None
    content: list[Any]


def find_earlier(bank: Bank, request: Request) -> dict[str, Any] | None:
    """Return what a request was answered, before anything is begun; None where it is new.

    Raises:
        Refusal: the key was used for another command.
    """
    if request.key is None:
        return None
    with reading(bank.database) as reader:
        return find_answer(reader, request)


def find_answer(reader: Reader, request: Request) -> dict[str, Any] | None:
    """Return the same in the transaction that would do it: another process may have been quicker.

    Raises:
        Refusal: the key was used for another command.
    """
    if request.key is None:
        return None
    answer = requests.find_answer(reader, request.key, request.content)
    return None if answer is None else {**answer, "is_repeat": True}


def keep_answer(bank: Bank, writer: Writer, request: Request, answer: dict[str, Any]) -> None:
    """Keep what a request is answered, in the transaction that did what it asks."""
    if request.key is not None:
        requests.write_answer(writer, request.key, request.content, answer, now=bank.clock())
