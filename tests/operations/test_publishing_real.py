"""What is published of a real cluster: numbers, members and coordinators are Slurm's own."""

import pwd
import sqlite3
from pathlib import Path

from bank.slurm import sacctmgr
from tests.lab import Lab
from tests.operations.branch import ADA, BOB, Branch


def shown(directory: Path, user: str) -> dict[str, set[str | None]]:
    """Return the open accounts in a user's copy, each with whose use it names."""
    path = directory / f"{pwd.getpwnam(user).pw_uid}.db"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return {
            name: {
                user_name
                for (user_name,) in connection.execute(
                    "SELECT DISTINCT user_name FROM entry WHERE account_id = ?", (account_id,)
                )
            }
            for account_id, name in connection.execute(
                "SELECT account_id, name FROM account WHERE is_open"
            )
        }
    finally:
        connection.close()


def test_members_and_coordinators_are_as_slurm_has_them(lab: Lab, public_directory: Path) -> None:
    published = public_directory / "published"
    branch = Branch(lab, public_directory, published=str(published))
    branch.open("pubdept", 1000, users=())
    branch.open("pubproj", 100, users=(ADA, BOB), parent="pubdept")
    branch.open("pubown", 100, users=(ADA,))
    branch.run("pubproj", cpus=1)
    branch.enforce()
    # What a first reading finds is by name for its user alone as well.
    assert shown(published, ADA) == {"pubproj": {None, ADA}, "pubown": {None}}
    assert shown(published, BOB) == {"pubproj": {None, "others"}}
    lab.run("sacctmgr", "-i", "add", "coordinator", "account=pubdept", f"names={BOB}")
    coordinators = sacctmgr.read_coordinators(lab.run(*sacctmgr.coordinators_arguments()))
    # Slurm itself says it of all below.
    assert coordinators == {"pubdept": [BOB], "pubproj": [BOB]}
    branch.enforce()
    assert shown(published, BOB) == {"pubdept": {None}, "pubproj": {None, ADA}}
    assert shown(published, ADA) == {"pubproj": {None, ADA}, "pubown": {None}}
    lab.run("sacctmgr", "-i", "remove", "coordinator", "account=pubdept", f"names={BOB}")
    lab.run("sacctmgr", "-i", "remove", "user", f"name={BOB}", "account=pubproj")
    branch.enforce()
    assert not (published / f"{pwd.getpwnam(BOB).pw_uid}.db").exists()
    assert branch.warnings == []
