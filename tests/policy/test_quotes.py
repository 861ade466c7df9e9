"""What a job costs at most, on described clusters; the real ones are in test_quotes_real.py."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import Refusal
from bank.policy import prices
from bank.policy.cluster_shape import (
    Association,
    Cluster,
    Controller,
    Memory,
    Node,
    Partition,
    Qos,
)
from bank.policy.job_request import UNLIMITED, GresRequest, Request
from bank.policy.quotes import LATE_SECONDS, Quote, decimal, quote

CPU = {"cpu": Fraction(1)}


def node(
    name: str,
    *partitions: str,
    cpus: int = 32,
    threads: int = 1,
    memory_mb: int = 65_536,
    gres: dict[tuple[str, str], int] | None = None,
    features: frozenset[str] = frozenset(),
) -> Node:
    return Node(
        name=name,
        partitions=frozenset(partitions),
        cpus=cpus,
        sockets=2,
        cores_per_socket=cpus // threads // 2,
        threads_per_core=threads,
        memory_mb=memory_mb,
        gres=gres or {},
        features=features,
    )


CONTROLLER = Controller(
    "c1",
    "select/cons_tres",
    frozenset({"CR_CORE_MEMORY"}),
    default_memory=Memory(1000, "cpu"),
    tracked=frozenset({"cpu", "mem", "gres/gpu", "gres/gpu:a"}),
)
CLUSTER = Cluster(
    CONTROLLER,
    (
        Partition("normal", True, CPU, default_minutes=60, max_minutes=600),
        Partition("dear", False, {"cpu": Fraction(2)}, max_minutes=90),
        Partition("endless", False, CPU, over_minutes=5),
        Partition("mem", False, {"mem": Fraction(1, 1000)}, default_minutes=1),
        Partition(
            "gpu",
            False,
            {"gres/gpu": Fraction(1), "gres/gpu:a": Fraction(1)},
            default_minutes=1,
        ),
    ),
    (
        node("n1", "normal", "dear", "endless", "mem"),
        node("n2", "normal", "dear", "endless", "mem", features=frozenset({"new"})),
        node("g1", "gpu", gres={("gpu", "a"): 2, ("gpu", "b"): 2}),
    ),
    {
        "normal": Qos("normal", Fraction(1)),
        "double": Qos("double", Fraction(2), 30),
        "long": Qos("long", Fraction(1), None, lifts_time_limit=True),
    },
    (
        Association("proj", "", "", ("normal", "double", "long"), None, is_default=True),
        Association("fast", "", "double", ("double",), None, is_default=False),
        Association("fast", "dear", "", ("normal",), 20, is_default=False),
    ),
)


def quoted(**fields: Any) -> Quote:  # noqa: ANN401
    return quote(Request(**fields), CLUSTER)


def test_cost_is_billing_times_factor_times_seconds_and_rounded_up_once() -> None:
    tres = {"cpu": Fraction(3), "mem": Fraction(1000)}
    weights = {"cpu": Fraction("0.5"), "mem": Fraction(1, 4096)}
    found = prices.cost(tres, weights, factor=Fraction("1.5"), seconds=7, max_tres=False)
    assert found == (Fraction(3, 2) + Fraction(1000, 4096)) * Fraction(3, 2) * 7
    assert prices.at_most(found) == int(found) + 1
    assert prices.at_most(Fraction(18)) == 18


def test_a_job_costs_its_cpus_for_its_time_limit() -> None:
    found = quoted(tasks=4, min_cpus=4, time_minutes=30)
    assert (found.account, found.qos, found.partition) == ("proj", "normal", "normal")
    assert found.seconds == 1800
    assert found.cost_of_one == found.cost == Fraction(7200)
    assert found.late_cost == 4 * LATE_SECONDS


@pytest.mark.parametrize(("tasks_per_socket", "cpus"), [(None, 16), (1, 32), (2, 16)])
def test_where_sockets_are_given_out_each_has_no_more_tasks_than_it_may(
    tasks_per_socket: int | None, cpus: int
) -> None:
    by_socket = CONTROLLER._replace(selects=frozenset({"CR_SOCKET_MEMORY"}))
    asked = Request(
        tasks=2,
        cpus_per_task=2,
        min_cpus=4,
        node_cpus=2,
        min_nodes=1,
        max_nodes=1,
        tasks_per_socket=tasks_per_socket,
    )
    assert quote(asked, CLUSTER._replace(controller=by_socket)).billing == cpus


def test_an_array_costs_all_its_tasks() -> None:
    found = quoted(array_tasks=10, array_highest=9, array_at_once=3, time_minutes=1)
    assert (found.tasks, found.at_once) == (10, 3)
    assert (found.cost_of_one, found.cost) == (Fraction(60), Fraction(600))


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 3600),
        ({"qos": "double"}, 3600),
        ({"time_minutes": 7}, 420),
        ({"partitions": ("dear",)}, 5400),
        ({"partitions": ("dear",), "qos": "double"}, 1800),
        ({"partitions": ("dear",), "account": "fast"}, 1200),
        ({"partitions": ("endless",)}, None),
        ({"partitions": ("endless",), "qos": "double"}, 2100),
        ({"partitions": ("endless",), "time_minutes": 10}, 900),
        ({"partitions": ("endless",), "time_minutes": UNLIMITED}, None),
        ({"qos": "long", "time_minutes": 900}, 54_000),
        # The default is that of the partition named first.
        ({"partitions": ("normal", "dear")}, 3600),
    ],
)
def test_the_time_limit(fields: dict[str, Any], seconds: int | None) -> None:
    assert quoted(**fields).seconds == seconds


def test_without_a_time_limit_there_is_no_bound_but_for_what_costs_nothing() -> None:
    assert quoted(partitions=("endless",)).cost is None
    free = CLUSTER._replace(qos={"normal": Qos("normal", Fraction(0))})
    assert quote(Request(partitions=("endless",)), free).cost == 0


@pytest.mark.parametrize(
    ("fields", "account", "qos", "factor"),
    [
        ({"account": "FAST"}, "fast", "double", 2),
        ({"qos": "Double"}, "proj", "double", 2),
        ({"account": "fast", "partitions": ("dear",)}, "fast", "normal", 1),
    ],
)
def test_account_and_qos(fields: dict[str, Any], account: str, qos: str, factor: int) -> None:
    found = quoted(**fields)
    assert (found.account, found.qos, found.factor) == (account, qos, Fraction(factor))


def test_of_several_partitions_the_dearest_counts() -> None:
    found = quoted(partitions=("normal", "dear"))
    assert found.partition == "dear"
    # Its own default would be its MaxTime.
    assert found.seconds == 3600
    assert found.other_partitions == {"normal": 1}
    assert any("dear is the dearest" in note for note in found.notes)


def test_a_partition_where_it_cannot_run_does_not_count() -> None:
    found = quoted(partitions=("dear", "normal"), time_minutes=100)
    assert found.partition == "normal"
    assert any("above its MaxTime" in note for note in found.notes)


def test_the_bound_is_of_a_busy_cluster() -> None:
    found = quoted(partitions=("mem",), tasks=2, min_cpus=2, memory_per_node_mb=3000)
    assert (found.usual_billing, found.billing) == (Fraction(3), Fraction(6))
    assert any("1 node, billing 3; a busy one may spread it over 2" in one for one in found.notes)


def test_of_several_types_of_a_resource_the_dearest_counts() -> None:
    gres = (GresRequest("gpu", "", 1, "node"),)
    assert quoted(partitions=("gpu",), gres=gres).billing == 2
    assert quoted(partitions=("gpu",), gres=(GresRequest("gpu", "b", 1, "node"),)).billing == 1


def test_nodes_are_chosen_by_name_and_feature() -> None:
    assert quoted(features="new", min_cpus=32).billing == 32
    with pytest.raises(Refusal, match="CPUs"):
        quoted(features="new", min_cpus=33)
    assert quoted(features="old|new", min_cpus=32).billing == 32
    with pytest.raises(Refusal, match="no node that the job may have"):
        quoted(features="old&new")
    assert any("any node" in note for note in quoted(features="[a|b]").notes)
    with pytest.raises(Refusal, match="does not have g1"):
        quoted(nodes=("g1",))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"account": "nosuch"}, "no_such_account"),
        ({"account": "fast", "qos": "normal"}, "no_such_qos"),
        ({"partitions": ("nosuch",)}, "no_such_partition"),
        ({"reservation": "r"}, "no_partition"),
        ({"time_minutes": 601}, "job_never_runs"),
        ({"min_nodes": 3}, "job_never_runs"),
        ({"node_cpus": 33}, "job_never_runs"),
        ({"memory_per_node_mb": 65_537}, "job_never_runs"),
        ({"gres": (GresRequest("gpu", "", 1, "node"),)}, "job_never_runs"),
        ({"gres": (GresRequest("gpu", "", 1, "task"),)}, "job_not_taken"),
        ({"gres": (GresRequest("gpu", "", 1, "socket"),)}, "job_not_taken"),
        ({"array_tasks": 2, "array_highest": 1001}, "job_not_taken"),
    ],
)
def test_what_slurm_does_not_run_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        quoted(**fields)
    assert refused.value.code == code


def test_another_way_of_giving_out_nodes_is_refused() -> None:
    strange = CLUSTER._replace(controller=CONTROLLER._replace(select_type="select/cray_aries"))
    with pytest.raises(Refusal, match="select/cray_aries"):
        quote(Request(), strange)


def test_whole_nodes_are_given_where_nothing_is_shared() -> None:
    linear = CLUSTER._replace(
        controller=CONTROLLER._replace(select_type="select/linear", selects=frozenset())
    )
    found = quote(Request(min_cpus=33), linear)
    assert found.allocated == {"cpu": 64, "node": 2}


SHAPES = st.builds(
    lambda number, cores, threads, memory: node(
        f"n{number}", "normal", cpus=2 * cores * threads, threads=threads, memory_mb=memory
    ),
    st.integers(0, 99),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.integers(1000, 64_000),
)
REQUESTS = st.builds(
    lambda tasks, size, least, more, **fields: Request(
        tasks=tasks,
        min_cpus=tasks * size,
        cpus_per_task=size,
        node_cpus=size,
        min_nodes=least,
        max_nodes=None if least is None or more is None else least + more,
        **fields,
    ),
    tasks=st.integers(1, 20),
    size=st.integers(1, 5),
    least=st.none() | st.integers(1, 3),
    more=st.none() | st.integers(0, 3),
    tasks_per_core=st.none() | st.integers(1, 2),
    memory_per_cpu_mb=st.none() | st.integers(0, 3000),
    sharing=st.none() | st.just("exclusive"),
    overcommits=st.booleans(),
)
SELECTS = ("CR_CORE_MEMORY", "CR_CPU_MEMORY", "CR_SOCKET_MEMORY", "CR_CORE", "CR_CPU")


@given(REQUESTS, st.lists(SHAPES, min_size=1, max_size=4), st.sampled_from(SELECTS), st.booleans())
def test_a_bound_is_not_below_what_was_asked_for_nor_below_what_is_usual(
    asked: Request, shapes: list[Node], selects: str, max_tres: bool
) -> None:
    weights = {"cpu": Fraction(1), "mem": Fraction(1, 4096), "node": Fraction(1, 3)}
    cluster = CLUSTER._replace(
        controller=CONTROLLER._replace(selects=frozenset({selects}), max_tres=max_tres),
        partitions=(Partition("normal", True, weights, default_minutes=1),),
        nodes=tuple({one.name: one for one in shapes}.values()),
    )
    try:
        found = quote(asked, cluster)
    except Refusal:
        return
    assert found.billing >= found.usual_billing
    for tres in (found.allocated, found.usual):
        assert asked.overcommits or tres["cpu"] >= asked.min_cpus
        assert (asked.min_nodes or 1) <= tres["node"] <= len(cluster.nodes)
        assert tres["cpu"] <= sum(one.cpus for one in cluster.nodes)
        assert tres.get("mem", 0) <= sum(one.memory_mb for one in cluster.nodes)
    assert found.cost == found.rate * 60


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(4), "4"),
        (Fraction(1, 4), "0.25"),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(1, 4096), "0.000244140625"),
        (Fraction(0), "0"),
        (Fraction(100), "100"),
    ],
)
def test_fractions_are_written_as_decimals(value: Fraction, text: str) -> None:
    assert decimal(value) == text
