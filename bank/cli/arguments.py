"""What was asked for: the command line, checked once, by name."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from docopt import DocoptExit, docopt

from bank.errors import UsageError
from bank.ledger.names import account_name, user_name

# Which options each verb takes besides --json, which all that print take.
_OPTIONS = {
    "insert": {"--dry-run", "--reason", "--key", "--force"},
    "modify": {"--dry-run", "--reason", "--key", "--force"},
    "add": {"--dry-run", "--reason", "--key", "--force"},
    "deposit": {"--dry-run", "--reason", "--key", "--force", "--grant"},
    "withdraw": {"--dry-run", "--reason", "--key", "--force", "--grant"},
    "refund": {
        *("--dry-run", "--reason", "--key", "--cluster"),
        *("--job", "--window", "--nodes", "--yes"),
    },
    "adjust": {"--dry-run", "--reason", "--key", "--cluster"},
    "set_credit": {"--dry-run", "--reason", "--key"},
    "transfer": {"--dry-run", "--reason", "--key", "--force"},
    "grant": {
        *("--dry-run", "--reason", "--key", "--force"),
        *("--start", "--end", "--kind", "--carry"),
    },
    "renew": {
        *("--dry-run", "--reason", "--key", "--force"),
        *("--start", "--end", "--kind", "--carry", "--grant"),
    },
    "reset_usage": {"--dry-run", "--reason", "--key"},
    "hold": {"--dry-run", "--reason", "--key"},
    "release_hold": {"--dry-run", "--reason"},
    "delete": {"--dry-run", "--reason", "--key", "--force", "--yes"},
    "limit_user": {"--dry-run", "--reason", "--key"},
    "get_sus": set(),
    "balance": set(),
    "list": {"--held", "--over", "--ending", "--match"},
    "history": set(),
    "grants": set(),
    "statement": {"--from", "--to", "--itemized", "--csv", "--html"},
    "usage": {"--by", "--from", "--to"},
    "forecast": {"--chart"},
    "check_service_units_limit": {"--dry-run"},
    "check_end_of_date_limit": {"--dry-run"},
    "three_month_check": {"--dry-run"},
    "enforce": {"--dry-run"},
    "verify": {"--against-slurm", "--from", "--to"},
    "migrate": {"--dry-run", "--choose"},
    "backup": set(),
    "restore": {"--dry-run", "--yes"},
    "dump_json": set(),
    "dump_csv": set(),
    "repopulate_json": {"--dry-run", "--reason", "--yes"},
    "repopulate_csv": {"--dry-run", "--reason", "--yes"},
    "export_csv": set(),
    "import_csv": {"--dry-run", "--reason", "--yes", "--force"},
    # All that follows it is sbatch's.
    "quote": set(),
    "explain": {"--user", "--job"},
    "reconcile": {"--dry-run", "--since"},
    "liens": {"--all"},
    "change_source": {"--dry-run"},
    "serve": set(),
}
_WITH_TEXT = {
    "--reason": "TEXT",
    "--key": "TEXT",
    "--choose": "LIST",
    "--start": "DAY",
    "--end": "DAY",
    "--kind": "TEXT",
    "--carry": "PERCENT",
    "--grant": "NUMBER",
    "--cluster": "NAME",
    "--user": "USER",
    "--job": "ID",
    "--since": "DAY",
    "--from": "DAY",
    "--to": "DAY",
    "--by": "WHAT",
    "--over": "PERCENT",
    "--ending": "DAYS",
    "--match": "GLOB",
    "--nodes": "LIST",
}
_LOOKING = ("--itemized", "--csv", "--html", "--chart", "--held", "--all")
_FLAGS = ("--dry-run", "--yes", "--force", "--window", "--against-slurm")
_ALL_OPTIONS = (*_FLAGS, *_LOOKING, *_WITH_TEXT)
_SPELLED_OUT = (*_ALL_OPTIONS, "--json", "--help", "--version")
# Ends up in lines of the log and of the history.
_MAX_TEXT = 500


class Arguments(NamedTuple):
    """One command line.

    Attributes:
        verb: what to do, or "--help" or "--version".
        account: a plain account name, None where the verb takes none or none was given.
        su: the amount as typed, "" where the verb takes none.
        file: the path as typed.
        is_json, is_dry_run, is_yes, is_forced: the options without a value.
        reason: "" where none was given.
        key: None where none was given.
        choose: "" where nothing was chosen.
        to: the account that is given what is transferred, None but for `transfer`.
        user: a plain user name, "" where the verb takes none.
        given: what was given with each option that takes a value.
        sbatch: what would be given to sbatch, for quote.
        flags: the options without a value that only those verbs take that look.
        start, end: of a window, as typed; "" but for `refund --window`.
        is_window, is_against_slurm: the options without a value.
    """

    verb: str
    account: str | None = None
    su: str = ""
    file: str = ""
    is_json: bool = False
    is_dry_run: bool = False
    is_yes: bool = False
    is_forced: bool = False
    reason: str = ""
    key: str | None = None
    choose: str = ""
    to: str | None = None
    user: str = ""
    start: str = ""
    end: str = ""
    is_window: bool = False
    is_against_slurm: bool = False
    given: Mapping[str, str | None] = {}
    sbatch: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    def text(self, option: str) -> str | None:
        """Return what was given with an option, None where it was not."""
        return self.given.get(option)


def read_arguments(usage: str, argv: list[str]) -> Arguments:
    """Read a command line.

    Raises:
        UsageError: it fits no line of the usage, or an option is abbreviated or not for this verb.
        InputError: the account is no account name, or the user no user name.
    """
    if [word for word in argv if word != "--json"][:1] == ["quote"]:
        return _quote(argv)
    _refuse_abbreviations(argv)
    if _asks_for_help(argv):
        return Arguments("--help")
    try:
        given = _parsed(usage, argv)
    except DocoptExit as error:
        raise UsageError(
            f"{_what_is_wrong(usage, argv)}; 'slurm_bank.py --help' says more"
        ) from error
    if given["--version"]:
        return Arguments("--version")
    verb = next(name for name in _OPTIONS if given[name])
    for option in _ALL_OPTIONS:
        if given[option] and option not in _OPTIONS[verb]:
            takes = [*sorted(_OPTIONS[verb]), "--json"]
            raise UsageError(f"{verb} does not take {option}, but {', '.join(takes)}")
    for option in _WITH_TEXT:
        _refuse_unprintable(option, given[option])
    name = given["<from>"] if given["<account>"] is None else given["<account>"]
    return Arguments(
        verb=verb,
        account=None if name is None else account_name(name),
        su=given["<su>"] or "",
        file=given["<file>"] or "",
        is_json=bool(given["--json"]),
        is_dry_run=bool(given["--dry-run"]),
        is_yes=bool(given["--yes"]),
        is_forced=bool(given["--force"]),
        reason=given["--reason"] or "",
        key=given["--key"],
        choose=given["--choose"] or "",
        to=None if given["<to>"] is None else account_name(given["<to>"]),
        given={option: given[option] for option in _WITH_TEXT},
        user=user_name(given["<user>"]) if given["<user>"] is not None else "",
        flags=frozenset(option for option in _LOOKING if given[option]),
        start=given["<start>"] or "",
        end=given["<end>"] or "",
        is_window=bool(given["--window"]),
        is_against_slurm=bool(given["--against-slurm"]),
    )


def read_group(usage: str, argv: list[str]) -> Mapping[str, Any]:
    """Read a command line of a verb that has verbs of its own.

    Args:
        usage: the docopt text of that verb.
        argv: from the verb on.

    Raises:
        UsageError: it fits no line of the usage, or an option is abbreviated.
    """
    known = sorted(set(re.findall(r"--[a-z-]+", usage)))
    for word in argv:
        option = word.partition("=")[0]
        # docopt takes --dry for --dry-run, until a new option changes what it means.
        if word.startswith("--") and option not in known:
            raise UsageError(f"{option} is not an option; known are {', '.join(known)}")
    try:
        found: Mapping[str, Any] = docopt(usage, argv, default_help=False)
    except DocoptExit as error:
        says = f"'slurm_bank.py {argv[0]} --help' says how it goes"
        raise UsageError(f"not understood; {says}") from error
    return found


def _parsed(usage: str, argv: list[str]) -> Mapping[str, Any]:
    """Return what docopt reads; None for what is not in the lines of the usage that it was given.

    Its time grows with the square of the lines, so it gets those of the first word only. Where that
    is no verb, because it is the text of an option, it gets all of them.

    Raises:
        DocoptExit: the command line fits none.
    """
    with suppress(DocoptExit):
        return defaultdict(lambda: None, docopt(_narrowed(usage, argv), argv, default_help=False))
    return docopt(usage, argv, default_help=False)


def _narrowed(usage: str, argv: list[str]) -> str:
    """Return the usage with no other lines than those of the verb that seems to be meant."""
    verb = next((word for word in argv if not word.startswith("-")), "")
    before, head, rest = usage.partition("\nUsage:\n")
    lines, blank, after = rest.partition("\n\n")
    mine = [line for line in lines.split("\n") if verb in re.split(r"[ (|)]+", line)]
    if verb not in _OPTIONS or not mine:
        return usage
    return "".join((before, head, "\n".join(mine), blank, after))


def _quote(argv: list[str]) -> Arguments:
    """Read what follows quote: --json, if it stands first; the rest is for sbatch."""
    before = argv.index("quote")
    rest = argv[before + 1 :]
    is_json = before > 0
    while rest[:1] == ["--json"]:
        is_json = True
        del rest[0]
    if rest[:1] in (["-h"], ["--help"]):
        return Arguments("--help")
    return Arguments(verb="quote", is_json=is_json, sbatch=tuple(rest))


def _asks_for_help(argv: list[str]) -> bool:
    """Tell whether -h or --help stands anywhere, but as the text of another option."""
    before = ""
    for word in argv:
        if word == "--":
            return False
        if word in ("-h", "--help") and before not in _WITH_TEXT:
            return True
        before = word
    return False


def _refuse_abbreviations(argv: list[str]) -> None:
    """Refuse --dry for --dry-run: docopt takes it, until a new option changes what it means."""
    for word in argv:
        if word == "--":
            break
        option = word.split("=", 1)[0]
        if word.startswith("--") and option not in _SPELLED_OUT:
            raise UsageError(f"{option} is not an option{_did_you_mean(option, _SPELLED_OUT)}")


def _what_is_wrong(usage: str, argv: list[str]) -> str:
    words = [word for word in argv if not word.startswith("-")]
    if not words:
        return "no command was given"
    if words[0] not in _OPTIONS:
        return f"{words[0]!r} is not a command{_did_you_mean(words[0], _OPTIONS)}"
    takes = re.search(rf"[(|\s]{words[0]}(?:\|\w+)*\)? ?(.*)\[options\]", usage)
    options = " ".join(
        f"[{option} {_WITH_TEXT[option]}]" if option in _WITH_TEXT else f"[{option}]"
        for option in (*sorted(_OPTIONS[words[0]]), "--json")
    )
    return f"not understood; it goes: {words[0]} {takes.group(1) if takes else ''}{options}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _refuse_unprintable(option: str, text: str | None) -> None:
    if text is not None and (not text.isprintable() or not 0 < len(text) <= _MAX_TEXT):
        raise UsageError(
            f"{option} takes 1 to {_MAX_TEXT} printable characters on one line, not {text[:40]!r}"
        )
