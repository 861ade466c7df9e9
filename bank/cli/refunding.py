"""The verb that gives back what jobs cost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bank.cli import moving
from bank.cli.arguments import Arguments
from bank.cli.looking import has_sus
from bank.cli.output import counted, print_json, print_line, print_table, require_yes
from bank.errors import UsageError
from bank.operations import job_refunds, outage_refunds
from bank.operations.bank import Bank
from bank.operations.job_refunds import JobCommand
from bank.operations.outage_refunds import Outage

_COLUMNS = ("job", "account", "user", "nodes", "start", "end", "cost_su", "refund_su")


def _refund(bank: Bank, arguments: Arguments) -> int:
    job, nodes = arguments.text("--job"), arguments.text("--nodes")
    if not arguments.is_window and (nodes is not None or arguments.is_yes):
        raise UsageError("refund takes --nodes and --yes with --window only")
    if arguments.account is not None:
        if job is not None or arguments.is_window:
            raise UsageError("refund takes an account, or --job, or --window")
        return moving.VERBS["refund"](bank, arguments)
    if arguments.is_window:
        return _refund_window(bank, arguments)
    if job is None:
        raise UsageError("refund takes an account and SUs, or --job, or --window")
    return _refund_job(bank, arguments, job)


def _refund_job(bank: Bank, arguments: Arguments, job: str) -> int:
    answer = job_refunds.refund_job(
        bank,
        JobCommand(
            job,
            arguments.text("--cluster"),
            arguments.reason,
            arguments.key,
            arguments.is_dry_run,
        ),
    )
    if arguments.is_json:
        print_json(answer)
        return 0
    if len(answer["runs"]) > 1:
        _print_runs(answer["runs"])
    print_line(_said_of_job(answer))
    _print_factors(answer)
    for state in answer["accounts"]:
        if state["is_open"]:
            print_line(f"{has_sus(state)}, {state['used_su']} used")
    return 0


def _print_runs(runs: Sequence[dict[str, Any]]) -> None:
    """Print runs as a table and, because a sentence is wider than a column, their notes below."""
    print_table(_COLUMNS, runs)
    known = Counter(run["job"] for run in runs)
    for run in runs:
        if run["note"]:
            # Which one, where a job ran several times.
            which = f" begun {run['start']}" if known[run["job"]] > 1 else ""
            print_line(f"job {run['job']}{which}: {run['note']}")


def _print_factors(answer: dict[str, Any]) -> None:
    """Say which factors of now runs are priced with, where that makes a difference."""
    factors = {
        run["qos"]: run["usage_factor"]
        for run in answer["runs"]
        if run["cost_billing_seconds"]
        and run["usage_factor"] != "1"
        # What a job was charged keeps the factor of its time.
        and not run["is_charged_by_job"]
    }
    if factors:
        told = ", ".join(f"{qos} {factor}" for qos, factor in sorted(factors.items()))
        print_line(f"priced with UsageFactors of now, because Slurm keeps no earlier ones: {told}")


def _said_of_job(answer: dict[str, Any]) -> str:
    names = ", ".join(state["account"] for state in answer["accounts"])
    would = "would be " if answer["is_dry_run"] else ""
    text = (
        f"Job {answer['job']} on {answer['cluster']}: {answer['refund_su']} SUs {would}given back"
        f" to {names}"
    )
    if answer["refund_su"] != answer["cost_su"]:
        text += f" of the {answer['cost_su']} that it cost"
    if len(answer["runs"]) == 1 and answer["runs"][0]["note"]:
        text += f": {answer['runs'][0]['note']}"
    if answer["is_repeat"]:
        return f"{text} (done before: this key was answered then)"
    return f"{text} (dry run: nothing was done)" if answer["is_dry_run"] else text


def _refund_window(bank: Bank, arguments: Arguments) -> int:
    if arguments.text("--job") is not None or arguments.key is not None:
        raise UsageError(
            "refund --window does not take --job or --key: given again, it refunds what is left"
        )
    outage = Outage(
        arguments.start,
        arguments.end,
        arguments.text("--nodes"),
        arguments.text("--cluster"),
        arguments.reason,
    )
    plan = outage_refunds.plan_refunds(bank, outage, dry_run=arguments.is_dry_run)
    is_to_ask = not (arguments.is_dry_run or arguments.is_yes)
    if is_to_ask:
        rehearsed = outage_refunds.refund(bank, plan, dry_run=True)
        if not arguments.is_json:
            _print_window(rehearsed)
        if rehearsed["refund_billing_seconds"]:
            require_yes(
                f"Give back {rehearsed['refund_su']} SUs for"
                f" {counted(_count(rehearsed), 'job')} on {rehearsed['cluster']}?"
            )
    done = outage_refunds.refund(bank, plan, dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json(done)
        return 0
    if not is_to_ask:
        _print_window(done)
    print_line(
        "dry run: nothing was done"
        if arguments.is_dry_run
        else f"{done['refund_su']} SUs given back for {counted(_count(done), 'job')}"
    )
    return 0


def _count(done: dict[str, Any]) -> int:
    return sum(1 for one in done["runs"] if one["refund_billing_seconds"])


def _print_window(done: dict[str, Any]) -> None:
    if done["runs"]:
        _print_runs(done["runs"])
    where = f" on {done['nodes']}" if done["nodes"] else ""
    print_line(
        f"{done['cluster']}: {counted(len(done['runs']), 'job')} ran{where} from {done['start']} to"
        f" {done['end']}, at a cost of {done['cost_su']} SUs; {done['refund_su']} SUs for"
        f" {counted(_count(done), 'job')}"
    )
    _print_factors(done)
    if any(one["code"] == "not_used_now" for one in done["runs"]):
        print_line(
            "what is not on record as used now was settled by a period that is over, or never"
            " charged: it is given back with 'deposit'"
        )


VERBS = {"refund": _refund}
