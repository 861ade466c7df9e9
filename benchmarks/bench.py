"""What the bank costs, as ratios in one run, on a real cluster of one machine."""

import os
import platform
import re
import sqlite3
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from bank.slurm import assoc_mgr
from benchmarks import million
from benchmarks.hooks import hooks
from benchmarks.measure import Action, Row, both, compare, machine, peak, process
from tests.lab import JOB_USERS, Lab
from tests.predecessor.old_file import make_old_database, old_row

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
COMMANDS = ("scontrol", "sshare", "sacctmgr", "sacct", "squeue")
HELD = 200
OLD_WAY = 20
_LONGEST_SECONDS = 5.0
_LONGEST_PROOF_SECONDS = 20.0
_LONGEST_LOOK_SECONDS = 0.15
MILLION = "million.db"
_MOST_MEGABYTES = 300
NATIVE_LIMIT = "GrpTRESMins=billing"


class Bench:
    """A cluster with accounts, and a bank that has them all."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Put the bank's files into `directory`."""
        self.lab = lab
        self.directory = directory
        self.settings = directory / "settings.py"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "SLURM_CONF": str(lab.slurm_conf),
            "SLURM_BANK_SETTINGS": str(self.settings),
        }
        self.write_settings()
        self.bank("migrate")()

    def write_settings(self, **values: object) -> None:
        """Write the settings of the bank; those that are named differ from the defaults."""
        lines = {"DATABASE": str(self.directory / "bank.db"), "LOGFILE": "", **values}
        text = "".join(f"{name} = {value!r}\n" for name, value in lines.items())
        self.settings.write_text(text)
        self.settings.chmod(0o600)

    def bank(self, *argv: str) -> Action:
        """Return what runs one command of the bank."""
        return process([sys.executable, str(ROOT / "slurm_bank.py"), *argv], self.environment)

    def slurm(self, *argv: str) -> Action:
        """Return what runs one command of Slurm."""
        return process([f"/usr/bin/{argv[0]}", *argv[1:]], self.environment)

    def python(self, code: str) -> Action:
        """Return what starts Python and runs a line."""
        return process([sys.executable, "-c", code], self.environment)

    def add_accounts(self, prefix: str, count: int, allocation_su: int) -> list[str]:
        """Make accounts in Slurm with a user each, and let a pass take them into the bank."""
        names = [f"{prefix}{number:05d}" for number in range(count)]
        self.lab.make_accounts(names, users=[JOB_USERS[0]])
        self.write_settings(
            UNKNOWN_ACCOUNTS="allocate", PROJECT_PREFIX=prefix, DEFAULT_ALLOCATION=allocation_su
        )
        self.bank("enforce")()
        self.write_settings()
        return names


def start_up(bench: Bench) -> Iterator[Row]:
    """Commands that people wait for."""
    python = bench.python("import sqlite3")
    bare = "python3 -c 'import sqlite3'"
    for verb in ("get_sus", "balance"):
        found = compare(bench.bank(verb, "acc00000"), python, 31)
        yield _row(f"`{verb}` of one account in 1,000", found, bare, "3")


def passes(bench: Bench) -> Iterator[Row]:
    """A pass that finds nothing to do."""
    sshare = bench.slurm("sshare", "-anP", "-o", "Account,User,RawUsage,GrpTRESMins")
    against = both(sshare, bench.python("import sqlite3"))
    found = compare(bench.bank("enforce"), against, 11)
    yield _row(
        "a pass over 1,000 accounts, nothing to do", found, "`sshare -anP` and bare Python", "3"
    )


def holds(bench: Bench) -> Iterator[Row]:
    """A pass that must hold many accounts at once."""
    names = bench.add_accounts("held", HELD, 0)
    release = bench.slurm(*_change(bench, names, "GrpTRESMins=cpu=-1"))
    hold = bench.slurm(*_change(bench, names, "GrpTRESMins=cpu=0"))
    found = compare(both(release, bench.bank("enforce")), both(release, hold), 7)
    yield _row(
        f"a pass that holds {HELD} accounts (and their release by hand)",
        found,
        "one `sacctmgr modify` for them (and the same release)",
        "",
    )
    release()
    calls = _sacctmgr_calls(bench)
    yield Row(
        f"changing `sacctmgr` calls to hold {HELD} accounts", calls, "one", 1, calls, "1", "calls"
    )


def _change(bench: Bench, names: Sequence[str], change: str) -> list[str]:
    where = [f"cluster={bench.lab.cluster}", f"account={','.join(names)}"]
    return ["sacctmgr", "-i", "modify", "account", "where", *where, "set", change]


def _sacctmgr_calls(bench: Bench) -> int:
    """Count the changing calls of one pass, with commands that write down how they were called."""
    directory = bench.directory / "bin"
    directory.mkdir()
    log = bench.directory / "calls"
    for name in COMMANDS:
        path = directory / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\nexec /usr/bin/{name} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    bench.write_settings(SLURM_BIN=str(directory))
    bench.bank("enforce")()
    bench.write_settings()
    return sum(line.startswith("sacctmgr -i modify") for line in log.read_text().splitlines())


def limits(bench: Bench, names: Sequence[str], where: str, allowed: str) -> Iterator[Row]:
    """Another limit of its own for each account, which no single call can write."""
    # Never a value again: slurmdbd does not tell the controller of one that it already has.
    fresh = count(1_000)
    grants = bench.directory / "grants.csv"
    bench.write_settings(ENFORCEMENT="limit", LIMIT_TOLERANCE=0)

    def by_the_bank() -> None:
        wanted = {name: next(fresh) for name in names}
        lines = [f"{name},{su},2026-11-21,allocation," for name, su in wanted.items()]
        grants.write_text("\n".join(["account,su,start,kind,reason", *lines, ""]))
        bench.bank("import_csv", str(grants), "--yes")()
        if _native_limits(bench, names) != {name: su * 60 for name, su in wanted.items()}:
            raise RuntimeError(f"not all of {len(names)} limits reached the controller")

    def one_after_the_other() -> None:
        for name in names:
            bench.slurm(*_change(bench, [name], f"{NATIVE_LIMIT}={next(fresh)}"))()

    found = compare(by_the_bank, one_after_the_other, 3)
    yield _row(
        f"`import_csv` of another grant for each of {len(names)} accounts, so another native"
        f" limit of its own, {where}",
        found,
        "one `sacctmgr` for each, one after the other",
        allowed,
    )
    bench.write_settings()


def _native_limits(bench: Bench, names: Sequence[str]) -> dict[str, int | None]:
    output = bench.lab.run(*assoc_mgr.arguments(None, names))
    rows = assoc_mgr.read(output, bench.lab.cluster).accounts
    return {name: assoc_mgr.limit(row, NATIVE_LIMIT) for name, row in rows.items()}


def old_way(bench: Bench) -> Iterator[Row]:
    """What the predecessor's cron did: three processes for each account."""
    names = [f"acc{number:05d}" for number in range(OLD_WAY)]

    def run() -> None:
        for name in names:
            bench.python("import sqlite3")()
            question = f"cluster={bench.lab.cluster}"
            bench.slurm(
                *("sacctmgr", "-n", "show", "assoc", f"account={name}", question),
                "format=account,cluster",
            )()
            bench.slurm("sshare", "--noheader", f"--accounts={name}", "--format=RawUsage")()

    found = compare(run, bench.bank("enforce"), 3)
    yield _row(
        f"the predecessor's way for {OLD_WAY} accounts, without its imports",
        found,
        "a pass over 1,200 accounts",
        "",
    )


def growth(small: Bench, large: Bench) -> Iterator[Row]:
    """Ten times the accounts."""
    found = compare(large.bank("enforce"), small.bank("enforce"), 5)
    yield _row("a pass over 10,000 accounts, nothing to do", found, "the same over 1,000", "12")
    sshare = ("sshare", "-anP", "-o", "Account,User,RawUsage")
    found = compare(large.slurm(*sshare), small.slurm(*sshare), 3)
    yield _row("`sshare -anP` of 10,000 accounts", found, "the same of 1,000", "")


def moving_in(large: Bench) -> Iterator[Row]:
    """What is done with all accounts at once: taking over, dumping, and the way back."""
    path, dump = large.directory / "old.db", large.directory / "dump.json"
    rows = [old_row(number + 1, f"acc{number:05d}", 1_000) for number in range(10_000)]
    fresh = count(2_000)

    def forget_database() -> None:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
        make_old_database(path, rows)

    def forget_dump() -> None:
        for left in path.parent.glob(f"{dump.name}*"):
            left.unlink()

    def change_dump() -> None:
        dump.write_text(re.sub(r'_hrs": [0-9]+', f'_hrs": {next(fresh)}', dump.read_text()))
        Path(f"{dump}.sha256").unlink(missing_ok=True)

    large.write_settings(DATABASE=str(path))
    for what, prepare, command in (
        ("`migrate` takes over 10,000 rows of the predecessor", forget_database, ["migrate"]),
        ("`dump_json` of 10,000 accounts", forget_dump, ["dump_json", str(dump)]),
        (
            "`repopulate_json` of 10,000 accounts with other limits, and the pass after it",
            change_dump,
            ["repopulate_json", str(dump), "--yes"],
        ),
    ):
        seconds = []
        for _ in range(3):
            prepare()
            began = time.perf_counter()
            large.bank(*command)()
            seconds.append(time.perf_counter() - began)
        taken = statistics.median(seconds)
        found = (taken, _LONGEST_SECONDS, taken / _LONGEST_SECONDS)
        yield _row(what, found, "5 seconds", "1")
    large.write_settings()


def months(directory: Path) -> dict[str, str]:
    """Make a database that has been in use for long; return the environment of commands on it."""
    settings = directory / "million.py"
    database = directory / MILLION
    million.write(database, million.Size(), now=time.time_ns() // 1000)
    settings.write_text(f"DATABASE = {str(database)!r}\n")
    settings.chmod(0o600)
    return {"PATH": "/usr/bin:/bin", "SLURM_BANK_SETTINGS": str(settings)}


_BARE_QUERY = """
import sqlite3
database = sqlite3.connect("file:{path}?mode=ro", uri=True)
print(database.execute(
    "SELECT kind, user_name, sum(amount) FROM entry JOIN account USING (account_id)"
    " WHERE name = ? GROUP BY kind, user_name", ("{account}",)).fetchall())
"""


def looking(directory: Path, environment: dict[str, str]) -> Iterator[Row]:
    """What is told of one account where there are very many entries."""
    one = "acc00777"
    for verb, account, whose, is_promised in (
        ("statement", one, "one account in 10,000 with 1,000,000 entries", True),
        ("forecast", one, "one account in 10,000 with 1,000,000 entries", True),
        ("usage", one, "one account in 10,000 with 1,000,000 entries", True),
        ("statement", million.BUSY, "the busiest of these, with 10,201 entries", False),
        ("statement", million.DEPARTMENT, "one with 100 below it, with 20,298 entries", False),
    ):
        command = process([sys.executable, str(ROOT / "slurm_bank.py"), verb, account], environment)
        query = _BARE_QUERY.format(path=directory / MILLION, account=account)
        bare = process([sys.executable, "-c", query], environment)
        found = compare(command, bare, 31)
        what = f"`{verb}` of {whose}"
        yield _row(what, found, "bare Python that sums its entries up", "")
        if is_promised:
            seconds = found.seconds
            limit = (seconds, _LONGEST_LOOK_SECONDS, seconds / _LONGEST_LOOK_SECONDS)
            yield _row(what, limit, "150 ms", "1")


def proof(environment: dict[str, str]) -> Iterator[Row]:
    """The proof of the same database, and what memory it takes."""
    argv = [sys.executable, str(ROOT / "slurm_bank.py"), "verify"]
    measured = [peak(argv, environment) for _ in range(3)]
    seconds = statistics.median(one.seconds for one in measured)
    megabytes = max(one.megabytes for one in measured)
    what = "`verify` of 10,000 accounts and 1,000,000 entries"
    found = (seconds, _LONGEST_PROOF_SECONDS, seconds / _LONGEST_PROOF_SECONDS)
    yield _row(what, found, "20 seconds", "1")
    ratio = megabytes / _MOST_MEGABYTES
    yield Row("most memory of that", megabytes, "300 MB", _MOST_MEGABYTES, ratio, "1", "MB")


def _row(what: str, found: tuple[float, float, float], against: str, allowed: str) -> Row:
    seconds, against_seconds, ratio = found
    return Row(what, seconds * 1000, against, against_seconds * 1000, ratio, allowed)


@contextmanager
def plain_bench() -> Iterator[Bench]:
    """Start a small cluster whose messages wait for acknowledgements, as a site's do."""
    directory = tempfile.TemporaryDirectory(prefix="slurm-bank-bench-")
    with directory as name, Lab(f"bench_plain_{os.getpid()}", is_quick=False) as lab:
        yield Bench(lab, Path(name))


@contextmanager
def benches() -> Iterator[tuple[Bench, Bench]]:
    """Start two clusters, one with 1,000 accounts and one with 10,000."""
    with tempfile.TemporaryDirectory(prefix="slurm-bank-bench-") as name:
        small_directory, large_directory = Path(name) / "small", Path(name) / "large"
        small_directory.mkdir()
        large_directory.mkdir()
        pid = os.getpid()
        with Lab(f"bench_small_{pid}") as one, Lab(f"bench_large_{pid}") as other:
            small, large = Bench(one, small_directory), Bench(other, large_directory)
            _say("making 1,000 accounts")
            small.add_accounts("acc", 1_000, 1_000)
            _say("making 10,000 accounts; this takes about a minute")
            large.add_accounts("acc", 10_000, 1_000)
            yield small, large


def _say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| what | ms | against | ms | ratio | allowed |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        one = f"{row.milliseconds:.0f} {row.unit}".rstrip()
        other = "" if row.unit else f"{row.against_milliseconds:.0f}"
        lines.append(
            f"| {row.what} | {one} | {row.against} | {other} | {row.ratio:.2f} |"
            f" {row.allowed or '-'} |"
        )
    return "\n".join(lines)


def document(rows: Sequence[Row]) -> str:
    """Return what stands in docs/benchmarks.md."""
    slurm = subprocess.run(
        ["/usr/sbin/slurmctld", "-V"], check=True, capture_output=True, text=True
    ).stdout.strip()
    versions = f"{slurm}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"""# Benchmarks

`scripts/bench` starts two private clusters, one with 1,000 accounts and one with 10,000, each
account with a user, then a small one where each message to slurmdbd is delayed as on a site's
network, then two of which one has the hooks, and prints this table; `scripts/bench --write` keeps
it here. Two commands are timed in turn, as whole processes; a figure is the median, a ratio the
median of the ratios pair by pair. Compare the ratios: milliseconds depend on the machine and on
what else it does.

{machine()}; {versions}.

{table(rows)}

Reading all meters takes most of a pass. It is one `scontrol show assoc_mgr`, because the time of
`sshare -a` grows with the square of the associations, as its row shows.
"""


def main(argv: Sequence[str]) -> int:
    """Run all benchmarks; the exit status says whether all ratios are as promised."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="slurm-bank-bench-") as name:
        _say("making a million entries; this takes about a minute")
        environment = months(Path(name))
        rows += looking(Path(name), environment)
        rows += proof(environment)
    with benches() as (small, large):
        _say("measuring")
        for part in (start_up(small), passes(small), growth(small, large), moving_in(large)):
            rows += part
        rows += holds(small)
        rows += old_way(small)
        some = [f"acc{number:05d}" for number in range(HELD)]
        rows += limits(small, some, "quick messages to slurmdbd", "1")
    with plain_bench() as plain:
        some = [f"lim{number:05d}" for number in range(OLD_WAY)]
        plain.lab.make_accounts(some)
        rows += limits(plain, some, "each message delayed by 43 ms", "0.25")
    rows += hooks()
    sys.stdout.write(table(rows) + "\n")
    if "--write" in argv:
        DOCUMENT.write_text(document(rows))
    above = [row.what for row in rows if row.allowed and row.ratio > float(row.allowed)]
    for what in above:
        _say(f"above what is allowed: {what}")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
