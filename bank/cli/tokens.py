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
from collections.abc import Mapping
from typing import Any

from bank.cli.output import print_json, print_line, print_table, say_beside
from bank.errors import UsageError
from bank.operations import tokens
from bank.operations.bank import Bank

_HEADINGS = ("name", "scope", "accounts", "state", "expires_at", "created_by", "created_at")


def run_group(bank: Bank, arguments: Mapping[str, Any]) -> int:
    """Run one command of the group, as docopt has read it.

    Raises:
        BankError: it cannot be done.
    """
    is_json = bool(arguments["--json"])
    if arguments["create"]:
        _created(_create(bank, arguments), is_json=is_json)
    elif arguments["revoke"]:
        _revoked(tokens.revoke(bank, arguments["<name>"]), is_json=is_json)
    else:
        _listed(tokens.listing(bank), is_json=is_json)
    return 0


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
