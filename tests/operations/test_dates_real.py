"""Ends of periods and thresholds on a real cluster: jobs that wait, and a script that is told."""

import json
from pathlib import Path

from bank.operations import movements, notices
from bank.operations.commands import Command
from tests.operations.branch import SU, Branch

_DAY_MICROSECONDS = 86_400_000_000


def test_jobs_wait_when_the_period_is_over_and_start_with_the_next(branch: Branch) -> None:
    branch.set(check_dates=True, on_end="hold", proposal_length_days=10)
    today = branch.bank
    branch.bank = today._replace(clock=lambda: today.clock() - 12 * _DAY_MICROSECONDS)
    branch.open("acc")
    branch.bank = today
    done = branch.enforce()
    assert done.held_now == ["acc"]
    held_for = branch.standing("acc").account.hold_reason
    assert held_for is not None
    assert held_for.startswith("its period ended on ")
    job = branch.lab.submit("acc", partition="fast", command="sleep 1")
    branch.lab.wait_for_reason(job, "AssocGrpCPUMinutesLimit")
    branch.enforce()
    movements.modify(branch.bank, Command("modify", "acc", 1_000_000 * SU))
    assert branch.standing("acc").account.hold_reason is None
    branch.lab.wait_for_state(job, {"COMPLETED"})
    said = [text for text in branch.warnings if "periods that are over" not in text]
    assert said == []


def test_thresholds_are_told_once_while_jobs_run(branch: Branch, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat >> {tmp_path}/told\n")
    script.chmod(0o755)
    branch.set(notify_command=str(script))
    # A second of a job is an SU here; each job takes one or two.
    branch.open("acc", 10)

    def told() -> list[str]:
        file = tmp_path / "told"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["id"] for line in lines]

    # A good part at once: then one job after the other comes by every threshold.
    branch.run("acc", cpus=3)
    seen: set[str] = set()
    while not branch.standing("acc").holds:
        branch.run("acc")
        for _ in range(2):
            branch.enforce()
            notices.tell_all(branch.bank)
        percent = branch.used("acc") * 100 // (10 * SU)
        reached = (("lower_limit", 60), ("upper_limit", 90), ("max_limit", 100))
        seen = {f"acc/{event}/1" for event, least in reached if percent >= least}
        assert sorted(told()) == sorted(seen), percent
    assert len(seen) == 3
    movements.add(branch.bank, Command("add", "acc", 90 * SU))
    branch.enforce()
    notices.tell_all(branch.bank)
    assert len(told()) == 3
    with branch.reading() as reader:
        flags = reader.query(
            "SELECT upper_limit_informed, lower_limit_informed, max_limit_informed FROM sbank"
        )
    assert flags == [(0, 0, 0)]
    assert branch.warnings == []
