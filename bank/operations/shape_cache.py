"""What the cluster has, kept so that jobs can be priced while the controller waits for the price.

The controller asks under its own locks, so it must not be asked anything then. What prices rest on
is asked for beforehand, every so often, and soon after something came up that is not known here.
"""

import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from bank.errors import BankError, Refusal, SlurmError
from bank.operations.bank import Bank
from bank.policy import quotes
from bank.policy.cluster_shape import Association
from bank.policy.cluster_shape import Cluster as ClusterShape
from bank.policy.job_request import Request
from bank.policy.quotes import Quote
from bank.slurm import assoc_mgr, associations, partitions, qos, scontrol, shapes
from bank.slurm.command import run

EVERY_SECONDS = 30
# No controller is asked more often than that, whatever comes up.
_AT_LEAST_SECONDS = 2
_MOST_PRICES = 10_000


class Shape(NamedTuple):
    """A cluster as it was when it was last asked.

    Attributes:
        cluster: all that decides prices but for associations.
        users: login of each user whom the controller knows, by number.
        associations: those of each user, by login.
        taken_at: when it was asked, in seconds of a clock that is never set.
        prices: what was worked out already.
    """

    cluster: ClusterShape
    users: Mapping[int, str]
    associations: Mapping[str, tuple[Association, ...]]
    taken_at: float
    prices: dict[object, Quote | Refusal]

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.cluster.controller.cluster

    def knows(self, user: str, account: str | None) -> bool:
        """Tell whether a user has an association in an account; None is the default one."""
        mine = self.associations.get(user, ())
        return any(account in (None, one.account) for one in mine)

    def quote(self, user: str, asked: Request) -> Quote:
        """Return what a job of a user costs at most.

        An account in which the user is not known yet is taken for one without any rules of its own:
        whether there is money for the job does not depend on that.

        Raises:
            Refusal: see `bank.policy.quotes.quote`.
        """
        mine = self.associations.get(user, ())
        if asked.account and all(one.account != asked.account.lower() for one in mine):
            mine = (*mine, Association(asked.account.lower(), "", "", (), None, is_default=False))
        key = (asked, mine)
        found = self.prices.get(key)
        if found is None:
            try:
                found = quotes.quote(asked, self.cluster._replace(associations=mine))
            except Refusal as error:
                found = error
            if len(self.prices) >= _MOST_PRICES:
                self.prices.clear()
            self.prices[key] = found
        if isinstance(found, Refusal):
            raise Refusal(found.code, str(found))
        return found


def take_shape(bank: Bank) -> Shape:
    """Ask Slurm for the shape of the local cluster.

    Raises:
        SlurmError: it did not answer or was not understood.
    """
    taken_at = time.monotonic()
    slurm = bank.slurm
    controller = shapes.read_controller(run(slurm, scontrol.config_arguments(None)))
    known = assoc_mgr.read_all(run(slurm, assoc_mgr.arguments(None)), controller.cluster)
    mine = associations.read_users(run(slurm, associations.users_arguments(controller.cluster)))
    cluster = ClusterShape(
        controller=controller,
        partitions=shapes.read_partitions(run(slurm, partitions.arguments(None))),
        nodes=shapes.read_nodes(run(slurm, shapes.nodes_arguments(None))),
        qos=qos.read(run(slurm, qos.arguments())),
        associations=(),
    )
    users = {row.uid: row.user for row in known.users if row.uid is not None}
    return Shape(cluster, users, mine, taken_at, {})


class ShapeCache:
    """The newest shape that could be taken, for all threads of a process."""

    def __init__(self, bank: Bank) -> None:
        """Nothing is known at first."""
        self._bank = bank
        self._shape: Shape | None = None
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._problem = "it has not been asked yet"

    @property
    def shape(self) -> Shape:
        """The newest shape; an old one is better than none.

        Raises:
            SlurmError: there is none yet.
        """
        if self._shape is None:
            raise SlurmError(f"what the cluster has is not known yet: {self._problem}")
        return self._shape

    def problem(self) -> str:
        """Say what keeps it from being new, "" for nothing."""
        if self._shape is None:
            return f"what the cluster has is not known: {self._problem}"
        age = int(time.monotonic() - self._shape.taken_at)
        return (
            f"what the cluster has was asked {age} s ago: {self._problem}" if self._problem else ""
        )

    def refresh(self) -> None:
        """Ask Slurm; where it does not answer the old shape stays."""
        self._wanted.clear()
        try:
            self._shape = take_shape(self._bank)
        except BankError as error:
            self._problem = str(error)
        else:
            self._problem = ""

    def refresh_soon(self) -> None:
        """Have Slurm asked soon, because something came up that is not known here."""
        self._wanted.set()

    def keep(self) -> None:
        """Ask Slurm every so often, until `stop`; for a thread of its own."""
        while not self._stopped.is_set():
            self.refresh()
            self._stopped.wait(_AT_LEAST_SECONDS)
            self._wanted.wait(EVERY_SECONDS - _AT_LEAST_SECONDS)

    def stop(self) -> None:
        """End `keep`."""
        self._stopped.set()
        self._wanted.set()
