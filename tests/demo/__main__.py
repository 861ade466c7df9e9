"""Runs the demo: sets up what is missing, starts a cluster, tells the story, removes the cluster.

Started by scripts/demo, which has made the virtual environment by then.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import docopt

from tests.demo import days, department
from tests.demo.jobs import charge_by_jobs
from tests.demo.moving_in import move_in, use_some
from tests.demo.story import ROOT, USER, Demo, Differs, say, tell, title, write_settings
from tests.lab import Lab, LabError, Missing, layout
from tests.lab.packages import missing_packages

PREFIX = "slurm-bank-demo-"
FAILED, UNAVAILABLE, INTERRUPTED = 1, 69, 130


def main(argv: Sequence[str]) -> int:
    """Run the demo, or end one that was kept."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if argv[:1] == ["--end"]:
            end(Path(argv[1]).absolute())
            return 0
        return run(keep="--keep" in argv)
    except Differs as error:
        return failed(f"NOT AS IT SHOULD BE: {error}", FAILED)
    except Missing as error:
        return failed(f"missing: {error}", UNAVAILABLE)
    except LabError as error:
        return failed(str(error), FAILED)
    except KeyboardInterrupt:
        return failed("interrupted", INTERRUPTED)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def failed(why: str, status: int) -> int:
    """Say why the demo ends, and return its status."""
    print(f"demo: {why}", file=sys.stderr, flush=True)
    return status


def run(*, keep: bool) -> int:
    """Set up, show everything, and clean up."""
    began = time.monotonic()
    # slurm and the demo's users have to pass through what is made.
    os.umask(0o022)
    there = slurm_of_this_machine()
    if there:
        say(
            f"the Slurm cluster {there} answers here. The demo resets use and holds accounts, so it"
        )
        say("takes a private cluster all the same, and nothing of yours is read or changed")
    install_packages(there)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory.chmod(0o755)
    demo = Demo(directory)
    with ended(demo, directory, keep=keep):
        set_up(demo, directory)
        copy_program(demo.program)
        # Where an empty database is kept for all labs; this one's own directory lies elsewhere.
        layout.make_home(layout.home())
        demo.lab.start()
        say(f"the cluster is up, in {directory}")
        say("what is typed below talks to it because of these settings:")
        for name in ("SLURM_CONF", "SLURM_BANK_SETTINGS"):
            print(f"  export {name}={demo.environment[name]}")
        tell(demo)
        moving = tell_whole_bank(demo)
        charge_by_jobs(demo)
        move_in(demo, moving)
    title(f"All of it happened as said, in {time.monotonic() - began:.0f} s")
    if keep:
        explain_kept(directory)
    else:
        say("what stays: .venv, the packages, the users lab-ada and lab-bob (no login), an empty")
        say(f"database in {layout.home()} and a route to a loopback address, all for the next time")
    return 0


def slurm_of_this_machine() -> str | None:
    """Return the name of a Slurm cluster that answers here, None where none does."""
    try:
        done = subprocess.run(
            ["scontrol", "show", "config"],  # noqa: S607 - whichever the caller would start
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^ClusterName\s*= (\S+)", done.stdout, re.MULTILINE)
    return found[1] if done.returncode == 0 and found else None


def install_packages(there: str | None) -> None:
    """Install what is missing; not beside a Slurm that is in use.

    Raises:
        Missing: with what is missing.
    """
    absent = missing_packages()
    if not absent:
        return
    if there:
        raise Missing(
            f"the packages {' '.join(absent)}. The demo installs none beside the cluster {there},"
            " which is in use: run it on another machine or in a container"
        )
    script = [sys.executable, str(ROOT / "scripts" / "lab-packages")]
    if subprocess.run(script, check=False, timeout=900).returncode != 0:
        raise Missing("packages: see the line above")


def set_up(demo: Demo, directory: Path) -> None:
    """Write the bank's settings: as they come, but for where its files lie."""
    (directory / "bank").mkdir(mode=0o700)
    here = {
        "DATABASE": str(directory / "bank" / "slurm_bank.db"),
        "LOGFILE": str(directory / "bank" / "slurm_bank.log"),
        "SLURM_CONF": str(demo.lab.slurm_conf),
    }
    as_they_come = (ROOT / "py_sb_settings.py").read_text(encoding="utf-8")
    write_settings(demo.settings, as_they_come, here)


def copy_program(program: Path) -> None:
    """Copy the bank to where the demo's users can read it, with the one package that it needs."""
    program.mkdir()
    shutil.copy2(ROOT / "slurm_bank.py", program)
    for package in (ROOT / "bank", Path(docopt.__file__).parent):
        shutil.copytree(package, program / package.name)
    # A checkout may be closed to others.
    for path in (program, *program.rglob("*")):
        path.chmod(0o755)


def tell_whole_bank(demo: Demo) -> list[int]:
    """Show what a department does with the bank; return the jobs of the chapter after."""
    its_days = days.Days(demo)
    its = department.share_out(demo)
    its_days.pass_by()
    for chapter in (
        department.start_grant,
        department.quote,
        department.explain,
        department.outage,
    ):
        chapter(demo, its)
        its_days.pass_by()
    moving = use_some(demo)
    days.forecast(demo, its_days)
    department.prove(demo)
    return moving


@contextlib.contextmanager
def ended(demo: Demo, directory: Path, *, keep: bool) -> Iterator[None]:
    """End the cluster and remove its directory at the end, however that comes."""
    try:
        yield
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            say("ending the cluster and removing its directory")
            demo.lab.stop()
            shutil.rmtree(directory)


def explain_kept(directory: Path) -> None:
    """Say how to go on with a cluster that was kept."""
    (directory / "activate").write_text(
        f"export SLURM_CONF={directory}/lab/etc/slurm.conf\n"
        f"export SLURM_BANK_SETTINGS={directory}/py_sb_settings.py\n"
        f"PATH={shlex.quote(str(ROOT))}/.venv/bin:$PATH\n",
        encoding="utf-8",
    )
    print(
        f"""
The cluster stays up. To go on, in any shell:

  . {directory}/activate
  ./slurm_bank.py --help
  sbatch --uid={USER} --chdir=/ -A physics -p fast -o /dev/null --wrap='sleep 30'
  ./slurm_bank.py enforce

To end it and remove everything:

  scripts/demo --end {directory}"""
    )


def end(directory: Path) -> None:
    """End a demo that was kept.

    Raises:
        LabError: there is none in the directory.
    """
    if not directory.name.startswith(PREFIX) or not directory.is_dir():
        raise LabError(f"{directory} is not the directory of a demo that was kept")
    with contextlib.suppress(Missing):
        Lab.attach("demo", directory / "lab", say=say).stop()
    shutil.rmtree(directory)
    say(f"ended; {directory} is removed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
