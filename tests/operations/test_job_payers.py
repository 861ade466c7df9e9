"""A job is paid by grants that were in force when it began, whenever it is charged."""

from pathlib import Path

import pytest

from bank.operations import grants as granting
from bank.operations.closing import payers
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.store import read
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert
from tests.operations.test_reconcile import NOW, World


@pytest.fixture
def world(fake: FakeSlurm, tmp_path: Path) -> World:
    world = World(fake, tmp_path)
    # That grants end is said.
    world.bank = world.bank._replace(warn=print)
    fake.add_user("proj")
    fake.add_user("test1")
    return world


def grant(world: World, name: str, su: int, start: int, end: int) -> int:
    """Give a grant from one second after NOW until before another; return its number."""
    times = ((NOW + start) * 1_000_000, (NOW + end) * 1_000_000)
    command = Command("grant", name, su * SU, start_at=times[0], end_at=times[1], force=True)
    return int(granting.grant(world.bank, command)["grant"]["grant"])


def paid(world: World, name: str) -> dict[int | None, int]:
    """Return what each grant that is not over pays."""
    with reading(world.bank.database) as reader:
        standing = read.standing(reader, name)
        assert standing is not None
        return dict(payers(reader, standing).parts)


def closed(world: World, name: str) -> dict[int, int]:
    """Return what each grant that is over has paid."""
    rows = world.query(
        "SELECT name, entry.grant_id, sum(amount) FROM entry JOIN account USING (account_id)"
        " WHERE kind = 'closing' GROUP BY name, entry.grant_id"
    )
    return {number: amount for whose, number, amount in rows if whose == name}


def live(*, start: int) -> str:
    """Return what squeue says of job 7 of ada in test1, which runs for an hour at most."""
    whose = ("7", "7", "N/A", "RUNNING", "ada", "test1", "normal", "normal")
    return "\x1f".join((*whose, "1:00:00", str(start), "cpu=1", "1", "", "\n"))


@pytest.mark.parametrize("is_turned_before", [False, True])
def test_a_grant_that_ends_while_a_job_runs_pays_for_it(
    world: World, *, is_turned_before: bool
) -> None:
    first, second = grant(world, "test1", 10, 0, 1000), grant(world, "test1", 10, 1000, 9000)
    world.now = NOW + 1200
    if is_turned_before:
        # A pass that sees the job run keeps for it what it may still use of the grant.
        world.fake.live = live(start=NOW + 500)
        enforce(world.bank)
        world.fake.live = ""
    world.ran(1, "7", account="test1", start=NOW + 500, seconds=1000)
    world.ran(2, "8", account="test1", start=NOW + 1100, seconds=300)
    world.now = NOW + 2000
    enforce(world.bank)
    world.now = NOW + 2100
    enforce(world.bank)
    assert closed(world, "test1") == {first: 1000}
    assert paid(world, "test1") == {second: 300}
    assert world.agrees()


@pytest.mark.parametrize("name", ["proj", "dept"])
def test_a_grant_that_starts_later_pays_nothing_of_a_job_from_before(
    world: World, name: str
) -> None:
    """Also where it is the account above that was given it."""
    insert(world.bank, "dept", 10)
    insert(world.bank, "proj", 10)
    with reading(world.bank.database) as reader:
        standing = read.standing(reader, name)
        assert standing is not None
        base = standing.account.grant_id
    later = grant(world, name, 5, 100, 9000)
    world.now = NOW + 200
    enforce(world.bank)
    world.ran(1, "7", start=NOW + 50, seconds=300)
    world.now = NOW + 500
    enforce(world.bank)
    assert paid(world, name) == {base: 300}
    world.ran(2, "8", start=NOW + 150, seconds=200)
    enforce(world.bank)
    assert paid(world, name) == {base: 300, later: 200}
    # What nobody of its time can pay, another one does.
    world.ran(3, "9", start=NOW + 50, seconds=400, tres="billing=100,cpu=100")
    enforce(world.bank)
    assert paid(world, name) == {base: 10 * SU, later: 200 + 40_000 + 300 - 10 * SU}
    assert world.agrees()
