"""What the demo shows where each job is charged by itself: refused, held at start, exact."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.demo.story import (
    ROOT,
    SU,
    USER,
    Demo,
    Differs,
    check,
    submit,
    title,
    write_settings,
)

ACCOUNT, GIVEN, MORE = "optics", 100, 50
# Of one core in the partition fast, where a core-second is one SU: so many SUs for a minute.
MINUTE = 60
TOO_LARGE = 4 * MINUTE
_STOP_SECONDS = 30


def charge_by_jobs(demo: Demo) -> None:
    """Change over, and show what the hooks do; switch them off again at the end."""
    change_over(demo)
    with served(demo):
        install_hooks(demo)
        refuse_at_submission(demo)
        held = hold_at_start(demo)
        release_by_top_up(demo, held)
        charge_exactly(demo)
        remove_hooks(demo)


def change_over(demo: Demo) -> None:
    """Let jobs charge the cluster from now on."""
    title("14. From now on each job is charged by itself")
    print("What still runs is ended, so that nobody waits until the controller has counted it.")
    for account in ("physics", "biology", "stars"):
        demo.type(f"scancel --quiet --account={account}")
    demo.wait(lambda: not demo.lab.run("squeue", "-h").strip(), "the queue to be empty")
    settings = {
        "USAGE_SOURCE": "jobs",
        "HOOKS": "enforce",
        "SERVICE_SOCKET": str(demo.settings.parent / "run" / "slurm_bank.sock"),
        "SPOOL": str(demo.settings.parent / "spool"),
    }
    for name, value in settings.items():
        demo.type(f"sed -i \"s#^{name} = .*#{name} = '{value}'#\" {demo.settings}")
    write_settings(demo.settings, demo.settings.read_text(encoding="utf-8"), settings)
    said = demo.type("./slurm_bank.py change_source")
    check("jobs charge the cluster", seen=said, is_so="jobs" in said)


@contextmanager
def served(demo: Demo) -> Iterator[None]:
    """Let the service answer, as systemd would start it."""
    print("\nroot$ ./slurm_bank.py serve &", flush=True)
    log = demo.settings.parent / "service.log"
    with log.open("wb") as file:
        service = subprocess.Popen(
            [sys.executable, "slurm_bank.py", "serve"],
            cwd=ROOT, env=demo.environment, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        demo.wait(lambda: is_ready(demo, service), "the service to be ready")
        yield
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(_STOP_SECONDS)
    check("the service has stopped", seen=service.returncode, is_so=service.returncode == 0)


def is_ready(demo: Demo, service: "subprocess.Popen[bytes]") -> bool:
    """Tell whether the service knows what it needs to answer."""
    if service.poll() is not None:
        raise Differs((demo.settings.parent / "service.log").read_text(encoding="utf-8"))
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(demo.settings.parent / "run" / "slurm_bank.sock"))
        except OSError:
            return False
        client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        return b" 200 " in client.makefile("rb").readline()


def install_hooks(demo: Demo) -> None:
    """Put the hooks into place, and let the controller run with them."""
    title("15. Jobs that cannot be paid for never start")
    demo.type(f"sacctmgr -iQ add account {ACCOUNT} description=demo organization=demo")
    demo.type(f"sacctmgr -iQ add user {USER} account={ACCOUNT}")
    demo.type(f"./slurm_bank.py insert {ACCOUNT} {GIVEN}")
    demo.type("./slurm_bank.py hooks install")
    lines = demo.ask("hooks", "install")["lines"]
    print("\n(these lines go into slurm.conf, and slurmctld is restarted)")
    demo.lab.reconfigure(**dict(line.split("=", 1) for line in lines))
    said = demo.type("./slurm_bank.py hooks show")
    check("the controller runs with them", seen=said, is_so="the controller runs with" in said)


def refuse_at_submission(demo: Demo) -> None:
    """Submit what cannot be paid for."""
    command = f"sbatch -A {ACCOUNT} -p fast -c 4 -t 1 -o /dev/null --wrap='sleep 1'"
    said = demo.type(command, user=USER, status=1)
    check(
        "a job that cannot be paid for is refused, with the numbers",
        seen=said,
        is_so=f"may cost up to {TOO_LARGE}.0 SUs; account {ACCOUNT} has {GIVEN}.0 available"
        in said,
    )


def hold_at_start(demo: Demo) -> int:
    """Let two jobs be submitted of which only one can be paid for; return the other."""
    print("\nOf two jobs each could be paid for when it was submitted; together they cannot:")
    second = submit(demo, ACCOUNT, "-p fast -t 1 --hold", "sleep 1")
    first = submit(demo, ACCOUNT, "-p fast -t 1", "sleep 20")
    demo.wait_for_job(first, "RUNNING")
    demo.type(f"scontrol release {second}", user=USER)
    demo.wait(lambda: "bank" in comment_of(demo, second), "the second job to be held")
    shown = demo.type("./slurm_bank.py liens")
    check(
        f"{MINUTE} SUs are set aside for the first",
        seen=shown,
        is_so=f"{MINUTE}" in line_with(shown, str(first)),
    )
    demo.type(f"squeue -j {second} -O state:10,reason:24,admin_comment:150", user=USER)
    said = comment_of(demo, second)
    check(
        "the second is held at its start, and says why",
        seen=said,
        is_so="held by the bank: this job may cost up to 60.0 SUs" in said,
    )
    return second


def comment_of(demo: Demo, job: int) -> str:
    """Return what stands in a job's AdminComment."""
    found = re.search(r"AdminComment=(.*)", demo.lab.run("scontrol", "show", "job", str(job)))
    return found[1] if found else ""


def line_with(shown: str, word: str) -> str:
    """Return the line that has a word."""
    for line in shown.splitlines():
        if word in line.split():
            return line
    raise Differs(f"there is no line with {word} in:\n{shown}")


def release_by_top_up(demo: Demo, job: int) -> None:
    """Top the account up; the job that was held goes on by itself."""
    demo.type(f"./slurm_bank.py add {ACCOUNT} {MORE}")
    demo.wait_for_job(job, "COMPLETED")
    check("a top-up lets it go, and it has run", seen=job, is_so=True)


def charge_exactly(demo: Demo) -> None:
    """Reconcile, and compare with what sacct says."""
    title("16. Charged exactly: each job for what it was given and as long as it ran")
    demo.type(f"scancel --quiet --account={ACCOUNT}")
    demo.wait(lambda: not demo.lab.run("squeue", "-h", "-A", ACCOUNT).strip(), "all to have ended")
    demo.wait(lambda: "RUNNING" not in demo.lab.run(*_sacct()), "slurmdbd to know the ends")
    demo.type("./slurm_bank.py reconcile")
    rows = demo.type(" ".join(_sacct())).split("\n")
    seconds = sum(int(row.split()[2]) for row in rows if row.strip())
    used = demo.ask("balance", ACCOUNT)["used_billing_seconds"]
    demo.type(f"./slurm_bank.py balance {ACCOUNT}")
    check(
        f"{seconds} s of a core that costs 1 SU a second: {used / SU:g} SUs, to the billing-second",
        seen=(seconds, used),
        is_so=used == seconds * SU,
    )
    said = demo.type("./slurm_bank.py verify")
    check("the books agree", seen=said, is_so="the books agree" in said)


def _sacct() -> list[str]:
    return ["sacct", "-anXD", "-A", ACCOUNT, "-o", "JobID,State,ElapsedRaw,AllocTRES%50"]


def remove_hooks(demo: Demo) -> None:
    """Switch the hooks off again."""
    demo.type("./slurm_bank.py hooks remove")
    demo.lab.reconfigure()
    demo.type("./slurm_bank.py hooks remove")
    left = [path.name for path in demo.lab.slurm_conf.parent.glob("*bank*")]
    check("nothing of the hooks is left", seen=left, is_so=not left)
