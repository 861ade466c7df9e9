"""The verbs that keep the books themselves."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.comparing import compare_with_slurm
from bank.cli.moving_in import print_takeover
from bank.cli.output import print_json, print_line, progress, require_yes
from bank.errors import Refusal, UsageError
from bank.ledger.names import listed
from bank.operations import takeover, upkeep
from bank.operations.bank import Bank

# What does not fit is often one row and all that rest on it.
_PROBLEMS_SHOWN = 20


def _verify(bank: Bank, arguments: Arguments) -> int:
    if arguments.is_against_slurm:
        return compare_with_slurm(bank, arguments)
    if arguments.text("--from") is not None or arguments.text("--to") is not None:
        raise UsageError("verify takes --from and --to with --against-slurm only")
    with progress("verify", is_shown=not arguments.is_json) as tell:
        found = upkeep.verify(bank, tell)
    if arguments.is_json:
        print_json({"agrees": not found, "problems": found})
    else:
        for problem in found[:_PROBLEMS_SHOWN]:
            print_line(problem)
        if len(found) > _PROBLEMS_SHOWN:
            print_line(f"and {len(found) - _PROBLEMS_SHOWN} more: 'verify --json' prints all")
        print_line("the books do not agree" if found else "the books agree")
    return 1 if found else 0


def _migrate(bank: Bank, arguments: Arguments) -> int:
    if takeover.is_due(bank):
        report = takeover.take_over(bank, choices=arguments.choose, dry_run=arguments.is_dry_run)
        return print_takeover(report, is_json=arguments.is_json)
    if arguments.choose:
        raise _nothing_to_choose(bank)
    done = upkeep.migrate(bank, dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json(done)
    elif done["from"] == done["to"]:
        print_line(f"{done['database']} has schema {done['to']}: nothing to do")
    else:
        would = "would be " if done["is_dry_run"] else ""
        what = f"brought from schema {done['from']} to" if done["from"] else "made with schema"
        kept = f"; as it was it is {done['kept']}" if done["kept"] else ""
        print_line(f"{done['database']} {would}{what} {done['to']}{kept}")
    if done["is_dry_run"] and not done["from"]:
        print_line(
            "that is an empty bank, because there is nothing yet: to move in, copy the"
            " predecessor's database there first"
        )
    return 0


def _nothing_to_choose(bank: Bank) -> Refusal:
    path = bank.settings.database
    why = f"{path} is not a database of the predecessor: migrate it without --choose"
    if not upkeep.migrate(bank, dry_run=True)["from"]:
        why = (
            f"there is no database at {path}: copy the predecessor's there first, with what lies"
            " beside it (-wal), or correct DATABASE in the settings"
        )
    return Refusal("nothing_to_choose", why)


def _backup(bank: Bank, arguments: Arguments) -> int:
    done = upkeep.backup(bank, arguments.file)
    if arguments.is_json:
        print_json(done)
    else:
        print_line(f"{done['file']}: {done['bytes']} bytes, verified")
    return 0


def _restore(bank: Bank, arguments: Arguments) -> int:
    if not (arguments.is_dry_run or arguments.is_yes):
        # What would be refused is refused before anybody is asked.
        rehearsed = upkeep.restore(bank, arguments.file, dry_run=True)
        if not arguments.is_json:
            _print_forgotten(rehearsed)
        require_yes(f"Replace all that {bank.settings.database} holds by {arguments.file}?")
    done = upkeep.restore(bank, arguments.file, dry_run=arguments.is_dry_run)
    if arguments.is_json:
        print_json(done)
        return 0
    _print_forgotten(done)
    if done["is_dry_run"]:
        print_line(f"{done['file']} is whole and would be put back")
    else:
        before = "there was nothing before"
        if done["kept"] is not None:
            before = f"what was there before is {done['kept']}"
        print_line(f"{done['file']} was put back; {before}")
    return 0


def _print_forgotten(done: dict[str, Any]) -> None:
    """Say which accounts are let go, or are not in the bank any more."""
    if done["not_held_any_more"] is None:
        print_line("what is there now cannot be read: nobody can tell what was held by hand")
        return
    for what, names in (
        ("held by hand now, and not any more with", done["not_held_any_more"]),
        ("open now, and not in", done["not_open_any_more"]),
    ):
        if names:
            print_line(f"{what} {done['file']}: {listed(names)}")


VERBS = {"verify": _verify, "migrate": _migrate, "backup": _backup, "restore": _restore}
