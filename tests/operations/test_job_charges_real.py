"""What jobs of every kind are charged on a real cluster is what sacct says, worked out anew."""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from bank.operations import comparison_with_slurm, reconciling, source_changes
from bank.operations.enforcement import enforce
from tests.lab import Lab
from tests.lab.accounts import end_jobs
from tests.lab.client import FINAL_STATES
from tests.operations.branch import ADA, Branch
from tests.operations.test_controller_real import kill_and_restart
from tests.operations.test_job_refunds_real import add_qos

# What the lab's slurm.conf says, for a core, a gigabyte and a GPU.
STATES = (
    "BOOT_FAIL,CANCELLED,COMPLETED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,REQUEUED,"
    "RESIZING,REVOKED,RUNNING,SUSPENDED,TIMEOUT"
)
WEIGHTS = {
    "normal": ("1", "0", "0"),
    "fractional": ("0.5", "0.25", "0"),
    "fast": ("3600", "0", "0"),
    "gpu": ("1", "0.25", "1"),
}


@pytest.fixture
def branch(lab: Lab, tmp_path: Path) -> Branch:
    """A bank that charges by jobs, without accounts."""
    return Branch(lab, tmp_path, usage_source="jobs")


def gigabytes(text: str) -> Fraction:
    if not text:
        return Fraction(0)
    units = {"M": Fraction(1, 1024), "G": Fraction(1), "T": Fraction(1024)}
    return Fraction(text[:-1]) * units[text[-1]]


def worked_out(
    lab: Lab, account: str, factors: dict[str, str], weights: dict[int, tuple[str, ...]]
) -> dict[str, int]:
    """Return what each run of an account costs by sacct alone: the one thing that both have.

    Args:
        lab: the cluster.
        account: whose.
        factors: UsageFactor by QOS; 1 for the others.
        weights: of runs that began while the partition had others, by job.
    """
    question = (
        *("sacct", "-aXnPD", "-S", "2020-01-01", "-E", "now"),
        *("-o", "DBIndex,JobIDRaw,Partition,QOS,Start,End,ElapsedRaw,AllocTRES,Account"),
    )
    # Only with all states, and without -A, does it show a run of which it was told but the end.
    rows = {*lab.run(*question).splitlines(), *lab.run(*question, "-s", STATES).splitlines()}
    found = {}
    for row in rows:
        index, job, partition, qos, start, end, elapsed, allocated, whose = row.split("|")
        if start in ("Unknown", "None") or end == "Unknown" or whose != account:
            continue
        tres = dict(part.split("=") for part in allocated.split(",") if part)
        billing = Fraction(tres.get("billing", "0"))
        if partition:
            of_core, of_gb, of_gpu = weights.get(int(job), WEIGHTS[partition])
            billing = Fraction(of_core) * int(tres.get("cpu", "0"))
            billing += Fraction(of_gb) * gigabytes(tres.get("mem", ""))
            billing += Fraction(of_gpu) * int(tres.get("gres/gpu", "0"))
        cost = billing * Fraction(factors.get(qos, "1")) * int(elapsed)
        exact = Decimal(cost.numerator) / Decimal(cost.denominator)
        found[index] = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return found


def charged(branch: Branch, account: str) -> dict[str, int]:
    """Return what each run is charged, as the entries of the account have it."""
    with branch.reading() as reader:
        rows = reader.query(
            "SELECT reference, sum(CASE target WHEN 'used' THEN amount ELSE -amount END) FROM entry"
            " JOIN account USING (account_id) WHERE name = :name AND reference LIKE 'job %'"
            " GROUP BY reference",
            name=account,
        )
    return {reference.rpartition("/")[2]: amount for reference, amount in rows}


def agrees(
    branch: Branch,
    *accounts: str,
    factors: dict[str, str] | None = None,
    weights: dict[int, tuple[str, ...]] | None = None,
) -> None:
    """Reconcile, and assert that every run is charged what it costs, once and by everybody."""
    for _ in range(2):
        reconciling.reconcile_all(branch.bank, None)
        for account in accounts:
            wanted = worked_out(branch.lab, account, factors or {}, weights or {})
            assert charged(branch, account) == {run: cost for run, cost in wanted.items() if cost}
    branch.agrees(**{account: sum(charged(branch, account).values()) for account in accounts})
    compared = comparison_with_slurm.compare(branch.bank, None, None)
    assert compared["agrees"], compared["rows"]
    booked = Counter[str]()
    for row in compared["rows"]:
        booked[row["account"]] += row["booked_billing_seconds"]
    assert booked == Counter({account: branch.charged(account) for account in accounts})


def test_each_kind_of_job_is_charged_as_sacct_says(branch: Branch) -> None:
    kinds = {
        "fraction": ("fractional", 3, "sleep 3", ["--mem=1500M"]),
        "below_one": ("fractional", 1, "sleep 3", ["--mem=1M"]),
        "dear": ("fractional", 3, "sleep 3", ["--qos=dear"]),
        "free": ("fast", 1, "sleep 3", ["--qos=free"]),
        "two_nodes": ("normal", 1, "sleep 3", ["-N2", "-n2"]),
        "failed": ("fast", 1, "sleep 2; false", []),
        "gpu": ("gpu", 1, "sleep 3", ["--gres=gpu:2"]),
        "array": ("normal", 1, "sleep 1", ["--array=1-5%2"]),
    }
    for name in kinds:
        branch.open(name)
    add_qos(branch, "dear", "dear", "2")
    add_qos(branch, "free", "free", "0")
    for name, (partition, cpus, command, extra) in kinds.items():
        branch.lab.submit(name, ADA, partition=partition, cpus=cpus, command=command, extra=extra)
    never = branch.lab.submit("failed", ADA, extra=["--begin=now+1hour"])
    branch.lab.run("scancel", str(never))
    suspended = branch.start("fraction")
    branch.lab.run("scontrol", "suspend", str(suspended))
    branch.let_second_pass()
    branch.lab.run("scontrol", "resume", str(suspended))
    branch.cancel(suspended)
    # Ended while it was suspended.
    stopped = branch.start("gpu")
    branch.lab.run("scontrol", "suspend", str(stopped))
    branch.let_second_pass()
    branch.cancel(stopped)
    branch.lab.wait_for(lambda: not branch.lab.run("squeue", "-h"), "all jobs to end")
    agrees(branch, *kinds, factors={"dear": "2", "free": "0"})
    assert branch.used("fraction") > 0
    assert branch.used("free") == 0


def test_requeued_and_heterogeneous_jobs(branch: Branch) -> None:
    branch.open("again")
    branch.open("het")
    branch.lab.run(
        *("sbatch", "--parsable", "-A", "het", "-p", "normal", "-n", "2", "-t", "1"),
        *("--output=/dev/null", "--chdir=/", ":", "-p", "fractional", "-n", "3", "--wrap=sleep 2"),
        user=ADA,
    )
    job = branch.start("again")
    branch.let_second_pass()
    branch.lab.run("scontrol", "requeue", str(job))
    branch.lab.wait_for_state(job, {"PENDING"})
    branch.lab.run("scontrol", "update", f"jobid={job}", "starttime=now")
    branch.lab.wait_for_state(job, {"RUNNING", *FINAL_STATES}, timeout=180)
    branch.let_second_pass()
    # Its second run may have ended by itself, on a node that still cleans up after the first.
    branch.lab.run("scancel", "--quiet", str(job), check=False)
    branch.lab.wait_for_state(job, set(FINAL_STATES))
    branch.wait_for_sacct(job)
    branch.lab.wait_for(lambda: not branch.lab.run("squeue", "-h"), "all jobs to end")
    agrees(branch, "again", "het")
    assert len(charged(branch, "again")) == 2
    assert len(charged(branch, "het")) == 2


def test_weights_that_change_while_jobs_run_count_for_those_that_begin_then(
    branch: Branch,
) -> None:
    lab = branch.lab
    branch.open("weigh")
    before = branch.start("weigh")
    branch.enforce()
    # Nobody has looked between the change and the start: sacct's whole number says so.
    lab.run("scontrol", "update", "partition=fast", "TRESBillingWeights=CPU=100")
    try:
        after = branch.start("weigh")
        branch.let_second_pass()
        branch.cancel(before)
        branch.cancel(after)
        agrees(branch, "weigh", weights={after: ("100", "0", "0")})
    finally:
        lab.run("scontrol", "update", "partition=fast", "TRESBillingWeights=CPU=3600")
    with branch.reading() as reader:
        rows = reader.query("SELECT job_id, priced_by FROM job_charge ORDER BY job_id")
    assert rows == [(before, "weights"), (after, "weights seen next")]


def test_what_a_killed_controller_forgot_is_charged_all_the_same(branch: Branch) -> None:
    lab = branch.lab
    branch.open("crash")
    running = branch.start("crash")
    branch.run("crash", command="sleep 2")
    kill_and_restart(lab)
    lab.run("scancel", "--quiet", str(running), check=False)
    # It may be given the number of one that still runs, and fail for that.
    again = lab.submit("crash", ADA, partition="fast", command="sleep 1")
    lab.wait_for_state(again, FINAL_STATES)
    end_jobs(lab)
    (told,) = reconciling.reconcile_all(branch.bank, None)
    for shown in told["stuck"]:
        # For slurmdbd it runs on: an admin ends it, and then it is charged.
        assert any(shown in note for note in told["notes"])
    lab.run("sacctmgr", "show", "runawayjobs", stdin="y\n")
    agrees(branch, "crash")


def test_jobs_take_over_from_meters_and_give_way_to_them_while_a_job_runs(
    lab: Lab, tmp_path: Path
) -> None:
    branch = Branch(lab, tmp_path)
    branch.open("over")
    job = branch.start("over")
    ended = branch.run("over", command="sleep 2")
    branch.enforce()
    branch.set(usage_source="jobs")
    told: list[str] = []
    (done,) = source_changes.change_source(branch.bank, told.append)
    assert done["is_changed"]
    assert done["running"] == 1
    assert told
    by_meters = branch.charged("over")
    assert by_meters >= branch.elapsed(ended) * 3600
    branch.run("over", command="sleep 1")
    enforce(branch.bank)
    branch.set(usage_source="meters")
    (back,) = source_changes.change_source(branch.bank, told.append)
    by_jobs = branch.charged("over") - by_meters
    assert by_jobs > 0
    branch.let_second_pass()
    branch.cancel(job)
    branch.let_second_pass()
    (final,) = enforce(branch.bank)
    assert not final.notes
    # What a reading cuts off is not even one.
    ran = lab.raw_usage("over")
    uncertain = done["uncertain_billing_seconds"] + back["uncertain_billing_seconds"]
    assert 0 <= ran - branch.charged("over") <= uncertain
    branch.agrees(over=branch.charged("over"))
