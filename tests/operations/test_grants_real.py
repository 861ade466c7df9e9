"""Grants with dates, transfers, refunds and credit on a real cluster, held in both ways."""

import time

import pytest

from bank.operations import corrections, grants, movements, shown_grants, transfers, upkeep
from bank.operations.commands import Command
from tests.operations.branch import ADA, SU, Branch

HELD = "AssocGrpCPUMinutesLimit"
FAR = 4_070_908_800_000_000


@pytest.fixture(params=["hold", "limit"])
def branch(branch: Branch, request: pytest.FixtureRequest) -> Branch:
    branch.set(enforcement=request.param)
    return branch


def after(seconds: int) -> int:
    return (int(time.time()) + seconds) * 1_000_000


def wait_until(branch: Branch, at: int) -> None:
    branch.lab.wait_for(lambda: time.time() * 1_000_000 > at, "the time to come")


def give(branch: Branch, name: str, su: int, start: int, end: int) -> int:
    command = Command("grant", name, su * SU, start_at=start, end_at=end)
    return int(grants.grant(branch.bank, command)["grant"]["grant"])


def state(branch: Branch, name: str) -> str:
    """Return the state of the grant with dates that an account has."""
    found = shown_grants.grants(branch.bank, name)
    return next(str(one["state"]) for one in found if one["carry_percent"] is not None)


def paid_by(branch: Branch, name: str) -> list[tuple[int, int]]:
    """Return which grants paid for what was charged to an account."""
    with branch.reading() as reader:
        rows = reader.query(
            "SELECT entry.grant_id, sum(amount) FROM entry JOIN account USING (account_id)"
            " WHERE name = :name AND target = 'used' GROUP BY 1",
            name=name,
        )
    return [(grant, amount) for grant, amount in rows]


def let_go(branch: Branch, left: int, *, used: int = 0) -> str:
    """Return what the GrpTRESMins of an account is that may run and has so much left."""
    if branch.bank.settings.enforcement == "hold":
        return ""
    return f"billing={used // 60 + left // 60}"


def test_a_grant_starts_by_itself_and_pays_for_the_job_that_waited(branch: Branch) -> None:
    branch.open("starts", 0)
    job = branch.lab.submit("starts", ADA, partition="fast", command="sleep 1", minutes=1)
    branch.lab.wait_for_reason(job, HELD)
    start = after(5)
    number = give(branch, "starts", 1000, start, FAR)
    assert (state(branch, "starts"), branch.limits("starts")["GrpTRESMins"]) == (
        "promised",
        "cpu=0",
    )
    wait_until(branch, start)
    assert branch.enforce().released == ["starts"]
    assert branch.limits("starts")["GrpTRESMins"] == let_go(branch, 1000 * SU)
    branch.lab.wait_for_state(job, {"COMPLETED"})
    branch.wait_for_sacct(job)
    branch.enforce()
    assert paid_by(branch, "starts") == [(number, branch.ran(job))]
    branch.agrees(starts=branch.ran(job))


def test_what_a_job_may_still_use_stays_until_it_has_ended(branch: Branch) -> None:
    branch.lab.make_account("ends", users=[ADA])
    end = after(20)
    give(branch, "ends", 1000, after(-60), end)
    job = branch.lab.submit("ends", ADA, partition="fast", command="sleep 600", minutes=10)
    branch.lab.wait_for_state(job, {"RUNNING"})
    assert time.time() * 1_000_000 < end, "the machine is too slow for this test"
    wait_until(branch, end)
    # No pass has seen the job before.
    done = branch.enforce()
    assert (done.held_now, state(branch, "ends")) == ([], "ending")
    kept = branch.standing("ends").account.books.granted
    # Ten minutes of one core are 600 SUs.
    assert 0 < kept <= 600 * SU
    # The controller says that the job began before the end.
    assert (branch.enforce().held_now, state(branch, "ends")) == ([], "ending")
    branch.cancel(job)
    branch.enforce()
    held = branch.enforce()
    assert (held.held_now, state(branch, "ends")) == (["ends"], "over")
    assert branch.limits("ends")["GrpTRESMins"] == "cpu=0"
    standing = branch.standing("ends")
    assert (standing.account.books.granted, standing.used) == (0, 0)
    assert sum(amount for kind, amount in branch.entries("ends") if kind == "closing") == (
        branch.ran(job)
    )
    branch.agrees(ends=branch.ran(job))


def test_a_transfer_releases_one_and_holds_the_other(branch: Branch) -> None:
    branch.open("gives", 100)
    branch.open("takes", 0)
    command = Command("transfer", "gives", 100 * SU, to="takes")
    transfers.transfer(branch.bank, command)
    assert branch.limits("gives")["GrpTRESMins"] == "cpu=0"
    assert branch.limits("takes")["GrpTRESMins"] == let_go(branch, 100 * SU)
    assert upkeep.verify(branch.bank) == []


def test_a_refund_and_credit_release(branch: Branch) -> None:
    branch.open("owes", 100)
    used = branch.ran(branch.run("owes", extra=["--time=1"]))
    movements.modify(branch.bank, Command("modify", "owes", used))
    branch.enforce()
    assert branch.limits("owes")["GrpTRESMins"] == "cpu=0"
    movements.set_credit(branch.bank, Command("set_credit", "owes", 50 * SU))
    # Slurm compares the limit with all that was used, the credit in it.
    assert branch.limits("owes")["GrpTRESMins"] == let_go(branch, 50 * SU, used=used)
    movements.set_credit(branch.bank, Command("set_credit", "owes", 0))
    assert branch.limits("owes")["GrpTRESMins"] == "cpu=0"
    corrections.refund(branch.bank, Command("refund", "owes", used))
    assert branch.limits("owes")["GrpTRESMins"] == let_go(branch, used, used=used)
    assert branch.used("owes") == 0
    branch.agrees(owes=used)
