"""The hooks on a real cluster: what the bank says is what Slurm does."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bank.operations import liens, movements
from bank.operations.commands import Command
from bank.operations.liens import Wanted
from bank.policy.liens import token_in
from bank.store.connect import writing
from tests.lab import CommandFailed
from tests.operations.branch import ADA, SU
from tests.plugins.hooked import Hooked

HOUR = 60
OTHER = "set-aside-for-another"


def refusal(hooked: Hooked, *options: str, minutes: int = 10) -> str:
    with pytest.raises(CommandFailed) as caught:
        hooked.sbatch("test1", *options, minutes=minutes)
    return caught.value.stderr


def reinstall(hooked: Hooked, **settings: object) -> None:
    """Change settings, as an admin does: the service is started anew and the hooks installed."""
    hooked.stop()
    hooked.set(**settings)
    hooked.serve()
    hooked.install()


def test_job_that_cannot_be_paid_for_is_refused_with_the_numbers(hooked: Hooked) -> None:
    text = refusal(hooked, "-n4", minutes=60 * HOUR)
    assert "this job may cost up to 240.0 SUs; account test1 has 100.0 available" in text
    assert "(100 granted, 0 used)" in text
    assert "Job violates accounting/QOS policy" in text
    assert hooked.sbatch("test1", "-n4", minutes=25 * HOUR) > 0


def test_every_job_bears_the_token_of_what_was_set_aside_for_it(hooked: Hooked) -> None:
    reinstall(hooked, lien_at="submit")
    hold = "--hold"
    plain = hooked.sbatch("test1", hold, minutes=10 * HOUR)
    array = hooked.sbatch("test1", hold, "--array=1-4%2", minutes=5 * HOUR)
    het = int(
        hooked.lab.run(
            *("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", hold, "-Atest1", "-n1"),
            *("-t", "60", ":", "-n2", "-t", "60", "--wrap=sleep 60"),
            user=ADA,
        )
    )
    found = {lien.token: lien.amount // SU for lien in hooked.liens()}
    shown = [hooked.comment(job) for job in (plain, array, het, het + 1)]
    tokens = [token_in(comment) for comment in shown]
    assert [found.pop(token or "") for token in tokens] == [10, 20, 1, 2]
    assert found == {}
    # What is set aside counts for the next one.
    text = refusal(hooked, minutes=68 * HOUR)
    assert "account test1 has 67.0 available (100 granted, 0 used, 33 set aside for 4 jobs)" in text


def test_what_slurm_refuses_or_only_tests_leaves_no_job_to_pay_for(hooked: Hooked) -> None:
    reinstall(hooked, lien_at="submit")
    hooked.lab.run("sbatch", "--test-only", "-Atest1", "-D/", "--wrap=true", user=ADA)
    with pytest.raises(CommandFailed, match="feature"):
        hooked.sbatch("test1", "--constraint=none")
    # What never runs anywhere is Slurm's to refuse, and nothing is set aside for it.
    with pytest.raises(CommandFailed, match="partition"):
        hooked.sbatch("test1", "--partition=nowhere")
    assert {lien.state for lien in hooked.liens()} <= {"placed"}
    assert {lien.job_id for lien in hooked.liens()} <= {None}


def test_all_tres_and_every_listed_partition_count(hooked: Hooked) -> None:
    text = refusal(hooked, "--partition=normal,fast", minutes=2)
    assert "this job may cost up to 120.0 SUs" in text
    # A CPU, a GPU and a quarter of 4 GB.
    text = refusal(hooked, "--partition=gpu", "--gres=gpu:1", "--mem=4G", minutes=40 * HOUR)
    assert "this job may cost up to 120.0 SUs" in text
    text = refusal(hooked, "--exclusive", minutes=2 * HOUR)
    assert "this job may cost up to 128.0 SUs" in text
    text = refusal(hooked, "--array=1-11", minutes=10 * HOUR)
    assert "this job may cost up to 110.0 SUs" in text


def test_job_without_a_time_limit_needs_an_account_without_one(hooked: Hooked) -> None:
    hooked.lab.run("scontrol", "update", "partitionname=normal", "maxtime=UNLIMITED")
    hooked.lab.make_account("free", users=[ADA])
    movements.insert(hooked.branch.bank, Command("insert", "free", None))
    hooked.stop()
    hooked.serve()
    with pytest.raises(CommandFailed, match="no time limit.*give --time"):
        hooked.sbatch("test1", "--time=UNLIMITED", "--hold")
    assert hooked.sbatch("free", "--time=UNLIMITED", "--hold") > 0


def test_account_that_is_not_open_is_nobodys_business_unless_the_site_says_so(
    hooked: Hooked,
) -> None:
    hooked.lab.make_account("stranger", users=[ADA])
    assert hooked.sbatch("stranger", "-n64", "--hold", minutes=7 * 24 * HOUR) > 0
    reinstall(hooked, unknown_accounts="hold")
    with pytest.raises(CommandFailed, match="account stranger is not open in the bank"):
        hooked.sbatch("stranger", "--hold")


def test_change_that_cannot_be_paid_for_is_refused_and_a_cheaper_one_is_not(
    hooked: Hooked,
) -> None:
    job = hooked.sbatch("test1", "--hold", minutes=90 * HOUR)

    def change(what: str, user: str | None = ADA) -> str:
        hooked.lab.run("scontrol", "update", f"jobid={job}", what, user=user)
        return hooked.lab.job(job)["TimeLimit"]

    with pytest.raises(CommandFailed, match="violates accounting"):
        change(f"timelimit={101 * HOUR}")
    with pytest.raises(CommandFailed, match="violates accounting"):
        change("partition=fast")
    assert change(f"timelimit={99 * HOUR}") == "4-03:00:00"
    movements.withdraw(hooked.branch.bank, Command("withdraw", "test1", 90 * SU))
    # It cannot be paid for any more, and less of it is better than more.
    assert change(f"timelimit={98 * HOUR}") == "4-02:00:00"
    # Slurm's own limits do not bind root either.
    assert change(f"timelimit={99 * HOUR}", user=None) == "4-03:00:00"


def held_job(hooked: Hooked) -> int:
    """Return a job that was held at its start: two were submitted, and one can be paid for."""
    jobs = [hooked.sbatch("test1", "--hold", minutes=60 * HOUR) for _ in range(2)]
    hooked.lab.run("scontrol", "release", ",".join(str(job) for job in jobs))
    hooked.lab.wait_for(lambda: bool(hooked.held()), "a job to be held")
    (held,) = hooked.held()
    (other,) = set(jobs) - {held}
    hooked.lab.wait_for_state(other, {"RUNNING"})
    hooked.lab.wait_for_reason(held, "job_requeued_in_held_state")
    return held


def start_now(hooked: Hooked, job: int) -> None:
    """Let a job start as soon as it may; Slurm lets those that were requeued wait two minutes."""

    def may_start() -> bool:
        found = hooked.lab.job(job)
        return found["Reason"] == "BeginTime" or found["JobState"] == "RUNNING"

    hooked.lab.wait_for(may_start, "the job to wait for its time only")
    hooked.lab.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
    hooked.lab.wait_for_state(job, {"RUNNING"})


def test_job_that_cannot_be_paid_for_when_it_starts_is_held_and_runs_after_a_top_up(
    hooked: Hooked,
) -> None:
    held = held_job(hooked)
    comment = hooked.comment(held)
    assert "held by the bank: this job may cost up to 60.0 SUs" in comment
    assert "account test1 has 40.0 available" in comment
    movements.add(hooked.branch.bank, Command("add", "test1", 100 * SU))
    hooked.lab.wait_for_state(held, {"RUNNING"})
    assert [lien.job_id for lien in hooked.liens()].count(held) == 1
    assert sum(lien.amount for lien in hooked.liens()) == 120 * SU


def test_racing_starts_never_set_more_aside_than_there_is(hooked: Hooked) -> None:
    jobs = [hooked.sbatch("test1", "--hold", minutes=14 * HOUR) for _ in range(20)]
    hooked.lab.run("scontrol", "release", ",".join(str(job) for job in jobs))
    hooked.lab.wait_for(lambda: len(hooked.held()) == 13, "13 jobs to be held", timeout=90)
    kept = [lien for lien in hooked.liens() if lien.state == "bound"]
    assert len(kept) == 7
    assert {lien.job_id for lien in kept} == set(jobs) - set(hooked.held())


def test_job_that_is_requeued_keeps_one_lien(hooked: Hooked) -> None:
    job = hooked.sbatch("test1", minutes=60 * HOUR)
    hooked.lab.wait_for_state(job, {"RUNNING"})
    hooked.lab.run("scontrol", "requeue", str(job))
    start_now(hooked, job)
    assert [(lien.job_id, lien.state, lien.amount // SU) for lien in hooked.liens()] == [
        (job, "bound", 60)
    ]


def test_array_that_was_paid_for_at_submission_starts_without_being_paid_for_again(
    hooked: Hooked,
) -> None:
    reinstall(hooked, lien_at="submit")
    array = hooked.sbatch("test1", "--array=1-3", minutes=30 * HOUR)
    hooked.lab.wait_for(
        lambda: hooked.lab.run("squeue", "-h", "-t", "R", "-j", str(array)).count("\n") == 3,
        "three tasks to run",
    )
    assert [lien.amount // SU for lien in hooked.liens()] == [90]
    assert hooked.held() == []


def interactive(hooked: Hooked) -> str:
    """Return what an interactive job prints of whose account all is set aside before it starts."""
    command = ("srun", "-Atest1", "-n4", f"-t{20 * HOUR}", "--begin=now+3", "-Q", "echo", "runs")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(hooked.lab.run, *command, user=ADA, check=False)
        hooked.lab.wait_for(lambda: hooked.lab.run("squeue", "-h", "-tPD"), "it to be submitted")
        # A withdrawal would leave nothing, and the next pass hold the account.
        with writing(hooked.branch.bank.database) as writer:
            wanted = Wanted(hooked.lab.cluster, "test1", ADA, OTHER, 100 * SU, placed_by="api")
            liens.place(hooked.branch.bank, writer, [wanted])
        return found.result()


def test_interactive_job_that_cannot_be_paid_for_runs_and_is_set_aside_for(hooked: Hooked) -> None:
    assert interactive(hooked).count("runs") == 4
    assert [lien.cost_of_one // SU for lien in hooked.liens() if lien.token != OTHER] == [80]


def test_interactive_job_that_cannot_be_paid_for_is_killed_where_the_site_says_so(
    hooked: Hooked,
) -> None:
    reinstall(hooked, start_refusal="kill")
    assert interactive(hooked) == ""
    assert [lien.token for lien in hooked.liens()] == [OTHER]
    assert hooked.held() == []


def test_report_only_refuses_nothing_and_says_what_it_would_have(hooked: Hooked) -> None:
    reinstall(hooked, hooks="report")
    job = hooked.sbatch("test1", "-n4", minutes=60 * HOUR)
    hooked.lab.wait_for_state(job, {"RUNNING"})
    assert "would be refused: this job may cost up to 240.0 SUs" in hooked.log()
    assert hooked.held() == []
    # It runs, so it is set aside for.
    assert [lien.amount // SU for lien in hooked.liens()] == [240]
    decisions = hooked.told("hooks", "show")["decisions"]
    assert decisions["submit no"] == 1
    assert decisions["start run"] == 1


def test_bank_that_is_away_or_frozen_stops_nobody(hooked: Hooked) -> None:
    hooked.freeze()
    began = time.monotonic()
    hooked.sbatch("test1", "-n4", "--hold", minutes=60 * HOUR)
    assert time.monotonic() - began < 5
    hooked.stop()
    hooked.sbatch("test1", "-n4", "--hold", minutes=60 * HOUR)
    assert "let through without the bank: timeout" in hooked.log()


def test_nobody_is_let_in_without_the_bank_where_the_site_says_so(hooked: Hooked) -> None:
    reinstall(hooked, fail_open=False)
    hooked.stop()
    assert "the bank does not answer" in refusal(hooked)


SITE = """
function slurm_job_submit(job_desc, part_list, submit_uid)
  if job_desc.comment == "stop" then
    slurm.log_user("the site says stop")
    return slurm.ERROR
  end
  job_desc.time_limit = 100 * 60
  return slurm.SUCCESS
end
function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  return slurm.SUCCESS
end
return slurm.SUCCESS
"""


def test_sites_own_scripts_go_on_being_called_and_come_back_when_the_hooks_go(
    hooked: Hooked, tmp_path: Path
) -> None:
    hooked.lab.reconfigure()
    assert hooked.told("hooks", "remove")["lines"] == []
    assert list(hooked.etc.glob("*slurm_bank*")) == []
    script, prolog = hooked.etc / "job_submit.lua", hooked.etc / "site_prolog"
    script.write_text(SITE)
    started = hooked.here / "started"
    started.mkdir(mode=0o777)
    started.chmod(0o777)
    prolog.write_text(f"#!/bin/sh\n/usr/bin/touch {started}/$SLURM_JOB_ID\n")
    prolog.chmod(0o755)
    before = {path.name: path.read_bytes() for path in hooked.etc.iterdir()}
    with_site = {"JobSubmitPlugins": "lua", "PrologSlurmctld": str(prolog)}
    hooked.lab.reconfigure(**with_site)

    lines = hooked.told("hooks", "install")["lines"]
    assert lines == [f"PrologSlurmctld={hooked.etc}/slurm_bank_prolog"]
    hooked.lab.reconfigure(**{**with_site, **dict(line.split("=", 1) for line in lines)})
    assert hooked.told("hooks", "show")["runs_with"]
    with pytest.raises(CommandFailed, match="the site says stop"):
        hooked.sbatch("test1", "--comment=stop")
    # The site's script makes it longer, and that is what is asked about.
    assert "this job may cost up to 200.0 SUs" in refusal(hooked, "-n2")
    job = hooked.sbatch("test1")
    hooked.lab.wait_for((started / str(job)).exists, "the site's prolog")

    lines = hooked.told("hooks", "remove")["lines"]
    assert lines == [f"PrologSlurmctld={prolog}"]
    assert hooked.sbatch("test1", "-n2") > 0
    hooked.lab.reconfigure(**with_site)
    assert hooked.told("hooks", "remove")["lines"] == []
    after = {path.name: path.read_bytes() for path in hooked.etc.iterdir()}
    assert {name: text for name, text in after.items() if name != "slurm.conf"} == {
        name: text for name, text in before.items() if name != "slurm.conf"
    }
    del tmp_path


@pytest.mark.parametrize("end_hook", ["jobcomp", "epilogslurmctld"])
def test_end_of_a_job_is_on_the_disk_and_is_dealt_with(hooked: Hooked, end_hook: str) -> None:
    hooked.stop()
    hooked.set(end_hook=end_hook)
    hooked.serve()
    hooked.stop()
    spool = Path(hooked.branch.bank.settings.spool)
    hooked.serve()
    hooked.install()
    hooked.stop()
    job = hooked.lab.submit("test1", ADA, command="true")
    hooked.lab.wait_for_state(job, {"COMPLETED"})
    hooked.lab.wait_for(lambda: list(spool.glob(f"{job}.*")), "an event")
    (event,) = spool.glob(f"{job}.*")
    assert event.read_text() == f"JOBID={job}\nCLUSTER={hooked.lab.cluster}\nEND=yes\n"
    assert event.stat().st_mode & 0o777 == 0o600
    assert spool.stat().st_mode & 0o777 == 0o700
    hooked.serve()
    hooked.lab.wait_for(lambda: not list(spool.glob("*")), "the event to be dealt with")


ASKS = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
body = b'{"job": {"user_id": 0, "min_cpus": 1}, "mode": "enforce"}'
client.sendall(b"POST " + sys.argv[2].encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close"
    b"\\r\\nContent-Length: " + str(len(body)).encode() + b"\\r\\n\\r\\n" + body)
print(client.makefile().readline())
"""


def test_nobody_but_the_controller_asks_the_hooks_questions(hooked: Hooked) -> None:
    socket = hooked.branch.bank.settings.service_socket

    def asked(user: str | None, hook: str) -> str:
        words = ("/usr/bin/python3", "-c", ASKS, socket, f"/v1/hooks/{hook}")
        return hooked.lab.run(*words, user=user).split()[1]

    for hook in ("submit", "modify", "start"):
        assert asked(ADA, hook) == "403"
    assert asked("slurm", "submit") == "200"
    assert asked(None, "submit") == "200"
