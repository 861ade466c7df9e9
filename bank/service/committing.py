"""The one thread that writes, and the queue before it.

Several writers would wait for SQLite's lock in its sleeping loop, which is unfair, and each would
wait for the disk by itself. One takes all that waits, and commits it together.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from threading import Condition, Thread
from time import perf_counter
from typing import Any, NamedTuple

from bank.errors import Busy
from bank.http.counts import Counts
from bank.operations.bank import Bank
from bank.operations.batches import Ask, BatchAct, Batches

# What one transaction takes keeps the others waiting, and a command at the terminal, too.
MOST_TOGETHER = 500
# Some seconds' work: who comes later is told to come back and does not wait for nothing.
MOST_WAITING = 5000


class _Waiting(NamedTuple):
    ask: Ask
    answered: "asyncio.Future[Any]"


class Committing:
    """Commits writes that are asked for in an event loop, in a thread of its own."""

    def __init__(self, bank: Bank, counts: Counts, *, most_waiting: int = MOST_WAITING) -> None:
        """Take the bank; its actor is the service, and who asks stands in each item."""
        self._bank = bank
        self._counts = counts
        self._most_waiting = most_waiting
        self._queue: deque[_Waiting] = deque()
        # Guards the queue and `_is_open`.
        self._changed = Condition()
        self._is_open = False
        self._waiting = 0
        self._thread = Thread(target=self._run, name="committing")

    @property
    def waiting(self) -> int:
        """How many writes wait, or are being committed."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, in the event loop that will ask."""
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._thread.start()

    async def stop(self) -> None:
        """Take nothing more, commit and answer all that was taken, and end."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        # What the thread has answered is told in the next round of the loop.
        await asyncio.sleep(0)

    async def do(self, act: BatchAct, item: Any, actor: str) -> Any:  # noqa: ANN401
        """Let an act do one item, together with what else waits; see `Commits`."""
        if self._waiting >= self._most_waiting:
            raise Busy(f"{self._most_waiting} writes wait already: try again in a second")
        answered: asyncio.Future[Any] = self._loop.create_future()
        with self._changed:
            if not self._is_open:
                raise Busy("the service is stopping: try again in some seconds")
            self._queue.append(_Waiting(Ask(act, item, actor), answered))
            self._changed.notify()
        self._waiting += 1
        try:
            return await answered
        finally:
            self._waiting -= 1

    def _run(self) -> None:
        batches = Batches(self._bank)
        try:
            while waiting := self._taken():
                began = perf_counter()
                answers = batches.commit([one.ask for one in waiting])
                self._counts.batches.observe(len(waiting))
                self._counts.commit_seconds.observe(perf_counter() - began)
                self._loop.call_soon_threadsafe(_tell, waiting, answers)
        finally:
            batches.close()

    def _taken(self) -> list[_Waiting]:
        """Wait for something to do, and take it; nothing when it is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or not self._is_open)
            most = min(len(self._queue), MOST_TOGETHER)
            return [self._queue.popleft() for _ in range(most)]


def _tell(waiting: Sequence[_Waiting], answers: Sequence[Any]) -> None:
    for one, answer in zip(waiting, answers, strict=True):
        # Whoever asked may have gone.
        if one.answered.done():
            continue
        if isinstance(answer, BaseException):
            one.answered.set_exception(answer)
        else:
            one.answered.set_result(answer)
