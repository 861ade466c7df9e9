"""Short stories on a model of Slurm, for what a real one cannot be made to do at will."""

import time
from pathlib import Path

import pytest

from bank.errors import Busy, NotConfirmed, Refusal
from bank.operations import movements, releases, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import Pass, enforce
from bank.slurm import scontrol
from bank.store import accounts, read
from bank.store.connect import reading, writing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert


def used(bank: Bank, name: str) -> int:
    with reading(bank.database) as reader:
        standing = read.standing(reader, name)
    assert standing is not None
    return standing.used


def test_a_row_that_was_missing_from_one_answer_is_not_charged_again(
    bank: Bank, fake: FakeSlurm
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, SU)
    enforce(bank)
    row = fake.users.pop(association)
    enforce(bank)
    fake.users[association] = row
    enforce(bank)
    enforce(bank)
    assert used(bank, "test1") == SU
    fake.use(association, 5)
    enforce(bank)
    assert used(bank, "test1") == SU + 5
    assert upkeep.verify(bank) == []


def test_a_restart_while_the_meters_are_read_books_nothing(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, SU)
    answer = scontrol.read_config

    def restarted(output: str) -> scontrol.Config:
        config = answer(output)
        fake.started += "1"
        return config

    monkeypatch.setattr(scontrol, "read_config", restarted)
    with pytest.raises(Busy, match="restarted"):
        enforce(bank)
    assert used(bank, "test1") == 0


@pytest.mark.parametrize(
    ("what", "state", "alive", "booked"),
    [
        ("the controller had saved the end", "COMPLETED", "", 300),
        ("it lets the job run on, and will count it", "COMPLETED", "7|{start}|RUNNING", 0),
        ("it only cleans up after it", "COMPLETED", "7|{start}|COMPLETING", 300),
        ("the job was requeued and runs again", "REQUEUED", "7|{again}|RUNNING", 300),
        ("the job was resized and runs on", "RESIZING", "7|{start}|RUNNING", 300),
    ],
)
def test_what_a_killed_controller_will_count_again_is_not_booked_from_sacct(
    bank: Bank, fake: FakeSlurm, what: str, state: str, alive: str, booked: int
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    enforce(bank)
    start = int(time.time()) + 10
    span = f"{start}|{start + 300}|00:00:00"
    fake.sacct = f"1|7|7|{association}|ada|normal|normal|{state}|{span}|cpu=1|c1|test1\n"
    fake.squeue = alive.format(start=start, again=start + 400)
    fake.started += "1"
    later = (start + 1000) * 1_000_000
    enforce(bank._replace(clock=lambda: later))
    assert used(bank, "test1") == booked, what
    # Whatever the controller counts by itself counts once.
    fake.use(association, 300 - booked)
    enforce(bank._replace(clock=lambda: later + 1_000_000))
    assert used(bank, "test1") == 300, what


def test_what_a_child_closed_before_it_came_is_not_the_new_parents(
    bank: Bank, fake: FakeSlurm
) -> None:
    fake.add_account("guest")
    association = fake.add_user("guest")
    insert(bank, "guest", 100)
    insert(bank, "dept", 100)
    fake.use(association, 30 * SU)
    movements.reset_usage(bank, Command("reset_usage", "guest"))
    fake.use(association, 2 * SU)
    enforce(bank)
    fake.parents["guest"] = "dept"
    enforce(bank)
    assert used(bank, "dept") == 2 * SU
    assert used(bank, "guest") == 2 * SU
    movements.reset_usage(bank, Command("reset_usage", "guest"))
    assert used(bank, "dept") == 2 * SU


@pytest.mark.parametrize(("policy", "limit"), [("report", None), ("hold", 0), ("allocate", None)])
def test_accounts_that_the_bank_does_not_know(
    bank: Bank, fake: FakeSlurm, policy: str, limit: int | None
) -> None:
    insert(bank, "proj", 10)
    fake.add_user("test1")
    changed = bank._replace(settings=bank.settings._replace(unknown_accounts=policy))
    (done,) = enforce(changed)
    # dept has no users and only holds proj, so it is nobody's business.
    assert done.unknown == ([] if policy == "allocate" else ["test1"])
    assert fake.limits["test1"].get("GrpTRESMins=cpu") == limit
    assert fake.limits["dept"] == {}
    (again,) = enforce(bank)
    assert fake.limits["test1"] == {}
    assert isinstance(again, Pass)


def test_a_child_that_leaves_and_comes_back_brings_what_the_parent_owes(
    bank: Bank, fake: FakeSlurm
) -> None:
    association = fake.add_user("proj")
    fake.add_account("other")
    for name in ("dept", "proj", "other"):
        insert(bank, name, 1000)
    fake.use(association, 100 * SU)
    movements.reset_usage(bank, Command("reset_usage", "proj"))
    assert used(bank, "dept") == 100 * SU
    for parent in ("other", "dept"):
        fake.parents["proj"] = parent
        enforce(bank)
    assert used(bank, "dept") == 100 * SU
    # What it uses and closes elsewhere is not for the old parent to pay.
    fake.parents["proj"] = "other"
    enforce(bank)
    fake.use(association, 300 * SU)
    movements.reset_usage(bank, Command("reset_usage", "proj"))
    fake.parents["proj"] = "dept"
    enforce(bank)
    assert used(bank, "dept") == 100 * SU
    assert upkeep.verify(bank) == []


def test_a_child_moved_to_where_nobody_has_an_allocation_counts_no_more(
    bank: Bank, fake: FakeSlurm
) -> None:
    fake.use(fake.add_user("proj"), 90 * SU)
    insert(bank, "dept", 100)
    assert used(bank, "dept") == 90 * SU
    fake.parents["proj"] = "root"
    enforce(bank)
    assert used(bank, "dept") == 0


def test_a_hold_that_was_never_seen_is_taken_back_all_the_same(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 1)
    fake.use(association, SU)
    hasty = bank._replace(settings=bank.settings._replace(confirm_seconds=1))
    # sacctmgr says success, and the controller has not heard of it yet.
    with monkeypatch.context() as patch:
        patch.setattr(fake, "_modify", lambda names, change: f"{names} {change}")
        with pytest.raises(NotConfirmed, match="test1"):
            enforce(hasty)
    calls = len(fake.calls)
    movements.add(bank, Command("add", "test1", 10 * SU))
    # Only then is it forgotten, so a further pass does nothing.
    enforce(bank)
    changes = [argv[-1] for argv in fake.calls[calls:] if argv[0] == "sacctmgr"]
    assert changes == ["GrpTRESMins=cpu=-1"]


def test_what_was_used_and_not_read_is_charged_before_an_account_closes(
    bank: Bank, fake: FakeSlurm
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 100)
    fake.use(association, 99 * SU)
    with pytest.raises(Refusal, match="available are 1 "):
        movements.withdraw(bank, Command("withdraw", "test1", 100 * SU))
    fake.use(association, SU // 2)
    movements.delete(bank, Command("delete", "test1", force=True))
    insert(bank, "test1", 50)
    assert used(bank, "test1") == 0
    assert upkeep.verify(bank) == []


def test_an_account_deleted_with_nothing_left_is_held(bank: Bank, fake: FakeSlurm) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 1)
    fake.use(association, 2 * SU)
    movements.delete(bank, Command("delete", "test1"))
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}


def test_a_user_who_is_renamed_keeps_the_meter_and_the_proof(bank: Bank, fake: FakeSlurm) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 100)
    for name in ("ada", "countess"):
        fake.users[association][1] = name
        fake.use(association, SU)
        enforce(bank)
    assert used(bank, "test1") == 2 * SU
    assert upkeep.verify(bank) == []


def test_a_restore_keeps_the_holds_that_are_in_force(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 1)
    copy = str(tmp_path / "copy.db")
    upkeep.backup(bank, copy)
    fake.use(association, 2 * SU)
    enforce(bank)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    upkeep.restore(bank, copy, dry_run=False)
    movements.add(bank, Command("add", "test1", 100 * SU))
    assert fake.limits["test1"] == {}
    assert used(bank, "test1") == 2 * SU
    assert upkeep.verify(bank) == []


def test_a_clock_that_was_wrong_once_stops_nothing(bank: Bank, fake: FakeSlurm) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, SU)
    tomorrow = bank._replace(clock=lambda: bank.clock() + 86_400_000_000)
    enforce(tomorrow)
    fake.users[association][3] = 5
    enforce(bank)
    fake.use(association, 9 * SU)
    enforce(bank)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    assert upkeep.verify(bank) == []


def test_a_clock_that_is_set_back_turns_no_history_round(bank: Bank) -> None:
    insert(bank, "test1", 10)
    slow = bank._replace(clock=lambda: bank.clock() - 3_600_000_000)
    late = bank._replace(clock=lambda: bank.clock() + 3_600_000_000)
    movements.hold(late, Command("hold", "test1", reason="first"))
    releases.release_hold(bank, "test1", reason="second", dry_run=False)
    movements.add(slow, Command("add", "test1", SU, "third"))
    assert reasons(bank) == ["first", "second", "third"]
    assert upkeep.verify(bank) == []


def test_changes_that_were_written_out_of_time_are_shown_in_their_order(bank: Bank) -> None:
    insert(bank, "test1", 10)
    movements.hold(bank, Command("hold", "test1", reason="first"))
    movements.hold(bank, Command("hold", "test1", reason="second"))
    with writing(bank.database) as writer:
        writer.execute("DROP TRIGGER account_change_update_refused", [{}])
        writer.execute("UPDATE account_change SET changed_at = 1 WHERE reason = 'second'", [{}])
    assert reasons(bank) == ["first", "second"]


def reasons(bank: Bank) -> list[str]:
    """Return why what happened to test1 happened, where anybody said."""
    with reading(bank.database) as reader:
        account = accounts.find(reader, "test1")
        assert account is not None
        return [event.reason for event in read.history(reader, account) if event.reason]
