"""What the cluster has, kept for when the controller waits: old is better than none."""

import threading
from collections.abc import Callable, Iterator

import pytest

from bank.errors import SlurmError
from bank.operations import shape_cache
from bank.operations.bank import Bank
from bank.operations.shape_cache import Shape, ShapeCache
from bank.policy.cluster_shape import Cluster, Controller
from bank.settings import Settings

CLUSTER = Cluster(Controller("c1", "select/cons_tres", frozenset()), (), (), {}, ())


class Slurm:
    """Gives a shape, or does not answer; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = True
        self.heard = threading.Condition()

    def __call__(self, _bank: Bank) -> Shape:
        with self.heard:
            self.asked += 1
            self.heard.notify_all()
        if not self.answers:
            raise SlurmError("the controller does not answer")
        return Shape(CLUSTER, {}, {}, 0.0, {})

    def wait_until_asked(self, times: int) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: self.asked >= times, timeout=30)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    slurm = Slurm()
    monkeypatch.setattr(shape_cache, "take_shape", slurm)
    return slurm


@pytest.fixture
def cache(slurm: Slurm) -> ShapeCache:
    del slurm
    return ShapeCache(Bank(Settings("/nowhere"), "ada", print))


@pytest.fixture
def kept(cache: ShapeCache) -> Iterator[Callable[[], None]]:
    """Return what lets a thread keep the cache up to date; it ends with the test."""
    thread = threading.Thread(target=cache.keep)
    yield thread.start
    cache.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_nothing_is_priced_before_slurm_has_answered(cache: ShapeCache, slurm: Slurm) -> None:
    with pytest.raises(SlurmError, match="not known yet: it has not been asked"):
        _ = cache.shape
    slurm.answers = False
    cache.refresh()
    with pytest.raises(SlurmError, match="the controller does not answer"):
        _ = cache.shape
    assert "does not answer" in cache.problem()


def test_old_shape_stays_while_slurm_does_not_answer_and_its_age_is_said(
    cache: ShapeCache, slurm: Slurm
) -> None:
    cache.refresh()
    assert (cache.shape.name, cache.problem()) == ("c1", "")
    slurm.answers = False
    cache.refresh()
    assert cache.shape.name == "c1"
    assert "s ago: the controller does not answer" in cache.problem()
    slurm.answers = True
    cache.refresh()
    assert cache.problem() == ""


def test_slurm_is_asked_soon_where_something_came_up_and_not_at_once(
    cache: ShapeCache, slurm: Slurm, kept: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_cache, "_AT_LEAST_SECONDS", 0.3)
    kept()
    slurm.wait_until_asked(1)
    for _ in range(50):
        cache.refresh_soon()
    slurm.wait_until_asked(2)
    # Fifty questions are one.
    assert slurm.asked == 2


def test_what_is_asked_for_while_slurm_is_asked_is_asked_for_again(
    cache: ShapeCache, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_meanwhile(bank: Bank) -> Shape:
        cache.refresh_soon()
        return slurm(bank)

    monkeypatch.setattr(shape_cache, "take_shape", asked_meanwhile)
    cache.refresh()
    assert cache._wanted.is_set()
