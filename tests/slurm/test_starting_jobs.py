"""What squeue says of a job that is about to start, as recorded from Slurm 22.05."""

from fractions import Fraction
from pathlib import Path

import pytest

from bank.errors import OutputNotUnderstood, Refusal
from bank.slurm import associations, starting_jobs

RECORDED = Path(__file__).parent / "recorded" / "22.05"
# Numbers that were recorded.
TASK, JOB = 1, 3


def output(name: str) -> str:
    return (RECORDED / f"{name}.stdout").read_text()


@pytest.mark.parametrize(("name", "job_id"), [("starting_task", TASK), ("starting_job", JOB)])
def test_question_is_the_one_that_was_recorded(name: str, job_id: int) -> None:
    # One of the separators ends a line for str.splitlines.
    recorded = (RECORDED / f"{name}.argv").read_text().removesuffix("\n").split("\n")
    assert starting_jobs.arguments(job_id) == recorded


def test_job_is_read_with_what_it_was_given_and_whether_it_can_wait() -> None:
    found = starting_jobs.read(output("starting_job"), JOB)
    assert (found.is_batch, found.can_requeue) == (True, True)
    job = found.job
    assert (job.job_id, job.array_job_id, job.user, job.account) == (JOB, None, "lab-ada", "proj")
    assert (job.limit_minutes, job.comment) == (5, "seen by ops bank:a1B2c3D4")
    assert job.allocated["cpu"] == Fraction(1)


def test_task_of_an_array_is_told_from_the_others_that_squeue_lists_with_it() -> None:
    text = output("starting_task")
    first, second = (starting_jobs.read(text, number) for number in (TASK, TASK + 1))
    assert (first.job.job_id, first.job.array_job_id) == (TASK, TASK)
    assert (second.job.job_id, second.job.array_job_id) == (TASK + 1, TASK)
    assert (first.is_batch, first.can_requeue) == (True, False)


def test_job_that_is_not_there_is_said() -> None:
    with pytest.raises(Refusal, match="no job 77"):
        starting_jobs.read(output("starting_job"), 77)
    with pytest.raises(Refusal, match="no job 3"):
        starting_jobs.read("", JOB)


@pytest.mark.parametrize(
    "wrong",
    [
        output("starting_job")[:-20],
        output("starting_job").replace("1\x1f1\x1f3", "1\x1fyes\x1f3"),
        output("starting_job").replace("1\x1f1\x1f3", "1\x1f3"),
        "slurm_load_jobs error",
    ],
)
def test_what_is_not_understood_decides_nothing(wrong: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        starting_jobs.read(wrong, JOB)


def test_associations_of_all_users_are_read_by_login() -> None:
    recorded = (RECORDED / "users.argv").read_text().splitlines()
    assert associations.users_arguments("rec") == recorded
    found = associations.read_users(output("users"))
    assert {user: [one.account for one in mine] for user, mine in found.items()} == {
        "lab-ada": ["other", "proj"],
        "lab-bob": ["proj"],
        "root": ["root"],
    }
    assert [one.account for one in found["lab-ada"] if one.is_default] == ["proj"]
    with pytest.raises(OutputNotUnderstood):
        associations.read_users("proj|other|lab-ada|\n")
