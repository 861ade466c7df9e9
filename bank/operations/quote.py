"""Quoting: what a job will cost at most, before it is submitted."""

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from bank.errors import InputError, NotPermitted, SettingsError, StoreError, UsageError
from bank.ledger.amounts import format_su
from bank.ledger.names import account_name, is_plain
from bank.operations import looking
from bank.operations.bank import Bank
from bank.policy import prices, sbatch_options, sbatch_request
from bank.policy.cluster_shape import Association, Cluster
from bank.policy.job_request import Request
from bank.policy.quotes import LATE_SECONDS, Quote, decimal
from bank.policy.quotes import quote as priced
from bank.slurm import associations, partitions, qos, scontrol, shapes
from bank.slurm.command import Slurm, run
from bank.store.connect import reading

# sbatch takes no larger script: SchedulerParameters=max_script_size.
_MEGABYTES_PER_GIGABYTE = 1024
_MAX_SCRIPT_BYTES = 4 * 1024 * 1024


def read_script(name: str, directory: str | None) -> str:
    """Return the text of a batch script, found as sbatch finds it.

    Raises:
        InputError: it is not there, or cannot be read.

    Source:
        sbatch(1), SCRIPT PATH RESOLUTION.
    """
    here = os.path.join(directory or "", name)
    places = [here]
    if "/" not in name:
        places += [os.path.join(path, name) for path in os.environ.get("PATH", "").split(":")]
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        raise InputError(f"there is no script {here}: it must be a file")
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_SCRIPT_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the script {path}: {error.strerror}") from error
    if len(content) > _MAX_SCRIPT_BYTES:
        raise InputError(f"{path} has more than {_MAX_SCRIPT_BYTES} bytes: sbatch does not take it")
    return content.decode(errors="surrogateescape")


def quote(
    bank: Bank,
    words: Sequence[str],
    environment: Mapping[str, str],
    find_script: Callable[[str, str | None], str] = read_script,
) -> dict[str, Any]:
    """Return what a job costs at most, as plain data.

    Args:
        bank: settings and Slurm; the one who asks is the one whose job it would be.
        words: what would be given to sbatch.
        environment: the variables that sbatch would see.
        find_script: returns the text of the batch script that is named, for a directory.

    Raises:
        UsageError: sbatch does not know an option, or what it asks for cannot be priced.
        InputError: sbatch does not take a value, or the script cannot be read.
        Refusal: Slurm would refuse the job, or let it wait for ever.
        SlurmError: Slurm did not answer.
    """
    variables = sbatch_options.read_environment(environment)
    requests = _requests(words, variables, find_script)
    cluster, notes = _cluster(bank, requests)
    quotes = [priced(request, cluster) for request in requests]
    used = sorted({one.where for one in variables})
    if used:
        notes.append(f"{', '.join(used)} in the environment count as sbatch counts them")
    return _told(bank, cluster, quotes, notes)


def _requests(
    words: Sequence[str],
    variables: Sequence[sbatch_options.Given],
    find_script: Callable[[str, str | None], str] = read_script,
) -> list[Request]:
    line = sbatch_options.read_command_line(words)
    written: Sequence[Sequence[sbatch_options.Given]] = ((),)
    if line.script is not None and not line.has("wrap"):
        text = find_script(line.script, line.value("chdir"))
        if line.has("ignore-pbs"):
            text = sbatch_options.without_other_marks(text)
        written = sbatch_options.read_script(text)
    given = sbatch_options.joined(line, written, variables)
    return [sbatch_request.request(options) for options in given]


def _cluster(bank: Bank, requests: Sequence[Request]) -> tuple[Cluster, list[str]]:
    """Ask Slurm for all that decides what jobs get; return it, and what was assumed."""
    names = {request.cluster for request in requests}
    (name,) = names if len(names) == 1 else (None,)
    if len(names) > 1 or (name and not is_plain(name)):
        raise UsageError("--clusters can be priced for one cluster only: name the one")
    slurm = bank.slurm
    controller = shapes.read_controller(run(slurm, scontrol.config_arguments(name)))
    mine, notes = _associations(slurm, controller.cluster, bank.actor, requests)
    cluster = Cluster(
        controller=controller,
        partitions=shapes.read_partitions(run(slurm, partitions.arguments(name))),
        nodes=shapes.read_nodes(run(slurm, shapes.nodes_arguments(name))),
        qos=qos.read(run(slurm, qos.arguments())),
        associations=mine,
    )
    return cluster, notes


def _associations(
    slurm: Slurm, cluster: str, user: str, requests: Sequence[Request]
) -> tuple[tuple[Association, ...], list[str]]:
    """Return the associations that count: the user's, or what members of an account have."""
    question = associations.user_arguments(cluster, user)
    mine = associations.read_user(run(slurm, question)) if is_plain(user) else ()
    notes = []
    known = {one.account for one in mine}
    wanted = {account_name(one.account) for one in requests if one.account} - known
    for name in sorted(wanted):
        others = run(slurm, associations.account_arguments(cluster, name))
        mine += associations.read_account(others)
        notes.append(f"{user} is not in account {name}: priced as for those who are")
    return mine, notes


def _told(
    bank: Bank, cluster: Cluster, quotes: Sequence[Quote], notes: Sequence[str]
) -> dict[str, Any]:
    cost = _sum(quotes)
    late = sum((one.late_cost for one in quotes), Fraction(0))
    payers = dict.fromkeys(one.account for one in quotes)
    costs = {name: _sum([one for one in quotes if one.account == name]) for name in payers}
    accounts, more = _accounts(bank, costs)
    return {
        "cluster": cluster.controller.cluster,
        "cost_su": _su(cost),
        "cost_billing_seconds": None if cost is None else prices.at_most(cost),
        "late_su": _su(late),
        "late_billing_seconds": prices.at_most(late),
        "late_seconds": LATE_SECONDS,
        "accounts": accounts,
        "components": [_component(one) for one in quotes],
        "notes": [*notes, *more],
    }


def _sum(quotes: Sequence[Quote]) -> Fraction | None:
    """Return what several cost together at most; None where nothing bounds one of them."""
    found = Fraction(0)
    for one in quotes:
        if one.cost is None:
            return None
        found += one.cost
    return found


def _su(exact: Fraction | None) -> str | None:
    return None if exact is None else format_su(prices.at_most(exact))


def _accounts(
    bank: Bank, costs: Mapping[str, Fraction | None]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what each account has available and whether that pays; None is not known."""
    try:
        with reading(bank.database) as reader:
            states = {name: looking.describe(bank, reader, name) for name in costs}
    except (StoreError, NotPermitted, SettingsError) as error:
        states, notes = (
            {name: {"is_open": False} for name in costs},
            [f"what is available: {error}"],
        )
    else:
        notes = [
            f"account {name} is not open in the bank"
            for name, state in states.items()
            if not state["is_open"]
        ]
    return [_payer(name, state, costs[name]) for name, state in states.items()], notes


def _payer(name: str, state: Mapping[str, Any], cost: Fraction | None) -> dict[str, Any]:
    if not state["is_open"]:
        return {"account": name, "available_su": None, "is_unlimited": None, "is_enough": None}
    available = state["available_billing_seconds"]
    if available is None:
        is_enough = True
    else:
        is_enough = cost is not None and prices.at_most(cost) <= available
    return {
        "account": name,
        "available_su": state["available_su"],
        "available_billing_seconds": available,
        "is_unlimited": available is None,
        "is_enough": is_enough,
        "is_held": state["is_held"],
    }


def _component(one: Quote) -> dict[str, Any]:
    cost_of_one, cost = one.cost_of_one, one.cost
    return {
        "account": one.account,
        "partition": one.partition,
        "qos": one.qos,
        "usage_factor": decimal(one.factor),
        "time_limit_minutes": one.minutes,
        "seconds": one.seconds,
        "tasks": one.tasks,
        "tasks_at_once": one.at_once,
        "allocated": {name: int(count) for name, count in one.allocated.items()},
        "usual_allocated": {name: int(count) for name, count in one.usual.items()},
        "billing": decimal(one.billing),
        "usual_billing": decimal(one.usual_billing),
        "billing_per_second": decimal(one.rate),
        "is_max_tres": one.is_max_tres,
        "parts": [_part(one, name) for name in one.billed],
        "cost_of_one_task_su": _su(cost_of_one),
        "cost_of_one_task_billing_seconds": None
        if cost_of_one is None
        else prices.at_most(cost_of_one),
        "cost_su": _su(cost),
        "cost_billing_seconds": None if cost is None else prices.at_most(cost),
        "other_partitions": {name: decimal(part) for name, part in one.other_partitions.items()},
        "notes": list(one.notes),
    }


def _part(one: Quote, name: str) -> dict[str, Any]:
    amount, weight = one.allocated.get(name, Fraction(0)), one.weights.get(name, Fraction(1))
    found = {
        "tres": name,
        "amount": int(amount),
        "weight": decimal(weight),
        "billing": decimal(one.billed[name]),
    }
    if name == "mem":
        found["amount_gb"] = decimal(amount / _MEGABYTES_PER_GIGABYTE)
        found["weight_per_gb"] = decimal(weight * _MEGABYTES_PER_GIGABYTE)
    return found
