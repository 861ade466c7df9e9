"""What every route is given: the bank, how to write, who is let in, what is counted."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from anyio import CapacityLimiter
from starlette.requests import HTTPConnection

from bank.http.counts import Counts
from bank.operations.bank import Bank
from bank.operations.batches import BatchAct
from bank.operations.hook_submits import Submissions
from bank.operations.shape_cache import ShapeCache
from bank.operations.tokens import Known


class Commits(Protocol):
    """The one way to write, whoever asks; see `bank.service.committing`."""

    @property
    def waiting(self) -> int:
        """How many writes wait, or are being committed."""

    @property
    def is_alive(self) -> bool:
        """Whether there is a thread that commits them."""

    async def do(self, act: BatchAct, item: Any, actor: str) -> Any:  # noqa: ANN401
        """Let an act do one item, together with what else waits.

        Returns:
            What the act gave for it, once that is on the disk.

        Raises:
            BankError: what the act refused it with.
            Busy: too many wait; nothing was done.
        """


class Door(NamedTuple):
    """What all routes share; `door_of` finds it.

    Attributes:
        bank: its actor is the service's own login.
        commits: the committing thread.
        known: knows tokens again; for the thread of the event loop only.
        counts: see `Counts`.
        trusted: names, by number, of the users who may do everything: root, who runs the bank, and
            SlurmUser, once the controller has said who that is.
        readiness: by name, what else must be so before the service is ready: returns what is wrong,
            "" for nothing. A part that looks at Slurm adds how old its look may be.
        ordinary: how much ordinary users of this machine may ask at the same time; who waits here
            keeps nobody else waiting.
        shape: what the cluster has, kept up to date beside the answering.
        submissions: answers the controller, which does not wait.
    """

    bank: Bank
    commits: Commits
    known: Known
    counts: Counts
    trusted: dict[int, str]
    readiness: dict[str, Callable[[], str]]
    ordinary: CapacityLimiter
    shape: ShapeCache
    submissions: Submissions


def door_of(connection: HTTPConnection) -> Door:
    """Return what the route of a request is given."""
    door = connection.scope["state"]["door"]
    assert isinstance(door, Door)
    return door
