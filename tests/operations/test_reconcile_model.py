"""Whatever slurmdbd says in whatever order, each run is charged what it costs, once."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.errors import Refusal
from bank.operations import job_refunds
from bank.operations.clusters import all_clusters
from bank.operations.job_refunds import JobCommand
from bank.operations.reconciliation import reconcile
from tests.fake_slurm import FakeSlurm, take_over
from tests.operations.conftest import insert
from tests.operations.test_reconcile import NOW, World

FACTORS = {"normal": 1, "double": 2}
RUNS = st.fixed_dictionaries(
    {
        "start": st.integers(NOW - 5000, NOW - 1000),
        "seconds": st.integers(0, 900),
        "account": st.sampled_from(["proj", "dept", "test1"]),
        "partition": st.sampled_from(["normal", "half"]),
        "qos": st.sampled_from([*FACTORS, "gone"]),
        "cpus": st.integers(1, 4),
        "state": st.sampled_from(["COMPLETED", "REQUEUED", "RUNNING"]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("told"), st.integers(1, 5), RUNS),
        st.sampled_from([("look",), ("by hand",), ("rehearse",), ("open",), ("later",)]),
        st.tuples(st.just("refund"), st.integers(1, 5)),
    ),
    max_size=14,
)


def cost(run: dict[str, Any]) -> int:
    """Return what a run costs; 0 where that is not known, or not yet."""
    if run["state"] == "RUNNING" or run["qos"] == "gone":
        return 0
    # Half a billing-second is a whole one.
    exact = FACTORS[run["qos"]] * int(run["cpus"]) * int(run["seconds"])
    return exact if run["partition"] == "normal" else (exact + 1) // 2


class Model:
    """What sacct says now, and what was given back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: dict[int, dict[str, Any]] = {}
        self.charged: dict[int, tuple[str, int]] = {}
        self.refunded: dict[int, int] = {}
        self.opened = {"dept", "proj"}

    def do(self, what: str, rest: list[Any]) -> None:
        match what:
            case "told":
                self.told(*rest)
            case "look":
                self.world.look()
            case "by hand":
                self.world.look(since=NOW - 6000)
            case "rehearse":
                self.world.look(since=NOW - 6000, dry_run=True)
            case "later":
                self.world.now += 1000
            case "open" if "test1" not in self.opened:
                insert(self.world.bank, "test1", 10)
                self.opened.add("test1")
            case "refund" if rest[0] in self.runs:
                self.refund(rest[0])

    def told(self, index: int, run: dict[str, Any]) -> None:
        known = self.runs.get(index)
        if known is not None and run["state"] == "RUNNING" != known["state"]:
            # What has ended does not run again under the same number.
            return
        if index in self.refunded or (known and known["account"] != run["account"]):
            run = {**run, "account": (known or run)["account"]}
        if known is not None and known["qos"] != "gone":
            # Whether it was charged before its price was lost is another test's.
            run = {**run, "qos": known["qos"] if run["qos"] == "gone" else run["qos"]}
        self.runs[index] = run
        # sacct shows the whole number, cut off, and none below 1.
        whole = run["cpus"] if run["partition"] == "normal" else run["cpus"] // 2
        billing = f"billing={whole}," if whole else ""
        tres = f"{billing}cpu={run['cpus']},node=1"
        self.world.ran(index, str(100 + index), tres=tres, **{**run, "cpus": 0})

    def seen(self) -> None:
        """Everything that has ended is charged now."""
        for index, run in self.runs.items():
            is_known = run["qos"] != "gone" and run["state"] != "RUNNING"
            if is_known and run["account"] in self.opened:
                at_least = self.refunded.get(index, 0)
                self.charged[index] = run["account"], max(cost(run), at_least)

    def refund(self, index: int) -> None:
        try:
            answer = job_refunds.refund_job(self.world.bank, JobCommand(str(100 + index)))
        except Refusal:
            return
        run = self.runs[index]
        self.charged[index] = run["account"], cost(run)
        self.refunded[index] = answer["refund_billing_seconds"]

    def own(self, name: str) -> int:
        paid = sum(amount for whose, amount in self.charged.values() if whose == name)
        back = sum(
            amount for index, amount in self.refunded.items() if self.charged[index][0] == name
        )
        return paid - back


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_each_run_is_charged_its_cost_whatever_comes_when(
    steps: list[tuple[Any, ...]],
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        fake = take_over(patch)
        for name, parent in (("test1", "root"), ("dept", "root"), ("proj", "dept")):
            fake.add_account(name, parent)
        world = World(fake, Path(directory))
        world.bank = world.bank._replace(warn=lambda _: None)
        world.open()
        model = Model(world)
        for what, *rest in steps:
            model.do(what, rest)
        world.look(since=NOW - 6000)
        model.seen()
        for name in sorted(model.opened):
            below = model.own("proj") if name == "dept" else 0
            assert world.used(name) == model.own(name) + below, name
        assert world.agrees()
        assert world.look(since=NOW - 6000).amount == 0


def test_four_at_once_charge_each_run_once(fake: FakeSlurm, tmp_path: Path) -> None:
    """Without the lock of passes, as a command and the service may."""
    world = World(fake, tmp_path)
    world.open()
    for index in range(1, 40):
        world.ran(index, str(index), seconds=index)
    (cluster,) = all_clusters(world.bank)
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def charge() -> None:
        start.wait()
        try:
            reconcile(world.bank, cluster)
        except BaseException as error:  # noqa: BLE001 -- told below
            errors.append(error)

    threads = [threading.Thread(target=charge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert world.used() == sum(range(1, 40))
    assert world.query("SELECT count(*) FROM job_charge") == [(39,)]
    assert world.agrees()
