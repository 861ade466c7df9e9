"""The books made what a dump says: one transaction, nothing lost, nothing done twice."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from bank.errors import InputError, Refusal, SlurmError, StoreError
from bank.operations import applying, dumps, movements, upkeep
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import Plan, plan_repopulate
from bank.operations.enforcement import enforce
from bank.policy import difference
from bank.policy.dumps import json_text
from bank.store import accounts, copies, notices
from bank.store.connect import Database, reading, writing
from tests.fake_slurm import FakeSlurm
from tests.frozen import from_noon
from tests.operations.conftest import SU, insert

DAY = "2022-04-08"
RECORDED = Path(__file__).parent.parent / "predecessor" / "recorded"
numbers = itertools.count()


@pytest.fixture
def bank(bank: Bank) -> Bank:
    """The bank, of which no test ends on another day."""
    return bank._replace(clock=from_noon())


def row(number: int, account: str, limit: int, day: str = DAY, told: str = "") -> tuple[Any, ...]:
    return (number, account, limit, day, "u" in told, "l" in told, "m" in told)


def write(directory: Path, *rows: tuple[Any, ...]) -> str:
    """Write a dump, and return its path."""
    path = str(directory / f"dump{next(numbers)}.json")
    dumps.write(path, json_text(rows))
    return path


def compared(bank: Bank, path: str) -> Plan:
    return plan_repopulate(bank, "repopulate_json", path, reason="")


def repopulate(bank: Bank, path: str, *, dry_run: bool = False) -> dict[str, Any]:
    done = applying.apply(bank, compared(bank, path), dry_run=dry_run)
    assert upkeep.verify(bank) == []
    return done


def changes(bank: Bank, path: str) -> list[tuple[str, str]]:
    found = compared(bank, path).differences
    return [(line.account, line.change) for one in found for line in difference.lines(one)]


def table(bank: Bank) -> list[tuple[Any, ...]]:
    with reading(bank.database) as reader:
        return accounts.shown_rows(reader, bank.database)


def entries(bank: Bank, name: str) -> list[tuple[Any, ...]]:
    with reading(bank.database) as reader:
        return reader.query(
            "SELECT kind, source, target, amount, reason, reference FROM entry"
            " JOIN account ON account.account_id = entry.account_id"
            " WHERE name = :name ORDER BY seq",
            name=name,
        )


def counts(bank: Bank) -> list[tuple[Any, ...]]:
    """Return how many rows there are of everything that is only ever added to."""
    tables = ("entry", "account_change", "allocation_grant", "reading", "notice")
    with reading(bank.database) as reader:
        return [reader.query(f"SELECT count(*) FROM {name}")[0] for name in tables]  # noqa: S608


def test_every_difference_is_applied_at_once(bank: Bank, tmp_path: Path) -> None:
    for name in ("test1", "dept", "proj"):
        insert(bank, name, 100)
    path = write(tmp_path, row(1, "test1", 150), row(3, "proj", 40), row(9, "new", -1))
    heard: list[str] = []
    done = repopulate(bank._replace(warn=heard.append), path)
    assert heard == ["Slurm has no account new on fake: there is nothing to hold or release"]
    assert table(bank) == [
        (1, "test1", 150, DAY, 0, 0, 0),
        (3, "proj", 40, DAY, 0, 0, 0),
        (9, "new", -1, DAY, 0, 0, 0),
    ]
    digest = compared(bank, path).digest
    reason, reference = f"repopulate_json {Path(path).name}", f"dump {digest[:16]}"
    assert entries(bank, "test1")[1:] == [
        ("adjustment", "treasury", "available", 50 * SU, reason, reference)
    ]
    assert entries(bank, "proj")[1:] == [
        ("adjustment", "available", "treasury", 60 * SU, reason, reference)
    ]
    assert entries(bank, "dept")[1:] == [
        ("expiry", "available", "treasury", 100 * SU, reason, None)
    ]
    assert entries(bank, "new") == []
    assert Path(done["kept"]).is_file()


def test_the_same_file_again_changes_nothing_at_all(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 100)
    path = write(tmp_path, row(1, "test1", 150, told="ulm"), row(2, "dept", 0))
    repopulate(bank, path)
    before = counts(bank), table(bank), sorted(tmp_path.iterdir())
    assert compared(bank, path).differences == []
    assert repopulate(bank, path)["kept"] is None
    assert (counts(bank), table(bank), sorted(tmp_path.iterdir())) == before


def test_a_fraction_that_the_file_cannot_carry_stays(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    movements.add(bank, Command("add", "test1", SU // 2))
    path = write(tmp_path, row(1, "test1", 10))
    plan = compared(bank, path)
    assert "with the fraction of an SU that they have: test1" in plan.notes
    repopulate(bank, path)
    assert [entry[0] for entry in entries(bank, "test1")] == ["deposit", "deposit"]
    # With another whole number there is no fraction to keep.
    repopulate(bank, write(tmp_path, row(1, "test1", 9)))
    assert entries(bank, "test1")[-1][:4] == (
        "adjustment", "available", "treasury", 3 * SU // 2,
    )  # fmt: skip


def test_use_meters_and_holds_by_hand_stay(bank: Bank, fake: FakeSlurm, tmp_path: Path) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.use(association, 4 * SU)
    enforce(bank)
    movements.hold(bank, Command("hold", "test1", reason="because"))
    repopulate(bank, write(tmp_path, row(1, "test1", 20)))
    with reading(bank.database) as reader:
        account = accounts.find(reader, "test1")
    assert account is not None
    assert (account.books.used, account.hold_reason) == (4 * SU, "because")
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}


def test_slurm_is_brought_up_to_date(bank: Bank, fake: FakeSlurm, tmp_path: Path) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    insert(bank, "dept", 10)
    fake.use(association, 10 * SU)
    enforce(bank)
    assert fake.limits == {
        "root": {}, "test1": {"GrpTRESMins=cpu": 0}, "dept": {}, "proj": {},
    }  # fmt: skip
    repopulate(bank, write(tmp_path, row(1, "test1", 11), row(2, "dept", 0)))
    assert fake.limits == {
        "root": {}, "test1": {}, "dept": {"GrpTRESMins=cpu": 0}, "proj": {},
    }  # fmt: skip


def test_the_books_stand_where_slurm_does_not_answer(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(bank, "test1", 10)
    path = write(tmp_path, row(1, "test1", 11))

    def dead(*_: object) -> str:
        raise SlurmError("nobody answers")

    monkeypatch.setattr("bank.operations.clusters.run", dead)
    heard: list[str] = []
    bank = bank._replace(warn=heard.append)
    repopulate(bank, path)
    assert heard == ["booked; Slurm is not up to date, the next pass does it: nobody answers"]
    assert table(bank)[0][:3] == (1, "test1", 11)
    # What was used until an account is closed must be known first.
    path = write(tmp_path, row(2, "dept", 11))
    before = counts(bank), sorted(tmp_path.iterdir())
    with pytest.raises(SlurmError, match="nobody answers"):
        repopulate(bank, path)
    assert (counts(bank), sorted(tmp_path.iterdir())) == before


def test_what_was_used_until_now_is_booked_before_an_account_is_closed(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    insert(bank, "dept", 10)
    fake.use(association, 4 * SU)
    path = write(tmp_path, row(2, "dept", 10))
    repopulate(bank, path)
    assert [entry[0] for entry in entries(bank, "test1")] == [
        "deposit", "charge", "closing", "expiry",
    ]  # fmt: skip
    # As after `delete`: opened again, it begins with nothing used.
    repopulate(bank, write(tmp_path, row(1, "test1", 10), row(2, "dept", 10)))
    with reading(bank.database) as reader:
        account = accounts.find(reader, "test1")
    assert account is not None
    assert (account.books.granted, account.books.used) == (10 * SU, 0)


def test_an_account_closed_while_it_was_held_stays_held(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    insert(bank, "test1", 0)
    insert(bank, "dept", 1)
    repopulate(bank, write(tmp_path, row(2, "dept", 1)))
    assert fake.limits["test1"] == {"GrpTRESMins=cpu": 0}
    repopulate(bank, write(tmp_path, row(1, "test1", 1), row(2, "dept", 1)))
    assert fake.limits["test1"] == {}


def unsent(bank: Bank) -> set[tuple[str, str]]:
    with reading(bank.database) as reader:
        return {(notice.account, notice.event) for notice in notices.find_unsent(reader)}


def test_what_people_were_told_they_are_not_told_again(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    fake.use(fake.add_user("test1"), 5 * SU)
    path = write(tmp_path, row(1, "test1", 5, told="lu"), row(2, "dept", 5, told="m"))
    repopulate(bank, path)
    # The pass that follows finds test1 full, which is news, and dept far from it.
    assert table(bank) == [(1, "test1", 5, DAY, 1, 1, 1), (2, "dept", 5, DAY, 0, 0, 0)]
    assert unsent(bank) == {("test1", "max_limit")}
    assert compared(bank, path).differences == []


def test_of_an_open_account_the_bank_knows_better_what_people_were_told(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    fake.use(fake.add_user("test1"), 3 * SU)
    insert(bank, "test1", 5)
    with writing(bank.database) as writer:
        ((content,),) = writer.query("SELECT content FROM notice WHERE event = 'lower_limit'")
        notices.write_cleared(writer, [("test1", "lower_limit")], now=1)
        notices.write_raised(writer, {("test1", "period_ending"): content}, now=1, is_told=True)
    assert changes(bank, write(tmp_path, row(1, "test1", 5, bank.today()))) == []
    path = write(tmp_path, row(1, "test1", 5, bank.today(), told="lum"))
    assert changes(bank, path) == [("test1", "flags")]
    repopulate(bank, path)
    assert table(bank)[0][4:] == (0, 1, 0)
    assert unsent(bank) == set()
    with reading(bank.database) as reader:
        assert ("test1", "period_ending") in notices.find_open(reader)


def test_a_dry_run_does_it_all_and_leaves_nothing(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    insert(bank, "test1", 10)
    path = write(tmp_path, row(1, "test1", 0), row(2, "dept", 5))
    before = counts(bank), table(bank), sorted(tmp_path.iterdir()), dict(fake.limits["test1"])
    assert repopulate(bank, path, dry_run=True) == {
        "kept": None, "kept_json": None, "is_dry_run": True,
    }  # fmt: skip
    after = counts(bank), table(bank), sorted(tmp_path.iterdir()), dict(fake.limits["test1"])
    assert after == before


def test_what_was_there_is_kept_and_never_over_an_older_one(bank: Bank, tmp_path: Path) -> None:
    backup = tmp_path / "kept" / "last.json"
    backup.parent.mkdir()
    bank = bank._replace(settings=bank.settings._replace(database_backup_json=str(backup)))
    insert(bank, "test1", 10)
    for limit in (11, 12):
        done = repopulate(bank, write(tmp_path, row(1, "test1", limit)))
        with reading(Database(done["kept"], "sbank")) as reader:
            assert accounts.shown_rows(reader, bank.database)[0][:3] == (1, "test1", limit - 1)
        copies.check_copy(done["kept"])
        assert Path(done["kept_json"]).name.startswith("last-")
        # The JSON that is kept leads back.
        assert changes(bank, done["kept_json"]) == [("test1", "lowered")] or limit == 11
    assert len(list(tmp_path.glob("bank.db.before-repopulate-*"))) == 2
    assert len(list(backup.parent.glob("last-*.json"))) == 2


def test_nothing_is_changed_where_what_was_there_cannot_be_kept(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(bank, "test1", 10)
    path = write(tmp_path, row(1, "test1", 11))
    before = counts(bank)

    def full(_: object, name: str) -> None:
        raise StoreError(f"no space left on the disk of {name}")

    monkeypatch.setattr(copies, "_copy", full)
    with pytest.raises(StoreError, match="no space left"):
        repopulate(bank, path)
    monkeypatch.undo()
    settings_ = bank.settings._replace(database_backup_json="/nosuch/dir/dump.json")
    with pytest.raises(InputError, match="/nosuch/dir/dump"):
        repopulate(bank._replace(settings=settings_), path)
    assert counts(bank) == before


def test_what_was_shown_is_what_is_done_or_nothing(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    plan = compared(bank, write(tmp_path, row(1, "test1", 11)))
    movements.add(bank, Command("add", "test1", SU))
    before = counts(bank)
    with pytest.raises(Refusal, match="the books were changed since"):
        applying.apply(bank, plan, dry_run=False)
    assert counts(bank) == before


def test_use_that_is_read_meanwhile_is_no_change_of_the_books(
    bank: Bank, fake: FakeSlurm, tmp_path: Path
) -> None:
    association = fake.add_user("test1")
    insert(bank, "test1", 10)
    insert(bank, "dept", 10)
    plan = compared(bank, write(tmp_path, row(1, "test1", 10, bank.today(), told="l")))
    # Closing dept reads the meters, and then the flag of test1 is one to be taken over.
    fake.use(association, 7 * SU)
    applying.apply(bank, plan, dry_run=False)
    assert [(name, *flags) for _, name, _, _, *flags in table(bank)] == [("test1", 0, 1, 0)]
    assert unsent(bank) == set()


def test_a_file_may_have_any_name(bank: Bank, tmp_path: Path) -> None:
    path = str(tmp_path / "caf\udce9\n.json")
    dumps.write(path, json_text([row(1, "test1", 11)]))
    repopulate(bank, path)
    assert entries(bank, "test1")[0][4] == r"repopulate_json 'caf\udce9\n.json'"


@pytest.fixture
def no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pass that follows: it would clear flags of what is not used."""
    monkeypatch.setattr(applying, "enforce_soon", lambda *_, **__: None)


@pytest.mark.usefixtures("no_pass")
def test_what_the_predecessor_dumped_is_taken_over(bank: Bank, tmp_path: Path) -> None:
    path = str(RECORDED / "dump_sound.json")
    assert compared(bank, path).notes[0].endswith("nobody can tell whether it was changed since")
    repopulate(bank, path)
    for form in ("json", "csv"):
        made = tmp_path / f"again.{form}"
        (dumps.dump_json if form == "json" else dumps.dump_csv)(bank, str(made))
        # Ids, days and flags too: programs that read the table find it as it was.
        assert made.read_bytes() == (RECORDED / f"dump_sound.{form}").read_bytes()


def test_an_id_that_is_taken_is_not_taken_away(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    repopulate(bank, write(tmp_path, row(7, "test1", 10), row(1, "dept", 10)))
    assert [(number, name) for number, name, *_ in table(bank)] == [(1, "test1"), (2, "dept")]


def test_the_log_knows_what_was_done(bank: Bank, tmp_path: Path) -> None:
    bank = bank._replace(settings=bank.settings._replace(logfile=str(tmp_path / "log")))
    path = write(tmp_path, row(1, "test1", 11))
    kept = repopulate(bank, path)["kept"]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "repopulate_json"]
    assert (line["actor"], line["file"], line["kept"]) == ("ada", path, kept)
    assert line["heads"]["test1"].startswith("1:")
    assert line["changes"]["test1"].startswith("3:")
