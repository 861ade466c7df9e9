"""Two real clusters on one slurmdbd: one account over both, and what happens when one is dead."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bank.errors import BankError, NotConfirmed, Refusal, SlurmError
from bank.operations import corrections, grants, history, looking, movements, upkeep
from bank.operations.commands import Command
from bank.operations.enforcement import Outcome, Pass, enforce, run_pass
from bank.operations.releases import release_hold
from bank.store import read
from tests.lab import Lab
from tests.operations.branch import ADA, SU, Branch
from tests.operations.test_controller_real import save_state

# Two clusters are started for each test, and some wait for one that does not answer.
HELD = "AssocGrpCPUMinutesLimit"
HOUR = 3600


@pytest.fixture
def here(branch: Branch) -> Iterator[Branch]:
    """A bank over two clusters, as the local one sees it."""
    other = branch.lab.second_cluster("other")
    try:
        branch.set(clusters=(branch.lab.cluster, "other"))
        yield branch
    finally:
        for lab in (branch.lab, other):
            for daemon in lab.daemons():
                if daemon.is_frozen:
                    daemon.thaw()
        if branch.lab.daemon("slurmdbd").pid is None:
            branch.lab.restart("slurmdbd")
        other.stop()


@pytest.fixture
def there(here: Branch) -> Branch:
    """The same bank, as the other cluster sees it."""
    (other,) = here.lab.second_clusters()
    return here.on(other)


def open_on_both(here: Branch, there: Branch, name: str, su: int | None = 1_000_000) -> None:
    there.lab.make_account(name, users=[ADA])
    here.open(name, su)


def by_cluster(outcome: Outcome) -> tuple[dict[str, Pass], dict[str, BankError]]:
    """Return what was done, and what failed, by cluster."""
    return (
        {done.cluster: done for done in outcome.passes},
        {failed.cluster: failed.error for failed in outcome.failures},
    )


def waits(branch: Branch, name: str, reason: str = HELD) -> int:
    """Submit a job that must wait for a reason; return its id."""
    job = branch.lab.submit(name, ADA, partition="fast", command="sleep 1", minutes=1)
    branch.lab.wait_for_reason(job, reason)
    return job


def runs(branch: Branch, job: int) -> None:
    branch.lab.wait_for_state(job, {"RUNNING", "COMPLETED"}, timeout=60)


def shown(here: Branch, name: str) -> dict[str, dict[str, Any]]:
    """Return what `balance` says of an account, by cluster."""
    (state,) = looking.balance(here.bank, name)
    return {where["cluster"]: where for where in state["clusters"]}


def test_use_on_both_is_charged_to_one_account(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "above")
    for one in (here, there):
        one.lab.make_account("shared", parent="above", users=[ADA])
    here.insert("shared", 1_000_000)
    jobs = here.run("shared"), there.run("shared", cpus=2)
    ran = here.ran(jobs[0]), there.ran(jobs[1], cpus=2)
    done, _ = by_cluster(run_pass(here.bank))
    assert (done[here.lab.cluster].charged, done["other"].charged) == ran
    for account in ("above", "shared"):
        assert here.used(account) == sum(ran)
        used = [shown(here, account)[name]["used_billing_seconds"] for name in done]
        assert used == list(ran)
        with here.reading() as reader:
            assert read.standings(reader)[account] == here.standing(account)
    charges = [event for event in history.history(here.bank, "shared") if event["kind"] == "charge"]
    assert [event["cluster"] for event in charges] == [here.lab.cluster, "other"]
    running = here.start("shared"), there.start("shared", cpus=3)
    run_pass(here.bank)
    aside = [shown(here, "shared")[name]["set_aside_billing_seconds"] for name in done]
    # Ten minutes each, less what has passed.
    assert 9 * 60 * SU < aside[0] <= 10 * 60 * SU
    assert 9 * 60 * 3 * SU < aside[1] <= 10 * 60 * 3 * SU
    assert here.standing("shared").set_aside == sum(aside)
    here.cancel(running[0])
    there.cancel(running[1])
    run_pass(here.bank)
    assert here.standing("shared").set_aside == 0
    here.agrees(shared=sum(ran) + here.ran(running[0]) + there.ran(running[1], cpus=3))


def test_an_account_is_gone_only_where_no_cluster_has_it(here: Branch, there: Branch) -> None:
    there.lab.make_account("away", users=[ADA])
    here.insert("away", 0)
    assert here.warnings == []
    waits(there, "away")
    assert all(done.gone == [] for done in enforce(here.bank))
    there.lab.run("scancel", "--user=lab-ada")
    there.lab.wait_for(lambda: not there.lab.run("squeue", "-h"), "the queue to be empty")
    there.sacctmgr("delete", "account", "where", "name=away", "cluster=other")
    assert [done.gone for done in enforce(here.bank)] == [["away"], ["away"]]
    with pytest.raises(Refusal, match="Slurm has no account nosuch: make it"):
        here.insert("nosuch", 1)


def test_a_limit_used_up_by_both_together_holds_on_both(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "full")
    ran = here.ran(here.run("full", cpus=3)), there.ran(there.run("full", cpus=3))
    run_pass(here.bank)
    # More than either has used.
    movements.modify(here.bank, Command("modify", "full", max(3 * ran[0], 3 * ran[1]) + SU))
    assert here.limits("full")["GrpTRESMins"] == there.limits("full")["GrpTRESMins"] == "cpu=0"
    jobs = waits(here, "full"), waits(there, "full")
    assert all(done.held == ["full"] for done in enforce(here.bank))
    movements.add(here.bank, Command("add", "full", 1_000 * SU))
    runs(here, jobs[0])
    runs(there, jobs[1])
    assert here.limits("full")["GrpTRESMins"] == there.limits("full")["GrpTRESMins"] == ""
    assert here.warnings == []


def test_what_an_admin_orders_holds_on_both(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "ordered", 1_000)
    both = here, there
    movements.hold(here.bank, Command("hold", "ordered"))
    jobs = [waits(one, "ordered") for one in both]
    release_hold(here.bank, "ordered", reason="", dry_run=False)
    for one, job in zip(both, jobs, strict=True):
        one.lab.wait_for_state(job, {"COMPLETED"}, timeout=60)
        one.wait_for_sacct(job)
    here.let_second_pass()
    ran = [one.ran(job) for one, job in zip(both, jobs, strict=True)]
    with pytest.raises(Refusal, match="cannot be withdrawn"):
        movements.withdraw(here.bank, Command("withdraw", "ordered", 1_000 * SU - sum(ran) + 1))
    movements.withdraw(here.bank, Command("withdraw", "ordered", 1_000 * SU - sum(ran)))
    assert [one.limits("ordered")["GrpTRESMins"] for one in both] == ["cpu=0", "cpu=0"]
    movements.reset_usage(here.bank, Command("reset_usage", "ordered"))
    assert [one.lab.raw_usage("ordered") for one in both] == [0, 0]
    assert here.used("ordered") == 0
    assert [one.limits("ordered")["GrpTRESMins"] for one in both] == ["", ""]
    here.agrees(ordered=sum(ran))
    movements.hold(here.bank, Command("hold", "ordered"))
    movements.delete(here.bank, Command("delete", "ordered", force=True))
    assert [one.limits("ordered")["GrpTRESMins"] for one in both] == ["cpu=0", "cpu=0"]
    assert here.warnings == []


def frozen(lab: Lab) -> None:
    lab.freeze("slurmctld")


def killed(lab: Lab) -> None:
    lab.kill("slurmctld")


def ended(lab: Lab) -> None:
    """End it in an orderly way: slurmdbd does not know where it is any more."""
    lab.terminate("slurmctld")


def crashed(lab: Lab) -> None:
    """Kill it unseen by slurmdbd, which goes on saying where it is, as of a machine that is off."""
    first = lab.parent or lab
    first.kill("slurmdbd")
    lab.kill("slurmctld")
    first.restart("slurmdbd")


@pytest.mark.parametrize(
    ("how", "is_local"),
    [(frozen, False), (killed, False), (ended, False), (crashed, False), (killed, True)],
)
def test_one_dead_cluster_does_not_keep_the_other_from_being_held(
    here: Branch, there: Branch, how: Callable[[Lab], None], *, is_local: bool
) -> None:
    open_on_both(here, there, "half")
    dead, alive = (here, there) if is_local else (there, here)
    before = alive.run("half"), dead.run("half", cpus=9)
    save_state(dead.lab)
    here.let_second_pass()
    run_pass(here.bank)
    after = alive.run("half"), dead.run("half", cpus=2)
    dead.lab.save_jobs("half")
    here.let_second_pass()
    charged = alive.ran(before[0]) + dead.ran(before[1], cpus=9)
    how(dead.lab)
    here.set(slurm_timeout_seconds=10)
    said = command(here, "enforce", "--json")
    living, failed = json.loads(said.stdout)
    assert said.returncode in (69, 75), said
    assert living["cluster"] == alive.lab.cluster
    assert living["charged_billing_seconds"] == alive.ran(after[0])
    assert failed["cluster"] == dead.lab.cluster
    assert failed["error"]["message"].startswith(f"cluster {dead.lab.cluster}: ")
    assert here.charged("half") == charged + alive.ran(after[0])
    with pytest.raises(NotConfirmed, match="next pass holds it"):
        movements.hold(here.bank, Command("hold", "half"))
    assert f"cluster {dead.lab.cluster}: " in here.warnings.pop()
    # slurmdbd tells all controllers of a change to one: a frozen one makes it wait 40 s (22.05).
    if how is not frozen:
        held = {cluster: where["is_held"] for cluster, where in shown(here, "half").items()}
        assert held == {alive.lab.cluster: True, dead.lab.cluster: False}
    if how is frozen:
        dead.lab.thaw("slurmctld")
    else:
        dead.lab.restart("slurmctld")
    here.set(slurm_timeout_seconds=30)
    done = {one.cluster: one for one in enforce(here.bank)}
    assert [one.held for one in done.values()] == [["half"], ["half"]]
    here.agrees(half=charged + alive.ran(after[0]) + dead.ran(after[1], cpus=2))


def test_what_must_know_all_use_is_refused_while_one_is_dead(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "all")
    here.lab.make_account("new", users=[ADA])
    killed(there.lab)
    before = here.written()
    for act in (movements.withdraw, movements.reset_usage, movements.delete):
        with pytest.raises(SlurmError, match="cluster other: "):
            act(here.bank, Command(act.__name__, "all", SU, force=True))
    here.set(on_top_up="reset")
    with pytest.raises(SlurmError, match="cluster other: "):
        movements.add(here.bank, Command("add", "all", SU))
    with pytest.raises(SlurmError, match="cluster other: "):
        here.insert("nosuch", 1)
    here.set(usage_baseline="now")
    with pytest.raises(SlurmError, match="cluster other: "):
        here.insert("new", 0)
    assert here.written() == before
    here.set(usage_baseline="all", on_top_up="keep")
    here.insert("new", 0)
    assert "cluster other: " in here.warnings.pop()
    assert here.limits("new")["GrpTRESMins"] == "cpu=0"
    in_words = command(here, "enforce")
    assert in_words.returncode == 69
    assert f"{here.lab.cluster}: 2 accounts" in in_words.stdout
    assert "cluster other: " in in_words.stderr


def test_without_slurmdbd_the_local_cluster_goes_on(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "nodbd")
    job = here.run("nodbd")
    here.lab.kill("slurmdbd")
    done, failed = by_cluster(run_pass(here.bank))
    assert failed.keys() == {"other"}
    assert "Connection refused" in str(failed["other"])
    assert done[here.lab.cluster].charged
    here.set(confirm_seconds=1)
    with pytest.raises(NotConfirmed):
        movements.hold(here.bank, Command("hold", "nodbd"))
    assert any("sacctmgr did not change everything" in text for text in here.warnings)
    here.lab.restart("slurmdbd")
    here.set(confirm_seconds=10)
    there.lab.wait_for(lambda: not run_pass(here.bank).failures, "the other cluster to be known")
    assert [one.limits("nodbd")["GrpTRESMins"] for one in (here, there)] == ["cpu=0", "cpu=0"]
    here.agrees(nodbd=here.ran(job))


def test_a_cluster_that_slurmdbd_does_not_know_is_named(here: Branch) -> None:
    here.set(clusters=(here.lab.cluster, "nosuch"))
    outcome = run_pass(here.bank)
    assert [done.cluster for done in outcome.passes] == [here.lab.cluster]
    (failed,) = outcome.failures
    assert "No cluster 'nosuch' known by database" in str(failed.error)


def test_a_native_limit_on_each_cluster_is_its_own_use_and_all_that_is_left(
    here: Branch, there: Branch
) -> None:
    here.set(enforcement="limit", limit_tolerance=0)
    both = here, there
    open_on_both(here, there, "native", 10_000)
    assert [one.limits("native")["GrpTRESMins"] for one in both] == ["billing=600000"] * 2
    jobs = here.run("native"), there.run("native", cpus=5)
    ran = here.ran(jobs[0]), there.ran(jobs[1], cpus=5)
    outcome = run_pass(here.bank)
    left = 10_000 * SU - sum(ran)
    limits = [int(one.limits("native")["GrpTRESMins"][8:]) for one in both]
    assert limits == [ran[0] // 60 + left // 60, ran[1] // 60 + left // 60]
    (note,) = outcome.notes
    assert note.startswith(f"up to {left // SU} SUs may be overrun"), note
    # What either could use up to its time limit is more than what both have left.
    waiting = [
        one.lab.submit("native", ADA, partition="fast", cpus=20, minutes=10, command="sleep 1")
        for one in both
    ]
    for one, job in zip(both, waiting, strict=True):
        one.lab.wait_for_reason(job, "AssocGrpBillingMinutes")
    movements.add(here.bank, Command("add", "native", 10_000 * SU))
    for one, job in zip(both, waiting, strict=True):
        runs(one, job)
        one.wait_for_sacct(job)
    run_pass(here.bank)
    movements.modify(here.bank, Command("modify", "native", here.used("native")))
    assert [one.limits("native")["GrpTRESMins"] for one in both] == ["cpu=0"] * 2
    assert run_pass(here.bank).notes == []
    here.set(enforcement="hold")
    movements.add(here.bank, Command("add", "native", SU))
    assert [one.limits("native")["GrpTRESMins"] for one in both] == ["", ""]


def test_what_one_cluster_loses_is_not_looked_for_on_the_other(here: Branch, there: Branch) -> None:
    open_on_both(here, there, "apart")
    read = here.run("apart"), there.run("apart", cpus=2)
    here.let_second_pass()
    run_pass(here.bank)
    lost, kept = here.run("apart"), there.run("apart", cpus=3)
    here.let_second_pass()
    here.reset_by_hand("apart")
    assert there.lab.raw_usage("apart") > 0
    done, _ = by_cluster(run_pass(here.bank))
    assert done["other"].charged == there.ran(kept, cpus=3)
    assert done["other"].notes == []
    assert done[here.lab.cluster].charged == here.ran(lost)
    again = there.run("apart")
    here.let_second_pass()
    here.lab.restart("slurmctld")
    done, _ = by_cluster(run_pass(here.bank))
    assert [one.charged for one in done.values()] == [0, there.ran(again)]
    ran = here.ran(read[0], lost) + there.ran(read[1], cpus=2) + there.ran(kept, cpus=3)
    here.agrees(apart=ran + there.ran(again))


def command(branch: Branch, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "slurm_bank.py", *arguments],
        env={"SLURM_BANK_SETTINGS": branch.settings_file()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_use_on_both_is_corrected_and_paid_by_one_grant_that_ends(
    here: Branch, there: Branch
) -> None:
    open_on_both(here, there, "both", 0)
    now = int(time.time())
    start_at, end_at = (now - 60) * 1_000_000, (now + HOUR) * 1_000_000
    command = Command("grant", "both", 100 * SU, start_at=start_at, end_at=end_at)
    grants.grant(here.bank, command)
    ran = here.ran(here.run("both")), there.ran(there.run("both", cpus=2), cpus=2)
    run_pass(here.bank)
    adjustment = Command("adjust", "both", SU, reason="not seen")
    with pytest.raises(Refusal, match=f"is on other, {here.lab.cluster}: say --cluster"):
        corrections.adjust(here.bank, adjustment)
    refund = Command("refund", "both", ran[1] + 1, cluster="other")
    with pytest.raises(Refusal, match="SUs in its present period on other"):
        corrections.refund(here.bank, refund)
    corrections.refund(here.bank, refund._replace(amount=sum(ran) - 7, cluster=None))
    corrections.adjust(here.bank, adjustment._replace(cluster="other"))
    # In the order of the clusters' names.
    used = {name: row["used_billing_seconds"] for name, row in shown(here, "both").items()}
    assert used == {here.lab.cluster: 7, "other": SU}
    # Slurm has no part in when it ends.
    here.bank = here.bank._replace(clock=lambda: time.time_ns() // 1000 + HOUR * 1_000_000)
    rehearsed = run_pass(here.bank, dry_run=True)
    outcome = run_pass(here.bank)
    # Said once, of no single cluster.
    assert rehearsed.notes == outcome.notes
    assert len(outcome.notes) == 1
    assert rehearsed.passes == outcome.passes
    assert [done.held_now for done in outcome.passes] == [["both"], ["both"]]
    closed = [("closing", SU), ("closing", 7)]
    assert here.entries("both")[-3:] == [("expiry", 99 * SU - 7), *closed]
    assert here.used("both") == 0
    assert upkeep.verify(here.bank) == []
