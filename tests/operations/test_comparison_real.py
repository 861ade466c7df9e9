"""Charges beside sacct on a real cluster: each difference has its cause, and its size."""

from fractions import Fraction
from typing import Any

from bank.ledger.entries import Draft
from bank.operations import comparison_with_slurm, job_refunds, usage
from bank.operations.bank import utc_text
from bank.operations.job_refunds import JobCommand
from bank.policy import reconciliation as because
from bank.store.connect import writing
from bank.store.post import post
from tests.operations.branch import ADA, SU, Branch
from tests.operations.test_controller_real import kill_and_restart, save_state
from tests.operations.test_job_refunds_real import add_qos, end, run_suspended


def compare(branch: Branch, start: str | None = None, end: str | None = None) -> dict[str, Any]:
    return comparison_with_slurm.compare(branch.bank, start, end)


def causes(
    branch: Branch, name: str, start: str | None = None, end: str | None = None
) -> dict[str, int]:
    """Return what makes the difference of an account; all of it must be explained."""
    found = compare(branch, start, end)
    assert found["agrees"], found["rows"]
    sums: dict[str, int] = {}
    for row in found["rows"]:
        whole = sum(part["amount_billing_seconds"] for part in row["causes"])
        assert row["booked_billing_seconds"] == row["sacct_billing_seconds"] + whole
        for part in row["causes"] if row["account"] == name else ():
            cause = part["cause"]
            sums[cause] = sums.get(cause, 0) + part["amount_billing_seconds"]
    return sums


def now(branch: Branch) -> str:
    return utc_text(branch.bank.clock())


def test_a_job_that_slurm_bills_whole_needs_no_explanation(branch: Branch) -> None:
    branch.open("whole")
    job = branch.run("whole")
    branch.let_second_pass()
    branch.enforce()
    (row,) = compare(branch)["rows"]
    assert row["sacct_billing_seconds"] == row["booked_billing_seconds"] == branch.ran(job)
    assert causes(branch, "whole") == {}


def test_fractions_factors_and_suspensions_have_their_sizes(branch: Branch) -> None:
    branch.open("sizes")
    add_qos(branch, "sizes", "dear", "2.5")
    fraction = branch.lab.submit("sizes", partition="fractional", cpus=3, command="sleep 4")
    end(branch, fraction)
    dear = branch.run("sizes", extra=["--qos=dear"])
    run_suspended(branch, "sizes")
    branch.enforce()
    found = causes(branch, "sizes")
    # 3 cores at 0.5 and 3 GB at 0.25 are 2.25, of which sacct shows 2.
    assert found.pop(because.FRACTION) == branch.elapsed(fraction) // 4
    assert found.pop(because.FACTOR) == branch.ran(dear) * 3 // 2
    assert found.pop(because.SUSPENDED) >= 2 * SU
    assert all(abs(amount) <= 1 for amount in found.values()), found


def test_use_by_partition_is_what_ran_in_each(branch: Branch) -> None:
    branch.open("parts")
    # Of a job that starts in the second in which the span does, only a part counts.
    branch.let_second_pass()
    fast = branch.run("parts", cpus=2)
    fraction = branch.lab.submit("parts", partition="fractional", cpus=3, command="sleep 4")
    end(branch, fraction)
    branch.let_second_pass()
    branch.enforce()
    found = usage.usage(branch.bank, "parts", by="partition")
    assert {row["partition"]: row["used_billing_seconds"] for row in found["rows"]} == {
        "fast": branch.ran(fast, cpus=2),
        # 3 cores at 0.5 and 3 GB at 0.25.
        "fractional": round(branch.elapsed(fraction) * Fraction(9, 4)),
    }
    assert found["total"]["used_billing_seconds"] == branch.used("parts")
    # The meter shows whole billing-seconds.
    assert abs(sum(row["used_billing_seconds"] for row in found["rest"])) <= 1


def test_a_job_over_the_edge_of_the_period_counts_where_it_was_booked(branch: Branch) -> None:
    branch.open("edge")
    job = branch.start("edge")
    branch.enforce()
    branch.let_second_pass()
    middle = now(branch)
    branch.let_second_pass()
    branch.cancel(job)
    branch.let_second_pass()
    branch.enforce()
    before = causes(branch, "edge", None, middle)
    assert set(before) <= {because.AFTER, because.RUNNING}
    assert sum(before.values()) < 0
    after = causes(branch, "edge", middle)
    assert set(after) <= {because.BEFORE, because.RUNNING}
    assert sum(after.values()) == -sum(before.values())


def test_what_was_not_read_yet_and_what_runs_still(branch: Branch) -> None:
    branch.open("unread")
    branch.run("unread")
    branch.let_second_pass()
    branch.enforce()
    branch.let_second_pass()
    unread = branch.run("unread", cpus=2)
    assert causes(branch, "unread") == {because.AFTER: -branch.ran(unread, cpus=2)}
    running = branch.start("unread")
    branch.let_second_pass()
    branch.enforce()
    assert set(causes(branch, "unread")) <= {because.AFTER, because.RUNNING}
    branch.cancel(running)
    branch.let_second_pass()
    branch.enforce()
    assert causes(branch, "unread") == {}


def test_what_a_killed_controller_lost_was_booked_from_sacct(branch: Branch) -> None:
    branch.open("klost")
    branch.run("klost", cpus=9)
    branch.let_second_pass()
    save_state(branch.lab)
    branch.enforce()
    branch.run("klost")
    branch.let_second_pass()
    branch.enforce()
    branch.let_second_pass()
    lost = branch.run("klost", cpus=2)
    branch.lab.save_jobs("klost")
    branch.let_second_pass()
    kill_and_restart(branch.lab)
    branch.enforce()
    amount = branch.ran(lost, cpus=2)
    assert causes(branch, "klost") == {because.LOST: -amount, because.FROM_SACCT: amount}


def test_refunds_and_what_was_used_before_the_first_look(branch: Branch) -> None:
    branch.lab.make_account("early", users=[ADA])
    before = branch.run("early")
    branch.let_second_pass()
    start = now(branch)
    branch.insert("early", 1000)
    branch.let_second_pass()
    job = branch.run("early", cpus=3)
    branch.let_second_pass()
    job_refunds.refund_job(branch.bank, JobCommand(str(job)))
    found = causes(branch, "early", start)
    assert found.pop(because.REFUNDED) == -branch.ran(job, cpus=3)
    # What is cut off may be the last billing-second of it.
    assert found[because.FIRST_LOOK] >= branch.ran(before) - 1
    assert sum(found.values()) == branch.ran(before)


def test_weights_that_were_others_then(branch: Branch) -> None:
    branch.open("weigh")
    weights = ("scontrol", "update", "partitionname=fractional")
    # 7 cores at 0.5 and 7 GB at 0.25 are 5.25, of which sacct shows 5.
    job = branch.lab.submit("weigh", partition="fractional", cpus=7, command="sleep 8")
    end(branch, job)
    branch.enforce()
    branch.lab.run(*weights, "TRESBillingWeights=CPU=9")
    try:
        found = causes(branch, "weigh")
        assert sum(found.values()) == branch.elapsed(job) // 4
        assert found[because.WEIGHTS] >= sum(found.values()) - 1
    finally:
        branch.lab.run(*weights, "TRESBillingWeights=CPU=0.5,Mem=0.25G")


def test_a_charge_for_nothing_is_left_unexplained(branch: Branch) -> None:
    branch.open("forged")
    branch.run("forged")
    branch.let_second_pass()
    branch.enforce()
    branch.run("forged")
    branch.let_second_pass()
    branch.enforce()
    cluster = branch.lab.cluster
    with writing(branch.bank.database) as writer:
        (row,) = writer.query(
            "SELECT name, kind, source, target, amount, actor, reason, entry.grant_id, cluster,"
            " user_name, reference FROM entry JOIN account USING (account_id)"
            " WHERE reference LIKE '%/2'"
        )
        assert row[8] == cluster
        post(writer, [Draft(*row)._replace(amount=SU)], now=branch.bank.clock())
    found = compare(branch)
    assert not found["agrees"]
    assert found["rows"][0]["unexplained_billing_seconds"] == SU - 1


def test_a_charge_that_is_missing_is_left_unexplained(branch: Branch) -> None:
    branch.open("missing")
    branch.run("missing")
    branch.let_second_pass()
    branch.enforce()
    job = branch.run("missing", cpus=4)
    branch.let_second_pass()
    # As if a pass had read the meter and not booked what it showed.
    with writing(branch.bank.database) as writer:
        at = branch.bank.clock()
        writer.execute("UPDATE cluster SET asked_at = :at, answered_at = :at", [{"at": at}])
    found = compare(branch)
    assert not found["agrees"]
    assert found["rows"][0]["unexplained_billing_seconds"] == 1 - branch.ran(job, cpus=4)
