"""The verbs that charge jobs exactly, and that let jobs charge, or meters."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import counted, print_json, print_line, say_beside
from bank.operations import reconciling, source_changes
from bank.operations.bank import Bank


def _reconcile(bank: Bank, arguments: Arguments) -> int:
    found = reconciling.reconcile_all(bank, arguments.text("--since"), dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json(found)
        return 0
    for one in found:
        _print_reconciled(one)
    return 0


def _print_reconciled(one: dict[str, Any]) -> None:
    would = "would be " if one["is_dry_run"] else ""
    print_line(
        f"{one['cluster']}: {counted(one['charged'], 'job run')} {would}charged, at"
        f" {one['amount_su']} SUs; {one['changed']} {would}changed, {one['cost_nothing']} cost"
        f" nothing, {one['not_priced']} not priced, {one['seen_late']} seen late,"
        f" {len(one['stuck'])} stuck"
    )
    for note in one["notes"]:
        print_line(f"{one['cluster']}: {note}")


def _change_source(bank: Bank, arguments: Arguments) -> int:
    found = source_changes.change_source(bank, say_beside, dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json(found)
        return 0
    for one in found:
        print_line(_said(one))
        for note in one["notes"]:
            print_line(f"{one['cluster']}: {note}")
    return 0


def _said(one: dict[str, Any]) -> str:
    if not one["is_changed"]:
        return f"{one['cluster']}: charged by {one['source']} already"
    now = "would be charged" if one["is_dry_run"] else "is charged"
    text = f"{one['cluster']}: {now} by {one['source']} since {one['since']}"
    if one["running"]:
        text += (
            f"; {counted(one['running'], 'job')} running then, uncertain by at most"
            f" {one['uncertain_su']} SUs in all"
        )
    return text


VERBS = {"reconcile": _reconcile, "change_source": _change_source}
