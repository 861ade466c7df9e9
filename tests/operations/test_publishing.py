"""What everybody may see: each user a copy of the own accounts, which nobody else can read."""

import json
import os
import pwd
import re
import resource
import sqlite3
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bank.ledger.amounts import format_su
from bank.operations import (
    commands,
    corrections,
    forecast,
    history,
    looking,
    movements,
    publishing,
    transfers,
    upkeep,
)
from bank.operations.bank import Bank, microseconds_now, utc_text
from bank.operations.commands import Command
from bank.operations.enforcement import run_pass
from bank.settings import Settings
from bank.store.published import Copier
from tests.crash import steps
from tests.crash.steps import Ended
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import insert

if TYPE_CHECKING:
    from collections.abc import Callable

SU = 3600
ADA, BOB, CAROL, DAVE, EVE = range(61_001, 61_006)
NAMES = {"ada": ADA, "bob": BOB, "carol": CAROL, "dave": DAVE}


DAY = 86_400 * 1_000_000


class Site:
    """A bank whose passes publish, as root and as others see it."""

    def __init__(self, fake: FakeSlurm, directory: Path) -> None:
        self.fake = fake
        self.private, self.published = directory / "private", directory / "published"
        self.private.mkdir(mode=0o700)
        self.settings = directory / "settings.py"
        values = {"DATABASE": f"{self.private}/bank.db", "PUBLISHED": str(self.published)}
        text = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        self.settings.write_text(text)
        self.settings.chmod(0o644)
        self.warnings: list[str] = []
        self.bank = Bank(
            Settings(values["DATABASE"], published=values["PUBLISHED"]), "t", self.warnings.append
        )
        upkeep.migrate(self.bank, dry_run=False)

    def enforce(self) -> list[str]:
        """Run a pass; return what it says to a person."""
        return run_pass(self.bank).notes

    def asks(self, uid: int, *argv: str) -> Ended:
        """Let one user run a command."""

        def become() -> None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)

        return steps.command(self.settings, *argv, prepare=become)

    def answer(self, uid: int, *argv: str) -> Any:  # noqa: ANN401 -- it is what JSON says
        """Return what a command tells a user's program."""
        ended = self.asks(uid, *argv, "--json")
        assert ended.status == 0, ended
        return json.loads(ended.out)

    def copy_of(self, uid: int) -> Path:
        return self.published / f"{uid}.db"

    def query(self, uid: int, sql: str) -> list[tuple[Any, ...]]:
        """Ask a user's copy itself."""
        connection = sqlite3.connect(f"file:{self.copy_of(uid)}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture
def site(fake: FakeSlurm, public_directory: Path) -> Site:
    """Ada and Bob use "proj", which Carol coordinates as all of "dept"; Dave uses "test1"."""
    site = Site(fake, public_directory)
    fake.uids = dict(NAMES)
    fake.coordinators = {"dept": "carol"}
    # Where nobody banks: it says only which number Carol has.
    fake.add_account("office")
    fake.add_user("office", "carol")
    users = [("proj", "ada"), ("proj", "bob"), ("test1", "dave")]
    meters = {user: fake.add_user(account, user) for account, user in users}
    for name, su in (("dept", 500), ("proj", 100), ("test1", 50)):
        insert(site.bank, name, su)
    for meter in meters.values():
        fake.use(meter, 1)
    site.enforce()
    for _ in range(2):
        for number, meter in enumerate(meters.values(), start=1):
            fake.use(meter, number * SU)
        site.enforce()
    assert site.warnings == []
    return site


def test_a_member_sees_the_totals_and_only_the_own_use_by_name(site: Site) -> None:
    before = [(1, "ada"), (1, "others"), (2 * SU, "ada"), (4 * SU, "others")]
    (state,) = site.answer(ADA, "balance")
    assert (state["account"], state["used_billing_seconds"]) == ("proj", 6 * SU + 2)
    assert site.answer(ADA, "get_sus", "proj")["limit_su"] == "100"
    assert [one["account"] for one in site.answer(ADA, "list")] == ["proj"]
    used = [event for event in site.answer(ADA, "history", "proj") if event["kind"] == "charge"]
    assert sorted((event["amount_su"], event["user"]) for event in used) == sorted(
        (format_su(amount), user) for amount, user in before
    )
    assert used[-1]["used_su"] == format_su(6 * SU + 2)
    # Not a name, not a word of anybody else is in the file.
    content = site.copy_of(ADA).read_bytes()
    for name in (b"bob", b"dept", b"test1", b"dave", b"carol"):
        assert name not in content


def test_a_coordinator_sees_all_below_by_name(site: Site) -> None:
    states = {one["account"]: one["used_billing_seconds"] for one in site.answer(CAROL, "balance")}
    assert states == {"dept": 6 * SU + 2, "proj": 6 * SU + 2}
    users = {event["user"] for event in site.answer(CAROL, "history", "proj")}
    assert users == {None, "ada", "bob"}
    assert b"dave" not in site.copy_of(CAROL).read_bytes()


def _meter(site: Site, name: str) -> int:
    return next(number for number, user in site.fake.users.items() if user[1] == name)


@pytest.mark.parametrize("how", ["never open", "closed", "gone"])
def test_a_coordinator_sees_what_is_used_below_in_accounts_that_are_not_open(
    site: Site, how: str
) -> None:
    if how == "closed":
        movements.delete(site.bank, Command("delete", "proj", force=True))
        name, uses = "proj", _meter(site, "ada")
    elif how == "never open":
        name = "sub"
        site.fake.add_account(name, "dept")
        uses = site.fake.add_user(name, "ada")
    else:  # from Slurm
        name, uses = "proj", _meter(site, "carol")
        site.fake.users = {one: user for one, user in site.fake.users.items() if user[0] != name}
        del site.fake.parents[name]
        movements.delete(site.bank, Command("delete", name, force=True))
    for number in (40, 2):
        site.fake.use(uses, number)
        site.enforce()
        states = {one["account"]: one for one in site.answer(CAROL, "balance")}
        assert states["dept"] == looking.balance(site.bank, "dept")[0]
        # Without an allocation of its own it has no balance.
        assert name not in states


@pytest.mark.parametrize("uid", [ADA, CAROL, EVE])
@pytest.mark.parametrize("verb", ["balance", "get_sus", "history"])
def test_a_foreign_account_is_as_one_that_is_not_there(site: Site, uid: int, verb: str) -> None:
    foreign, missing = (site.asks(uid, verb, name) for name in ("test1", "nope1"))
    assert foreign.status == missing.status != 0
    assert foreign.out == missing.out == ""
    assert foreign.err.replace("test1", "nope1") == missing.err


def test_the_kernel_lets_nobody_read_anothers_copy(site: Site) -> None:
    def tries(uid: int, path: Path) -> str:
        ended = steps.command(site.settings, "--version", prepare=lambda: _try(uid, path))
        return ended.out.splitlines()[0]

    for uid in (ADA, BOB, CAROL, DAVE):
        assert tries(uid, site.copy_of(uid)) == "read"
        assert tries(uid, site.published / "as_of") == "read"
        for other in {ADA, BOB, CAROL, DAVE} - {uid}:
            assert tries(uid, site.copy_of(other)) == "refused"
        assert tries(uid, site.published / "state") == "refused"
        assert tries(uid, site.published) == "refused"
    assert stat.S_IMODE(site.published.stat().st_mode) == 0o711


def _try(uid: int, path: Path) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    try:
        if path.is_dir():
            next(path.iterdir())
        else:
            path.read_bytes()
        print("read")
    except PermissionError:
        print("refused")


def test_as_of_is_said_beside_the_answer_and_is_of_the_last_pass(site: Site) -> None:
    ended = site.asks(ADA, "balance", "proj")
    as_of = (site.published / "as_of").read_text()
    assert ended.err == f"slurm_bank: as of {as_of}\n"
    site.bank = site.bank._replace(clock=lambda: 2_000_000_000_000_000)
    site.enforce()
    assert site.asks(ADA, "balance").err == "slurm_bank: as of 2033-05-18T03:33:20Z\n"


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (0.9, ""),
        (1, ", 1 hour ago: no pass has brought it up to date since"),
        (47.9, ", 47 hours ago: no pass has brought it up to date since"),
        (7 * 24 + 1, ", 7 days ago: no pass has brought it up to date since"),
    ],
)
def test_a_copy_that_is_old_says_how_old(site: Site, hours: float, said: str) -> None:
    as_of = utc_text(microseconds_now() - int(hours * 3_600_000_000))
    (site.published / "as_of").write_text(as_of)
    ended = site.asks(ADA, "balance", "proj")
    assert (ended.status, ended.err) == (0, f"slurm_bank: as of {as_of}{said}\n")


def test_nobody_is_told_from_copies_once_nothing_is_published(site: Site) -> None:
    text = site.settings.read_text()
    site.settings.write_text(re.sub("^PUBLISHED = .*$", "PUBLISHED = ''", text, flags=re.MULTILINE))
    assert site.copy_of(ADA).exists()
    ended = site.asks(ADA, "balance")
    assert (ended.status, ended.out) == (77, "")


@pytest.mark.parametrize("as_of", [None, "", "2026-11-2"])
def test_a_copy_of_an_unknown_time_is_as_none(site: Site, as_of: str | None) -> None:
    (site.published / "as_of").unlink()
    if as_of is not None:
        (site.published / "as_of").write_text(as_of)
    ended = site.asks(ADA, "balance")
    assert (ended.status, ended.out) == (77, "")
    assert "nothing is published for you" in ended.err


def test_who_may_read_the_books_sees_the_books(site: Site) -> None:
    ended = steps.command(site.settings, "balance", "--json")
    assert {one["account"] for one in json.loads(ended.out)} == {"dept", "proj", "test1"}
    assert ended.err == ""


def test_what_writes_is_refused_as_ever(site: Site) -> None:
    ended = site.asks(ADA, "add", "proj", "5")
    assert (ended.status, ended.out) == (77, "")
    assert "run as the user who owns it" in ended.err


def test_use_by_partition_is_for_who_may_read_the_books(site: Site) -> None:
    ended = site.asks(ADA, "usage", "proj", "--by", "partition")
    assert (ended.status, ended.out) == (77, "")
    assert "ask --by user, account, month or cluster" in ended.err
    used = site.answer(ADA, "usage", "proj", "--by", "cluster")["total"]
    assert used["used_billing_seconds"] == 6 * SU + 2


def test_only_what_has_changed_is_written(site: Site) -> None:
    before = {uid: site.copy_of(uid).stat().st_ino for uid in NAMES.values()}
    site.enforce()
    assert {uid: site.copy_of(uid).stat().st_ino for uid in NAMES.values()} == before
    movements.add(site.bank, Command("add", "test1", SU))
    changed = {uid for uid in NAMES.values() if site.copy_of(uid).stat().st_ino != before[uid]}
    assert changed == {DAVE}
    assert site.answer(DAVE, "get_sus", "test1")["limit_su"] == "51"


def test_who_left_has_no_copy_any_more(site: Site) -> None:
    site.fake.users = {number: user for number, user in site.fake.users.items() if user[1] != "bob"}
    site.fake.coordinators = {}
    site.enforce()
    assert [uid for uid in NAMES.values() if site.copy_of(uid).exists()] == [ADA, DAVE]
    assert site.asks(BOB, "balance").status == 77
    movements.delete(site.bank, Command("delete", "test1", force=True))
    assert not site.copy_of(DAVE).exists()


@pytest.mark.parametrize(("here", "copies"), [(EVE, [EVE]), (None, [])])
def test_another_clusters_number_is_not_taken_for_that_of_this_machine(
    site: Site, monkeypatch: pytest.MonkeyPatch, here: int | None, copies: list[int]
) -> None:
    def known(name: str) -> pwd.struct_passwd:
        if name != "ada" or here is None:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", here, here, "", "/", ""))

    def row(uid: int) -> Any:  # noqa: ANN401 -- what is asked of a row
        return SimpleNamespace(account="proj", user="ada", uid=uid)

    monkeypatch.setattr(pwd, "getpwnam", known)
    found = [
        SimpleNamespace(slurm=SimpleNamespace(users=[row(uid)], accounts={})) for uid in (ADA, BOB)
    ]
    publishing.publish(site.bank, found)  # type: ignore[arg-type]
    assert [uid for uid in (ADA, BOB, EVE) if site.copy_of(uid).exists()] == copies


def test_a_copy_that_is_lost_is_made_again(site: Site) -> None:
    site.copy_of(ADA).unlink()
    (site.published / "state").write_text("{")
    (site.published / ".61001.part").write_text("half")
    site.enforce()
    assert site.answer(ADA, "balance")
    names = sorted(path.name for path in site.published.iterdir())
    assert names == sorted(["as_of", "state", *(f"{uid}.db" for uid in NAMES.values())])


@pytest.mark.parametrize("what", ["link", "writable", "file", "foreign"])
def test_a_directory_that_is_not_the_banks_alone_is_refused(site: Site, what: str) -> None:
    elsewhere = site.published.with_name("elsewhere")
    site.published.rename(elsewhere)
    if what == "link":
        site.published.symlink_to(elsewhere)
    elif what == "file":
        site.published.write_text("")
    else:
        site.published.mkdir()
        if what == "writable":
            site.published.chmod(0o733)
        else:
            os.chown(site.published, EVE, EVE)
    (note,) = site.enforce()
    assert note.startswith(f"what ordinary users see is not up to date: {site.published} must be")


def test_without_lists_nothing_is_opened_to_anybody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    site.copy_of(ADA).unlink()
    monkeypatch.setattr(os, "setxattr", none)
    (note,) = site.enforce()
    assert "a directory on a file system with ACLs" in note
    assert not site.copy_of(ADA).exists()
    assert site.asks(ADA, "balance").status == 77


def test_members_that_are_not_known_change_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.copy_of(ADA).stat().st_ino
    monkeypatch.setattr(publishing, "run", lambda *_: "")
    site.fake.users.clear()
    (note,) = site.enforce()
    assert "does not list the account root" in note
    assert site.copy_of(ADA).stat().st_ino == before


def test_sums_of_a_copy_are_those_of_the_books(site: Site) -> None:
    """A member of a parent sees what all below it used together, and not who they are."""
    gina, hugo = 61_007, 61_008
    site.fake.uids |= {"gina": gina, "hugo": hugo}
    for account, user in (("dept", "gina"), ("dept", "hugo"), ("proj", "hugo")):
        site.fake.add_user(account, user)
    site.enforce()
    ada = _meter(site, "ada")
    for used, charged in ((6 * SU + 2, 6 * SU + 2), (5, 6 * SU + 7)):
        for uid in (gina, hugo, CAROL):
            states = {one["account"]: one for one in site.answer(uid, "balance")}
            assert states["dept"] == looking.balance(site.bank, "dept")[0]
            assert states["dept"]["used_billing_seconds"] == used
        assert b"proj" not in site.copy_of(gina).read_bytes()
        below = (
            "SELECT sum(amount) FROM entry JOIN account USING (account_id) WHERE name GLOB '* *'"
        )
        assert site.query(gina, below) == [(charged,)]
        # What the use of children was until then is closed, and counts for the parent no more.
        movements.reset_usage(site.bank, Command("reset_usage", "dept"))
        site.fake.use(ada, 5)
        site.enforce()


def test_what_is_booked_between_two_copies_tears_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Copier.write

    def write(copier: Copier, *args: Any) -> None:  # noqa: ANN401 -- as they come
        written(copier, *args)
        # Without the pass that would follow: it waits for the one that writes the copies.
        with monkeypatch.context() as patched:
            patched.setattr(commands, "enforce_soon", lambda *_, **__: True)
            movements.add(site.bank, Command("add", "proj", SU))

    monkeypatch.setattr(Copier, "write", write)
    movements.add(site.bank, Command("add", "proj", SU))
    torn = (
        "SELECT granted - (SELECT sum(amount) FROM entry WHERE target = 'available') FROM account"
    )
    assert [site.query(uid, torn) for uid in (ADA, BOB)] == [[(0,)], [(0,)]]


def test_no_account_is_named_that_gave_or_took(site: Site) -> None:
    transfers.transfer(site.bank, Command("transfer", "test1", 3 * SU, to="proj"))
    site.enforce()
    for uid in (ADA, CAROL):
        assert b"test1" not in site.copy_of(uid).read_bytes()
        assert site.answer(uid, "get_sus", "proj")["limit_su"] == "103"
    assert b"proj" not in site.copy_of(DAVE).read_bytes()


@pytest.mark.parametrize("uid", [ADA, CAROL])
def test_after_each_entry_the_totals_are_those_of_the_books(site: Site, uid: int) -> None:
    """What is added up by the day is never added up over a new period, a refund or a withdrawal."""
    clock = iter(range(DAY * 20_000, DAY * 20_020, DAY // 8))
    site.bank = site.bank._replace(clock=lambda: next(clock))
    meters = {user[1]: number for number, user in site.fake.users.items()}
    acts: tuple[Callable[[], object], ...] = (
        lambda: corrections.refund(site.bank, Command("refund", "proj", SU)),
        lambda: movements.withdraw(site.bank, Command("withdraw", "proj", 2 * SU)),
        lambda: movements.reset_usage(site.bank, Command("reset_usage", "proj")),
        lambda: movements.reset_usage(site.bank, Command("reset_usage", "dept")),
    )
    for act in acts:
        for user in ("ada", "bob", "ada"):
            site.fake.use(meters[user], 7)
            site.enforce()
        act()
    site.enforce()
    mine = site.answer(uid, "history", "proj")
    books = history.history(site.bank, "proj")
    fields = ("kind", "amount_su", "granted_su", "used_su")

    def told(events: list[dict[str, Any]]) -> list[list[str | None]]:
        return [[event[name] for name in fields] for event in events if event["kind"] != "charge"]

    assert told(mine) == told(books)
    charges = {kind: sum(1 for event in events if event["kind"] == "charge")
               for kind, events in (("mine", mine), ("books", books))}  # fmt: skip
    assert 0 < charges["mine"] < charges["books"]
    assert site.answer(uid, "balance", "proj") == looking.balance(site.bank, "proj")[0]


def test_the_limit_of_a_user_is_for_that_user_and_the_coordinator(site: Site) -> None:
    for user, su in (("bob", "7"), ("ada", "8")):
        assert steps.command(site.settings, "limit_user", "proj", user, su).status == 0
    site.enforce()
    limits = "SELECT user_name, amount FROM user_limit ORDER BY 1"
    changes = "SELECT field FROM account_change WHERE field LIKE 'limit of %' ORDER BY 1"
    assert site.query(ADA, limits) == [("ada", 8 * SU)]
    assert site.query(ADA, changes) == [("limit of ada",)]
    assert site.query(CAROL, limits) == [("ada", 8 * SU), ("bob", 7 * SU)]
    assert site.query(CAROL, changes) == [("limit of ada",), ("limit of bob",)]
    assert b"bob" not in site.copy_of(ADA).read_bytes()
    assert site.query(DAVE, limits) == []


def test_no_digest_confirms_a_guess_of_what_is_not_shown(site: Site) -> None:
    assert steps.command(site.settings, "limit_user", "proj", "bob", "7").status == 0
    site.enforce()
    digests = (
        "SELECT head_digest FROM account UNION SELECT change_digest FROM account"
        " UNION SELECT digest FROM account_change UNION SELECT head_digest FROM meter"
        " UNION SELECT digest FROM entry"
    )
    for uid in (ADA, CAROL):
        assert site.query(uid, digests) == [("",)]


@pytest.mark.parametrize("uid", [ADA, CAROL])
@pytest.mark.parametrize(
    "argv", ["statement proj", "usage proj --by month", "forecast proj", "grants proj"]
)
def test_every_look_at_a_copy_ends_where_the_books_do(site: Site, uid: int, argv: str) -> None:
    books = json.loads(steps.command(site.settings, *argv.split(), "--json").out)
    assert _amounts(site.answer(uid, *argv.split())) == _amounts(books)
    shown = site.asks(uid, *argv.split()).out
    if argv == "statement proj":
        assert ("others" in shown, "bob" in shown) == (uid == ADA, uid == CAROL)


def test_a_forecast_of_all_below_rests_on_what_ran_there(site: Site) -> None:
    """Nothing but totals is there of it, and first readings must be told from others."""
    gina = 61_007
    site.fake.uids["gina"] = gina
    site.fake.add_user("dept", "gina")
    start = site.bank.clock()
    for day in range(1, 9):
        site.bank = site.bank._replace(clock=lambda day=day: start + day * DAY)  # type: ignore[misc]
        # Found by a first reading: it may have run at any time before.
        site.fake.use(site.fake.add_user("proj", f"new{day}"), 5 * SU)
        site.fake.use(_meter(site, "ada"), day * SU)
        site.enforce()
    books = forecast.forecast(site.bank, "dept")
    assert books["rates"][0]["expected_billing_seconds"]
    for uid in (gina, CAROL):
        of_copy = site.bank.settings._replace(database=str(site.copy_of(uid)))
        found = forecast.forecast(site.bank._replace(settings=of_copy), "dept")
        assert found["rates"] == books["rates"]


def test_of_when_copies_are_is_never_half_written(site: Site, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            publishing._replace(site.bank, f"{tmp_path}/as_of", b"2027-01-01T00:00:00Z", 0o644)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "as_of").exists()


def _amounts(answer: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 -- it is what JSON says
    """Return all amounts of an answer by their names, but those of single entries."""
    if isinstance(answer, list):
        return [one for part in answer for one in _amounts(part)]
    if not isinstance(answer, dict):
        return []
    found = [(name, value) for name, value in answer.items() if name.endswith("_su")]
    parts = (value for name, value in answer.items() if name not in ("entries", "lines", "items"))
    return [*found, *(one for part in parts for one in _amounts(part))]


def test_of_jobs_each_user_sees_the_own_ones_and_a_sum_of_others(
    fake: FakeSlurm, public_directory: Path
) -> None:
    """When, and how much at a time, somebody else computes is nobody's business."""
    site = Site(fake, public_directory)
    site.bank = site.bank._replace(settings=site.bank.settings._replace(usage_source="jobs"))
    fake.uids = dict(NAMES)
    for user in ("ada", "bob"):
        fake.add_user("proj", user)
    insert(site.bank, "dept", 500)
    insert(site.bank, "proj", 100)
    # All of one day, and told in one go.
    noon = microseconds_now() // 1_000_000 - 1800
    for number, user in enumerate(("ada", "bob", "bob", "ada", "bob"), start=1):
        fake.sacct += (
            f"{number}|{number}|{number}|1000|{user}|normal|normal|COMPLETED|{noon}"
            f"|{noon + number * 10}|00:00:00|billing=1,cpu=1,node=1|n1|proj\n"
        )
    site.enforce()
    shown = (
        "SELECT amount, user_name, reason, reference FROM entry WHERE target = 'used' ORDER BY 2, 1"
    )
    assert site.query(ADA, shown) == [
        (10, "ada", "job 1", "job fake/1"),
        (40, "ada", "job 4", "job fake/4"),
        (20 + 30 + 50, "others", "", "job others/0"),
    ]
    assert site.query(BOB, shown)[-1] == (10 + 40, "others", "", "job others/0")
    assert site.warnings == []
