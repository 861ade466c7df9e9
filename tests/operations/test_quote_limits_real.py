"""What a job costs that runs to its time limit on a real cluster, and what is given back for it."""

from fractions import Fraction

from bank.operations import quote
from tests.operations.branch import ADA, SU, Branch
from tests.operations.test_job_refunds_real import counted, end, refund


def test_a_job_costs_what_was_quoted_for_its_limit_and_for_as_long_as_slurm_is_late(
    branch: Branch,
) -> None:
    branch.open("late")
    branch.open("full", 1)
    bank = branch.bank._replace(actor=ADA)
    words = ["-A", "full", "-p", "fractional", "-n", "3", "--time=1"]
    found = quote.quote(bank, [*words, "--wrap=true"], {})
    cost, more = found["cost_billing_seconds"], found["late_billing_seconds"]
    # Three CPUs of 0.5 and three GB of 0.25, for a minute.
    rate = Fraction("2.25")
    assert cost == rate * 60
    (payer,) = found["accounts"]
    assert (payer["available_su"], payer["is_enough"]) == ("1", True)
    # Slurm has no time limit below a minute, and looks for jobs over theirs twice a minute.
    job = branch.lab.submit(
        "full", partition="fractional", minutes=1, command="sleep 600", extra=["-n3"]
    )
    # Beside it one that is refunded: both wait for as long.
    given_back = branch.lab.submit("late", partition="fast", minutes=1, command="sleep 600")
    for one in (job, given_back):
        branch.lab.wait_for_state(one, {"TIMEOUT"}, timeout=150)
    end(branch, job, given_back)
    ran = branch.elapsed(job)
    print(f"a job with a limit of 60 seconds ran {ran}")
    raw = branch.lab.raw_usage("full")
    assert raw == int(rate * ran)
    assert cost <= raw <= cost + more
    ran = branch.ran(given_back)
    assert refund(branch, given_back) == counted(branch, "late") == ran >= 60 * SU
    assert branch.used("late") == 0
