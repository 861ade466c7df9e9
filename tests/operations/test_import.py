"""Grants as CSV: exported exactly, imported whole or not at all; with dates test_import_dated."""

from pathlib import Path
from typing import Any

import pytest

from bank.errors import InputError, Refusal
from bank.operations import applying, dumps, movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import plan_import
from bank.policy import difference
from bank.store import accounts, notices
from bank.store.connect import reading
from tests.fake_slurm import FakeSlurm
from tests.frozen import from_noon
from tests.operations.conftest import SU, insert

HEAD = "account,su,start,kind,reason\n"


@pytest.fixture
def bank(bank: Bank) -> Bank:
    """The bank, of which no test ends on another day."""
    return bank._replace(clock=from_noon())


def write(directory: Path, text: str) -> str:
    path = directory / "grants.csv"
    path.write_text(HEAD + text)
    return str(path)


def import_csv(bank: Bank, path: str, reason: str = "") -> list[tuple[str, str]]:
    plan = plan_import(bank, path, reason=reason)
    applying.apply(bank, plan, dry_run=False)
    assert upkeep.verify(bank) == []
    return [
        (line.account, line.change) for one in plan.differences for line in difference.lines(one)
    ]


def entries(bank: Bank, name: str) -> list[tuple[Any, ...]]:
    with reading(bank.database) as reader:
        return reader.query(
            "SELECT kind, amount, entry.reason FROM entry"
            " JOIN account ON account.account_id = entry.account_id"
            " WHERE name = :name ORDER BY seq",
            name=name,
        )


def started_on(bank: Bank, name: str) -> str | None:
    with reading(bank.database) as reader:
        account = accounts.find(reader, name)
    assert account is not None
    return account.period_started_on


def test_grants_are_set_and_other_accounts_stay_as_they_are(bank: Bank, tmp_path: Path) -> None:
    for name in ("test1", "dept"):
        insert(bank, name, 100)
    path = write(
        tmp_path,
        "test1,150.25,2026-02-01,allocation,call 2\nproj,7,2026-03-01,allocation,\n",
    )
    assert import_csv(bank, path) == [
        ("proj", "opened"), ("proj", "date"), ("test1", "raised"), ("test1", "date"),
    ]  # fmt: skip
    assert entries(bank, "test1")[1:] == [("deposit", 50 * SU + SU // 4, "call 2")]
    assert entries(bank, "proj") == [("deposit", 7 * SU, "import_csv grants.csv")]
    assert [len(entries(bank, "dept")), started_on(bank, "test1")] == [1, "2026-02-01"]
    path = write(tmp_path, "test1,-1,2026-02-01,allocation,\nproj,6.5,2026-03-01,allocation,\n")
    assert import_csv(bank, path) == [("proj", "lowered"), ("test1", "unlimited")]
    assert entries(bank, "proj")[1:] == [("withdrawal", SU // 2, "import_csv grants.csv")]


def test_what_was_exported_and_is_imported_changes_nothing(bank: Bank, tmp_path: Path) -> None:
    movements.insert(bank, Command("insert", "test1", 10 * SU + 1, 'because of "it", 1'))
    movements.insert(bank, Command("insert", "dept", None))
    insert(bank, "proj", 5)
    movements.delete(bank, Command("delete", "proj", force=True))
    path = tmp_path / "grants.csv"
    dumps.export_csv(bank, str(path))
    day = bank.today()
    assert path.read_bytes().decode() == (
        "account,su,start,kind,reason,end,carry,owed,zone\r\n"
        f"dept,-1,{day},allocation,,,,,\r\n"
        f'test1,10.0003,{day},allocation,"because of ""it"", 1",,,,\r\n'
    )
    plan = plan_import(bank, str(path), reason="")
    assert (plan.differences, len(plan.wanted)) == ([], 2)
    # In a new period it is still the reason of the grant in force.
    movements.reset_usage(bank, Command("reset_usage", "test1", reason="next"))
    dumps.export_csv(bank, str(tmp_path / "next"))
    assert ",next,,,,\r\n" in (tmp_path / "next").read_bytes().decode()
    assert plan_import(bank, str(tmp_path / "next"), reason="").differences == []


def test_an_export_may_be_edited_and_imported(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    path = tmp_path / "grants.csv"
    dumps.export_csv(bank, str(path))
    path.write_text(path.read_text().replace(",10,", ",11,"))
    assert import_csv(bank, str(path)) == [("test1", "raised")]
    assert import_csv(bank, str(path)) == []


def test_a_line_with_an_account_that_slurm_does_not_have_stops_all(
    bank: Bank, tmp_path: Path
) -> None:
    insert(bank, "test1", 10)
    path = write(tmp_path, "test1,11,2026-02-01,allocation,\ntset1,10,2026-02-01,allocation,\n")
    with pytest.raises(Refusal, match="Slurm has no account tset1"):
        import_csv(bank, path)
    assert len(entries(bank, "test1")) == 1


def test_an_open_account_that_slurm_lost_can_still_be_set(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    insert(bank, "test1", 10)
    del fake.parents["test1"]
    heard: list[str] = []
    path = write(tmp_path, "test1,11,2026-02-01,allocation,\n")
    import_csv(bank._replace(warn=heard.append), path)
    assert heard == ["Slurm has no account test1 on fake: there is nothing to hold or release"]
    assert entries(bank, "test1")[1:] == [("deposit", SU, "import_csv grants.csv")]


def test_a_wrong_line_stops_all_and_is_named_with_its_file(bank: Bank, tmp_path: Path) -> None:
    path = write(tmp_path, "test1,11,2026-02-01,allocation,\ndept,much,2026-02-01,allocation,\n")
    with pytest.raises(InputError, match=f"{path}: line 3: 'much' is not an amount"):
        import_csv(bank, path)
    with reading(bank.database) as reader:
        assert accounts.find_all(reader) == {}


def test_flags_are_not_the_files_to_change(bank: Bank, fake: FakeSlurm, tmp_path: Path) -> None:
    fake.use(fake.add_user("test1"), 7 * SU)
    insert(bank, "test1", 10)
    import_csv(bank, write(tmp_path, "test1,11,2026-02-01,allocation,\n"))
    with reading(bank.database) as reader:
        assert [(told.event, told.crossing) for told in notices.find_unsent(reader)] == [
            ("lower_limit", 1)
        ]
        assert accounts.shown_rows(reader, bank.database)[0][4:] == (0, 1, 0)


def test_a_file_without_grants_changes_nothing(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    assert import_csv(bank, write(tmp_path, "")) == []


def test_a_reason_given_now_goes_before_what_the_lines_say(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    path = write(tmp_path, "test1,11,2026-02-01,allocation,of old\n")
    import_csv(bank, path, reason="call 3")
    assert entries(bank, "test1")[1:] == [("deposit", SU, "call 3")]
