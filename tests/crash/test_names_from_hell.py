"""Names from hell beside banked accounts: the pass is right, or says what it cannot read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.world import World, check_books, make_world
from tests.lab import CommandFailed, Lab

# Slurm takes them all; those with a line break it takes too, see below.
HELL = [
    "a|b",
    "a b",
    "(x)",
    "a username= partition= priority=0",
    "x(3) lft=1 ",
    " leading",
    "ümläut",
    "中文",
    # Slurm makes this of a quote.
    "quo`te",
    "semi;colon",
    "$(reboot)",
    "../../etc",
    "-n",
    "*",
    "%s%n",
]


def _bank(lab: Lab, directory: Path, **settings: object) -> World:
    lab.make_accounts(["good", "spent"], users=["lab-ada"])
    world = make_world(lab, directory, **settings)
    world.do("insert", "good", "10")
    world.do("insert", "spent", "0.5")
    lab.submit("spent", partition="fast", command="sleep 1")
    lab.wait_for(lambda: not lab.run("squeue", "-h"), "the job to end")
    return world


@pytest.fixture
def hell(lab: Lab) -> Iterator[Callable[[str], None]]:
    """Make accounts of any name, and remove them: the cluster's own cleaning cannot read them."""
    made = []

    def make(name: str) -> None:
        lab.run("sacctmgr", "-i", "add", "account", f"name={name}", f"cluster={lab.cluster}")
        made.append(name)

    yield make
    for name in made:
        lab.run("sacctmgr", "-i", "delete", "account", f"name={name}", check=False)
    lab.wait_for(
        lambda: (
            set(lab.run("sshare", "-n", "-P", "-o", "Account").split()) <= {"good", "root", "spent"}
        ),
        "the names to be gone",
    )


def test_pass_goes_on_right_beside_names_from_hell(
    lab: Lab, tmp_path: Path, hell: Callable[[str], None]
) -> None:
    world = _bank(lab, tmp_path, UNKNOWN_ACCOUNTS="hold")
    taken = []
    for name in HELL:
        try:
            hell(name)
        except CommandFailed as error:
            # What Slurm itself refuses cannot be there.
            print(f"Slurm refuses {name!r}: {error}")
        else:
            taken.append(name)
    assert len(taken) > len(HELL) // 2
    ended = world.run("enforce")
    assert ended.status == 0, ended
    check_books(world)
    for name in taken:
        assert name.strip() in ended.out, name
    shown = world.slurm()
    assert shown["good"] == (None, 0)
    assert shown["spent"][0] == 0
    used = dict(world.query("SELECT name, used FROM account WHERE used > 0"))
    assert used == {"spent": shown["spent"][1]}
    # Nothing was done to those that are not banked, whatever the setting says.
    banked = {"good", "spent"}
    assert {name: limit for name, (limit, _) in shown.items() if limit is not None} == {"spent": 0}
    assert {row[0] for row in world.query("SELECT name FROM account")} == banked


def test_line_break_in_a_name_stops_the_pass_and_is_named(
    lab: Lab, tmp_path: Path, hell: Callable[[str], None]
) -> None:
    world = _bank(lab, tmp_path)
    hell("two\nlines")
    before = world.query("SELECT count(*) FROM entry")
    ended = world.run("enforce")
    assert ended.status == 76, ended
    assert ended.err.count("\n") == 1
    assert "two" in ended.err
    assert "must be renamed first" in ended.err
    assert world.query("SELECT count(*) FROM entry") == before
    lab.run("sacctmgr", "-i", "delete", "account", "name=two\nlines")
    lab.wait_for(lambda: "two" not in lab.run("sshare", "-n", "-P", "-o", "Account"), "it to go")
    assert world.run("enforce").status == 0
    check_books(world)


REFUSED = [
    *("a|b", "a b", "(x)", " leading", "trailing ", "ümläut", "quo'te", "semi;colon", "$(reboot)"),
    *("../../etc", "*", "%s%n", "two\nlines", "a,b", "a=b", "root", "ROOT", "@x", ".x", "x" * 300),
    *("\u0130stanbul", "\uff41", "tab\t", "nul\x01", ""),
]


def test_command_refuses_names_from_hell_by_name(lab: Lab, tmp_path: Path) -> None:
    world = make_world(lab, tmp_path)
    for name in REFUSED:
        for command in (["insert", name, "5"], ["get_sus", name], ["hold", name]):
            ended = world.run(*command)
            assert ended.status == 65, (command, ended)
            assert ended.err.count("\n") == 1, ended
            assert ("root" if name == "ROOT" else repr(name[:80])[1:-1]) in ended.err, ended
    assert world.query("SELECT name FROM account") == []
