"""A bank with an account that can pay, and its service as a process."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.operations import movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.settings import load
from tests.fake_slurm import take_over
from tests.serving import Service

SU = 3600


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def write_settings(directory: Path) -> Path:
    """Write settings by which everything is in one directory, and jobs are charged one by one."""
    settings = directory / "settings.py"
    settings.write_text(
        f"DATABASE = '{directory}/bank.db'\nLOGFILE = '{directory}/bank.log'\n"
        f"SERVICE_SOCKET = '{directory}/run/bank.sock'\n"
        f"SERVICE_ADDRESS = '127.0.0.1:{free_port()}'\n"
        f"PUBLISHED = '{directory}/published'\nSPOOL = '{directory}/spool'\n"
        "USAGE_SOURCE = 'jobs'\nSLURM_BIN = '/nowhere'\n"
    )
    settings.chmod(0o600)
    return settings


def make_books(directory: Path, *, su: int) -> Path:
    """Open the accounts dept and proj below it; return the settings."""
    settings = write_settings(directory)
    with pytest.MonkeyPatch.context() as patch:
        fake = take_over(patch)
        fake.add_account("dept")
        fake.add_account("proj", "dept")
        bank = Bank(load(str(settings)), "ada", pytest.fail)
        upkeep.migrate(bank, dry_run=False)
        for name in ("dept", "proj"):
            movements.insert(bank, Command("insert", name, su * SU))
    return settings


@pytest.fixture
def unstarted(public_directory: Path) -> Iterator[Service]:
    """A service that is not started; proj has 100,000 SUs."""
    service = Service(make_books(public_directory, su=100_000))
    yield service
    if service.process is not None:
        service.stop()


@pytest.fixture
def service(unstarted: Service) -> Service:
    """A service that answers."""
    return unstarted.start()
