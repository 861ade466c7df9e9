"""The site's settings: read once, checked by name, never executed.

The file is written as flat Python assignments because sites and shell scripts know it so; it is
parsed and not run, so it cannot do anything.
"""

import _ast
import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bank.errors import InputError, SettingsError
from bank.ledger.amounts import format_su, parse_su

FILE_NAME = "py_sb_settings.py"
SITE_DIRECTORY = "/etc/slurm_bank"


class Settings(NamedTuple):
    """All settings, under their names in lower case; `py_sb_settings.py` says what each is for."""

    database: str
    clusters: tuple[str, ...] = ()
    logfile: str = ""
    published: str = ""
    database_backup_json: str = ""
    db_table_name: str = "sbank"
    # Billing-seconds here; SUs in the file.
    default_allocation: int = 3600
    proposal_length_days: int = 365
    check_dates: bool = False
    time_zone: str = ""
    carry_over_percent: int = 0
    on_end: str = "report"
    upper_limit_percent: int = 90
    lower_limit_percent: int = 60
    notify_command: str = ""
    enforcement: str = "hold"
    account_hold: str = "GrpTRESMins"
    hold_counts_running: bool = False
    # Billing-seconds here; SUs in the file.
    limit_tolerance: int = 3600
    project_prefix: str = ""
    unknown_accounts: str = "report"
    on_top_up: str = "keep"
    usage_source: str = "meters"
    usage_baseline: str = "all"
    hooks: str = "report"
    lien_at: str = "start"
    array_liens: str = "full"
    hook_wait_ms: int = 50
    fail_open: bool = True
    start_refusal: str = "run"
    end_hook: str = "none"
    service_socket: str = "/run/slurm_bank/slurm_bank.sock"
    service_address: str = ""
    spool: str = "/var/spool/slurm_bank"
    allow_hold_without_safe: bool = False
    slurm_bin: str = "/usr/bin"
    slurm_conf: str = ""
    slurm_timeout_seconds: int = 60
    confirm_seconds: int = 10


class Rule(NamedTuple):
    """What a setting may be: in words, and as a function that returns the value or raises."""

    allowed: str
    read: Callable[[object], object]


def _text(pattern: str) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise ValueError
        return value

    return read


def _one_of(*values: str) -> Rule:
    return Rule(" or ".join(repr(value) for value in values), _text("|".join(values)))


def _whole(least: int, most: int) -> Rule:
    def read(value: object) -> object:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Rule(f"a whole number from {least} to {most}", read)


def _names(value: object) -> object:
    if not isinstance(value, list):
        raise TypeError
    names = tuple(_text(_CLUSTER)(name) for name in value)
    if len(set(names)) < len(names):
        raise ValueError
    return names


def _yes_or_no(value: object) -> object:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _su(value: object) -> object:
    if type(value) is int and value >= 0:
        return parse_su(str(value))
    raise ValueError


_CLUSTER = "[a-z0-9_][a-z0-9_.-]*"
_PATH = Rule("an absolute path, as 'text'", _text("/.*"))
_PATH_OR_EMPTY = Rule("an absolute path, or '' for none", _text("(/.*)?"))

RULES: dict[str, Rule] = {
    "DATABASE": _PATH,
    "CLUSTERS": Rule(
        "a list of cluster names in lower case, each once, or [] for the local one", _names
    ),
    "LOGFILE": _PATH_OR_EMPTY,
    "PUBLISHED": _PATH_OR_EMPTY,
    "DATABASE_BACKUP_JSON": _PATH_OR_EMPTY,
    "DB_TABLE_NAME": Rule(
        "lower-case letters, digits and _, at most 40, and not a table of the bank's own",
        _text(
            "(?!(account|allocation_grant|entry|account_change|request|cluster|place|settled"
            "|meter|reading|notice|slurm_limit|usage_reset|user_limit|user_held_by_others|job_refund|lien|job_charge"
            "|tariff|usage_source|changeover_job|held_job|token|mybrc_job|schema_version"
            "|sqlite_.*)$)"
            "[a-z_][a-z0-9_]{0,39}"
        ),
    ),
    "DEFAULT_ALLOCATION": Rule("a whole number of SUs, 0 or more", _su),
    "PROPOSAL_LENGTH_DAYS": _whole(1, 36500),
    "CHECK_DATES": Rule("True or False", _yes_or_no),
    "TIME_ZONE": Rule(
        "a name of the IANA time zone database, such as 'Europe/Berlin', or '' for the machine's",
        _text("([A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*)?"),
    ),
    "CARRY_OVER_PERCENT": _whole(0, 100),
    "ON_END": _one_of("report", "hold", "renew"),
    "NOTIFY_COMMAND": _PATH_OR_EMPTY,
    "UPPER_LIMIT_PERCENT": _whole(1, 100),
    "LOWER_LIMIT_PERCENT": _whole(1, 100),
    "ENFORCEMENT": _one_of("hold", "limit"),
    "HOLD_COUNTS_RUNNING": Rule("True or False", _yes_or_no),
    "LIMIT_TOLERANCE": Rule("a whole number of SUs, 0 or more", _su),
    "ACCOUNT_HOLD": _one_of("GrpTRESMins", "GrpTRES", "GrpTRESRunMins", "GrpJobs", "GrpSubmitJobs"),
    "PROJECT_PREFIX": Rule(
        "the first letters of account names, or '' for all", _text("[a-z0-9_.@+-]*")
    ),
    "UNKNOWN_ACCOUNTS": _one_of("report", "hold", "allocate"),
    "ON_TOP_UP": _one_of("keep", "reset"),
    "USAGE_SOURCE": _one_of("meters", "jobs"),
    "USAGE_BASELINE": _one_of("all", "now"),
    "HOOKS": _one_of("report", "enforce"),
    "LIEN_AT": _one_of("start", "submit"),
    "ARRAY_LIENS": _one_of("full", "at_once"),
    "HOOK_WAIT_MS": _whole(1, 1000),
    "FAIL_OPEN": Rule("True or False", _yes_or_no),
    "START_REFUSAL": _one_of("run", "kill"),
    "END_HOOK": _one_of("none", "jobcomp", "epilogslurmctld"),
    "SERVICE_SOCKET": _PATH,
    "SERVICE_ADDRESS": Rule(
        "an address and a port, such as '127.0.0.1:8181' or '[::1]:8181', or '' for none",
        _text(r"(([a-z0-9.-]+|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4})?"),
    ),
    "SPOOL": _PATH,
    "ALLOW_HOLD_WITHOUT_SAFE": Rule("True or False", _yes_or_no),
    "SLURM_BIN": _PATH,
    "SLURM_CONF": _PATH_OR_EMPTY,
    "SLURM_TIMEOUT_SECONDS": _whole(1, 3600),
    "CONFIRM_SECONDS": _whole(1, 3600),
}


def find_file(environment: Mapping[str, str], beside: str) -> str:
    """Return the path of the settings file.

    Args:
        environment: SLURM_BANK_SETTINGS in it wins.
        beside: the directory of the command; it comes last, after /etc/slurm_bank.

    Raises:
        SettingsError: there is none.
    """
    named = environment.get("SLURM_BANK_SETTINGS")
    places = [named] if named else [f"{SITE_DIRECTORY}/{FILE_NAME}", f"{beside}/{FILE_NAME}"]
    for path in places:
        if os.path.isfile(path):
            return path
    raise SettingsError(f"no settings: there is no file {' nor '.join(places)}")


def load(path: str) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: others could write to it, a name is unknown, a value is not allowed.
    """
    try:
        with open(path, encoding="utf-8") as file:
            _refuse_writable_by_others(path, os.fstat(file.fileno()))
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    values = {name: _checked(path, name, value) for name, value in assignments(path, text).items()}
    if "DATABASE" not in values:
        raise SettingsError(f"{path} does not set DATABASE: {RULES['DATABASE'].allowed}")
    settings = Settings(**{name.lower(): value for name, value in values.items()})  # type: ignore[arg-type]
    if settings.lower_limit_percent > settings.upper_limit_percent:
        raise SettingsError(f"{path}: LOWER_LIMIT_PERCENT is above UPPER_LIMIT_PERCENT")
    if settings.usage_source == "jobs" and settings.enforcement == "limit":
        # What the controller counts of running jobs is in the limit, and not in what is charged.
        raise SettingsError(
            f"{path}: USAGE_SOURCE = 'jobs' goes with ENFORCEMENT = 'hold' only; the hooks stop"
            " what cannot be paid for"
        )
    return settings


def _refuse_writable_by_others(path: str, status: os.stat_result) -> None:
    if status.st_mode & 0o022:
        raise SettingsError(f"{path} can be written by others: chmod go-w {path}")
    directory = os.path.dirname(os.path.abspath(path))
    mode = os.stat(directory).st_mode
    # Who may write to the directory may put another file in its place, but for a sticky one.
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise SettingsError(f"{directory} can be written by others: chmod go-w {directory}")
    if status.st_uid in (0, os.geteuid()):
        return
    import pwd

    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    # On most clusters the bank belongs to SlurmUser and root runs it as well.
    if os.geteuid() != 0 or owner != "slurm":
        raise SettingsError(
            f"{path} belongs to {owner}, who could change it: chown it to root or to the user who"
            " runs the bank"
        )


def assignments(path: str, text: str) -> dict[str, object]:
    """Return the values that a settings file assigns, without running it.

    Raises:
        SettingsError: it holds anything but NAME = value.
    """
    only_parse = 0x400  # ast.PyCF_ONLY_AST; importing ast costs every command milliseconds
    try:
        tree = compile(text, path, "exec", only_parse)
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"{path} is not readable as NAME = value lines: {error}") from error
    found = {}
    for statement in tree.body:
        match statement:
            case _ast.Expr(value=_ast.Constant(value=str())):
                continue
            case _ast.Assign(targets=[_ast.Name(id=name)], value=value):
                found[name] = _literal(path, name, value)
            case _:
                raise SettingsError(
                    f"{path}, line {statement.lineno}: only NAME = value is allowed here"
                )
    return found


def _literal(path: str, name: str, node: _ast.expr) -> object:
    match node:
        case _ast.Constant(value=value):
            return value
        case _ast.UnaryOp(op=_ast.USub(), operand=_ast.Constant(value=int(value))):
            return -value
        case _ast.List(elts=parts) | _ast.Tuple(elts=parts):
            return [_literal(path, name, part) for part in parts]
    raise SettingsError(f"{path}: {name} must be a plain value: {_allowed(name)}")


def _checked(path: str, name: str, value: object) -> object:
    if name not in RULES:
        import difflib

        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(RULES)}"
        raise SettingsError(f"{path}: {name} is not a setting: {hint}")
    try:
        return RULES[name].read(value)
    except (TypeError, ValueError, InputError) as error:
        raise SettingsError(
            f"{path}: {name} = {value!r} is not allowed: {RULES[name].allowed}"
        ) from error


def _allowed(name: str) -> str:
    return RULES[name].allowed if name in RULES else "it is not a setting"


def default_text(name: str) -> str:
    """Return a setting's default as it is written in the file."""
    value = Settings._field_defaults[name.lower()]
    if RULES[name].read is _su:
        return format_su(value)
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
