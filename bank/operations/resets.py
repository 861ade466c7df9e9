"""Resets of RawUsage: a reading before, the reset, a reading after, so that nothing is lost."""

import time

from bank.errors import NotConfirmed
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.metering import Result, both, read_meters
from bank.slurm import assoc_mgr, sacctmgr
from bank.slurm.command import run
from bank.store import limits, meters
from bank.store.connect import reading, writing

_PAUSE_SECONDS = 0.05


def finish_resets(bank: Bank, cluster: Cluster, result: Result) -> Result:
    """Do the resets that are on record as wanted; all meters have just been read.

    A reset that was done twice, because we were killed after the first, changes nothing: what ran
    between two readings is booked whatever the counter did.

    Raises:
        NotConfirmed: the controller does not show the reset; the next pass does it again.
        SlurmError: Slurm did not answer; likewise.
    """
    with reading(bank.database) as reader:
        names = limits.find_resets(reader, cluster.name)
    if not names:
        return result
    with writing(bank.database) as writer:
        # Also where this reading had nothing to book: what it saw is where the next one goes on.
        meters.write_cluster(writer, cluster.name, result.state)
    for name in names:
        if name in result.slurm.accounts:
            _reset(bank, cluster, name, result.slurm.accounts[name].raw)
    again = read_meters(bank, cluster)
    with writing(bank.database) as writer:
        for name in names:
            limits.forget_reset(writer, cluster.name, name)
    return both(result, again)


def _reset(bank: Bank, cluster: Cluster, name: str, raw: int) -> None:
    if raw == 0:
        return
    run(bank.slurm, sacctmgr.reset_usage_arguments(cluster.name, name))
    deadline = time.monotonic() + bank.settings.confirm_seconds
    while True:
        output = run(bank.slurm, assoc_mgr.arguments(cluster.on, [name]))
        row = assoc_mgr.read(output, cluster.name).accounts.get(name)
        if row is None or row.raw < raw:
            return
        if time.monotonic() > deadline:
            raise NotConfirmed(
                f"the controller does not show that RawUsage of {name} is reset:"
                " the next pass does it again"
            )
        time.sleep(_PAUSE_SECONDS)
