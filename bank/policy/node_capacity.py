"""What one node can give to a job, and what a job's tasks take of several."""

from collections.abc import Sequence
from typing import NamedTuple

from bank.policy.cluster_shape import Controller, Node, Partition
from bank.policy.demand import Demand
from bank.policy.job_request import Request


class Job(NamedTuple):
    """A job in one partition: what was asked for, and what the controller made of it."""

    asked: Request
    wanted: Demand
    partition: Partition
    controller: Controller


def _threads_used(job: Job, node: Node) -> int:
    """Return how many CPUs of a core the job uses.

    Source:
        sbatch(1): --ntasks-per-core, --threads-per-core, --hint=nomultithread.
    """
    threads = node.threads_per_core
    if job.asked.tasks_per_core:
        threads = min(threads, job.asked.tasks_per_core * job.wanted.cpus_per_task)
    if job.asked.threads_per_core is not None:
        threads = min(threads, job.asked.threads_per_core)
    return threads


def usable_cpus(job: Job, node: Node) -> int:
    """Return how many CPUs of an idle node the job could use; 0 where the node does not fit."""
    asked, wanted = job.asked, job.wanted
    is_laid_out = (
        (asked.threads_per_core or 1) <= node.threads_per_core
        and (asked.sockets_per_node or 1) <= node.sockets
        and (asked.cores_per_socket or 1) <= node.cores_per_socket
    )
    allowed = job.partition.max_cpus_per_node
    if not is_laid_out or (wanted.is_whole and node.cpus > allowed):
        return 0
    cpus = min(node.cpus // node.threads_per_core * _threads_used(job, node), allowed)
    cpus = _with_memory(job, node, cpus)
    for one in wanted.gres:
        has = gres_of(node, one.name, one.type)
        needs = {"node": one.number, "socket": one.number * (asked.sockets_per_node or 1)}
        if has < needs.get(one.per, 1):
            return 0
        if one.per == "task":
            cpus = min(cpus, has // one.number * wanted.cpus_per_task)
    needed = wanted.node_cpus
    if not asked.overcommits:
        needed = max(needed, max(wanted.tasks_per_node, 1) * wanted.cpus_per_task)
    return cpus if cpus >= needed else 0


def _with_memory(job: Job, node: Node, cpus: int) -> int:
    """Return for how many CPUs the node has the memory that the job needs."""
    memory = job.wanted.memory
    if not job.controller.counts_memory or job.wanted.memory_per_gpu_mb is not None:
        return cpus
    if memory.per == "node":
        return cpus if memory.megabytes <= node.memory_mb else 0
    if job.wanted.is_whole:
        return (
            cpus
            if memory.megabytes * cpus_with_memory(job, node, node.cpus) <= node.memory_mb
            else 0
        )
    if not job.controller.gives_whole_cores:
        return min(cpus, node.memory_mb // memory.megabytes)
    of_core = memory.megabytes * cpus_with_memory(job, node, node.threads_per_core)
    cores = node.memory_mb // of_core
    if job.controller.gives_whole_sockets:
        cores -= cores % node.cores_per_socket
    return min(cpus, cores * _threads_used(job, node))


def cpus_with_memory(job: Job, node: Node, given: int) -> int:
    """Return for how many CPUs there is memory: of a core, only for the threads asked for."""
    threads = job.asked.threads_per_core
    if threads is None or threads >= node.threads_per_core or not job.controller.gives_whole_cores:
        return given
    return given // node.threads_per_core * threads


def gres_of(node: Node, name: str, kind: str) -> int:
    """Return how many of a generic resource a node has; of any type where `kind` is ""."""
    return sum(
        count
        for (its_name, its_type), count in node.gres.items()
        if its_name == name and kind in ("", its_type)
    )


def shared_out(job: Job, nodes: Sequence[Node], cpus: int) -> list[int]:
    """Return how many CPUs the tasks of a job take on each node, before cores are rounded up.

    Slurm puts one task on each node, then fills the cores that were begun, then goes round.

    Args:
        job: the job.
        nodes: where.
        cpus: how many it takes in all.
    """
    wanted = job.wanted
    size = wanted.cpus_per_task
    tasks = cpus
    if size > 1 and not job.asked.overcommits:
        tasks = wanted.tasks_per_node * len(nodes) if wanted.tasks_per_node else cpus // size
    room = [usable_cpus(job, node) for node in nodes]
    taken = [min(size, there) for there in room]
    left = max(tasks, len(nodes)) - len(nodes)
    if job.asked.overcommits:
        return taken
    most = [
        min(there, wanted.tasks_per_node * size) if wanted.tasks_per_node else there
        for there in room
    ]
    for number, node in enumerate(nodes):
        begun = taken[number] % node.threads_per_core // size
        more = min(begun, left, (most[number] - taken[number]) // size)
        taken[number] += more * size
        left -= more
    while left:
        before = left
        for number, node in enumerate(nodes):
            at_once = max(node.threads_per_core // size, 1)
            more = min(at_once, left, (most[number] - taken[number]) // size)
            taken[number] += more * size
            left -= more
        if left == before:
            break
    return taken


def allocated_cpus(job: Job, node: Node, taken: int) -> int:
    """Return how many CPUs of a node Slurm gives for those that the tasks take.

    Source:
        slurm.conf(5), SelectTypeParameters: CR_Core and CR_Socket give out cores and sockets with
        all their threads, CR_CPU single CPUs.
    """
    controller = job.controller
    if job.wanted.is_whole:
        return node.cpus
    if not controller.gives_whole_cores:
        return taken
    threads = _threads_used(job, node)
    size = job.wanted.cpus_per_task
    cores = -(-taken // threads)
    if job.asked.tasks_per_core == 1 and size > threads:
        cores = taken // size * -(-size // threads)
    if controller.gives_whole_sockets:
        # Tasks of one CPU go round the sockets, larger ones fill one after the other.
        room = max(node.cores_per_socket * threads // size, 1)
        if job.asked.tasks_per_socket:
            room = min(room, job.asked.tasks_per_socket)
        sockets = (
            cores
            if size == 1
            else max(-(-taken // size // room), -(-cores // node.cores_per_socket))
        )
        cores = min(sockets, node.sockets) * node.cores_per_socket
    return min(cores * node.threads_per_core, node.cpus)
