"""What a job asks for, as the controller is told of it: the same from a script and from a hook."""

from typing import NamedTuple

# As Slurm has it: larger than any limit, so the smallest of several limits is the one that counts.
UNLIMITED = 4_294_967_295


class GresRequest(NamedTuple):
    """Generic resources that are asked for.

    Attributes:
        name: "gpu".
        type: "tesla", or "" for any.
        number: how many of them, at least 1.
        per: "node", "job", "socket" or "task".
    """

    name: str
    type: str
    number: int
    per: str


class Request(NamedTuple):
    """One job, or one component of a heterogeneous job. None is what was not asked for.

    Attributes:
        account, qos: by name.
        partitions: those that it may run in, by name; none is the default one.
        reservation: by name.
        cluster: by name.
        time_minutes: its time limit; UNLIMITED where it asks for that.
        min_cpus: CPUs of all tasks together.
        tasks, cpus_per_task: as asked for.
        min_nodes, max_nodes: as asked for.
        takes_fewest_nodes: whether min_nodes is what it prefers, --use-min-nodes.
        spreads: whether it prefers many nodes, --spread-job.
        node_cpus: CPUs that each node must give at least, pn_min_cpus.
        tasks_per_node, tasks_per_core, tasks_per_socket, tasks_per_gpu: at most so many.
        sockets_per_node, cores_per_socket: nodes must have so many.
        threads_per_core: so many threads of a core are used.
        overcommits: whether tasks share CPUs.
        memory_per_node_mb, memory_per_cpu_mb, memory_per_gpu_mb: at most one of them is not None;
            0 for each node is all that the node has.
        gres: generic resources.
        cpus_per_gpu: as asked for.
        licenses: how many of each, by name.
        sharing: "exclusive", "oversubscribe", "user" or "mcs".
        reserves_cores: whether it leaves cores to the system, which takes whole nodes.
        nodes: names of nodes that it must have.
        excluded: names of nodes that it must not have.
        features: a constraint on nodes as typed, "" for none.
        array_tasks: how many tasks its array has; 1 without an array.
        array_highest: the highest index of its array.
        array_at_once: how many tasks of its array may run at once; None for all.
    """

    account: str | None = None
    qos: str | None = None
    partitions: tuple[str, ...] = ()
    reservation: str | None = None
    cluster: str | None = None
    time_minutes: int | None = None
    min_cpus: int = 1
    tasks: int | None = None
    cpus_per_task: int | None = None
    min_nodes: int | None = None
    max_nodes: int | None = None
    takes_fewest_nodes: bool = False
    spreads: bool = False
    node_cpus: int = 1
    tasks_per_node: int | None = None
    tasks_per_core: int | None = None
    tasks_per_socket: int | None = None
    tasks_per_gpu: int | None = None
    sockets_per_node: int | None = None
    cores_per_socket: int | None = None
    threads_per_core: int | None = None
    overcommits: bool = False
    memory_per_node_mb: int | None = None
    memory_per_cpu_mb: int | None = None
    memory_per_gpu_mb: int | None = None
    gres: tuple[GresRequest, ...] = ()
    cpus_per_gpu: int | None = None
    licenses: tuple[tuple[str, int], ...] = ()
    sharing: str | None = None
    reserves_cores: bool = False
    nodes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    features: str = ""
    array_tasks: int = 1
    array_highest: int = 0
    array_at_once: int | None = None
