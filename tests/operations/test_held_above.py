"""What `balance` and `list` say of holds: the account's own, and those of accounts above it."""

from pathlib import Path
from typing import Any

import pytest

from bank.errors import NotConfirmed
from bank.operations import finding, looking, movements, releases, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert


def shown(bank: Bank, name: str) -> dict[str, Any]:
    """Return what is said of an account alone, which is what is said of it among all."""
    (alone,) = looking.balance(bank, name)
    assert alone == next(one for one in looking.balance(bank, None) if one["account"] == name)
    return alone


def held(bank: Bank, name: str) -> tuple[object, ...]:
    state = shown(bank, name)
    assert [row["held_above"] for row in state["clusters"]] == [state["held_above"]]
    return state["held"], state["is_held"], state["held_above"]


@pytest.fixture
def deep(bank: Bank, fake: FakeSlurm) -> int:
    """The meter of "leaf", below "proj", below "dept"; "proj" is not in the bank."""
    fake.add_account("leaf", "proj")
    association = fake.add_user("leaf")
    insert(bank, "dept", 100)
    movements.insert(bank, Command("insert", "leaf", 1000 * SU, force=True))
    return association


def test_a_parent_with_nothing_left_is_said_at_the_child(
    bank: Bank, fake: FakeSlurm, deep: int
) -> None:
    assert held(bank, "leaf") == ("no", False, [])
    fake.use(deep, 100 * SU)
    enforce(bank)
    assert held(bank, "dept") == ("by the bank: nothing left", True, [])
    said = "dept above it: held by the bank: nothing left"
    # It is not held itself: whoever releases it changes nothing.
    assert held(bank, "leaf") == (said, False, ["dept"])
    assert [one["account"] for one in finding.find(bank, is_held=True)] == ["dept", "leaf"]
    movements.add(bank, Command("add", "dept", SU))
    assert held(bank, "leaf") == ("no", False, [])
    assert finding.find(bank, is_held=True) == []


@pytest.mark.usefixtures("deep")
def test_all_holds_above_are_said_the_nearest_first_after_its_own(
    bank: Bank, fake: FakeSlurm
) -> None:
    movements.hold(bank, Command("hold", "dept", reason="audit"))
    movements.insert(bank, Command("insert", "proj", 0, force=True))
    movements.hold(bank, Command("hold", "leaf", reason="travel"))
    said = "by the bank: travel; proj above it: held by the bank: nothing left; dept above it: held"
    assert held(bank, "leaf") == (f"{said} by the bank: audit", True, ["proj", "dept"])
    fake.limits["proj"]["GrpJobs"] = 0
    enforce(bank)
    assert "proj above it: held by others, in Slurm; dept" in shown(bank, "leaf")["held"]


@pytest.mark.usefixtures("deep")
def test_what_others_hold_above_and_what_is_held_although_it_was_deleted(
    bank: Bank, fake: FakeSlurm
) -> None:
    fake.limits["proj"]["GrpTRES=cpu"] = 0
    enforce(bank)
    # Only accounts that the bank looks after are looked at.
    assert held(bank, "leaf") == ("no", False, [])
    del fake.limits["proj"]["GrpTRES=cpu"]
    movements.hold(bank, Command("hold", "dept", reason="audit"))
    movements.delete(bank, Command("delete", "dept", force=True))
    assert held(bank, "leaf") == ("dept above it: held by the bank: audit", False, ["dept"])
    releases.release_hold(bank, "dept", reason="", dry_run=False)
    assert held(bank, "leaf") == ("no", False, [])


@pytest.mark.usefixtures("deep")
def test_another_cluster_of_the_site_and_one_that_is_not(bank: Bank) -> None:
    movements.hold(bank, Command("hold", "dept", reason="audit"))
    elsewhere = bank._replace(settings=bank.settings._replace(clusters=("other",)))
    (state,) = looking.balance(elsewhere, "leaf")
    assert state["held_above"] == []


@pytest.mark.usefixtures("deep")
def test_a_hold_above_that_is_not_confirmed_stops_nobody_yet(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = bank._replace(settings=bank.settings._replace(confirm_seconds=1), warn=lambda _: None)
    monkeypatch.setattr(fake, "_modify", lambda *_: "")
    with pytest.raises(NotConfirmed):
        movements.hold(bank, Command("hold", "dept", reason="audit"))
    assert held(bank, "dept")[0] == "not yet, asked for by the bank: audit"
    assert held(bank, "leaf") == ("no", False, [])


def test_a_hold_whose_reason_a_restore_took_away_is_to_be_released(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    fake.add_user("test1")
    insert(bank, "test1", 10)
    upkeep.backup(bank, str(tmp_path / "backup"))
    movements.hold(bank, Command("hold", "test1", reason="audit"))
    upkeep.restore(bank, str(tmp_path / "backup"), dry_run=False)
    assert held(bank, "test1") == ("by the bank, to be released by the next pass", True, [])
    enforce(bank)
    assert held(bank, "test1") == ("no", False, [])


def test_a_hold_that_was_never_seen_and_is_wanted_no_more(
    bank: Bank, fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_user("test1")
    insert(bank, "test1", 10)
    upkeep.backup(bank, str(tmp_path / "backup"))
    bank = bank._replace(settings=bank.settings._replace(confirm_seconds=1), warn=lambda _: None)
    with monkeypatch.context() as refusing:
        refusing.setattr(fake, "_modify", lambda *_: "")
        with pytest.raises(NotConfirmed):
            movements.hold(bank, Command("hold", "test1", reason="audit"))
        assert held(bank, "test1") == ("not yet, asked for by the bank: audit", False, [])
        upkeep.restore(bank, str(tmp_path / "backup"), dry_run=False)
        said = "no; a hold that was asked for is being taken back"
        assert held(bank, "test1") == (said, False, [])
    enforce(bank)
    assert held(bank, "test1") == ("no", False, [])
