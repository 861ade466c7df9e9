"""What counts for an account when it is opened, closed and opened again. On a model of Slurm."""

from collections.abc import Callable

import pytest

from bank.errors import Busy, Refusal
from bank.operations import movements, periods, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.periods import Opening
from bank.store import copies, read
from bank.store.connect import reading, writing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

HOLD = {"GrpTRESMins=cpu": 0}


def insert_100(bank: Bank, name: str) -> None:
    insert(bank, name, 100)


def delete(bank: Bank, name: str) -> None:
    movements.delete(bank, Command("delete", name, force=True))


def reset_usage(bank: Bank, name: str) -> None:
    movements.reset_usage(bank, Command("reset_usage", name))


def stands(bank: Bank, name: str) -> tuple[int | None, int]:
    """Return an account's limit and what it has used, in SUs."""
    assert upkeep.verify(bank) == []
    with reading(bank.database) as reader:
        standing = read.standing(reader, name)
    assert standing is not None
    assert standing.limit is not None
    assert standing.limit % SU == standing.used % SU == 0
    return standing.limit // SU, standing.used // SU


def with_settings(bank: Bank, **changes: object) -> Bank:
    return bank._replace(settings=bank.settings._replace(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [("dept", "proj"), ("proj", "dept")])
@pytest.mark.parametrize("has_passed", [False, True])
def test_use_from_before_counts_whatever_is_opened_first(
    bank: Bank, fake: FakeSlurm, order: tuple[str, str], has_passed: bool
) -> None:
    fake.use(fake.add_user("proj"), 3 * SU)
    for name in order:
        insert(bank, name, 2)
        if has_passed:
            enforce(bank)
    assert stands(bank, "proj") == stands(bank, "dept") == (2, 3)
    assert fake.limits["proj"] == fake.limits["dept"] == HOLD


def test_a_parent_opened_again_gets_nothing_for_what_its_child_closed(
    bank: Bank, fake: FakeSlurm
) -> None:
    association = fake.add_user("proj")
    insert(bank, "dept", 100)
    fake.use(association, 9 * SU)
    enforce(bank)
    delete(bank, "dept")
    insert(bank, "proj", 100)
    reset_usage(bank, "proj")
    insert(bank, "dept", 10)
    assert stands(bank, "dept") == (10, 0)
    with pytest.raises(Refusal, match="available are 10 "):
        movements.withdraw(bank, Command("withdraw", "dept", 11 * SU))


def test_a_child_that_closes_while_it_is_away_is_settled_once(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    fake.use(proj, 5 * SU)
    enforce(bank)
    reset_usage(bank, "dept")
    fake.parents["proj"] = "root"
    enforce(bank)
    reset_usage(bank, "proj")
    fake.parents["proj"] = "dept"
    enforce(bank)
    assert stands(bank, "dept") == (100, 0)
    fake.use(proj, SU)
    enforce(bank)
    assert stands(bank, "dept") == (100, 1)
    reset_usage(bank, "dept")
    assert stands(bank, "dept") == (100, 0)


def test_a_child_that_closes_twice_while_it_is_away_owes_what_it_owed(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    fake.use(proj, 5 * SU)
    enforce(bank)
    reset_usage(bank, "proj")
    assert stands(bank, "dept") == (100, 5)
    fake.parents["proj"] = "root"
    enforce(bank)
    fake.use(proj, 7 * SU)
    enforce(bank)
    reset_usage(bank, "proj")
    fake.parents["proj"] = "dept"
    enforce(bank)
    # The 5 were used below it; the 7 were not.
    assert stands(bank, "dept") == (100, 5)


def test_a_period_that_a_child_closed_before_its_parent_was_opened_is_not_the_parents(
    bank: Bank, fake: FakeSlurm
) -> None:
    fake.add_account("group", "dept")
    fake.parents["proj"] = "group"
    association = fake.add_user("proj")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    fake.use(association, 5 * SU)
    reset_usage(bank, "proj")
    fake.use(association, SU)
    enforce(bank)
    insert(bank, "group", 3)
    assert stands(bank, "group") == (3, 1)


def gone_and_back(fake: FakeSlurm, association: int) -> None:
    row = fake.users.pop(association)
    row[3] = 0
    fake.users[association] = row


def reset_by_hand(fake: FakeSlurm, association: int) -> None:
    fake.users[association][3] = 0


@pytest.mark.parametrize("meanwhile", [gone_and_back, reset_by_hand])
@pytest.mark.parametrize("passes", [1, 2])
def test_what_was_used_while_an_account_was_closed_counts(
    bank: Bank, fake: FakeSlurm, meanwhile: Callable[[FakeSlurm, int], None], passes: int
) -> None:
    association = fake.add_user("test1")
    fake.add_user("proj")
    insert(bank, "test1", 100)
    insert(bank, "proj", 100)
    fake.use(association, SU)
    enforce(bank)
    delete(bank, "test1")
    meanwhile(fake, association)
    for _ in range(passes):
        enforce(bank)
    fake.use(association, 9 * SU)
    enforce(bank)
    insert(bank, "test1", 3)
    assert stands(bank, "test1") == (3, 9)
    assert fake.limits["test1"] == HOLD


def test_with_now_nothing_from_before_an_opening_counts(bank: Bank, fake: FakeSlurm) -> None:
    bank = with_settings(bank, usage_baseline="now")
    association = fake.add_user("proj")
    fake.use(association, SU)
    insert(bank, "proj", 3)
    assert stands(bank, "proj") == (3, 0)
    fake.use(association, 5 * SU)
    enforce(bank)
    assert stands(bank, "proj") == (3, 5)
    insert(bank, "dept", 3)
    assert stands(bank, "dept") == (3, 0)
    delete(bank, "proj")
    fake.use(association, 7 * SU)
    insert(bank, "proj", 3)
    assert stands(bank, "proj") == (3, 0)
    assert stands(bank, "dept") == (3, 7)
    delete(bank, "dept")
    fake.use(association, SU)
    insert(bank, "dept", 3)
    assert (stands(bank, "proj"), stands(bank, "dept")) == ((3, 1), (3, 0))


def test_a_hold_by_hand_outlives_delete_and_insert(bank: Bank, fake: FakeSlurm) -> None:
    insert(bank, "test1", 10)
    movements.hold(bank, Command("hold", "test1", reason="invoice not paid"))
    delete(bank, "test1")
    assert fake.limits["test1"] == HOLD
    insert(bank, "test1", 10)
    assert fake.limits["test1"] == HOLD


def test_what_was_inserted_since_the_pass_looked_is_not_allocated_again(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    del fake
    bank = with_settings(bank, unknown_accounts="allocate", default_allocation=SU)
    seen: list[str] = []

    def opened_meanwhile(*_: object) -> bool:
        with writing(bank.database) as writer:
            opening = Opening("test1", 500 * SU, "")
            periods.open_accounts(bank, writer, [opening])
        seen.append("opened")
        return True

    monkeypatch.setattr(
        "bank.operations.strangers.is_plain",
        lambda name: opened_meanwhile() if name == "test1" and not seen else True,
    )
    enforce(bank)
    assert seen == ["opened"]
    assert stands(bank, "test1") == (500, 0)


@pytest.mark.parametrize("policy", ["hold", "allocate"])
def test_an_unknown_account_above_a_banked_one_is_reported_only(
    bank: Bank, fake: FakeSlurm, policy: str
) -> None:
    fake.use(fake.add_user("proj"), 5 * SU)
    fake.add_user("dept", "head")
    insert(bank, "proj", 100)
    (done,) = enforce(with_settings(bank, unknown_accounts=policy))
    assert "dept" in done.unknown
    assert fake.limits["dept"] == {}
    assert "dept" not in done.held


def test_a_fall_of_one_meter_makes_no_other_one_suspect(bank: Bank, fake: FakeSlurm) -> None:
    here, there = fake.add_user("test1"), fake.add_user("proj")
    insert(bank, "test1", 100)
    insert(bank, "proj", 100)
    for association in (here, there):
        fake.use(association, SU)
    enforce(bank)
    reset_by_hand(fake, here)
    fake.calls.clear()
    enforce(bank)
    asked = [argv[argv.index("-A") + 1] for argv in fake.calls if "-A" in argv]
    assert set(asked) == {"test1"}


def test_a_debt_of_a_child_that_is_away_ends_with_the_period(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    for verbs in ((reset_usage,), (delete, insert_100)):
        fake.use(proj, 5 * SU)
        enforce(bank)
        reset_usage(bank, "proj")
        fake.parents["proj"] = "root"
        enforce(bank)
        for verb in verbs:
            verb(bank, "dept")
        fake.parents["proj"] = "dept"
        enforce(bank)
        assert stands(bank, "dept") == (100, 0)


@pytest.mark.parametrize("baseline", ["all", "now"])
def test_what_a_child_closed_while_the_parent_was_closed_is_not_the_parents(
    bank: Bank, fake: FakeSlurm, baseline: str
) -> None:
    bank = with_settings(bank, usage_baseline=baseline)
    association = fake.add_user("proj")
    insert(bank, "dept", 100)
    delete(bank, "dept")
    insert(bank, "proj", 100)
    fake.use(association, 5 * SU)
    enforce(bank)
    reset_usage(bank, "proj")
    fake.parents["proj"] = "root"
    enforce(bank)
    insert(bank, "dept", 100)
    fake.parents["proj"] = "dept"
    enforce(bank)
    assert stands(bank, "dept") == (100, 0)


def test_with_now_nothing_counts_of_many_children_either(bank: Bank, fake: FakeSlurm) -> None:
    bank = with_settings(bank, usage_baseline="now")
    fake.add_account("zdept")
    # More than are written in one transaction.
    for number in range(205):
        fake.add_account(f"m{number:03}", "zdept")
    association = fake.add_user("m000")
    insert(bank, "m000", 100)
    fake.use(association, 5 * SU)
    enforce(bank)
    insert(bank, "zdept", 100)
    assert stands(bank, "zdept") == (100, 0)


def test_what_is_written_while_a_backup_is_put_back_waits_or_is_kept(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    del fake
    insert(bank, "test1", 10)
    backup = f"{bank.settings.database}.monday"
    upkeep.backup(bank, backup)
    refused: list[str] = []
    copy_to = copies.copy_to

    def written_meanwhile(*arguments: object) -> None:
        copy_to(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr("bank.store.connect.BUSY_SECONDS", 0)
        with pytest.raises(Busy) as busy, writing(bank.database):
            pass
        refused.append(str(busy.value))

    monkeypatch.setattr(copies, "copy_to", written_meanwhile)
    upkeep.restore(bank, backup, dry_run=False)
    assert len(refused) == 1
    assert stands(bank, "test1") == (10, 0)
