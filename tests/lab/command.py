"""The command line of a lab: scripts/lab up, down, shell, status."""

import argparse
import os
import sys
import time
from pathlib import Path

from . import layout
from .cluster import Lab
from .errors import AlreadyThere, LabError

DESCRIPTION = """A real, private Slurm cluster on this machine.

  up      start munge, MariaDB, slurmdbd, slurmctld, two CPU nodes and a GPU node
  down    end all of them and remove the lab's directory
  shell   open a shell in which sbatch, squeue, sacctmgr ... talk to the lab
  status  say which daemons run, and what the nodes do
"""


def say(text: str) -> None:
    """Tell the person at the terminal what is going on."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/lab",
        description=DESCRIPTION,
        epilog="SLURM_LAB_HOME names the directory that holds labs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("up", "down", "shell", "status"))
    parser.add_argument("name", nargs="?", default="lab", help="the lab's name (default: lab)")
    parser.add_argument("--directory", type=Path, help="where the lab lies")
    arguments = parser.parse_args(argv)
    actions = {"up": up, "down": down, "shell": shell, "status": status}
    try:
        return actions[arguments.action](arguments.name, arguments.directory)
    except LabError as error:
        say(str(error))
        return 1


def up(name: str, directory: Path | None) -> int:
    """Start a lab, unless it is up."""
    lab = Lab(name, directory, say=say)
    began = time.monotonic()
    try:
        lab.start()
    except AlreadyThere:
        found = Lab.attach(name, directory)
        if not found.is_up():
            raise
        say(f"{found.cluster} is up already, in {found.directory}")
        return 0
    say(f"{name} is up after {time.monotonic() - began:.1f} s, in {lab.directory}")
    say(f"scripts/lab shell {name}, or: export SLURM_CONF={lab.slurm_conf}")
    return 0


def down(name: str, directory: Path | None) -> int:
    """End a lab."""
    where = (directory or layout.home() / name).absolute()
    if not where.exists():
        say(f"there is no lab in {where}: nothing to do")
        return 0
    if layout.read_record(where) is None:
        say("a start was interrupted here before it started anything")
        layout.remove(where)
    else:
        Lab.attach(name, directory, say=say).stop()
    say(f"{name} is down; {where} is removed")
    return 0


def shell(name: str, directory: Path | None) -> int:
    """Replace this process by a shell whose Slurm commands talk to the lab."""
    lab = Lab.attach(name, directory)
    say(f"a shell for {lab.cluster}; leave it with 'exit'")
    program = os.environ.get("SHELL", "/bin/sh")
    os.execvpe(program, [program], {**os.environ, "SLURM_CONF": str(lab.slurm_conf)})


def status(name: str, directory: Path | None) -> int:
    """Say what runs; 1 unless everything does."""
    lab = Lab.attach(name, directory)
    print(f"{lab.cluster} in {lab.directory}")
    for daemon in lab.daemons():
        print(f"  {daemon.name:<12} {daemon.pid or 'not running'}")
    if not lab.is_up():
        return 1
    print(lab.run("sinfo", "--Node", "--format=%N %P %t %c %G"), end="")
    return 0
