"""A real, private Slurm cluster on one machine, for tests, the demo and benchmarks."""

from .cluster import Lab
from .errors import AlreadyThere, CommandFailed, DaemonFailed, LabError, Missing, NotInTime
from .machine import JOB_USERS

__all__ = [
    "JOB_USERS",
    "AlreadyThere",
    "CommandFailed",
    "DaemonFailed",
    "Lab",
    "LabError",
    "Missing",
    "NotInTime",
]
