"""A bank on a real cluster, and what must be true of it whatever happened."""

# ruff: noqa: ANN401 -- what is only passed on may be anything

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bank.operations import upkeep
from bank.operations.bank import Bank
from bank.settings import load
from tests.crash import steps
from tests.crash.steps import Act, Ended, worth_killing
from tests.lab import Lab

SU = 3600
# GrpTRESMins of cpu and of billing.
Limits = tuple[int | None, int | None]
Whose = TypeVar("Whose")


class World(NamedTuple):
    """A bank and its cluster.

    Attributes:
        lab: the cluster.
        directory: holds settings, database and log.
        bank: for questions asked in this process.
    """

    lab: Lab
    directory: Path
    bank: Bank

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.directory / "settings.py"

    @property
    def database(self) -> Path:
        """The database file."""
        return self.directory / "bank.db"

    def run(self, *argv: str, **options: Any) -> Ended:
        """Run one command in a child; see `steps.start` for the options."""
        return steps.command(self.settings, *argv, **options)

    def do(self, *argv: str, **options: Any) -> Ended:
        """Run one command that must succeed and say nothing on standard error."""
        ended = self.run(*argv, **options)
        # Where jobs ended within the second of a reset, what cannot be known is said.
        said = [line for line in ended.err.splitlines() if "cannot be known" not in line]
        assert (ended.status, said) == (0, []), (argv, ended)
        return ended

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def files(self) -> dict[Path, bytes]:
        """Return the database and the log, with all that is kept beside them."""
        return {path: path.read_bytes() for path in self.directory.glob("bank.*")}

    def put_back(self, files: Mapping[Path, bytes]) -> None:
        """Let database and log be as they were, and nothing else be beside them."""
        for path in self.directory.glob("bank.*"):
            path.unlink()
        for path, content in files.items():
            path.write_bytes(content)

    def slurm(self) -> dict[str, tuple[int | None, int]]:
        """Return GrpTRESMins=cpu and RawUsage of each account, as the controller has them."""
        text = self.lab.look("sshare", "-n", "-P", "-o", "Account,User,GrpTRESMins,RawUsage")
        found: dict[str, tuple[int | None, int]] = {}
        for line in text.splitlines():
            account, user, limits, raw = line.rsplit("|", 3)
            parts = dict(part.split("=") for part in limits.split(",") if part)
            if not user:
                found[account.strip()] = (int(parts["cpu"]) if "cpu" in parts else None, int(raw))
        return found

    def limits(self) -> dict[str, int | None]:
        """Return GrpTRESMins=cpu of each account, as the controller has it."""
        return {name: limit for name, (limit, _) in self.slurm().items()}

    def use(self, names: Sequence[str]) -> None:
        """Let accounts use something, as far as they have used nothing, and wait for the end."""
        for name, (_, raw) in self.slurm().items():
            if name in names and not raw:
                self.lab.submit(name, partition="fast", command="sleep 1")

        def have_used() -> bool:
            shown = self.slurm()
            return all(shown[name][1] for name in names)

        self.lab.wait_for(have_used, "usage")
        self.lab.wait_for(lambda: not self.lab.run("squeue", "-h"), "all jobs to end")

    def set_limit(self, account: str, minutes: int) -> None:
        """Set an account's own limit, -1 for none, and wait until the controller shows it."""
        where = ("where", f"account={account}", f"cluster={self.lab.cluster}")
        # What was killed may have left slurmdbd with this value and not told the controller; only
        # what is new to slurmdbd is passed on.
        for value in (4242, minutes):
            argv = ("modify", "account", *where, "set", f"GrpTRESMins=cpu={value}")
            self.lab.run("sacctmgr", "-i", *argv)
        wanted = None if minutes < 0 else minutes
        self.lab.wait_for(
            lambda: self.limits()[account] == wanted, f"{account} to have the limit {minutes}"
        )


def make_world(lab: Lab, directory: Path, **settings: object) -> World:
    """Make settings and an empty database; settings as in the file, by name."""
    values: dict[str, object] = {
        "DATABASE": str(directory / "bank.db"),
        "LOGFILE": str(directory / "bank.log"),
        "SLURM_CONF": str(lab.slurm_conf),
        "SLURM_TIMEOUT_SECONDS": 20,
        **settings,
    }
    path = directory / "settings.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    path.chmod(0o600)
    world = World(lab, directory, Bank(load(str(path)), "tester", print))
    world.do("migrate")
    return world


def check_books(world: World) -> None:
    """Prove that no SU appeared or disappeared: by the bank's proof, and by adding up anew."""
    assert upkeep.verify(world.bank) == []
    came, used = world.query(
        "SELECT coalesce(sum(CASE WHEN source = 'treasury' THEN amount ELSE 0 END), 0)"
        " - coalesce(sum(CASE WHEN target = 'treasury' THEN amount ELSE 0 END), 0),"
        " coalesce(sum(CASE WHEN target = 'used' THEN amount ELSE 0 END), 0)"
        " - coalesce(sum(CASE WHEN source = 'used' THEN amount ELSE 0 END), 0) FROM entry"
    )[0]
    totals = world.query("SELECT coalesce(sum(granted), 0), coalesce(sum(used), 0) FROM account")
    assert totals == [(came, used)]
    # What one account gave, another took.
    through = (
        "SELECT coalesce(sum((target = 'clearing') * amount - (source = 'clearing') * amount), 0)"
    )
    assert world.query(f"{through} FROM entry") == [(0,)]


def check_slurm(world: World, original: Callable[[str], int | None]) -> None:
    """Prove that Slurm shows what the books say, and that nothing is left half done.

    Args:
        world: after a pass.
        original: the limit that each account had before the bank touched it.
    """
    rows = world.query(
        "SELECT name, is_open, hold_reason IS NOT NULL,"
        " credit_limit IS NOT NULL AND granted + credit - used <= 0 FROM account"
    )
    held = {name for name, is_open, by_hand, empty in rows if by_hand or (is_open and empty)}
    shown = world.limits()
    for name, *_ in rows:
        assert shown[name] == (0 if name in held else original(name)), name
    records = world.query(
        "SELECT account, intent, confirmed_at IS NOT NULL, original FROM slurm_limit"
    )
    assert sorted(records, key=lambda record: str(record[0])) == [
        (name, "hold", 1, original(name)) for name in sorted(held)
    ]
    assert world.query("SELECT account FROM usage_reset") == []
    assert world.query("SELECT count(*) FROM place WHERE held_by_others") == [(0,)]


def left_behind(world: World) -> str:
    """Return all that decides how the next command goes on, without times and numbers.

    What was healed once need not be healed again.
    """
    tables = world.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    counts = [(name, world.query(f"SELECT count(*) FROM {name}")) for (name,) in tables]  # noqa: S608
    shown = world.query("SELECT * FROM sbank ORDER BY 1") if ("sbank",) in tables else []
    changes = ("slurm_limit",) in tables and world.query(
        "SELECT account, intent, confirmed_at IS NULL FROM slurm_limit ORDER BY account"
    )
    files = {re.sub("[0-9]+", "", path.name) for path in world.directory.iterdir()}
    return repr((counts, shown, changes, world.slurm(), sorted(files)))


def killed_at_each(
    world: World, argv: Sequence[str], moments: Sequence[int], begin: Act
) -> Iterator[tuple[int, Ended]]:
    """Kill a command at each of these moments, and prove each time that no SU is lost.

    Args:
        world: where.
        argv: the command line, without the name of the command.
        moments: see `worth_killing`.
        begin: brings all to where the command begins.

    Yields:
        The moment, and how the command ended.
    """
    for moment in moments:
        begin()
        ended = world.run(*argv, at=moment)
        print(f"moment {moment}: before {ended.trace[-1]}")
        # What cannot be known is said and logged in one run and not in the next.
        assert ended.status is None or moment not in worth_killing(ended.trace)
        check_books(world)
        yield moment, ended
        ended.wait_for_left()


def set_fenced(
    world: World,
    wanted: Mapping[Whose, Limits],
    shown: Callable[[World], Mapping[Whose, Limits]],
    modify: Callable[[World, Sequence[Whose], Limits], None],
) -> None:
    """Give all these limits, whatever killed commands have left under way.

    slurmdbd tells the controller only of what is new to it, and in order: once all show a value
    that nobody else sets, nothing older comes any more.

    Args:
        world: where.
        wanted: the limits of all.
        shown: returns what each has, as the controller has it.
        modify: gives some of them a limit.
    """
    fence: Limits = (4242, 4242)
    modify(world, list(wanted), fence)
    world.lab.wait_for(lambda: set(shown(world).values()) == {fence}, "the fence")
    for values in set(wanted.values()):
        modify(world, [whose for whose in wanted if wanted[whose] == values], values)
    world.lab.wait_for(lambda: shown(world) == wanted, f"the limits {wanted}")
