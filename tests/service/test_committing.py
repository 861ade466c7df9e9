"""Writes that wait are committed together; one that is bad spoils nobody else's."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bank.errors import BankError, Busy, Refusal, StoreError
from bank.http.counts import make_counts
from bank.operations import batches, upkeep
from bank.operations.bank import Bank
from bank.service.committing import Committing
from bank.settings import Settings
from bank.store.connect import Writer, reading, writing

PATIENCE_SECONDS = 30


class Item(NamedTuple):
    """A row that is to be written."""

    key: str
    fails: str = ""


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    settings = Settings(str(tmp_path / "bank.db"), logfile=str(tmp_path / "bank.log"))
    bank = Bank(settings, "service", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    return bank


def note(bank: Bank, writer: Writer, items: Sequence[Item]) -> list[Any]:
    """Write rows: refuse what is to be refused, break where that is asked for."""
    del bank
    answers: list[Any] = []
    for item in items:
        if item.fails == "refused":
            answers.append(Refusal("no", "no"))
            continue
        writer.insert(
            "INSERT INTO request (idempotency_key, content, answer, answered_at)"
            " VALUES (:key, '', '', 0)",
            key=item.key,
        )
        if item.fails == "broken":
            raise ValueError(item.key)
        answers.append(item.key)
    return answers


def keys(bank: Bank) -> set[str]:
    with reading(bank.database) as reader:
        return {key for (key,) in reader.query("SELECT idempotency_key FROM request")}


async def all_of(committing: Committing, items: Sequence[Item]) -> list[Any]:
    asked = (committing.do(note, item, "ada") for item in items)
    return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), PATIENCE_SECONDS)


def committed(bank: Bank, items: Sequence[Item], **more: int) -> list[Any]:
    """Ask for all at once, with a committing thread of their own."""

    async def run() -> list[Any]:
        committing = Committing(bank, make_counts(), **more)
        committing.start()
        try:
            return await all_of(committing, items)
        finally:
            await committing.stop()

    return asyncio.run(run())


def test_what_waits_is_committed_together(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    commit = batches.Batches.commit

    def counted(self: batches.Batches, asked: Sequence[batches.Ask]) -> list[Any]:
        sizes.append(len(asked))
        return commit(self, asked)

    monkeypatch.setattr(batches.Batches, "commit", counted)
    items = [Item(f"k{number}") for number in range(400)]
    assert committed(bank, items) == [item.key for item in items]
    assert keys(bank) == {item.key for item in items}
    assert sum(sizes) == 400
    assert len(sizes) < 100


@pytest.mark.parametrize("fails", ["refused", "broken"])
def test_a_bad_write_spoils_no_other(bank: Bank, fails: str) -> None:
    items = [Item("a"), Item("b", fails), Item("c"), Item("a")]
    first, bad, third, twice = committed(bank, items)
    assert (first, third) == ("a", "c")
    assert isinstance(bad, Refusal if fails == "refused" else ValueError)
    # The database itself refuses a key that is there: only that one write fails.
    assert isinstance(twice, StoreError)
    assert keys(bank) == {"a", "c"}


def test_more_than_may_wait_is_refused_and_not_done(bank: Bank) -> None:
    items = [Item(f"k{number}") for number in range(50)]
    answers = committed(bank, items, most_waiting=10)
    assert answers[:10] == [f"k{number}" for number in range(10)]
    assert [type(one) for one in answers[10:]] == [Busy] * 40
    assert keys(bank) == set(answers[:10])


def test_who_waits_when_it_stops_is_answered_and_later_ones_are_refused(bank: Bank) -> None:
    async def run() -> tuple[list[Any], Any]:
        committing = Committing(bank, make_counts())
        committing.start()
        asked = [
            asyncio.ensure_future(committing.do(note, Item(f"k{number}"), "ada"))
            for number in range(100)
        ]
        await asyncio.sleep(0)
        await committing.stop()
        found = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_SECONDS)
        late = await asyncio.gather(
            committing.do(note, Item("late"), "ada"), return_exceptions=True
        )
        assert not committing.is_alive
        return found, late[0]

    found, late = asyncio.run(run())
    assert found == [f"k{number}" for number in range(100)]
    assert isinstance(late, Busy)
    assert keys(bank) == set(found)


def test_a_lock_that_is_held_too_long_refuses_and_is_got_over(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_BUSY_SECONDS", 0.05)

    async def run() -> tuple[list[Any], list[Any]]:
        committing = Committing(bank, make_counts())
        committing.start()
        with writing(bank.database):
            refused = await all_of(committing, [Item("a"), Item("b")])
        done = await all_of(committing, [Item("a"), Item("b")])
        await committing.stop()
        return refused, done

    refused, done = asyncio.run(run())
    assert [type(one) for one in refused] == [Busy, Busy]
    assert done == ["a", "b"]


def test_a_database_that_cannot_be_written_refuses_and_is_got_over(
    bank: Bank, tmp_path: Path
) -> None:
    async def run() -> tuple[list[Any], list[Any], list[Any]]:
        committing = Committing(bank, make_counts())
        committing.start()
        before = await all_of(committing, [Item("a")])
        (tmp_path / "bank.db").rename(tmp_path / "away")
        refused = await all_of(committing, [Item("b"), Item("c")])
        (tmp_path / "away").rename(tmp_path / "bank.db")
        done = await all_of(committing, [Item("b"), Item("c")])
        await committing.stop()
        return before, refused, done

    before, refused, done = asyncio.run(run())
    assert before == ["a"]
    assert all(isinstance(one, BankError) for one in refused)
    assert done == ["b", "c"]
    assert keys(bank) == {"a", "b", "c"}


def test_another_database_in_its_place_is_written_to(bank: Bank, tmp_path: Path) -> None:
    """What is answered must be in the file that has the name, not in one that nobody finds."""

    async def run() -> None:
        committing = Committing(bank, make_counts())
        committing.start()
        assert await all_of(committing, [Item("old")]) == ["old"]
        (tmp_path / "bank.db").rename(tmp_path / "away")
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"bank.db{suffix}").unlink(missing_ok=True)
        upkeep.migrate(bank, dry_run=False)
        assert await all_of(committing, [Item("new")]) == ["new"]
        await committing.stop()

    asyncio.run(run())
    assert keys(bank) == {"new"}


def test_each_write_has_a_line_in_the_log_and_a_refusal_has_none(
    bank: Bank, tmp_path: Path
) -> None:
    committed(bank, [Item("a"), Item("b", "refused")])
    lines = (tmp_path / "bank.log").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if '"test_committing.note"' in line] == lines[1:]
    assert len(lines) == 2
    assert '"key": "a"' in lines[1]
    assert '"actor": "ada"' in lines[1]


def test_one_thread_does_all(bank: Bank) -> None:
    threads: set[int] = set()

    def where(bank: Bank, writer: Writer, items: Sequence[Item]) -> list[int]:
        del bank, writer
        threads.add(threading.get_ident())
        return [threading.get_ident() for _ in items]

    async def run() -> None:
        committing = Committing(bank, make_counts())
        committing.start()
        await asyncio.gather(*(committing.do(where, Item(""), "") for _ in range(20)))
        await committing.stop()

    asyncio.run(run())
    assert len(threads) == 1
    assert threading.get_ident() not in threads
