"""What the demo shows: the bank's main job on a real cluster, each claim checked."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.demo.terminal import Shown, run_in_terminal, without_colours
from tests.lab import Lab, LabError

ROOT = Path(__file__).resolve().parent.parent.parent
USER = "lab-ada"
GRANT, TOP_UP = 10, 20
SU = 3600
# A job of this many cores and seconds in a partition where a core-second is one SU uses more.
CORES, SECONDS = 4, 3
LONGEST_WAIT = 20
# As wide as the widest table that is shown.
COLUMNS = 110
# The jobs in the partition normal run for less than this while the demo lasts, at a billing-second
# a second, and the controller counts them once a minute.
LITTLE = 60


class Differs(Exception):
    """Something did not happen as the demo says it does."""


class Demo:
    """A cluster, the bank's settings for it, and a screen.

    Attributes:
        lab: the cluster.
        settings: the bank's settings file.
        program: the bank for everybody: its users need not be able to read where this one lies.
        environment: what every command gets to see.
    """

    def __init__(self, directory: Path) -> None:
        self.lab = Lab("demo", directory / "lab", say=say)
        self.settings = directory / "py_sb_settings.py"
        self.program = directory / "program"
        self.environment = {
            "PATH": f"{ROOT}/.venv/bin:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "SLURM_CONF": str(self.lab.slurm_conf),
            "SLURM_BANK_SETTINGS": str(self.settings),
        }
        # Days and times that are typed are this process's own.
        if "TZ" in os.environ:
            self.environment["TZ"] = os.environ["TZ"]

    def type(self, command: str, *, user: str | None = None, status: int = 0) -> str:
        """Show a command as somebody types it, run it, show what it says, and return that."""
        print("\n" + bold(f"{user or 'root'}$ {command}"), flush=True)
        try:
            shown = self._run(command, user)
        except TimeoutError as error:
            raise Differs(f"'{command}': {error}") from error
        plain = without_colours(shown.text)
        print(shown.text if sys.stdout.isatty() else plain, end="", flush=True)
        if shown.status != status:
            raise Differs(f"'{command}' ended with status {shown.status}")
        return plain

    def _run(self, command: str, user: str | None) -> Shown:
        return run_in_terminal(
            shlex.split(command),
            environment=self.environment,
            directory=self.program if user else ROOT,
            user=user,
            columns=COLUMNS,
        )

    def use_settings(self, path: Path) -> None:
        """Let all that is typed from now on be answered by the bank of a settings file."""
        self.environment["SLURM_BANK_SETTINGS"] = str(path)
        print(f"  export SLURM_BANK_SETTINGS={path}")

    def ask(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
        """Return what the bank says of something, as data, without showing it."""
        done = subprocess.run(
            [sys.executable, "slurm_bank.py", *arguments, "--json"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Differs(f"'slurm_bank.py {' '.join(arguments)}' says: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def wait(self, look: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        try:
            self.lab.wait_for(look, what, LONGEST_WAIT)
        except LabError as error:
            raise Differs(str(error)) from error

    def wait_for_job(self, job: int, state: str, reason: str | None = None) -> None:
        """Wait until a job is in a state, for a reason."""
        try:
            if reason is None:
                self.lab.wait_for_state(job, {state}, LONGEST_WAIT)
            else:
                self.lab.wait_for_reason(job, reason, LONGEST_WAIT)
        except LabError as error:
            raise Differs(str(error)) from error


def settings_beside(demo: Demo, name: str, **changed: str) -> Path:
    """Write a settings file that differs from the demo's in some settings, and return it."""
    path = demo.settings.with_name(name)
    write_settings(path, demo.settings.read_text(encoding="utf-8"), changed)
    return path


def write_settings(path: Path, text: str, changed: Mapping[str, str]) -> None:
    """Write a settings file from the text of another."""
    for name, value in changed.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


# -- the screen ----------------------------------------------------------------------------


def say(text: str) -> None:
    """Say what is being done."""
    print(f"demo: {text}", flush=True)


def bold(text: str) -> str:
    """Return text that stands out on a terminal."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def title(text: str) -> None:
    """Begin a chapter."""
    print(f"\n{bold(f'== {text} ==')}", flush=True)


def check(claim: str, *, seen: object, is_so: bool) -> None:
    """Say what has just been shown, if it is so; else end the demo."""
    if not is_so:
        raise Differs(f"not so: {claim}; seen: {seen!r}")
    print(f"  [ok] {claim}", flush=True)


# -- the story -----------------------------------------------------------------------------


def tell(demo: Demo) -> None:
    """Show it all."""
    open_accounts(demo)
    waiting, running = use_them_up(demo)
    hold(demo, waiting, running)
    top_up_and_keep(demo, waiting["physics"])
    top_up_and_reset(demo, waiting["biology"])
    look_back(demo)


def open_accounts(demo: Demo) -> None:
    """Give two accounts SUs."""
    title("1. Two Slurm accounts get 10 SUs each")
    for account in ("physics", "biology"):
        demo.type(f"sacctmgr -iQ add account {account} description=demo organization=demo")
        demo.type(f"sacctmgr -iQ add user {USER} account={account}")
    demo.type("./slurm_bank.py migrate")
    for account in ("physics", "biology"):
        demo.type(f"./slurm_bank.py insert {account} {GRANT} --reason 'first allocation'")
    said = demo.type("./slurm_bank.py get_sus physics")
    check("physics has 10 SUs", seen=said, is_so=said == "Account physics has 10 SUs\n")


def use_them_up(demo: Demo) -> tuple[dict[str, int], int]:
    """Run jobs; return the waiting job of each account, to be, and one that goes on running."""
    title("2. Jobs use them up")
    print(
        "In the partition 'fast' a core costs 1 SU a second, so that nobody has to wait; in\n"
        "'normal' it costs 1 SU an hour. A fast job runs in each account, and in physics a normal\n"
        "one besides, which will still be running when the account is held."
    )
    jobs = [
        submit(demo, account, f"-p fast -c {CORES}", f"sleep {SECONDS}")
        for account in ("physics", "biology")
    ]
    running = submit(demo, "physics", "-p normal -J long", "sleep 600")
    print(f"\n({SECONDS} seconds later)")
    for job in jobs:
        demo.wait_for_job(job, "COMPLETED")
    demo.wait(
        lambda: min(demo.lab.raw_usage("physics"), demo.lab.raw_usage("biology")) > GRANT * 3600,
        "the controller to count what was used",
    )
    demo.type("sshare -A physics,biology -o Account%10,User%10,RawUsage,GrpTRESMins")
    for account in ("physics", "biology"):
        raw = demo.lab.raw_usage(account)
        check(
            f"RawUsage of {account} is {raw} billing-seconds: {raw / 3600:.2f} SUs of {GRANT}",
            seen=raw,
            is_so=raw > GRANT * 3600,
        )
    return {}, running


def submit(demo: Demo, account: str, options: str, script: str, *, user: str = USER) -> int:
    """Submit a job as a user does; return its id."""
    return submitted(
        demo.type(f"sbatch -A {account} {options} -o /dev/null --wrap='{script}'", user=user)
    )


def submitted(said: str) -> int:
    """Return the id of the job that sbatch has accepted."""
    found = re.search(r"Submitted batch job (\d+)", said)
    if found is None:
        raise Differs(f"sbatch said {said!r}")
    return int(found[1])


def hold(demo: Demo, waiting: dict[str, int], running: int) -> None:
    """Let the check find it, and a job wait."""
    title("3. The check, which cron runs, holds both accounts")
    demo.type("./slurm_bank.py enforce")
    shown = demo.type("sshare -A physics,biology -o Account%10,User%10,RawUsage,GrpTRESMins")
    for account in ("physics", "biology"):
        line = line_of(shown, account)
        check(f"Slurm holds {account}", seen=line, is_so=line.endswith("cpu=0"))
    demo.type("./slurm_bank.py balance")
    for account in ("physics", "biology"):
        state, raw = demo.ask("balance", account), demo.lab.raw_usage(account)
        seconds = state["used_billing_seconds"]
        check(
            f"the bank has booked for {account} what Slurm has counted",
            seen=(seconds, raw),
            # What runs on in the partition normal is counted once a minute, a second of it as one.
            is_so=0 <= raw - seconds <= LITTLE and state["held"].startswith("by the bank"),
        )
    for account in ("physics", "biology"):
        waiting[account] = submit(demo, account, "-p normal -J next", "sleep 600")
    for job in waiting.values():
        demo.wait_for_job(job, "PENDING", "AssocGrpCPUMinutesLimit")
    shown = queue(demo)
    for account, job in waiting.items():
        line = line_of(shown, str(job))
        check(
            f"the next job of {account} waits, and Slurm says why",
            seen=line,
            is_so="PENDING" in line and line.endswith("AssocGrpCPUMinutesLimit"),
        )
    line = line_of(shown, str(running))
    check("the job that was already running goes on", seen=line, is_so="RUNNING" in line)


def queue(demo: Demo) -> str:
    """Show what runs and what waits."""
    return demo.type("squeue --sort=i --format='%.6i %.8a %.6j %.9T %.6M  %r'")


def line_of(shown: str, first: str) -> str:
    """Return the line that begins with a word."""
    for line in shown.splitlines():
        if line.split()[:1] == [first]:
            return line.rstrip()
    raise Differs(f"there is no line of {first} in:\n{shown}")


def top_up_and_keep(demo: Demo, job: int) -> None:
    """Top up where use so far is kept."""
    title("4. A top-up releases physics (ON_TOP_UP = 'keep')")
    demo.type(f"grep ^ON_TOP_UP {demo.settings}")
    before, raw_before = demo.ask("balance", "physics"), demo.lab.raw_usage("physics")
    demo.type(f"./slurm_bank.py add physics {TOP_UP} --reason 'topped up'")
    shown = demo.type("sshare -A physics -o Account%10,User%10,RawUsage,GrpTRESMins")
    raw = demo.lab.raw_usage("physics")
    check("Slurm's limit is gone", seen=shown, is_so="cpu=0" not in shown)
    check("RawUsage stays what it was", seen=raw, is_so=raw_before <= raw <= raw_before + LITTLE)
    state = demo.ask("balance", "physics")
    check(
        f"physics has {TOP_UP} SUs more: a limit of {state['limit_su']}, {state['used_su']} used",
        seen=state,
        is_so=state["limit_billing_seconds"] == before["limit_billing_seconds"] + TOP_UP * 3600,
    )
    check_topped_up(before, state)
    check_started(demo, "physics", job)


def top_up_and_reset(demo: Demo, job: int) -> None:
    """Top up where use so far is booked off."""
    title("5. A top-up releases biology (ON_TOP_UP = 'reset')")
    demo.type(f"sed -i \"s/^ON_TOP_UP = .*/ON_TOP_UP = 'reset'/\" {demo.settings}")
    before = demo.ask("balance", "biology")
    demo.type(f"./slurm_bank.py add biology {TOP_UP} --reason 'topped up'")
    released = time.monotonic()
    demo.type("sshare -A biology -o Account%10,User%10,RawUsage,GrpTRESMins")
    raw = demo.lab.raw_usage("biology")
    ran = time.monotonic() - released
    # The job that was let go may have been counted already, a billing-second for each second.
    check("RawUsage in Slurm is 0 again", seen=raw, is_so=raw <= ran + 1)
    state = demo.ask("balance", "biology")
    limit = before["limit_billing_seconds"] + TOP_UP * 3600 - before["used_billing_seconds"]
    check(
        f"use so far is booked off: a limit of {state['limit_su']}, {state['used_su']} used",
        seen=state,
        is_so=state["limit_billing_seconds"] == limit,
    )
    check_topped_up(before, state)
    check_started(demo, "biology", job)


def check_topped_up(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check that what is left is what was left and the top-up, whichever way it was done."""
    left = [
        state["limit_billing_seconds"] - state["used_billing_seconds"] for state in (before, after)
    ]
    spent = left[0] + TOP_UP * 3600 - left[1]
    check(
        f"limit - used = {left[1] / 3600:.2f} SUs, {TOP_UP} more than {left[0] / 3600:.2f} before",
        seen=left,
        is_so=0 <= spent <= LITTLE,
    )


def check_started(demo: Demo, account: str, job: int) -> None:
    """Check that the job that waited runs."""
    demo.wait_for_job(job, "RUNNING")
    line = line_of(queue(demo), str(job))
    check(f"the waiting job of {account} has started", seen=line, is_so="RUNNING" in line)


def look_back(demo: Demo) -> None:
    """Show what is on record."""
    title("6. What is on record")
    demo.type("./slurm_bank.py list")
    demo.type("./slurm_bank.py balance physics")
    table = demo.type("./db_print.sh")
    pattern = r"\d+\|physics\|30\|\d{4}-\d\d-\d\d\|0\|0\|0"
    line = next((line for line in table.splitlines() if "|physics|" in line), "")
    check(
        "the accounts table has a row for each", seen=table, is_so=bool(re.fullmatch(pattern, line))
    )
    demo.type("./slurm_bank.py history biology")
    kinds = [
        event["kind"]
        for event in demo.ask("history", "biology")
        if event["kind"] not in ("opened", "period")
    ]
    check(
        "the ledger tells it: a deposit, a charge, the top-up, and use so far closed",
        seen=kinds,
        is_so=kinds[:4] == ["deposit", "charge", "deposit", "closing"],
    )
    said = demo.type("./slurm_bank.py verify")
    check("every chain, total and reading fits", seen=said, is_so=said == "the books agree\n")
