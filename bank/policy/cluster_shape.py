"""What a cluster has and how it is configured, as far as it decides what a job is given."""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from bank.policy.job_request import UNLIMITED


class Memory(NamedTuple):
    """A default or a limit of memory in megabytes, for each CPU or for each node."""

    megabytes: int
    per: str


class Node(NamedTuple):
    """A node.

    Attributes:
        name: its name.
        partitions: those that it is in.
        cpus: CPUs that jobs can have, CPUEfctv.
        sockets, cores_per_socket, threads_per_core: how they are laid out.
        memory_mb: memory that jobs can have.
        gres: how many of each generic resource, by name and type ("" for none).
        features: those that are active.
        weight: Weight, jobs are given nodes with less of it first.
    """

    name: str
    partitions: frozenset[str]
    cpus: int
    sockets: int
    cores_per_socket: int
    threads_per_core: int
    memory_mb: int
    gres: Mapping[tuple[str, str], int]
    features: frozenset[str] = frozenset()
    weight: int = 1


class Partition(NamedTuple):
    """A partition.

    Attributes:
        name: its name.
        is_default: whether jobs that name none run there.
        weights: TRESBillingWeights, memory for each megabyte; empty for none.
        is_exclusive: whether every job gets whole nodes, OverSubscribe=EXCLUSIVE.
        default_memory, max_memory: None where the cluster's count.
        default_minutes: DefaultTime, None where there is none.
        max_minutes: MaxTime, or UNLIMITED.
        min_nodes, max_nodes: for each job; max_nodes may be UNLIMITED.
        max_cpus_per_node: CPUs of a node that its jobs may have, or UNLIMITED.
        over_minutes: OverTimeLimit, or UNLIMITED; None where the cluster's counts.
        cpus_per_gpu, memory_per_gpu_mb: DefCpuPerGPU and DefMemPerGPU; None where the cluster's
            count.
    """

    name: str
    is_default: bool
    weights: Mapping[str, Fraction]
    is_exclusive: bool = False
    default_memory: Memory | None = None
    max_memory: Memory | None = None
    default_minutes: int | None = None
    max_minutes: int = UNLIMITED
    min_nodes: int = 0
    max_nodes: int = UNLIMITED
    max_cpus_per_node: int = UNLIMITED
    over_minutes: int | None = None
    cpus_per_gpu: int | None = None
    memory_per_gpu_mb: int | None = None


class Controller(NamedTuple):
    """What slurm.conf says of the whole cluster.

    Attributes:
        cluster: ClusterName.
        select_type: SelectType.
        selects: the parts of SelectTypeParameters.
        default_memory, max_memory: None for none.
        over_minutes: OverTimeLimit, or UNLIMITED.
        cpus_per_gpu, memory_per_gpu_mb: DefCpuPerGPU and DefMemPerGPU; None for none.
        max_tres: whether PriorityFlags has MAX_TRES.
        tracked: AccountingStorageTRES, in lower case: no other generic resource and no other
            license is billed.
        takes_core_spec: AllowSpecResourcesUsage.
        max_array_size: MaxArraySize.
    """

    cluster: str
    select_type: str
    selects: frozenset[str]
    default_memory: Memory | None = None
    max_memory: Memory | None = None
    over_minutes: int = 0
    cpus_per_gpu: int | None = None
    memory_per_gpu_mb: int | None = None
    max_tres: bool = False
    tracked: frozenset[str] = frozenset()
    takes_core_spec: bool = False
    max_array_size: int = 1001

    @property
    def gives_whole_nodes(self) -> bool:
        """Whether jobs never share a node."""
        return self.select_type == "select/linear"

    @property
    def counts_memory(self) -> bool:
        """Whether memory is given out, and so billed."""
        return any(part.endswith("MEMORY") for part in self.selects)

    @property
    def gives_whole_cores(self) -> bool:
        """Whether all threads of a core go to one job."""
        return any(part.startswith(("CR_CORE", "CR_SOCKET")) for part in self.selects)

    @property
    def gives_whole_sockets(self) -> bool:
        """Whether all cores of a socket go to one job."""
        return any(part.startswith("CR_SOCKET") for part in self.selects)

    @property
    def runs_one_task_per_core(self) -> bool:
        """Whether --ntasks-per-core is 1 where it is not given."""
        return "CR_ONE_TASK_PER_CORE" in self.selects


class Qos(NamedTuple):
    """A QOS.

    Attributes:
        name: its name.
        factor: its UsageFactor.
        max_minutes: its MaxWall, None for none.
        lifts_time_limit: whether MaxTime of partitions does not count, PartitionTimeLimit.
    """

    name: str
    factor: Fraction
    max_minutes: int | None = None
    lifts_time_limit: bool = False


class Association(NamedTuple):
    """An association of the user who asks.

    Attributes:
        account, partition: what it is for; partition is "" for all.
        default_qos: "" for none.
        qos: what may be asked for.
        max_minutes: MaxWall, None for none.
        is_default: whether its account is the user's default one.
    """

    account: str
    partition: str
    default_qos: str
    qos: tuple[str, ...]
    max_minutes: int | None
    is_default: bool


class Cluster(NamedTuple):
    """All of it."""

    controller: Controller
    partitions: tuple[Partition, ...]
    nodes: tuple[Node, ...]
    qos: Mapping[str, Qos]
    associations: tuple[Association, ...]
