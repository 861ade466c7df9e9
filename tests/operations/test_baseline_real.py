"""What was used before the bank came, on a real cluster."""

import pytest

from tests.lab.accounts import usage
from tests.operations.branch import ADA, BOB, Branch


def used_before(branch: Branch, name: str) -> tuple[int, int]:
    """Use an account, also by a user who is removed then; return what each of them used."""
    branch.lab.make_account(name, users=[ADA, BOB])
    stays, goes = branch.run_all([(name, ADA, 1), (name, BOB, 2)])
    branch.sacctmgr("delete", "user", "where", f"name={BOB}", f"account={name}")
    branch.lab.wait_for(lambda: (name, BOB) not in usage(branch.lab), "the user to be gone")
    return branch.ran(stays), branch.ran(goes, cpus=2)


def test_all_use_from_before_counts_also_of_removed_users(branch: Branch) -> None:
    stays, goes = used_before(branch, "ball")
    branch.insert("ball", 1000)
    assert sorted(branch.booked("ball")) == [("adjustment", goes), ("charge", stays)]
    later = branch.run("ball")
    branch.enforce()
    branch.agrees(ball=stays + goes + branch.ran(later))


def test_with_now_only_what_comes_counts(branch: Branch) -> None:
    branch.set(usage_baseline="now")
    used_before(branch, "bnow")
    branch.insert("bnow", 1000)
    assert branch.booked("bnow") == []
    # One who comes later and one who has used before.
    branch.sacctmgr("add", "user", BOB, "account=bnow")
    branch.lab.wait_for(lambda: ("bnow", BOB) in usage(branch.lab), "the user to be back")
    ada, bob = branch.run_all([("bnow", ADA, 3), ("bnow", BOB, 4)])
    branch.enforce()
    branch.agrees(bnow=branch.ran(ada, cpus=3) + branch.ran(bob, cpus=4))


@pytest.mark.parametrize("baseline", ["all", "now"])
def test_an_account_below_a_banked_one_is_looked_at_like_any_other(
    branch: Branch, baseline: str
) -> None:
    branch.set(usage_baseline=baseline)
    name = f"below{baseline}"
    branch.open("above" + baseline, users=[])
    stays, goes = used_before(branch, name)
    branch.enforce()
    branch.sacctmgr("modify", "account", "where", f"name={name}", "set", f"parent=above{baseline}")
    shown = f"ParentAccount=above{baseline}("
    question = ("scontrol", "-o", "show", "assoc_mgr", "flags=assoc", f"accounts={name}")
    branch.lab.wait_for(lambda: shown in branch.lab.run(*question), "it to be moved")
    branch.enforce()
    wanted = stays + goes if baseline == "all" else 0
    assert branch.used("above" + baseline) == wanted
    branch.agrees(**{name: wanted, "above" + baseline: 0})
