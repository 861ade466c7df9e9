"""The usage is narrowed to the lines of the verb, and nothing is read otherwise because of it."""

import pytest
from docopt import docopt

import slurm_bank
from bank.cli import arguments
from bank.errors import BankError

USAGE = slurm_bank.__doc__ or ""


def told(argv: list[str]) -> object:
    try:
        return arguments.read_arguments(USAGE, argv)
    except BankError as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    "line",
    [
        "statement x",
        "statement x --from 2027-01-01 --itemized",
        "add x 5",
        "add x",
        "--reason list add x 5",
        "--reason add withdraw x 5 --key k",
        "--key add add x 5",
        "add -- x 5",
        "add -- -x 5",
        "list",
        "list x",
        "usage",
        "usage x --by month",
        "transfer a b 5",
        "transfer a b",
        "balance --json",
        "--json balance",
        "backup file",
        "nosuch",
        "account",
        "options",
        "-v",
        "--version",
        "",
    ],
)
def test_the_lines_of_the_verb_say_all(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    argv = line.split()
    found = told(argv)
    monkeypatch.setattr(
        arguments, "_parsed", lambda usage, argv: docopt(usage, argv, default_help=False)
    )
    assert told(argv) == found


def test_only_the_lines_of_the_verb_are_read() -> None:
    narrowed = arguments._narrowed(USAGE, ["--json", "usage"])
    assert narrowed.count("slurm_bank.py (usage|forecast) [<account>] [options]") == 1
    assert narrowed.count("\n  slurm_bank.py ") == 1
    assert narrowed.partition("\n\nMovements:\n")[2] == USAGE.partition("\n\nMovements:\n")[2] != ""
