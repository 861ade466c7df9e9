from types import SimpleNamespace
from typing import Any

import pytest

from tests.scheduling import ClustersApart

# Six processes, of which four have a cluster.
PROCESSES = 6


class Process:
    """A process of pytest-xdist that runs what it is given, one after the other."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.shutting_down = False
        self.given: list[int] = []

    def send_runtest_some(self, tests: list[int]) -> None:
        self.given += tests

    def shutdown(self) -> None:
        self.shutting_down = True


def run_all(names: list[str]) -> list[list[str]]:
    """Let all tests run; return what each process has run."""
    options = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda _: [f"{PROCESSES}*popen"], option=options)
    scheduler = ClustersApart(config)
    processes: list[Any] = [Process(number) for number in range(PROCESSES)]
    for one in processes:
        scheduler.add_node(one)
    for one in processes:
        scheduler.add_node_collection(one, names)
    scheduler.schedule()
    ran: list[list[str]] = [[] for _ in processes]
    while any(len(done) < len(one.given) for done, one in zip(ran, processes, strict=True)):
        for done, one in zip(ran, processes, strict=True):
            if len(done) < len(one.given):
                test = one.given[len(done)]
                done.append(names[test])
                scheduler.mark_test_complete(one, test)
    assert all(one.shutting_down for one in processes)
    return ran


@pytest.mark.parametrize(("on_cluster", "others"), [(40, 200), (200, 40), (30, 0), (0, 30)])
def test_every_test_runs_once_and_clusters_are_of_four_processes(
    on_cluster: int, others: int
) -> None:
    names = [f"tests/a.py::test_{number}@cluster" for number in range(on_cluster)]
    names += [f"tests/b.py::test_{number}" for number in range(others)]
    ran = run_all(names)
    assert sorted(name for done in ran for name in done) == sorted(names)
    assert not [name for done in ran[4:] for name in done if name.endswith("@cluster")]
    if on_cluster:
        assert all(done and done[0].endswith("@cluster") for done in ran[:4])


def test_tests_that_share_a_cluster_run_in_one_process() -> None:
    shared = [f"tests/a.py::test_{number}@cluster_shared" for number in range(9)]
    single = [f"tests/b.py::test_{number}@cluster" for number in range(30)]
    ran = run_all([*single, *shared])
    assert [set(shared) & set(done) for done in ran if set(shared) & set(done)] == [set(shared)]
    assert not ran[4]
    assert not ran[5]
