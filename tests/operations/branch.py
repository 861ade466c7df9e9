"""A bank with a database of its own on the test cluster, and what really ran there."""

import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from pathlib import Path
from typing import Self

from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import Pass, enforce
from bank.settings import Settings
from bank.slurm import assoc_mgr
from bank.store import accounts, read
from bank.store.connect import Reader, reading
from bank.store.read import Standing
from tests.lab import Lab, bulk, layout

SU = 3600
ADA, BOB = "lab-ada", "lab-bob"
# What slurmdbd says of a job that has ended.
_ENDED = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "REQUEUED"}


class Branch:
    """A bank on a cluster.

    Attributes:
        lab: the cluster.
        bank: what operations are given.
        warnings: what the bank told a person beside the work.
    """

    def __init__(self, lab: Lab, directory: Path, **settings: object) -> None:
        self.lab = lab
        self.warnings: list[str] = []
        known = Settings(
            database=str(directory / "bank.db"),
            logfile=str(directory / "bank.log"),
            slurm_conf=str(lab.slurm_conf),
            slurm_timeout_seconds=30,
        )
        self.bank = Bank(
            known._replace(**settings),  # type: ignore[arg-type]
            "tester",
            self._hear,
        )
        upkeep.migrate(self.bank, dry_run=False)

    def _hear(self, text: str) -> None:
        """Keep what was warned of; that the last second before a reset cannot be known is usual."""
        if "cannot be known" not in text:
            self.warnings.append(text)

    def on(self, lab: Lab) -> Self:
        """Return the same bank as it is seen from another cluster: its jobs, its limits."""
        other = copy(self)
        other.lab = lab
        return other

    def set(self, **settings: object) -> None:
        """Change the site's settings, as an admin edits the file between two passes."""
        changed = self.bank.settings._replace(**settings)  # type: ignore[arg-type]
        self.bank = self.bank._replace(settings=changed)

    def open(
        self,
        name: str,
        su: int | None = 1_000_000,
        *,
        users: Sequence[str] = (ADA,),
        parent: str = "root",
    ) -> None:
        """Make an account in Slurm and give it SUs in the bank."""
        self.lab.make_account(name, parent=parent, users=users)
        self.insert(name, su)

    def insert(self, name: str, su: int | None) -> None:
        """Open an account in the bank."""
        movements.insert(self.bank, Command("insert", name, None if su is None else su * SU))

    def enforce(self) -> Pass:
        """Run a pass and return what it did on the cluster."""
        (done,) = enforce(self.bank)
        return done

    def standing(self, name: str) -> Standing:
        """Return where an account stands in the books."""
        with self.reading() as reader:
            found = read.standing(reader, name)
        assert found is not None, f"{name} is not open in the bank"
        return found

    def used(self, name: str) -> int:
        """Return what an account and all below it have used, in billing-seconds."""
        return self.standing(name).used

    def charged(self, name: str) -> int:
        """Return what was ever charged to an account itself, open in the bank or not."""
        with self.reading() as reader:
            account = accounts.find(reader, name)
            rows = reader.query(
                "SELECT coalesce(sum(amount), 0) FROM entry JOIN account USING (account_id)"
                " WHERE name = :name AND target = 'used'",
                name=name,
            )
        assert account is not None, f"the bank never had {name}"
        return int(rows[0][0])

    def entries(self, name: str) -> list[tuple[str, int]]:
        """Return the kind and the amount of each entry of an account."""
        with self.reading() as reader:
            return [
                (kind, amount)
                for kind, amount in reader.query(
                    "SELECT kind, amount FROM entry JOIN account USING (account_id)"
                    " WHERE name = :name ORDER BY seq",
                    name=name,
                )
            ]

    def booked(self, name: str) -> list[tuple[str, int]]:
        """Return the entries that charge an account."""
        return [entry for entry in self.entries(name) if entry[0] in ("charge", "adjustment")]

    def by_user(self, name: str) -> list[tuple[str, int]]:
        """Return what was charged to an account for each user."""
        with self.reading() as reader:
            rows = reader.query(
                "SELECT user_name, sum(amount) FROM entry JOIN account USING (account_id)"
                " WHERE name = :name AND target = 'used' GROUP BY user_name",
                name=name,
            )
        return [(user, amount) for user, amount in rows]

    def reading(self) -> AbstractContextManager[Reader]:
        """Open the books to look at them."""
        return reading(self.bank.database)

    def agrees(self, **charged: int) -> None:
        """Assert that the books hold exactly this, that all agrees, and that it stays so.

        Args:
            charged: by account, the billing-seconds ever charged to it.
        """
        for _ in range(2):
            found = {name: self.charged(name) for name in charged}
            assert found == charged, f"charged {found}, ran {charged}"
            wrong = upkeep.verify(self.bank)
            assert not wrong, f"verify: {wrong}"
            for again in enforce(self.bank):
                assert not again.charged, f"booked again by a further pass: {again}"
                assert not again.notes, f"said again by a further pass: {again.notes}"

    # -- what really ran -------------------------------------------------------------------

    def run(
        self,
        account: str,
        user: str = ADA,
        *,
        command: str = "sleep 1",
        cpus: int = 1,
        partition: str = "fast",
        extra: Sequence[str] = (),
    ) -> int:
        """Run one job to its end, and until slurmdbd knows it; return its id."""
        job = self.lab.submit(
            account, user, partition=partition, cpus=cpus, command=command, extra=extra
        )
        self.lab.wait_for_state(job, {"COMPLETED"})
        self.wait_for_sacct(job)
        return job

    def run_untold(self, account: str, *, extra: Sequence[str] = ()) -> list[int]:
        """Run two jobs, of whose second slurmdbd knows the end and not yet the start.

        The controller tells of starts every five seconds: a job that is shorter, right after.
        """
        first = self.run(account, command="true", extra=extra)
        question = ("sacct", "-aXnP", "-j", str(first), "-o", "Partition")
        self.lab.wait_for(lambda: self.lab.run(*question).strip(), "the controller to tell")
        return [first, self.run(account, extra=extra)]

    def run_all(self, wanted: Sequence[tuple[str, str, int]]) -> list[int]:
        """Run jobs (account, user, cores) side by side to their ends; return their ids."""
        jobs = [
            self.lab.submit(account, user, partition="fast", cpus=cpus, command="sleep 1")
            for account, user, cpus in wanted
        ]
        for job in jobs:
            self.lab.wait_for_state(job, {"COMPLETED"})
            self.wait_for_sacct(job)
        return jobs

    def run_array(self, account: str, count: int, *, partition: str, extra: Sequence[str]) -> int:
        """Run an array of jobs to its end; return how many seconds its tasks ran."""
        job = self.lab.submit(account, partition=partition, command="sleep 1", extra=extra)
        question = ("sacct", "-aXnP", "-A", account, "-j", str(job), "-o", "State,ElapsedRaw")

        def elapsed() -> list[int]:
            rows = [row.split("|") for row in self.lab.run(*question).splitlines()]
            found = [int(seconds) for state, seconds in rows if state in _ENDED]
            return found if len(found) == count else []

        return sum(self.lab.wait_for(elapsed, f"{count} tasks of {job} to end"))

    def start(self, account: str, user: str = ADA, *, cpus: int = 1) -> int:
        """Start a job that runs until it is cancelled, and that slurmdbd knows; return its id."""
        job = self.lab.submit(account, user, partition="fast", cpus=cpus, command="sleep 600")
        self.lab.wait_for_state(job, {"RUNNING"})
        self.lab.wait_for(
            lambda: "RUNNING" in self.state(job), f"slurmdbd to know the start of job {job}"
        )
        return job

    def cancel(self, job: int) -> None:
        """Cancel a job and wait until slurmdbd knows that it has ended."""
        self.lab.run("scancel", str(job))
        self.lab.wait_for_state(job, {"CANCELLED"})
        self.wait_for_sacct(job)

    def wait_for_sacct(self, job: int) -> None:
        """Wait until slurmdbd knows that a job has ended."""
        self.lab.wait_for(
            lambda: self.state(job).split(" ")[0].strip() in _ENDED,
            f"slurmdbd to know the end of job {job}",
        )

    def elapsed(self, job: int) -> int:
        """Return how many seconds a job ran."""
        return int(self.lab.run("sacct", "-aXnP", "-j", str(job), "-o", "ElapsedRaw"))

    def ran(self, *jobs: int, cpus: int = 1) -> int:
        """Return the billing-seconds that jobs used in the partition "fast"."""
        return sum(self.elapsed(job) * cpus * 3600 for job in jobs)

    def control(self) -> int:
        """Return the billing-seconds that all QOS have counted and that no meter shows."""
        question = assoc_mgr.arguments(None)
        return assoc_mgr.read_all(self.lab.run(*question), self.lab.cluster).control

    # -- what an admin does to Slurm -------------------------------------------------------

    def sacctmgr(self, *arguments: str) -> str:
        """Change something with sacctmgr."""
        return self.lab.run("sacctmgr", "-i", *arguments)

    def _which(self, name: str) -> tuple[str, str]:
        """Return what names an account on this cluster and on no other of the same slurmdbd."""
        return f"name={name}", f"cluster={self.lab.cluster}"

    def reset_by_hand(self, name: str) -> None:
        """Set RawUsage to 0 and wait until the controller shows it."""
        self.sacctmgr("modify", "account", "where", *self._which(name), "set", "RawUsage=0")
        self.lab.wait_for(lambda: self.lab.raw_usage(name) == 0, f"RawUsage of {name} to be 0")

    def set_limit(self, name: str, limit: str) -> None:
        """Set a limit by hand and wait until the controller has taken it."""
        self.sacctmgr("modify", "account", "where", *self._which(name), "set", limit)
        # The first of several TRES is enough: they are set in one go.
        name_of, _, value = limit.split(",", maxsplit=1)[0].replace("=-1", "=N").rpartition("=")
        field, _, resource = name_of.partition("=")
        wanted = re.compile(
            rf" {field}=" + (rf"(\S*,)?{resource}=" if resource else "") + rf"{value}\("
        )
        question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", f"accounts={name}")
        self.lab.wait_for(
            lambda: wanted.search(self.lab.run(*question)),
            f"the controller to show {limit} of {name}",
        )

    def limits(self, name: str) -> dict[str, str]:
        """Return all limits that slurmdbd has on an account, by name."""
        names = ("GrpJobs", "GrpSubmitJobs", "GrpTRES", "GrpTRESMins", "GrpTRESRunMins")
        text = self.lab.run(
            *("sacctmgr", "-nP", "show", "assoc", "where", f"account={name}", "user="),
            *(f"cluster={self.lab.cluster}", f"format={','.join(names)}"),
        )
        return dict(zip(names, text.strip("\n").split("|"), strict=True))

    def store_limit(self, name: str, limits: str) -> None:
        """Write an account's GrpTRESMins into slurmdbd's database, of which nobody is told.

        Args:
            name: the account.
            limits: as slurmdbd keeps them: cpu is TRES 1, billing is 5.
        """
        bulk.query(
            layout.database_socket(self.lab.directory),
            f"UPDATE {self.lab.cluster}_assoc_table SET grp_tres_mins = '{limits}'"  # noqa: S608
            f" WHERE acct = '{name}' AND user = ''",
        )

    def shown_limits(self, name: str) -> str:
        """Return an account's GrpTRESMins as the controller has it."""
        rows = self.lab.run("sshare", "-nP", "-A", name, "-o", "GrpTRESMins").splitlines()
        return rows[0].strip()

    def written(self) -> list[bytes]:
        """Return every byte of the database, which any commit changes."""
        known = Path(self.bank.settings.database)
        files = [known, known.with_name(known.name + "-wal")]
        return [file.read_bytes() if file.exists() else b"" for file in files]

    def settings_file(self) -> str:
        """Write the settings as a site does; return the file's path."""
        path = Path(self.bank.settings.database).parent / "py_sb_settings.py"
        known = self.bank.settings
        path.write_text(
            f"DATABASE = {known.database!r}\nSLURM_CONF = {known.slurm_conf!r}\n"
            f"LOGFILE = {known.logfile!r}\nCLUSTERS = {list(known.clusters)!r}\n"
            f"SLURM_TIMEOUT_SECONDS = {known.slurm_timeout_seconds}\n"
        )
        path.chmod(0o600)
        return str(path)

    def state(self, job: int) -> str:
        """Return a job's state as slurmdbd has it."""
        return self.lab.run("sacct", "-aXnP", "-j", str(job), "-o", "State")

    def let_second_pass(self) -> None:
        """Wait until the present second of the clock and the next one are over.

        sacct knows whole seconds: of a job that ended in the second of a reading nobody can say
        whether the reading has it.
        """
        until = int(time.time()) + 2
        self.lab.wait_for(lambda: time.time() >= until, "the second to pass")

    def meters(self, name: str) -> int:
        """Return how many user associations the controller shows for an account."""
        shown = self.lab.run("sshare", "-anP", "-A", name, "-o", "User").split()
        return len(shown)

    def is_asking(self, pid: int | None) -> bool:
        """Say whether a process waits for a command that it has started."""
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
