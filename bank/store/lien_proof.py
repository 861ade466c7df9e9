"""Proof that what is set aside is the sum of the liens that are open."""

from collections.abc import Iterator

from bank.policy.liens import OPEN, amount_kept
from bank.store import liens, meters
from bank.store.connect import Reader


def lien_problems(reader: Reader) -> Iterator[str]:
    """Yield where liens do not agree with themselves, or accounts do not show their sums."""
    for row in reader.stream(
        "SELECT lien_id, state, amount, cost_of_one, tasks, tasks_at_once, tasks_ended, ended_at"
        " FROM lien ORDER BY lien_id"
    ):
        number, state, amount, cost, tasks, at_once, ended, ended_at = row
        is_open = state in OPEN
        kept = amount_kept(cost, tasks=tasks, at_once=at_once, ended=ended) if is_open else 0
        if amount != kept:
            yield f"lien {number} is {state} and keeps {amount}: it ought to keep {kept}"
        if is_open != (ended_at is None):
            yield f"lien {number} is {state}, and its end says something else"
    for cluster, source in meters.find_sources(reader).items():
        if source != "jobs":
            continue
        sums = liens.sums_by_account(reader, cluster)
        for account_id, name, shown in reader.query(
            "SELECT account_id, name, running FROM place JOIN account USING (account_id)"
            " WHERE cluster = :cluster ORDER BY name",
            cluster=cluster,
        ):
            if shown != sums.get(account_id, 0):
                yield (
                    f"account {name}: {shown} is set aside on {cluster}, its liens keep"
                    f" {sums.get(account_id, 0)}"
                )
