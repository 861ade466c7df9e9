"""Whoever is killed and whenever: in the end each job is charged once, and exactly."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.operations import movements, upkeep
from bank.operations.commands import Command
from tests.chaos.accounting import runs
from tests.chaos.crowd import ACCOUNTS, Crowd
from tests.chaos.killing import Killer
from tests.lab import Lab, NotInTime
from tests.lab.processes import wait_for
from tests.operations.branch import ADA, BOB, SU, Branch
from tests.plugins.hooked import Hooked

JOBS = int(os.environ["CHAOS_JOBS"])
# What is left then is cancelled: of many jobs, some run into their time limits.
PATIENCE_SECONDS = min(JOBS // 15, 100)
FACTORS = {"chaos_dear": "2", "chaos_free": "0"}
# In SUs; None is no limit, and whoever is not here is not open in the bank.
GRANTED = {
    "chaos": 1_000_000,
    "chaos_rich": 1_000_000,
    "chaos_short": 20_000,
    "chaos_below": 20_000,
    "chaos_free": None,
    "chaos_poor": 1,
}


@pytest.fixture
def hooked(lab: Lab, public_directory: Path) -> Iterator[Hooked]:
    """A bank that charges a small tree of accounts by jobs, with its service and all hooks."""
    branch = Branch(
        lab,
        public_directory,
        usage_source="jobs",
        hooks="enforce",
        end_hook="jobcomp",
        lien_at="submit",
        service_socket=str(public_directory / "bank.sock"),
        spool=str(public_directory / "spool"),
    )
    for name, (users, parent) in ACCOUNTS.items():
        lab.make_account(name, parent=parent, users=users)
    for name, factor in FACTORS.items():
        branch.sacctmgr("add", "qos", name, "set", f"UsageFactor={factor}")
    names = ",".join(ACCOUNTS)
    every = "qos=normal," + ",".join(FACTORS)
    branch.sacctmgr("modify", "account", "where", f"name={names}", "set", every)
    for name, su in GRANTED.items():
        branch.insert(name, su)
    hooked = Hooked(lab, branch, public_directory)
    try:
        hooked.serve()
        hooked.install()
        yield hooked
    finally:
        hooked.stop()
        for pattern in ("*slurm_bank*", "job_submit*.lua"):
            for path in hooked.etc.glob(pattern):
                path.unlink()


@pytest.mark.timeout(900)
def test_every_job_is_charged_once_and_exactly_whoever_is_killed(hooked: Hooked) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(10**6)))
    print(f"CHAOS_SEED={seed} CHAOS_JOBS={JOBS}")
    began = time.monotonic()
    crowd, killer = Crowd(hooked.lab, seed, JOBS), Killer(hooked, seed)
    people = threading.Thread(target=crowd.act, daemon=True)
    people.start()
    killer.kill_until(lambda: not people.is_alive())
    print(f"submitted {crowd.submitted.total()}: {dict(crowd.submitted)}; refused {crowd.refused}")
    print(f"done: {dict(crowd.done)}; killed: {dict(killer.killed)}")
    print(f"ended before they were killed: {dict(killer.ended)}; {time.monotonic() - began:.0f} s")

    movements.add(hooked.branch.bank, Command("add", "chaos_poor", 100_000 * SU))
    end_jobs(hooked, killer)
    print(f"jobs ended {time.monotonic() - began:.0f} s")
    hooked.lab.wait_for(
        lambda: not any(lien.is_open for lien in hooked.liens()), "all liens to end", timeout=120
    )
    print(f"liens ended {time.monotonic() - began:.0f} s")
    hooked.command("reconcile")
    assert_charged(hooked)
    assert upkeep.verify(hooked.branch.bank) == []
    (again,) = hooked.told("reconcile")
    assert (again["charged"], again["changed"], again["stuck"]) == (0, 0, [])
    # Ends with another status where anything is left without a cause.
    hooked.command("verify", "--against-slurm")
    print(f"all told {time.monotonic() - began:.0f} s")


def end_jobs(hooked: Hooked, killer: Killer) -> None:
    """Let what can end do so, end the rest, and have slurmdbd told of all of it."""
    lab = hooked.lab
    killer.resume_nodes()
    began = time.monotonic()

    def left() -> str:
        rows = lab.look("squeue", "-ha", "-o%i %T %j %r %N")
        is_late = time.monotonic() - began > PATIENCE_SECONDS
        for job, state, kind in (row.split(" ")[:3] for row in rows.splitlines()):
            if state == "SUSPENDED":
                lab.run("scontrol", "resume", job, check=False)
            if kind in ("long", "waiting"):
                lab.run("scancel", "--quiet", job, check=False)
        if is_late and rows:
            # By their numbers not all are found: some were given to two.
            lab.run("scancel", "--quiet", f"--user={ADA}", check=False)
            lab.run("scancel", "--quiet", f"--user={BOB}", check=False)
        return rows

    try:
        wait_for(lambda: not left(), "all jobs to end", PATIENCE_SECONDS + 240, every_seconds=0.5)
    except NotInTime:
        print(left(), lab.look("sinfo", "-N", "-o%N %T %E"), sep="\n")
        raise
    told = "DBD Agent queue size: 0"
    lab.wait_for(lambda: told in lab.look("sdiag"), "slurmdbd to be told", timeout=90)
    # What a killed controller has forgotten runs on for slurmdbd until an admin ends it.
    lab.run("sacctmgr", "show", "runawayjobs", stdin="y\n", timeout=60)


def charged(hooked: Hooked) -> dict[int, tuple[str, int]]:
    """Return which account is charged what for each run, as the entries have it."""
    with hooked.branch.reading() as reader:
        rows = reader.query(
            "SELECT name, reference, count(*) FILTER (WHERE kind = 'charge'),"
            " sum(CASE target WHEN 'used' THEN amount ELSE -amount END) FROM entry"
            " JOIN account USING (account_id) WHERE kind IN ('charge', 'adjustment')"
            " GROUP BY name, reference"
        )
    start = f"job {hooked.lab.cluster}/"
    found: dict[int, tuple[str, int]] = {}
    for name, reference, count, amount in rows:
        assert reference.startswith(start), f"{name} is charged {amount} for {reference}"
        assert count <= 1, f"{name} is charged {count} times for {reference}"
        if amount:
            number = int(reference.removeprefix(start))
            assert number not in found, f"run {number} is charged to two accounts"
            found[number] = (name, amount)
    return found


def recorded(hooked: Hooked) -> dict[int, tuple[int, str]]:
    """Return when each run began as slurmdbd said when it was charged, and what its price is of."""
    with hooked.branch.reading() as reader:
        rows = reader.query(
            "SELECT job_index, began_at, priced_by FROM job_charge AS one WHERE revision = (SELECT"
            " max(revision) FROM job_charge WHERE job_index = one.job_index)"
        )
    return {number: (began_at, priced_by) for number, began_at, priced_by in rows}


def assert_charged(hooked: Hooked) -> None:
    """Assert that each run is charged what sacct says, and each that cannot be is named."""
    every = {one.number: one for one in runs(hooked.lab, list(GRANTED))}
    found, record = charged(hooked), recorded(hooked)
    # It may take back when a run began, because its job waits to begin once more.
    forgotten = {number for number in found if number in every and every[number].start is None}
    for number in forgotten:
        every[number] = every[number]._replace(start=record[number][0])
    over = [one for one in every.values() if one.is_over]
    unknown = {one.number for one in over if one.is_unknown}
    costs = {one.number: (one.account, one.cost(FACTORS)) for one in over if not one.is_unknown}
    wanted = {number: cost for number, cost in costs.items() if cost[1]}
    wrong = [
        f"{every.get(number)} costs {wanted.get(number)} and is charged {found.get(number)}"
        for number in (wanted.keys() | found.keys()) - unknown
        if wanted.get(number) != found.get(number)
    ]
    assert not wrong, "\n".join(wrong)
    unpriced = {number for number, (_, priced_by) in record.items() if priced_by == "not priced"}
    assert unpriced == unknown, [(every.get(n), record.get(n)) for n in unpriced ^ unknown]
    running = [one for one in every.values() if one.start is not None and one.end is None]
    assert not running, f"these run for slurmdbd: {running}"
    with hooked.branch.reading() as reader:
        assert reader.query("SELECT * FROM place WHERE running <> 0") == []
    total = sum(amount for _, amount in found.values())
    states = Counter(one.state for one in over)
    print(
        f"{len(every)} rows of sacct: {dict(states)}; {len(unknown)} of unknown cost,"
        f" {len(forgotten)} that never began"
    )
    print(f"{len(found)} runs are charged {total} billing-seconds")
