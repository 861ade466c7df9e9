"""A bank that answers the hooks of the test cluster, as a site would have it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bank.errors import BankError
from bank.operations.service_calls import ask_service
from bank.store import held_jobs, liens
from bank.store.connect import reading
from bank.store.liens import Lien
from tests.lab import Lab
from tests.operations.branch import ADA, Branch

ROOT = Path(__file__).resolve().parents[2]


class Hooked:
    """A cluster whose controller asks a bank.

    Attributes:
        lab: the cluster.
        branch: the bank.
        here: where its settings and its socket are; everybody may pass.
        etc: the directory of slurm.conf.
    """

    def __init__(self, lab: Lab, branch: Branch, here: Path) -> None:
        self.lab = lab
        self.branch = branch
        self.here = here
        self.etc = lab.slurm_conf.parent
        self.service: subprocess.Popen[bytes] | None = None
        self.set()

    def set(self, **settings: object) -> None:
        """Change the site's settings."""
        self.branch.set(**settings)
        values = self.branch.bank.settings._asdict()
        lines = [
            f"{name.upper()} = {list(value) if isinstance(value, tuple) else value!r}"
            for name, value in values.items()
            if name not in ("default_allocation", "limit_tolerance")
        ]
        path = self.here / "settings.py"
        path.write_text("\n".join([*lines, ""]))
        path.chmod(0o644)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the bank's command."""
        ended = subprocess.run(
            [sys.executable, ROOT / "slurm_bank.py", *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    def told(self, *words: str) -> Any:  # noqa: ANN401
        """Run the bank's command; return what it says to programs."""
        return json.loads(self.command(*words, "--json").stdout)

    def _environment(self) -> dict[str, str]:
        return {**self.lab.environment, "SLURM_BANK_SETTINGS": str(self.here / "settings.py")}

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the bank's command, of which nobody reads what it says, and do not wait for it."""
        with (self.here / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, ROOT / "slurm_bank.py", *words],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )

    def serve(self) -> None:
        """Start the service; return when it knows what the cluster has."""
        self.service = self.begin("serve")
        self.lab.wait_for(self._is_ready, "the service to be ready")

    def _is_ready(self) -> bool:
        try:
            return ask_service(self.branch.bank, "/ready") == "ready\n"
        except BankError:
            assert self.service is not None
            assert self.service.poll() is None, (self.here / "service.log").read_text()
            return False

    def stop(self) -> None:
        """End the service."""
        if self.service is not None and self.service.poll() is None:
            self.service.send_signal(signal.SIGCONT)
            self.service.terminate()
            self.service.wait(60)

    def freeze(self) -> None:
        """Stop the service where it is."""
        assert self.service is not None
        self.service.send_signal(signal.SIGSTOP)

    def install(self) -> None:
        """Install the hooks, and let the controller run with the lines that they say."""
        lines = self.told("hooks", "install")["lines"]
        if lines:
            added = dict(line.split("=", 1) for line in lines)
            self.lab.reconfigure(**{**self.lab.record.overrides, **added})

    def sbatch(self, account: str, *options: str, minutes: int = 10) -> int:
        """Submit a job that sleeps; return its number."""
        return self.lab.submit(account, ADA, minutes=minutes, command="sleep 600", extra=options)

    def comment(self, job: int) -> str:
        """Return the AdminComment of a job, '' for none."""
        text = self.lab.run("scontrol", "show", "job", str(job))
        found = [line for line in text.splitlines() if "AdminComment=" in line]
        return found[0].partition("AdminComment=")[2] if found else ""

    def liens(self) -> list[Lien]:
        """Return all liens, newest first."""
        with reading(self.branch.bank.database) as reader:
            return liens.find_newest(reader, 1000)

    def held(self) -> list[int]:
        """Return the jobs that are on record as held."""
        with reading(self.branch.bank.database) as reader:
            return [one.job_id for one in held_jobs.find(reader)]

    def log(self) -> str:
        """Return what the controller logged of the bank."""
        text = (self.lab.directory / "log" / "slurmctld.log").read_text()
        return "\n".join(line for line in text.splitlines() if "slurm_bank" in line)
