"""Running Slurm's commands."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from bank.errors import OutputNotUnderstood, SlurmError, SlurmTimedOut
from bank.process import Ended, TimedOut, run_process

# Linux refuses a single argument of 128 KiB; names are joined by commas into one argument.
MAX_NAMES_BYTES = 100_000


class Slurm(NamedTuple):
    """How to reach Slurm.

    Attributes:
        bin_directory: where sacctmgr, scontrol, sacct, squeue, sinfo and sdiag are.
        conf: value of SLURM_CONF for them, or "" for their built-in default.
        timeout_seconds: a command that takes longer is ended, with all that it started.
    """

    bin_directory: str
    conf: str
    timeout_seconds: int


# What Slurm's commands say where a daemon that is up broke off the connection: one under load does
# so now and then.
_BROKEN_OFF = ("Broken pipe", "Connection reset by peer", "Zero Bytes were transmitted or received")


def run(slurm: Slurm, arguments: Sequence[str]) -> str:
    """Run one Slurm command and return its standard output.

    Where the connection was broken off it is run once more. Any that the bank runs may be: each
    looks, sets a limit to a value, or sets RawUsage to 0.

    Args:
        slurm: how to reach Slurm.
        arguments: name of the command and its arguments; never a string for a shell.

    Raises:
        SlurmError: the command is not there or its exit status is not 0.
        SlurmTimedOut: it did not end in time.
        OutputNotUnderstood: its output is not UTF-8.
    """
    name = arguments[0]
    ended = _ended(slurm, arguments)
    if ended.status != 0 and any(text in ended.complaint for text in _BROKEN_OFF):
        ended = _ended(slurm, arguments)
    if ended.status != 0:
        said = ended.complaint or "no message"
        raise SlurmError(f"{name} ended with status {ended.status}: {said[:300]}")
    try:
        return ended.output.decode()
    except UnicodeDecodeError as error:
        raise OutputNotUnderstood(f"{name} printed bytes that are not UTF-8") from error


def _ended(slurm: Slurm, arguments: Sequence[str]) -> Ended:
    """Run a command to its end.

    The environment is built, not inherited: SACCT_FORMAT, SLURM_CLUSTERS and their like would
    change the output under our feet.
    """
    name = arguments[0]
    argv = [os.path.join(slurm.bin_directory, name), *arguments[1:]]
    environment = {"PATH": slurm.bin_directory, "LC_ALL": "C.UTF-8", "TZ": "UTC0"}
    environment["SLURM_TIME_FORMAT"] = "%s"
    # Lists of tasks of an array are not cut off.
    environment["SLURM_BITSTR_LEN"] = "0"
    if slurm.conf:
        environment["SLURM_CONF"] = slurm.conf
    try:
        return run_process(argv, environment=environment, timeout_seconds=slurm.timeout_seconds)
    except OSError as error:
        raise SlurmError(
            f"cannot run {argv[0]}: {error.strerror}; SLURM_BIN in the settings says where Slurm's"
            " commands are"
        ) from error
    except TimedOut as error:
        raise SlurmTimedOut(
            f"{name} did not answer within {slurm.timeout_seconds} s;"
            " is the controller (scontrol ping) or slurmdbd (sacctmgr ping) frozen?"
        ) from error


def chunked(names: Sequence[str], max_bytes: int = MAX_NAMES_BYTES) -> list[list[str]]:
    """Split names into lists that fit into one argument when joined by commas."""
    chunks: list[list[str]] = []
    size = max_bytes + 1
    for name in names:
        length = len(name.encode()) + 1
        if size + length > max_bytes:
            chunks.append([])
            size = 0
        chunks[-1].append(name)
        size += length
    return chunks
