"""Slurm: the only room that starts a process.

Every command is a pair of pure functions, one that builds its argument list and one that reads its
output, so both are tested on recorded output without a cluster.
"""
