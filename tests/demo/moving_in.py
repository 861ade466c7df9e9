"""What the demo shows of moving in: a predecessor's database with holds already set in Slurm.

The table is in the form recorded of the predecessor (tests/predecessor/recorded); its holds are set
by the command that it runs.
"""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from tests.demo.story import USER, Demo, check, line_of, say, settings_beside, title
from tests.predecessor.old_file import make_old_database, old_row

SU = 3600
LONG = "climate-model-of-the-whole-earth"
CHOICES = "9,out:12,ours:topped"


class Old(NamedTuple):
    """An account of the predecessor.

    Attributes:
        seconds_fast, seconds_normal: what its jobs run for; a fast one uses an SU a second.
        limit: of its row; None for what it will have used, in whole SUs.
        is_held: whether the predecessor has held it.
        number: the defect by which it fares differently, None where it does not.
        new: what the first pass does.
    """

    seconds_fast: int
    seconds_normal: int
    limit: int | None
    is_held: bool
    number: int | None
    new: str


ACCOUNTS = {
    "chem": Old(2, 0, 1, True, None, "hold"),
    "fine": Old(1, 0, 500, False, None, "nothing"),
    "exact": Old(1, 0, None, False, 9, "hold"),
    "parts": Old(1, 1, None, False, 10, "hold"),
    "zero": Old(0, 0, 0, False, 11, "hold"),
    "topped": Old(1, 0, 900, True, 4, "release"),
    "vip": Old(1, 0, -1, True, 6, "release"),
    "upper": Old(2, 0, 1, False, 39, "hold"),
    "twice": Old(2, 0, 1, False, 44, "hold"),
    "broken": Old(0, 0, None, False, 52, "nothing"),
    LONG: Old(2, 0, 1, False, 69, "hold"),
    "stopped": Old(0, 0, 50, False, None, "stays held"),
}


def move_in(demo: Demo, jobs: list[int]) -> None:
    """Take over a predecessor's database, and show that each difference has a number.

    Args:
        demo: where.
        jobs: what `use_some` has submitted.
    """
    title("17. A database of the predecessor is taken over, with holds in force")
    wait_until_used(demo, jobs)
    raw = {name: demo.lab.raw_usage(name) for name in ACCOUNTS}
    database = leave_old_database(demo, raw)
    hold_as_before(demo)
    print("\nIts settings; the accounts of the chapters before are none of this bank's:\n")
    switch_settings(demo, database)
    look = "'SELECT * FROM sbank'"
    demo.type(f"sqlite3 -readonly {database} {look}")
    said = demo.type("./slurm_bank.py migrate", status=1)
    check(
        "what cannot be told is refused, with what to type",
        seen=said,
        is_so=all(f"--choose {choice}" in said for choice in CHOICES.split(",")),
    )
    report = demo.ask("migrate", "--dry-run", "--choose", CHOICES)
    said = demo.type(f"./slurm_bank.py migrate --choose {CHOICES}")
    check("it is taken over", seen=said, is_so=f"{database} was taken over: 12 accounts" in said)
    check_differences(report, raw)
    check_pass(demo, report)
    release_by_top_up(demo)


def use_some(demo: Demo) -> list[int]:
    """Submit jobs that use what the predecessor's accounts are to have used; return them."""
    say(f"for later: accounts of the predecessor ({', '.join(ACCOUNTS)})")
    say("and a few jobs that use SUs in them")
    demo.lab.make_accounts(list(ACCOUNTS), users=[USER])
    return [
        demo.lab.submit(name, USER, partition=partition, command=f"sleep {seconds}")
        for name, old in ACCOUNTS.items()
        for partition, seconds in (("fast", old.seconds_fast), ("normal", old.seconds_normal))
        if seconds
    ]


def wait_until_used(demo: Demo, jobs: list[int]) -> None:
    """Wait until the jobs have ended and are counted."""
    for job in jobs:
        demo.wait_for_job(job, "COMPLETED")
    demo.wait(
        lambda: all(is_counted(demo.lab.raw_usage(name), old) for name, old in ACCOUNTS.items()),
        "the controller to count what was used",
    )


def is_counted(raw: int, old: Old) -> bool:
    """Tell whether RawUsage holds all jobs of an account; one may run a second longer."""
    return raw // SU >= old.seconds_fast and raw % SU >= old.seconds_normal


def leave_old_database(demo: Demo, raw: dict[str, int]) -> Path:
    """Make the predecessor's database, its newest rows still in the log beside it."""
    directory = demo.settings.parent / "old"
    directory.mkdir(mode=0o700)
    database = directory / "slurm_bank.db"
    limits = {
        name: raw[name] // SU if old.limit is None else old.limit for name, old in ACCOUNTS.items()
    }
    told = {"max_limit_informed": 1}
    rows = [
        old_row(1, "chem", limits["chem"], upper_limit_informed=1, **told),
        old_row(2, "fine", limits["fine"]),
        old_row(3, "exact", limits["exact"]),
        old_row(4, "parts", limits["parts"]),
        old_row(5, "zero", 0),
        old_row(6, "topped", limits["topped"]),
        old_row(7, "vip", -1, **told),
        old_row(8, "twice", 5000),
        old_row(9, "twice", limits["twice"]),
        old_row(10, "Upper", limits["upper"]),
        old_row(11, LONG, limits[LONG]),
        old_row(12, "broken", None),
        old_row(13, "stopped", limits["stopped"]),
        old_row(14, "left-last-year", 100),
    ]
    make_old_database(database, rows)
    return database


def hold_as_before(demo: Demo) -> None:
    """Hold accounts by the predecessor's command, and one for a reason of an admin's."""
    held = [name for name, old in ACCOUNTS.items() if old.is_held]
    for name in (*held, "stopped"):
        where = f"where account={name} cluster={demo.lab.cluster}"
        demo.type(f"sacctmgr -iQ modify account {where} set GrpTRESMins=cpu=0")
    demo.wait(lambda: set(held_in_slurm(demo)) >= {*held, "stopped"}, "the holds to be in force")


def held_in_slurm(demo: Demo) -> list[str]:
    """Return the accounts that the controller holds."""
    shown = demo.lab.run("sshare", "-nP", "-o", "Account,User,GrpTRESMins")
    rows = [line.strip().split("|") for line in shown.splitlines()]
    return [name.strip() for name, user, limits in rows if not user and "cpu=0" in limits]


def switch_settings(demo: Demo, database: Path) -> None:
    """Give the bank the settings of the predecessor's installation."""
    changed = {"DATABASE": str(database), "LOGFILE": "", "ON_TOP_UP": "keep", "PUBLISHED": ""}
    demo.use_settings(settings_beside(demo, "moved_in_settings.py", **changed))


def check_differences(report: dict[str, Any], raw: dict[str, int]) -> None:
    """Check what fares differently against what was to be expected, and print each number."""
    compared = {one["account"]: one for one in report["compared"]}
    for name, old in ACCOUNTS.items():
        one = compared[name]
        seen = (one["number"], one["new"], one["is_same"])
        claim = f"{name}: the old check and the first pass do the same ({one['new']})"
        if old.number is not None:
            claim = f"{name}: {one['old']} before, {one['new']} now: defect {one['number']}"
        check(claim, seen=seen, is_so=seen == (old.number, old.new, old.number is None))
        if old.number is None and old.limit is not None:
            is_over = old.limit != -1 and raw[name] // SU > old.limit
            check(
                f"{name}: {raw[name]} billing-seconds of {old.limit} SUs, by the old rule",
                seen=one,
                is_so=is_over == (one["old"] == "hold"),
            )


def check_pass(demo: Demo, report: dict[str, Any]) -> None:
    """Check that the first pass does what was said, and that Slurm then shows it."""
    demo.type("./slurm_bank.py enforce")
    is_held = set(held_in_slurm(demo))
    for one in report["compared"]:
        name, new = one["account"], one["new"]
        if name in ACCOUNTS:
            should = new in ("hold", "stays held")
            check(
                f"{name} is {'' if should else 'not '}held",
                seen=new,
                is_so=(name in is_held) == should,
            )
    with sqlite3.connect(f"file:{report['database']}?mode=ro", uri=True) as database:
        numbers = dict(database.execute("SELECT account, id FROM sbank"))
    check(
        "rows keep their numbers",
        seen=numbers,
        is_so=numbers["chem"] == 1 and numbers["twice"] == 9,
    )


def release_by_top_up(demo: Demo) -> None:
    """Show whose hold a top-up ends."""
    for name in ("chem", "stopped"):
        demo.type(f"./slurm_bank.py add {name} 100 --reason 'topped up'")
    shown = demo.type("./slurm_bank.py list")
    held = held_in_slurm(demo)
    check("a top-up ends the hold that the predecessor set", seen=held, is_so="chem" not in held)
    check(
        "and not the one that somebody else did",
        seen=held,
        is_so="stopped" in held and line_of(shown, "stopped").endswith("by others, in Slurm"),
    )
    said = demo.type("./slurm_bank.py verify")
    check("every chain, total and reading fits", seen=said, is_so=said == "the books agree\n")
