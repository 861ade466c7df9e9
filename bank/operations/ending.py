"""Grants that have ended: until when running jobs keep what those may still use of it."""

from collections.abc import Iterable, Mapping, Sequence

from bank.errors import SlurmError
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.grant_dates import Turned, end_grant, turn, turn_with
from bank.policy import tree
from bank.store import above, accounts, grants
from bank.store.connect import Writer, reading
from bank.store.grants import ENDING

_MICROSECONDS = 1_000_000


def ask_first_starts(bank: Bank, clusters: Iterable[Cluster]) -> dict[str, int] | None:
    """Ask when jobs began, where a grant is ending; before the meters are read.

    The controller knows a job for MinJobAge after its end, which by default is as long as it takes
    its RawUsage to count all of it. So what a job used is booked before a grant ends for it.

    Returns:
        By account, when the first of the jobs began that the controller knows in it and all below
        it; UTC microseconds. None where no grant is ending, or where Slurm does not say, which is
        warned of.

    Source:
        slurm.conf(5), MinJobAge and PriorityCalcPeriod: 300 seconds each.
    """
    with reading(bank.database) as reader:
        if not grants.find_ending(reader):
            return None
        parents = above.find_all_parents(reader)
    # Loaded here, because hardly any pass asks for jobs, and each of them would wait for it.
    from bank.operations.queues import read_jobs
    from bank.policy.queue import PENDING

    first: dict[str, int] = {}
    try:
        for cluster in clusters:
            for job in read_jobs(bank, cluster):
                # One that waits has no start, or one that is expected.
                if job.state != PENDING and job.starts_at is not None:
                    began_at = job.starts_at * _MICROSECONDS
                    mine = parents.get(cluster.name, {})
                    for name in (job.account, *tree.ancestors(mine, job.account)):
                        first[name] = min(first.get(name, began_at), began_at)
    except SlurmError as error:
        bank.warn(f"what grants that have ended keep for running jobs stays: {error}")
        return None
    return first


def end_unkept(
    bank: Bank, first_starts: Mapping[str, int], *, at: int, dry_run: bool = False
) -> Turned:
    """End for good the grants for which no job is left that began before they ended.

    A meter does not say whose job it counts, so what is kept is compared with what all running jobs
    may still use; without this those that began later would keep it as long as there are any.

    Args:
        bank: see `Bank`.
        first_starts: see `ask_first_starts`.
        at: UTC microseconds: when the meters were read last.
        dry_run: do it and take it back; what was read and not booked expires with the rest.
    """
    with reading(bank.database) as reader:
        over = {
            grant.grant_id: grant.account
            for grant in grants.find_ending(reader)
            if grant.end_at is not None
            and first_starts.get(grant.account, grant.end_at) >= grant.end_at
        }

    def act(writer: Writer, some: Sequence[str]) -> list[str]:
        said = turn(bank, writer, some, at=at)
        for number in (number for number, name in over.items() if name in some):
            grant = grants.find(writer, number)
            # Somebody may have closed the account since.
            if grant.state == ENDING:
                said += end_grant(bank, writer, grant, is_kept=False)
        accounts.show(writer, bank.database, some)
        return said

    return turn_with(bank, list(dict.fromkeys(over.values())), act, dry_run=dry_run)
