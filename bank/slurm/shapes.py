"""scontrol show config, partition, node: what decides how much Slurm gives to a job."""

import re
from collections.abc import Callable
from typing import TypeVar

from bank.errors import OutputNotUnderstood
from bank.policy.cluster_shape import Controller, Memory, Node, Partition
from bank.policy.job_request import UNLIMITED
from bank.slurm import partitions, spans
from bank.slurm.clusters import on
from bank.slurm.scontrol import config_values

Value = TypeVar("Value")
_NONE = {"", "(null)", "NONE", "N/A", "UNLIMITED", "NO_VAL", "0"}
_NO_LIMIT = {"UNLIMITED", "INFINITE"}
# What Slurm appends to a node's generic resources: the sockets that they are on.
_SOCKETS = re.compile(r"\([^)]*\)")
_COUNT = re.compile(r"([0-9]+)([KMG]?)")
_THOUSANDS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def nodes_arguments(cluster: str | None) -> list[str]:
    """Build the question for all nodes, hidden ones too; `cluster` None is the local one."""
    return ["scontrol", *on(cluster), "-a", "-o", "show", "node"]


def read_controller(output: str) -> Controller:
    """Read `scontrol show config`.

    Raises:
        OutputNotUnderstood: a value is missing or in an unknown form.

    Source:
        slurm.conf(5) for each parameter.
    """
    values = config_values(output)
    return _understood("scontrol show config", values, _controller)


def _controller(values: dict[str, str]) -> Controller:
    defaults = _job_defaults(values["JobDefaults"])
    return Controller(
        cluster=values["ClusterName"],
        select_type=values["SelectType"],
        # Not printed for select/linear without any.
        selects=frozenset(values.get("SelectTypeParameters", "NONE").upper().split(",")),
        default_memory=_memory(values, "DefMem"),
        max_memory=_memory(values, "MaxMem"),
        over_minutes=_number_or_unlimited(values["OverTimeLimit"].removesuffix(" min")),
        cpus_per_gpu=defaults.get("DefCpuPerGPU"),
        memory_per_gpu_mb=defaults.get("DefMemPerGPU"),
        max_tres="MAX_TRES" in values.get("PriorityFlags", "").upper().split(","),
        tracked=frozenset(values["AccountingStorageTRES"].lower().split(",")),
        takes_core_spec=values["AllowSpecResourcesUsage"].lower() in ("yes", "1"),
        max_array_size=int(values["MaxArraySize"]),
    )


def read_partitions(output: str) -> tuple[Partition, ...]:
    """Read what each partition gives to jobs.

    Raises:
        OutputNotUnderstood: a value is missing or in an unknown form, or there is no partition.

    Source:
        scontrol(1), show partition; slurm.conf(5), PARTITION CONFIGURATION.
    """
    return tuple(partitions.each(output, _partition).values())


def _partition(words: dict[str, str]) -> Partition:
    defaults = _job_defaults(words["JobDefaults"])
    shared = words["OverSubscribe"].partition(":")[0]
    if shared not in ("NO", "YES", "FORCE", "EXCLUSIVE"):
        raise ValueError(shared)
    over = words["OverTimeLimit"]
    default_time = words["DefaultTime"]
    return Partition(
        name=words["PartitionName"],
        is_default=words["Default"] == "YES",
        weights=partitions.weights(words),
        is_exclusive=shared == "EXCLUSIVE",
        default_memory=_memory(words, "DefMem"),
        max_memory=_memory(words, "MaxMem"),
        default_minutes=None if default_time == "NONE" else _minutes_or_unlimited(default_time),
        max_minutes=_minutes_or_unlimited(words["MaxTime"]),
        min_nodes=int(words["MinNodes"]),
        max_nodes=_number_or_unlimited(words["MaxNodes"]),
        max_cpus_per_node=_number_or_unlimited(words["MaxCPUsPerNode"]),
        over_minutes=None if over == "NONE" else _number_or_unlimited(over),
        cpus_per_gpu=defaults.get("DefCpuPerGPU"),
        memory_per_gpu_mb=defaults.get("DefMemPerGPU"),
    )


def read_nodes(output: str) -> tuple[Node, ...]:
    """Read `scontrol -o show node`.

    Raises:
        OutputNotUnderstood: a value is missing or in an unknown form, or there is no node.

    Source:
        scontrol(1), show node; slurm.conf(5), NODE CONFIGURATION.
    """
    rows = [line for line in output.splitlines() if line.strip()]
    if not rows:
        raise OutputNotUnderstood("scontrol show node printed nothing")
    found = (_words(row) for row in rows)
    return tuple(
        _understood(str(words), words, _node)
        for words in found
        if not words.get("State", "").startswith("FUTURE")
    )


def _node(words: dict[str, str]) -> Node:
    features = words.get("ActiveFeatures", "(null)")
    return Node(
        name=words["NodeName"],
        partitions=frozenset(words.get("Partitions", "").split(",")) - {""},
        # Not printed before 22.05, where no CPUs could be reserved for the system that way.
        cpus=int(words.get("CPUEfctv", words["CPUTot"])),
        sockets=int(words["Sockets"]),
        cores_per_socket=int(words["CoresPerSocket"]),
        threads_per_core=int(words["ThreadsPerCore"]),
        memory_mb=int(words["RealMemory"]) - int(words.get("MemSpecLimit", "0")),
        gres=_gres(words["Gres"]),
        features=frozenset(() if features in _NONE else features.split(",")),
        weight=int(words["Weight"]),
    )


def _understood(what: str, words: dict[str, str], read: Callable[[dict[str, str]], Value]) -> Value:
    try:
        return read(words)
    except KeyError as error:
        raise OutputNotUnderstood(f"no {error.args[0]} in {what[:200]!r}") from error
    except ValueError as error:
        raise OutputNotUnderstood(f"{error} in {what[:200]!r}") from error


def _words(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _memory(words: dict[str, str], name: str) -> Memory | None:
    """Read DefMemPerCPU or DefMemPerNode, MaxMemPerCPU or MaxMemPerNode: one of two is printed."""
    if f"{name}PerCPU" in words:
        text, per = words[f"{name}PerCPU"], "cpu"
    else:
        text, per = words[f"{name}PerNode"], "node"
    return None if text in _NONE else Memory(int(text), per)


def _number_or_unlimited(text: str) -> int:
    return UNLIMITED if text in _NO_LIMIT else int(text)


def _minutes_or_unlimited(text: str) -> int:
    return UNLIMITED if (limit := spans.minutes(text)) is None else limit


def _job_defaults(text: str) -> dict[str, int]:
    if text in _NONE:
        return {}
    pairs = (part.partition("=") for part in text.split(","))
    return {name: int(value) for name, _, value in pairs}


def _gres(text: str) -> dict[tuple[str, str], int]:
    """Read "gpu:tesla:2(S:0-1),shard:8" by name and type."""
    found: dict[tuple[str, str], int] = {}
    for part in _SOCKETS.sub("", text).split(",") if text not in _NONE else ():
        name, *rest = part.split(":")
        match = _COUNT.fullmatch(rest[-1]) if rest else None
        kind = ":".join(rest[:-1] if match else rest)
        if not name or ":" in kind:
            raise ValueError(f"{part!r} is not a generic resource")
        number = int(match.group(1)) * _THOUSANDS[match.group(2)] if match else 1
        found[name, kind] = found.get((name, kind), 0) + number
    return found
