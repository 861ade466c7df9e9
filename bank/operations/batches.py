"""Writes that wait together are committed together, each as if it had been alone.

One commit waits for the disk once, whatever is in it: that is what lets one process answer
thousands of writes a second, each of them durable before it is answered.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bank.errors import Busy
from bank.operations.bank import Bank
from bank.operations.files import log_lines
from bank.store.connect import Kept, Writer

# Does what all items ask, in their order, and returns one answer for each: what it gave, or the
# error by which it was refused; for such a one it has written nothing.
BatchAct = Callable[[Bank, Writer, Sequence[Any]], Sequence[Any]]

# People and hooks do not wait as long as a command does.
_BUSY_SECONDS = 5


class Ask(NamedTuple):
    """One write that is asked for.

    Attributes:
        act: what does it.
        item: what it is to do.
        actor: who asks, for the log.
    """

    act: BatchAct
    item: Any
    actor: str


class Batches:
    """Commits batches, in the one thread that calls it."""

    def __init__(self, bank: Bank) -> None:
        """Take the bank; its actor is the service, and who asks stands in each item."""
        self._bank = bank
        self._kept = Kept(bank.database, busy_seconds=_BUSY_SECONDS)

    def close(self) -> None:
        """Close the database."""
        self._kept.close()

    def commit(self, asked: Sequence[Ask]) -> list[Any]:
        """Do what is asked, and return one answer for each, or the exception that stopped it.

        When this returns, what was not refused is on the disk. What cannot be done with others is
        tried alone, so that one cannot spoil the rest.
        """
        try:
            answers = self._together(asked)
        except Busy as error:
            # Nobody else would get the lock either.
            return [error] * len(asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, only who caused it is told
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self.commit([one])]
        log_lines(
            self._bank,
            [
                (_event(one), one.actor, one.item._asdict())
                for one, answer in zip(asked, answers, strict=True)
                if not (isinstance(answer, Exception) or getattr(answer, "is_repeat", False))
            ],
        )
        return answers

    def _together(self, asked: Sequence[Ask]) -> list[Any]:
        """Do all in one transaction, each act once with all that is for it."""
        answers: list[Any] = [None] * len(asked)
        with self._kept.writing() as writer:
            for act in dict.fromkeys(one.act for one in asked):
                places = [place for place, one in enumerate(asked) if one.act is act]
                done = act(self._bank, writer, [asked[place].item for place in places])
                for place, answer in zip(places, done, strict=True):
                    answers[place] = answer
        return answers


def _event(one: Ask) -> str:
    """Return what the log calls an act: the function's name, after its module's."""
    return f"{one.act.__module__.rpartition('.')[2]}.{one.act.__name__}"
