"""sbatch's options: how each is written, and whether it has something to do with the cost."""

from typing import NamedTuple

NO, REQUIRED, OPTIONAL = "no", "required", "optional"


class Option(NamedTuple):
    """An option of sbatch.

    Attributes:
        letter: its short form, "" for none.
        value: whether a value follows: NO, REQUIRED, or OPTIONAL and then only behind "=".
        is_ignored: whether it decides neither how much is allocated nor for how long.
        is_kept: whether further components of a heterogeneous job have it too, unless they say
            otherwise.
        refused: why a job with it cannot be priced, "" where it can.
    """

    letter: str = ""
    value: str = REQUIRED
    is_ignored: bool = False
    is_kept: bool = False
    refused: str = ""


_OTHER_USER = "what another user's job costs is not computed here: ask as that user"
_BURST_BUFFER = "what a burst buffer costs is not computed"

# Every option of sbatch 22.05. Source: sbatch(1).
OPTIONS: dict[str, Option] = {
    "account": Option("A", is_kept=True),
    "acctg-freq": Option(is_ignored=True),
    "array": Option("a", is_kept=True),
    "batch": Option(is_ignored=True),
    "bb": Option(refused=_BURST_BUFFER),
    "bbf": Option(refused=_BURST_BUFFER),
    "begin": Option("b", is_ignored=True),
    "chdir": Option("D", is_ignored=True),
    "cluster": Option(is_kept=True),
    "cluster-constraint": Option(is_ignored=True),
    "clusters": Option("M", is_kept=True),
    "comment": Option(is_ignored=True),
    "constraint": Option("C"),
    "container": Option(is_ignored=True),
    "context": Option(is_ignored=True),
    "contiguous": Option(value=NO, is_ignored=True),
    "core-spec": Option("S"),
    "cores-per-socket": Option(),
    "cpu-freq": Option(is_ignored=True),
    "cpus-per-gpu": Option(),
    "cpus-per-task": Option("c"),
    "deadline": Option(is_ignored=True),
    "delay-boot": Option(is_ignored=True),
    "dependency": Option("d", is_ignored=True),
    "distribution": Option("m"),
    "error": Option("e", is_ignored=True),
    "exclude": Option("x", is_kept=True),
    "exclusive": Option(value=OPTIONAL),
    "export": Option(is_ignored=True),
    "export-file": Option(is_ignored=True),
    "extra-node-info": Option("B"),
    "get-user-env": Option(value=OPTIONAL, is_ignored=True),
    "gid": Option(refused=_OTHER_USER),
    "gpu-bind": Option(is_ignored=True),
    "gpu-freq": Option(is_ignored=True),
    "gpus": Option("G"),
    "gpus-per-node": Option(),
    "gpus-per-socket": Option(),
    "gpus-per-task": Option(),
    "gres": Option(),
    "gres-flags": Option(is_ignored=True),
    "help": Option("h", NO, refused="it prints sbatch's help and submits nothing"),
    "hint": Option(),
    "hold": Option("H", NO, is_ignored=True),
    "ignore-pbs": Option(value=NO, is_ignored=True),
    "input": Option("i", is_ignored=True),
    "job-name": Option("J", is_ignored=True),
    "kill-on-invalid-dep": Option(is_ignored=True),
    "licenses": Option("L"),
    "mail-type": Option(is_ignored=True),
    "mail-user": Option(is_ignored=True),
    "mcs-label": Option(is_ignored=True),
    "mem": Option(is_kept=True),
    "mem-bind": Option(is_ignored=True),
    "mem-per-cpu": Option(),
    "mem-per-gpu": Option(),
    "mincpus": Option(),
    "network": Option(is_ignored=True),
    "nice": Option(value=OPTIONAL, is_ignored=True),
    "no-kill": Option("k", OPTIONAL, is_ignored=True),
    "no-requeue": Option(value=NO, is_ignored=True),
    "nodefile": Option("F", refused="name the nodes with --nodelist"),
    "nodelist": Option("w"),
    "nodes": Option("N"),
    "ntasks": Option("n"),
    "ntasks-per-core": Option(),
    "ntasks-per-gpu": Option(),
    "ntasks-per-node": Option(),
    "ntasks-per-socket": Option(),
    "ntasks-per-tres": Option(),
    "open-mode": Option(is_ignored=True),
    "output": Option("o", is_ignored=True),
    "overcommit": Option("O", NO),
    "oversubscribe": Option("s", NO),
    "parsable": Option(value=NO, is_ignored=True),
    "partition": Option("p"),
    "power": Option(is_ignored=True),
    "prefer": Option(is_ignored=True),
    "priority": Option(is_ignored=True),
    "profile": Option(is_ignored=True),
    "propagate": Option(value=OPTIONAL, is_ignored=True),
    "qos": Option("q", is_kept=True),
    "quiet": Option("Q", NO, is_ignored=True),
    "reboot": Option(value=NO, is_ignored=True),
    "requeue": Option(value=NO, is_ignored=True),
    "reservation": Option(is_kept=True),
    "signal": Option(is_ignored=True),
    "sockets-per-node": Option(),
    "spread-job": Option(value=NO),
    "switches": Option(is_ignored=True),
    "tasks-per-node": Option(),
    "test-only": Option(value=NO, is_ignored=True),
    "thread-spec": Option(),
    "threads-per-core": Option(),
    "time": Option("t", is_kept=True),
    "time-min": Option(is_ignored=True),
    "tmp": Option(is_ignored=True),
    "uid": Option(refused=_OTHER_USER),
    "usage": Option(value=NO, refused="it prints sbatch's usage and submits nothing"),
    "use-min-nodes": Option(value=NO),
    "verbose": Option("v", NO, is_ignored=True),
    "version": Option("V", NO, refused="it prints Slurm's version and submits nothing"),
    "wait": Option("W", NO, is_ignored=True),
    "wait-all-nodes": Option(is_ignored=True),
    "wckey": Option(is_ignored=True),
    "wrap": Option(is_ignored=True),
}
