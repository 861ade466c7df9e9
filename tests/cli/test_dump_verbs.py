"""What a person types and reads when accounts go into files and come from there."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm

DAY = "2022-04-08"


def dump(settings: Path, limit: int) -> str:
    """Write a dump of one account as the predecessor did; return its path."""
    flags = dict.fromkeys(
        ("upper_limit_informed", "lower_limit_informed", "max_limit_informed"), False
    )
    row = {"id": 1, "account": "test1", "su_limit_hrs": limit, "date": DAY, **flags}
    path = settings.parent / f"old{limit}.json"
    path.write_text(json.dumps({"count": 1, "results": [row], "meta": {}}, indent=2))
    return str(path)


def test_a_dump_says_what_is_in_it(command: Command, tmp_path: Path) -> None:
    command("insert", "test1", "10")
    path = tmp_path / "dump.json"
    done = command("dump_json", str(path))
    digest = Path(f"{path}.sha256").read_text().split()[0]
    assert (done.status, done.out) == (0, f"{path}: 1 account, sha256 {digest}\n")
    again = command("dump_json", str(path))
    assert (again.status, again.out) == (65, "")
    assert again.err == f"slurm_bank: {path} is there already and is not overwritten (bad_input)\n"
    done = command("dump_csv", str(tmp_path / "dump.csv"), "--json")
    assert json.loads(done.out)["accounts"] == 1
    assert command("export_csv", str(tmp_path / "grants")).out == f"{tmp_path}/grants: 1 account\n"


def test_a_difference_is_shown_and_nothing_done_where_nobody_can_be_asked(
    command: Command, settings: Path
) -> None:
    command("insert", "test1", "10")
    before = command("history", "test1").out
    path = dump(settings, 12)
    done = command("repopulate_json", path)
    assert done.status == 2
    table, rest = done.out.splitlines()[:3], done.out.splitlines()[3:]
    assert [line.split("\t") for line in table][:2] == [
        ["account", "change", "before", "after"],
        ["test1", "raised", "10", "12"],
    ]
    assert rest[0] == f"{path}: 1 account, 0 as they are, 1 to be changed"
    assert "nobody can tell whether it was changed since" in rest[1]
    assert "fractions of SUs, grants, reasons" in rest[2]
    assert done.err == (
        f"slurm_bank: Change 1 account in {settings.parent}/bank.db? Nobody can be asked here:"
        " say --yes (usage)\n"
    )
    assert command("history", "test1").out == before
    rehearsed = command("repopulate_json", path, "--dry-run")
    assert rehearsed.out == done.out + "dry run: nothing was done\n"
    assert command("history", "test1").out == before


def test_yes_makes_it_so_and_says_what_was_kept(command: Command, settings: Path) -> None:
    command("insert", "test1", "10")
    path = dump(settings, 12)
    done = command("repopulate_json", path, "--yes", "--reason", "moved here")
    (kept,) = settings.parent.glob("bank.db.before-repopulate-*")
    assert done.status == 0
    assert done.out.endswith(f"\n1 account changed; what was there before is {kept}\n")
    assert "moved here\tdump " in command("history", "test1").out
    assert command("get_sus", "test1").out == "Account test1 has 12 SUs\n"
    # Nothing to ask, nothing to do.
    again = command("repopulate_json", path)
    assert (again.status, again.err) == (0, "")
    assert again.out.startswith(f"{path}: 1 account, 1 as they are, 0 to be changed\n")
    # What was kept is a backup.
    assert command("restore", str(kept), "--yes").status == 0
    assert command("get_sus", "test1").out == "Account test1 has 10 SUs\n"
    assert command("verify").status == 0


def test_programs_get_it_as_json(command: Command, settings: Path) -> None:
    command("insert", "test1", "10")
    path = dump(settings, 12)
    done = json.loads(command("repopulate_json", path, "--yes", "--json").out)
    assert done["differences"][0] == {
        "account": "test1", "start": None, "end": None, "kind": None,
        "change": "raised", "before": "10", "after": "12",
    }  # fmt: skip
    assert (done["accounts"], done["unchanged"], done["changed"]) == (1, 0, 1)
    assert done["kept"].startswith(f"{settings.parent}/bank.db.before-repopulate-")
    assert done["is_dry_run"] is False


def test_grants_go_out_and_come_in(command: Command, tmp_path: Path) -> None:
    command("insert", "test1", "10.5", "--reason", "year 1")
    path = tmp_path / "grants.csv"
    command("export_csv", str(path))
    assert command("import_csv", str(path)).out == (
        f"{path}: 1 account, 1 as they are, 0 to be changed\n"
    )
    path.write_text(path.read_text().replace("10.5", "99.5"))
    assert command("import_csv", str(path), "--yes").out == (
        "account\tchange\tbefore\tafter\ntest1\traised\t10.5\t99.5\n"
        f"{path}: 1 account, 0 as they are, 1 to be changed\n1 account changed\n"
    )
    assert command("get_sus", "test1").out == "Account test1 has 99.5 SUs\n"
    assert command("verify").status == 0


def test_grants_with_dates_go_out_and_come_in(command: Command, tmp_path: Path) -> None:
    command("insert", "test1", "10")
    command("grant", "test1", "5", "--start", "2030-01-01", "--end", "2031-01-01", "--kind", "X")
    path = tmp_path / "grants.csv"
    command("export_csv", str(path))
    assert "test1,5,2030-01-01,X,,2031-01-01,0,," in path.read_text()
    assert command("import_csv", str(path)).out == (
        f"{path}: 1 account, 1 as they are, 0 to be changed\n"
    )
    path.write_text(path.read_text().replace("test1,5,", "test1,7,").replace(",0,", ",20,"))
    assert command("import_csv", str(path), "--yes").out == (
        "account\tstart\tend\tkind\tchange\tbefore\tafter\n"
        "test1\t2030-01-01\t2031-01-01\tX\traised\t5\t7\n"
        "test1\t2030-01-01\t2031-01-01\tX\tcarry\t0 %\t20 %\n"
        f"{path}: 1 account, 0 as they are, 1 to be changed\n1 account changed\n"
    )
    (_, grant) = json.loads(command("grants", "test1", "--json").out)
    assert (grant["given_su"], grant["carry_percent"]) == ("7", 20)
    assert command("verify").status == 0


def test_more_than_the_account_above_has_is_given_where_that_is_meant(
    command: Command, fake: FakeSlurm, tmp_path: Path
) -> None:
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    command("insert", "dept", "10")
    path = tmp_path / "grants.csv"
    path.write_text("account,su,start,kind,reason\nproj,20,2026-02-01,allocation,\n")
    refused = command("import_csv", str(path), "--yes")
    assert refused.status != 0
    assert "proj would have 20 SUs, and dept above it in Slurm's tree has 10" in refused.err
    assert "say --force to mean it" in refused.err
    assert command("import_csv", str(path), "--yes", "--force").status == 0
    assert command("get_sus", "proj").out == "Account proj has 20 SUs\n"


def test_everything_wrong_in_a_file_is_named(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "grants.csv"
    lines = "".join(f"test{n},much,2026-02-01,allocation,\n" for n in range(25))
    path.write_text(f"account,su,start,kind,reason\n{lines}")
    done = command("import_csv", str(path))
    assert (done.status, len(done.err.splitlines())) == (65, 1)
    assert f"{path}: line 2: 'much' is not an amount" in done.err
    assert "line 21: 'much'" in done.err
    assert "line 22" not in done.err
    assert done.err.endswith(" (and 5 more) (bad_input)\n")
    error = json.loads(command("import_csv", str(path), "--json").out)["error"]
    assert [problem.split(":")[0] for problem in error["problems"]] == [
        f"line {number}" for number in range(2, 27)
    ]


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("dump_json",), 2, "it goes: dump_json <file> [--json]"),
        (("repopulate_csv",), 2, "it goes: repopulate_csv <file> [--dry-run] [--reason TEXT]"),
        (("import_csv", "x", "--key", "k"), 2, "import_csv does not take --key"),
        (("dump_csv", "x", "--dry-run"), 2, "dump_csv does not take --dry-run"),
        (("export_json", "x"), 2, "'export_json' is not a command"),
        (("repopulate_json", "/nosuch", "--yes"), 65, "/nosuch cannot be read: No such file"),
        (("repopulate_csv", "/dev/null", "--yes"), 65, "/dev/null is not a regular file"),
        (("import_csv", "/nosuch"), 65, "/nosuch cannot be read"),
        (("dump_json", "/nosuch/dump"), 65, "/nosuch/dump cannot be made"),
    ],
)
def test_refusals(command: Command, argv: tuple[str, ...], status: int, said: str) -> None:
    command("insert", "test1", "100")
    before = command("history", "test1").out
    done = command(*argv)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert command("history", "test1").out == before
