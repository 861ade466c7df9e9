"""What is counted while the service runs, for those who watch it."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# Seconds. A hook waits 50 ms at most, so below that is where it matters.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Counts(NamedTuple):
    """The counters of one service.

    Attributes:
        registry: where they, and others that belong to one part, are found.
        requests: answered, by route and status.
        seconds: from the request's head to its answer, by route.
        refusals: by code of the error.
        hook_decisions: by hook and answer.
        batches: how many writes were committed together.
        commit_seconds: one transaction, from the wait for the lock to what is on the disk.
    """

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    refusals: Counter
    hook_decisions: Counter
    batches: Histogram
    commit_seconds: Histogram


def make_counts() -> Counts:
    """Return counters that all stand at 0."""
    # When each was counted first would double what is asked for each time.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    return Counts(
        registry,
        Counter(
            "bank_requests", "Requests answered", ["method", "route", "status"], registry=registry
        ),
        Histogram(
            "bank_request_seconds",
            "From the head of a request to its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        ),
        Counter("bank_refusals", "Requests refused, by code", ["code"], registry=registry),
        Counter(
            "bank_hook_decisions",
            "Answers to the controller's hooks",
            ["hook", "answer"],
            registry=registry,
        ),
        Histogram(
            "bank_batch_writes",
            "Writes that were committed together",
            buckets=_ITEMS,
            registry=registry,
        ),
        Histogram(
            "bank_commit_seconds",
            "One transaction, from the wait for the lock until it is on the disk",
            buckets=_SECONDS,
            registry=registry,
        ),
    )
