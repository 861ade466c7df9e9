"""Slurm's faults: nothing is decided from nothing or written, the message says what to do."""

import os
import stat
from pathlib import Path

import pytest

from tests.crash.steps import Ended
from tests.crash.world import World, check_books, check_slurm, make_world
from tests.lab import Lab

COMMANDS = ("scontrol", "sacctmgr", "sacct", "squeue", "sdiag")
LEAVE_ALONE = 'exec /usr/bin/{name} "$@"'


def fake_commands(directory: Path, **scripts: str) -> None:
    """Put commands into a directory, those that are not named as they really are."""
    directory.mkdir(exist_ok=True)
    for name in COMMANDS:
        path = directory / name
        body = scripts.get(name, LEAVE_ALONE.format(name=name))
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def snapshot(world: World) -> list[object]:
    """Return everything in the database."""
    tables = [row[0] for row in world.query("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [world.query(f"SELECT * FROM {table}") for table in tables]  # noqa: S608


def is_one_line(ended: Ended) -> bool:
    """Say whether a command said one thing about itself, and no more."""
    lines = ended.err.splitlines()
    return len(lines) == 1 and lines[0].startswith("slurm_bank: ") and ended.out == ""


def work_for_a_pass(lab: Lab, directory: Path, **settings: object) -> World:
    """Make a bank where a pass has something to charge, to hold and to release."""
    lab.make_account("spent", users=["lab-ada"])
    lab.make_account("topped")
    world = make_world(lab, directory, SLURM_BIN=str(directory / "bin"), **settings)
    fake_commands(directory / "bin")
    world.do("insert", "topped", "0")
    assert world.run("add", "topped", "5", at="COMMIT").status is None
    assert world.run("insert", "spent", "0.5", at="COMMIT").status is None
    lab.submit("spent", partition="fast", command="sleep 1")
    lab.wait_for(lambda: not lab.run("squeue", "-h"), "the job to end")
    return world


def finish(world: World) -> None:
    """Prove that the next pass catches up."""
    assert world.run("enforce").status == 0
    check_books(world)
    check_slurm(world, lambda _: None)
    shown = world.slurm()
    assert shown["spent"][0] == 0
    assert world.query("SELECT name, used FROM account ORDER BY name") == [
        ("spent", shown["spent"][1]),
        ("topped", 0),
    ]


def test_controller_down_or_frozen_decides_nothing(lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path, SLURM_TIMEOUT_SECONDS=1)
    before = snapshot(world)
    lab.freeze("slurmctld")
    ended = world.run("enforce")
    assert (ended.status, is_one_line(ended)) == (75, True), ended
    assert "scontrol ping" in ended.err
    assert snapshot(world) == before
    # What was asked of the books is done; Slurm follows later, and that is said.
    added = world.run("add", "spent", "1", "--key", "frozen")
    assert added.status == 0
    assert "booked; Slurm is not up to date for spent, the next pass does it" in added.err
    # The point of a hold is that Slurm has it.
    held = world.run("hold", "topped", "--reason", "late")
    assert held.status == 75
    assert "the hold of topped is on record, and Slurm does not have it yet" in held.err
    freed = world.run("release_hold", "topped")
    assert freed.status == 75
    assert "the hold by hand of topped is lifted in the books" in freed.err
    lab.thaw("slurmctld")
    world.do("modify", "spent", "0.5")
    finish(world)


def test_slurmdbd_frozen_or_down_is_said_and_healed(lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path, SLURM_TIMEOUT_SECONDS=1, CONFIRM_SECONDS=1)
    for how in ("freeze", "kill"):
        getattr(lab, how)("slurmdbd")
        ended = world.run("enforce")
        assert ended.status == 75, ended
        assert "the controller does not show the change for spent, topped" in ended.err, ended
        check_books(world)
        # The controller still says what was used.
        assert world.query("SELECT count(*) FROM entry WHERE kind = 'charge'") == [(1,)]
        assert world.limits() | {"root": None} == {"root": None, "spent": None, "topped": 0}
        state = world.run("balance", "spent").out
        assert "asked for by the bank" in state
        if how == "freeze":
            lab.thaw("slurmdbd")
            lab.kill("slurmdbd")
            lab.restart("slurmdbd")
            before = world.limits()
            assert before["topped"] in (0, None)
            if before != {"root": None, "spent": None, "topped": 0}:
                break
    lab.restart("slurmdbd")
    world.run("enforce")
    finish(world)


def test_hung_command_is_ended_with_all_that_it_started(lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path, SLURM_TIMEOUT_SECONDS=1)
    before = snapshot(world)
    pids = tmp_path / "pids"
    hung = f"sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait; sleep 1000"
    fake_commands(tmp_path / "bin", scontrol=hung)
    ended = world.run("enforce")
    assert (ended.status, is_one_line(ended)) == (75, True), ended
    assert "did not answer within 1 s" in ended.err
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    for pid in started:
        assert not os.path.exists(f"/proc/{pid}/exe") or _is_dead(pid), pid  # noqa: PTH110
    assert snapshot(world) == before
    fake_commands(tmp_path / "bin")
    finish(world)


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_command_that_fails_or_is_not_there_decides_nothing(lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path)
    before = snapshot(world)
    fake_commands(tmp_path / "bin", scontrol="echo half an answer; echo no luck >&2; exit 3")
    ended = world.run("enforce")
    assert (ended.status, is_one_line(ended)) == (69, True), ended
    assert "scontrol ended with status 3: no luck" in ended.err
    (tmp_path / "bin" / "scontrol").unlink()
    ended = world.run("enforce")
    assert (ended.status, is_one_line(ended)) == (69, True), ended
    assert "SLURM_BIN" in ended.err
    assert snapshot(world) == before
    fake_commands(tmp_path / "bin")
    finish(world)


# Which question's answer is spoilt: scontrol asks for the configuration first, then for accounts.
QUESTIONS = {
    "configuration": "show config",
    "associations": "show assoc_mgr flags=assoc",
}
SPOILT = {
    "nothing": "true",
    "garbage": "echo 'what is this? {{}}'",
    "a page of a proxy": "printf '<html>\\n<body>502</body>\\n</html>\\n'",
    "not UTF-8": "printf 'Account=\\377\\376\\n'",
    "zeros": "head -c 500 /dev/zero",
}


def spoil(world: World, question: str, how: str) -> None:
    body = f"""case "$*" in
*"{question}"*) {how} ;;
*) exec /usr/bin/scontrol "$@" ;;
esac"""
    fake_commands(world.directory / "bin", scontrol=body)


def test_output_that_is_not_understood_decides_nothing(lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path)
    before = snapshot(world)
    limits = world.limits()
    for question in QUESTIONS.values():
        for what, how in SPOILT.items():
            spoil(world, question, how)
            ended = world.run("enforce")
            assert (ended.status, is_one_line(ended)) == (76, True), (question, what, ended)
            assert snapshot(world) == before, (question, what)
    assert world.limits() == limits
    fake_commands(tmp_path / "bin")
    finish(world)


@pytest.mark.parametrize("question", QUESTIONS)
def test_answer_cut_off_in_a_line_decides_nothing(question: str, lab: Lab, tmp_path: Path) -> None:
    world = work_for_a_pass(lab, tmp_path)
    before = snapshot(world)
    limits = world.limits()
    whole = lab.run("scontrol", "-o", *QUESTIONS[question].split()).encode()
    cuts, at = set(), 0
    for line in whole.splitlines(keepends=True):
        if len(line) > 1:
            cuts |= {at + len(line) // 3 + 1, at + len(line) - 1}
        if question == "configuration":
            # Between two lines, too: it has an end that can be told.
            cuts.add(at)
        at += len(line)
    answer = tmp_path / "answer"
    step = max(len(cuts) // 40, 1)
    # Without its last line break the configuration is whole all the same.
    cuts -= {len(whole) - 1} if question == "configuration" else set()
    for cut in sorted(cuts)[::step]:
        answer.write_bytes(whole[:cut])
        spoil(world, QUESTIONS[question], f"cat {answer}")
        ended = world.run("enforce")
        assert (ended.status, is_one_line(ended)) == (76, True), (whole[:cut][-60:], ended)
        assert snapshot(world) == before, cut
    assert world.limits() == limits
    fake_commands(tmp_path / "bin")
    finish(world)
