"""Charging by jobs on the model of Slurm: each run once, at its price, whatever comes twice."""

from pathlib import Path
from typing import Any

import pytest

from bank.errors import SettingsError
from bank.ledger.amounts import format_su
from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.clusters import all_clusters
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.reconciliation import Report, look
from bank.settings import Settings
from bank.store import read
from bank.store.connect import reading
from tests.fake_slurm import PARTITION, FakeSlurm
from tests.operations.conftest import SU, insert

NOW = 1_900_000_000
RUN = {
    "seconds": SU,
    "user": "ada",
    "account": "proj",
    "state": "COMPLETED",
    "partition": "normal",
    "qos": "normal",
    "suspended": "00:00:00",
    "tres": "billing=1,cpu=1,node=1",
}


class World:
    """A bank that charges by jobs, with "proj" below "dept", and what sacct knows.

    Attributes:
        now: what time it is; seconds since 1970.
        rows: the runs of sacct, by slurmdbd's number.
    """

    def __init__(self, fake: FakeSlurm, path: Path, **more: Any) -> None:  # noqa: ANN401
        self.now = NOW
        self.fake = fake
        self.rows: dict[int, str] = {}
        plain = Settings(str(path / "bank.db"), usage_source="jobs")._replace(**more)
        self.bank = Bank(plain, "ada", pytest.fail, lambda: self.now * 1_000_000)
        upkeep.migrate(self.bank, dry_run=False)

    def open(self) -> None:
        self.fake.add_user("proj")
        insert(self.bank, "dept", 1000)
        insert(self.bank, "proj", 1000)

    def ran(self, index: int, job: str, **given: Any) -> None:  # noqa: ANN401
        """Let sacct know a run, or know it otherwise than before."""
        run = {**RUN, **given}
        run.setdefault("start", self.now - run["seconds"] - 10)
        raw = run.get("raw", job.split("_", maxsplit=1)[0].split("+", maxsplit=1)[0])
        is_running = run["state"] == "RUNNING"
        ended = "Unknown" if is_running else run["start"] + run["seconds"]
        self.rows[index] = (
            f"{index}|{raw}|{job}|1000|{run['user']}|{run['partition']}|{run['qos']}|{run['state']}"
            f"|{run['start']}|{ended}|{run['suspended']}|{run['tres']}|n1|{run['account']}\n"
        )
        self.fake.sacct = "".join(self.rows.values())

    def look(self, **options: Any) -> Report:  # noqa: ANN401
        (cluster,) = all_clusters(self.bank)
        return look(self.bank, cluster, **options)[1]

    def used(self, name: str = "proj") -> int:
        with reading(self.bank.database) as reader:
            standing = read.standing(reader, name)
        assert standing is not None
        return standing.used

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.bank.database) as reader:
            return reader.query(sql)

    def agrees(self) -> bool:
        return upkeep.verify(self.bank) == []


@pytest.fixture
def world(fake: FakeSlurm, tmp_path: Path) -> World:
    world = World(fake, tmp_path)
    world.open()
    return world


def test_a_run_is_charged_once_for_whom_it_ran_and_for_all_above(world: World) -> None:
    world.ran(1, "17")
    assert world.look().counts == {"charged": 1}
    assert world.look().counts == {"same": 1}
    assert (world.used(), world.used("dept")) == (SU, SU)
    assert world.query(
        "SELECT kind, amount, reference, user_name, reason FROM entry WHERE target = 'used'"
    ) == [("charge", SU, "job fake/1", "ada", "job 17")]
    assert world.agrees()


def test_a_run_of_which_slurmdbd_lost_a_suspension_is_said_and_not_taken_for_nothing(
    world: World,
) -> None:
    # In place of a span it has the instant at which it was suspended, as Slurm 22.05 leaves it.
    world.ran(1, "17", suspended="20779-04:10:01")
    report = world.look()
    assert report.counts == {"not priced": 1}
    (note,) = report.notes
    assert "job 17 of ada in proj is not charged" in note
    assert "it lasted 3600 seconds, and that it was suspended for 1795320601 of them" in note
    world.ran(1, "17", suspended="00:10:00")
    assert world.look().counts == {"charged": 1}
    assert world.used() == SU - 600
    assert world.agrees()


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        # Half a billing-second is a whole one; sacct shows no billing where it is below 1.
        ({"partition": "half", "tres": "cpu=1,node=1", "seconds": 7}, 4),
        ({"partition": "half", "tres": "billing=1,cpu=3,node=1", "seconds": 7}, 11),
        # Requeued before its start was told: which of them it ran in shows in its whole number.
        ({"partition": "normal,half", "tres": "billing=1,cpu=3,node=1", "seconds": 7}, 11),
        ({"partition": "normal,half", "tres": "billing=3,cpu=3,node=1", "seconds": 7}, 21),
        ({"suspended": "00:10:00"}, SU - 600),
        ({"qos": "double", "seconds": 11}, 22),
        ({"seconds": 0}, 0),
        ({"seconds": 0, "suspended": "20779-04:10:01"}, 0),
        ({"state": "CANCELLED by 1000", "seconds": 5}, 5),
    ],
)
def test_what_a_run_costs(world: World, given: dict[str, Any], cost: int) -> None:
    world.ran(1, "17", **given)
    world.look()
    assert world.used() == cost
    assert world.agrees()


def test_each_size_of_a_job_counts_for_its_own_time(world: World) -> None:
    start = world.now - 1000
    world.ran(1, "17", start=start, seconds=100, state="RESIZING", tres="billing=4,cpu=4")
    world.ran(2, "17", start=start, seconds=150, tres="billing=2,cpu=2")
    world.look()
    assert world.used() == 4 * 100 + 2 * 50
    world.now += 2 * SU
    world.look()
    assert world.query("SELECT count(*) FROM job_charge") == [(2,)]


def test_what_slurmdbd_says_later_changes_the_charge_by_the_difference(world: World) -> None:
    world.ran(1, "17", seconds=1000, start=NOW - 3000)
    world.look()
    for seconds in (2000, 100):
        world.ran(1, "17", seconds=seconds, start=NOW - 3000)
        report = world.look()
        assert (report.counts, len(report.notes)) == ({"changed": 1}, 1)
        assert world.used() == seconds
        assert world.agrees()
    insert(world.bank, "test1", 10)
    world.ran(1, "17", seconds=100, start=NOW - 3000, account="test1")
    world.look()
    assert (world.used(), world.used("test1")) == (0, 100)
    assert world.query("SELECT max(revision) FROM job_charge") == [(4,)]
    assert world.agrees()


def test_what_a_closed_period_has_settled_is_not_taken_off_again(world: World) -> None:
    world.ran(1, "17")
    world.look()
    movements.reset_usage(world.bank, Command("reset_usage", "proj"))
    world.ran(1, "17", seconds=100)
    (note,) = world.look().notes
    assert f"{format_su(SU - 100)} SUs stay, of a period that is over" in note
    assert world.used() == 0
    assert world.agrees()


def test_a_run_whose_price_nobody_knows_is_said_and_never_taken_for_nothing(world: World) -> None:
    world.ran(1, "17", qos="gone")
    world.ran(2, "18", partition="gone", tres="cpu=1")
    first, second = world.look().notes
    assert "the UsageFactor of QOS gone is not known" in first
    assert "the weights of partition gone are not known, and sacct shows no billing" in second
    assert world.look().notes == []
    assert world.look(since=NOW - 10 * SU).notes == [first, second]
    assert world.used() == 0
    assert world.agrees()
    # Where it is known later, it is charged then.
    world.ran(1, "17")
    assert world.look().counts["charged"] == 1
    assert world.used() == SU
    assert world.agrees()


def test_a_run_that_slurmdbd_knows_less_of_than_before_stays_charged_and_is_said(
    world: World,
) -> None:
    start = NOW - 3000
    world.ran(1, "17", start=start, seconds=1000)
    world.ran(2, "18", start=start, seconds=0)
    world.ran(3, "19", start=start, seconds=300)
    world.look()
    # A controller that was killed ran both once more, and slurmdbd was never told of their starts.
    for index, job in ((1, "17"), (2, "18")):
        world.ran(index, job, start=start, seconds=1500, partition="", qos="gone", tres="")
    world.ran(3, "19", start=start, seconds=300, suspended="00:05:05")
    notes = sorted(world.look().notes)
    assert "job 17 of ada in proj stays charged with 0.2778 SUs" in notes[0]
    assert "job 18 of ada in proj is not charged" in notes[1]
    assert "job 19 of ada in proj stays charged with 0.0833 SUs" in notes[2]
    assert world.look().notes == []
    assert world.used() == 1300
    assert world.agrees()
    world.ran(1, "17", start=start, seconds=1500)
    world.ran(2, "18", start=start, seconds=1500)
    world.ran(3, "19", start=start, seconds=300, suspended="00:01:00")
    world.look()
    assert world.used() == 3240
    assert world.agrees()


def test_a_run_that_ended_before_it_began_is_said_and_not_taken_for_nothing(world: World) -> None:
    # The clock was set back while it ran.
    world.ran(1, "17", start=NOW - 50, seconds=-100)
    report = world.look()
    assert report.counts == {"not priced": 1}
    assert "it lasted -100 seconds" in report.notes[0]
    assert world.used() == 0
    assert world.agrees()


def test_weights_and_factors_are_those_of_when_a_run_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = world.now
    world.now += 1000
    monkeypatch.setattr("tests.fake_slurm.PARTITION", PARTITION.replace("CPU=1.0", "CPU=3.0"))
    world.look()
    world.ran(1, "17", start=began, seconds=10)
    world.ran(2, "18", start=world.now, seconds=10, tres="billing=3,cpu=1")
    # It began after the change, which was seen only later: sacct's whole number tells.
    world.ran(3, "19", start=world.now - 500, seconds=10, tres="billing=3,cpu=1")
    # Of weights that were never seen its whole number is all there is.
    world.ran(4, "20", start=world.now - 500, seconds=10, tres="billing=7,cpu=1")
    world.now += 1000
    world.look()
    assert world.query("SELECT amount, priced_by FROM job_charge ORDER BY job_index") == [
        (10, "weights"),
        (30, "weights"),
        (30, "weights seen next"),
        (70, "billing"),
    ]


def test_runs_that_have_not_ended_cost_nothing_yet_and_stuck_ones_are_named(world: World) -> None:
    world.ran(1, "17", state="RUNNING")
    world.ran(2, "18", state="RUNNING")
    world.ran(3, "19", state="RUNNING", account="test1")
    world.fake.squeue = f"18|{world.now - 2 * SU}|RUNNING\n"
    report = world.look()
    assert (report.stuck, report.counts) == (["17"], {})
    assert world.used() == 0


def test_what_is_seen_late_is_charged_as_far_back_as_it_is_looked_for(world: World) -> None:
    world.now += 10 * SU
    world.look()
    world.ran(1, "17", start=NOW - 100, seconds=10)
    assert world.look().counts == {}
    report = world.look(since=NOW - 1000)
    assert (report.counts, report.late) == ({"charged": 1}, 1)


def test_a_dry_run_says_what_a_look_does_and_writes_nothing(world: World) -> None:
    world.ran(1, "17")
    dump = world.query("SELECT * FROM account")
    rehearsed = world.look(dry_run=True)
    assert world.query("SELECT * FROM account") == dump
    assert world.query("SELECT count(*) FROM job_charge") == [(0,)]
    assert rehearsed.amounts == world.look().amounts


def test_the_look_goes_back_to_where_everything_was_known(world: World) -> None:
    world.now += 1000
    world.look()
    # What ended in the last second may be told in the next one.
    assert world.query("SELECT reconciled_until FROM cluster") == [(NOW + 1000 - 2,)]
    # One that looked at a later part only has not seen all in between.
    world.now += 1000
    world.look(since=world.now - 10)
    assert world.query("SELECT reconciled_until FROM cluster") == [(NOW + 1000 - 2,)]


def test_a_clock_that_was_ahead_for_a_while_hides_no_run(world: World) -> None:
    world.look()
    world.now += 40 * 3600
    world.look()
    world.now -= 40 * 3600 - 600
    world.look()
    for index, hours in enumerate((1, 5, 9), start=1):
        world.now = NOW + hours * 3600
        world.ran(index, str(index), seconds=60)
        if hours == 5:
            # Nobody looks for hours.
            continue
        world.look()
    assert world.used() == 3 * 60
    assert world.query("SELECT reconciled_until FROM cluster") == [(world.now - 2,)]


def test_meters_are_read_as_control_and_book_nothing(world: World) -> None:
    association = next(iter(world.fake.users))
    world.fake.use(association, 500)
    world.look()
    world.fake.users[association][3] = 20
    world.look()
    del world.fake.users[association]
    enforce(world.bank)
    assert world.query("SELECT raw, cause, booked FROM reading ORDER BY seq") == [
        (500, "control", 0),
        (20, "control", 0),
        (0, "gone", 0),
    ]
    assert world.used() == 0
    assert world.agrees()


def test_an_account_that_comes_brings_what_ran_in_it_before(world: World) -> None:
    """An account below an open one may have come, run and ended between two passes."""
    world.ran(1, "17", account="new", start=NOW - 1000 * SU)
    world.look()
    assert world.used("dept") == 0
    world.fake.add_account("new", "dept")
    assert world.look().counts == {"charged": 1}
    assert world.used("dept") == SU
    assert world.look().counts == {}
    assert world.agrees()


def test_where_nothing_from_before_counts_runs_count_from_the_first_look(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    world = World(fake, tmp_path, usage_baseline="now")
    world.open()
    world.ran(1, "17", start=NOW - 1000, seconds=500)
    world.ran(2, "18", start=NOW - 1000, seconds=1500)
    world.now += 1000
    world.look()
    assert world.used() == 500
    assert world.agrees()


def test_settings_that_disagree_with_what_is_on_record_are_refused(world: World) -> None:
    other = world.bank._replace(settings=world.bank.settings._replace(usage_source="meters"))
    with pytest.raises(SettingsError, match="change_source"):
        enforce(other)


def test_a_pass_charges_before_it_decides(world: World) -> None:
    world.ran(1, "17", tres="billing=1000,cpu=1000")
    (done,) = enforce(world.bank)
    assert (done.charged, done.held_now) == (1000 * SU, ["dept", "proj"])
    assert world.agrees()


def test_a_dry_run_of_a_pass_decides_as_the_pass_does(world: World) -> None:
    world.ran(1, "17", tres="billing=1000,cpu=1000")
    (rehearsed,) = enforce(world.bank, dry_run=True)
    assert (rehearsed.charged, rehearsed.held_now) == (1000 * SU, ["dept", "proj"])
    assert world.used() == 0
