"""The shell scripts as cron and admins run them: fresh processes, and programs in Slurm's place."""

import subprocess
import sys
from pathlib import Path

from bank.slurm.command import Slurm
from tests.fake_slurm import FakeSlurm

# What cron gives a job, and nothing more.
_ENVIRONMENT = {"HOME": "/", "LOGNAME": "root", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
_QUESTIONS = {
    "config": ["scontrol", "show", "config"],
    "assoc_mgr": ["scontrol", "-o", "show", "assoc_mgr", "flags=assoc,qos"],
}


class Programs:
    """Programs that answer what a model of Slurm answers now, and settings that name them.

    Attributes:
        directory: where they are, for SLURM_BIN.
        calls: the file in which each call is a line.
        settings: the settings file.
    """

    def __init__(self, fake: FakeSlurm, settings: Path) -> None:
        self.fake = fake
        self.directory = settings.parent / "programs"
        self.calls = self.directory / "calls"
        self.settings = settings
        self.directory.mkdir()
        with settings.open("a", encoding="utf-8") as file:
            file.write(f"SLURM_BIN = '{self.directory}'\n")
        self.answer()

    def answer(self) -> None:
        """Let the programs answer as the model does at this moment."""
        slurm = Slurm("/nowhere", "", 1)
        for name, question in _QUESTIONS.items():
            (self.directory / name).write_text(self.fake.run(slurm, question), encoding="utf-8")
        self.write(
            "scontrol",
            f'echo "$*" >>{self.calls}\n'
            f'case "$*" in *config*) cat {self.directory}/config ;;'
            f" *) cat {self.directory}/assoc_mgr ;; esac",
        )

    def write(self, name: str, commands: str) -> Path:
        """Put a shell script in the place of one of Slurm's commands."""
        path = self.directory / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{commands}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def run_script(
        self, script: Path, *, directory: Path = Path("/"), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as cron does, from a directory of which it knows nothing."""
        given = {
            **_ENVIRONMENT,
            "SLURM_BANK_SETTINGS": str(self.settings),
            "PYTHON": sys.executable,
            "cron_log_dir": "/nonexistent",
            **environment,
        }
        return subprocess.run(
            [script], cwd=directory, env=given, capture_output=True, text=True, check=False
        )
