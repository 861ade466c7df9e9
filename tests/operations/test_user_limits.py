"""Limits of users within an account: what counts for them, and what Slurm is given for it."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bank.errors import InputError, NotConfirmed, Refusal, SlurmError
from bank.ledger.entries import AVAILABLE, USED, Draft
from bank.ledger.names import user_name
from bank.operations import changes, history, looking, movements, upkeep, user_limits
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce, run_pass
from bank.operations.releases import release_hold
from bank.operations.user_holds import Users
from bank.operations.user_limits import limit_user
from bank.slurm.command import Slurm
from bank.store.connect import writing
from bank.store.migrations import v0003_whole_bank
from bank.store.post import post
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

HOLD = "GrpTRESMins=cpu"
NATIVE = "GrpTRESMins=billing"
NO_LIMIT = {"limit_su": None}
ADA, BOB = ("test1", "ada"), ("test1", "bob")


@pytest.fixture
def ada(bank: Bank, fake: FakeSlurm) -> int:
    """The association of ada in test1, which has 1000 SUs; bob is there too."""
    association = fake.add_user("test1", "ada")
    fake.add_user("test1", "bob")
    insert(bank, "test1", 1000)
    return association


@pytest.fixture
def native(bank: Bank) -> Bank:
    settings = bank.settings._replace(enforcement="limit", limit_tolerance=0, confirm_seconds=1)
    return bank._replace(settings=settings)


def limit(
    bank: Bank,
    su: int | None,
    *,
    user: str = "ada",
    reason: str = "",
    key: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    amount = None if su is None else su * SU
    command = Command("limit_user", "test1", amount, reason, key, dry_run, user=user)
    answer = limit_user(bank, command)
    assert answer["user"] == user
    return next((one for one in answer["users"] if one["user"] == user), NO_LIMIT)


def users(bank: Bank, *, name: str = "test1") -> list[tuple[str, str, str, str]]:
    """Return user, limit, used and held of those with limits, as `balance` says them."""
    (state,) = looking.balance(bank, name)
    (listed,) = [one for one in looking.balance(bank, None) if one["account"] == name]
    assert listed == state
    return [(one["user"], one["limit_su"], one["used_su"], one["held"]) for one in state["users"]]


def enforced(bank: Bank) -> Users:
    (done,) = enforce(bank)
    return done.users


HELD = "by the bank: nothing left"


def test_a_user_who_has_used_the_limit_is_held_and_nobody_else_is(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    answer = limit(bank, 10)
    assert (answer["limit_su"], answer["left_su"], answer["held"]) == ("10", "10", "no")
    fake.use(ada, 10 * SU - 1)
    assert enforced(bank).held == []
    fake.use(ada, 1)
    fake.running_jobs[ada] = 2
    done = enforced(bank)
    assert (done.held_now, done.held) == ([ADA], [ADA])
    assert done.running_on_held == {"ada in test1": 2}
    assert users(bank) == [("ada", "10", "10", HELD)]
    assert [fake.user_limits[one] for one in fake.users] == [{HOLD: 0}, {}]
    assert fake.limits["test1"] == {}
    assert enforced(bank) == Users([], [], [ADA], [], [], {"ada in test1": 2})
    # What comes after goes on counting, and nothing is said again.
    fake.use(ada, SU)
    enforce(bank)
    assert users(bank) == [("ada", "10", "11", HELD)]
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize("way", ["raise", "none", "period", "refund", "delete"])
@pytest.mark.parametrize("original", [None, 500])
def test_every_way_to_be_released_puts_back_what_was_there(
    bank: Bank, fake: FakeSlurm, ada: int, way: str, original: int | None
) -> None:
    before = {} if original is None else {HOLD: original}
    fake.user_limits[ada] = dict(before)
    limit(bank, 10)
    fake.use(ada, 10 * SU)
    assert enforced(bank).held_now == [ADA]
    if way == "raise":
        assert limit(bank, 11)["held"] == "no"
    elif way == "none":
        assert limit(bank, None)["limit_su"] is None
    elif way == "period":
        movements.reset_usage(bank, Command("reset_usage", "test1"))
        assert users(bank) == [("ada", "10", "0", "no")]
    elif way == "refund":
        refund(bank, 1)
        assert enforced(bank).released == [ADA]
        assert users(bank) == [("ada", "10", "9.9997", "no")]
    else:
        movements.delete(bank, Command("delete", "test1", force=True))
    assert fake.user_limits[ada] == before
    assert enforced(bank).held == []
    assert records(bank) == []
    assert upkeep.verify(bank) == []


def refund(bank: Bank, amount: int, user: str = "ada") -> None:
    draft = Draft("test1", "refund", USED, AVAILABLE, amount, "ada", cluster="fake", user=user)
    with writing(bank.database) as writer:
        post(writer, [draft], now=bank.clock())


def records(bank: Bank) -> list[tuple[Any, ...]]:
    return query(bank, "SELECT account, user_name, partition_name, limit_name FROM slurm_limit")


def query(bank: Bank, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bank.settings.database)) as database, database:
        return database.execute(sql).fetchall()


def test_0_stops_at_once(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    answer = limit(bank, 0)
    assert (answer["held"], answer["is_held"]) == (HELD, True)
    assert fake.user_limits[ada] == {HOLD: 0}


def test_0_that_does_not_stop_yet_is_not_called_done(
    bank: Bank, fake: FakeSlurm, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    deaf = bank._replace(warn=heard.append, settings=bank.settings._replace(confirm_seconds=1))
    with monkeypatch.context() as patch:
        patch.setattr(fake, "_modify_users", lambda *_: "")
        with pytest.raises(NotConfirmed, match="the hold of ada in test1 is on record"):
            limit(deaf, 0)
    assert "for ada in test1" in heard[0]
    assert fake.user_limits[ada] == {}
    assert users(bank) == [("ada", "0", "0", "not yet, asked for by the bank: nothing left")]
    assert enforced(bank).held_now == [ADA]


def test_what_was_used_before_counts_from_the_first_day_of_the_period(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    fake.use(ada, 30 * SU)
    movements.reset_usage(bank, Command("reset_usage", "test1"))
    fake.use(ada, 7 * SU)
    enforce(bank)
    limit(bank, 10)
    assert users(bank) == [("ada", "10", "7", "no")]
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_top_up_that_books_use_off_begins_no_period(
    bank: Bank, fake: FakeSlurm, ada: int, *, is_there: bool
) -> None:
    resetting = bank._replace(settings=bank.settings._replace(on_top_up="reset"))
    if is_there:
        limit(resetting, 10)
    fake.use(ada, 9 * SU)
    movements.add(resetting, Command("add", "test1", 100 * SU))
    assert looking.balance(bank, "test1")[0]["used_su"] == "0"
    if not is_there:
        limit(resetting, 10)
    # Or each top-up would let her use the limit once more.
    assert users(resetting) == [("ada", "10", "9", "no")]
    assert upkeep.verify(bank) == []


@pytest.mark.parametrize(("way", "used"), [("open", "7"), ("closed", "0")])
def test_a_database_that_did_not_keep_where_periods_begin_is_told_by_its_closings(
    bank: Bank, fake: FakeSlurm, ada: int, way: str, used: str
) -> None:
    resetting = bank._replace(settings=bank.settings._replace(on_top_up="reset"))
    fake.use(ada, 30 * SU)
    movements.reset_usage(resetting, Command("reset_usage", "test1"))
    fake.use(ada, 4 * SU)
    movements.add(resetting, Command("add", "test1", 100 * SU))
    fake.use(ada, 3 * SU)
    enforce(bank)
    if way == "closed":
        movements.delete(bank, Command("delete", "test1", force=True))
    (statement,) = [one for one in v0003_whole_bank.STATEMENTS if "closed_entry_count =" in one]
    query(bank, "UPDATE account SET closed_entry_count = 0")
    query(bank, statement)
    if way == "closed":
        insert(bank, "test1", 1000)
    limit(bank, 10)
    assert users(bank) == [("ada", "10", used, "no")]


def test_use_is_that_of_the_account_itself_and_of_all_associations(
    bank: Bank, fake: FakeSlurm
) -> None:
    plain, fast = fake.add_user("dept"), fake.add_user("dept", partition="fast")
    below = fake.add_user("proj")
    insert(bank, "dept", 1000)
    limit_user(bank, Command("limit_user", "dept", 10 * SU, user="ada"))
    fake.use(plain, 4 * SU)
    fake.use(fast, 5 * SU)
    fake.use(below, 50 * SU)
    assert enforced(bank).held == []
    assert users(bank, name="dept") == [("ada", "10", "9", "no")]
    fake.use(fast, SU)
    assert enforced(bank).held_now == [("dept", "ada")]
    limits = [fake.user_limits[one] for one in (plain, fast, below)]
    assert limits == [{HOLD: 0}, {HOLD: 0}, {}]
    calls = [argv for argv in fake.calls if argv[:4] == ["sacctmgr", "-i", "modify", "user"]]
    assert [argv[8] for argv in calls] == ["partition=", "partition=fast"]
    assert records(bank) == [("dept", "ada", "", HOLD), ("dept", "ada", "fast", HOLD)]


def test_many_users_of_an_account_are_one_call(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    for user in ("ada", "bob"):
        limit(bank, 10, user=user)
    bob = ada + 1
    fake.use(ada, 10 * SU)
    fake.use(bob, 10 * SU)
    calls = len(fake.calls)
    assert enforced(bank).held_now == [ADA, BOB]
    changing = [argv for argv in fake.calls[calls:] if argv[0] == "sacctmgr"]
    assert [argv[7] for argv in changing] == ["name=ada,bob"]


def test_native_limits_are_what_is_counted_and_what_is_left(
    native: Bank, fake: FakeSlurm, ada: int
) -> None:
    native = native._replace(warn=lambda _: None)
    fast = fake.add_user("test1", "ada", "fast")
    fake.use(ada, 600)
    fake.use(fast, 6000)
    limit(native, 10)
    left = 10 * SU - 6600
    assert fake.user_limits[ada] == {NATIVE: (600 + left) // 60}
    assert fake.user_limits[fast] == {NATIVE: (6000 + left) // 60}
    outcome = run_pass(native)
    assert "SUs may be overrun before the next pass: 1 of the users" in outcome.notes[-1]
    fake.use(fast, left)
    done = enforced(native)
    assert (done.held_now, done.limited) == ([ADA], [])
    # The hold stands in place of the limit, which a small job could pass.
    assert [fake.user_limits[one] for one in (ada, fast)] == [{HOLD: 0}, {HOLD: 0}]
    limit(native, 20)
    assert fake.user_limits[ada] == {NATIVE: (600 + 10 * SU) // 60}
    assert enforced(native) == Users([], [], [], [], [], {})
    assert upkeep.verify(native) == []


@pytest.mark.parametrize("used", [0, 10])
def test_changing_the_way_leaves_nothing_behind(
    bank: Bank, native: Bank, fake: FakeSlurm, ada: int, used: int
) -> None:
    fake.user_limits[ada] = {NATIVE: 7777}
    limit(bank, 10)
    fake.use(ada, used * SU)
    held: dict[str, int] = {HOLD: 0} if used else {}
    enforce(bank)
    assert fake.user_limits[ada] == {NATIVE: 7777, **held}
    enforce(native)
    assert fake.user_limits[ada] == ({NATIVE: 7777, **held} if used else {NATIVE: 600})
    enforce(bank)
    assert fake.user_limits[ada] == {NATIVE: 7777, **held}
    limit(bank, None)
    assert fake.user_limits[ada] == {NATIVE: 7777}


def test_a_stop_by_others_is_reported_and_left_alone(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    limit(bank, 10)
    fake.user_limits[ada] = {"GrpJobs": 0}
    done = enforced(bank)
    assert (done.held_by_others, done.held) == ([ADA], [])
    assert users(bank) == [("ada", "10", "0", "by others, in Slurm")]
    assert looking.balance(bank, "test1")[0]["held"] == "no"
    fake.use(ada, 10 * SU)
    assert enforced(bank).held_by_others == [ADA]
    limit(bank, None)
    assert fake.user_limits[ada] == {"GrpJobs": 0}
    assert query(bank, "SELECT * FROM user_held_by_others") == []
    assert enforced(bank).held_by_others == []


@pytest.mark.parametrize("way", ["lifted", "gone", "forgotten"])
def test_who_is_held_by_others_no_more_is_no_more_shown_so(
    bank: Bank, fake: FakeSlurm, ada: int, way: str
) -> None:
    limit(bank, 10)
    fake.user_limits[ada] = {HOLD: 0}
    assert enforced(bank).held_by_others == [ADA]
    if way == "lifted":
        fake.user_limits[ada] = {}
    elif way == "gone":
        del fake.users[ada]
    else:
        # The site has another cluster now.
        fake.cluster, fake.user_limits[ada] = "other", {}
    enforce(bank)
    assert users(bank) == [("ada", "10", "0", "no")]


def test_what_others_change_is_said(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    limit(bank, 0)
    fake.user_limits[ada] = {HOLD: 70}
    (done,) = enforce(bank)
    assert done.users.held_now == [ADA]
    assert done.notes == [
        f"user ada in test1: the hold was lifted by others; held again; {HOLD}=70 is put back later"
    ]
    limit(bank, None)
    assert fake.user_limits[ada] == {HOLD: 70}


def test_a_hold_of_a_user_is_none_of_the_account(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    limit(bank, 0)
    (state,) = looking.balance(bank, "test1")
    assert (state["held"], state["is_held"]) == ("no", False)
    (done,) = enforce(bank)
    assert (done.held, done.released) == ([], [])
    movements.delete(bank, Command("delete", "test1", force=True))
    with pytest.raises(Refusal, match="doesn't exist in the bank"):
        release_hold(bank, "test1", reason="", dry_run=False)
    assert fake.user_limits[ada] == {}


def test_an_account_that_is_opened_again_has_no_limits_of_users(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    limit(bank, 10)
    fake.use(ada, 4 * SU)
    movements.delete(bank, Command("delete", "test1", force=True))
    fake.use(ada, 3 * SU)
    insert(bank, "test1", 100)
    assert users(bank) == []
    # What was used while the bank did not have it counts, as it does for the account.
    limit(bank, 10)
    assert users(bank) == [("ada", "10", "3", "no")]
    assert upkeep.verify(bank) == []


def test_only_the_association_that_is_gone_is_forgotten(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    fast = fake.add_user("test1", "ada", "fast")
    limit(bank, 0)
    del fake.users[fast]
    enforce(bank)
    assert records(bank) == [("test1", "ada", "", HOLD)]
    limit(bank, None)
    assert fake.user_limits[ada] == {}


def test_a_deleted_account_whose_user_is_still_to_be_let_go_is_not_held(
    bank: Bank, fake: FakeSlurm, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(bank, 0)
    with monkeypatch.context() as patch:
        patch.setattr(fake, "_modify_users", lambda *_: "")
        settings = bank.settings._replace(confirm_seconds=1)
        quiet = bank._replace(warn=lambda _: None, settings=settings)
        movements.delete(quiet, Command("delete", "test1", force=True))
    assert fake.user_limits[ada] == {HOLD: 0}
    with pytest.raises(Refusal, match="doesn't exist in the bank"):
        release_hold(bank, "test1", reason="", dry_run=False)
    assert enforced(bank).released == [ADA]
    assert fake.user_limits[ada] == {}


def test_one_who_left_and_came_back_is_held_anew(bank: Bank, fake: FakeSlurm, ada: int) -> None:
    fake.user_limits[ada] = {HOLD: 500}
    limit(bank, 0)
    del fake.users[ada]
    enforce(bank)
    assert records(bank) == []
    again = fake.add_user("test1", "ada")
    assert enforced(bank).held_now == [ADA]
    limit(bank, None)
    # A new association: the limit of the one before is not its own.
    assert fake.user_limits[again] == {}


def test_a_dry_run_says_whom_it_would_hold_and_does_nothing(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    assert limit(bank, 10, dry_run=True)["limit_su"] == "10"
    assert users(bank) == []
    limit(bank, 10)
    fake.use(ada, 10 * SU)
    (done,) = run_pass(bank, dry_run=True).passes
    assert done.users.held_now == [ADA]
    assert users(bank) == [("ada", "10", "0", "no")]
    assert fake.user_limits[ada] == {}


def test_a_key_is_answered_once(bank: Bank, ada: int) -> None:
    del ada
    limit(bank, 10, key="k1")
    limit(bank, 20)
    assert limit(bank, 10, key="k1")["limit_su"] == "10"
    assert users(bank) == [("ada", "20", "0", "no")]
    with pytest.raises(Refusal, match="used for limit_user test1 10 user=ada"):
        limit(bank, 10, user="bob", key="k1")


@pytest.mark.parametrize(
    ("user", "su", "message"),
    [
        ("adda", 5, "no user adda in account test1: did you mean ada?"),
        ("zoe", 5, "no user zoe in account test1: there are ada, bob;"),
        ("ada", None, "ada has no limit in test1 that could be taken away: nobody there has one"),
    ],
)
def test_who_is_not_there_is_refused_by_name(
    bank: Bank, ada: int, user: str, su: int | None, message: str
) -> None:
    del ada
    with pytest.raises(Refusal, match=message.replace("?", r"\?")):
        limit(bank, su, user=user)
    assert query(bank, "SELECT * FROM user_limit") == []


def test_an_account_without_users_or_books_is_refused(bank: Bank) -> None:
    with pytest.raises(Refusal, match="doesn't exist in the bank"):
        limit(bank, 5)
    insert(bank, "test1", 5)
    with pytest.raises(Refusal, match="it has none there; 'sacctmgr add user ada"):
        limit(bank, 5)


def test_unknown_is_not_none(
    bank: Bank, ada: int, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    del ada

    def silent(slurm: Slurm, arguments: Sequence[str]) -> str:
        if "accounts=test1" in arguments:
            raise SlurmError("the controller does not answer")
        return fake.run(slurm, arguments)

    monkeypatch.setattr(user_limits, "run", silent)
    with pytest.raises(SlurmError, match="does not answer"):
        limit(bank, 5)


def test_the_history_says_who_changed_it_and_why(bank: Bank, ada: int) -> None:
    del ada
    limit(bank, 10, reason="thesis")
    limit(bank, 12)
    limit(bank, None, reason="done")
    told = [
        (event["user"], event["reference"], event["actor"], event["reason"])
        for event in history.history(bank, "test1")
        if event["kind"] == "limit_user"
    ]
    assert told == [
        ("ada", "10 SUs", "ada", "thesis"),
        ("ada", "12 SUs", "ada", ""),
        ("ada", "no limit", "ada", "done"),
    ]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE user_limit SET amount = amount + 1", "its row says limit of ada 36001"),
        ("UPDATE user_limit SET charged = charged + 1", "its row says charged 18001"),
        ("UPDATE user_limit SET closed = closed + 1", "its row says closed 14401"),
        ("DELETE FROM user_limit", "its row says limit of ada None, its changes say 36000"),
        ("UPDATE user_limit SET user_name = 'bob'", "account test1, limit of bob: its row says"),
        ("UPDATE account SET closed_entry_count = 99", "begins after an entry that it does not"),
    ],
)
def test_verify_proves_them(bank: Bank, fake: FakeSlurm, ada: int, sql: str, problem: str) -> None:
    fake.use(ada, 4 * SU)
    movements.reset_usage(bank, Command("reset_usage", "test1"))
    fake.use(ada, SU)
    enforce(bank)
    limit(bank, 10)
    assert upkeep.verify(bank) == []
    query(bank, sql)
    found = upkeep.verify(bank)
    assert any(problem in one for one in found), found


def test_a_partition_that_cannot_be_named_is_left_alone(
    bank: Bank, fake: FakeSlurm, ada: int
) -> None:
    odd = fake.add_user("test1", "ada", "-x=1")
    heard: list[str] = []
    limit(bank._replace(warn=heard.append), 0)
    assert (fake.user_limits[ada], fake.user_limits[odd]) == ({HOLD: 0}, {})
    (done,) = enforce(bank)
    assert done.notes == heard
    assert heard[0].startswith("user ada in test1 has an association for the partition '-x=1'")


def test_a_change_that_comes_late_is_not_taken_for_anothers(
    native: Bank, fake: FakeSlurm, ada: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(native, 10)
    quiet = native._replace(warn=lambda _: None)

    def dead(slurm: Slurm, arguments: Sequence[str]) -> str:
        if arguments[0] == "sacctmgr":
            raise SlurmError("connection refused")
        return fake.run(slurm, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(changes, "run", dead)
        limit(quiet, 20)
    assert fake.user_limits[ada] == {NATIVE: 600}
    assert enforce(native)[0].notes == []
    assert fake.user_limits[ada] == {NATIVE: 1200}


@pytest.mark.parametrize(
    "user", ["", "a,b", "-x", "a b", "a=b", "a\n", "x$", "dom\\ada", "é", "\u212a", "a" * 256]
)
def test_a_name_that_could_be_misread_never_comes_near_a_command_line(user: str) -> None:
    with pytest.raises(InputError, match="is not a user name"):
        user_name(user)


def test_a_backup_that_knows_no_limits_lets_users_go(
    bank: Bank, fake: FakeSlurm, ada: int, tmp_path: Path
) -> None:
    fake.user_limits[ada] = {HOLD: 500}
    upkeep.backup(bank, str(tmp_path / "monday"))
    limit(bank, 0)
    upkeep.restore(bank, str(tmp_path / "monday"), dry_run=False)
    assert users(bank) == []
    enforce(bank)
    assert fake.user_limits[ada] == {HOLD: 500}
    assert upkeep.verify(bank) == []


def test_programs_read_whom(bank: Bank, ada: int) -> None:
    del ada
    limit(bank, 0)
    (state,) = looking.balance(bank, "test1")
    assert json.loads(json.dumps(state["users"])) == [
        {
            "user": "ada",
            "limit_su": "0",
            "used_su": "0",
            "left_su": "0",
            "held": HELD,
            "is_held": True,
            "limit_billing_seconds": 0,
            "used_billing_seconds": 0,
            "left_billing_seconds": 0,
        }
    ]
