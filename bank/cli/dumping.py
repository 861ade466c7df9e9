"""The verbs that write accounts into files and take them from there."""

from collections.abc import Callable
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import counted, print_json, print_line, print_table, require_yes
from bank.operations import applying, differences, dumps
from bank.operations.bank import Bank
from bank.operations.differences import Plan

_COLUMNS = ("account", "change", "before", "after")
_COLUMNS_OF_GRANTS = ("account", "start", "end", "kind", "change", "before", "after")


def _writing(write: Callable[[Bank, str], dict[str, Any]]) -> Callable[[Bank, Arguments], int]:
    def run(bank: Bank, arguments: Arguments) -> int:
        done = write(bank, arguments.file)
        if arguments.is_json:
            print_json(done)
            return 0
        digest = f", sha256 {done['sha256']}" if "sha256" in done else ""
        print_line(f"{done['file']}: {counted(done['accounts'], 'account')}{digest}")
        for note in done["notes"]:
            print_line(note)
        return 0

    return run


def _repopulate(bank: Bank, arguments: Arguments) -> int:
    plan = differences.plan_repopulate(
        bank, arguments.verb, arguments.file, reason=arguments.reason
    )
    return _apply(bank, arguments, plan)


def _import(bank: Bank, arguments: Arguments) -> int:
    plan = differences.plan_import(
        bank, arguments.file, reason=arguments.reason, force=arguments.is_forced
    )
    return _apply(bank, arguments, plan)


def _apply(bank: Bank, arguments: Arguments, plan: Plan) -> int:
    if not arguments.is_json:
        _print_plan(plan)
    if plan.differences and not (arguments.is_dry_run or arguments.is_yes):
        require_yes(
            f"Change {counted(len(plan.differences), 'account')} in {bank.settings.database}?"
        )
    done = applying.apply(bank, plan, dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json({**differences.describe(plan), **done})
    elif plan.differences:
        print_line(_said(plan, done))
    return 0


def _print_plan(plan: Plan) -> None:
    shown = differences.describe(plan)
    if shown["differences"]:
        has_dates = any(line["end"] for line in shown["differences"])
        print_table(_COLUMNS_OF_GRANTS if has_dates else _COLUMNS, shown["differences"])
    print_line(
        f"{plan.file}: {counted(shown['accounts'], 'account')}, {shown['unchanged']} as they are,"
        f" {shown['changed']} to be changed"
    )
    for note in plan.notes:
        print_line(note)


def _said(plan: Plan, done: dict[str, Any]) -> str:
    if done["is_dry_run"]:
        return "dry run: nothing was done"
    said = f"{counted(len(plan.differences), 'account')} changed"
    kept = [done[name] for name in ("kept", "kept_json") if done[name]]
    return f"{said}; what was there before is {' and '.join(kept)}" if kept else said


VERBS = {
    "dump_json": _writing(dumps.dump_json),
    "dump_csv": _writing(dumps.dump_csv),
    "export_csv": _writing(dumps.export_csv),
    "repopulate_json": _repopulate,
    "repopulate_csv": _repopulate,
    "import_csv": _import,
}
