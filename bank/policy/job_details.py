"""What Slurm's reason for one job rests on: which jobs, nodes, licenses or partitions."""

from collections.abc import Callable, Collection, Iterator
from fractions import Fraction

from bank.errors import InputError
from bank.policy import hostlists, job_reasons
from bank.policy.queue import PENDING, Job, Node, Partition, Queue
from bank.policy.time_texts import span, time_text

# What is added to the sentence, what would change it where more can be said than in general, and
# numbers for programs.
Details = tuple[str, str, dict[str, object]]


def whole(value: Fraction | None) -> int | str | None:
    """Return a number as JSON can hold it exactly."""
    if value is None or value.denominator == 1:
        return None if value is None else int(value)
    return str(value)


def _before(job: Job, queue: Queue) -> Details:
    """Say how many jobs are before one."""
    ahead = [
        one
        for one in queue.jobs
        if one.state == PENDING
        and set(one.partitions) & set(job.partitions)
        and (one.priority, -one.job_id) > (job.priority, -job.job_id)
        and job_reasons.code_of(one.reason) in ("Priority", "Resources", "None")
    ]
    text = f"{len(ahead)} in {' and '.join(job.partitions)}"
    if ahead:
        text += f", first of them job {min(ahead, key=_rank).shown_id}"
    text += _expected(job)
    return text, "", {"jobs_ahead": len(ahead), "priority": job.priority}


def _rank(job: Job) -> tuple[int, int]:
    return -job.priority, job.job_id


def _resources(job: Job, queue: Queue) -> Details:
    del queue
    asked = ", ".join(f"{name}={value}" for name, value in _asked(job).items())
    return f"it asks for {asked}{_expected(job)}", "", {"asked": _asked(job)}


def _asked(job: Job) -> dict[str, object]:
    return {name: whole(value) for name, value in job.tres.items() if name != "billing"}


def _expected(job: Job) -> str:
    if job.starts_at is None:
        return ""
    return f"; Slurm expects it to start at {time_text(job.starts_at)}"


def _dependency(job: Job, queue: Queue) -> Details:
    known = {one.job_id: one for one in queue.jobs}
    said = []
    for part in job.dependency.replace("?", ",").split(","):
        number = "".join(one for one in part.partition(":")[2].partition("(")[0] if one.isdigit())
        other = known.get(int(number)) if number else None
        said.append(f"{part}{f', which is {other.state}' if other else ''}")
    return "; ".join(said), "", {"dependency": job.dependency}


def _begin(job: Job, queue: Queue) -> Details:
    del queue
    if job.starts_at is None:
        return "", "", {}
    return f"not before {time_text(job.starts_at)}", "", {"starts_at": job.starts_at}


def _array(job: Job, queue: Queue) -> Details:
    _, percent, throttle = job.shown_id.rstrip("]").partition("%")
    running = sum(
        one.state == "RUNNING" and one.shown_id.partition("_")[0] == str(job.job_id)
        for one in queue.jobs
    )
    if not percent or not throttle.isdigit():
        return "", "", {"running_tasks": running}
    more = f"'scontrol update jobid={job.job_id} arraytaskthrottle={int(throttle) + 1}'"
    return (
        f"{running} run, {throttle} may",
        f"wait for one to end, or {more}",
        {"running_tasks": running, "task_throttle": int(throttle)},
    )


def _licenses(job: Job, queue: Queue) -> Details:
    names = {part.partition(":")[0].partition("@")[0] for part in job.licenses.split(",")}
    stand = [one for one in queue.licenses if one.name.partition("@")[0] in names]
    text = "; ".join(f"of {one.total} {one.name} {one.used} are in use" for one in stand)
    users = [one.shown_id for one in queue.jobs if one.state == "RUNNING" and _has(one, names)]
    remedy = f"wait for one of the jobs {', '.join(users[:5])} to end" if users else ""
    asks = f"it asks for {job.licenses}"
    return f"{asks}; {text}" if text else asks, remedy, {"licenses": job.licenses}


def _has(job: Job, names: Collection[str]) -> bool:
    return any(
        part.partition(":")[0].partition("@")[0] in names for part in job.licenses.split(",")
    )


def _reservation(job: Job, queue: Queue) -> Details:
    found = next((one for one in queue.reservations if one.name == job.reservation), None)
    if found is None:
        return job.reservation, "", {"reservation": job.reservation}
    text = f"{found.name} on {found.nodes} is from {time_text(found.starts_at)}"
    if queue.asked_at >= found.starts_at:
        text += f" to {time_text(found.ends_at)}; other jobs use it"
    remedy = f"wait, or 'scontrol update jobid={job.job_id} reservationname=' to run outside of it"
    return text, remedy, {"reservation": found.name, "starts_at": found.starts_at}


def _update(job: Job, change: str) -> str:
    return f"'scontrol update jobid={job.job_id} {change}'"


def _partitions(job: Job, queue: Queue) -> Iterator[Partition]:
    for name in job.partitions:
        if name in queue.partitions:
            yield queue.partitions[name]


def _others(job: Job, queue: Queue, is_fit: Callable[[Partition], bool]) -> str:
    """Name other partitions that would take a job."""
    names = [
        one.name
        for one in queue.partitions.values()
        if one.name not in job.partitions
        and one.state == "UP"
        and one.takes_account(job.account)
        and is_fit(one)
    ]
    return f"partition {' or '.join(names[:5])}" if names else "another partition"


def _partition_time(job: Job, queue: Queue) -> Details:
    asks = job.limit_minutes
    if asks is None:
        return "", "", {}
    allowed = [one.max_minutes for one in _partitions(job, queue) if one.max_minutes is not None]
    if not allowed:
        return f"it asks for {span(asks)}", "", {}
    others = _others(job, queue, lambda one: one.max_minutes is None or one.max_minutes >= asks)
    most = max(allowed)
    allow = "allow" if len(job.partitions) > 1 else "allows"
    text = f"it asks for {span(asks)}, {' and '.join(job.partitions)} {allow} {span(most)}"
    shorter = f"a time of at most {span(most)}: {_update(job, f'timelimit={most}')}"
    remedy = f"{shorter}; or {others}: {_update(job, 'partition=NAME')}"
    return text, remedy, {"allowed_minutes": most}


def _partition_nodes(job: Job, queue: Queue) -> Details:
    asks = int(job.tres.get("node", Fraction(1)))
    said, most = [], 0
    for one in _partitions(job, queue):
        most = max(most, min(one.total_nodes, one.max_nodes or one.total_nodes))
        said.append(f"{one.name} has {one.total_nodes} and allows {_span_of_nodes(one)}")
    others = _others(job, queue, lambda one: _takes_nodes(one, asks))
    # One number alone leaves the most that was asked for as it was.
    remedy = f"at most {most}: {_update(job, f'numnodes={most}-{most}')}"
    remedy += f"; or {others}: {_update(job, 'partition=NAME')}"
    numbers: dict[str, object] = {"nodes": asks, "allowed_nodes": most}
    return f"it asks for {asks}, {'; '.join(said)}", remedy, numbers


def _takes_nodes(partition: Partition, nodes: int) -> bool:
    most = min(partition.total_nodes, partition.max_nodes or partition.total_nodes)
    return partition.min_nodes <= nodes <= most


def _span_of_nodes(partition: Partition) -> str:
    if partition.max_nodes is None:
        return f"{partition.min_nodes} or more"
    if partition.min_nodes <= 1:
        return f"at most {partition.max_nodes}"
    return f"{partition.min_nodes} to {partition.max_nodes}"


def _partition_down(job: Job, queue: Queue) -> Details:
    said = [f"{one.name} is {one.state}" for one in _partitions(job, queue)]
    others = _others(job, queue, lambda _: True)
    up = f"'scontrol update partitionname={job.partitions[0]} state=up'"
    remedy = f"{others}: {_update(job, 'partition=NAME')}; or an administrator: {up}"
    return "; ".join(said), remedy, {}


def _nodes(job: Job, queue: Queue) -> Details:
    _, _, said = job.reason.partition("UnavailableNodes:")
    try:
        named = set(hostlists.names(said))
    except InputError:
        # A list that is cut off: all that take no jobs are told.
        named = set()
    away = [one for one in queue.nodes if one.name in named or not named]
    if not away and not named:
        return "others have reserved it", "wait, or a shorter time", {}
    text = ", ".join(_away(one) for one in away) or said
    back = f"an administrator: 'scontrol update nodename={said or away[0].name} state=resume'"
    remedy = f"{back}; or ask for other nodes: 'scontrol update jobid={job.job_id} nodelist='"
    return text, remedy, {"nodes": sorted(named) or [one.name for one in away]}


def _away(node: Node) -> str:
    return f"{node.name} is {node.state}{'' if node.reason == 'none' else f' ({node.reason})'}"


def _account_refused(job: Job, queue: Queue) -> Details:
    said = [
        f"{one.name} takes {_only_or_all_but(one.takes_accounts, one.refuses_accounts)}"
        for one in _partitions(job, queue)
        if not one.takes_account(job.account)
    ]
    others = _others(job, queue, lambda _: True)
    return "; ".join(said), f"{others}: {_update(job, 'partition=NAME')}", {}


def _only_or_all_but(taken: frozenset[str] | None, refused: frozenset[str]) -> str:
    if taken is not None:
        return f"only {', '.join(sorted(taken))}"
    return f"all but {', '.join(sorted(refused))}" if refused else "all"


def _qos_refused(job: Job, queue: Queue) -> Details:
    said = [
        f"{one.name} takes {_only_or_all_but(one.takes_qos, one.refuses_qos)}"
        for one in _partitions(job, queue)
    ]
    return f"QOS {job.qos}; {'; '.join(said)}", "", {}


def _no_association(job: Job, queue: Queue) -> Details:
    others = [name for name in queue.accounts_of.get(job.user, ()) if name != job.account]
    text = f"{job.user} has no association in {job.account}"
    back = f"an administrator: 'sacctmgr add user {job.user} account={job.account}'"
    if not others:
        return text, back, {"accounts_of_user": []}
    other = f"'scontrol update jobid={job.job_id} account={others[0]}'"
    return (
        f"{text}, but in {', '.join(others)}",
        f"{other}; or {back}",
        {"accounts_of_user": others},
    )


def _no_qos(job: Job, queue: Queue) -> Details:
    del queue
    return f"QOS {job.qos}", "", {}


DETAILS: dict[str, Callable[[Job, Queue], Details]] = {
    "Priority": _before,
    "Resources": _resources,
    "Dependency": _dependency,
    "DependencyNeverSatisfied": _dependency,
    "BeginTime": _begin,
    "JobArrayTaskLimit": _array,
    "Licenses": _licenses,
    "Reservation": _reservation,
    "PartitionTimeLimit": _partition_time,
    "PartitionNodeLimit": _partition_nodes,
    "PartitionDown": _partition_down,
    "PartitionInactive": _partition_down,
    "ReqNodeNotAvail": _nodes,
    "NodesUnavailable": _nodes,
    "AccountNotAllowed": _account_refused,
    "QOSNotAllowed": _qos_refused,
    "InvalidAccount": _no_association,
    "InvalidQOS": _no_qos,
}
