"""Dumps: written whole or not at all, never over anything, and read without harm."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bank.errors import InputError, Refusal, StoreError
from bank.operations import dumps, movements
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.differences import plan_import, plan_repopulate
from bank.policy.periods import hold_reason
from bank.store import accounts, whole_files
from bank.store.connect import writing
from tests.operations.conftest import SU, insert

Dump = Callable[[Bank, str], object]
WRITERS: dict[str, Dump] = {
    "json": dumps.dump_json,
    "csv": dumps.dump_csv,
    "grants": dumps.export_csv,
}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
forms = pytest.mark.parametrize("form", ["json", "csv"])


def dump(bank: Bank, form: str, path: Path) -> Path:
    WRITERS[form](bank, str(path))
    return path


def plan(bank: Bank, form: str, path: Path) -> object:
    if form == "grants":
        return plan_import(bank, str(path), reason="")
    return plan_repopulate(bank, f"repopulate_{form}", str(path), reason="")


@writers
def test_a_dump_is_never_written_over_anything(bank: Bank, tmp_path: Path, write: Dump) -> None:
    insert(bank, "test1", 10)
    file, link, directory = tmp_path / "file", tmp_path / "link", tmp_path / "directory"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    directory.mkdir()
    before = sorted(tmp_path.iterdir())
    for path in (file, link, directory):
        with pytest.raises(InputError, match=f"{path} is there already and is not overwritten"):
            write(bank, str(path))
    assert file.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before


@writers
def test_nobody_else_may_read_a_dump(bank: Bank, tmp_path: Path, write: Dump) -> None:
    before = os.umask(0)
    try:
        write(bank, str(tmp_path / "dump"))
    finally:
        os.umask(before)
    made = list(tmp_path.glob("dump*"))
    assert made
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}


@writers
def test_a_dump_that_cannot_be_written_leaves_nothing(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Dump
) -> None:
    def full(_: str, __: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files, "_fill", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(bank, str(tmp_path / "dump"))
    assert not list(tmp_path.glob("dump*"))
    with pytest.raises(InputError, match="cannot be made: No such file or directory"):
        write(bank, str(tmp_path / "nosuch" / "dump"))


@forms
def test_a_name_that_is_taken_meanwhile_leaves_no_checksum(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = tmp_path / "dump"
    name_it = whole_files.name_it

    def somebody_is_quicker(part: str, name: str) -> None:
        if name == str(path):
            path.write_text("theirs")
        name_it(part, name)

    monkeypatch.setattr(whole_files, "name_it", somebody_is_quicker)
    with pytest.raises(InputError, match="is there already"):
        dump(bank, form, path)
    assert path.read_text() == "theirs"
    assert [one.name for one in tmp_path.glob("dump*")] == ["dump"]


@forms
@pytest.mark.parametrize("name", ["dump", "two words", "back\\slash", "line\nend"])
def test_sha256sum_finds_a_dump_as_it_was_written(
    bank: Bank, tmp_path: Path, form: str, name: str
) -> None:
    path = dump(bank, form, tmp_path / name)
    check = ["sha256sum", "--strict", "-c", f"{name}.sha256"]
    subprocess.run(check, cwd=tmp_path, check=True, capture_output=True)
    assert plan(bank, form, path)
    path.write_bytes(path.read_bytes() + b"\n")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1


@forms
def test_a_dump_changed_in_one_byte_anywhere_is_refused(
    bank: Bank, tmp_path: Path, form: str
) -> None:
    insert(bank, "test1", 10)
    path = dump(bank, form, tmp_path / "dump")
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match="one of the two was changed or cut off"):
            plan(bank, form, path)
    path.write_bytes(content)
    assert plan(bank, form, path)


@forms
@pytest.mark.parametrize("with_checksum", [True, False])
def test_a_dump_cut_off_anywhere_is_refused(
    bank: Bank, tmp_path: Path, form: str, with_checksum: bool
) -> None:
    insert(bank, "test1", 10)
    path = dump(bank, form, tmp_path / "dump")
    content = path.read_bytes()
    if not with_checksum:
        (tmp_path / "dump.sha256").unlink()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(InputError):
            plan(bank, form, path)


def test_of_a_csv_dump_without_a_checksum_it_is_said_how_to_make_one(
    bank: Bank, tmp_path: Path
) -> None:
    path = dump(bank, "csv", tmp_path / "dump")
    (tmp_path / "dump.sha256").unlink()
    with pytest.raises(InputError) as caught:
        plan(bank, "csv", path)
    how = str(caught.value).split("'")[1]
    subprocess.run(["/bin/sh", "-c", how], check=True)
    assert plan(bank, "csv", path)


@pytest.mark.parametrize(
    "line", [b"", b"\xff", b"0" * 64, b"0" * 63 + b"  dump\n", b"0" * 64 + b"  dump\nmore\n"]
)
def test_a_checksum_that_is_none_is_not_passed_over(
    bank: Bank, tmp_path: Path, line: bytes
) -> None:
    path = dump(bank, "json", tmp_path / "dump")
    (tmp_path / "dump.sha256").write_bytes(line)
    with pytest.raises(InputError, match="is not one line as sha256sum"):
        plan(bank, "json", path)
    (tmp_path / "dump.sha256").unlink()
    (tmp_path / "dump.sha256").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="dump.sha256 cannot be read"):
        plan(bank, "json", path)


@pytest.mark.parametrize("form", WRITERS)
def test_what_is_no_file_of_ours_is_refused_at_once(bank: Bank, tmp_path: Path, form: str) -> None:
    pipe, huge, latin = tmp_path / "pipe", tmp_path / "huge", tmp_path / "latin"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    latin.write_bytes(b"id\xe9\n")
    for path, said in (
        (tmp_path / "nosuch", "cannot be read: No such file"),
        (tmp_path, "is not a regular file"),
        (pipe, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (huge, "is larger than 67,108,864 bytes and was not read"),
        (latin, "byte 3: is not UTF-8"),
    ):
        with pytest.raises(InputError, match=said):
            plan(bank, form, path)


def test_of_what_is_too_large_nothing_is_read(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    monkeypatch.setattr(os, "read", pytest.fail)
    with pytest.raises(InputError, match="is larger than"):
        plan(bank, "json", huge)


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")
    monkeypatch.setattr(os, "read", lambda _, __: b"x" * 10)
    with pytest.raises(InputError, match="is larger than 100 bytes"):
        whole_files.read_small(str(path), at_most_bytes=100)


def test_a_file_of_just_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(b"x" * 100)
    assert whole_files.read_small(str(path), at_most_bytes=100) == b"x" * 100
    with pytest.raises(InputError, match="is larger than 99 bytes"):
        whole_files.read_small(str(path), at_most_bytes=99)


def test_a_dump_says_what_it_cannot_carry(bank: Bank, tmp_path: Path) -> None:
    insert(bank, "test1", 10)
    assert dumps.dump_json(bank, str(tmp_path / "whole"))["notes"] == []
    movements.add(bank, Command("add", "test1", SU // 2))
    movements.hold(bank, Command("hold", "test1"))
    insert(bank, "dept", 10)
    with writing(bank.database) as writer:
        # A hold for a period that is over is not by hand, and comes back by itself.
        over: dict[str, accounts.Value] = {"hold_reason": hold_reason("2020-01-01")}
        accounts.change(writer, "dept", over, actor="ada", reason="", now=bank.clock())
    fraction, held = dumps.dump_json(bank, str(tmp_path / "rounded"))["notes"]
    assert fraction == "not in it: the fractions of SUs of test1; 'backup' copies all"
    assert held == "not in it: the holds by hand of test1; 'backup' copies all"
    assert '"su_limit_hrs": 10,' in (tmp_path / "rounded").read_text()


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_others_wrote_into_the_table_and_no_dump_can_say_is_refused(
    bank: Bank, tmp_path: Path, form: str
) -> None:
    insert(bank, "test1", 10)
    with writing(bank.database) as writer:
        writer.execute("UPDATE sbank SET date = 'soon'", [{}])
    with pytest.raises(Refusal, match="table sbank: id 1: date 'soon'"):
        dump(bank, form, tmp_path / "dump")
    assert not list(tmp_path.glob("dump*"))


@forms
def test_a_dump_of_no_accounts_is_a_file(bank: Bank, tmp_path: Path, form: str) -> None:
    path = dump(bank, form, tmp_path / "dump")
    assert path.read_text().startswith('{\n  "count": 0' if form == "json" else "id,account")
    assert plan(bank, form, path)
    insert(bank, "test1", 10)
    with pytest.raises(Refusal, match="has no accounts, and would close all 1 of the bank"):
        plan(bank, form, path)
