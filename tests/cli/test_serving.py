"""What serve says before it serves, where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bank.operations import upkeep
from bank.operations.bank import Bank
from bank.settings import load
from tests.cli.conftest import Done
from tests.serving import ROOT

RUN = "import sys, slurm_bank; sys.exit(slurm_bank.run(slurm_bank.__doc__, ['serve']))"


def serve(settings: Path, script: str = "") -> Done:
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{RUN}"],
        cwd=ROOT,
        env={**os.environ, "SLURM_BANK_SETTINGS": str(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def migrated(settings: Path, tmp_path: Path) -> Path:
    """Settings of a bank that has a database."""
    text = f"SERVICE_SOCKET = '{tmp_path}/run/socket'\nSLURM_BIN = '/nowhere'\n"
    settings.write_text(settings.read_text() + text)
    upkeep.migrate(Bank(load(str(settings)), "ada", pytest.fail), dry_run=False)
    return settings


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "httptools", "prometheus_client"])
def test_a_package_that_is_missing_is_named(migrated: Path, package: str) -> None:
    done = serve(migrated, f"import sys; sys.modules['{package}'] = None")
    assert done.status == 78
    assert done.err.count("\n") == 1
    assert f"serve needs {package}" in done.err
    assert "pip install" in done.err


def test_without_a_database_nothing_is_served_and_none_is_made(
    settings: Path, tmp_path: Path
) -> None:
    done = serve(settings)
    assert done.status == 78
    assert "there is no database" in done.err
    assert not (tmp_path / "bank.db").exists()


def test_a_socket_that_cannot_be_made_is_said(migrated: Path, tmp_path: Path) -> None:
    text = migrated.read_text().replace("/run/socket", "/not/there/socket")
    migrated.write_text(text)
    done = serve(migrated)
    assert done.status == 78
    assert "SERVICE_SOCKET" in done.err
    migrated.write_text(text.replace("/not/there/socket", "/" + "x" * 200))
    assert "SERVICE_SOCKET" in serve(migrated).err
    assert not (tmp_path / "not").exists()


def test_an_address_that_is_taken_is_said(migrated: Path) -> None:
    migrated.write_text(migrated.read_text() + "SERVICE_ADDRESS = '192.0.2.1:80'\n")
    done = serve(migrated)
    assert done.status == 78
    assert "SERVICE_ADDRESS = '192.0.2.1:80' cannot be listened on" in done.err
