"""A bank for compute time on Slurm clusters."""

__version__ = "1.3.0"
