"""What decides how much jobs get, as Slurm 22.05 printed it."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import OutputNotUnderstood
from bank.policy.cluster_shape import Association, Memory, Qos
from bank.policy.job_request import UNLIMITED
from bank.slurm import associations, partitions, qos, scontrol, shapes
from tests.fake_slurm import CONFIG, NODE, PARTITION

RECORDED = Path(__file__).parent / "recorded" / "22.05"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.stdout").read_text()


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("shapes_config", scontrol.config_arguments(None)),
        ("shapes_partitions", partitions.arguments(None)),
        ("nodes", shapes.nodes_arguments(None)),
        ("user", associations.user_arguments("rec", "lab-ada")),
        ("account", associations.account_arguments("rec", "qb")),
        ("qos", qos.arguments()),
    ],
)
def test_what_is_asked_is_what_was_recorded(name: str, argv: list[str]) -> None:
    assert argv == (RECORDED / f"{name}.argv").read_text().splitlines()


def test_another_cluster_is_named_right_after_the_command() -> None:
    assert shapes.nodes_arguments("c2")[1:3] == ["-M", "c2"]


def test_the_configuration() -> None:
    found = shapes.read_controller(recorded("shapes_config"))
    assert (found.cluster, found.select_type) == ("rec", "select/cons_tres")
    assert found.selects == {"CR_CORE_MEMORY"}
    assert found.counts_memory
    assert found.gives_whole_cores
    assert not found.gives_whole_sockets
    assert not found.gives_whole_nodes
    assert not found.max_tres
    assert (found.default_memory, found.max_memory) == (Memory(1024, "cpu"), Memory(9000, "cpu"))
    assert (found.cpus_per_gpu, found.memory_per_gpu_mb) == (1, 500)
    assert {"gres/gpu:tesla", "license/matlab"} <= found.tracked
    assert (found.over_minutes, found.max_array_size) == (0, 20001)


def test_partitions() -> None:
    found = {one.name: one for one in shapes.read_partitions(recorded("shapes_partitions"))}
    assert [name for name, one in found.items() if one.is_default] == ["normal"]
    assert [name for name, one in found.items() if one.is_exclusive] == ["whole"]
    normal, plain, capped = found["normal"], found["plain"], found["capped"]
    assert (normal.default_minutes, normal.max_minutes) == (10, 7 * 24 * 60)
    assert (normal.min_nodes, normal.max_nodes) == (0, UNLIMITED)
    assert (plain.default_minutes, plain.max_minutes, plain.over_minutes) == (None, 120, 3)
    assert plain.weights == {}
    assert (capped.default_memory, capped.max_memory) == (Memory(700, "cpu"), Memory(1500, "cpu"))
    assert capped.weights == {"cpu": 1, "mem": Fraction("0.3") / 1024}
    assert found["bynode"].default_memory == Memory(3000, "node")
    assert found["endless"].max_minutes == UNLIMITED
    assert (found["gpus"].cpus_per_gpu, found["gpus"].memory_per_gpu_mb) == (2, 3000)


def test_nodes() -> None:
    found = {one.name: one for one in shapes.read_nodes(recorded("nodes"))}
    first, typed, big = found["t1"], found["h1"], found["b1"]
    assert (first.cpus, first.sockets, first.cores_per_socket) == (32, 2, 8)
    assert (first.threads_per_core, first.memory_mb) == (2, 65_536)
    assert first.partitions == {"threads", "whole", "capped"}
    assert typed.gres == {("gpu", "tesla"): 2, ("gpu", "volta"): 2}
    assert found["p1"].gres == {("gpu", ""): 2}
    assert big.features == {"big"}
    assert (big.weight, found["c1"].weight) == (5, 1)


def test_gres_are_read_with_the_sockets_that_they_are_on() -> None:
    text = NODE.format(number=1).replace("Gres=(null)", "Gres=gpu:a100:2(S:0,1),gpu:1,shard:2K,x")
    (node,) = shapes.read_nodes(text)
    wanted = {("gpu", "a100"): 2, ("gpu", ""): 1, ("shard", ""): 2048, ("x", ""): 1}
    assert node.gres == wanted


def test_associations_and_qos() -> None:
    two = ("double", "normal")
    assert associations.read_user(recorded("user")) == (
        Association("qa", "gpu", "", ("normal",), None, is_default=True),
        Association("qa", "", "", ("normal",), None, is_default=True),
        Association("qb", "", "double", two, 24 * 60, is_default=False),
    )
    assert associations.read_account(recorded("account")) == (
        Association("qb", "", "double", two, 24 * 60, is_default=False),
    )
    assert associations.read_user("") == ()
    assert qos.read(recorded("qos")) == {
        "normal": Qos("normal", Fraction(1)),
        "double": Qos("double", Fraction("2.5"), 60),
        "free": Qos("free", Fraction(1), None, lifts_time_limit=True),
    }


CUTS = [
    *(
        (shapes.read_partitions, PARTITION, word.split("=")[0])
        for word in PARTITION.split()
        # What need not be there, and what only others read.
        if word.split("=")[0]
        not in ("TRESBillingWeights", "AllowAccounts", "AllowQos", "QoS", "State", "TotalNodes")
    ),
    *(
        (shapes.read_nodes, NODE.format(number=1), name)
        for name in ("NodeName", "CPUTot", "Sockets", "ThreadsPerCore", "RealMemory", "Gres")
    ),
    *(
        (shapes.read_controller, CONFIG.format(started=1, cluster="c"), name)
        for name in ("SelectType ", "OverTimeLimit", "JobDefaults", "MaxArraySize", "DefMemPerCPU")
    ),
]


@pytest.mark.parametrize(("read", "text", "name"), CUTS, ids=lambda value: str(value)[:20])
def test_what_is_missing_is_not_guessed(
    read: Callable[[str], object], text: str, name: str
) -> None:
    read(text)
    with pytest.raises(OutputNotUnderstood):
        read(text.replace(f"{name}", f"x{name}"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARTITION.replace("OverSubscribe=NO", "OverSubscribe=MAYBE"),
        PARTITION.replace("MaxTime=1-00:00:00", "MaxTime=soon"),
        PARTITION.replace("CPU=1.0", "CPU=1.0.0"),
    ],
)
def test_partitions_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        shapes.read_partitions(text)


@given(st.text(max_size=200))
def test_anything_else_is_not_understood(text: str) -> None:
    for read in (shapes.read_partitions, shapes.read_nodes, shapes.read_controller):
        with pytest.raises(OutputNotUnderstood):
            read(text)
    with pytest.raises(OutputNotUnderstood):
        qos.read(text)
