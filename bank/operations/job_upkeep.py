"""Keeping up with jobs where they charge: what ended is charged, liens follow, held jobs go on.

Every pass does it, and the service in between. What a hook has said is done here too: it only says
that there is something to be seen.
"""

from collections.abc import Callable
from typing import TypeVar

from bank.errors import BankError
from bank.operations import lien_look, reconciliation
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, find_clusters
from bank.operations.files import only_one
from bank.operations.held_jobs import release_held_jobs
from bank.operations.metering import Result
from bank.policy.charged_time import JOBS
from bank.store import liens, meters, usage_sources
from bank.store.connect import reading

_MICROSECONDS = 1_000_000
# However long nothing has ended that the bank knows of, somebody else's job may have.
_AT_LEAST_EVERY_SECONDS = 300

Charged = TypeVar("Charged")


def charge_and_read(bank: Bank, cluster: Cluster, *, dry_run: bool) -> Result:
    """Charge what has run on a cluster, read its meters, and keep its liens, as each pass does.

    Raises:
        SlurmError: Slurm did not answer or was not understood.
        SettingsError: the cluster is charged by meters.
        Busy: others kept booking at the same time.
    """
    if dry_run:
        return reconciliation.look(bank, cluster, dry_run=True)[0]

    def charge() -> Result:
        return reconciliation.look(bank, cluster)[0]

    result, notes = _kept(bank, cluster, charge)
    return result._replace(notes=[*result.notes, *notes])


def keep_up(bank: Bank) -> list[str]:
    """Charge what has ended on every cluster, and keep its liens; meters are left to the passes.

    Returns:
        Sentences for a person.

    Raises:
        BankError: what the first cluster that failed could not do; the others are done.
        Busy: a pass is running, and does the same.
    """
    notes: list[str] = []
    with only_one(bank, wait_seconds=0):
        found = find_clusters(bank)
        errors = [one.error for one in found.failures]
        with reading(bank.database) as reader:
            sources = meters.find_sources(reader)
        for cluster in found.reached:
            if sources.get(cluster.name) != JOBS:
                continue
            try:
                notes += _kept_up(bank, cluster)
            except BankError as error:
                errors.append(error)
    for other in errors[1:]:
        bank.warn(str(other))
    if errors:
        raise errors[0]
    return notes


def _kept_up(bank: Bank, cluster: Cluster) -> list[str]:
    def charge() -> None:
        _charge(bank, cluster)

    return _kept(bank, cluster, charge)[1]


def _charge(bank: Bank, cluster: Cluster) -> None:
    """Charge what has ended, where something has, or might have unseen."""
    with reading(bank.database) as reader:
        is_gone = any(lien.gone_at for lien in liens.find_open(reader, cluster.name))
        until = usage_sources.find_reconciled_until(reader, cluster.name)
    # Below 0 the clock was set back.
    if is_gone or not 0 <= bank.clock() // _MICROSECONDS - until <= _AT_LEAST_EVERY_SECONDS:
        for note in reconciliation.reconcile(bank, cluster).notes:
            bank.warn(note)


def _kept(bank: Bank, cluster: Cluster, charge: Callable[[], Charged]) -> tuple[Charged, list[str]]:
    """Look at the queue, charge, and bring liens and held jobs up to date with both.

    The queue comes first: of what is not in it any more, all is charged then.
    """
    seen = lien_look.look(bank, cluster)
    lien_look.keep_liens(bank, seen)
    charged = charge()
    with reading(bank.database) as reader:
        until = usage_sources.find_reconciled_until(reader, cluster.name)
    lien_look.end_gone(bank, cluster.name, reconciled_until=until)
    return charged, release_held_jobs(bank, cluster, seen)
