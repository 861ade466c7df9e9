"""From what the controller tells of a job that is submitted to what the job asks for.

The controller tells it after sbatch, srun or salloc have worked out what they work out. What was
not set is not there, what is infinite is "unlimited", and every number is whole.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bank.errors import InputError
from bank.policy import hostlists
from bank.policy import sbatch_values as values
from bank.policy.job_request import UNLIMITED, GresRequest, Request

_UNLIMITED = "unlimited"
# slurm.h: parts of bitflags, and what `shared` may be.
_SPREAD_JOB, _USE_MIN_NODES = 1 << 8, 1 << 9
_SHARING = {0: "exclusive", 1: "oversubscribe", 2: "user", 3: "mcs"}
# What of a job goes into the request as it is; 0 is as not set.
_NUMBERS = {
    "num_tasks": "tasks",
    "cpus_per_task": "cpus_per_task",
    "min_nodes": "min_nodes",
    "max_nodes": "max_nodes",
    "ntasks_per_node": "tasks_per_node",
    "ntasks_per_core": "tasks_per_core",
    "ntasks_per_socket": "tasks_per_socket",
    "ntasks_per_tres": "tasks_per_gpu",
    "sockets_per_node": "sockets_per_node",
    "cores_per_socket": "cores_per_socket",
    "threads_per_core": "threads_per_core",
}
_GRES = {
    "tres_per_job": "job",
    "tres_per_node": "node",
    "tres_per_socket": "socket",
    "tres_per_task": "task",
}
_LISTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "licenses": ("licenses", values.licenses),
    "req_nodes": ("nodes", hostlists.names),
    "exc_nodes": ("excluded", hostlists.names),
}
_ANY_NUMBER = 65_535


def request(told: Mapping[str, Any]) -> Request:
    """Return what a job asks for.

    Args:
        told: what the hook gathered from the controller, under the controller's names.

    Raises:
        InputError: something is in a form that is not known. Nothing may be decided from it.

    Source:
        slurm.h, job_desc_msg_t.
    """
    fields: dict[str, Any] = {
        ours: number for theirs, ours in _NUMBERS.items() if (number := _number(told, theirs))
    }
    for theirs, (ours, read) in _LISTS.items():
        if text := _text(told, theirs):
            fields[ours] = read(text)
    for name in ("account", "qos", "reservation"):
        fields[name] = _text(told, name)
    partition = _text(told, "partition")
    fields["partitions"] = tuple(partition.split(",")) if partition else ()
    fields["features"] = _text(told, "features") or ""
    fields["time_minutes"] = minutes(told)
    fields["gres"] = tuple(one for name, per in _GRES.items() for one in _gres(told, name, per))
    fields["reserves_cores"] = any(_number(told, name) for name in ("core_spec", "thread_spec"))
    fields["min_cpus"] = _number(told, "min_cpus") or 1
    fields["node_cpus"] = _number(told, "pn_min_cpus") or 1
    return Request(**fields, **_memory(told), **_per_gpu(told), **_array(told), **_flags(told))


def user_number(told: Mapping[str, Any]) -> int:
    """Return the number of the user whose job it is.

    Raises:
        InputError: it is not there.
    """
    found = told.get("user_id")
    if type(found) is not int:
        raise InputError("the job has no user_id")
    return found


class Record(NamedTuple):
    """A job that is there already and is to be changed, as the controller tells of it.

    Attributes:
        job_id: Slurm's number.
        array_job_id: number of its array, None without one.
        user: number of its user.
        partitions: those that it may run in, by name.
        minutes: its time limit, UNLIMITED, or None where it gets one when it starts.
        tasks: how many of its array wait with it, 1 without one.
        tres: its TRES as text: what it was given, or else what it asks for.
        comment: its AdminComment.
    """

    job_id: int
    array_job_id: int | None
    user: int
    account: str
    qos: str
    partitions: tuple[str, ...]
    minutes: int | None
    tasks: int
    tres: str
    comment: str

    def changed(self, told: Mapping[str, Any]) -> "Record":
        """Return the job as it would be after a change.

        Raises:
            InputError: the change is in a form that is not known.
        """
        partition, limit = _text(told, "partition"), minutes(told)
        return self._replace(
            account=_text(told, "account") or self.account,
            qos=_text(told, "qos") or self.qos,
            partitions=tuple(partition.split(",")) if partition else self.partitions,
            minutes=self.minutes if limit is None else limit,
        )


def record(told: Mapping[str, Any]) -> Record:
    """Return a job that is to be changed.

    Args:
        told: what the hook gathered from the controller's record, under the controller's names.

    Raises:
        InputError: something is in a form that is not known, or not there.

    Source:
        slurmctld's job_record_t.
    """
    texts = {name: _text(told, name) for name in ("account", "qos", "partition")}
    job_id = _number(told, "job_id")
    missing = [name for name, text in texts.items() if text is None]
    if missing or job_id is None:
        raise InputError(f"the job has no {', '.join(missing) or 'job_id'}")
    return Record(
        job_id=job_id,
        array_job_id=_number(told, "array_job_id"),
        user=user_number(told),
        account=texts["account"] or "",
        qos=texts["qos"] or "",
        partitions=tuple((texts["partition"] or "").split(",")),
        minutes=minutes(told),
        tasks=_number(told, "array_task_cnt") or 1,
        tres=_text(told, "tres_fmt_alloc_str") or _text(told, "tres_fmt_req_str") or "",
        comment=_text(told, "admin_comment") or "",
    )


def minutes(told: Mapping[str, Any]) -> int | None:
    """Return a time limit, UNLIMITED, or None where none was set."""
    return _number(told, "time_limit", may_be_0=True)


def _number(told: Mapping[str, Any], name: str, *, may_be_0: bool = False) -> int | None:
    """Return a number, None where it was not set, or is 0 where that says as much."""
    value = told.get(name)
    if value == _UNLIMITED:
        return UNLIMITED if name in ("time_limit", "max_nodes") else _ANY_NUMBER
    if value is None or (value == 0 and not may_be_0):
        return None
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise InputError(f"{name} is {value!r:.80}, which is not a whole number")
    return value


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, which is not a text")
    return value or None


def _gres(told: Mapping[str, Any], name: str, per: str) -> tuple[GresRequest, ...]:
    """Read "gres:gpu:2", "gres/gpu=2" (24.05 and newer); CPUs stand elsewhere too."""
    text = (_text(told, name) or "").replace("=", ":")
    parts = [part for part in text.split(",") if part and not part.startswith("cpu:")]
    return values.gres(",".join(parts), per) if parts else ()


def _memory(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return memory for each CPU or each node; 0 for each node is all that it has."""
    per_cpu = _number(told, "min_mem_per_cpu", may_be_0=True)
    if per_cpu is not None:
        return {"memory_per_cpu_mb": per_cpu}
    return {"memory_per_node_mb": _number(told, "min_mem_per_node", may_be_0=True)}


def _per_gpu(told: Mapping[str, Any]) -> dict[str, Any]:
    cpus = _gres(told, "cpus_per_tres", "node")
    memory = _gres(told, "mem_per_tres", "node")
    return {
        "cpus_per_gpu": _of_gpus(cpus),
        "memory_per_gpu_mb": _of_gpus(memory),
    }


def _of_gpus(found: tuple[GresRequest, ...]) -> int | None:
    return max((one.number for one in found if one.name == "gpu"), default=None)


def _array(told: Mapping[str, Any]) -> dict[str, Any]:
    text = _text(told, "array_inx")
    if text is None:
        return {}
    tasks, highest, at_once = values.array(text)
    return {"array_tasks": tasks, "array_highest": highest, "array_at_once": at_once}


def _flags(told: Mapping[str, Any]) -> dict[str, Any]:
    flags = _number(told, "bitflags") or 0
    tasks, cpus = _number(told, "num_tasks") or 0, _number(told, "min_cpus") or 1
    sharing = _number(told, "shared", may_be_0=True)
    return {
        "spreads": bool(flags & _SPREAD_JOB),
        "takes_fewest_nodes": bool(flags & _USE_MIN_NODES),
        # It is not told itself; with it fewer CPUs are asked for than there are tasks.
        "overcommits": tasks * (_number(told, "cpus_per_task") or 1) > cpus,
        "sharing": None if sharing is None else _sharing(sharing),
    }


def _sharing(number: int) -> str:
    if number not in _SHARING:
        raise InputError(f"shared is {number}, which is none of {sorted(_SHARING)}")
    return _SHARING[number]
