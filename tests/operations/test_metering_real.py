"""Use on a real cluster is charged to the billing-second, and once."""

import multiprocessing
from pathlib import Path

from bank.errors import Busy
from bank.operations.bank import Bank
from bank.operations.clusters import all_clusters
from bank.operations.metering import read_meters
from tests.operations.branch import ADA, BOB, SU, Branch

# A further process needs nothing but the bank.
FORK = multiprocessing.get_context("fork")


def test_use_of_several_users_is_charged_to_the_billing_second(branch: Branch) -> None:
    branch.open("several", users=[ADA, BOB])
    jobs = branch.run_all([("several", ADA, 1), ("several", BOB, 3), ("several", ADA, 5)])
    ran = [branch.ran(job, cpus=cpus) for job, cpus in zip(jobs, (1, 3, 5), strict=True)]
    done = branch.enforce()
    assert (done.accounts, done.charged) == (1, sum(ran))
    by_user = dict(branch.by_user("several"))
    assert by_user == {ADA: ran[0] + ran[2], BOB: ran[1]}
    branch.agrees(several=sum(ran))


def test_fractions_of_many_small_jobs_do_not_add_up_to_a_drift(branch: Branch) -> None:
    branch.open("parts")
    total = 0
    for _ in range(3):
        # 0.5 for the core and 0.25 for each of 4.25 gigabytes: 25/16 a second.
        extra = ["--array=1-6", "--mem=4352"]
        total += branch.run_array("parts", 6, partition="fractional", extra=extra)
        branch.enforce()
        # RawUsage keeps the fraction; whole billing-seconds of the sum are booked.
        assert branch.charged("parts") == total * 25 // 16
    assert total % 16, "the fraction happens to be none: nothing was tried"
    branch.agrees(parts=total * 25 // 16)


def test_gpus_and_memory_are_charged_by_their_weights(branch: Branch) -> None:
    branch.open("gpus")
    job = branch.run("gpus", partition="gpu", extra=["--gres=gpu:2", "--mem=2G"])
    branch.enforce()
    branch.agrees(gpus=branch.elapsed(job) * 7 // 2)


def test_an_association_with_a_partition_is_a_meter_of_its_own(branch: Branch) -> None:
    branch.open("parted")
    branch.sacctmgr("add", "user", ADA, "account=parted", "partition=fast")
    branch.lab.wait_for(lambda: branch.meters("parted") == 2, "the association to be known")
    fast = branch.run("parted", cpus=2)
    normal = branch.run("parted", partition="normal")
    branch.enforce()
    branch.agrees(parted=branch.ran(fast, cpus=2) + branch.elapsed(normal))
    with branch.reading() as reader:
        rows = reader.query("SELECT partition_name, raw FROM meter ORDER BY partition_name")
    assert rows == [("", branch.elapsed(normal)), ("fast", branch.ran(fast, cpus=2))]


def _read_once(bank: Bank, results: "multiprocessing.Queue[int]") -> None:
    (cluster,) = all_clusters(bank)
    results.put(sum(read_meters(bank, cluster).charged.values()))


# Answers as the real one, but not before the file "late" is gone.
LATE = """#!/bin/sh
/usr/bin/scontrol "$@" >{here}/answer.$$
case "$*" in *assoc_mgr*)
    : >{here}/answered
    while [ -e {here}/late ]; do /bin/sleep 0.02; done
esac
/bin/cat {here}/answer.$$
"""


def test_a_late_reading_is_taken_again(branch: Branch, tmp_path: Path) -> None:
    branch.open("late")
    read = branch.run("late")
    branch.enforce()
    second = branch.run("late", cpus=2)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(LATE.format(here=tmp_path))
    scontrol.chmod(0o755)
    (tmp_path / "late").touch()
    slow = branch.bank._replace(settings=branch.bank.settings._replace(slurm_bin=str(tmp_path)))
    results: multiprocessing.Queue[int] = FORK.Queue()
    reader = FORK.Process(target=_read_once, args=(slow, results))
    reader.start()
    branch.lab.wait_for((tmp_path / "answered").exists, "the late reader to be answered")
    # Its answer is on the way; meanwhile more is used, and another process books it all.
    third = branch.run("late", cpus=4)
    branch.enforce()
    (tmp_path / "late").unlink()
    assert results.get(timeout=30) == 0
    reader.join(30)
    branch.agrees(late=branch.ran(read) + branch.ran(second, cpus=2) + branch.ran(third, cpus=4))


def test_a_frozen_controller_delays_a_reading_and_spoils_nothing(branch: Branch) -> None:
    branch.open("frozen")
    job = branch.run("frozen")
    results: multiprocessing.Queue[int] = FORK.Queue()
    branch.lab.freeze("slurmctld")
    readers = [FORK.Process(target=_read_once, args=(branch.bank, results)) for _ in range(2)]
    for reader in readers:
        reader.start()
    branch.lab.wait_for(
        lambda: all(branch.is_asking(reader.pid) for reader in readers), "both readers to ask"
    )
    branch.lab.thaw("slurmctld")
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0
    assert sorted(results.get(timeout=5) for _ in readers) == [0, branch.ran(job)]
    branch.agrees(frozen=branch.ran(job))


def _read_often(bank: Bank, times: int) -> None:
    (cluster,) = all_clusters(bank)
    for _ in range(times):
        try:
            read_meters(bank, cluster)
        except Busy:
            # Said, and nothing is booked; the next one reads.
            continue


def test_readers_that_overlap_all_the_time_book_once(branch: Branch) -> None:
    branch.open("overlap", users=[ADA, BOB])
    readers = [FORK.Process(target=_read_often, args=(branch.bank, 60)) for _ in range(3)]
    for reader in readers:
        reader.start()
    jobs = []
    while any(reader.is_alive() for reader in readers):
        jobs += branch.run_all([("overlap", user, 1) for user in (ADA, BOB, ADA, BOB)])
    assert [reader.exitcode for reader in readers] == [0, 0, 0]
    branch.enforce()
    assert len(jobs) >= 4
    branch.agrees(overlap=branch.ran(*jobs))


def test_what_running_jobs_may_still_use_is_set_aside(branch: Branch) -> None:
    branch.open("aside")
    job = branch.start("aside", cpus=2)
    branch.enforce()
    standing = branch.standing("aside")
    # Ten minutes at most, in whole minutes as Slurm counts them, less what it has counted so far.
    assert 0 <= 10 * 60 * 2 * SU - standing.used - standing.set_aside < 60
    assert standing.available == 1_000_000 * SU - standing.set_aside
    branch.cancel(job)
    branch.enforce()
    assert branch.standing("aside").set_aside == 0
    branch.agrees(aside=branch.ran(job, cpus=2))
