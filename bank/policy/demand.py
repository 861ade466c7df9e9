"""What the controller makes of a request before it looks for nodes: defaults and limits.

Slurm's manuals say little of the order of these steps. What is here was compared with what Slurm
22.05 gives to jobs: tests/operations/test_quotes_real.py.
"""

from typing import NamedTuple

from bank.errors import Refusal
from bank.policy.cluster_shape import Cluster, Memory, Node, Partition
from bank.policy.job_request import GresRequest, Request


class Demand(NamedTuple):
    """What is looked for in one partition.

    Attributes:
        min_cpus: CPUs in all.
        node_cpus: CPUs that each node must give.
        cpus_per_task, tasks, tasks_per_node: 1, 0 and 0 where nothing was said.
        memory: for each node or CPU; 0 MB for each node is all of the node's.
        memory_per_gpu_mb: counts in place of memory where it is not None.
        gres: what is asked for, as the numbers of tasks and nodes have completed it.
        cpus_per_gpu: 0 for none.
        tasks_per_gpu: 0 for none.
        min_nodes: at least 1.
        max_nodes: None where the job may be spread over as many as Slurm likes.
        is_whole: whether it gets whole nodes.
    """

    min_cpus: int
    node_cpus: int
    cpus_per_task: int
    tasks: int
    tasks_per_node: int
    memory: Memory
    memory_per_gpu_mb: int | None
    gres: tuple[GresRequest, ...]
    cpus_per_gpu: int
    tasks_per_gpu: int
    min_nodes: int
    max_nodes: int | None
    is_whole: bool


def demand(asked: Request, partition: Partition, cluster: Cluster) -> Demand:
    """Return what the controller looks for.

    Args:
        asked: the request.
        partition: where.
        cluster: its configuration.

    Raises:
        Refusal: Slurm does not take the request, or never starts it.

    Source:
        slurm.conf(5): DefMemPerCPU, MaxMemPerCPU ("the job's CPU count is increased"),
        OverSubscribe, DefCpuPerGPU; sbatch(1): --gpus-per-task, --ntasks-per-gpu.
    """
    asked = _with_tasks_by_gres(_with_nodes_by_gres(_with_tasks_by_nodes(asked)))
    asked = _with_gpus_by_tasks(asked)
    controller = cluster.controller
    is_whole = (
        partition.is_exclusive
        or controller.gives_whole_nodes
        or asked.sharing == "exclusive"
        or (asked.reserves_cores and controller.takes_core_spec)
    )
    cpus_per_task = asked.cpus_per_task or 1
    node_cpus = max(asked.node_cpus, cpus_per_task)
    if asked.tasks_per_node and not asked.overcommits and (asked.tasks or 0) > 1:
        node_cpus = max(node_cpus, cpus_per_task * asked.tasks_per_node)
    has_gpus = any(one.name == "gpu" for one in asked.gres)
    cpus_per_gpu = asked.cpus_per_gpu or 0
    if has_gpus and not cpus_per_gpu and asked.cpus_per_task is None:
        cpus_per_gpu = _first(partition.cpus_per_gpu, controller.cpus_per_gpu) or 0
    per_task = sum(one.number for one in asked.gres if one.name == "gpu" and one.per == "task")
    memory_per_gpu = asked.memory_per_gpu_mb
    memory = _memory(asked)
    if has_gpus and memory_per_gpu is None and memory is None:
        memory_per_gpu = _first(partition.memory_per_gpu_mb, controller.memory_per_gpu_mb)
    if asked.memory_per_gpu_mb is not None and not has_gpus:
        raise _never(partition, "--mem-per-gpu goes with GPUs only")
    most = asked.max_nodes
    if asked.spreads and most is None and asked.tasks:
        most = min(len(cluster.nodes), asked.tasks)
    found = Demand(
        min_cpus=asked.min_cpus,
        node_cpus=node_cpus,
        cpus_per_task=max(cpus_per_task, per_task * cpus_per_gpu),
        tasks=asked.tasks or 0,
        tasks_per_node=asked.tasks_per_node or 0,
        memory=memory or _default_memory(partition, cluster),
        memory_per_gpu_mb=memory_per_gpu,
        gres=asked.gres,
        cpus_per_gpu=cpus_per_gpu,
        tasks_per_gpu=asked.tasks_per_gpu or 0,
        min_nodes=max(_fewest_nodes(asked), partition.min_nodes),
        max_nodes=most,
        is_whole=is_whole,
    )
    return _within_max_memory(found, partition, cluster)


def _fewest_nodes(asked: Request) -> int:
    """Return on how many nodes the job is at least, so that none has more tasks than it may."""
    fewest = asked.min_nodes or 1
    if asked.tasks and asked.tasks_per_node and not asked.overcommits:
        fewest = max(fewest, -(-asked.tasks // asked.tasks_per_node))
    return fewest


def _never(partition: Partition, why: str) -> Refusal:
    return Refusal(
        "job_never_runs", f"Slurm does not run this in partition {partition.name}: {why}"
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _memory(asked: Request) -> Memory | None:
    """Return the memory that was asked for; None where nothing was, or it is for each GPU."""
    if asked.memory_per_cpu_mb is not None:
        # Nothing for each CPU is everything for each node.
        per = "cpu" if asked.memory_per_cpu_mb else "node"
        return Memory(asked.memory_per_cpu_mb, per)
    if asked.memory_per_node_mb is not None:
        return Memory(asked.memory_per_node_mb, "node")
    return None


def _default_memory(partition: Partition, cluster: Cluster) -> Memory:
    return partition.default_memory or cluster.controller.default_memory or Memory(0, "node")


def _with_tasks_by_nodes(asked: Request) -> Request:
    """Return a request with the number of tasks that follows from a fixed number of nodes."""
    is_fixed = asked.min_nodes is not None and asked.min_nodes == asked.max_nodes
    by_task = asked.tasks_per_gpu or any(one.per == "task" for one in asked.gres)
    if asked.tasks is not None or not is_fixed or not by_task:
        return asked
    nodes = asked.min_nodes or 1
    if asked.tasks_per_gpu:
        return asked._replace(tasks=nodes * asked.tasks_per_gpu)
    if asked.tasks_per_node:
        return asked._replace(tasks=nodes * asked.tasks_per_node)
    return asked._replace(tasks=nodes) if asked.cpus_per_task is None else asked


def _with_nodes_by_gres(asked: Request) -> Request:
    """Return a request with the number of nodes that follows from a total and a number for each.

    Raises:
        Refusal: they contradict each other.
    """
    by_node = {(one.name, one.type): one.number for one in asked.gres if one.per == "node"}
    for one in asked.gres:
        if one.per != "job":
            continue
        each = by_node.get((one.name, one.type))
        if each is not None:
            nodes = one.number // each
            most = asked.max_nodes or nodes
            if one.number % each or not (asked.min_nodes or 1) <= nodes <= most:
                raise _contradiction(f"{one.number} {one.name} in all and {each} for each node")
            asked = asked._replace(min_nodes=nodes, max_nodes=nodes)
        elif one.number < (asked.min_nodes or 1):
            raise _contradiction(f"{one.number} {one.name} on {asked.min_nodes} nodes")
        elif asked.max_nodes is not None:
            asked = asked._replace(max_nodes=min(asked.max_nodes, one.number))
    return asked


def _with_tasks_by_gres(asked: Request) -> Request:
    """Return a request with the number of tasks that follows from what each task gets.

    Raises:
        Refusal: it contradicts what else was said, or too little was.
    """
    by_job = {(one.name, one.type): one.number for one in asked.gres if one.per == "job"}
    by_node = {(one.name, one.type): one.number for one in asked.gres if one.per == "node"}
    for one in asked.gres:
        if one.per == "socket" and asked.sockets_per_node is None:
            raise _contradiction("--gpus-per-socket needs --sockets-per-node")
        if one.per != "task":
            continue
        key = (one.name, one.type)
        tasks = by_job[key] // one.number if key in by_job else asked.tasks
        if not tasks or by_job.get(key, 0) % one.number or asked.tasks not in (None, tasks):
            raise _contradiction("--gpus-per-task needs --ntasks, or --gpus that go up in it")
        asked = asked._replace(tasks=tasks)
        if asked.cpus_per_gpu:
            asked = asked._replace(cpus_per_task=asked.cpus_per_gpu * one.number)
        if key in by_node:
            asked = asked._replace(tasks_per_node=by_node[key] // one.number)
    return asked


def _with_gpus_by_tasks(asked: Request) -> Request:
    """Return a request with the GPUs that follow from the number of tasks for each.

    Raises:
        Refusal: too little was said.
    """
    each = asked.tasks_per_gpu
    if each is None or any(one.name == "gpu" for one in asked.gres):
        return asked
    if not asked.tasks or asked.tasks % each:
        raise _contradiction("--ntasks-per-gpu needs GPUs, or --ntasks that go up in it")
    gpus = GresRequest("gpu", "", asked.tasks // each, "job")
    return asked._replace(gres=(*asked.gres, gpus))


def _contradiction(what: str) -> Refusal:
    return Refusal("job_not_taken", f"Slurm does not take this request: {what}")


def _within_max_memory(found: Demand, partition: Partition, cluster: Cluster) -> Demand:
    """Return what MaxMemPerCPU or MaxMemPerNode makes of a demand: more CPUs, or nothing.

    Raises:
        Refusal: the job would wait for ever.
    """
    limit = partition.max_memory or cluster.controller.max_memory
    memory = found.memory
    if limit is None:
        return found
    if memory.per == limit.per == "cpu":
        if memory.megabytes <= limit.megabytes:
            return found
        times = -(-memory.megabytes // limit.megabytes)
        cpus_per_task = found.cpus_per_task * times
        less = Memory(-(-memory.megabytes // times), "cpu")
        found = found._replace(memory=less, cpus_per_task=cpus_per_task)
        tasks = found.tasks or found.min_nodes * found.tasks_per_node
        if tasks:
            return found._replace(min_cpus=tasks * cpus_per_task)
        return found._replace(node_cpus=cpus_per_task)
    there = [node for node in cluster.nodes if partition.name in node.partitions]
    megabytes = memory.megabytes or (there[0].memory_mb if there else 0)
    cpus = _cpus_per_node(found, there)
    if memory.per == "cpu":
        megabytes *= cpus
    elif limit.per == "cpu":
        needed = -(-megabytes // limit.megabytes)
        if found.node_cpus < needed:
            cpus = max(cpus, needed)
            found = found._replace(node_cpus=needed)
            if found.tasks_per_node:
                found = found._replace(cpus_per_task=-(-needed // found.tasks_per_node))
    allowed = limit.megabytes * (cpus if limit.per == "cpu" else 1)
    if megabytes > allowed:
        raise _never(
            partition, f"{megabytes} MB on a node are more than the {allowed} allowed there"
        )
    return found


def _cpus_per_node(found: Demand, there: list[Node]) -> int:
    """Return on how many CPUs of a node Slurm counts where it compares limits of memory."""
    if found.is_whole:
        return there[0].cpus if there else 1
    cpus = max(found.tasks_per_node, 1)
    if found.tasks and found.max_nodes:
        cpus = max(cpus, -(-found.tasks // found.max_nodes))
    return max(cpus * found.cpus_per_task, found.node_cpus)
