"""The description of the interface: it is what is checked in, and what the service does.

After a change, `.venv/bin/python -m tests.api.test_description` writes it anew.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.operations import tokens, upkeep
from bank.operations.bank import Bank
from bank.service.app import make_app
from bank.settings import Settings
from tests.service.conftest import make_books
from tests.serving import ROOT, Service

CHECKED_IN = ROOT / "bank" / "api" / "openapi.json"
# It asks Slurm for a quote: a model of Slurm with the same accounts answers.
WITH_SLURM = """
import pytest
from tests.fake_slurm import take_over
slurm = take_over(pytest.MonkeyPatch())
slurm.add_account("dept")
slurm.add_account("proj", "dept")
slurm.add_user("proj", "ada")
"""
# A body that is too large is refused before it is looked at.
ITS_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]
"""


def described() -> str:
    """Return the description as it is checked in."""
    app = make_app(Bank(Settings("/nowhere"), "", print))
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


def test_the_description_is_what_is_checked_in() -> None:
    assert CHECKED_IN.read_text(encoding="utf-8") == described()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that has a model of Slurm to ask."""
    with tempfile.TemporaryDirectory(prefix="bank-") as name:
        service = Service(make_books(Path(name), su=1000)).start(WITH_SLURM)
        yield service
        assert service.stop() == 0


def test_the_service_answers_as_described_whatever_it_is_asked(
    service: Service, tmp_path: Path
) -> None:
    """Thousands of requests, right and wrong: no fault, no undocumented answer, no way around."""
    secret = tokens.create(service.bank, "portal", "jobs")["token"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(ITS_SETTINGS)
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config)),
            *("run", f"http://127.0.0.1:{service.port}/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {secret}", "--max-examples", "20"),
            # No look at Slurm has been there: 503 is its right answer.
            *("--exclude-path", "/ready"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Selected: 11/12" in done.stdout
    assert "Traceback" not in service.said.read_text()
    assert upkeep.verify(service.bank) == []


if __name__ == "__main__":
    CHECKED_IN.write_text(described(), encoding="utf-8")
