"""limit_user on the command line, and where its limits are shown."""

import json

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

SU = 3600


@pytest.fixture
def ada(command: Command, fake: FakeSlurm) -> int:
    """The association of ada in test1, which has 100 SUs."""
    association = fake.add_user("test1", "ada")
    assert command("insert", "test1", "100").status == 0
    return association


def test_it_says_what_the_user_has(command: Command, ada: int, fake: FakeSlurm) -> None:
    done = command("limit_user", "test1", "ada", "10", "--reason", "thesis")
    whose = "User ada in account test1"
    assert done == (0, f"{whose} may use 10 SUs in a period, 0 used, 10 left\n", "")
    rehearsed = command("limit_user", "test1", "ada", "0", "--dry-run").out
    assert "0 left; held by the bank: nothing left (dry run: nothing was done)" in rehearsed
    fake.use(ada, 12 * SU)
    done = command("enforce")
    assert "fake: users held now: ada in test1\n" in done.out
    balance = command("balance", "test1").out.splitlines()
    assert balance[2:] == [
        "user\tlimit_su\tused_su\tleft_su\theld",
        "ada\t10\t12\t-2\tby the bank: nothing left",
    ]
    assert command("list").out.splitlines()[1].endswith("\tno; users: ada")
    assert command("limit_user", "test1", "ada", "-1").out == f"{whose} has no limit\n"
    told = [line.split("\t") for line in command("history", "test1").out.splitlines()]
    mine = [(line[5], line[7], line[8]) for line in told if line[1] == "limit_user"]
    assert mine == [("ada", "thesis", "10 SUs"), ("ada", "-", "no limit")]


def test_programs_get_one_document(command: Command, ada: int, fake: FakeSlurm) -> None:
    answer = json.loads(command("limit_user", "test1", "ada", "0", "--json").out)
    assert (answer["user"], answer["users"][0]["is_held"]) == ("ada", True)
    fake.running_jobs[ada] = 1
    (cluster,) = json.loads(command("enforce", "--json").out)
    assert cluster["held"] == []
    assert cluster["users"] == {
        "held_now": [],
        "released": [],
        "held": [{"account": "test1", "user": "ada"}],
        "held_by_others": [],
        "limited": [],
        "running_on_held": {"ada in test1": 1},
    }
    assert "fake: ada in test1 is held; 1 job goes on running\n" in command("enforce").out
    (state,) = json.loads(command("list", "--json").out)
    assert state["users"][0]["user"] == "ada"


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("test1", "ada"), 2, "it goes: limit_user <account> <user> <su>"),
        (("test1", "ada", "-5"), 65, "0 is nothing, and -1 takes the limit away"),
        (("test1", "ada", "lots"), 65, "is not an amount of SUs"),
        (("test1", "a,b", "5"), 65, "is not a user name"),
        (("test1", "adda", "5"), 1, "did you mean ada?"),
        (("test2", "ada", "5"), 1, "doesn't exist in the bank"),
        (("test1", "ada", "5", "--force"), 2, "limit_user does not take --force"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    command: Command, ada: int, argv: tuple[str, ...], status: int, said: str
) -> None:
    del ada
    done = command("limit_user", *argv)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
