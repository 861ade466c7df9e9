"""kill -9 of a pass that charges, holds, releases and resets, and of slurmctld during one."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.crash.steps import worth_killing
from tests.crash.world import (
    World,
    check_books,
    check_slurm,
    killed_at_each,
    make_world,
)
from tests.lab import Lab

ORIGINAL = 5000
COMMIT = "COMMIT"


class Stage:
    """Brings accounts to where a pass has one of everything to do, again and again.

    "charged" and "held" have used what the bank has not read yet, "released" was given SUs while it
    was held, and of "reset0", "reset1", ... one waits for its RawUsage to be set to 0: what is set
    to 0 cannot be set back, so there are many of those.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.resets = [f"reset{number}" for number in range(20)]
        self.used = ["charged", "held", *self.resets]
        self.unused: list[str] = []
        self.reset = ""
        self.empty = world.files()
        self.template: dict[Path, bytes] = {}
        world.lab.make_accounts(self.used, users=["lab-ada"])
        world.lab.make_account("released")
        for name in ("held", "released"):
            world.set_limit(name, ORIGINAL)

    def original(self, name: str) -> int | None:
        return ORIGINAL if name in ("held", "released") else None

    def _use(self) -> None:
        self._set_limits({name: self.original(name) for name in self.used})
        self.world.use(self.used)
        self.unused = list(self.resets)

    def _set_limits(self, wanted: dict[str, int | None]) -> None:
        shown = self.world.limits()
        for name, limit in wanted.items():
            if shown[name] != limit:
                self.world.set_limit(name, -1 if limit is None else limit)

    def set(self) -> None:
        world = self.world
        names = ("charged", "held", "released")
        if self.template and world.slurm()[self.reset][1]:
            world.put_back(self.template)
            self._set_limits({"charged": None, "held": ORIGINAL, "released": 0})
            return
        if not self.unused:
            self._use()
        self.reset = self.unused.pop()
        self._set_limits({name: self.original(name) for name in names})
        world.put_back(self.empty)
        world.do("insert", "released", "0")
        world.do("insert", self.reset, "100")
        # What was written and not brought to Slurm, because it was killed then.
        lines = [f"reset_usage {self.reset}", "insert charged 100", "insert held 0.5"]
        for line in [*lines, "add released 5"]:
            assert world.run(*line.split(), at=COMMIT).status is None
        self.template = world.files()

    def essence(self) -> list[Any]:
        """Return what is on record and in Slurm, without times."""
        world = self.world
        shown = world.slurm()
        return [
            world.query(
                "SELECT name, granted, used, entry_count FROM account"
                " WHERE name NOT LIKE 'reset%' ORDER BY name"
            ),
            world.query("SELECT granted, entry_count FROM account WHERE name LIKE 'reset%'"),
            world.query(
                "SELECT rtrim(account, '0123456789'), original, intent,"
                " confirmed_at IS NULL FROM slurm_limit ORDER BY account"
            ),
            world.query("SELECT count(*) FROM usage_reset"),
            world.query(
                "SELECT cause, is_gone FROM reading JOIN meter USING (meter_id)"
                " ORDER BY meter_id, seq"
            ),
            [shown[name] for name in ("charged", "held", "released")],
            shown[self.reset][1] > 0,
        ]

    def check_done(self) -> None:
        """Prove that the pass did all that there was to do, once."""
        world = self.world
        check_books(world)
        check_slurm(world, self.original)
        shown = world.slurm()
        used = dict(world.query("SELECT name, used FROM account"))
        assert used == {
            "charged": shown["charged"][1],
            "held": shown["held"][1],
            "released": 0,
            self.reset: 0,
        }
        assert [shown[name][0] for name in ("held", "released")] == [0, ORIGINAL]
        assert shown[self.reset][1] == 0


@pytest.mark.timeout(400)
def test_pass_killed_anywhere_is_healed_by_the_next(lab: Lab, tmp_path: Path) -> None:
    world = make_world(lab, tmp_path)
    stage = Stage(world)
    stage.set()
    whole = world.do("enforce")
    stage.check_done()
    wanted = stage.essence()
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for _ in killed_at_each(world, ["enforce"], points, stage.set):
        state = repr(stage.essence())
        if state not in healed:
            assert world.run("enforce").status == 0
            stage.check_done()
            assert stage.essence() == wanted
            # Nothing is left to do, so nothing is written.
            assert COMMIT not in world.do("enforce").trace
            healed.add(state)
    print(f"enforce: killed at {len(points)} moments, {len(healed)} healed")
    assert len(points) > 40
    assert len(healed) > 5


@pytest.mark.parametrize("moment", ["running scontrol", "start sacctmgr", "ended sacctmgr"])
def test_controller_killed_during_a_pass_loses_nothing(
    moment: str, lab: Lab, tmp_path: Path
) -> None:
    lab.make_accounts(["seen", "fresh"], users=["lab-ada"])
    lab.make_accounts(["empty", "waiting"])
    world = make_world(lab, tmp_path, SLURM_TIMEOUT_SECONDS=30, CONFIRM_SECONDS=1)
    for name in ("seen", "fresh"):
        world.do("insert", name, "1000")
    world.do("insert", "waiting", "0")
    used = dict.fromkeys(("seen", "fresh"), 0)
    jobs: list[str] = []

    def use(*names: str) -> None:
        before = world.slurm()
        for name in names:
            lab.submit(name, partition="fast", command="sleep 1")
        lab.wait_for(lambda: not lab.run("squeue", "-h"), "all jobs to end")
        for name in names:
            used[name] += world.slurm()[name][1] - before[name][1]
        jobs.extend(names)
        # What slurmdbd has not heard of is lost with the controller.
        states = ("sacct", "-a", "-X", "-n", "-P", "-A", "seen,fresh", "-o", "State,Partition")
        lab.wait_for(
            lambda: lab.run(*states).count("COMPLETED|fast") >= len(jobs), "slurmdbd to know"
        )

    use("seen")
    world.do("enforce")
    use("seen", "fresh")
    lab.save_jobs("seen")
    assert world.run("insert", "empty", "0", at=COMMIT).status is None
    assert world.run("add", "waiting", "5", at=COMMIT).status is None
    daemon = lab.daemon("slurmctld")
    pid = daemon.pid
    assert pid is not None
    ended = world.run("enforce", at=moment, act=lambda: os.kill(pid, signal.SIGKILL))
    daemon.wait_until_gone()
    assert ended.status in (69, 75), ended
    check_books(world)
    lab.restart("slurmctld")
    healed = world.run("enforce")
    assert healed.status == 0, healed
    check_books(world)
    check_slurm(world, lambda _: None)
    charged = dict(world.query("SELECT name, used FROM account"))
    assert charged == {**used, "empty": 0, "waiting": 0}
