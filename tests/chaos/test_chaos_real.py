"""Whoever is killed and whenever: in the end each job is charged once, and exactly."""

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.operations import movements
from bank.operations.commands import Command
from tests.chaos.accounting import Run, runs
from tests.chaos.crowd import ACCOUNTS, Crowd
from tests.chaos.killing import Killer
from tests.lab import Lab, NotInTime
from tests.lab.processes import wait_for
from tests.operations.branch import SU, Branch
from tests.plugins.hooked import Hooked

JOBS = int(os.environ.get("CHAOS_JOBS", "150"))
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


def test_every_job_is_charged_once_and_exactly_whoever_is_killed(hooked: Hooked) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(10**6)))
    print(f"CHAOS_SEED={seed} CHAOS_JOBS={JOBS}")
    crowd, killer = Crowd(hooked.lab, seed, JOBS), Killer(hooked, seed)
    began = time.monotonic()
    people = threading.Thread(target=crowd.act, daemon=True)
    people.start()
    killer.kill_until(lambda: not people.is_alive())
    print(f"submitted {crowd.submitted.total()}: {dict(crowd.submitted)}; refused {crowd.refused}")
    print(f"done {dict(crowd.done)}; killed {dict(killer.killed)}; missed {dict(killer.ended)}")

    print(f"{time.monotonic() - began:.0f} s")
    movements.add(hooked.branch.bank, Command("add", "chaos_poor", 100_000 * SU))
    end_jobs(hooked, killer)
    print(f"{time.monotonic() - began:.0f} s")
    reconcile(hooked)
    print(f"{time.monotonic() - began:.0f} s")
    assert_charged(hooked)
    assert_nothing_set_aside(hooked)
    assert hooked.command("verify").returncode == 0
    for done in hooked.told("reconcile"):
        assert (done["charged"], done["changed"], done["amount_billing_seconds"]) == (0, 0, 0)


def end_jobs(hooked: Hooked, killer: Killer) -> None:
    """Let what can end do so, end the rest, and have slurmdbd told of all of it."""
    lab = hooked.lab
    killer.resume_nodes()

    def left() -> str:
        rows = lab.look("squeue", "-ha", "-o%A %T %r %N")
        for job in {row.split(" ")[0] for row in rows.splitlines()}:
            lab.run("scancel", "--quiet", job, check=False)
        return rows

    try:
        wait_for(lambda: not left(), "all jobs to end", 60, every_seconds=0.5)
    except NotInTime:
        print(left(), lab.run("sinfo", "-N", "-o%N %T %E"))
        print(lab.run("scontrol", "show", "job"))
        raise
    lab.wait_for(lambda: "DBD Agent queue size: 0" in lab.look("sdiag"), "slurmdbd to be told")
    # What a killed controller has forgotten runs on for slurmdbd until an admin ends it.
    lab.run("sacctmgr", "show", "runawayjobs", stdin="y\n", timeout=60)


def reconcile(hooked: Hooked) -> None:
    """Charge all that has ended, and wait until no lien is open."""
    print(hooked.command("reconcile").stdout)

    def none_open() -> bool:
        return not any(lien.is_open for lien in hooked.liens())

    hooked.lab.wait_for(none_open, "all liens to end", timeout=120)


def banked_runs(hooked: Hooked) -> list[Run]:
    return runs(hooked.lab, list(GRANTED))


def charged(hooked: Hooked) -> dict[int, tuple[str, int]]:
    """Return which account is charged what for each run, as the entries have it."""
    with hooked.branch.reading() as reader:
        rows = reader.query(
            "SELECT name, reference,"
            " sum(CASE target WHEN 'used' THEN amount ELSE -amount END) FROM entry"
            " JOIN account USING (account_id) WHERE kind IN ('charge', 'adjustment')"
            " GROUP BY name, reference"
        )
    start = f"job {hooked.lab.cluster}/"
    found: dict[int, tuple[str, int]] = {}
    for name, reference, amount in rows:
        assert reference.startswith(start), f"{name} is charged {amount} for {reference}"
        if amount:
            index = int(reference.removeprefix(start))
            assert index not in found, f"run {index} is charged twice"
            found[index] = (name, amount)
    return found


def assert_charged(hooked: Hooked) -> None:
    every = banked_runs(hooked)
    untold = [one for one in every if one.is_untold]
    running = [one for one in every if one.start is not None and one.end is None]
    print(f"{len(every)} rows in sacct, {len(untold)} untold, still running {running}")
    with hooked.branch.reading() as reader:
        for row in reader.query("SELECT * FROM job_charge WHERE priced_by = 'not priced'"):
            print("NP", row)
    print(hooked.lab.run("sacct", "-a", "-X", "-D", "-P", "-S", "2020-01-01", "-E", "now", "-s", "BOOT_FAIL,CANCELLED,COMPLETED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,REQUEUED,RESIZING,REVOKED,RUNNING,SUSPENDED,TIMEOUT","-o", "DBIndex,JobIDRaw,JobID,Account,User,Partition,QOS,State,Submit,Start,End,Suspended,AllocTRES"))
    wanted = {}
    for one in every:
        if one.is_over and not one.is_untold and one.cost(FACTORS):
            wanted[one.number] = (one.account, one.cost(FACTORS))
    found = charged(hooked)
    by_index = {one.number: one for one in every}
    wrong = {
        index: (wanted.get(index), found.get(index), by_index.get(index))
        for index in wanted.keys() | found.keys()
        if wanted.get(index) != found.get(index)
    }
    assert not wrong, "\n".join(f"{index}: {what}" for index, what in wrong.items())
    print(f"{len(found)} runs are charged {sum(amount for _, amount in found.values())}")


def assert_nothing_set_aside(hooked: Hooked) -> None:
    with hooked.branch.reading() as reader:
        assert (
            reader.query(
                "SELECT name, running FROM place JOIN account USING (account_id) WHERE running <> 0"
            )
            == []
        )
