"""Trees of accounts on a real cluster: what children use counts for those above them, once."""

from bank.operations import movements
from bank.operations.commands import Command
from tests.lab.accounts import usage
from tests.operations.branch import BOB, Branch


def move(branch: Branch, name: str, parent: str) -> None:
    """Move an account below another, and wait until the controller shows it."""
    branch.sacctmgr("modify", "account", "where", f"name={name}", "set", f"parent={parent}")
    shown = f"ParentAccount={parent}("
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", f"accounts={name}")
    branch.lab.wait_for(lambda: shown in branch.lab.run(*question), f"{name} to be below {parent}")


def reset_usage(branch: Branch, name: str) -> None:
    movements.reset_usage(branch.bank, Command("reset_usage", name))
    assert branch.warnings == []


def test_children_count_once_for_all_above_them(branch: Branch) -> None:
    branch.open("top")
    branch.lab.make_account("mid", parent="top", users=[BOB])
    branch.open("low", parent="mid")
    top, mid, low = branch.run_all([("top", "lab-ada", 1), ("mid", BOB, 2), ("low", "lab-ada", 4)])
    done = branch.enforce()
    assert done.unknown == []
    ran = {"top": branch.ran(top), "mid": branch.ran(mid, cpus=2), "low": branch.ran(low, cpus=4)}
    branch.agrees(**ran)
    assert branch.used("top") == sum(ran.values())
    assert branch.used("low") == ran["low"]


def test_a_moved_account_counts_where_it_is(branch: Branch) -> None:
    for name in ("old", "new"):
        branch.open(name, users=[])
    branch.open("kid", parent="old")
    first = branch.ran(branch.run("kid"))
    branch.enforce()
    assert [branch.used(name) for name in ("old", "new", "kid")] == [first, 0, first]
    move(branch, "kid", "new")
    branch.enforce()
    assert [branch.used(name) for name in ("old", "new", "kid")] == [0, first, first]
    second = branch.ran(branch.run("kid", cpus=2), cpus=2)
    move(branch, "kid", "old")
    branch.enforce()
    both = first + second
    assert [branch.used(name) for name in ("old", "new", "kid")] == [both, 0, both]
    branch.agrees(old=0, new=0, kid=both)
    move(branch, "kid", "root")
    branch.enforce()
    assert [branch.used(name) for name in ("old", "new", "kid")] == [0, 0, both]
    branch.agrees(old=0, new=0, kid=both)


def test_an_own_new_period_of_a_child_gives_the_parent_nothing_back(branch: Branch) -> None:
    branch.open("rup", users=[])
    branch.open("rkid", parent="rup")
    first = branch.ran(branch.run("rkid"))
    branch.enforce()
    reset_usage(branch, "rkid")
    assert branch.lab.raw_usage("rkid") == 0
    assert [branch.used(name) for name in ("rup", "rkid")] == [first, 0]
    second = branch.ran(branch.run("rkid", cpus=2), cpus=2)
    branch.enforce()
    assert [branch.used(name) for name in ("rup", "rkid")] == [first + second, second]
    branch.agrees(rup=0, rkid=first + second)


def test_a_new_period_of_a_parent_leaves_the_childrens_alone(branch: Branch) -> None:
    branch.open("pup")
    branch.open("pkid", parent="pup")
    own, kid = branch.run_all([("pup", "lab-ada", 1), ("pkid", "lab-ada", 2)])
    branch.enforce()
    reset_usage(branch, "pup")
    # Slurm has set the child's counter to 0 as well; the bank must not lose or repeat anything.
    assert branch.lab.raw_usage("pkid") == 0
    first = branch.ran(kid, cpus=2)
    assert [branch.used(name) for name in ("pup", "pkid")] == [0, first]
    second = branch.ran(branch.run("pkid", cpus=3), cpus=3)
    branch.enforce()
    assert [branch.used(name) for name in ("pup", "pkid")] == [second, first + second]
    branch.agrees(pup=branch.ran(own), pkid=first + second)


def test_a_period_closed_before_the_move_does_not_burden_the_new_parent(branch: Branch) -> None:
    for name in ("left", "joined"):
        branch.open(name, users=[])
    branch.open("mover", parent="left")
    closed = branch.ran(branch.run("mover"))
    branch.enforce()
    reset_usage(branch, "mover")
    present = branch.ran(branch.run("mover", cpus=2), cpus=2)
    branch.enforce()
    move(branch, "mover", "joined")
    branch.enforce()
    assert [branch.used(name) for name in ("left", "joined", "mover")] == [0, present, present]
    branch.agrees(left=0, joined=0, mover=closed + present)


def test_a_parent_is_held_for_what_its_children_used(branch: Branch) -> None:
    branch.open("hup", 2, users=[])
    branch.lab.make_account("hkid", parent="hup", users=[BOB])
    branch.run("hkid", BOB, cpus=3)
    done = branch.enforce()
    assert done.held_now == ["hup"]
    waiting = branch.lab.submit("hkid", BOB, partition="fast")
    branch.lab.wait_for_reason(waiting, "AssocGrpCPUMinutesLimit")


def test_a_deleted_and_a_moved_account_in_one_pass(branch: Branch) -> None:
    branch.open("house", users=[])
    branch.open("shed", users=[])
    branch.lab.make_account("gone", parent="house", users=[BOB])
    branch.open("goes", parent="house")
    branch.run_all([("gone", BOB, 1), ("goes", "lab-ada", 1)])
    branch.enforce()
    before = branch.used("house")
    gone, goes = branch.run_all([("gone", BOB, 2), ("goes", "lab-ada", 2)])
    branch.sacctmgr("delete", "account", "where", "name=gone")
    branch.lab.wait_for(lambda: ("gone", "") not in usage(branch.lab), "it to be gone")
    move(branch, "goes", "shed")
    branch.let_second_pass()
    branch.enforce()
    stays, went = branch.charged("gone"), branch.charged("goes")
    assert stays + went == before + branch.ran(gone, goes, cpus=2)
    assert [branch.used(name) for name in ("house", "shed")] == [stays, went]
    branch.agrees(gone=stays, goes=went, house=0, shed=0)
