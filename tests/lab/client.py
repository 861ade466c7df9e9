"""What a user or an admin does with a running cluster: commands, jobs, accounts.

Needs nothing but the path of a slurm.conf; the daemons are the business of ``cluster``.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from . import accounts
from .errors import CommandFailed, LabError, NotInTime
from .machine import JOB_USERS
from .processes import PLAIN_ENVIRONMENT, run, run_or_raise, wait_for

T = TypeVar("T")

FINAL_STATES = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    ]
)


class Client:
    """A cluster as its users and admins see it.

    Attributes:
        cluster: Slurm's name of the cluster.
        slurm_conf: its slurm.conf.
        environment: what a program needs to talk to this cluster and no other.
    """

    def __init__(self, cluster: str, slurm_conf: Path) -> None:
        self.cluster = cluster
        self.slurm_conf = slurm_conf
        self.environment = {**PLAIN_ENVIRONMENT, "SLURM_CONF": str(slurm_conf)}

    def run(
        self,
        *argv: str,
        user: str | None = None,
        timeout: float = 30,
        check: bool = True,
        stdin: str = "",
    ) -> str:
        """Run a program against this cluster; return its standard output.

        Raises:
            CommandFailed: it did not end in time, or, with ``check``, its status is not 0.
        """
        if check:
            return run_or_raise(
                argv, environment=self.environment, user=user, stdin=stdin, timeout_seconds=timeout
            )
        return run(
            argv, environment=self.environment, user=user, stdin=stdin, timeout_seconds=timeout
        ).stdout

    def look(self, *argv: str) -> str:
        """Run a program that only looks; once more where the controller broke off the first time.

        A controller under load now and then closes a connection before it has answered.
        """
        try:
            return self.run(*argv)
        except CommandFailed:
            return self.run(*argv)

    # -- jobs ------------------------------------------------------------------------------

    def submit(
        self,
        account: str,
        user: str = JOB_USERS[0],
        *,
        partition: str = "normal",
        cpus: int = 1,
        minutes: int = 10,
        command: str = "sleep 3",
        extra: Iterable[str] = (),
    ) -> int:
        """Submit a batch job; return its job id.

        Args:
            account: the Slurm account that pays.
            user: the operating system's user, who must belong to the account.
            partition: normal, fractional, fast or gpu.
            cpus: cores of its one task.
            minutes: its time limit.
            command: what the job's script runs.
            extra: further arguments for sbatch.
        """
        text = self.run(
            "sbatch",
            "--parsable",
            f"--account={account}",
            f"--partition={partition}",
            f"--cpus-per-task={cpus}",
            f"--time={minutes}",
            "--output=/dev/null",
            "--error=/dev/null",
            "--chdir=/",
            *extra,
            f"--wrap={command}",
            user=user,
        )
        # '17', or '17;cluster' where clusters were named.
        return int(text.partition(";")[0])

    def job(self, job_id: int) -> dict[str, str]:
        """Return what ``scontrol show job`` says of a job (of an array: of its first row)."""
        text = self.run("scontrol", "show", "job", "--oneliner", str(job_id))
        line = text.partition("\n")[0]
        return dict(re.findall(r"(?:^| )([A-Za-z][A-Za-z0-9_:/]*)=(\S*)", line))

    def wait_for_state(
        self, job_id: int, states: Collection[str], timeout: float = 30
    ) -> dict[str, str]:
        """Wait until a job is in one of the states; return the job.

        Raises:
            LabError: it has ended in another state, so that waiting is of no use.
            NotInTime: with the last state and reason seen.
        """
        last: dict[str, str] = {}
        wanted = " or ".join(sorted(states))

        def is_there() -> bool:
            nonlocal last
            last = self.job(job_id)
            state = last["JobState"]
            if state in FINAL_STATES and state not in states:
                raise LabError(f"job {job_id} is {state} ({last['Reason']}), not {wanted}")
            return state in states

        what = f"job {job_id} to be {wanted}"
        try:
            wait_for(is_there, what, timeout)
        except NotInTime:
            seen = {name: last[name] for name in ("JobState", "Reason", "Account", "Partition")}
            raise NotInTime(what, timeout, seen) from None
        return last

    def wait_for_reason(self, job_id: int, reason: str, timeout: float = 30) -> dict[str, str]:
        """Wait until a job is pending for a reason, such as AssocGrpCPUMinutesLimit."""
        seen: list[str] = []

        def look() -> dict[str, str]:
            job = self.job(job_id)
            seen[:] = [job["JobState"], job["Reason"]]
            return job if seen == ["PENDING", reason] else {}

        what = f"job {job_id} to be PENDING ({reason})"
        try:
            return wait_for(look, what, timeout)
        except NotInTime:
            raise NotInTime(what, timeout, " ".join(seen)) from None

    def wait_for(self, look: Callable[[], T], what: str, timeout: float = 30) -> T:
        """Call ``look`` until what it returns is true, and return that.

        Raises:
            NotInTime: with ``what`` and the last value.
        """
        return wait_for(look, what, timeout)

    # -- accounts --------------------------------------------------------------------------

    def make_account(self, name: str, *, parent: str = "root", users: Sequence[str] = ()) -> None:
        """Make one account with users; return when the controller knows it."""
        accounts.make(self, [name], parent=parent, users=users)

    def make_accounts(
        self, names: Sequence[str], *, parent: str = "root", users: Sequence[str] = ()
    ) -> None:
        """Make many accounts, each with the same users; return when the controller knows them."""
        accounts.make(self, names, parent=parent, users=users)

    def raw_usage(self, account: str, user: str = "") -> int:
        """Return the RawUsage, in billing-seconds, of an account or of one user of it.

        Raises:
            LabError: the controller has no such row.
        """
        rows = accounts.usage(self)
        if (account, user) not in rows:
            raise LabError(f"sshare shows no row for account {account!r}, user {user!r}")
        return rows[account, user]
