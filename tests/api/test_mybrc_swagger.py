"""The description of the myBRC interface: it is served, and it is true of the service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bank.operations import upkeep
from tests.api.mybrc_client import UID, client_of, make_bank
from tests.fake_slurm import take_over

CHECKED_IN = Path(__file__).parents[2] / "bank" / "api" / "mybrc_swagger.json"
# A job that is described as it should be may be refused all the same: it is there already, its user
# is not in the account, its end is before its start. And more is taken than is described, because
# scripts send it: a number as text, an amount as a number.
LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


def test_it_is_served_as_it_is_checked_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = take_over(monkeypatch)
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    with client_of(make_bank(fake, tmp_path)) as client:
        client.authorization = None
        answer = client.get("/swagger.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == json.loads(CHECKED_IN.read_text(encoding="utf-8"))


@pytest.mark.timeout(300)
def test_the_service_answers_as_described_whatever_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Thousands of requests, right and wrong: no fault, no undocumented answer, no way around."""
    fake = take_over(monkeypatch)
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    bank = make_bank(fake, tmp_path)
    described = CHECKED_IN.read_text(encoding="utf-8")
    # So that jobs are told that can be: of a user and an account that there are.
    known = json.loads(described)
    fields = known["definitions"]["Job"]["properties"]
    fields["userid"]["enum"] = [str(UID)]
    fields["accountid"]["enum"] = ["proj", "dept"]
    schema = tmp_path / "swagger.json"
    schema.write_text(json.dumps(known))
    with client_of(bank) as client:
        host, port = client.address
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run", str(schema)),
                *("--url", f"http://{host}:{port}", "--no-color", "--max-examples", "20"),
                *("--header", f"Authorization: {client.authorization}"),
                *("--exclude-checks", LEFT_OUT, "--seed", "1"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        count = client.get("/jobs/").body["count"]
    assert done.returncode == 0, done.stdout[-5000:]
    assert count > 0
    assert upkeep.verify(bank) == []
