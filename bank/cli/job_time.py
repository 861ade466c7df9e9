"""The verb that shows what is set aside for jobs."""

from bank.cli.arguments import Arguments
from bank.cli.output import counted, print_json, print_table, say_beside
from bank.operations.bank import Bank
from bank.operations.shown_liens import show_held_jobs, show_liens

_LIENS = ("cluster", "job", "account", "user", "state", "set_aside_su", "placed", "placed_by")
_ALL = (*_LIENS, "ended", "reason")
_HELD = ("cluster", "job", "account", "user", "cost_su", "held")


def _liens(bank: Bank, arguments: Arguments) -> int:
    with_ended = "--all" in arguments.flags
    found = show_liens(bank, with_ended=with_ended)
    held = show_held_jobs(bank)
    if arguments.is_json:
        print_json({"liens": found, "held_jobs": held})
        return 0
    print_table(_ALL if with_ended else _LIENS, found)
    if held:
        say_beside(f"held because nobody could pay: {counted(len(held), 'job')}")
        print_table(_HELD, held)
    return 0


VERBS = {"liens": _liens}
