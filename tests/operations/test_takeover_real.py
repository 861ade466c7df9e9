"""A predecessor's database with holds in force is taken over on a real cluster."""

from pathlib import Path

from bank.operations import movements, takeover, upkeep
from bank.operations.commands import Command
from tests.operations.branch import ADA, SU, Branch
from tests.predecessor.old_file import make_old_database, old_row

HELD = "AssocGrpCPUMinutesLimit"


def hold_as_the_predecessor_did(branch: Branch, name: str) -> None:
    branch.set_limit(name, "GrpTRESMins=cpu=0")


def waiting(branch: Branch, name: str) -> int:
    job = branch.lab.submit(name, ADA, partition="fast", command="sleep 1", minutes=1)
    branch.lab.wait_for_reason(job, HELD)
    return job


def leave_old_database(branch: Branch, *rows: dict[str, object]) -> None:
    path = Path(branch.bank.settings.database)
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    make_old_database(path, rows)


def test_holds_in_force_are_known_for_what_they_are(branch: Branch) -> None:
    names = ["usedup", "toppedup", "stopped", "fine"]
    branch.lab.make_accounts(names, users=[ADA])
    branch.run("usedup", cpus=3)
    for name in names[:3]:
        hold_as_the_predecessor_did(branch, name)
    leave_old_database(
        branch,
        old_row(4, "usedup", 2, max_limit_informed=1),
        old_row(5, "ToppedUp", 100),
        old_row(6, "stopped", 100),
        old_row(7, "fine", 100),
    )
    rehearsed = takeover.take_over(branch.bank, choices="", dry_run=True)
    assert [held.account for held in rehearsed.adopted] == ["usedup"]
    assert {held.choose for held in rehearsed.others} == {"ours:toppedup", "ours:stopped"}
    report = takeover.take_over(branch.bank, choices="ours:toppedup", dry_run=False)
    differences = {one.account: (one.new, one.number) for one in report.compared if not one.is_same}
    assert differences == {"toppedup": ("release", 4)}
    jobs = {name: waiting(branch, name) for name in names[:3]}

    done = branch.enforce()
    assert (done.held, done.held_now) == (["usedup"], [])
    assert (done.released, done.held_by_others) == (["toppedup"], ["stopped"])
    branch.lab.wait_for_state(jobs["toppedup"], {"RUNNING", "COMPLETED"})
    for one in report.compared:
        if one.account in ("usedup", "fine"):
            assert branch.used(one.account) == one.used == branch.lab.raw_usage(one.account)

    for name in ("usedup", "stopped"):
        movements.add(branch.bank, Command("add", name, 1000 * SU))
    assert branch.limits("usedup")["GrpTRESMins"] == ""
    branch.lab.wait_for_state(jobs["usedup"], {"RUNNING", "COMPLETED"})
    # Somebody else's hold stays until they lift it.
    assert branch.limits("stopped")["GrpTRESMins"] == "cpu=0"
    assert branch.enforce().held_by_others == ["stopped"]
    branch.lab.wait_for_reason(jobs["stopped"], HELD)
    assert upkeep.verify(branch.bank) == []


def test_the_tree_is_counted_as_the_old_check_did(branch: Branch) -> None:
    branch.lab.make_account("above", users=[])
    branch.lab.make_account("below", parent="above", users=[ADA])
    branch.lab.make_account("beside", parent="above", users=[ADA])
    branch.run("below", cpus=3)
    leave_old_database(branch, old_row(1, "above", 2), old_row(2, "below", 1000))
    report = takeover.take_over(branch.bank, choices="", dry_run=False)
    assert {one.account: (one.old, one.new) for one in report.compared} == {
        "above": ("hold", "hold"),
        "below": ("nothing", "nothing"),
        "beside": ("nothing", "nothing"),
    }
    assert [note for note in report.notes if "below is stopped too" in note]
    assert branch.enforce().held_now == ["above"]
