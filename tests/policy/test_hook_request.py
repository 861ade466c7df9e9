"""What the controller tells of a job, as recorded from Slurm 22.05, becomes what it asks for."""

from typing import Any

import pytest

from bank.errors import InputError
from bank.policy import hook_request, sbatch_options, sbatch_request
from bank.policy.job_request import UNLIMITED, GresRequest, Request

# bitflags of a job of which nothing special was asked.
PLAIN = {"user_id": 999, "min_cpus": 1, "bitflags": 503316480}


def request(**told: Any) -> Request:  # noqa: ANN401
    return hook_request.request({**PLAIN, **told})


def by_sbatch(*words: str) -> Request:
    line = sbatch_options.read_command_line(words)
    (options,) = sbatch_options.joined(line, ((),), ())
    return sbatch_request.request(options)


# What was seen for each command line in the controller.
SEEN: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    ((), {}),
    (
        ("-n4", "-c2", "--mem-per-cpu=2000", "-t30"),
        {
            "time_limit": 30,
            "min_cpus": 8,
            "cpus_per_task": 2,
            "num_tasks": 4,
            "pn_min_cpus": 2,
            "min_mem_per_cpu": 2000,
        },
    ),
    (
        ("-N2", "--exclusive", "--mem=0"),
        {"min_cpus": 2, "min_nodes": 2, "max_nodes": 2, "min_mem_per_node": 0, "shared": 0},
    ),
    (
        ("-N1-3", "--ntasks-per-node=2", "--spread-job", "-t0"),
        {
            "time_limit": "unlimited",
            "min_nodes": 1,
            "max_nodes": 3,
            "ntasks_per_node": 2,
            "bitflags": 503316736,
        },
    ),
    (
        ("-N1-3", "-n3", "--use-min-nodes", "-tUNLIMITED"),
        {
            "time_limit": "unlimited",
            "min_cpus": 3,
            "num_tasks": 3,
            "min_nodes": 1,
            "max_nodes": 3,
            "bitflags": 503333376,
        },
    ),
    (
        ("--gpus=2", "-pgpu", "--cpus-per-gpu=2", "--mem-per-gpu=1G"),
        {
            "partition": "gpu",
            "tres_per_job": "gres:gpu:2",
            "cpus_per_tres": "gres:gpu:2",
            "mem_per_tres": "gres:gpu:1024",
        },
    ),
    (
        ("--gpus-per-node=2", "-pgpu,normal"),
        {"partition": "gpu,normal", "tres_per_node": "gres:gpu:2"},
    ),
    (
        ("--gpus-per-task=1", "-n2", "-pgpu"),
        {"partition": "gpu", "min_cpus": 2, "num_tasks": 2, "tres_per_task": "gres:gpu:1"},
    ),
    (
        ("--gres=gpu:2", "-pgpu", "-a1-10:2%2"),
        {"partition": "gpu", "tres_per_node": "gres:gpu:2", "array_inx": "1-10:2%2"},
    ),
    (
        ("-O", "-n8", "-s", "--hint=nomultithread"),
        {"num_tasks": 8, "threads_per_core": 1, "shared": 1},
    ),
    (
        ("-n8", "-B2:1:1"),
        {
            "min_cpus": 8,
            "num_tasks": 8,
            "sockets_per_node": 2,
            "cores_per_socket": 1,
            "threads_per_core": 1,
        },
    ),
    (
        ("-Ca&b", "-wc1", "-xc2", "--mincpus=3", "--reservation=x"),
        {
            "min_nodes": 1,
            "pn_min_cpus": 3,
            "features": "a&b",
            "req_nodes": "c1",
            "exc_nodes": "c2",
            "reservation": "x",
        },
    ),
]


@pytest.mark.parametrize(("words", "told"), SEEN, ids=[" ".join(words) for words, _ in SEEN])
def test_controller_tells_what_the_command_line_asked_for(
    words: tuple[str, ...], told: dict[str, Any]
) -> None:
    assert request(**told) == by_sbatch(*words)


def test_newer_forms_of_generic_resources_are_read_too() -> None:
    found = request(tres_per_task="cpu=4,gres/gpu:tesla=2", tres_per_node="gres/gpu:1,gres/shard:4")
    assert found.gres == (
        GresRequest("gpu", "", 1, "node"),
        GresRequest("shard", "", 4, "node"),
        GresRequest("gpu", "tesla", 2, "task"),
    )


def test_nothing_is_taken_for_0_and_unlimited_not_for_a_number() -> None:
    found = request(time_limit="unlimited", max_nodes="unlimited", ntasks_per_core="unlimited")
    assert (found.time_minutes, found.max_nodes) == (UNLIMITED, UNLIMITED)
    assert found.tasks_per_core == 65_535
    assert request().time_minutes is None
    assert request().memory_per_node_mb is None


@pytest.mark.parametrize(
    "told",
    [
        {"min_cpus": -1},
        {"min_cpus": "4"},
        {"min_cpus": 1.5},
        {"min_cpus": True},
        {"time_limit": "long"},
        {"time_limit": 1 << 62},
        {"account": 5},
        {"shared": 9},
        {"array_inx": "all"},
        {"tres_per_node": "gres:gpu:a:b:c"},
        {"req_nodes": "c[1-"},
    ],
)
def test_what_is_not_understood_is_said_and_nothing_made_of_it(told: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        request(**told)


def test_job_without_a_user_is_refused() -> None:
    with pytest.raises(InputError, match="user_id"):
        hook_request.user_number({})
