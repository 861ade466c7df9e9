"""Ordinary users of the machine see over the socket what is published for them, and no more."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bank.operations import upkeep
from bank.operations.enforcement import run_pass
from bank.operations.looking import balance
from tests.fake_slurm import take_over
from tests.operations.conftest import insert
from tests.service.conftest import write_settings
from tests.serving import Service, lien

ADA, BOB, CAROL, EVE = range(61_001, 61_005)
SU = 3600
# It asks Slurm for a quote: a model of Slurm with the same accounts answers.
WITH_SLURM = """
import pytest
from tests.fake_slurm import take_over
slurm = take_over(pytest.MonkeyPatch())
slurm.add_account("dept")
slurm.add_account("proj", "dept")
slurm.add_user("proj", "ada")
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Ada and Bob use "proj", which Carol coordinates as all of "dept"; Eve uses nothing."""
    with tempfile.TemporaryDirectory(prefix="bank-") as name:
        Path(name).chmod(0o755)
        settings = write_settings(Path(name))
        # Meters charge what is used at once.
        settings.write_text(settings.read_text().replace("'jobs'", "'meters'"))
        service = Service(settings)
        with pytest.MonkeyPatch.context() as patch:
            fake = take_over(patch)
            fake.uids = {"ada": ADA, "bob": BOB, "carol": CAROL}
            fake.coordinators = {"dept": "carol"}
            for account, parent in (("dept", "root"), ("proj", "dept"), ("office", "root")):
                fake.add_account(account, parent)
            fake.add_user("office", "carol")
            meters = [fake.add_user("proj", user) for user in ("ada", "bob")]
            upkeep.migrate(service.bank, dry_run=False)
            for account in ("dept", "proj"):
                insert(service.bank, account, 100)
            for _ in range(2):
                for meter in meters:
                    fake.use(meter, SU)
                run_pass(service.bank)
        service.start(WITH_SLURM)
        yield service
        assert service.stop() == 0


def names(service: Service, uid: int) -> list[str]:
    got = service.ask_as(uid, "GET", "/v1/accounts")
    return [one["account"] for one in got.json["accounts"]]


def test_members_see_their_accounts_and_coordinators_all_below(service: Service) -> None:
    assert names(service, ADA) == ["proj"]
    assert names(service, CAROL) == ["dept", "proj"]
    assert names(service, 0) == ["dept", "proj"]
    (known,) = balance(service.bank, "proj")
    seen = service.ask_as(ADA, "GET", "/v1/accounts/proj").json
    assert seen["available_su"] == known["available_su"]


def test_no_other_users_name_is_told_to_a_member(service: Service) -> None:
    for path in ("/v1/accounts/proj/entries", "/v1/accounts/proj/statement?itemized=true"):
        assert b"bob" not in service.ask_as(ADA, "GET", path).body
        assert b"bob" in service.ask_as(BOB, "GET", path).body


@pytest.mark.parametrize("path", ["", "/entries", "/statement"])
def test_a_foreign_account_is_as_one_that_is_not_there(service: Service, path: str) -> None:
    foreign = service.ask_as(ADA, "GET", f"/v1/accounts/dept{path}")
    missing = service.ask_as(ADA, "GET", f"/v1/accounts/none{path}")
    assert foreign.status == missing.status == 404
    assert foreign.body.replace(b"dept", b"none") == missing.body


def test_who_belongs_to_nothing_is_told_so(service: Service) -> None:
    got = service.ask_as(EVE, "GET", "/v1/accounts")
    assert (got.status, got.json["type"]) == (403, "not_permitted")


def test_nothing_is_written_or_asked_of_all_by_ordinary_users(service: Service) -> None:
    for uid in (ADA, CAROL, EVE):
        assert service.ask_as(uid, "POST", "/v1/liens", lien()).status == 403
        assert service.ask_as(uid, "POST", "/v1/liens/12345678/void").status == 403
        for path in ("/v1/liens", "/v1/liens/12345678", "/metrics"):
            assert service.ask_as(uid, "GET", path).status == 403
    assert service.tokens_in_books() == set()


def test_a_quote_says_what_the_callers_accounts_can_pay(service: Service) -> None:
    body = {"arguments": ["-A", "proj", "-n", "2", "-t", "60"], "user": "ada"}
    got = service.ask("POST", "/v1/quote", body)
    assert got.status == 200, got
    assert got.json["cost_su"] == "2"
    assert got.json["accounts"][0]["is_enough"] is True


def test_a_script_is_its_text_and_no_file_is_read(service: Service) -> None:
    script = "#!/bin/sh\n#SBATCH -A proj -n 3 -t 60\n"
    body: dict[str, object] = {"script": script, "user": "ada"}
    assert service.ask("POST", "/v1/quote", body).json["cost_su"] == "3"
    for words in (["/etc/passwd"], ["-A", "proj", str(service.settings)]):
        got = service.ask("POST", "/v1/quote", {"arguments": words, "user": "ada"})
        assert (got.status, got.json["type"]) == (409, "not_a_job")
        assert "give the text of the batch script" in got.json["detail"]
