"""What is measured, in Prometheus' form: what the service counts, and where accounts stand."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bank.api.answers import looked, refusals
from bank.http.callers import Asking, Caller
from bank.http.door import Door, door_of
from bank.ledger.amounts import BILLING_SECONDS_PER_SU
from bank.operations.bank import Bank
from bank.operations.looking import balance
from bank.operations.shown_liens import count_liens

_AMOUNTS = {
    "limit": "What an account was granted for the period; absent where it has no limit",
    "used": "What it and those below it have used of that",
    "set_aside": "What is set aside for its jobs and those below it",
    "available": "What may still be set aside; absent where it has no limit",
}

router = APIRouter(tags=["watching"])


class _Found(Collector):
    """Measures that were read for one answer."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._found


@router.get("/metrics", response_class=PlainTextResponse, responses=refusals())
async def metrics(request: Request, caller: Asking) -> Response:
    """Return all that is measured, of the accounts that the caller may see."""
    caller.require("read")
    door = door_of(request)
    text = await looked(request, caller, _text, door, caller)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _text(bank: Bank, door: Door, caller: Caller) -> bytes:
    accounts = [one for one in balance(bank, None) if caller.sees(one["account"])]
    own = CollectorRegistry()
    own.register(_Found([*_of_accounts(accounts), *_of_service(bank, door)]))
    return generate_latest(door.counts.registry) + generate_latest(own)


def _of_accounts(accounts: list[dict[str, Any]]) -> Iterable[Metric]:
    for what, said in _AMOUNTS.items():
        found = GaugeMetricFamily(f"bank_account_{what}_su", said, labels=["account"])
        for one in accounts:
            amount = one[f"{what}_billing_seconds"]
            if amount is not None:
                # Prometheus knows floats only; nothing is ever read back from here.
                found.add_metric([one["account"]], amount / BILLING_SECONDS_PER_SU)
        yield found
    held = GaugeMetricFamily("bank_account_held", "1 where an account is held", labels=["account"])
    for one in accounts:
        held.add_metric([one["account"]], int(one["is_held"]))
    yield held


def _of_service(bank: Bank, door: Door) -> Iterable[Metric]:
    liens = GaugeMetricFamily("bank_liens", "Liens, by state", labels=["state"])
    for state, count in count_liens(bank).items():
        liens.add_metric([state], count)
    yield liens
    yield GaugeMetricFamily(
        "bank_writes_waiting", "Writes that wait to be committed", value=door.commits.waiting
    )
