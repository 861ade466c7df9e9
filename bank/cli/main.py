"""From the command line to an operation, and from its result or error to an exit status."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module

from bank.cli.arguments import Arguments, read_arguments, read_group
from bank.cli.output import (
    close_output,
    counted,
    forget_output,
    open_output,
    print_error,
    print_fault,
    print_line,
    say_beside,
    warn,
)
from bank.errors import BankError, NotPrinted
from bank.operations.bank import Bank, login, use_zone
from bank.settings import find_file, load

_FAULT = 70
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def run(usage: str, argv: Sequence[str]) -> int:
    """Run one command.

    Args:
        usage: the docopt text of the command.
        argv: its arguments.

    Returns:
        The exit status: 0 done, 1 no, 2 usage, else as sysexits.h(3head) says.
    """
    arguments = list(argv)
    try:
        status = _answered(usage, arguments)
        close_output()
    except NotPrinted as error:
        print_error(error, is_json=False)
        forget_output()
        return error.exit_status
    except KeyboardInterrupt:
        warn(
            "interrupted: what was begun may be booked: look with 'balance' or 'history' before you"
            " repeat it"
        )
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone.
        forget_output()
        return _PIPE_CLOSED
    except Exception:  # noqa: BLE001 - a fault of the program must not read as "no", which is 1
        print_fault()
        return _FAULT
    return status


def _answered(usage: str, argv: list[str]) -> int:
    try:
        open_output()
        return _do(usage, argv)
    except NotPrinted:
        raise
    except BankError as error:
        print_error(error, is_json="--json" in argv)
        return error.exit_status


def _do(usage: str, argv: list[str]) -> int:
    if argv[:1] and argv[0] in _GROUPS:
        return _do_in_group(argv)
    arguments = read_arguments(usage, argv)
    if arguments.verb in ("--help", "--version"):
        from bank import __version__

        print_line(usage.strip() if arguments.verb == "--help" else f"slurm_bank.py {__version__}")
        return 0
    bank = _bank()
    if bank.settings.published and arguments.verb in _FOR_EVERYBODY:
        bank = _as_reader(bank)
    return _verb(arguments.verb)(bank, arguments)


def _do_in_group(argv: list[str]) -> int:
    group = import_module(f"bank.cli.{_GROUPS[argv[0]]}")
    usage = group.__doc__ or ""
    arguments = read_group(usage, argv)
    if arguments["--help"]:
        print_line(usage.strip())
        return 0
    return int(group.run_group(_bank(), arguments))


# What ordinary users may ask, of the accounts that they belong to.
_FOR_EVERYBODY = {
    *("get_sus", "balance", "list", "history", "grants"),
    *("statement", "usage", "forecast", "explain", "quote"),
}


# How old a copy is is said in days from here on.
_HOURS_SAID = 48


def _as_reader(bank: Bank) -> Bank:
    """Return the bank as whoever asks may see it, and say as of when where that is a copy."""
    from bank.operations.reader import as_reader

    seen, as_of = as_reader(bank)
    if as_of is not None:
        hours = as_of.age_seconds // 3600
        ago = counted(hours, "hour") if hours < _HOURS_SAID else counted(hours // 24, "day")
        late = f", {ago} ago: no pass has brought it up to date since" if hours > 0 else ""
        say_beside(f"as of {as_of.at}{late}")
    return seen


def _bank() -> Bank:
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    settings = load(find_file(os.environ, here))
    if not settings.slurm_conf:
        settings = settings._replace(slurm_conf=os.environ.get("SLURM_CONF", ""))
    use_zone(settings.time_zone)
    return Bank(settings, login(), warn)


# Verbs that have verbs of their own: docopt takes longer with each line of a usage, so these have
# a usage in their module.
_GROUPS = {"token": "tokens", "hooks": "hooking"}

# Which module has the function for a verb.
_MODULES = {
    "looking": ("get_sus", "balance", "list", "history", "grants"),
    "reports": ("statement", "usage", "forecast"),
    "explaining": ("explain",),
    "quoting": ("quote",),
    "enforcing": (
        *("enforce", "check_service_units_limit", "check_end_of_date_limit"),
        *("three_month_check", "release_hold"),
    ),
    "keeping": ("verify", "migrate", "backup", "restore"),
    "dumping": (
        *("dump_json", "dump_csv", "repopulate_json", "repopulate_csv"),
        *("export_csv", "import_csv"),
    ),
    "limiting": ("limit_user",),
    "refunding": ("refund",),
    "job_time": ("liens",),
    "reconciling": ("reconcile", "change_source"),
    "serving": ("serve",),
    "moving": (
        *("insert", "modify", "add", "deposit", "withdraw", "adjust", "set_credit"),
        *("transfer", "grant", "renew", "reset_usage", "hold", "delete"),
    ),
}


def _verb(name: str) -> Callable[[Bank, Arguments], int]:
    """Return the function for a verb; only the module that it needs is loaded."""
    module = next(module for module, verbs in _MODULES.items() if name in verbs)
    found: Callable[[Bank, Arguments], int] = import_module(f"bank.cli.{module}").VERBS[name]
    return found
