"""kill -9 between any two steps of a refund of jobs: repeated, each run is refunded once."""

from pathlib import Path
from typing import Any

import pytest

from tests.crash.steps import worth_killing
from tests.crash.test_together import run_tasks
from tests.crash.world import (
    World,
    check_books,
    check_slurm,
    killed_at_each,
    left_behind,
    make_world,
)
from tests.lab import Lab

ACCOUNTS = ("kara", "kbel")
COMMANDS = {
    "job": ("refund", "--job", "{job}"),
    "keyed": ("refund", "--job", "{job}", "--key", "once"),
    "window": ("refund", "--window", "2020-01-01", "2100-01-01", "--yes"),
}
# Whoever was killed after the commit has done it; a repeat with a key is then answered.
AGAIN = {"job": {0, 1}, "keyed": {0}, "window": {0}}


def essence(world: World) -> dict[str, Any]:
    """Return what is on record of refunds, and what Slurm has, without times and numbers."""
    return {
        "entries": world.query(
            "SELECT name, kind, reference, amount, idempotency_key FROM entry"
            " JOIN account USING (account_id) ORDER BY name, seq"
        ),
        "refunds": world.query("SELECT job_index, amount FROM job_refund ORDER BY job_index"),
        "used": world.query("SELECT name, used FROM account ORDER BY name"),
        "keys": world.query("SELECT idempotency_key FROM request WHERE idempotency_key = 'once'"),
        "limits": world.limits(),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_refund_killed_anywhere_is_done_once(name: str, lab: Lab, tmp_path: Path) -> None:
    lab.make_accounts(ACCOUNTS, users=["lab-ada"])
    world = make_world(lab, tmp_path)
    for account in ACCOUNTS:
        world.do("insert", account, "1")
    run_tasks(lab, "kbel", 1)
    job = run_tasks(lab, "kara", 2)
    world.do("enforce")
    assert [world.limits()[account] for account in ACCOUNTS] == [0, 0]
    command = [word.format(job=job) for word in COMMANDS[name]]
    template = world.files()

    def reset() -> None:
        world.put_back(template)
        for account in ACCOUNTS:
            if world.limits()[account] != 0:
                world.set_limit(account, 0)

    whole = world.do(*command)
    wanted = essence(world)
    assert wanted["limits"]["kara"] is None
    assert len(wanted["refunds"]) == (3 if name == "window" else 2)
    points = worth_killing(whole.trace)
    healed: set[str] = set()
    for _, ended in killed_at_each(world, command, points, reset):
        ended.wait_for_left()
        state = left_behind(world)
        if state in healed:
            continue
        healed.add(state)
        again = world.run(*command)
        assert again.status in AGAIN[name], again
        assert again.status == 0 or "(already_refunded)" in again.err
        assert world.run("enforce").status == 0
        check_books(world)
        check_slurm(world, lambda _: None)
        assert essence(world) == wanted
    print(
        f"{name}: killed at {len(points)} moments in {len(whole.trace)} steps, {len(healed)} healed"
    )
    assert len(points) > 10
    assert len(healed) > 2
