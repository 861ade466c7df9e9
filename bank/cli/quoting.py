"""The verb that says what a job will cost."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import counted, print_json, print_line, print_table
from bank.operations import quote
from bank.operations.bank import Bank

_PARTS = ("tres", "amount", "weight", "billing")


def _quote(bank: Bank, arguments: Arguments) -> int:
    found = quote.quote(bank, arguments.sbatch, os.environ)
    if arguments.is_json:
        print_json(found)
        return 0
    for line in _summary(found):
        print_line(line)
    for number, component in enumerate(found["components"]):
        if len(found["components"]) > 1:
            print_line(f"component {number}: {_bound(component['cost_su'])}")
        for line in _description(component):
            print_line(line)
        print_table(_PARTS, [_readable(part) for part in component["parts"]])
        for note in component["notes"]:
            print_line(f"note: {note}")
    for note in found["notes"]:
        print_line(f"note: {note}")
    return 0


def _bound(cost_su: str | None) -> str:
    if cost_su is None:
        return "no upper bound: the job has no time limit"
    return f"at most {cost_su} SUs"


def _summary(found: Mapping[str, Any]) -> Iterator[str]:
    late = ""
    if found["cost_su"] is not None and found["late_billing_seconds"]:
        late = (
            f"; {found['late_su']} more where Slurm has to end it, which it does up to"
            f" {found['late_seconds']} seconds late"
        )
    yield f"{_bound(found['cost_su'])}{late}"
    for account in found["accounts"]:
        if account["is_enough"] is None:
            continue
        available = "unlimited" if account["is_unlimited"] else f"{account['available_su']} SUs"
        held = ", and is held" if account["is_held"] else ""
        enough = "enough" if account["is_enough"] else "not enough"
        yield f"account {account['account']} has {available} available: {enough}{held}"


def _description(component: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"account {component['account']}, partition {component['partition']},"
        f" QOS {component['qos']}"
    )
    factor = component["usage_factor"]
    times = "" if factor == "1" else f" x UsageFactor {factor}"
    seconds = component["seconds"]
    span = "without end" if seconds is None else f"for {_span(seconds)}"
    yield f"billing {component['billing']}{times} {span}"
    if component["tasks"] > 1:
        each = _bound(component["cost_of_one_task_su"])
        at_once = component["tasks_at_once"]
        yield f"{counted(component['tasks'], 'task')}, {at_once} at once, each {each}"
    if component["is_max_tres"]:
        yield "of the TRES on nodes the largest part counts (MAX_TRES), licenses are added"


def _span(seconds: int) -> str:
    """Write a span of time as Slurm does."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hour:02}:{minute:02}:{second:02}"


def _readable(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which memory is in gigabytes, as people weigh it."""
    if part["tres"] != "mem":
        return dict(part)
    return {
        **part,
        "tres": "mem (GB)",
        "amount": part["amount_gb"],
        "weight": part["weight_per_gb"],
    }


VERBS = {"quote": _quote}
