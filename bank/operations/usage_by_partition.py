"""Use by partition: what sacct says ran in a span, beside what was booked in it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from bank.errors import NotPermitted
from bank.ledger.references import BY_HAND
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, all_clusters
from bank.operations.job_costs import find_alive, find_overlapping
from bank.operations.reader import is_copy
from bank.operations.spans import end_of
from bank.policy.spans import Span
from bank.policy.usage import Sum, summed
from bank.policy.usage_by_partition import RunInPartition, rest_of, summed_by_partition
from bank.store import spans
from bank.store.accounts import Account
from bank.store.connect import reading

_MICROSECONDS = 1_000_000


def by_partition(bank: Bank, account: Account | None, span: Span) -> tuple[list[Sum], list[Sum]]:
    """Return what ran in each partition, and what leads from there to what was booked.

    Who may not see all jobs in Slurm (PrivateData) is told of fewer, and finds more in the rest.

    Args:
        bank: settings, clock and Slurm.
        account: with all below it, None for all.
        span: of both.

    Returns:
        The sums by partition, and those of the rest by cause: all of them are what was booked.

    Raises:
        NotPermitted: these are not the books, but one user's copy.
        SlurmError: Slurm did not answer or was not understood.
        SettingsError: a cluster cannot be metered.
    """
    if is_copy(bank):
        raise NotPermitted(
            "--by partition is for who may read the books: a copy does not say which accounts all"
            " jobs belong to; ask --by user, account, month or cluster"
        )
    clusters = all_clusters(bank)
    with reading(bank.database) as reader:
        names = {one.name: spans.find_names(reader, account, one.name) for one in clusters}
        use = spans.use_in(reader, account, span)
        booked = summed(use, lambda one: BY_HAND if one.reference == BY_HAND else None)
    since = Fraction(span.start_at, _MICROSECONDS)
    until = Fraction(end_of(bank, span), _MICROSECONDS)
    runs = [run for one in clusters for run in _runs(bank, one, names[one.name], since, until)]
    total = Sum(None, sum(one.charged for one in booked), sum(one.refunded for one in booked))
    partitions = summed_by_partition(runs, since, until)
    by_hand = sum(one.charged for one in booked if one.key == BY_HAND)
    return partitions, rest_of(total, partitions, by_hand=by_hand)


def _runs(
    bank: Bank, cluster: Cluster, names: Sequence[str], since: Fraction, until: Fraction
) -> Iterator[RunInPartition]:
    """Yield what ran on a cluster in a span, as far as its price is known."""
    if not names:
        return
    costed = find_overlapping(
        bank, cluster, since_seconds=int(since), until_seconds=int(until) + 1, accounts=names
    )
    alive = find_alive(bank, cluster, costed)
    for one in costed:
        job = one.job
        runs_for_sacct_alone = job.ended_at is None and job.job_id not in alive
        if one.rate is not None and not runs_for_sacct_alone:
            yield RunInPartition(job.partition, one.began_at, job.ended_at, one.rate.per_second)
