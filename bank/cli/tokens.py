"""token -- who may ask the bank over the network.

Usage:
  slurm_bank.py token create <name> --scope=SCOPE [--accounts=LIST] [--until=DAY] [--json]
  slurm_bank.py token list [--json]
  slurm_bank.py token revoke <name> [--json]
  slurm_bank.py token -h | --help

  create   make a token and print it, this once: only a digest of it is kept
  list     every token that ever was, and whether it is good
  revoke   let it be good no more, at once

A program shows it with each request: 'Authorization: Bearer TOKEN'.

Options:
  --scope=SCOPE    what may be asked with it: 'read' looks, 'jobs' also sets SUs aside for jobs
                   and reports them
  --accounts=LIST  for these accounts only, such as physics,biology; else for all
  --until=DAY      the first day, or the time, on which it is good no more; else in a year
  --json           print JSON, for programs
  -h --help        print this
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docopt import DocoptExit, docopt

from bank.cli.output import print_json, print_line, print_table, say_beside
from bank.errors import UsageError
from bank.operations import tokens
from bank.operations.bank import Bank

_HEADINGS = ("name", "scope", "accounts", "state", "expires_at", "created_by", "created_at")
_OPTIONS = ("--scope", "--accounts", "--until", "--json", "--help")


def run_group(make_bank: Callable[[], Bank], argv: Sequence[str]) -> int:
    """Run one command of the group.

    Args:
        make_bank: reads the settings; help needs none.
        argv: from the word "token" on.

    Raises:
        BankError: it is not understood, or cannot be done.
    """
    arguments = _read(argv)
    if arguments["--help"]:
        print_line((__doc__ or "").strip())
        return 0
    bank = make_bank()
    is_json = bool(arguments["--json"])
    if arguments["create"]:
        _created(_create(bank, arguments), is_json=is_json)
    elif arguments["revoke"]:
        _revoked(tokens.revoke(bank, arguments["<name>"]), is_json=is_json)
    else:
        _listed(tokens.listing(bank), is_json=is_json)
    return 0


def _read(argv: Sequence[str]) -> Mapping[str, Any]:
    for word in argv:
        option = word.partition("=")[0]
        # docopt takes --acc for --accounts, until a new option changes what it means.
        if word.startswith("--") and option not in _OPTIONS:
            raise UsageError(f"{option} is not an option; known are {', '.join(_OPTIONS)}")
    try:
        found: Mapping[str, Any] = docopt(__doc__ or "", list(argv), default_help=False)
    except DocoptExit as error:
        raise UsageError("not understood; 'slurm_bank.py token --help' says how it goes") from error
    return found


def _create(bank: Bank, arguments: Mapping[str, Any]) -> dict[str, Any]:
    names = arguments["--accounts"]
    if names is not None and not re.fullmatch(r"[^,\s]+(,[^,\s]+)*", names):
        raise UsageError("--accounts takes names, such as physics,biology")
    return tokens.create(
        bank,
        arguments["<name>"],
        arguments["--scope"],
        names.split(",") if names else (),
        arguments["--until"],
    )


def _created(told: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print_json(told)
        return
    # Alone, so that it can be caught with $(...).
    print_line(told["token"])
    whom = ", ".join(told["accounts"]) or "all accounts"
    say_beside(
        f"token {told['name']} for {whom}, scope {told['scope']}, until {told['expires_at']}; it is"
        " shown this once"
    )


def _revoked(told: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print_json(told)
    else:
        print_line(f"token {told['name']} is revoked since {told['revoked_at']}")


def _listed(told: list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        print_json(told)
    else:
        rows = [{**one, "accounts": ",".join(one["accounts"]) or "all"} for one in told]
        print_table(_HEADINGS, rows)
