"""Twenty at once for what pays for seven: liens of programs, starts of jobs, and withdrawals."""

import threading
from pathlib import Path

import pytest

from bank.errors import Refusal
from bank.operations import liens, looking, movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.liens import Answer, Ending, Wanted
from bank.policy.liens import VOIDED
from bank.settings import Settings
from bank.store import liens as stored
from bank.store.connect import reading, writing
from bank.store.lien_proof import lien_problems
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

_TIMES = 50
_AT_ONCE = 20
_PAID = 7


def _ask(bank: Bank, number: int) -> bool:
    """Ask for 10 SUs in one of three ways; tell whether they were given."""
    if number % 3 == 0:
        try:
            movements.withdraw(bank, Command("withdraw", "proj", 10 * SU))
        except Refusal:
            return False
        return True
    wanted = Wanted("fake", "proj", "ada", f"token{number}", 10 * SU, placed_by="api")
    if number % 3 == 1:
        wanted = wanted._replace(job_id=number, placed_by="start")
    with writing(bank.database) as writer:
        (answer,) = liens.place(bank, writer, [wanted])
    return isinstance(answer, Answer)


@pytest.mark.timeout(240)
def test_exactly_seven_of_twenty_are_paid_each_time(fake: FakeSlurm, tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "bank.db"), usage_source="jobs")
    bank = Bank(settings, "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj")
    insert(bank, "proj", 10 * _PAID)
    for _ in range(_TIMES):
        paid = _race(bank)
        assert len(paid) == _PAID
        (state,) = looking.balance(bank, "proj")
        assert state["available_billing_seconds"] == 0
        with reading(bank.database) as reader:
            assert list(lien_problems(reader)) == []
            tokens = [lien.token for lien in stored.find_open(reader)]
        _again(bank, tokens, withdrawn=sum(number % 3 == 0 for number in paid))


def _race(bank: Bank) -> list[int]:
    """Let twenty ask at once; return those that were given what they asked for."""
    together = threading.Barrier(_AT_ONCE)
    paid: list[int] = []

    def ask(number: int) -> None:
        together.wait(60)
        if _ask(bank, number):
            paid.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return paid


def _again(bank: Bank, tokens: list[str], *, withdrawn: int) -> None:
    """Make everything as it was: liens voided and forgotten, withdrawals given back."""
    with writing(bank.database) as writer:
        liens.end(bank, writer, [Ending(token, VOIDED) for token in tokens])
        writer.execute("DELETE FROM lien", [{}])
    if withdrawn:
        movements.deposit(bank, Command("deposit", "proj", 10 * SU * withdrawn))
