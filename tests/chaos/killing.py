"""Killing whatever has to do with the money, at any moment, and starting it again."""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable

from tests.lab import Lab, LabError
from tests.lab.accounts import resume_nodes
from tests.plugins.hooked import Hooked

# Of a hundred kills as many of each.
WEIGHTS = {"service": 25, "slurmctld": 25, "reconcile": 20, "enforce": 20, "slurmdbd": 10}


class Killer:
    """Kills with SIGKILL, and starts again.

    Attributes:
        killed: how often who was.
        ended: how many commands had ended before they could be.
    """

    def __init__(self, hooked: Hooked, seed: int) -> None:
        self.hooked = hooked
        self.lab: Lab = hooked.lab
        self.killed: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311

    def kill_until(self, is_enough: Callable[[], bool]) -> None:
        """Kill one after the other until it is enough, and leave everything running."""
        while not is_enough():
            who = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if who == "service":
                self.kill_service()
            elif who in ("reconcile", "enforce"):
                self.kill_command(who)
            else:
                self.kill_daemon(who)
            self._pause(2)

    def _pause(self, most_seconds: float) -> None:
        """Let a part of time pass: it is what is random here, and nothing is waited for."""
        time.sleep(self._random.random() * most_seconds)

    def kill_service(self) -> None:
        """Kill the service; it comes back with liens placed at the one moment or at the other."""
        service = self.hooked.service
        assert service is not None
        assert service.poll() is None, (self.hooked.here / "service.log").read_text()
        service.kill()
        service.wait(30)
        self.killed["service"] += 1
        self._pause(1)
        self.hooked.set(lien_at=self._random.choice(["submit", "start"]))
        self.hooked.service = self.hooked.begin("serve")

    def kill_daemon(self, name: str) -> None:
        """Kill a daemon of Slurm's."""
        self.lab.kill(name)
        self.killed[name] += 1
        self._pause(1)
        self.lab.restart(name)
        self.resume_nodes()

    def resume_nodes(self) -> None:
        """Put nodes back to work on which a job runs that a killed controller forgot."""
        try:
            resume_nodes(self.lab)
        except LabError as error:
            print(f"nodes are not resumed this time: {error}")

    def kill_command(self, verb: str) -> None:
        """Start a command of the bank's, and kill it somewhere on its way."""
        command = self.hooked.begin(verb)
        try:
            command.wait(self._random.random() * 1.5)
            self.ended[verb] += 1
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait(30)
            self.killed[verb] += 1
