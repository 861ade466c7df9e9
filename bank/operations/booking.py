"""Booking what was used until now: from meters, or from jobs, whichever charges a cluster."""

from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, all_clusters
from bank.operations.files import only_one
from bank.operations.metering import Result, read_meters
from bank.policy.charged_time import JOBS


def book_all_use(bank: Bank, *, dry_run: bool = False) -> None:
    """Book what was used until now on every cluster.

    Raises:
        BankError: as `enforce`; a cluster that cannot be read stops it.
    """
    with only_one(bank, wait_seconds=bank.settings.slurm_timeout_seconds):
        for cluster in all_clusters(bank):
            book_use(bank, cluster, dry_run=dry_run)


def book_use(bank: Bank, cluster: Cluster, *, dry_run: bool = False) -> Result:
    """Book what was used until now on a cluster.

    Raises:
        SlurmError: Slurm did not answer or was not understood.
        SettingsError: the cluster is charged by another source than the settings say.
        Busy: others kept booking at the same time.
    """
    if bank.settings.usage_source != JOBS:
        return read_meters(bank, cluster, dry_run=dry_run)
    # Loaded here, because a pass is waited for, and where meters charge it asks for no jobs.
    from bank.operations.job_upkeep import charge_and_read

    return charge_and_read(bank, cluster, dry_run=dry_run)
