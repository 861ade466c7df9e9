"""Every run of a span of time that slurmdbd knows of, once it knows what the controller does."""

import time
from collections.abc import Iterator, Sequence

from bank.errors import SlurmError
from bank.ledger.names import is_plain
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.rates import in_sizes
from bank.slurm import sacct, sdiag
from bank.slurm.command import chunked, run
from bank.slurm.sacct import JobRow

_PAUSE_SECONDS = 0.2
# The controller tells slurmdbd of new jobs every five seconds; its own work takes a moment more.
_LATE_SECONDS = 7
_LONG_SECONDS = 31 * 86_400


def find_rows(
    bank: Bank, cluster: Cluster, names: Sequence[str] | None, since: int, until: int
) -> list[JobRow]:
    """Return every run, finished or not, that overlaps a span of time.

    Args:
        bank: settings and Slurm.
        cluster: where.
        names: the accounts in question, None for all.
        since: seconds since 1970.
        until: likewise.

    Raises:
        SlurmError: sacct did not answer or was not understood, or slurmdbd stays behind.
    """
    incomplete = _incomplete(bank, cluster, names, since, until)
    rows: list[JobRow] = []
    for chunk in _chunks(names):
        question = sacct.arguments(
            cluster.name, since_seconds=since, until_seconds=until, accounts=chunk
        )
        rows += sacct.read(run(bank.slurm, question))
    # Where slurmdbd has been told the rest since, that is what counts.
    told = list(_of(names, rows))
    known = {(row.job_id, row.started_at) for row in told}
    return told + [row for row in incomplete if (row.job_id, row.started_at) not in known]


def find_sized(
    bank: Bank, cluster: Cluster, names: Sequence[str] | None, since: int, until: int
) -> list[tuple[JobRow, int]]:
    """Return what `find_rows` does, each with the second since which it had its size.

    They are in the order of their ends. Of a job that was resized before the span its earlier sizes
    are there too.

    Raises:
        SlurmError: as `find_rows`.
    """
    found = find_rows(bank, cluster, names, since, until)
    rows = {row.db_index: row for row in found}
    first = min((row.started_at for row in rows.values()), default=since)
    if first < since:
        # Of a job that was resized before the span only the last size is shown.
        earlier = sacct.resized_arguments(
            cluster.name, since_seconds=first, until_seconds=since + 1
        )
        rows.update((row.db_index, row) for row in sacct.read(run(bank.slurm, earlier)))
    return list(in_sizes(_of(names, list(rows.values()))))


def _of(names: Sequence[str] | None, rows: Sequence[JobRow]) -> Iterator[JobRow]:
    wanted = None if names is None else set(names)
    return (row for row in rows if wanted is None or row.account in wanted)


def _chunks(names: Sequence[str] | None) -> Sequence[Sequence[str] | None]:
    """Split accounts into those of one question each; None is the question for all.

    A name that could be misread on a command line is not put on one; then all are asked for.
    """
    if names is None or not all(is_plain(name) for name in names):
        return [None]
    return chunked(sorted(set(names)))


def _incomplete(
    bank: Bank, cluster: Cluster, names: Sequence[str] | None, since: int, until: int
) -> list[JobRow]:
    """Wait until slurmdbd knows what the controller knows; return the runs it has only the end of.

    Those that stay so belong to a controller that was killed before it told of their start.

    Raises:
        SlurmError: it takes too long; nothing is booked, the next pass asks again.
    """
    questions = [
        sacct.complete_arguments(
            cluster.name, since_seconds=since, until_seconds=until, accounts=chunk
        )
        # Asked for by its account, sacct does not show such a run. Only of a very long time, as of
        # an account that is new to the bank, all that everybody ran is too much to go through.
        for chunk in _chunks(names if until - since > _LONG_SECONDS else None)
    ]
    began = time.monotonic()
    while True:
        waiting = sdiag.read_waiting(run(bank.slurm, sdiag.arguments(cluster.on)))
        rows = [row for one in questions for row in sacct.read(run(bank.slurm, one))]
        found = [row for row in _of(names, rows) if not row.partition]
        waited = time.monotonic() - began
        may_come = any((row.ended_at or until) > until - _LATE_SECONDS for row in found)
        if not waiting and (not may_come or waited > _LATE_SECONDS):
            return found
        if waited > bank.settings.slurm_timeout_seconds:
            raise SlurmError(
                f"slurmdbd is behind the controller of {cluster.name} ({waiting} messages wait):"
                " what ran cannot be told yet; the next pass asks again"
            )
        time.sleep(_PAUSE_SECONDS)
