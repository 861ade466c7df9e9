"""A bank for compute time on Slurm clusters."""

__version__ = "1.2.0"
