"""Waiting for the controller to count what runs: once in PriorityCalcPeriod, all at one second."""

import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from bank.errors import SlurmError
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.meter_plan import LAG_SECONDS, Observed
from bank.operations.metering import observe
from bank.operations.rates import ask_rates
from bank.policy import prices
from bank.slurm import live_jobs
from bank.slurm.command import run

_MICROSECONDS = 1_000_000
_PAUSE_SECONDS = 0.1
# Meters show whole numbers: a rise of less may not be seen.
_LEAST_RISE = 2
# The controller counts one job after the other; all are done within a moment.
_WHOLE_SECONDS = 1
# How often it is said that the tick is waited for.
_TELL_SECONDS = 15
# Whose jobs: account and user.
_Whose = tuple[str, str]


class Tick(NamedTuple):
    """When the controller last counted what runs, and what its meters showed right after.

    Attributes:
        observed: the answer.
        first, last: the second up to which it has counted lies between them, seconds since 1970;
            mostly they are the same.
        per_second: billing-seconds each second of all that ran then.
        running: how many jobs that were.
    """

    observed: Observed
    first: int
    last: int
    per_second: Fraction
    running: int

    @property
    def uncertain(self) -> int:
        """Billing-seconds by which it is uncertain what has been counted, at most."""
        return prices.at_most(self.per_second * (self.last - self.first))


class _Shown(NamedTuple):
    """What meters showed at one look, and whose jobs ran just before.

    Attributes:
        jobs: number and start of each job.
        raw: what was counted for each user of an account.
    """

    observed: Observed
    jobs: dict[tuple[int, int], _Whose]
    raw: Counter[_Whose]


def wait_for_tick(
    bank: Bank, cluster: Cluster, covered: set[str], tell: Callable[[str], None]
) -> Tick:
    """Return what meters show right after the controller has counted what runs.

    Where nothing runs that could be seen to rise, that is now.

    Args:
        bank: see `Bank`.
        cluster: where.
        covered: the accounts whose jobs count.
        tell: told that it is waited for.

    Raises:
        SlurmError: Slurm did not answer, or the controller has not counted in its time.
    """
    period = cluster.config.calc_period_seconds
    rates = _rates(bank, cluster, covered)
    watched = {whose for whose, rate in rates.items() if rate * period >= _LEAST_RISE}
    base = _look(bank, cluster, covered)
    per_second = sum(rates.values(), Fraction(0))
    if not watched:
        seconds = base.observed.asked_at // _MICROSECONDS
        return Tick(base.observed, seconds, seconds, per_second, len(base.jobs))
    until = time.monotonic() + 2 * period + LAG_SECONDS
    next_told = time.monotonic()
    risen_at = 0.0
    while True:
        now = time.monotonic()
        if now >= next_told:
            tell(f"{cluster.name}: waiting until the controller counts what runs ({period} s)")
            next_told = now + _TELL_SECONDS
        time.sleep(_PAUSE_SECONDS)
        shown = _look(bank, cluster, covered)
        steady = watched & _steady(base, shown)
        risen = {whose for whose in steady if shown.raw[whose] > base.raw[whose]}
        if 2 * len(risen) > len(steady):
            # By the next look all of it is counted.
            return _tick(base, shown, _look(bank, cluster, covered), per_second)
        risen_at = risen_at or (now if risen else 0.0)
        # What rose alone was a job that ended, or the whole has been missed.
        if not risen or now - risen_at > _WHOLE_SECONDS:
            base, risen_at = shown, 0.0
        if now > until:
            raise SlurmError(
                f"the controller of {cluster.name} has not been seen to count what runs within"
                f" {2 * period + LAG_SECONDS} s: try again, best when fewer jobs end"
            )


def _rates(bank: Bank, cluster: Cluster, covered: set[str]) -> dict[_Whose, Fraction]:
    """Return what running jobs cost each second, by account and user, where that is known."""
    known = ask_rates(bank, cluster)
    found: dict[_Whose, Fraction] = {}
    for job in live_jobs.read(run(bank.slurm, live_jobs.arguments(cluster.on))):
        weights, factor = known.weights.get(job.partition), known.factors.get(job.qos)
        is_ours = job.is_running and job.account in covered
        if is_ours and weights is not None and factor is not None:
            billing = prices.billing(job.allocated, weights, max_tres=known.max_tres)
            whose = (job.account, job.user)
            more = prices.per_second(billing, factor)
            found[whose] = found.get(whose, Fraction(0)) + more
    return found


def _look(bank: Bank, cluster: Cluster, covered: set[str]) -> _Shown:
    jobs = live_jobs.read(run(bank.slurm, live_jobs.arguments(cluster.on)))
    observed = observe(bank, cluster)
    raw: Counter[_Whose] = Counter()
    for row in observed.slurm.users:
        raw[row.account, row.user] += row.raw
    running = {
        (job.job_id, job.started_at or 0): (job.account, job.user)
        for job in jobs
        if job.is_running and job.account in covered
    }
    return _Shown(observed, running, raw)


def _steady(base: _Shown, shown: _Shown) -> set[_Whose]:
    """Return those of whom something runs, and of whom nothing has ended between two looks.

    What they were counted more was counted while it ran.
    """
    ended = {whose for job, whose in base.jobs.items() if job not in shown.jobs}
    return {*base.jobs.values()} & {*shown.jobs.values()} - ended


def _tick(base: _Shown, risen: _Shown, after: _Shown, per_second: Fraction) -> Tick:
    first = base.observed.asked_at // _MICROSECONDS
    last = risen.observed.answered_at // _MICROSECONDS
    return Tick(after.observed, first, last, per_second, len(after.jobs))
