"""What Slurm gives to a job: how many nodes, CPUs, memory, generic resources, licenses.

Slurm rounds up: to cores, to sockets, to whole nodes. What is here was compared with what Slurm
22.05 gives to jobs: tests/operations/test_quotes_real.py.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from bank.errors import Refusal
from bank.policy.cluster_shape import Node
from bank.policy.node_capacity import (
    Job,
    allocated_cpus,
    cpus_with_memory,
    gres_of,
    shared_out,
    usable_cpus,
)

Tres = Mapping[str, Fraction]
Price = Callable[[Tres], Fraction]


class Allocations(NamedTuple):
    """What a job may be given, as TRES by name; memory in megabytes.

    Attributes:
        usual: what an idle cluster gives: as few nodes as possible, or the most of a range.
        dearest: the most that it may be billed for; on more nodes it may get more.
    """

    usual: Tres
    dearest: Tres


def allocations(job: Job, nodes: Sequence[Node], price: Price) -> Allocations:
    """Return what a job may be given in one partition.

    Args:
        job: the job.
        nodes: the nodes of the partition that it may have.
        price: what an allocation is billed, which tells the dearest.

    Raises:
        Refusal: it fits nowhere, so that Slurm refuses it or lets it wait for ever.
    """
    wanted = job.wanted
    fits = [node for node in nodes if usable_cpus(job, node)]
    allowed = min(len(fits), job.partition.max_nodes)
    if wanted.max_nodes is not None:
        allowed = min(allowed, wanted.max_nodes)
    fewest = _first(range(wanted.min_nodes, allowed + 1), job, fits, price)
    if fewest is None or not {node.name for node in fits}.issuperset(job.asked.nodes):
        raise Refusal("job_never_runs", _why_not(job, nodes, fits))
    # From the most nodes down: the more there are, the more is rounded up.
    spread = min(allowed, _widest(job, int(fewest["node"])))
    widest = _first(range(spread, int(fewest["node"]), -1), job, fits, price) or fewest
    takes_most = wanted.max_nodes is not None and not job.asked.takes_fewest_nodes
    expected = widest if takes_most else fewest
    usual = _given(job, _preferred(job, fits, int(expected["node"]))) or expected
    return Allocations(usual=usual, dearest=max(usual, fewest, widest, key=price))


def _first(counts: Sequence[int], job: Job, fits: Sequence[Node], price: Price) -> Tres | None:
    """Return the dearest allocation on the first number of nodes on which the job fits."""
    for count in counts:
        given = [
            _given(job, chosen, kind)
            for chosen in _choices(job, fits, count, price)
            for kind in _kinds(job, chosen)
        ]
        possible = [one for one in given if one is not None]
        if possible:
            return max(possible, key=price)
    return None


def _choices(job: Job, fits: Sequence[Node], count: int, price: Price) -> list[Sequence[Node]]:
    """Return the sets of nodes among which the dearest one is: those with the most of something.

    Nodes that the job must have are in each.
    """
    must = [node for node in fits if node.name in job.asked.nodes]
    others = [node for node in fits if node.name not in job.asked.nodes]
    more = count - len(must)
    orders: list[Callable[[Node], Fraction | int]] = [
        lambda node: price(_whole(job, [node])),
        lambda node: usable_cpus(job, node),
        lambda node: node.cpus,
        lambda node: node.memory_mb,
        lambda node: node.threads_per_core,
        lambda node: sum(node.gres.values()),
    ]
    if len({_shape(node) for node in others}) <= 1:
        orders = orders[2:3]
    return [[*must, *sorted(others, key=order, reverse=True)[:more]] for order in orders]


def _preferred(job: Job, fits: Sequence[Node], count: int) -> list[Node]:
    """Return the nodes that Slurm takes first: those it must, then those with the least weight."""
    order = sorted(fits, key=lambda node: (node.name not in job.asked.nodes, node.weight))
    return order[:count]


def _shape(node: Node) -> tuple[object, ...]:
    """Return what makes two nodes the same for a job."""
    layout = (node.cpus, node.sockets, node.cores_per_socket, node.threads_per_core)
    return (*layout, node.memory_mb, *sorted(node.gres.items()))


def _widest(job: Job, fewest: int) -> int:
    """Return over how many nodes the job may be spread, where no number was asked for."""
    wanted = job.wanted
    if wanted.max_nodes is not None:
        return wanted.max_nodes
    by_gres = [one.number for one in wanted.gres if one.per == "job"]
    by_gres += [wanted.tasks for one in wanted.gres if one.per == "task"]
    by_cpus = -(-_cpus(job, fewest) // max(wanted.node_cpus, wanted.cpus_per_task))
    if wanted.tasks_per_node and wanted.tasks:
        by_cpus = -(-wanted.tasks // wanted.tasks_per_node)
    return max(by_cpus, fewest, *by_gres)


def _cpus(job: Job, nodes: int) -> int:
    """Return how many CPUs Slurm wants on so many nodes, before it rounds them up."""
    wanted = job.wanted
    gpus = sum(count for (name, _), count in _gres(job, nodes).items() if name == "gpu")
    return max(
        nodes * max(wanted.tasks_per_node, 1),
        nodes * wanted.node_cpus,
        wanted.min_cpus,
        wanted.tasks_per_gpu * gpus,
        wanted.cpus_per_gpu * gpus,
    )


def _gres(job: Job, nodes: int) -> dict[tuple[str, str], int]:
    """Return how many generic resources a job that shares nodes gets, by name and type."""
    times = {
        "job": 1,
        "node": nodes,
        "socket": nodes * (job.asked.sockets_per_node or 1),
        "task": job.wanted.tasks,
    }
    found: dict[tuple[str, str], int] = {}
    # Where several say how many, the one for the whole job counts, then the one for a node.
    for per, factor in times.items():
        here: dict[tuple[str, str], int] = {}
        for one in job.wanted.gres:
            if one.per == per:
                key = (one.name, one.type)
                here[key] = here.get(key, 0) + one.number * factor
        found = {**here, **found}
    return found


def _kinds(job: Job, nodes: Sequence[Node]) -> list[str]:
    """Return the types of resources that a job which leaves the type open may be given."""
    names = {one.name for one in job.wanted.gres if not one.type}
    kinds = {kind: None for node in nodes for name, kind in node.gres if kind and name in names}
    return list(kinds) or [""]


def _given(job: Job, nodes: Sequence[Node], kind: str = "") -> Tres | None:
    """Return what the job is given on these nodes, None where it does not fit on them.

    Args:
        job: the job.
        nodes: where.
        kind: the type that resources are of as far as there are so many, where any will do.
    """
    if job.wanted.is_whole:
        is_enough = sum(usable_cpus(job, node) for node in nodes) >= _cpus(job, len(nodes))
        return _whole(job, nodes) if is_enough and _has_gres(job, nodes) else None
    cpus = _cpus(job, len(nodes))
    room = sum(usable_cpus(job, node) for node in nodes)
    if job.asked.overcommits:
        cpus = min(room, job.wanted.tasks or cpus)
    if room < cpus or not _has_gres(job, nodes):
        return None
    taken = shared_out(job, nodes, cpus)
    given = [allocated_cpus(job, node, there) for node, there in zip(nodes, taken, strict=True)]
    return _tres(job, nodes, given, _typed(_gres(job, len(nodes)), nodes, kind))


def _typed(
    gres: Mapping[tuple[str, str], int], nodes: Sequence[Node], first: str
) -> dict[tuple[str, str], int]:
    """Return generic resources with the types that the nodes have them in."""
    found = {key: number for key, number in gres.items() if key[1]}
    there: dict[tuple[str, str], int] = {}
    for node in nodes:
        for key, number in node.gres.items():
            there[key] = there.get(key, 0) + number
    for name, number in ((key[0], number) for key, number in gres.items() if not key[1]):
        left = number
        mine = [key for key in there if key[0] == name]
        for key in sorted(mine, key=lambda one: one[1] != first):
            taken = min(left, there[key] - found.get(key, 0))
            if taken > 0:
                found[key] = found.get(key, 0) + taken
                left -= taken
    return found


def _has_gres(job: Job, nodes: Sequence[Node]) -> bool:
    return all(
        sum(gres_of(node, name, kind) for node in nodes) >= count
        for (name, kind), count in _gres(job, len(nodes)).items()
    )


def _whole(job: Job, nodes: Sequence[Node]) -> Tres:
    """Return all that nodes have, which is what a job that does not share them gets."""
    gres: dict[tuple[str, str], int] = {}
    for node in nodes:
        for key, count in node.gres.items():
            gres[key] = gres.get(key, 0) + count
    return _tres(job, nodes, [node.cpus for node in nodes], gres)


def _tres(
    job: Job, nodes: Sequence[Node], cpus: Sequence[int], gres: Mapping[tuple[str, str], int]
) -> Tres:
    found = {"cpu": sum(cpus), "node": len(nodes), "mem": _memory(job, nodes, cpus, gres)}
    for (name, kind), count in gres.items():
        found[f"gres/{name}"] = found.get(f"gres/{name}", 0) + count
        if kind:
            found[f"gres/{name}:{kind}"] = count
    for name, count in job.asked.licenses:
        found[f"license/{name}"] = count
    tracked = job.controller.tracked
    return {
        name.lower(): Fraction(count)
        for name, count in found.items()
        if count and ("/" not in name or name.lower() in tracked)
    }


def _memory(
    job: Job, nodes: Sequence[Node], cpus: Sequence[int], gres: Mapping[tuple[str, str], int]
) -> int:
    """Return the memory that is given, in megabytes."""
    wanted = job.wanted
    if not job.controller.counts_memory:
        return 0
    if wanted.memory_per_gpu_mb is not None:
        gpus = sum(count for (name, _), count in gres.items() if name == "gpu")
        return wanted.memory_per_gpu_mb * gpus
    if wanted.memory.per == "node":
        return sum(wanted.memory.megabytes or node.memory_mb for node in nodes)
    counted = [cpus_with_memory(job, node, given) for node, given in zip(nodes, cpus, strict=True)]
    return wanted.memory.megabytes * sum(counted)


def _why_not(job: Job, nodes: Sequence[Node], fits: Sequence[Node]) -> str:
    wanted = job.wanted
    where = f"Slurm does not run this in partition {job.partition.name}:"
    if not nodes:
        return f"{where} it has no node that the job may have"
    if not fits:
        asks = [f"{wanted.node_cpus} CPUs"]
        asks += [f"{one.number} {one.name} a {one.per}" for one in wanted.gres]
        return f"{where} none of its {len(nodes)} nodes has what is asked for ({', '.join(asks)})"
    count = wanted.min_nodes
    return (
        f"{where} its {len(fits)} fitting nodes have less than was asked for"
        f" ({_cpus(job, count)} CPUs, {count} nodes or more)"
    )
