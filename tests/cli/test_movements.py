"""Movements and grants as they are typed, and what they say."""

import json

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

pytestmark = pytest.mark.usefixtures("in_utc")
SU = 3600


@pytest.fixture
def used(command: Command, fake: FakeSlurm) -> Command:
    """Two accounts of 100 SUs, of which "test1" has used 30."""
    association = fake.add_user("test1")
    command("insert", "test1", "100")
    command("insert", "test2", "100")
    fake.use(association, 30 * SU)
    assert command("enforce").status == 0
    return command


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("deposit test1 5", "Account test1 has 105 SUs, 30 used, 75 available\n"),
        (
            "transfer test1 test2 70",
            (
                "Account test1 has 30 SUs, 30 used, 0 available; held by the bank: nothing left;"
                " Account test2 has 170 SUs, 0 used, 170 available\n"
            ),
        ),
        ("refund test1 12.5", "Account test1 has 100 SUs, 17.5 used, 82.5 available\n"),
        (
            "adjust test1 2 --reason x",
            "Account test1 has 100 SUs, 32 used, 68 available\n",
        ),
        (
            "adjust test1 -2.5 --reason x",
            "Account test1 has 100 SUs, 27.5 used, 72.5 available\n",
        ),
        (
            "set_credit test1 40",
            "Account test1 has 100 SUs, 40 of credit, 30 used, 110 available\n",
        ),
        (
            "grant test1 7 --start 2026-01-01 --end 2199-01-01 --kind INCITE",
            (
                "Account test1 has 107 SUs, 30 used, 77 available; grant 3 of 7 SUs is in force,"
                " from 2026-01-01 until before 2199-01-01 (UTC)\n"
            ),
        ),
        (
            "grant test1 7 --start 2198-01-01 --end 2199-01-01T12:00 --carry 50%",
            (
                "Account test1 has 100 SUs, 30 used, 70 available; grant 3 of 7 SUs is promised,"
                " from 2198-01-01 until before 2199-01-01T12:00:00 (UTC)\n"
            ),
        ),
    ],
)
def test_movements_say_what_came_of_them(used: Command, argv: str, said: str) -> None:
    rehearsed = used(*argv.split(), "--dry-run")
    assert rehearsed.out == said.removesuffix("\n") + " (dry run: nothing was done)\n"
    done = used(*argv.split())
    assert (done.out, done.err, done.status) == (said, "", 0)
    assert used("verify").status == 0


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        ("transfer test1 test2 71", 1, "71 SUs cannot be transferred from test1: available are 70"),
        ("transfer test1 test2", 2, "it goes: transfer <from> <to> <su>"),
        ("transfer test1 test2 -5", 65, "takes an amount above 0"),
        ("refund test1 31", 1, "itself has used 30 SUs"),
        ("refund test1 0", 1, "refund of 0 SUs changes nothing"),
        ("refund test1 -1", 65, "takes an amount above 0"),
        ("adjust test1 5", 1, "an adjustment needs a reason"),
        ("adjust test1 5x --reason x", 65, "is not an amount of SUs"),
        ("adjust test1 5 --reason x --cluster other", 1, "is on fake: say --cluster with one of"),
        ("set_credit test1 -1", 65, "takes an amount above 0"),
        ("set_credit test1 100000000000", 65, "too large"),
        ("deposit test1 5 --grant 99", 1, "has no grant 99 that is in force or promised; it has 1"),
        ("deposit test1 5 --grant one", 65, "is not the number of a grant"),
        ("deposit test1 99999999999", 1, "which is what a limit must be"),
        ("withdraw test1 5 --grant 2", 1, "has no grant 2"),
        ("grant test1 5", 2, "needs an amount, --start and --end"),
        ("grant test1 --start 2027-01-01 --end 2028-01-01", 2, "needs an amount"),
        ("grant test1 5 --start 2027-02-29 --end 2028-01-01", 65, "is not a day or a time"),
        ("grant test1 5 --start 2028-01-01 --end 2027-01-01", 65, "is not after --start"),
        ("grant test1 5 --start 2020-01-01 --end 2021-01-01", 65, "is over"),
        ("grant nosuch 5 --start 2027-01-01 --end 2028-01-01", 1, "Slurm has no account nosuch"),
        ("grant test1 5 --start 2027-01-01 --end 2028-01-01 --carry 1.5", 65, "from 0 to 100"),
        ("renew test1", 1, "has had no grant with dates"),
        ("renew nosuch", 1, "did you want to insert it?"),
        ("grants nosuch", 1, "did you want to insert it?"),
        ("add test1 5 --grant 1", 2, "add does not take --grant"),
    ],
)
def test_refusals_say_what_is_allowed(used: Command, argv: str, status: int, said: str) -> None:
    before = used("balance", "--json").out
    done = used(*argv.split())
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert used("balance", "--json").out == before


def test_a_repeat_is_an_answer_and_not_a_second_transfer(used: Command) -> None:
    first = used("transfer", "test1", "test2", "20", "--key", "a")
    again = used("transfer", "test1", "test2", "20", "--key", "a")
    assert (
        again.out == first.out.removesuffix("\n") + " (done before: this key was answered then)\n"
    )
    other = used("transfer", "test1", "test2", "21", "--key", "a")
    assert (other.status, "was used for transfer test1 20" in other.err) == (1, True)


def test_grants_are_listed_with_what_is_left(used: Command) -> None:
    used("grant", "test1", "50", "--start", "2026-01-01", "--end", "2199-01-01", "--carry", "10")
    lines = used("grants", "test1").out.splitlines()
    assert lines[0].split("\t")[:3] == ["grant", "state", "start"]
    assert "3\tin force\t2026-01-01\t2199-01-01\t50\t0\t50\t10\tallocation" in lines
    assert lines[-1] == "days begin at midnight in UTC; a grant lasts until before its end"
    shown = json.loads(used("grants", "test1", "--json").out)
    dated = next(one for one in shown if one["grant"] == 3)
    assert (dated["end_at"], dated["left_billing_seconds"]) == ("2199-01-01T00:00:00Z", 50 * SU)


def test_credit_is_said_wherever_what_is_available_is(used: Command) -> None:
    assert "credit" not in used("balance", "test1").out
    used("set_credit", "test1", "40")
    header, line = used("balance", "test1").out.splitlines()
    assert header.split("\t")[:4] == ["account", "limit_su", "credit_su", "used_su"]
    assert line.split("\t")[:4] == ["test1", "100", "40", "30"]
    assert "credit: 40 SUs; set aside" in used("statement", "test1").out
    assert "<dt>Credit</dt><dd>40</dd>" in used("statement", "test1", "--html").out
