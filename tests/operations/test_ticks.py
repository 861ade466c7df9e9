"""When the controller last counted what runs: seen by its meters, and by nothing like it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bank.errors import SlurmError
from bank.operations import ticks
from bank.operations.bank import Bank
from bank.operations.clusters import all_clusters
from bank.operations.ticks import Tick, wait_for_tick
from bank.settings import Settings
from tests.fake_slurm import FakeSlurm

PERIOD = 60
COVERED = {"test1", "dept", "proj"}


class Script:
    """Time that passes only while it is waited, and what happens meanwhile.

    Attributes:
        at: by second since the beginning, what is done then.
    """

    def __init__(self, fake: FakeSlurm) -> None:
        self.now = 1_900_000_000.25
        self.began = self.now
        self.fake = fake
        self.at: dict[float, Callable[[], None]] = {}
        self.jobs: dict[int, tuple[str, str]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = sorted(when for when in self.at if self.began + when <= self.now)
        for when in due:
            self.at.pop(when)()

    def run(self, number: int, account: str, user: str) -> None:
        """Let a job run."""
        self.jobs[number] = (account, user)
        self.show()

    def end(self, number: int, counted: int) -> None:
        """Let a job end, which is counted at once."""
        account, user = self.jobs.pop(number)
        self.count(account, user, counted)
        self.show()

    def show(self) -> None:
        rows = [
            (str(number), str(number), "N/A", "RUNNING", user, account, "normal", "normal")
            for number, (account, user) in self.jobs.items()
        ]
        end = ("1:00:00", str(int(self.began) - 100), "cpu=1", "1", "", "\n")
        self.fake.live = "".join("\x1f".join((*row, *end)) for row in rows)

    def count(self, account: str, user: str, amount: int) -> None:
        for association, (name, who, *_) in self.fake.users.items():
            if (name, who) == (account, user):
                self.fake.use(association, amount)

    def tick(self) -> None:
        for account, user in self.jobs.values():
            self.count(account, user, PERIOD)


@pytest.fixture
def script(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script(fake)
    monkeypatch.setattr(ticks, "time", script)
    for account, user in (("test1", "ada"), ("proj", "ada"), ("proj", "bob")):
        fake.add_user(account, user)
    return script


@pytest.fixture
def wait(script: Script, tmp_path: Path) -> Callable[[], Tick]:
    bank = Bank(
        Settings(str(tmp_path / "bank.db"), usage_source="jobs"),
        "ada",
        pytest.fail,
        lambda: int(script.now * 1_000_000),
    )

    def wait_for() -> Tick:
        (cluster,) = all_clusters(bank)
        return wait_for_tick(bank, cluster, COVERED, lambda _: None)

    return wait_for


def second(script: Script, tick: Tick) -> float:
    """Return which second since the beginning a tick was of."""
    assert tick.last - tick.first <= 1
    return tick.last - int(script.began)


def test_where_nothing_runs_it_is_now(script: Script, wait: Callable[[], Tick]) -> None:
    tick = wait()
    assert (tick.first, tick.last, tick.running) == (int(script.began), int(script.began), 0)
    assert tick.uncertain == 0


def test_a_tick_is_seen_when_all_that_run_are_counted(
    script: Script, wait: Callable[[], Tick]
) -> None:
    script.run(1, "test1", "ada")
    script.run(2, "proj", "bob")
    script.at[30.5] = script.tick
    tick = wait()
    assert (second(script, tick), tick.running) == (30, 2)
    # Two cores: two billing-seconds for each second that is not certain.
    assert tick.uncertain == 2 * (tick.last - tick.first)


def test_a_job_that_ends_is_no_tick(script: Script, wait: Callable[[], Tick]) -> None:
    for number, (account, user) in enumerate((("test1", "ada"), ("proj", "ada"), ("proj", "bob"))):
        script.run(number, account, user)
    script.run(7, "test1", "ada")
    script.at[10] = lambda: script.end(7, 40)
    script.at[30.5] = script.tick
    assert second(script, wait()) == 30


def test_a_job_that_ends_alone_on_the_only_meter_is_no_tick(
    script: Script, wait: Callable[[], Tick]
) -> None:
    script.run(1, "test1", "ada")
    script.run(2, "test1", "ada")
    script.at[10] = lambda: script.end(2, 40)
    script.at[30.5] = script.tick
    assert second(script, wait()) == 30


def test_jobs_of_other_accounts_do_not_count(script: Script, wait: Callable[[], Tick]) -> None:
    script.fake.add_account("stranger")
    script.fake.add_user("stranger", "eve")
    script.run(1, "stranger", "eve")
    assert wait().running == 0


def test_a_controller_that_does_not_count_is_not_waited_for_forever(
    script: Script, wait: Callable[[], Tick]
) -> None:
    script.run(1, "test1", "ada")
    with pytest.raises(SlurmError, match="has not been seen to count what runs within 122 s"):
        wait()
    assert script.now - script.began < 2 * PERIOD + 10
