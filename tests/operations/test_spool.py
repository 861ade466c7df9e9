"""The spool: an event stays until somebody has looked, and what is no event stops nothing."""

import os
import time
from pathlib import Path

import pytest

from bank.operations import spool
from bank.operations.bank import Bank
from bank.settings import Settings

EVENT = "JOBID=17\nCLUSTER=c1\nEND=yes\n"


class Looks:
    """Counts how often somebody looked; `can` says whether it could."""

    def __init__(self) -> None:
        self.count = 0
        self.can = True

    def __call__(self) -> bool:
        self.count += 1
        return self.can


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def bank(tmp_path: Path, warnings: list[str]) -> Bank:
    return Bank(Settings("/nowhere", spool=str(tmp_path / "spool")), "ada", warnings.append)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "spool"
    found.mkdir()
    return found


def write(directory: Path, name: str = "17.1.epilog", text: str = EVENT, age: int = 10) -> Path:
    path = directory / name
    path.write_text(text)
    changed = time.time() - age
    os.utime(path, (changed, changed))
    return path


def test_event_goes_once_somebody_has_looked(bank: Bank, directory: Path) -> None:
    write(directory)
    write(directory, "18.2.5")
    looks = Looks()
    assert spool.deliver(bank, looks) == 2
    assert (looks.count, list(directory.iterdir())) == (1, [])
    assert spool.deliver(bank, looks) == 0
    assert looks.count == 1


def test_event_stays_while_nobody_could_look(bank: Bank, directory: Path) -> None:
    write(directory)
    looks = Looks()
    looks.can = False
    assert spool.deliver(bank, looks) == 0
    assert spool.waiting(bank) == (1, 0)

    def fails() -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        spool.deliver(bank, fails)
    looks.can = True
    assert spool.deliver(bank, looks) == 1


def test_event_that_is_too_new_waits_for_slurmdbd_to_hear_of_it(
    bank: Bank, directory: Path
) -> None:
    write(directory, age=0)
    assert spool.deliver(bank, Looks()) == 0
    assert spool.waiting(bank) == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "JOBID=17\nCLUSTER=c1\n",
        "JOBID=seventeen\nEND=yes\n",
        "CLUSTER=c1\nEND=yes\n",
        "JOBID=17\nrm -rf /\nEND=yes\n",
        "JOBID=17\nCLUSTER=\xe4\nEND=yes\n",
        "JOBID=17\n" * 1000 + "END=yes\n",
    ],
)
def test_what_is_no_event_is_put_aside_and_said_and_stops_no_other(
    bank: Bank, directory: Path, warnings: list[str], text: str
) -> None:
    write(directory, "broken.1", text)
    write(directory, "17.1.x")
    assert spool.deliver(bank, Looks()) == 1
    assert spool.waiting(bank) == (0, 1)
    assert [path.name for path in (directory / "broken").iterdir()] == ["broken.1"]
    assert len(warnings) == 1
    assert "broken.1 is no event of a job" in warnings[0]


def test_link_is_not_followed_and_a_pipe_not_waited_for(
    bank: Bank, directory: Path, tmp_path: Path, warnings: list[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(EVENT)
    (directory / "link").symlink_to(secret)
    os.mkfifo(directory / "pipe")
    for name in ("link", "pipe"):
        os.utime(directory / name, (0, 0), follow_symlinks=False)
    assert spool.deliver(bank, Looks()) == 0
    assert spool.waiting(bank) == (0, 2)
    assert len(warnings) == 2
    assert secret.exists()


def test_what_the_hook_still_writes_is_left_alone(bank: Bank, directory: Path) -> None:
    write(directory, ".17.1.epilog", "JOBID=1")
    assert spool.deliver(bank, Looks()) == 0
    assert (directory / ".17.1.epilog").exists()


def test_without_a_spool_there_is_nothing_to_deliver(bank: Bank) -> None:
    assert spool.deliver(bank, Looks()) == 0
    assert spool.waiting(bank) == (0, 0)
