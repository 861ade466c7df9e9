"""From sbatch's options to a request: what sbatch itself makes of them before it sends them."""

from collections.abc import Callable, Mapping
from typing import Any

from bank.errors import InputError, UsageError
from bank.policy import hostlists
from bank.policy import sbatch_values as values
from bank.policy.job_request import Request
from bank.policy.sbatch_options import Given
from bank.policy.sbatch_table import OPTIONS

# Options whose value goes into the request as it is read.
_PLAIN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "account": ("account", str),
    "qos": ("qos", str),
    "reservation": ("reservation", str),
    "clusters": ("cluster", str),
    "constraint": ("features", str),
    "time": ("time_minutes", values.minutes),
    "ntasks": ("tasks", values.whole),
    "cpus-per-task": ("cpus_per_task", values.whole),
    "mincpus": ("node_cpus", values.whole_or_none),
    "ntasks-per-node": ("tasks_per_node", values.whole),
    "ntasks-per-core": ("tasks_per_core", values.whole),
    "ntasks-per-socket": ("tasks_per_socket", values.whole),
    "ntasks-per-gpu": ("tasks_per_gpu", values.whole),
    "ntasks-per-tres": ("tasks_per_gpu", values.whole),
    "sockets-per-node": ("sockets_per_node", values.whole),
    "cores-per-socket": ("cores_per_socket", values.whole),
    "threads-per-core": ("threads_per_core", values.whole),
    "mem": ("memory_per_node_mb", values.megabytes),
    "mem-per-cpu": ("memory_per_cpu_mb", values.megabytes),
    "mem-per-gpu": ("memory_per_gpu_mb", values.megabytes),
    "cpus-per-gpu": ("cpus_per_gpu", values.whole),
    "licenses": ("licenses", values.licenses),
    "nodelist": ("nodes", hostlists.names),
    "exclude": ("excluded", hostlists.names),
}
_FLAGS = {
    "overcommit": "overcommits",
    "spread-job": "spreads",
    "use-min-nodes": "takes_fewest_nodes",
    "core-spec": "reserves_cores",
    "thread-spec": "reserves_cores",
}
_GRES = {
    "gres": "node",
    "gpus": "job",
    "gpus-per-node": "node",
    "gpus-per-socket": "socket",
    "gpus-per-task": "task",
}
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
# Which of these was given wins over the hint, and a hint in the environment over none of them.
_AGAINST_HINT = ("ntasks-per-core", "threads-per-core", "extra-node-info")
# Of tasks on a core, as Slurm has it.
_ANY_NUMBER = 65_535
_SHARING = {None: "exclusive", "exclusive": "exclusive", "user": "user", "mcs": "mcs"}


def request(given: Mapping[str, Given]) -> Request:
    """Return what one component of a job asks for.

    Args:
        given: its options by name, of each the one that counts.

    Raises:
        InputError: a value is none that sbatch takes.
        UsageError: an option cannot be priced, or does not go with another.

    Source:
        sbatch(1) for each option.
    """
    for name in given:
        if OPTIONS[name].refused:
            raise UsageError(f"--{name} cannot be priced: {OPTIONS[name].refused}")
    counted = {name: one for name, one in given.items() if not OPTIONS[name].is_ignored}
    fields: dict[str, Any] = {}
    # The hint overrules what else says how nodes are laid out.
    for name, one in sorted(_without_hidden(counted).items(), key=lambda item: item[0] == "hint"):
        try:
            fields |= _fields(name, one.value)
        except InputError as error:
            place = (
                one.where if one.where in ("command line", "script") else f"variable {one.where}"
            )
            raise InputError(f"--{name} in the {place}: {error}") from error
    gres = tuple(wanted for name in _GRES for wanted in fields.pop(name, ()))
    return _completed(Request(**fields, gres=gres), given)


def _fields(name: str, value: str | None) -> dict[str, Any]:
    """Return the fields of the request that an option decides."""
    if name in _FLAGS:
        return {_FLAGS[name]: True}
    if name == "exclusive":
        return {"sharing": _sharing(value)}
    if name == "oversubscribe":
        return {"sharing": "oversubscribe"}
    text = value or ""
    if not text:
        raise InputError("its value is empty")
    if name in _PLAIN:
        field, read = _PLAIN[name]
        return {field: read(text)}
    if name in _GRES:
        return {name: (values.gres if name == "gres" else values.gpus)(text, _GRES[name])}
    return _SEVERAL[name](text)


def _distribution(text: str) -> dict[str, Any]:
    if text.lower().startswith("arb"):
        raise InputError("arbitrary cannot be priced: give --nodes and --ntasks")
    return {}


def _partitions(text: str) -> dict[str, Any]:
    return {"partitions": tuple(text.split(","))}


def _nodes(text: str) -> dict[str, Any]:
    least, most = values.node_range(text)
    return {"min_nodes": least, "max_nodes": most}


def _array(text: str) -> dict[str, Any]:
    tasks, highest, at_once = values.array(text)
    return {"array_tasks": tasks, "array_highest": highest, "array_at_once": at_once}


def _layout(text: str) -> dict[str, Any]:
    sockets, cores, threads = values.layout(text)
    return {"sockets_per_node": sockets, "cores_per_socket": cores, "threads_per_core": threads}


def _without_hidden(given: Mapping[str, Given]) -> dict[str, Given]:
    """Leave out options that others make sbatch forget.

    Raises:
        UsageError: two say how much memory.
    """
    found = dict(given)
    memory = [name for name in _MEMORY if name in found]
    typed = [name for name in memory if found[name].where in ("command line", "script")]
    if len(typed or memory) > 1:
        names = " and ".join(f"--{name}" for name in typed or memory)
        raise UsageError(f"{names} do not go together: give one of them")
    for name in memory:
        if typed and name not in typed:
            del found[name]
    if "hint" in found and any(name in found for name in _AGAINST_HINT):
        is_typed = found["hint"].where in ("command line", "script")
        against = [one for one in _AGAINST_HINT if one in found]
        typed_against = any(found[one].where in ("command line", "script") for one in against)
        for name in against if is_typed and not typed_against else ["hint"]:
            del found[name]
    return found


def _sharing(value: str | None) -> str:
    lower = None if value is None else value.lower()
    if lower == "oversubscribe":
        return lower
    if lower not in _SHARING:
        raise InputError(f"{value!r} is not user or mcs")
    return _SHARING[lower]


def _hint(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in text.lower().split(","):
        match word:
            case "compute_bound":
                found |= {"sockets_per_node": None, "cores_per_socket": None, "threads_per_core": 1}
            case "memory_bound":
                found |= {"cores_per_socket": 1, "threads_per_core": 1}
            case "nomultithread":
                found["threads_per_core"] = 1
            case "multithread":
                found |= {"threads_per_core": None, "tasks_per_core": _ANY_NUMBER}
            case _:
                raise InputError(
                    f"{word!r} is not compute_bound, memory_bound, multithread or nomultithread"
                )
    return found


# Options that decide several fields.
_SEVERAL: dict[str, Callable[[str], dict[str, Any]]] = {
    "array": _array,
    "distribution": _distribution,
    "extra-node-info": _layout,
    "hint": _hint,
    "nodes": _nodes,
    "partition": _partitions,
}


def _completed(asked: Request, given: Mapping[str, Given]) -> Request:
    """Return a request with what sbatch works out of it: nodes, tasks, CPUs."""
    least, most = asked.min_nodes, asked.max_nodes
    if asked.nodes:
        least = max(len(asked.nodes), least or 0)
        if most is not None and most < least:
            raise UsageError(f"--nodelist names {least} nodes, --nodes allows only {most}")
    tasks = asked.tasks
    is_fixed = most is None or least == most
    if asked.tasks_per_node and tasks is None and is_fixed:
        tasks = (least or 1) * asked.tasks_per_node
    count = tasks or 1
    if (least is not None or "extra-node-info" in given) and is_fixed and tasks is None:
        count = least or 1
        layout = (asked.sockets_per_node, asked.cores_per_socket, asked.threads_per_core)
        for number in layout:
            if number is not None:
                count *= number
                tasks = count
    elif least is not None and tasks is not None:
        most = None if most is None else min(most, tasks)
        if tasks < least:
            least = most = tasks
    cpus = count * (asked.cpus_per_task or 1)
    return asked._replace(
        tasks=tasks,
        min_nodes=least,
        max_nodes=most,
        min_cpus=(least or 1) if asked.overcommits else cpus,
        node_cpus=max(asked.node_cpus, asked.cpus_per_task or 1),
    )
