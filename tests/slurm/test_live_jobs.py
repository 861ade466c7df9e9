"""The reader of the queue for liens, held to what Slurm 22.05 really printed."""

from pathlib import Path

import pytest

from bank.errors import OutputNotUnderstood
from bank.slurm import live_jobs
from bank.slurm.live_jobs import count_tasks
from tests.slurm.test_readers import RECORDED, recorded


def test_what_is_asked_is_what_was_recorded() -> None:
    written = (Path(RECORDED) / "live_jobs.argv").read_text()
    assert live_jobs.arguments(None) == written.removesuffix("\n").split("\n")
    assert live_jobs.arguments("c2")[:3] == ["squeue", "-M", "c2"]


def test_jobs_are_read_with_what_counts_for_liens() -> None:
    found = {job.job_id: job for job in live_jobs.read(recorded("live_jobs"))}
    array, held = found[10], found[2]
    assert (array.array_job_id, array.tasks, array.is_held) == (10, 36, True)
    assert (held.array_job_id, held.tasks, held.started_at) == (None, 1, None)
    # A comment has its own ends of lines.
    assert held.comment == "two\nlines bank:tokentoken1"
    task = found[11]
    assert (task.array_job_id, task.is_over, task.is_running) == (1, True, False)
    assert task.allocated["billing"] == 1
    assert task.limit_minutes == 5


def test_an_answer_that_was_cut_off_is_not_understood() -> None:
    whole = recorded("live_jobs")
    for length in range(1, len(whole) - 1):
        with pytest.raises(OutputNotUnderstood):
            live_jobs.read(whole[:length].rstrip("\n") + "x")


def test_the_heading_of_another_cluster_is_no_job() -> None:
    whole = recorded("live_jobs")
    assert live_jobs.read(f"CLUSTER: c2\n{whole}") == live_jobs.read(whole)
    assert live_jobs.read("") == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("3-8%2", 6),
        ("1", 1),
        ("0-9:2", 5),
        ("1,3,60-90:3", 13),
        ("1-4,7-8", 6),
        ("1-3,5,7,9...", None),
    ],
)
def test_tasks_are_counted(text: str, count: int | None) -> None:
    assert count_tasks(text) == count


@pytest.mark.parametrize("text", ["", "x", "1-", "-3", "1;2"])
def test_what_is_no_list_of_tasks_is_not_understood(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        count_tasks(text)
