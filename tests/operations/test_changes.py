"""Changing many limits: what is not begun in time, and what the controller never heard of."""

from collections.abc import Sequence

import pytest

from bank.errors import NotConfirmed, SlurmError, SlurmTimedOut
from bank.operations import changes, looking, movements
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce, run_pass
from bank.slurm.command import Slurm
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

NAMES = [f"acc{number}" for number in range(5)]
NATIVE = "GrpTRESMins=billing"


@pytest.fixture
def limited(bank: Bank, fake: FakeSlurm) -> Bank:
    """A bank whose accounts each need a native limit of their own."""
    for number, name in enumerate(NAMES):
        fake.add_account(name)
        insert(bank, name, 100 + number)
    settings = bank.settings._replace(enforcement="limit", confirm_seconds=1)
    return bank._replace(settings=settings, warn=lambda _: None)


def native(fake: FakeSlurm) -> list[int | None]:
    return [fake.limits[name].get(NATIVE) for name in NAMES]


WANTED = [(100 + number) * 60 for number in range(len(NAMES))]


def test_what_is_not_begun_in_time_is_done_by_the_next_pass(
    limited: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(changes, "_LONGEST_SECONDS", -1)
        with pytest.raises(NotConfirmed, match="acc0, acc1"):
            enforce(limited)
    assert native(fake) == [None] * len(NAMES)
    assert enforce(limited)[0].limited == NAMES
    assert native(fake) == WANTED


def test_after_one_that_timed_out_no_other_is_begun(
    limited: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def frozen(names: list[str], change: str) -> str:
        begun.append((names, change))
        raise SlurmTimedOut("sacctmgr did not answer")

    with monkeypatch.context() as patch:
        patch.setattr(changes, "_AT_ONCE", 1)
        patch.setattr(fake, "_modify", frozen)
        with pytest.raises(NotConfirmed):
            enforce(limited)
    assert len(begun) == 1
    enforce(limited)
    assert native(fake) == WANTED


def test_accounts_that_are_to_have_the_same_are_one_call(limited: Bank, fake: FakeSlurm) -> None:
    enforce(limited)
    calls = len(fake.calls)
    held = limited._replace(settings=limited.settings._replace(enforcement="hold"))
    enforce(held)
    changing = [argv for argv in fake.calls[calls:] if argv[0] == "sacctmgr"]
    assert [argv[-1] for argv in changing] == [f"{NATIVE}=-1"]


class Slurmdbd:
    """What comes between the bank and the model: it may refuse, or take a change and tell nobody.

    Attributes:
        mode: "up", "down", or "untold": it commits and dies before it tells the controller.
        has: the last change that it committed and told nobody of.
    """

    def __init__(self, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mode = "up"
        self.has = ""
        self._run = fake.run
        monkeypatch.setattr(changes, "run", self.run)

    def run(self, slurm: Slurm, arguments: Sequence[str]) -> str:
        if arguments[0] == "sacctmgr" and self.mode != "up":
            if self.mode == "untold":
                self.has = arguments[-1]
            raise SlurmError("connection refused")
        return self._run(slurm, arguments)


@pytest.fixture
def slurmdbd(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Slurmdbd:
    return Slurmdbd(fake, monkeypatch)


def limiting(bank: Bank, **settings: object) -> Bank:
    known = {"enforcement": "limit", "confirm_seconds": 1, "limit_tolerance": 0, **settings}
    changed = bank.settings._replace(**known)  # type: ignore[arg-type]
    return bank._replace(settings=changed, warn=lambda _: None)


def test_what_was_before_stays_until_its_place_is_taken(
    bank: Bank, fake: FakeSlurm, slurmdbd: Slurmdbd
) -> None:
    insert(bank, "test1", 0)
    refused = limiting(bank, enforcement="hold", account_hold="GrpJobs")
    slurmdbd.mode = "down"
    with pytest.raises(NotConfirmed):
        enforce(refused)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    slurmdbd.mode = "up"
    enforce(refused)
    assert fake.limits["test1"] == {"GrpJobs": 0}


def test_a_value_of_the_banks_that_comes_late_is_not_taken_for_anothers(
    bank: Bank, fake: FakeSlurm, slurmdbd: Slurmdbd
) -> None:
    limited = limiting(bank)
    insert(limited, "test1", 100)
    slurmdbd.mode = "untold"
    movements.add(limited, Command("add", "test1", 10 * SU))
    slurmdbd.mode = "down"
    movements.add(limited, Command("add", "test1", 10 * SU))
    # Both daemons are started again, and the controller reads what slurmdbd had.
    assert slurmdbd.has == f"{NATIVE}={110 * 60}"
    fake.limits["test1"][NATIVE] = 110 * 60
    slurmdbd.mode = "up"
    enforce(limited)
    assert fake.limits["test1"] == {NATIVE: 120 * 60}
    enforce(limiting(bank, enforcement="hold"))
    assert fake.limits["test1"] == {}


def test_a_stop_by_others_is_left_alone_though_a_change_of_the_banks_is_late(
    bank: Bank, fake: FakeSlurm, slurmdbd: Slurmdbd
) -> None:
    limited = limiting(bank)
    insert(limited, "test1", 100)
    slurmdbd.mode = "down"
    movements.add(limited, Command("add", "test1", 10 * SU))
    slurmdbd.mode = "up"
    fake.limits["test1"][NATIVE] = 0
    assert enforce(limited)[0].held_by_others == ["test1"]
    assert fake.limits["test1"] == {NATIVE: 0}


def test_less_than_a_minute_is_no_hold(bank: Bank, fake: FakeSlurm) -> None:
    limited = limiting(bank)
    insert(limited, "test1", 0)
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    movements.add(limited, Command("add", "test1", 59))
    assert fake.limits["test1"] == {NATIVE: 0}
    assert (enforce(limited)[0].held, looking.balance(limited, "test1")[0]["held"]) == ([], "no")


def test_a_cluster_that_the_settings_name_no_more_holds_nobody(bank: Bank, fake: FakeSlurm) -> None:
    def named(cluster: str) -> Bank:
        fake.cluster = cluster
        return limiting(bank, clusters=(cluster,), enforcement="hold", hold_counts_running=True)

    old = named("old")
    insert(old, "test1", 10)
    insert(old, "dept", 0)
    fake.running["test1"] = 600
    assert enforce(old)[0].held == ["dept", "test1"]
    # The site has another cluster now, on which nothing was set and nothing runs.
    fake.limits.update(test1={}, dept={})
    fake.running.clear()
    new = named("new")
    outcome = run_pass(new)
    assert fake.limits["test1"] == {}
    assert "cluster old is not in CLUSTERS any more" in outcome.notes[0]
    assert "dept, test1" in outcome.notes[0]
    (state,) = looking.balance(new, "test1")
    assert (state["held"], state["is_held"], state["set_aside_su"]) == ("no", False, "0")
    movements.delete(new, Command("delete", "test1", force=True))
    assert fake.limits["test1"] == {}
