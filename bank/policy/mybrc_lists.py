"""Lists as clients of myBRC ask for them: filters, pages, and how a job is shown."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from bank.errors import InputError, Refusal
from bank.policy.mybrc_fields import read_amount, shown_amount, shown_time
from bank.policy.mybrc_jobs import Job

ON_A_PAGE = 100
_MICROSECONDS = 1_000_000
_SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]{1,6})?")
# Pages are skipped by counting rows, and the number of those has 64 bits.
_PAGE = re.compile("[1-9][0-9]{0,11}")


class JobFilters(NamedTuple):
    """Which jobs are listed; None is any. Amounts are billing-seconds, times UTC microseconds.

    Attributes:
        accounts: those that may be seen; none are all.
        started_from, started_until: when they began; one that did not begin is of no time.
    """

    cluster: str
    accounts: tuple[str, ...] = ()
    user: str | None = None
    account: str | None = None
    status: str | None = None
    partition: str | None = None
    least: int | None = None
    most: int | None = None
    started_from: int | None = None
    started_until: int | None = None


class UserFilters(NamedTuple):
    """Which users are listed: those of a cluster, of some accounts, of some names; none are all."""

    cluster: str
    accounts: Sequence[str] = ()
    names: Sequence[str] = ()


def _text(value: str) -> str:
    if not value.isprintable():
        raise InputError("give a name")
    return value


def _time(value: str) -> int:
    if not _SECONDS.fullmatch(value):
        raise InputError("give seconds since 1970, such as 1800000000")
    return int(Decimal(value) * _MICROSECONDS)


_FILTERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "user": ("user", _text),
    "account": ("account", _text),
    "jobstatus": ("status", _text),
    "partition": ("partition", _text),
    "min_amount": ("least", read_amount),
    "max_amount": ("most", read_amount),
    "start_time": ("started_from", _time),
    "end_time": ("started_until", _time),
}


def read_filters(
    query: Mapping[str, str], cluster: str, accounts: Sequence[str]
) -> JobFilters | list[str]:
    """Read which jobs are asked for.

    Args:
        query: what stands in the address; what is no filter is passed over.
        cluster: where they ran.
        accounts: those that may be seen; none are all.

    Returns:
        That, or what is wrong with it.
    """
    values: dict[str, Any] = {}
    problems = []
    for name, (field, reads) in _FILTERS.items():
        try:
            # An empty one is as good as none.
            if query.get(name):
                values[field] = reads(query[name])
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems or JobFilters(cluster, tuple(accounts), **values)


class Page(NamedTuple):
    """A part of a list.

    Attributes:
        skipped: how many stand before it.
        before, after: numbers of the pages beside it, None where there is none.
    """

    skipped: int
    before: int | None
    after: int | None


def page_of(text: str | None, count: int) -> Page:
    """Return the page that is asked for of a list of so many.

    Raises:
        Refusal: there is none of that number.
    """
    number = 1
    if text is not None:
        number = int(text) if _PAGE.fullmatch(text) else 0
    pages = max(-(-count // ON_A_PAGE), 1)
    if not 1 <= number <= pages:
        raise Refusal("no_such_page", f"there is no such page: this list has {pages}")
    skipped = (number - 1) * ON_A_PAGE
    before = number - 1 if number > 1 else None
    return Page(skipped, before, number + 1 if number < pages else None)


def shown(job: Job) -> dict[str, Any]:
    """Return a job as clients read it."""
    told = job.told
    return {
        "jobslurmid": job.job_key,
        "submitdate": shown_time(told.submitdate),
        "startdate": shown_time(told.startdate),
        "enddate": shown_time(told.enddate),
        "userid": str(job.uid),
        "accountid": job.account,
        "amount": shown_amount(job.amount),
        "jobstatus": told.jobstatus,
        "partition": told.partition,
        "qos": told.qos,
        "nodes": [{"name": name} for name in told.nodes],
        "num_cpus": told.num_cpus,
        "num_req_nodes": told.num_req_nodes,
        "num_alloc_nodes": told.num_alloc_nodes,
        "raw_time": told.raw_time,
        "cpu_time": told.cpu_time,
    }
