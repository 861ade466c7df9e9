"""The lab itself, tried on a real cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab import Lab, bulk, daemons, layout, machine
from tests.lab.config import Node, Site, gres_conf, slurm_conf
from tests.lab.daemons import Daemon
from tests.lab.errors import AlreadyThere, CommandFailed, DaemonFailed, LabError, Missing, NotInTime
from tests.lab.processes import PLAIN_ENVIRONMENT, run, run_or_raise, wait_for

ADA, BOB = machine.JOB_USERS


def test_fast_job_raises_raw_usage_by_its_core_seconds(lab: Lab) -> None:
    lab.make_account("test1", users=[ADA])
    job_id = lab.submit("test1", ADA, partition="fast", cpus=2, command="sleep 2")
    job = lab.wait_for_state(job_id, {"COMPLETED"})
    assert job["Account"] == "test1"
    used = lab.wait_for(lambda: lab.raw_usage("test1"), "usage of test1")
    elapsed = int(lab.run("sacct", "-Xn", "-o", "ElapsedRaw", "-j", str(job_id)))
    assert used == elapsed * 2 * 3600
    assert lab.raw_usage("test1", ADA) == used


def test_gpu_job_bills_cores_memory_and_gpus(lab: Lab) -> None:
    lab.make_account("test1", users=[BOB])
    job_id = lab.submit("test1", BOB, partition="gpu", command="sleep 1", extra=["--gres=gpu:2"])
    job = lab.wait_for_state(job_id, {"RUNNING"})
    # 1 core, a quarter for its 1 GB, 2 GPUs: 3.25, shown as a whole number.
    assert "billing=3" in job["TRES"]
    assert "gres/gpu=2" in job["TRES"]


def test_held_account_keeps_jobs_pending_until_it_is_released(lab: Lab) -> None:
    lab.make_account("test1", users=[ADA])
    which = ("where", "account=test1", f"cluster={lab.cluster}")
    lab.run("sacctmgr", "-i", "modify", "account", *which, "set", "GrpTRESMins=cpu=0")
    job_id = lab.submit("test1", ADA, partition="normal", command="sleep 1")
    lab.wait_for_reason(job_id, "AssocGrpCPUMinutesLimit")
    lab.run("sacctmgr", "-i", "modify", "account", *which, "set", "GrpTRESMins=cpu=-1")
    lab.wait_for_state(job_id, {"RUNNING", "COMPLETED"}, timeout=60)


def test_many_accounts_with_users_arrive_at_the_controller(lab: Lab) -> None:
    lab.make_account("above", users=[BOB])
    names = [f"m{number}" for number in range(bulk.WORTH_IT)]
    lab.make_accounts(names, parent="above", users=[ADA])
    job_id = lab.submit(names[-1], ADA, partition="fast", command="sleep 1")
    lab.wait_for_state(job_id, {"COMPLETED"})
    used = lab.wait_for(lambda: lab.raw_usage("above"), "usage of the parent")
    assert used == lab.raw_usage(names[-1], ADA)


def test_killed_controller_comes_back_with_its_accounts(lab: Lab) -> None:
    lab.make_account("test1", users=[ADA])
    lab.kill("slurmctld")
    assert not lab.is_up()
    with pytest.raises(CommandFailed):
        lab.run("sshare", "-n", timeout=0.5)
    lab.restart("slurmctld")
    assert lab.raw_usage("test1") == 0
    job_id = lab.submit("test1", ADA, command="true")
    lab.wait_for_state(job_id, {"COMPLETED"})


def test_frozen_controller_answers_nobody_until_it_is_thawed(lab: Lab) -> None:
    lab.freeze("slurmctld")
    try:
        with pytest.raises(CommandFailed) as caught:
            lab.run("squeue", timeout=1)
    finally:
        lab.thaw("slurmctld")
    assert caught.value.status is None
    assert lab.run("squeue", "-h") == ""


def test_reconfigure_changes_a_parameter_and_puts_it_back(lab: Lab) -> None:
    lab.reconfigure(PriorityDecayHalfLife="1:00:00")
    assert "PriorityDecayHalfLife   = 01:00:00" in lab.run("scontrol", "show", "config")
    lab.reconfigure()
    assert "PriorityDecayHalfLife   = 00:00:00" in lab.run("scontrol", "show", "config")


def test_waiting_in_vain_says_for_what_and_what_was_seen(lab: Lab) -> None:
    lab.make_account("test1", users=[ADA])
    job_id = lab.submit("test1", ADA, extra=["--hold"])
    with pytest.raises(NotInTime, match=r"RUNNING.*PENDING"):
        lab.wait_for_state(job_id, {"RUNNING"}, timeout=0.2)
    lab.run("scancel", str(job_id))
    with pytest.raises(LabError, match="CANCELLED"):
        lab.wait_for_state(job_id, {"RUNNING"})


def test_clean_ends_jobs_and_forgets_accounts(lab: Lab) -> None:
    lab.make_accounts(["test1", "test2"], users=[ADA, BOB])
    lab.run("sacctmgr", "-i", "add", "qos", "urgent")
    lab.submit("test1", ADA, command="sleep 600")
    lab.submit("test2", BOB, command="sleep 600", extra=["--hold"])
    lab.clean()
    assert lab.run("squeue", "-h") == ""
    assert "test1" not in lab.run("sshare", "-an")
    assert lab.run("sacctmgr", "-nP", "show", "qos", "format=name").split() == ["normal"]
    lab.make_account("test1", users=[ADA])
    assert lab.raw_usage("test1") == 0


def test_second_cluster_shares_the_accounting_and_has_its_own_accounts(lab: Lab) -> None:
    other = lab.second_cluster("other")
    try:
        lab.make_account("test1", users=[ADA])
        other.make_account("test2", users=[ADA])
        job_id = other.submit("test2", ADA, partition="fast", command="sleep 1")
        other.wait_for_state(job_id, {"COMPLETED"})
        assert other.wait_for(lambda: other.raw_usage("test2"), "usage") >= 3600
        assert "test2" not in lab.run("sshare", "-an")
        assert "test2" in lab.run("sshare", "-an", "-M", "other")
        shown = lab.run("sacctmgr", "-nP", "show", "cluster", "format=cluster").split()
        assert shown == sorted([lab.cluster, "other"])
    finally:
        other.stop()
    assert lab.run("sacctmgr", "-nP", "show", "cluster", "format=cluster").split() == [lab.cluster]
    assert lab.is_up()


def processes_of(directory: Path) -> list[int]:
    """Return processes that have the directory in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in seen:
            found.append(int(entry.name))
    return found


def test_two_labs_side_by_side_and_down_leaves_nothing(lab: Lab) -> None:
    name = f"side{os.getpid()}"
    with Lab(name) as side:
        side.make_account("test1", users=[ADA])
        running = side.submit("test1", ADA, command="sleep 600")
        side.wait_for_state(running, {"RUNNING"})
        assert "test1" not in lab.run("sshare", "-an")
        assert processes_of(side.directory)
        assert Lab.attach(name).raw_usage("test1") == 0
        with pytest.raises(AlreadyThere, match="is up"):
            Lab(name).start()
        side.freeze("slurmctld")
        side.freeze("slurmdbd")
        side.freeze("slurmd-c1")
    assert not side.directory.exists()
    assert wait_for(lambda: not processes_of(side.directory), "the lab's processes to end", 5)
    assert lab.is_up()
    with pytest.raises(Missing, match="there is no lab"):
        Lab.attach(name)


def test_lab_outlives_the_program_that_started_it_and_leftovers_are_said(lab: Lab) -> None:
    name = f"left{os.getpid()}"
    root = Path(__file__).resolve().parents[2]
    script = [sys.executable, str(root / "scripts" / "lab")]
    environment = {**PLAIN_ENVIRONMENT, "SLURM_LAB_HOME": str(lab.directory.parent)}
    run_or_raise([*script, "up", name], environment=environment)
    found = Lab.attach(name)
    try:
        assert found.is_up()
        assert "up already" in run([*script, "up", name], environment=environment).stderr
        assert "idle" in run_or_raise([*script, "status", name], environment=environment)
        for daemon in found.daemons():
            daemon.kill()
        said: list[str] = []
        again = Lab(name, say=said.append)
        again.start()
        assert any("its daemons are gone" in line for line in said)
    finally:
        run_or_raise([*script, "down", name], environment=environment)
    assert not found.directory.exists()


def test_daemon_that_does_not_come_up_shows_the_end_of_its_log(lab: Lab) -> None:
    with pytest.raises(DaemonFailed, match="nonsense"):
        lab.reconfigure(PriorityType="priority/nonsense")
    lab.reconfigure()
    assert lab.is_up()


def test_signal_goes_to_no_process_that_took_over_the_pid(tmp_path: Path) -> None:
    argv = ["sleep", "60"]
    log, pid_file = tmp_path / "log", tmp_path / "pid.json"
    daemon = Daemon("sleeper", argv, PLAIN_ENVIRONMENT, "root", log, pid_file, lambda: True)
    with subprocess.Popen(argv) as somebody_else:
        text = f'{{"pid": {somebody_else.pid}, "start_ticks": 1, "boot": "another"}}'
        pid_file.write_text(text)
        assert daemon.pid is None
        with pytest.raises(LabError, match="not running"):
            daemon.send(signal.SIGKILL)
        assert somebody_else.poll() is None
        somebody_else.kill()


def test_daemon_that_ended_before_it_could_be_looked_at_does_not_run(tmp_path: Path) -> None:
    argv = ["true"]
    log, pid_file = tmp_path / "log", tmp_path / "pid.json"
    daemon = Daemon("gone", argv, PLAIN_ENVIRONMENT, "root", log, pid_file, lambda: True)
    with subprocess.Popen(argv) as gone:
        gone.wait()
    known = {"pid": gone.pid, "start_ticks": None, "boot": daemons.boot_id()}
    pid_file.write_text(json.dumps(known))
    assert daemon.pid is None
    assert not daemon.is_frozen


def test_no_two_labs_get_the_same_ports(tmp_path: Path) -> None:
    counter = tmp_path / "next_port"
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: machine.free_ports(5, counter), range(20)))
    assert len({port for ports in given for port in ports}) == 5 * 20
    counter.write_text(str(machine.PORTS.stop - 1))
    assert set(machine.free_ports(2, counter)) < set(machine.PORTS)


def test_timeout_kills_the_whole_process_group() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end"):
        run(["sh", "-c", "sleep 30 & sleep 30"], timeout_seconds=0.2)
    assert time.monotonic() - began < 5


def test_configuration_takes_overrides_whatever_their_case() -> None:
    nodes = (Node("c1", 3), Node("g1", 4, gpus=2))
    site = Site("x", Path("/lab"), Path("/lab/munge/socket"), "host", (22, 5), 1, 2, nodes)
    text = slurm_conf(site, "slurm", {"messagetimeout": "3", "SlurmdTimeout": "", "New": "1"})
    assert "MessageTimeout=3\n" in text
    assert "SlurmdTimeout" not in text
    assert "\nNew=1\n" in text
    assert text.count("PartitionName=") == 4
    assert gres_conf(site).splitlines()[1] == "NodeName=g1 Name=gpu File=/lab/gpu/gpu1"


@pytest.mark.parametrize("name", ["", "Lab", "a-b", "1a", "a/b", "a\n", "ä"])
def test_names_that_slurm_or_the_database_would_twist_are_refused(name: str) -> None:
    with pytest.raises(LabError):
        layout.check_name(name)
