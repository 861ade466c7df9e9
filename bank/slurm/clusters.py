"""-M, --clusters: which cluster a command asks, and the line in which it names that cluster."""

_HEADING = "CLUSTER: "


def on(cluster: str | None) -> list[str]:
    """Build the option, which stands right after the command; None is the local cluster."""
    return ["-M", cluster] if cluster else []


def without_heading(output: str) -> list[str]:
    """Return the lines of an answer but for the heading that squeue and sinfo give it with -M.

    Lines end with a newline only: str.splitlines also takes other characters for their ends, which
    what people wrote may hold.
    """
    lines = output.removesuffix("\n").split("\n") if output else []
    return lines[1:] if lines and lines[0].startswith(_HEADING) else lines
