"""What a job costs that runs to its time limit on a real cluster, against what quote said."""

from fractions import Fraction

from bank.operations import quote
from tests.operations.branch import ADA, Branch


def test_a_job_costs_what_was_quoted_for_its_limit_and_for_as_long_as_slurm_is_late(
    branch: Branch,
) -> None:
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
    branch.lab.wait_for_state(job, {"TIMEOUT"}, timeout=150)
    branch.wait_for_sacct(job)
    ran = branch.elapsed(job)
    print(f"a job with a limit of 60 seconds ran {ran}")
    raw = branch.lab.raw_usage("full")
    assert raw == int(rate * ran)
    assert cost <= raw <= cost + more
