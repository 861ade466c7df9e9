"""What a job will cost at most: a request and a cluster become a price.

The same for every door: the command line makes the request from a script, a hook from what the
controller tells it.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from bank.errors import Refusal
from bank.policy import prices
from bank.policy.allocation import Allocations, Tres, allocations
from bank.policy.cluster_shape import Association, Cluster, Controller, Node, Partition, Qos
from bank.policy.demand import demand
from bank.policy.job_request import UNLIMITED, Request
from bank.policy.node_capacity import Job

_SECONDS_PER_MINUTE = 60
# The controller looks twice a minute for jobs over their time limit (Slurm 22.05), and takes a
# moment for it.
LATE_SECONDS = 35
_SELECT_TYPES = ("select/cons_tres", "select/cons_res", "select/linear")


class Quote(NamedTuple):
    """What a job, or one component of a heterogeneous job, costs at most.

    Attributes:
        account, qos, partition: those that count; the partition is the dearest of several.
        other_partitions: what the job is billed in the others that it may run in, by name.
        allocated: TRES of one task of its array, at the dearest; memory in megabytes.
        usual: the same on as few nodes as it fits on.
        weights: TRESBillingWeights of the partition; empty for none.
        billed: what each TRES adds to the billing.
        is_max_tres: whether the largest of them counts and not the sum.
        billing: of one task at the dearest, before the UsageFactor.
        usual_billing: the same of `usual`.
        factor: UsageFactor of the QOS.
        minutes: the time limit, None where there is none.
        seconds: how long one task may run and be billed, None where nothing bounds it.
        tasks: of its array, 1 without one.
        at_once: how many of them may run at once.
        notes: what was assumed.
    """

    account: str
    qos: str
    partition: str
    other_partitions: Mapping[str, Fraction]
    allocated: Tres
    usual: Tres
    weights: Mapping[str, Fraction]
    billed: Mapping[str, Fraction]
    is_max_tres: bool
    billing: Fraction
    usual_billing: Fraction
    factor: Fraction
    minutes: int | None
    seconds: int | None
    tasks: int
    at_once: int
    notes: tuple[str, ...]

    @property
    def rate(self) -> Fraction:
        """Billing-seconds that one task costs each second."""
        return prices.per_second(self.billing, self.factor)

    @property
    def cost_of_one(self) -> Fraction | None:
        """What one task costs at most, in billing-seconds; None where nothing bounds it."""
        if self.seconds is None and self.rate:
            return None
        return self.rate * (self.seconds or 0)

    @property
    def cost(self) -> Fraction | None:
        """What all tasks cost at most, in billing-seconds; None where nothing bounds it."""
        return None if self.cost_of_one is None else self.cost_of_one * self.tasks

    @property
    def late_cost(self) -> Fraction:
        """What all tasks may cost more, because the controller ends them a little late."""
        return self.rate * LATE_SECONDS * self.tasks


def quote(asked: Request, cluster: Cluster) -> Quote:
    """Return what a job costs at most on a cluster.

    Raises:
        Refusal: Slurm refuses it, or lets it wait for ever; or it cannot be told where it runs.
    """
    controller = cluster.controller
    if controller.select_type not in _SELECT_TYPES:
        raise Refusal(
            "not_priced",
            f"what {controller.select_type} gives to jobs is not known here, only what"
            f" {', '.join(_SELECT_TYPES)} give",
        )
    if asked.array_tasks > 1 and asked.array_highest >= controller.max_array_size:
        raise Refusal(
            "job_not_taken",
            f"Slurm does not take index {asked.array_highest} of an array: the highest is"
            f" {controller.max_array_size - 1} (MaxArraySize)",
        )
    partitions = _partitions(asked, cluster)
    quotes: list[Quote] = []
    refusals: list[Refusal] = []
    for partition in partitions:
        try:
            quotes.append(_quote_in(asked, cluster, partition, partitions[0]))
        except Refusal as error:
            refusals.append(error)
    if not quotes:
        raise refusals[0]
    dearest = max(quotes, key=lambda one: (one.seconds is None, one.rate * (one.seconds or 1)))
    others = {one.partition: one.billing for one in quotes if one is not dearest}
    notes = dearest.notes
    if others:
        notes = (f"of the partitions, {dearest.partition} is the dearest", *notes)
    return dearest._replace(
        other_partitions=others, notes=(*notes, *(str(error) for error in refusals))
    )


def _quote_in(asked: Request, cluster: Cluster, partition: Partition, first: Partition) -> Quote:
    controller = cluster.controller
    association = _association(asked, cluster, partition)
    qos = _qos(asked, cluster, association)
    minutes = _minutes(asked, first, partition, qos, association)
    if asked.tasks_per_core is None and controller.runs_one_task_per_core:
        asked = asked._replace(tasks_per_core=1)
    job = Job(asked, demand(asked, partition, cluster), partition, controller)

    def price(tres: Tres) -> Fraction:
        return prices.billing(tres, partition.weights, max_tres=controller.max_tres)

    nodes, notes = _nodes(asked, cluster, partition)
    given = allocations(job, nodes, price)
    over = _over_minutes(controller, partition)
    seconds = (minutes + over) * _SECONDS_PER_MINUTE
    if over and UNLIMITED not in (minutes, over):
        notes.append(f"{over} minutes more than its limit are allowed (OverTimeLimit)")
    if price(given.dearest) != price(given.usual):
        notes.append(_why_dearer(given, price(given.usual)))
    return Quote(
        account=association.account,
        qos=qos.name,
        partition=partition.name,
        other_partitions={},
        allocated=given.dearest,
        usual=given.usual,
        weights=partition.weights,
        billed=prices.parts(given.dearest, partition.weights),
        is_max_tres=controller.max_tres,
        billing=price(given.dearest),
        usual_billing=price(given.usual),
        factor=qos.factor,
        minutes=None if minutes == UNLIMITED else minutes,
        seconds=None if UNLIMITED in (minutes, over) else seconds,
        tasks=asked.array_tasks,
        at_once=min(asked.array_at_once or asked.array_tasks, asked.array_tasks),
        notes=tuple(notes),
    )


def _over_minutes(controller: Controller, partition: Partition) -> int:
    if partition.over_minutes is None:
        return controller.over_minutes
    return partition.over_minutes


class Given(NamedTuple):
    """What a job was given, or is sure to be given.

    Attributes:
        partition, qos: by name.
        tres: its TRES, memory in megabytes.
        minutes: its time limit, UNLIMITED for none.
    """

    partition: str
    qos: str
    tres: Tres
    minutes: int


def cost_of(given: Given, cluster: Cluster) -> Fraction | None:
    """Return what a job costs at most from its start on, in billing-seconds.

    None where nothing bounds it.

    Raises:
        Refusal: its partition or its QOS is not known.
    """
    found = [one for one in cluster.partitions if one.name == given.partition]
    if not found or given.qos not in cluster.qos:
        raise Refusal(
            "not_priced", f"partition {given.partition} or QOS {given.qos} is not known here"
        )
    controller = cluster.controller
    billed = prices.billing(given.tres, found[0].weights, max_tres=controller.max_tres)
    rate = prices.per_second(billed, cluster.qos[given.qos].factor)
    over = _over_minutes(controller, found[0])
    if UNLIMITED in (given.minutes, over):
        return None if rate else Fraction(0)
    return rate * (given.minutes + over) * _SECONDS_PER_MINUTE


def _why_dearer(given: Allocations, usual_billing: Fraction) -> str:
    """Say why the job may be billed more than an idle cluster would bill it."""
    few, many = int(given.usual["node"]), int(given.dearest["node"])
    why = f"a busy one may spread it over {many} nodes" if many != few else "other nodes have more"
    nodes = "1 node" if few == 1 else f"{few} nodes"
    return f"an idle cluster gives it {nodes}, billing {decimal(usual_billing)}; {why}"


def decimal(value: Fraction) -> str:
    """Write a fraction with as many decimals as it needs, at most twelve.

    Example:
        >>> decimal(Fraction(1, 4096)), decimal(Fraction(4))
        ('0.000244140625', '4')
    """
    places = 12
    whole, rest = divmod(round(value * 10**places), 10**places)
    return f"{whole}.{rest:0{places}d}".rstrip("0").rstrip(".")


def _partitions(asked: Request, cluster: Cluster) -> list[Partition]:
    known = {partition.name: partition for partition in cluster.partitions}
    if asked.reservation and not asked.partitions:
        raise Refusal(
            "no_partition",
            f"reservation {asked.reservation} may decide the partition: name it with --partition",
        )
    wanted = asked.partitions or tuple(one.name for one in cluster.partitions if one.is_default)
    if not wanted:
        raise Refusal("no_partition", "the cluster has no default partition: give --partition")
    for name in wanted:
        if name not in known:
            raise Refusal(
                "no_such_partition",
                f"there is no partition {name}; there are {', '.join(sorted(known))}",
            )
    return [known[name] for name in dict.fromkeys(wanted)]


def _association(asked: Request, cluster: Cluster, partition: Partition) -> Association:
    """Return the association that a job of this user counts for."""
    mine = cluster.associations
    account = asked.account.lower() if asked.account else None
    if account is None:
        account = next((one.account for one in mine if one.is_default), None)
    if account is None:
        raise Refusal("no_account", "there is no default account to charge: give --account")
    for name in (partition.name, ""):
        for one in mine:
            if (one.account, one.partition) == (account, name):
                return one
    raise Refusal("no_such_account", f"there is no account {account} in Slurm for this job")


def _qos(asked: Request, cluster: Cluster, association: Association) -> Qos:
    """Return the QOS of a job.

    Source:
        sbatch(1), --qos; sacctmgr(1), DefaultQOS: where there is none and only one QOS is allowed
        it is that, else normal.
    """
    name = asked.qos.lower() if asked.qos else association.default_qos
    if not name:
        name = association.qos[0] if len(association.qos) == 1 else "normal"
    elif association.qos and name not in association.qos:
        raise Refusal(
            "no_such_qos",
            f"account {association.account} may not use QOS {name}, but"
            f" {', '.join(association.qos)}",
        )
    if name not in cluster.qos:
        known = ", ".join(sorted(cluster.qos))
        raise Refusal("no_such_qos", f"there is no QOS {name}; there are {known}")
    return cluster.qos[name]


def _minutes(
    asked: Request, first: Partition, partition: Partition, qos: Qos, association: Association
) -> int:
    """Return the time limit of a job, or UNLIMITED.

    Source:
        sbatch(1), --time; slurm.conf(5), DefaultTime and MaxTime; sacctmgr(1), MaxWall. Seen with
        Slurm 22.05: the default is that of the first partition; without one it is MaxWall of the
        QOS or else of the association, and without that MaxTime.
    """
    found = asked.time_minutes
    if found is None:
        defaults = (first.default_minutes, qos.max_minutes, association.max_minutes)
        found = next((one for one in defaults if one is not None), first.max_minutes)
    if found > partition.max_minutes and not qos.lifts_time_limit:
        limit = "UNLIMITED" if found == UNLIMITED else f"{found} minutes"
        raise Refusal(
            "job_never_runs",
            f"Slurm does not run this in partition {partition.name}: a time limit of {limit} is"
            f" above its MaxTime of {partition.max_minutes} minutes",
        )
    return found


def _nodes(asked: Request, cluster: Cluster, partition: Partition) -> tuple[list[Node], list[str]]:
    """Return the nodes of a partition that a job may have, and what was assumed of them."""
    there = [
        node
        for node in cluster.nodes
        if partition.name in node.partitions and node.name not in asked.excluded
    ]
    missing = sorted(set(asked.nodes) - {node.name for node in there})
    if missing:
        raise Refusal(
            "job_never_runs",
            f"Slurm does not run this in partition {partition.name}: it does not have"
            f" {', '.join(missing)}",
        )
    if not asked.features:
        return there, []
    if any(sign in asked.features for sign in "[]()*"):
        return there, [f"--constraint={asked.features} is taken to allow any node"]
    return [node for node in there if _has_features(node, asked.features)], []


def _has_features(node: Node, text: str) -> bool:
    """Tell whether a node has what a constraint of names, & and | asks for.

    Source:
        sbatch(1), --constraint; AND and OR are taken from the left to the right.
    """
    found = True
    sign = "&"
    for part in text.replace("&", " & ").replace(",", " & ").replace("|", " | ").split():
        if part in "&|":
            sign = part
        elif sign == "&":
            found = found and part in node.features
        else:
            found = found or part in node.features
    return found
