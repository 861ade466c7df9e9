"""The verbs about periods, and telling, as a person types and reads them."""

import json
import re
from pathlib import Path

import pytest

from bank.errors import SlurmError
from tests.cli.conftest import Command
from tests.fake_slurm import FakeSlurm
from tests.frozen import frozen

pytestmark = pytest.mark.usefixtures("in_utc")

README = Path(__file__).parents[2] / "README.md"
LAST_DAY, DAY_AFTER = "2027-01-01T12:00:00", "2027-01-02T12:00:00"
ENDED = "Account test1: its period began on 2026-01-01 and ended on 2027-01-01, 1 day ago\n"


@pytest.fixture
def opened(command: Command) -> Command:
    """A bank in which test1 has 100 SUs and test2 no limit, since the first of January 2026."""
    with frozen("2026-01-01T12:00:00"):
        assert command("insert", "test1", "100").status == 0
        assert command("insert", "test2", "-1").status == 0
    return command


def add_settings(settings: Path, *lines: str) -> None:
    settings.write_text(settings.read_text() + "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("verb", ["check_end_of_date_limit", "three_month_check"])
@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2026-06-01T12:00:00", "ends on 2027-01-01, in 214 days"),
        ("2026-12-31T12:00:00", "ends on 2027-01-01, in 1 day"),
        (LAST_DAY, "ends on 2027-01-01, today"),
        (DAY_AFTER, "ended on 2027-01-01, 1 day ago"),
        ("2027-01-03T12:00:00", "ended on 2027-01-01, 2 days ago"),
    ],
)
def test_when_a_period_ends(opened: Command, verb: str, day: str, said: str) -> None:
    with frozen(day):
        done = opened(verb, "test1")
    assert (done.status, done.err) == (0, "")
    sentence = done.out.splitlines()[-1]
    assert sentence == f"Account test1: its period began on 2026-01-01 and {said}"


def test_it_is_said_where_an_end_means_nothing(opened: Command) -> None:
    with frozen(DAY_AFTER):
        done = opened("check_end_of_date_limit", "test2")
    assert done.out.endswith("1 day ago; it has no limit to end with it\n")
    assert done.out.count("\n") == 1


def test_for_programs(opened: Command) -> None:
    with frozen(DAY_AFTER):
        answers = [
            json.loads(opened(verb, "test1", "--json").out)
            for verb in ("check_end_of_date_limit", "three_month_check")
        ]
    for answer in answers:
        assert answer == {
            "account": "test1",
            "period_started_on": "2026-01-01",
            "period_ends_on": "2027-01-01",
            "days_left": -1,
            "has_end": True,
            "event": "period_ended",
        }


@pytest.mark.parametrize(
    ("on_end", "note", "after"),
    [
        ("report", "periods that are over (reported): test1 on 2027-01-01", ENDED),
        (
            "hold",
            "periods that are over (held until a new one is started): test1 on 2027-01-01",
            ENDED,
        ),
        (
            "renew",
            "new periods were started for test1",
            "Account test1: its period began on 2027-01-02 and ends on 2028-01-02, in 365 days\n",
        ),
    ],
)
def test_what_is_done_at_the_end(
    opened: Command, fake: FakeSlurm, settings: Path, on_end: str, note: str, after: str
) -> None:
    add_settings(settings, f"ON_END = '{on_end}'")
    with frozen(DAY_AFTER):
        rehearsed = opened("check_end_of_date_limit", "test1", "--dry-run")
        assert rehearsed.out == note.replace("were", "would be") + "\n" + ENDED
        assert fake.limits["test1"] == {}
        done = opened("check_end_of_date_limit", "test1")
        assert (done.status, done.out, done.err) == (0, f"{note}\n{after}", "")
        assert (fake.limits["test1"] != {}) is (on_end == "hold")
        assert opened("verify").status == 0


def test_a_pass_does_it_for_all_where_it_is_switched_on(
    opened: Command, fake: FakeSlurm, settings: Path
) -> None:
    add_settings(settings, "ON_END = 'hold'")
    with frozen(DAY_AFTER):
        assert "periods" not in opened("enforce").out
        add_settings(settings, "CHECK_DATES = True")
        assert "1 held now" in opened("enforce").out
        assert "periods that are over" in json.loads(opened("enforce", "--json").out)[0]["notes"][0]
        refused = opened("release_hold", "test1")
        assert refused.status == 1
        assert "stays held: its period ended on 2027-01-01; 'modify' and" in refused.err
        assert refused.err.rstrip().endswith("(period_ended)")
        assert "its period ended on 2027-01-01" in opened("balance", "test1").out
        assert opened("modify", "test1", "100").status == 0
    assert fake.limits["test1"] == {}


@pytest.mark.parametrize("verb", ["check_end_of_date_limit", "three_month_check"])
def test_refusals(opened: Command, verb: str) -> None:
    for argv, status, said in (
        ((verb, "nosuch"), 1, "did you want to insert it?"),
        ((verb,), 2, f"it goes: {verb} <account> [--dry-run] [--json]"),
        ((verb, "test1", "--reason", "x"), 2, "does not take --reason"),
        ((verb, "a b"), 65, "'a b' is not an account name"),
    ):
        done = opened(*argv)
        assert (done.status, done.out) == (status, "")
        assert said in done.err
        assert len(done.err.splitlines()) == 1


def test_without_slurm_the_end_is_said_and_nothing_is_done(
    opened: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_settings(settings, "ON_END = 'renew'")

    def fail(*_: object) -> None:
        raise SlurmError("no answer")

    monkeypatch.setattr("bank.operations.clusters.run", fail)
    with frozen(DAY_AFTER):
        done = opened("check_end_of_date_limit", "test1")
        assert (done.status, done.out) == (69, ENDED)
        assert "no answer" in done.err
        # This one asks the books alone.
        assert opened("three_month_check", "test1").status == 0


def test_what_comes_about_is_told_by_the_verb_that_saw_it(
    opened: Command, settings: Path, tmp_path: Path, fake: FakeSlurm
) -> None:
    tmp_path.chmod(0o755)
    program = tmp_path / "tell"
    program.write_text(f"#!/bin/sh\ncat >> {tmp_path}/told\n")
    program.chmod(0o755)
    add_settings(settings, f"NOTIFY_COMMAND = '{program}'")

    def told() -> list[str]:
        file = tmp_path / "told"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["event"] for line in lines]

    with frozen("2026-10-20T12:00:00"):
        for options in (("--dry-run",), (), ()):
            assert opened("three_month_check", "test1", *options).status == 0
            assert told() == ([] if options else ["period_ending"])
        fake.use(fake.add_user("test1"), 95 * 3600)
        opened("enforce", "--dry-run")
        assert told() == ["period_ending"]
        done = opened("enforce")
        assert done.status == 0
        assert told() == ["period_ending", "lower_limit", "upper_limit"]
    with frozen(DAY_AFTER):
        opened("check_end_of_date_limit", "test1")
        assert told()[3:] == ["period_ended"]
        program.chmod(0o777)
        fake.use(1000, 10 * 3600)
        done = opened("check_service_units_limit", "test1")
        assert done.status == 0
        assert f"1 of 1 events could not be told, the next pass tries again: NOTIFY_COMMAND {program}" in done.err  # fmt: skip  # noqa: E501
        program.chmod(0o755)
        assert opened("enforce").err == ""
    assert told()[4:] == ["max_limit"]


def test_the_program_of_the_readme_tells_every_event(
    opened: Command, settings: Path, tmp_path: Path, fake: FakeSlurm
) -> None:
    tmp_path.chmod(0o755)
    (text,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\ntest "$1" = -t && cat >> {tmp_path}/mail\n')
    program = tmp_path / "tell"
    program.write_text(text.replace("/usr/sbin/sendmail", str(sendmail)))
    for file in (sendmail, program):
        file.chmod(0o755)
    add_settings(settings, f"NOTIFY_COMMAND = '{program}'", "CHECK_DATES = True")
    fake.use(fake.add_user("test1"), 100 * 3600)
    for day in (LAST_DAY, DAY_AFTER):
        with frozen(day):
            assert opened("enforce").err == ""
    mails = (tmp_path / "mail").read_text()
    subjects = [line for line in mails.splitlines() if line.startswith("Subject: ")]
    assert subjects == [
        "Subject: test1 has used 100 % of its 100 SUs",
        "Subject: the period of test1 ends on 2027-01-01",
        "Subject: test1 has used 100 % of its 100 SUs",
        "Subject: test1 has used all of its 100 SUs: new jobs wait",
        "Subject: the period of test1 ended on 2027-01-01",
    ]
    assert "To: test1-owners@example.org\n" in mails
    # It fails where sendmail does.
    fake.use(fake.add_user("test2"), 1)
    sendmail.chmod(0o644)
    with frozen(DAY_AFTER):
        assert opened("modify", "test2", "0").status == 0
        assert "1 of 1 events could not be told" in opened("enforce").err


def test_limits_in_the_wrong_order_are_refused(opened: Command, settings: Path) -> None:
    add_settings(settings, "LOWER_LIMIT_PERCENT = 91")
    done = opened("enforce")
    assert done.status == 78
    assert "LOWER_LIMIT_PERCENT is above UPPER_LIMIT_PERCENT" in done.err
