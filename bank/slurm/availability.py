"""What a reason of a job names: nodes that take no jobs, reservations, licenses."""

import re

from bank.errors import OutputNotUnderstood
from bank.policy.queue import License, Node, Reservation
from bank.slurm.clusters import on, without_heading

# A separator that the reason, which is free text, does not hold.
_SEPARATOR = "\x1f"
# States in which a node takes jobs, with what sinfo appends to them; "*" says that it does not
# answer, "$" that it is reserved for maintenance.
_TAKES_JOBS = re.compile(r"(?:idle|mixed|allocated|completing|planned|reserved)[+~#!%@^-]?")
_RESERVATION = re.compile(
    r"ReservationName=(\S+) StartTime=([0-9]+) EndTime=([0-9]+) .*? ?Nodes=(\S*)"
)
_LICENSE = re.compile(r"LicenseName=(\S+)\s+Total=([0-9]+)\s+Used=([0-9]+)")
_NONE = re.compile(r"No reservations in the system|No licenses configured in Slurm\.")


def nodes_arguments(cluster: str | None) -> list[str]:
    """Build the question for all nodes; `cluster` None is the local one."""
    fields = _SEPARATOR.join(("%N", "%T", "%E"))
    return ["sinfo", *on(cluster), "-h", "-a", "-N", "-o", fields]


def read_nodes(output: str) -> list[Node]:
    """Return the nodes that take no jobs, each once.

    Raises:
        OutputNotUnderstood: a row is not in the form asked for.

    Source:
        sinfo(1): %T the state in extended form, %E why the node is down, drained or failing.
    """
    found = {}
    for line in without_heading(output):
        parts = [part.strip() for part in line.split(_SEPARATOR)]
        if len(parts) != len(Node._fields) or not all(parts):
            raise OutputNotUnderstood(f"sinfo printed {line[:200]!r}")
        if not _TAKES_JOBS.fullmatch(parts[1]):
            # In each partition that has it there is one row more.
            found[parts[0]] = Node(*parts)
    return list(found.values())


def reservations_arguments(cluster: str | None) -> list[str]:
    """Build the question for all reservations."""
    return ["scontrol", *on(cluster), "-o", "show", "reservation"]


def read_reservations(output: str) -> list[Reservation]:
    """Read `scontrol show reservation`.

    Raises:
        OutputNotUnderstood: a reservation is not in the form known.
    """
    found = []
    for line in output.splitlines():
        if not line or _NONE.match(line):
            continue
        match = _RESERVATION.match(line)
        if match is None:
            raise OutputNotUnderstood(f"scontrol show reservation printed {line[:200]!r}")
        name, start, end, nodes = match.groups()
        found.append(Reservation(name, int(start), int(end), nodes))
    return found


def licenses_arguments(cluster: str | None) -> list[str]:
    """Build the question for all licenses."""
    return ["scontrol", *on(cluster), "-o", "show", "licenses"]


def read_licenses(output: str) -> list[License]:
    """Read `scontrol show licenses`.

    Raises:
        OutputNotUnderstood: a license is not in the form known.
    """
    found = []
    for line in output.splitlines():
        if not line or _NONE.match(line):
            continue
        match = _LICENSE.match(line)
        if match is None:
            raise OutputNotUnderstood(f"scontrol show licenses printed {line[:200]!r}")
        name, total, used = match.groups()
        found.append(License(name, int(total), int(used)))
    return found
