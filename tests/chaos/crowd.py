"""Users and an admin who submit jobs of every kind, and then do things to them."""

import random
import time
from collections import Counter

from tests.lab import CommandFailed, Lab
from tests.operations.branch import ADA, BOB

# By account, who is in it, and what is above it.
ACCOUNTS = {
    "chaos": ((), "root"),
    "chaos_rich": ((ADA, BOB), "chaos"),
    "chaos_short": ((ADA, BOB), "chaos"),
    "chaos_below": ((BOB,), "chaos_short"),
    "chaos_free": ((ADA,), "root"),
    "chaos_poor": ((ADA, BOB), "root"),
    "chaos_stranger": ((ADA,), "root"),
}
# Of a kind as many as its weight.
KINDS = {
    "plain": 8,
    "array": 6,
    "throttled": 4,
    "het": 2,
    "gpu": 4,
    "fractional": 5,
    "dear": 3,
    "free": 3,
    "poor": 3,
    "once": 2,
    "too_long": 2,
    "waiting": 4,
    "long": 8,
}

PAUSE_SECONDS = 0.4


class Crowd:
    """Whoever uses the cluster.

    Attributes:
        wanted: how many jobs are to be submitted, each task and each component counted.
        submitted: how many were, by kind.
        done: what was done to them, by command.
        refused: how often Slurm or the bank said no, or nobody answered.
    """

    def __init__(self, lab: Lab, seed: int, wanted: int) -> None:
        self.lab = lab
        self.wanted = wanted
        self.submitted: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.refused = 0
        self._random = random.Random(seed)  # noqa: S311
        self._jobs: list[int] = []

    def act(self) -> None:
        """Submit until there are as many jobs as wanted, and do something to them now and then."""
        while self.submitted.total() < self.wanted and self.refused < 4 * self.wanted:
            self.submit()
            self.disturb()
            # Not as fast as they can, so that there are some for each kill.
            time.sleep(self._random.random() * PAUSE_SECONDS)

    def submit(self) -> None:
        """Submit one job, or one array, of some kind."""
        kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
        account = self._random.choice(["chaos_rich", "chaos_short", "chaos_below", "chaos_free"])
        if kind == "poor":
            account = "chaos_poor"
        elif self._random.random() < 0.1:
            account = "chaos_stranger"
        user = self._random.choice(ACCOUNTS[account][0])
        count, options, command = self._kind(kind)
        words = ("sbatch", "--parsable", "-A", account, f"-J{kind}", "-o/dev/null", "-D/", *options)
        text = self._try(*words, f"--wrap={command}", user=user)
        if text is not None:
            self.submitted[kind] += count
            self._jobs.append(int(text.partition(";")[0]))

    def _kind(self, kind: str) -> tuple[int, list[str], str]:
        """Return how many jobs one of a kind is, the options that make it so, and what it runs."""
        some = self._random.randint(1, 4)
        command = f"sleep {self._random.randint(0, 3)}"
        partition = self._random.choice(["normal", "fast", "fractional"])
        plain = [f"-p{partition}", f"-n{some}", f"-t{some}"]
        last = self._random.randint(2, 6)
        known: dict[str, tuple[int, list[str], str]] = {
            "array": (last, [*plain, f"--array=1-{last}"], command),
            "throttled": (last, [*plain, f"--array=1-{last}%2"], command),
            "het": (2, [*plain, ":", "-pnormal", "-n2", "-t2"], command),
            "gpu": (1, ["-pgpu", f"--gres=gpu:{some}", "--mem=1500M", "-t3"], command),
            "fractional": (1, ["-pfractional", f"-n{some}", "--mem=700M", "-t3"], command),
            "dear": (1, [*plain, "--qos=chaos_dear"], command),
            "free": (1, [*plain, "--qos=chaos_free"], command),
            "poor": (1, ["-pfast", "-n2", "-t2"], command),
            "once": (1, [*plain, "--no-requeue"], command),
            "waiting": (1, [*plain, "--begin=now+1hour"], command),
            "long": (1, [*plain, "--requeue", "-t60"], "sleep 600"),
            "too_long": (1, [*plain, "-t1"], "sleep 600"),
        }
        return known.get(kind, (1, plain, command))

    def disturb(self) -> None:
        """Do something to one of the newest jobs."""
        if not self._jobs:
            return
        acts = {
            self.requeue: 2,
            self.suspend: 3,
            self.cancel: 1,
            self.change: 2,
            self.let_go: 1,
            self.end_time: 1,
        }
        act = self._random.choices(list(acts), list(acts.values()))[0]
        among = self._jobs[-8:]
        if act in (self.requeue, self.suspend, self.end_time):
            text = self._try("squeue", "-h", "-tR,S", "-o%A") or ""
            among = [int(job) for job in text.split()] or among
        act(str(self._random.choice(among)))

    def requeue(self, job: str) -> None:
        """Have a job begin again, and not two minutes later."""
        self._scontrol("requeue", job)
        self._scontrol("update", f"jobid={job}", "starttime=now")

    def suspend(self, job: str) -> None:
        """Stop a job, or let a stopped one go on."""
        self._scontrol(self._random.choice(["suspend", "resume", "resume"]), job)

    def cancel(self, job: str) -> None:
        """Cancel a job, or one task of an array."""
        task = self._random.choice(["", "", "_1", "_2"])
        if self._try("scancel", "--quiet", job + task) is not None:
            self.done["cancel"] += 1

    def change(self, job: str) -> None:
        """Let a job be something else than what it was submitted as."""
        what = self._random.choice(
            [
                "timelimit=2",
                "timelimit=5",
                "partition=fast",
                "partition=normal,fractional",
                "qos=chaos_dear",
                "account=chaos_rich",
                "account=chaos_short",
                "numtasks=1",
            ]
        )
        self._scontrol("update", f"jobid={job}", what)

    def let_go(self, job: str) -> None:
        """Let a job begin that waits for an hour to come."""
        self._scontrol("update", f"jobid={job}", "starttime=now")

    def end_time(self, job: str) -> None:
        """Have the time of a job be over now; the controller sees it within half a minute."""
        self._scontrol("update", f"jobid={job}", "endtime=now")

    def _scontrol(self, *words: str) -> None:
        if self._try("scontrol", *words) is not None:
            self.done[words[0]] += 1

    def _try(self, *words: str, user: str | None = None) -> str | None:
        """Run a command; None where it failed, as many do while somebody is killed."""
        try:
            return self.lab.run(*words, user=user)
        except CommandFailed:
            self.refused += 1
            return None
