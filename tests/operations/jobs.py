"""Runs of jobs on the model of Slurm: what sacct knows of them, and what their meters counted."""

import re
import time
from typing import Any

import pytest

from bank.errors import Refusal
from bank.operations import job_refunds, outage_refunds, upkeep
from bank.operations.bank import Bank
from bank.operations.job_refunds import JobCommand
from bank.operations.outage_refunds import Outage
from bank.store import read
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm

SU = 3600
# When most runs begin: all of it is to come for the machine's own clock.
START = 1_900_000_000


RUN = {
    "seconds": SU,
    "start": START,
    "account": "proj",
    "user": "ada",
    "state": "COMPLETED",
    "partition": "normal",
    "qos": "normal",
    "tres": "billing=1,cpu=1,node=1",
    "nodes": "n1",
}


class Jobs:
    """Runs of jobs that sacct knows and a meter has counted.

    Attributes:
        now: what time it is; seconds since 1970.
    """

    def __init__(self, bank: Bank, fake: FakeSlurm, association: int) -> None:
        self.now = START + 10 * SU
        self.bank = bank._replace(clock=lambda: self.now * 1_000_000)
        self.fake = fake
        self.association = association
        self.count = 0

    def ran(self, job: str, **given: Any) -> int:  # noqa: ANN401 -- see RUN
        """Let a run have been, and be counted; return slurmdbd's number of it."""
        self.count += 1
        run = {"association": self.association, "counted": None, **RUN, **given}
        raw = re.split("[_+]", job, maxsplit=1)[0]
        ended = "Unknown" if run["state"] == "RUNNING" else run["start"] + run["seconds"]
        self.fake.sacct += (
            "{count}|{raw}|{job}|{association}|{user}|{partition}|{qos}|{state}|{start}|{ended}"
            "|00:00:00|{tres}|{nodes}|{account}\n"
        ).format(count=self.count, raw=raw, job=job, ended=ended, **run)
        counted = run["seconds"] if run["counted"] is None else run["counted"]
        self.fake.use(run["association"], counted)
        return self.count

    def refund(self, job: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        return job_refunds.refund_job(self.bank, JobCommand(job, **options))

    def refused(self, job: str) -> tuple[str, str]:
        with pytest.raises(Refusal) as refusal:
            self.refund(job)
        return refusal.value.code, str(refusal.value)

    def window(
        self, start: int, end: int, *, nodes: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        outage = Outage(utc(start), utc(end), nodes, None, "power cut")
        plan = outage_refunds.plan_refunds(self.bank, outage, dry_run=dry_run)
        return outage_refunds.refund(self.bank, plan, dry_run=dry_run)

    def used(self, name: str = "proj") -> int:
        with reading(self.bank.database) as reader:
            standing = read.standing(reader, name)
        assert standing is not None
        return standing.used

    def agrees(self) -> None:
        assert upkeep.verify(self.bank) == []


def utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
