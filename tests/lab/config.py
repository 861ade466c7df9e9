"""The text of a lab's configuration files. Pure: same site in, same text out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# CgroupPlugin=disabled exists from this version on; earlier ones start without any setting.
CGROUPS_CAN_BE_DISABLED = (24, 5)

SCHEDULER = (
    # Without these a job waits up to three seconds before it is even looked at.
    "batch_sched_delay=0",
    "sched_interval=1",
    "bf_interval=1",
    "bf_continue",
    "bf_max_job_test=5000",
    "default_queue_depth=5000",
)


@dataclass(frozen=True)
class Node:
    """One pretended compute node.

    Attributes:
        name: as Slurm knows it.
        port: where its slurmd listens.
        cpus: cores it claims to have.
        memory_mb: memory it claims to have.
        gpus: GPUs it claims to have.
        gpu_types: their types, each for as many of them; empty for GPUs without a type.
        sockets: over which its cores are spread; 0 leaves that to Slurm, which makes a socket of
            each core.
        threads: of each core.
        features: its features, separated by commas.
    """

    name: str
    port: int = 0
    cpus: int = 64
    memory_mb: int = 262_144
    gpus: int = 0
    gpu_types: tuple[str, ...] = ()
    sockets: int = 0
    threads: int = 1
    features: str = ""


@dataclass(frozen=True)
class Site:
    """What distinguishes one lab's configuration from another's.

    Attributes:
        cluster: Slurm's name of the cluster.
        directory: where everything of this cluster lies.
        munge_socket: the private munge daemon's socket.
        hostname: the machine's short name, as Slurm sees it.
        slurm_version: major and minor number.
        slurmctld_port: where slurmctld listens.
        slurmdbd_port: where slurmdbd listens.
        nodes: the compute nodes.
        address: where on the loopback interface the daemons talk to each other.
        partitions: further partitions, as they stand in slurm.conf behind "PartitionName=".
    """

    cluster: str
    directory: Path
    munge_socket: Path
    hostname: str
    slurm_version: tuple[int, int]
    slurmctld_port: int
    slurmdbd_port: int
    nodes: tuple[Node, ...]
    address: str = "127.0.0.1"
    partitions: tuple[str, ...] = ()


def parameters(site: Site, user: str) -> dict[str, str]:
    """Return slurm.conf's global parameters, in the order they are written."""
    at = site.directory
    return {
        "ClusterName": site.cluster,
        # The address in parentheses keeps all traffic on the loopback interface.
        "SlurmctldHost": f"{site.hostname}({site.address})",
        "SlurmctldPort": str(site.slurmctld_port),
        "SlurmUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={site.munge_socket}",
        "CredType": "cred/munge",
        "StateSaveLocation": str(at / "state"),
        "SlurmdSpoolDir": str(at / "spool" / "%n"),
        "SlurmctldPidFile": str(at / "run" / "slurmctld.pid"),
        "SlurmdPidFile": str(at / "run" / "slurmd-%n.pid"),
        "SlurmctldDebug": "info",
        "SlurmdDebug": "info",
        # The daemons log to standard error, which the lab keeps; not to the machine's syslog.
        "SlurmctldSyslogDebug": "quiet",
        "SlurmdSyslogDebug": "quiet",
        # slurmctld alone is restarted when the lab changes a parameter.
        "DebugFlags": "NO_CONF_HASH",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none",
        "SlurmdParameters": "config_overrides",
        "GresTypes": "gpu",
        "ReturnToService": "2",
        "SlurmctldTimeout": "30",
        # A node never counts as down, however long a test freezes somebody.
        "SlurmdTimeout": "0",
        "MessageTimeout": "10",
        "KillWait": "1",
        "CompleteWait": "0",
        "MinJobAge": "120",
        "MaxJobCount": "100000",
        "MaxArraySize": "20001",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": ",".join(SCHEDULER),
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "DefMemPerCPU": "1024",
        "PriorityType": "priority/multifactor",
        "PriorityDecayHalfLife": "0",
        "PriorityUsageResetPeriod": "NONE",
        "PriorityCalcPeriod": "1",
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": site.address,
        "AccountingStoragePort": str(site.slurmdbd_port),
        # Not a password: it is how a client finds the munge socket that slurmdbd trusts.
        "AccountingStoragePass": str(site.munge_socket),
        "AccountingStorageEnforce": "associations,limits,qos,safe",
        "AccountingStorageTRES": "gres/gpu",
    }


def slurm_conf(site: Site, user: str, overrides: Mapping[str, str]) -> str:
    """Return the text of slurm.conf.

    Args:
        site: the lab.
        user: whom slurmctld runs as.
        overrides: global parameters to set differently, or to add; an empty value leaves
            the parameter out.
    """
    wanted = parameters(site, user)
    by_lower_case = {name.lower(): name for name in wanted}
    for name, value in overrides.items():
        # Slurm does not mind the case of a name, and refuses one that stands twice.
        wanted[by_lower_case.get(name.lower(), name)] = value
    lines = [f"{name}={value}" for name, value in wanted.items() if value != ""]
    lines += [node_line(site, node) for node in site.nodes]
    lines += partition_lines(site)
    lines += [f"PartitionName={text}" for text in site.partitions]
    return "\n".join(lines) + "\n"


def node_line(site: Site, node: Node) -> str:
    """Return a node's line in slurm.conf."""
    each = node.gpus // max(len(node.gpu_types), 1)
    kinds = [f"gpu:{kind}:{each}" for kind in node.gpu_types] or [f"gpu:{node.gpus}"]
    gpus = f" Gres={','.join(kinds)}" if node.gpus else ""
    layout = ""
    if node.sockets:
        cores = node.cpus // node.sockets // node.threads
        layout = f" Sockets={node.sockets} CoresPerSocket={cores} ThreadsPerCore={node.threads}"
    features = f" Feature={node.features}" if node.features else ""
    return (
        f"NodeName={node.name} NodeHostname={site.hostname} NodeAddr={site.address}"
        f" Port={node.port} CPUs={node.cpus}{layout} RealMemory={node.memory_mb}{gpus}{features}"
        " State=UNKNOWN"
    )


def partition_lines(site: Site) -> list[str]:
    """Return the partitions' lines in slurm.conf.

    Units:
        ``fast`` bills 3600 for a core, so that one core-second is one SU, and a test that
        needs whole SUs waits for seconds.
    """
    own = [node for node in site.nodes if not node.features]
    cpu_nodes = ",".join(node.name for node in own if not node.gpus)
    gpu_nodes = ",".join(node.name for node in own if node.gpus)
    times = "DefaultTime=00:10:00 MaxTime=7-00:00:00 State=UP"
    fractional = 'TRESBillingWeights="CPU=0.5,Mem=0.25G"'
    lines = [
        f'PartitionName=normal Nodes={cpu_nodes} Default=YES {times} TRESBillingWeights="CPU=1.0"',
        f"PartitionName=fractional Nodes={cpu_nodes} {times} {fractional}",
        f'PartitionName=fast Nodes={cpu_nodes} {times} TRESBillingWeights="CPU=3600"',
    ]
    if gpu_nodes:
        lines.append(
            f"PartitionName=gpu Nodes={gpu_nodes} {times}"
            ' TRESBillingWeights="CPU=1.0,Mem=0.25G,GRES/gpu=1.0"'
        )
    return lines


def gres_conf(site: Site) -> str:
    """Return the text of gres.conf.

    A count alone leaves the node ``inval`` (22.05): Slurm wants a file for each GPU. Any file
    that is there will do.
    """
    lines = [
        f"NodeName={node.name} Name=gpu{_gpu_type(node, number)} File={gpu_file(site, number)}"
        for node in site.nodes
        for number in range(node.gpus)
    ]
    return "\n".join(lines) + "\n"


def _gpu_type(node: Node, number: int) -> str:
    if not node.gpu_types:
        return ""
    return f" Type={node.gpu_types[number * len(node.gpu_types) // node.gpus]}"


def gpu_file(site: Site, number: int) -> Path:
    """Return the file that stands for a GPU."""
    return site.directory / "gpu" / f"gpu{number}"


def cgroup_conf(site: Site) -> str:
    """Return the text of cgroup.conf: a lab does without control groups."""
    if site.slurm_version >= CGROUPS_CAN_BE_DISABLED:
        return "CgroupPlugin=disabled\n"
    return "# no control groups\n"


def slurmdbd_conf(site: Site, user: str) -> str:
    """Return the text of slurmdbd.conf."""
    at = site.directory
    lines = (
        "DbdHost=localhost",
        f"DbdAddr={site.address}",
        f"DbdPort={site.slurmdbd_port}",
        f"SlurmUser={user}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={site.munge_socket}",
        f"PidFile={at / 'run' / 'slurmdbd.pid'}",
        "DebugLevel=info",
        "DebugLevelSyslog=quiet",
        "StorageType=accounting_storage/mysql",
        # 'localhost' makes the MariaDB library take the socket named in MYSQL_UNIX_PORT.
        "StorageHost=localhost",
        f"StorageUser={user}",
        "StorageLoc=slurm_acct_db",
    )
    return "\n".join(lines) + "\n"
