"""hooks -- what Slurm calls at a job's submission, start and end.

Usage:
  slurm_bank.py hooks install [--dry-run] [--json]
  slurm_bank.py hooks show [--json]
  slurm_bank.py hooks remove [--dry-run] [--json]
  slurm_bank.py hooks -h | --help

  install  put the hooks beside slurm.conf, or bring them up to date with the settings, and say
           which lines slurm.conf needs; slurm.conf itself is not touched
  show     what is installed, what the controller runs with, what was decided
  remove   let them refuse nothing more, say which lines must go, and once they have gone take the
           hooks away; a job_submit.lua of the site's own is given back as it was

Run them as root on the machine of slurmctld. HOOKS = 'report' in the settings is the way to try
them: they refuse nothing and say what they would have refused.

Options:
  --dry-run  say what would be done, do nothing
  --json     print JSON, for programs
  -h --help  print this
"""

from collections.abc import Mapping
from typing import Any

from bank.cli.output import print_json, print_line
from bank.operations import hook_files
from bank.operations.bank import Bank

# Seen with Slurm 22.05: after a reconfigure a new PrologSlurmctld is shown, and not run.
_RESTART = "restart slurmctld ('scontrol reconfigure' is not enough)"


def run_group(bank: Bank, arguments: Mapping[str, Any]) -> int:
    """Run one command of the group, as docopt has read it.

    Raises:
        BankError: it cannot be done.
    """
    dry_run = bool(arguments["--dry-run"])
    if arguments["install"]:
        told, print_told = hook_files.install(bank, dry_run=dry_run), _installed
    elif arguments["remove"]:
        told, print_told = hook_files.remove(bank, dry_run=dry_run), _removed
    else:
        told, print_told = hook_files.show(bank), _shown
    if arguments["--json"]:
        print_json(told)
    else:
        print_told(told)
    return 0


def _installed(told: Mapping[str, Any]) -> None:
    for line in told["done"] or ["the hooks are as they should be"]:
        print_line(line)
    if not told["lines"]:
        print_line("the controller runs with them")
        return
    print_line(f"{told['slurm_conf']} needs, in place of what it says of these:")
    _print_lines(told)
    print_line(f"then {_RESTART}, and 'slurm_bank.py hooks show'")


def _removed(told: Mapping[str, Any]) -> None:
    for line in told["done"]:
        print_line(line)
    if told["lines"]:
        print_line(f"the controller still runs with them: let {told['slurm_conf']} say")
        _print_lines(told)
        print_line("(a line with nothing behind the = is to be taken out),")
        print_line(f"then {_RESTART}, and 'slurm_bank.py hooks remove' once more")
    elif not told["done"]:
        print_line("there are no hooks to remove")


def _print_lines(told: Mapping[str, Any]) -> None:
    for line in told["lines"]:
        print_line(f"  {line}")


def _shown(told: Mapping[str, Any]) -> None:
    for path, state in told["files"].items():
        print_line(f"{path}: {state}")
    if told["site_script"]:
        print_line(f"{told['site_script']}: the site's own, called first")
    if told["installed"]:
        mode = told["installed"].get("mode")
        print_line(f"mode: {mode}, FAIL_OPEN {told['installed'].get('fail_open')}")
        if not told["is_as_set"]:
            print_line("the settings have changed since: run 'hooks install'")
    if told["runs_with"] and not told["is_older"]:
        print_line("the controller runs with them")
    elif told["runs_with"]:
        print_line(f"slurm.conf has changed since slurmctld was started: {_RESTART}")
    else:
        print_line("the controller does not run with them: slurm.conf needs")
        _print_lines(told)
    print_line(f"service: {told['service']}")
    for what, count in told["decisions"].items():
        print_line(f"  {what}: {count}")
    print_line(f"spool: {told['spool_waiting']} waiting, {told['spool_broken']} broken")
