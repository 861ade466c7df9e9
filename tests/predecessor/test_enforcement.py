"""Defects 1 to 43 of the predecessor but for those of dates and thresholds: holding and counting.

docs/predecessor.md says what went wrong there.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bank.errors import SlurmError
from bank.operations import movements
from bank.operations.bank import Bank
from bank.operations.commands import Command as Movement
from bank.operations.enforcement import enforce, run_pass
from bank.slurm.command import Slurm
from bank.store.connect import reading
from tests.cli.conftest import Command
from tests.fake_slurm import ROOMS, FakeSlurm
from tests.operations.conftest import insert
from tests.predecessor.conftest import HELD, SU

RECORDED = Path(__file__).parent.parent / "slurm" / "recorded" / "22.05"


def set_setting(settings: Path, line: str) -> None:
    with settings.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def changes(fake: FakeSlurm) -> list[str]:
    """Return every change that was asked of Slurm."""
    return [argv[-1] for argv in fake.calls if argv[0] == "sacctmgr"]


def test_01_a_hold_that_slurm_refuses_is_not_called_done(
    command: Command, fake: FakeSlurm, settings: Path, is_refused: Callable[[bool], None]
) -> None:
    set_setting(settings, "CONFIRM_SECONDS = 1")
    command("insert", "test1", "1")
    fake.use(fake.add_user("test1"), 2 * SU)
    is_refused(True)
    done = command("enforce")
    assert done.status == 75
    assert "0 held now" in done.out
    assert "does not show the change for test1" in done.err
    assert "not yet, asked for by the bank" in command("balance", "test1").out
    is_refused(False)
    assert "held now: test1" in command("enforce").out
    assert fake.limits["test1"] == HELD


def test_02_a_release_that_slurm_refuses_is_not_called_done(
    command: Command, fake: FakeSlurm, settings: Path, is_refused: Callable[[bool], None]
) -> None:
    set_setting(settings, "CONFIRM_SECONDS = 1")
    command("insert", "test1", "0")
    is_refused(True)
    done = command("add", "test1", "5")
    assert "being released" in done.out
    done = command("release_hold", "test1")
    assert (done.status, "does not show the change for test1" in done.err) == (75, True)
    is_refused(False)
    assert "1 released" in command("enforce").out
    assert fake.limits["test1"] == {}


def test_03_a_reset_that_slurm_refuses_puts_nobody_over_the_new_budget(
    command: Command, fake: FakeSlurm, is_refused: Callable[[bool], None]
) -> None:
    command("insert", "test1", "10")
    association = fake.add_user("test1")
    fake.use(association, 9 * SU)
    is_refused(True)
    assert command("reset_usage", "test1").status == 0
    assert fake.raw("test1") == 9 * SU
    # Two more of ten, and not eleven of ten.
    fake.use(association, 2 * SU)
    assert command("enforce").status == 69
    assert json.loads(command("balance", "test1", "--json").out)["used_su"] == "2"
    is_refused(False)
    assert command("enforce").status == 0
    assert fake.raw("test1") == 0
    assert json.loads(command("balance", "test1", "--json").out)["used_su"] == "2"
    assert fake.limits["test1"] == {}


def test_05_an_unlimited_account_can_be_released(command: Command, fake: FakeSlurm) -> None:
    command("insert", "test1", "-1")
    command("hold", "test1")
    assert fake.limits["test1"] == HELD
    assert command("release_hold", "test1").status == 0
    assert fake.limits["test1"] == {}


def test_06_a_held_account_made_unlimited_is_released(command: Command, fake: FakeSlurm) -> None:
    command("insert", "test1", "0")
    assert fake.limits["test1"] == HELD
    command("modify", "test1", "-1")
    assert fake.limits["test1"] == {}


def test_08_a_negative_amount_is_not_added(command: Command) -> None:
    command("insert", "test1", "100")
    done = command("add", "test1", "-1")
    assert done.status == 65
    assert "for no limit use modify with -1" in done.err
    assert command("get_sus", "test1").out == "Account test1 has 100 SUs\n"


def test_09_at_its_limit_an_account_is_held_and_the_least_more_releases_it(
    bank: Bank, fake: FakeSlurm
) -> None:
    insert(bank, "test1", 100)
    fake.use(fake.add_user("test1"), 100 * SU)
    enforce(bank)
    assert fake.limits["test1"] == HELD
    movements.add(bank, Movement("add", "test1", 1))
    assert fake.limits["test1"] == {}


def test_10_parts_of_an_hour_count(bank: Bank, fake: FakeSlurm) -> None:
    insert(bank, "test1", 1)
    association = fake.add_user("test1")
    fake.use(association, SU - 1)
    enforce(bank)
    assert fake.limits["test1"] == {}
    fake.use(association, 2)
    enforce(bank)
    assert fake.limits["test1"] == HELD


def test_11_an_account_with_nothing_is_held_and_that_is_logged_and_shown(
    command: Command,
    fake: FakeSlurm,
    log: Callable[[], list[dict[str, Any]]],
    sbank: Callable[[str], tuple[Any, ...]],
) -> None:
    command("insert", "test1", "0")
    assert fake.raw("test1") == 0
    assert fake.limits["test1"] == HELD
    assert [line["held"] for line in log() if line["event"] == "pass"] == [["test1"]]
    *_, is_max_told = sbank("test1")
    assert is_max_told == 1


class TwoClusters:
    """Two models behind one set of commands, of which each may be unreachable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = {"here": FakeSlurm(), "there": FakeSlurm()}
        for name, fake in self.known.items():
            fake.cluster = name
        self.dead: set[str] = set()
        for room in ROOMS:
            monkeypatch.setattr(room, "run", self.run)

    def run(self, slurm: Slurm, arguments: Sequence[str]) -> str:
        argv, name = list(arguments), "here"
        if argv[1] == "-M":
            name = argv[2]
            del argv[1:3]
        for word in argv:
            if word.startswith("cluster="):
                name = word.removeprefix("cluster=")
        if name in self.dead:
            raise SlurmError(f"cluster {name} does not answer")
        return self.known[name].run(slurm, argv)


@pytest.fixture
def two(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> TwoClusters:
    """Two clusters: test1 is on both, and on each there is an account that the other lacks."""
    # Which the bank would talk to otherwise.
    del fake
    two = TwoClusters(monkeypatch)
    for name, fake in two.known.items():
        fake.add_account("test1")
        fake.add_account(f"only_{name}")
    return two


def test_23_an_account_on_one_of_two_clusters_is_held_there(two: TwoClusters, bank: Bank) -> None:
    bank = bank._replace(settings=bank.settings._replace(clusters=("here", "there")))
    insert(bank, "only_there", 1)
    there = two.known["there"]
    there.use(there.add_user("only_there"), 2 * SU)
    passes = enforce(bank)
    assert there.limits["only_there"] == HELD
    assert [done.gone for done in passes] == [[], []]


def test_24_a_cluster_that_does_not_answer_keeps_no_other_one_from_being_held(
    two: TwoClusters, bank: Bank
) -> None:
    bank = bank._replace(settings=bank.settings._replace(clusters=("here", "there")))
    insert(bank, "test1", 1)
    here, there = two.known.values()
    here.use(here.add_user("test1"), 2 * SU)
    two.dead.add("there")
    outcome = run_pass(bank)
    assert [failed.cluster for failed in outcome.failures] == ["there"]
    assert here.limits["test1"] == HELD
    assert there.limits["test1"] == {}
    two.dead.clear()
    enforce(bank)
    assert there.limits["test1"] == HELD


def test_27_every_option_is_one_that_cannot_be_abbreviated() -> None:
    asked = [path.read_text().split("\n") for path in RECORDED.glob("*.argv")]
    assert asked
    assert [word for argv in asked for word in argv if word.startswith("--")] == []
    # And no builder knows one that was not recorded.
    for path in Path("bank/slurm").resolve().glob("*.py"):
        assert re.findall(r"[\"']--\w+", path.read_text(encoding="utf-8")) == [], path


def test_33_a_hold_is_sent_once(bank: Bank, fake: FakeSlurm) -> None:
    insert(bank, "test1", 1)
    association = fake.add_user("test1")
    fake.use(association, 2 * SU)
    for _ in range(3):
        enforce(bank)
        fake.use(association, SU)
    assert changes(fake) == ["GrpTRESMins=cpu=0"]


def test_35_that_slurm_still_holds_an_account_is_known_when_its_flag_is_cleared(
    command: Command,
    fake: FakeSlurm,
    settings: Path,
    is_refused: Callable[[bool], None],
    sbank: Callable[[str], tuple[Any, ...]],
) -> None:
    set_setting(settings, "CONFIRM_SECONDS = 1")
    command("insert", "test1", "0")
    is_refused(True)
    command("add", "test1", "5")
    assert sbank("test1")[-1] == 0
    assert fake.limits["test1"] == HELD
    state = json.loads(command("balance", "test1", "--json").out)
    assert (state["is_held"], state["available_su"]) == (True, "5")


def test_36_a_second_hold_is_logged_and_shown_like_the_first(
    command: Command,
    fake: FakeSlurm,
    log: Callable[[], list[dict[str, Any]]],
    sbank: Callable[[str], tuple[Any, ...]],
) -> None:
    command("insert", "test1", "1")
    association = fake.add_user("test1")
    flags = []
    for _ in range(2):
        fake.use(association, SU)
        command("enforce")
        flags.append(sbank("test1")[-1])
        command("add", "test1", "1")
        flags.append(sbank("test1")[-1])
    assert flags == [1, 0, 1, 0]
    assert [line["event"] for line in log()].count("max_limit") == 2


def test_40_sus_are_taken_back_and_less_than_the_default_is_given(
    command: Command, settings: Path
) -> None:
    set_setting(settings, "DEFAULT_ALLOCATION = 10")
    command("insert", "test1", "5")
    assert command("add", "test1", "0.5").status == 0
    assert command("withdraw", "test1", "2").status == 0
    assert command("get_sus", "test1").out == "Account test1 has 3.5 SUs\n"


def test_42_use_is_booked_by_cluster_and_user_and_child_accounts_divide_a_budget(
    bank: Bank, fake: FakeSlurm
) -> None:
    insert(bank, "dept", 100)
    insert(bank, "proj", 1)
    for user, seconds in (("ada", 2 * SU), ("bob", 3 * SU)):
        fake.use(fake.add_user("proj", user), seconds)
    enforce(bank)
    with reading(bank.database) as reader:
        charged = reader.query(
            "SELECT cluster, user_name, amount FROM entry WHERE kind = 'charge' ORDER BY user_name"
        )
    assert charged == [("fake", "ada", 2 * SU), ("fake", "bob", 3 * SU)]
    # What one child may use is its own; the whole goes on.
    assert (fake.limits["proj"], fake.limits["dept"]) == (HELD, {})
