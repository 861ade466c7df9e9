"""docs/hooks.md: every command of the page is run, and what comes is what it says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.errors import BankError
from bank.operations.bank import Bank
from bank.operations.service_calls import ask_service
from bank.settings import Settings
from tests.demo.terminal import run_in_terminal, without_colours
from tests.lab import Lab
from tests.lab.processes import wait_for
from tests.test_docs import CLUSTER, ROOT, environment_for, sessions

PAGE = ROOT / "docs" / "hooks.md"


class Machine:
    """The machine of slurmctld, as the page knows it.

    Attributes:
        lab: the cluster.
        here: what the page calls /etc/slurm_bank.
    """

    def __init__(self, lab: Lab, here: Path) -> None:
        self.lab = lab
        self.here = here
        self.etc = lab.slurm_conf.parent
        self.environment = environment_for(lab, here)
        self.service: subprocess.Popen[bytes] | None = None
        settings = here / "py_sb_settings.py"
        text = settings.read_text(encoding="utf-8")
        for name, place in (("SERVICE_SOCKET", "bank.sock"), ("SPOOL", "spool")):
            text = re.sub(rf"^{name} = .*$", f"{name} = '{here}/{place}'", text, flags=re.MULTILINE)
        settings.write_text(text, encoding="utf-8")

    def type(self, command: str) -> list[str]:
        """Type a command of the page; return what it prints, as the page would have it."""
        if command.startswith("systemctl "):
            self._systemctl(command.split()[1:])
            return []
        here = command.replace("/etc/slurm_bank", str(self.here)).replace(
            "/etc/slurm/", f"{self.etc}/"
        )
        shown = run_in_terminal(
            ["/bin/sh", "-c", here], environment=self.environment, directory=ROOT
        )
        text = without_colours(shown.text).replace(str(self.etc), "/etc/slurm")
        text = text.replace(str(self.here), "/etc/slurm_bank").replace(self.lab.cluster, CLUSTER)
        return plain(text)

    def _is_ready(self) -> bool:
        settings = Settings("/nowhere", service_socket=str(self.here / "bank.sock"))
        try:
            return ask_service(Bank(settings, "tester", print), "/ready") == "ready\n"
        except BankError:
            return False

    def _systemctl(self, words: list[str]) -> None:
        """Do what systemd does for the page."""
        match words:
            case ["restart", "slurmctld"]:
                self.lab.restart("slurmctld")
            case ["enable", "--now", "slurm_bank.socket", "slurm_bank.service"]:
                argv = [sys.executable, str(ROOT / "slurm_bank.py"), "serve"]
                self.service = subprocess.Popen(argv, env=self.environment)
                wait_for(self._is_ready, "the service to be ready", 60)
            case _:
                pytest.fail(f"systemctl {words}")


def plain(text: str) -> list[str]:
    """Return lines without what differs from run to run."""
    text = re.sub(r"batch job \d+", "batch job N", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]*Z", "TIME", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def machine(lab: Lab, public_directory: Path) -> Iterator[Machine]:
    machine = Machine(lab, public_directory)
    try:
        yield machine
    finally:
        if machine.service is not None:
            machine.service.terminate()
            machine.service.wait(60)
        lab.reconfigure()


def test_every_command_of_the_page_does_what_it_says(machine: Machine) -> None:
    machine.lab.make_account("physics", users=["root", "lab-ada"])
    before = {path.name for path in machine.etc.iterdir()}
    for command in ("./slurm_bank.py migrate", "./slurm_bank.py insert physics 100"):
        machine.type(command)
    for typed in sessions(PAGE.read_text(encoding="utf-8")):
        assert machine.type(typed.command) == plain(typed.output), typed.command
    assert {path.name for path in machine.etc.iterdir()} == before
