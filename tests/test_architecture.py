"""The layout is a promise: who may import what, what loads at start-up, how long things get."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A room of bank/ and the other rooms that it may import: down, never up, never across. Modules
# that lie directly in bank/ are rooms of their own.
_PURE = {"ledger", "policy", "errors"}
_BELOW_DOORS = {"operations", "ledger", "errors", "settings"}
_HTTP_DOOR = _BELOW_DOORS | {"policy", "http"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "process": set(),
    "ledger": {"errors"},
    "policy": {"ledger", "errors"},
    "settings": {"ledger", "errors"},
    "slurm": _PURE | {"process"},
    "store": _PURE,
    "notify": _PURE | {"process"},
    "operations": _PURE | {"slurm", "store", "notify", "settings"},
    # The command starts the service.
    "cli": _BELOW_DOORS | {"service"},
    "http": _BELOW_DOORS | {"policy"},
    "api": _HTTP_DOOR,
    "plugins": _HTTP_DOOR,
    "gateway": _HTTP_DOOR,
    "portal": _HTTP_DOOR,
    "web": _HTTP_DOOR,
    "service": _HTTP_DOOR | {"api", "gateway", "plugins", "portal", "web"},
    # The file slurm_bank.py at the top.
    "slurm_bank": {"cli"},
}
_HTTP_ROOMS = {"http", "api", "gateway", "plugins", "web", "service"}
ONLY_IN: dict[str, set[str]] = {
    "subprocess": {"process"},
    "multiprocessing": {"process"},
    "pty": {"process"},
    "sqlite3": {"store"},
    "sqlalchemy": {"store"},
    "dataset": {"store"},
    "docopt": {"cli"},
    "rich": {"cli"},
    "httpx": {"portal", "notify"},
    "smtplib": {"notify"},
    "fastapi": _HTTP_ROOMS,
    "starlette": _HTTP_ROOMS,
    "uvicorn": {"service"},
}
# By these a reader and a writer of the store take SQL.
TAKES_SQL = {"query", "query_among", "stream", "execute", "insert"}
STARTS_A_PROCESS = {"system", "popen", "fork", "forkpty"}
PURE_ROOMS = {"ledger", "policy"}
NOT_PURE_MODULES = {
    *("asyncio", "ctypes", "fcntl", "getpass", "glob", "http", "importlib", "io", "locale"),
    *("logging", "mmap", "os", "pathlib", "platform", "pwd", "random", "secrets", "select"),
    *("shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading"),
    *("time", "urllib", "uuid"),
}
NOT_PURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
CLOCK_READINGS = {"now", "utcnow", "today"}
SAYS_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 70

# Not to be loaded before a command knows what it will do, and nowhere on the way to a balance.
NOT_AT_START = (
    *("sqlalchemy", "dataset", "fastapi", "httpx", "rich"),
    *("subprocess", "logging", "dataclasses"),
)

Finding = tuple[int, str]
Rule = Callable[[str, ast.Module], Iterator[Finding]]


def room_of(path: str) -> str:
    """Return the room of a file: bank/ledger/books.py -> ledger, bank/errors.py -> errors."""
    parts = Path(path).with_suffix("").parts
    return parts[1] if parts[0] == "bank" else parts[0]


def imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, wherever in the file it stands."""
    package = Path(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def goes_down(path: str, tree: ast.Module) -> Iterator[Finding]:
    """An import goes down, never up, never across."""
    room = room_of(path)
    if room == "__init__":
        for line, name in imports(path, tree):
            yield line, f"bank/__init__.py imports {name}: every program would pay for it"
        return
    if room not in MAY_IMPORT:
        yield 1, f"the room {room!r} is not in MAY_IMPORT"
        return
    for line, name in imports(path, tree):
        parts = name.split(".")
        # The installed command enters at bank.cli.main, and the usage stands in slurm_bank.py.
        if parts[0] == "slurm_bank" and room != "cli":
            yield line, f"{room} imports the command"
        if parts[0] != "bank" or len(parts) == 1:
            continue
        target = parts[1]
        if target not in MAY_IMPORT[room] | {room, "__version__"}:
            yield line, f"{room} imports {name}; it may import {sorted(MAY_IMPORT[room])}"


def stays_in_its_room(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Each outside thing (processes, SQL, HTTP, terminal) is known to one room."""
    room = room_of(path)
    for line, name in imports(path, tree):
        rooms = ONLY_IN.get(name.split(".")[0])
        if rooms is not None and room not in rooms:
            yield line, f"{room} imports {name}; only {sorted(rooms)} may"
    if room in ONLY_IN["subprocess"]:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attr) if starts_a_process(attr):
                yield node.lineno, f"{room} uses os.{attr}; only bank/process.py starts processes"
            case ast.Attribute(attr="create_subprocess_exec" | "create_subprocess_shell" as attr):
                yield node.lineno, f"{room} uses {attr}; only bank/process.py starts processes"
            case ast.ImportFrom(module="os", names=names):
                for alias in names:
                    if starts_a_process(alias.name):
                        yield node.lineno, f"{room} imports os.{alias.name}"


def starts_a_process(name: str) -> bool:
    """Say whether a name of module os starts a process: system, execv, spawnlp, ..."""
    return name in STARTS_A_PROCESS or name.startswith(("exec", "spawn", "posix_spawn"))


def says_no_sql(path: str, tree: ast.Module) -> Iterator[Finding]:
    """SQL is said in the store: others call its functions."""
    room = room_of(path)
    if room == "store":
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="reader" | "writer"), attr=attr):
                if attr in TAKES_SQL:
                    yield node.lineno, f"{room} calls {attr} of the database"


def is_pure(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Ledger and policy: the standard library only, no clock, no input, no output."""
    if room_of(path) not in PURE_ROOMS:
        return
    for line, name in imports(path, tree):
        top = name.split(".")[0]
        if top in NOT_PURE_MODULES:
            yield line, f"imports {name}, and with it the world outside"
        elif top != "bank" and top not in sys.stdlib_module_names:
            yield line, f"imports {name}, which is not in the standard library"
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in NOT_PURE_CALLS:
                yield node.lineno, f"uses {name}"
            case ast.Attribute(attr=attr) if attr in CLOCK_READINGS:
                yield node.lineno, f"reads the clock: .{attr}; take the time as an argument"


def is_not_too_long(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A module and a function can be read in one go."""
    lines = max((node.end_lineno or 0 for node in tree.body), default=0)
    if lines > LONGEST_MODULE:
        yield 1, f"{path} has {lines} lines; at most {LONGEST_MODULE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {length} lines; at most {LONGEST_FUNCTION}"


def has_a_telling_name(path: str, tree: ast.Module) -> Iterator[Finding]:
    """A module's name says what is in it."""
    del tree
    for part in Path(path).with_suffix("").parts:
        if SAYS_NOTHING & set(part.split("_")):
            yield 1, f"the name {part!r} says nothing"


RULES: tuple[Rule, ...] = (
    goes_down,
    stays_in_its_room,
    says_no_sql,
    is_pure,
    is_not_too_long,
    has_a_telling_name,
)
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (*(ROOT / "bank").rglob("*.py"), *ROOT.glob("slurm_*.py"))
)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_file_keeps_the_rule(rule: Rule, path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = [f"{path}:{line}: {what}" for line, what in rule(path, tree)]
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
LONG_MODULE = "x = 1\n" * (LONGEST_MODULE + 1)


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (goes_down, "bank/ledger/x.py", "import bank.policy.prices"),
        (goes_down, "bank/ledger/x.py", "from bank import settings"),
        (goes_down, "bank/policy/x.py", "from ..store import post"),
        (goes_down, "bank/slurm/x.py", "from bank.store.post import post"),
        (goes_down, "bank/store/x.py", "def f():\n    from bank.slurm import sshare"),
        (goes_down, "bank/store/migrations/x.py", "from ...settings import load"),
        (goes_down, "bank/operations/x.py", "if TYPE_CHECKING:\n    from bank.cli import main"),
        (goes_down, "bank/cli/x.py", "from bank.store import read"),
        (goes_down, "bank/cli/x.py", "from bank.slurm import sshare"),
        (goes_down, "bank/errors.py", "from bank.ledger import entries"),
        (goes_down, "bank/settings.py", "from bank.store import read"),
        (goes_down, "bank/api/x.py", "from bank.web import page"),
        (goes_down, "bank/__init__.py", "from bank.errors import BankError"),
        (goes_down, "bank/attic/x.py", ""),
        (goes_down, "bank/operations/x.py", "import slurm_bank"),
        (goes_down, "slurm_bank.py", "from bank.operations import bank"),
        (stays_in_its_room, "bank/operations/x.py", "import subprocess"),
        (stays_in_its_room, "bank/operations/x.py", "from subprocess import run"),
        (stays_in_its_room, "bank/operations/x.py", "import os\nos.system('true')"),
        (stays_in_its_room, "bank/operations/x.py", "from os import execv"),
        (stays_in_its_room, "bank/web/x.py", "asyncio.create_subprocess_exec('true')"),
        (stays_in_its_room, "bank/cli/x.py", "import sqlite3"),
        (stays_in_its_room, "bank/operations/x.py", "def f():\n    import sqlalchemy.exc"),
        (stays_in_its_room, "bank/operations/x.py", "import dataset"),
        (stays_in_its_room, "bank/operations/x.py", "from rich.table import Table"),
        (says_no_sql, "bank/operations/x.py", "writer.query('SELECT 1')"),
        (says_no_sql, "bank/policy/x.py", "def f(reader):\n    return reader.stream('SELECT 1')"),
        (stays_in_its_room, "bank/cli/x.py", "import httpx"),
        (is_pure, "bank/ledger/x.py", "import time"),
        (is_pure, "bank/ledger/x.py", "import os.path"),
        (is_pure, "bank/policy/x.py", "from random import random"),
        (is_pure, "bank/policy/x.py", "import socket"),
        (is_pure, "bank/policy/x.py", "import docopt"),
        (is_pure, "bank/ledger/x.py", "from datetime import datetime\ndatetime.now()"),
        (is_pure, "bank/ledger/x.py", "import datetime\ndatetime.date.today()"),
        (is_pure, "bank/policy/x.py", "open('/etc/passwd')"),
        (is_not_too_long, "bank/cli/x.py", LONG_FUNCTION),
        (is_not_too_long, "bank/cli/x.py", LONG_MODULE),
        (has_a_telling_name, "bank/cli/utils.py", ""),
        (has_a_telling_name, "bank/store/db_helpers.py", ""),
        (has_a_telling_name, "bank/common/x.py", ""),
    ],
)
def test_rule_catches(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bank/ledger/x.py", "import json\nfrom bank.errors import BankError\nfrom . import books"),
        ("bank/policy/x.py", "from datetime import date\nfrom bank.ledger import entries"),
        ("bank/process.py", "import subprocess\nimport os\nos.killpg(1, 9)"),
        ("bank/store/x.py", "import sqlite3\nfrom bank.policy import tree"),
        ("bank/store/x.py", "writer.query('SELECT 1')"),
        ("bank/operations/x.py", "from bank import __version__\nfrom bank.store import read"),
        ("bank/cli/x.py", "import rich\nfrom bank.operations import bank"),
        ("slurm_bank.py", "from bank.cli.main import main"),
    ],
)
def test_rules_leave_alone(path: str, source: str) -> None:
    tree = ast.parse(source)
    assert [found for rule in RULES for found in rule(path, tree)] == []


def test_command_line_starts_without_what_is_slow_to_load() -> None:
    script = "import sys, bank.cli.main; print(*sorted(sys.modules))"
    argv = [sys.executable, "-c", script]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert loaded & set(NOT_AT_START) == set()
