"""kill -9 between any two steps of every command: in the end it is as if nobody had been killed."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.crash.steps import worth_killing
from tests.crash.world import (
    SU,
    World,
    check_books,
    check_slurm,
    make_world,
)
from tests.lab import Lab

# What Slurm's own limit is before the bank comes, so that it can be seen to come back.
ORIGINAL = 5000
KEY = ("--key", "once")
# What an account has that was given 0.5 SUs and then 10.
GIVEN = 37_800


class Case(NamedTuple):
    """One command that is killed.

    Attributes:
        prepare: commands that lead to where it begins.
        command: what is killed; @ stands for the account, @to for another.
        settings: other than usual.
        has_used: whether the account has used something in Slurm, which the command sets to 0.
        has_other: whether there is another account.
    """

    prepare: tuple[str, ...]
    command: str
    settings: dict[str, object] = {}  # noqa: RUF012 -- never changed
    has_used: bool = False
    has_other: bool = False


GIVEN_NOW = "grant @ 10 --start 2020-01-01 --end 2099-01-01"
PROMISED = "grant @ 10 --start 2098-01-01 --end 2099-01-01"
RESET: dict[str, object] = {"ON_TOP_UP": "reset"}
CASES = {
    "insert": Case((), "insert @ 0"),
    "add": Case(("insert @ 0",), "add @ 10"),
    "add_reset": Case(("insert @ 0.5",), "add @ 10", RESET, has_used=True),
    "modify": Case(("insert @ 10",), "modify @ 0"),
    "modify_unlimited": Case(("insert @ 0",), "modify @ -1"),
    "withdraw": Case(("insert @ 10",), "withdraw @ 10"),
    "reset_usage": Case(("insert @ 0.5",), "reset_usage @", has_used=True),
    "hold": Case(("insert @ 10",), "hold @ --reason because"),
    "release_hold": Case(("insert @ 10", "hold @"), "release_hold @"),
    "delete": Case(("insert @ 0",), "delete @ --yes"),
    "delete_force": Case(("insert @ 10", "hold @"), "delete @ --yes --force"),
    "set_credit": Case(("insert @ 0",), "set_credit @ 10"),
    "transfer": Case((GIVEN_NOW, "insert @to 0"), "transfer @ @to 10", has_other=True),
    "refund": Case(("insert @ 10", "adjust @ 10 --reason because"), "refund @ 5"),
    "grant": Case(("insert @ 0",), GIVEN_NOW),
    "grant_opens": Case((), GIVEN_NOW),
    "renew": Case((PROMISED,), "renew @"),
}


def words(text: str, account: str) -> list[str]:
    named = {"@": account, "@to": f"{account}to"}
    return [named.get(word, word) for word in text.split()]


def essence(world: World, account: str) -> dict[str, Any]:
    """Return all that is on record of an account and in Slurm, without times, names and numbers."""
    raw = world.slurm()[account][1]
    (used_ever,) = world.query("SELECT coalesce(sum(booked), 0) FROM reading")[0]

    rest = GIVEN - used_ever
    # A job of a second takes one or two; how long does not matter.
    named = {raw: "used", used_ever: "used", rest: "rest", rest // SU: "rest"} if used_ever else {}

    def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(named.get(cell, cell) if cell else cell for cell in row)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return [plain(row) for row in world.query(sql)]

    return {
        "account": rows(
            "SELECT is_open, credit_limit IS NULL, hold_reason IS NULL, granted, used,"
            " entry_count, change_count, credit FROM account ORDER BY name"
        ),
        "entries": rows(
            "SELECT kind, source, target, CASE WHEN kind = 'expiry' THEN 0 ELSE amount"
            " END, idempotency_key, leg FROM entry ORDER BY account_id, seq"
        ),
        "changes": rows(
            "SELECT field, old IS NULL, new IS NULL FROM account_change ORDER BY account_id, seq"
        ),
        "keys": rows("SELECT idempotency_key FROM request"),
        "grants": rows(
            "SELECT kind, end_at IS NULL, state, granted, promised FROM allocation_grant"
            " ORDER BY grant_id"
        ),
        "limits": rows(
            "SELECT original, intent, confirmed_at IS NULL FROM slurm_limit ORDER BY account"
        ),
        "resets": rows("SELECT 1 FROM usage_reset"),
        "readings": rows("SELECT seq, raw, cause, booked FROM reading ORDER BY seq"),
        "shown": rows("SELECT su_limit_hrs FROM sbank"),
        "slurm": [
            (limit, raw > 0)
            for name, (limit, raw) in sorted(world.slurm().items())
            if name in (account, f"{account}to")
        ],
    }


class Stage:
    """Brings a case to where its command begins, again and again, quickly.

    A command that sets RawUsage to 0 needs an account that has used something each time, so there
    are many of those and they work in turn.
    """

    def __init__(self, world: World, case: Case, name: str) -> None:
        self.world = world
        self.case = case
        self.accounts = [f"{name}{number}" for number in range(25 if case.has_used else 1)]
        self.ready: list[str] = []
        self.account = self.accounts[0]
        if case.has_other:
            self.accounts.append(f"{self.account}to")
        self.limits: dict[str, int | None] = {}
        users = ["lab-ada"] if case.has_used else []
        world.lab.make_accounts(self.accounts, users=users)
        for account in self.accounts:
            world.set_limit(account, ORIGINAL)
        self.empty = world.files()
        self.template: dict[Path, bytes] = {}

    def _use(self) -> None:
        for name, (limit, _) in self.world.slurm().items():
            if name in self.accounts and limit != ORIGINAL:
                self.world.set_limit(name, ORIGINAL)
        self.world.use(self.accounts)
        self.ready = list(self.accounts)

    def set(self) -> str:
        """Return the account with which the command can begin."""
        world = self.world
        if self.template and not (self.case.has_used and not world.slurm()[self.account][1]):
            world.put_back(self.template)
            self._set_limits()
            return self.account
        if self.case.has_used and not self.ready:
            self._use()
        self.account = self.ready.pop() if self.case.has_used else self.accounts[0]
        world.put_back(self.empty)
        self.limits = dict.fromkeys(self._named(), ORIGINAL)
        self._set_limits()
        for line in self.case.prepare:
            world.do(*words(line, self.account))
        self.template = world.files()
        shown = world.limits()
        self.limits = {name: shown[name] for name in self._named()}
        return self.account

    def _named(self) -> list[str]:
        return self.accounts if self.case.has_other else [self.account]

    def _set_limits(self) -> None:
        shown = self.world.limits()
        for name, limit in self.limits.items():
            if shown[name] != limit:
                self.world.set_limit(name, -1 if limit is None else limit)


def heal(world: World, argv: list[str], account: str, order: str) -> dict[str, Any]:
    """Let the next pass heal what a killed command left, then repeat it; or repeat it at once."""
    if order == "pass first":
        assert world.run("enforce").status == 0
        check_books(world)
        check_slurm(world, lambda _: ORIGINAL)
    again = world.run(*argv)
    assert again.status == 0, again
    check_books(world)
    check_slurm(world, lambda _: ORIGINAL)
    return essence(world, account)


@pytest.mark.parametrize("name", CASES)
def test_command_killed_anywhere_leaves_nothing_half_done(
    name: str, lab: Lab, tmp_path: Path
) -> None:
    case = CASES[name]
    world = make_world(lab, tmp_path, **case.settings)
    stage = Stage(world, case, name.replace("_", ""))
    key = () if name == "release_hold" else KEY

    def argv(account: str) -> list[str]:
        return [*words(case.command, account), *key]

    account = stage.set()
    check_books(world)
    whole = world.do(*argv(account))
    wanted = essence(world, account)
    if case.has_used:
        assert wanted["slurm"] == [(ORIGINAL, False)]
    check_books(world)
    check_slurm(world, lambda _: ORIGINAL)
    healed = set()
    points = worth_killing(whole.trace)
    for point in points:
        account = stage.set()
        ended = world.run(*argv(account), at=point)
        print(f"moment {point}: before {ended.trace[-1]}")
        # What cannot be known is said and logged in one run and not in the next.
        assert ended.status is None or point not in worth_killing(ended.trace)
        check_books(world)
        state = repr(essence(world, account))
        for order in ("pass first", "at once"):
            if (state, order) not in healed:
                assert heal(world, argv(account), account, order) == wanted
                healed.add((state, order))
                break
        ended.wait_for_left()
    print(
        f"{name}: killed at {len(points)} moments in {len(whole.trace)} steps, {len(healed)} healed"
    )
    # Were steps to be counted no more, this test would prove less without a word.
    assert len(points) > 15
    assert len(healed) > 3
