"""What was charged beside what sacct says, as a table."""

from collections.abc import Sequence
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import print_json, print_line, print_table
from bank.operations import comparison_with_slurm
from bank.operations.bank import Bank

_COLUMNS = ("account", "user", "sacct_su", "booked_su", "difference_su", "because")
_OF_METERS = ("account", "user", "booked_su", "meters_su", "because")


def compare_with_slurm(bank: Bank, arguments: Arguments) -> int:
    """Compare charges with sacct; 1 where something is left unexplained."""
    found = comparison_with_slurm.compare(bank, arguments.text("--from"), arguments.text("--to"))
    if arguments.is_json:
        print_json(found)
    else:
        rows = [{**row, "because": _because(row["causes"])} for row in found["rows"]]
        where = ("cluster",) if len({row["cluster"] for row in rows}) > 1 else ()
        print_table((*where, *_COLUMNS), rows)
        by_jobs = [row for row in found["rows"] if "meters_causes" in row]
        if by_jobs:
            print_line("what jobs were charged beside what Slurm's meters counted meanwhile:")
            rows = [{**row, "because": _because(row["meters_causes"])} for row in by_jobs]
            print_table((*where, *_OF_METERS), rows)
        print_line(f"from {found['from']} to {found['to']}: {_said(found)}")
    return 0 if found["agrees"] else 1


def _said(found: dict[str, Any]) -> str:
    if not found["agrees"]:
        return "not every difference has a cause: look for 'unexplained'"
    if any(row["causes"] for row in found["rows"]):
        return "every difference has a cause"
    return "there is no difference"


def _because(causes: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{part['cause']} {_signed(part['amount_su'])}" for part in causes)


def _signed(amount_su: str) -> str:
    return amount_su if amount_su.startswith("-") else f"+{amount_su}"
