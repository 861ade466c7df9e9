"""squeue: which jobs the controller itself holds to be running."""

from bank.errors import OutputNotUnderstood

_STARTED = "RUNNING,SUSPENDED,COMPLETING,CONFIGURING,STOPPED"


def arguments(cluster: str | None) -> list[str]:
    """Build the question; `cluster` None is the local one."""
    where = ["-M", cluster] if cluster else []
    return ["squeue", *where, "-h", "-a", "-t", _STARTED, "-o", "%A"]


def read(output: str) -> frozenset[int]:
    """Return the ids of the jobs that hold resources now; a task of an array has its own.

    Source:
        squeue(1), %A the job id.
    """
    lines = output.splitlines()
    if lines and lines[0].startswith("CLUSTER: "):
        del lines[0]
    for line in lines:
        if not line.isdigit():
            raise OutputNotUnderstood(f"squeue printed {line[:200]!r}")
    return frozenset(map(int, lines))
