"""Many processes at once, some of them killed: every SU is accounted for."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bank.operations.bank import utc_text
from tests.children import in_child, is_running, status_of
from tests.crash import steps
from tests.crash.steps import Ended
from tests.crash.world import SU, World, check_books, check_slurm, make_world
from tests.lab import Lab

SECONDS = 12
# What the processes work on; the other accounts are there and stay as they are.
BUSY = 40


def together(world: World, *commands: list[str], at_start: bool = False) -> list[Ended]:
    """Run commands at the same time; all have asked what there is before the first one writes.

    Args:
        world: where.
        commands: what to run.
        at_start: let them go when all are started; for those that ask Slurm one after the other.
    """
    ready, go = os.pipe(), os.pipe()

    def wait_for_all() -> None:
        os.write(ready[1], b".")
        os.close(go[1])
        # Ends when the parent closes its end, for all of them at once.
        os.read(go[0], 1)

    # Else the last step before the lock is asked for.
    moment: dict[str, Any] = {"at": "PRAGMA synchronous", "act": wait_for_all}
    if at_start:
        moment = {"prepare": wait_for_all}
    waits = [steps.start(world.settings, argv, **moment) for argv in commands]
    for _ in commands:
        os.read(ready[0], 1)
    os.close(go[1])
    try:
        return [wait() for wait in waits]
    finally:
        for descriptor in (*ready, go[0]):
            os.close(descriptor)


def statuses(ended: list[Ended]) -> Counter[int | None]:
    return Counter(one.status for one in ended)


def test_twenty_withdrawals_at_once_take_what_is_there_and_no_more(
    lab: Lab, tmp_path: Path
) -> None:
    lab.make_account("purse")
    world = make_world(lab, tmp_path)
    world.do("insert", "purse", "7.5")
    ended = together(world, *[["withdraw", "purse", "1"]] * 20)
    assert statuses(ended) == {0: 7, 1: 13}, [one.err for one in ended]
    refused = [one.err for one in ended if one.status == 1]
    assert all("available are 0.5" in text for text in refused), refused
    assert world.query("SELECT granted FROM account") == [(SU // 2,)]
    check_books(world)
    check_slurm(world, lambda _: None)


@pytest.mark.timeout(400)
def test_twenty_transfers_at_once_give_what_is_there_and_no_more(lab: Lab, tmp_path: Path) -> None:
    lab.make_accounts(["purse", "one", "other"])
    world = make_world(lab, tmp_path, SLURM_TIMEOUT_SECONDS=100)
    world.do("insert", "purse", "5.5")
    world.do("grant", "purse", "2", "--start", "2020-01-01", "--end", "2099-01-01")
    for name in ("one", "other"):
        world.do("insert", name, "0")
    commands = [["transfer", "purse", name, "1"] for name in ("one", "other") * 10]
    ended = together(world, *commands)
    assert statuses(ended) == {0: 7, 1: 13}, [one.err for one in ended]
    assert all("available are 0.5" in one.err for one in ended if one.status == 1)
    granted = dict(world.query("SELECT name, granted FROM account WHERE is_open"))
    assert granted["purse"] == SU // 2
    assert granted["one"] + granted["other"] == 7 * SU
    # The dates went along, whoever was first.
    dated = "SELECT sum(granted) FROM allocation_grant WHERE is_dated = 1"
    assert world.query(dated) == [(2 * SU,)]
    check_books(world)
    assert world.run("enforce").status == 0
    check_slurm(world, lambda _: None)


@pytest.mark.timeout(400)
def test_twenty_refunds_at_once_give_back_what_was_used_and_no_more(
    lab: Lab, tmp_path: Path
) -> None:
    lab.make_account("purse")
    world = make_world(lab, tmp_path, SLURM_TIMEOUT_SECONDS=100)
    world.do("insert", "purse", "5")
    world.do("adjust", "purse", "7.5", "--reason", "a test")
    ended = together(world, *[["refund", "purse", "1"]] * 20)
    assert statuses(ended) == {0: 7, 1: 13}, [one.err for one in ended]
    assert all("itself has used 0.5" in one.err for one in ended if one.status == 1)
    assert world.query("SELECT used FROM account WHERE is_open") == [(SU // 2,)]
    check_books(world)
    assert world.run("enforce").status == 0
    check_slurm(world, lambda _: None)


@pytest.mark.timeout(400)
def test_grants_that_are_due_are_turned_over_once_whoever_comes_first(
    lab: Lab, tmp_path: Path
) -> None:
    lab.make_accounts(["purse", "taker"])
    world = make_world(lab, tmp_path, SLURM_TIMEOUT_SECONDS=100)
    world.do("insert", "purse", "3")
    world.do("insert", "taker", "0")
    due_at = int(time.time()) + 10
    due = utc_text(due_at * 1_000_000)
    world.do("grant", "purse", "50", "--start", "2020-01-01", "--end", due)
    world.do("grant", "purse", "4.5", "--start", due, "--end", "2099-01-01")
    assert time.time() < due_at, "the machine is too slow for this test"
    lab.wait_for(lambda: time.time() > due_at, "the grants to be due")
    transfers = [["transfer", "purse", "taker", "1"]] * 12
    # Those that ask nothing of Slurm before turn the grants over themselves.
    deposits = [["deposit", "taker", "1"], ["deposit", "purse", "1", "--dry-run"]]
    commands = [["enforce"], *transfers, *deposits, ["enforce"]]
    ended = together(world, *commands, at_start=True)
    # A pass may have found another one running.
    assert {ended[0].status, ended[-1].status} <= {0, 75}
    assert statuses(ended[1:13]) == {0: 7, 1: 5}, [one.err for one in ended]
    assert statuses(ended[13:15]) == {0: 2}
    turned = "SELECT kind, amount FROM entry WHERE reason LIKE 'grant % has ended'"
    assert world.query(turned) == [("expiry", 50 * SU)]
    turned = "SELECT kind, amount FROM entry WHERE reason LIKE 'grant % starts' AND amount = ?"
    assert world.query(turned, 9 * SU // 2) == [("deposit", 9 * SU // 2)]
    granted = dict(world.query("SELECT name, granted FROM account WHERE is_open"))
    assert granted == {"purse": SU // 2, "taker": 8 * SU}
    check_books(world)
    assert world.run("enforce").status == 0
    check_slurm(world, lambda _: None)


def test_same_key_used_by_eight_at_once_has_one_effect_and_one_answer(
    lab: Lab, tmp_path: Path
) -> None:
    lab.make_account("keyed")
    world = make_world(lab, tmp_path)
    world.do("insert", "keyed", "1")
    ended = together(world, *[["add", "keyed", "10", "--key", "k", "--json"]] * 8)
    assert statuses(ended) == {0: 8}, [one.err for one in ended]
    answers = Counter(one.out for one in ended)
    (first, repeat) = sorted(answers, key=lambda text: answers[text])
    assert (answers[first], answers[repeat]) == (1, 7)
    assert first.replace('"is_repeat": false', '"is_repeat": true') == repeat
    assert world.query("SELECT granted FROM account") == [(11 * SU,)]
    assert world.query("SELECT count(*) FROM entry WHERE idempotency_key = 'k'") == [(1,)]
    check_books(world)


def test_same_account_inserted_by_eight_at_once_is_opened_once(lab: Lab, tmp_path: Path) -> None:
    lab.make_account("opened")
    world = make_world(lab, tmp_path)
    ended = together(world, *[["insert", "opened", "5"]] * 8)
    assert statuses(ended) == {0: 1, 1: 7}, [one.err for one in ended]
    assert world.query("SELECT granted FROM account") == [(5 * SU,)]
    check_books(world)


def run_tasks(lab: Lab, account: str, count: int) -> int:
    """Run an array to its end, and until slurmdbd knows it and the second is over."""
    array = [f"--array=1-{count}"]
    job = lab.submit(account, partition="fast", command="sleep 1", extra=array)
    question = ("sacct", "-aXnP", "-j", str(job), "-o", "State")
    wanted = ["COMPLETED"] * count
    lab.wait_for(lambda: lab.run(*question).split() == wanted, f"all of {job} to end")
    until = int(time.time()) + 2
    lab.wait_for(lambda: time.time() >= until, "the second to pass")
    return job


def test_a_job_refunded_by_six_at_once_is_refunded_once(lab: Lab, tmp_path: Path) -> None:
    lab.make_account("twice", users=["lab-ada"])
    world = make_world(lab, tmp_path)
    world.do("insert", "twice", "100")
    job = run_tasks(lab, "twice", 2)
    world.do("enforce")
    command = ["refund", "--job", str(job)]
    # One of two kinds is done first; what it has done the other finds.
    window = ["refund", "--window", "2020-01-01", "2100-01-01", "--yes"]
    ended = together(world, *[command] * 4, *[window] * 2)
    assert statuses(ended) in ({0: 3, 1: 3}, {0: 2, 1: 4}), [one.err for one in ended]
    refused = [one.err for one in ended if one.status == 1]
    assert all("(already_refunded)" in text for text in refused)
    assert world.query("SELECT used FROM account") == [(0,)]
    assert world.query("SELECT count(*) FROM entry WHERE kind = 'refund'") == [(2,)]
    assert world.query("SELECT count(*) FROM job_refund") == [(2,)]
    check_books(world)


class Worker:
    """Does one command after the other, as a killed one's successor would."""

    def __init__(self, world: World, seed: int, end: float) -> None:
        self.world = world
        self.random = random.Random(seed)  # noqa: S311 -- repeatable on purpose
        self.end = end
        self.report = world.directory / f"worker{seed}"

    def work(self) -> None:
        """Run until it is time; write down each command before it, and its status after it."""
        world, choice = self.world, self.random
        with self.report.open("a", encoding="utf-8") as report:
            while time.monotonic() < self.end:
                verb = choice.choice(("add", "add", "withdraw", "withdraw", "enforce"))
                name = f"busy{choice.randrange(BUSY)}"
                key = f"{os.getpid()}-{choice.random()}"
                argv = [verb, name, str(choice.randint(1, 9)), "--key", key]
                report.write(f"{' '.join(argv)}\n")
                report.flush()
                ended = world.run(*(["enforce"] if verb == "enforce" else argv))
                # Refused for want of SUs, or kept waiting too long by a pass, is in order.
                assert ended.status in (0, 1, 75), ended
                report.write(f"= {key} {ended.status}\n")
                report.flush()


def start_worker(worker: Worker) -> int:
    """Start one in a process group of its own, so that what it has started is killed with it."""

    def work() -> None:
        os.setpgid(0, 0)
        worker.work()

    child = in_child(work)
    # Here too: it may be killed before it comes to that.
    os.setpgid(child, child)
    return child


def test_a_thousand_accounts_four_processes_and_kills(lab: Lab, tmp_path: Path) -> None:
    names = [f"busy{number}" for number in range(BUSY)]
    lab.make_accounts([*names, *(f"quiet{number}" for number in range(1000 - BUSY))])
    world = make_world(lab, tmp_path, UNKNOWN_ACCOUNTS="allocate", DEFAULT_ALLOCATION=3)
    world.do("enforce")
    assert world.query("SELECT count(*) FROM account WHERE is_open") == [(1000,)]
    chance = random.Random(20_000)  # noqa: S311 -- repeatable on purpose
    end = time.monotonic() + SECONDS
    running = {start_worker(Worker(world, seed, end)): seed for seed in range(4)}
    kills = 0
    ends: set[int] = set()
    while running:
        # The pause is the load: somebody is killed every so often.
        time.sleep(chance.uniform(0.1, 0.5))
        if time.monotonic() < end:
            victim = chance.choice(sorted(running))
            os.killpg(victim, signal.SIGKILL)
            kills += 1
        for child in list(running):
            if not is_running(child):
                ends.add(status_of(child))
                seed = running.pop(child)
                if time.monotonic() < end:
                    running[start_worker(Worker(world, seed + 10, end))] = seed + 10
    assert ends <= {0, -signal.SIGKILL}
    assert kills > SECONDS / 2
    check_everything(world, names)


def check_everything(world: World, names: list[str]) -> None:
    """Hold the books against what the processes wrote down that they did."""
    check_books(world)
    asked: dict[str, tuple[str, str, int]] = {}
    ended: dict[str, int] = {}
    for path in world.directory.glob("worker*"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[0] == "=":
                ended[words[1]] = int(words[2])
            elif words[0] != "enforce":
                asked[words[4]] = (words[0], words[1], int(words[2]) * SU)
    sign = {"add": 1, "withdraw": -1}
    booked = dict(world.query("SELECT idempotency_key, count(*) FROM entry GROUP BY 1"))
    expected = dict.fromkeys(names, 3 * SU)
    unclear = 0
    for key, (verb, name, amount) in asked.items():
        if ended.get(key) == 0:
            assert booked.get(key) == 1, key
        elif key in ended:
            assert key not in booked, key
        else:
            # Killed with its process: it was done whole or not at all.
            unclear += 1
            assert booked.get(key, 0) in (0, 1), key
        if key in booked:
            expected[name] += sign[verb] * amount
    assert set(booked) - {None} <= set(asked)
    granted = dict(world.query("SELECT name, granted FROM account"))
    assert {name: granted[name] for name in names} == expected
    assert min(granted.values()) >= 0
    assert {amount for name, amount in granted.items() if name not in expected} == {3 * SU}
    print(f"{len(asked)} commands, {unclear} of them killed half way, {len(booked)} booked")
    assert world.run("enforce").status == 0
    check_books(world)
    check_slurm(world, lambda _: None)
    assert len(asked) > SECONDS
    assert unclear > 1
