"""Changing many limits: what is not begun in time, and what the controller never heard of."""

import pytest

from bank.errors import NotConfirmed, SlurmTimedOut
from bank.operations import changes
from bank.operations.bank import Bank
from bank.operations.enforcement import enforce
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert

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
