"""A bank for compute time on Slurm clusters."""

__version__ = "1.0.0"
