"""`explain` on a model of Slurm: what a real one cannot be made to do at will."""

from collections.abc import Callable, Sequence

import pytest

from bank.errors import InputError, OutputNotUnderstood, Refusal, SlurmError
from bank.operations import explaining, movements, queues, upkeep, user_limits
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.explaining import Explanation
from bank.policy.reasons import COMING, NOTE, STOPS
from bank.slurm.command import Slurm
from bank.store.connect import writing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert
from tests.slurm.test_queue_readers import line

HOUR = 3_600_000_000


def explain(bank: Bank, account: str | None, job: str | None = None) -> Explanation:
    return explaining.explain(bank, account, user=None, job=job)


def codes(found: Explanation) -> list[str]:
    return [one.code for one in found.reasons]


def waiting(job: str, account: str, reason: str, **fields: str) -> str:
    number = job.partition("_")[0]
    changes = {"JobID": number, "JobArrayID": job, "Account": account, "Reason": reason}
    usual = {"Partition": "normal", "TimeLimit": "10:00", "tres-alloc": "cpu=1,node=1,billing=1"}
    return line(**(usual | changes | fields))


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, fake: FakeSlurm) -> Callable[..., None]:
    """Let some commands fail when an account is explained."""

    def refuse(*names: str, error: SlurmError | None = None) -> None:
        def run(slurm: Slurm, arguments: Sequence[str]) -> str:
            if arguments[0] in names:
                raise error or SlurmError(f"{arguments[0]} ended with status 1: refused")
            return fake.run(slurm, arguments)

        monkeypatch.setattr(queues, "run", run)

    return refuse


@pytest.mark.usefixtures("proj")
def test_with_no_reason_against_it_it_says_what_the_next_job_may_use(bank: Bank) -> None:
    found = explain(bank, "proj")
    assert found.verdict == (
        "nothing stops jobs of account proj: 100 SUs are available: 4-04:00:00 at a billing of 1,"
        " 10:00:00 at a billing of 10, 1:00:00 at a billing of 100"
    )
    assert {one.effect for one in found.reasons} == {NOTE}
    assert codes(found) == ["next_job", "who_may_submit", "last_reading", "enforcement"]


def test_the_least_of_what_is_above_limits_the_next_job(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    other = fake.add_user("dept", "bob")
    fake.use(other, 90 * SU)
    fake.use(proj, SU)
    enforce(bank)
    found = explain(bank, "proj")
    next_job = next(one for one in found.reasons if one.code == "next_job")
    assert next_job.numbers["available_billing_seconds"] == 9 * SU
    assert "less_above" in codes(found)


def test_a_hold_that_is_not_there_yet_and_one_that_ought_to_be_gone(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    fake.use(proj, 200 * SU)
    enforce(bank)
    assert fake.limits["proj"] == {"GrpTRESMins=cpu": 0}
    held = explain(bank, "proj").reasons
    assert [(one.code, one.effect, one.subject) for one in held[:2]] == [
        ("nothing_left", STOPS, "account proj"),
        ("nothing_left", STOPS, "account dept"),
    ]
    # Somebody lifted it: Slurm is believed, and not the record.
    del fake.limits["proj"]["GrpTRESMins=cpu"]
    lifted = next(one for one in explain(bank, "proj").reasons if one.subject == "account proj")
    assert lifted.effect == COMING
    fake.limits["proj"]["GrpTRESMins=cpu"] = 0
    with writing(bank.database) as writer:
        writer.execute("UPDATE account SET granted = :many WHERE name = 'proj'", [{"many": 10**9}])
    (late,) = [one for one in explain(bank, "proj").reasons if one.code == "to_be_released"]
    assert late.effect == STOPS


def test_a_stop_of_others_is_theirs_beside_the_banks_own(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    fake.use(proj, 100 * SU)
    fake.limits["proj"]["GrpJobs"] = 0
    enforce(bank)
    own = [one for one in explain(bank, "proj").reasons if one.subject == "account proj"]
    assert [(one.code, one.effect) for one in own[:2]] == [
        ("held_by_others", STOPS),
        ("nothing_left", STOPS),
    ]
    assert own[0].remedy == "whoever set it: 'sacctmgr modify account proj set GrpJobs=-1'"


def test_a_deleted_account_that_is_held_and_one_that_nobody_knows(
    bank: Bank, fake: FakeSlurm
) -> None:
    fake.add_user("test1")
    insert(bank, "test1", 10)
    movements.hold(bank, Command("hold", "test1", reason="audit"))
    movements.delete(bank, Command("delete", "test1", force=True))
    found = explain(bank, "test1")
    assert codes(found)[0] == "deleted"
    assert "'slurm_bank.py release_hold test1'" in found.reasons[0].remedy
    with pytest.raises(Refusal, match="doesn't exist"):
        explain(bank, "nosuch")
    assert "not_in_bank" in codes(explain(bank, "dept"))


@pytest.mark.parametrize("policy", ["report", "hold"])
def test_an_unknown_account_is_held_where_the_site_says_so(
    bank: Bank, fake: FakeSlurm, policy: str
) -> None:
    fake.add_user("test1")
    bank = bank._replace(settings=bank.settings._replace(unknown_accounts=policy))
    found = explain(bank, "test1")
    assert ("unknown_account" in codes(found)) == (policy == "hold")
    enforce(bank)
    found = explain(bank, "test1")
    assert (found.reasons[0].effect == STOPS) == (policy == "hold")


def test_an_account_that_slurm_has_not(bank: Bank, fake: FakeSlurm) -> None:
    insert(bank, "test1", 10)
    del fake.parents["test1"], fake.limits["test1"]
    found = explain(bank, "test1")
    assert codes(found)[0] == "no_such_account_in_slurm"
    assert found.verdict.startswith("no job of account test1 starts: Slurm on fake has no such")


def limit_ada(bank: Bank, su: int) -> None:
    user_limits.limit_user(bank, Command("limit_user", "proj", su * SU, user="ada"))


def test_limits_of_users_are_told(bank: Bank, fake: FakeSlurm, proj: int) -> None:
    limit_ada(bank, 5)
    assert "user_limit" in codes(explain(bank, "proj"))
    fake.use(proj, 5 * SU)
    # What is not read yet is not booked.
    assert "user_limit" in codes(explain(bank, "proj"))
    enforce(bank)
    found = explain(bank, "proj")
    assert (found.reasons[0].code, found.reasons[0].effect) == ("user_limit_used", STOPS)
    assert found.verdict.startswith("no job of user ada in account proj starts: nothing is left of")
    # Her hold is told once: it is no limit that somebody else set.
    assert "limit_reached" not in codes(found)
    fake.waiting = waiting("7", "proj", "AssocGrpCPUMinutesLimit")
    own = explain(bank, None, "7").reasons[1]
    assert "is the bank's hold of user ada in account proj" in own.sentence
    fake.user_limits[proj].clear()
    assert explain(bank, "proj").reasons[-1].effect == NOTE
    lifted = next(one for one in explain(bank, "proj").reasons if one.code == "user_limit_used")
    assert lifted.effect == COMING
    assert explaining.explain(bank, "proj", user="bob", job=None).verdict.startswith(
        "no job of user bob in account proj starts: they have no association"
    )


@pytest.mark.usefixtures("proj")
def test_grants_that_start_later_are_told(bank: Bank) -> None:
    now = bank.clock()
    movements_later = bank._replace(clock=lambda: now)
    with writing(movements_later.database) as writer:
        writer.execute(
            "INSERT INTO allocation_grant (account_id, start_at, end_at, kind, state, promised,"
            " is_dated) SELECT account_id, :start, :end, 'second', 'promised', :amount, 1"
            " FROM account WHERE name = 'proj'",
            [{"start": now + 24 * HOUR, "end": now + 240 * HOUR, "amount": 7 * SU}],
        )
    found = explain(bank, "proj")
    promised = next(one for one in found.reasons if one.code == "grant_promised")
    assert promised.sentence.startswith("a grant of 7 SUs starts on ")


@pytest.mark.usefixtures("proj")
def test_no_passes_are_said(bank: Bank) -> None:
    later = bank.clock() + 2 * HOUR
    found = explain(bank._replace(clock=lambda: later), "proj")
    stale = next(one for one in found.reasons if one.code == "no_passes")
    assert "2 hours ago" in stale.sentence
    assert "slurm_bank_cron.sh" in stale.remedy


def test_a_bank_that_never_read_a_cluster(bank: Bank, fake: FakeSlurm) -> None:
    fake.add_user("test1")
    assert "never_read" in codes(explain(bank, "test1"))


# -- jobs --------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_number_and_by_that_of_its_task(
    bank: Bank, fake: FakeSlurm, proj: int
) -> None:
    del proj
    running = waiting("4_1", "proj", "None", JobID="16", State="RUNNING")
    fake.waiting = (
        waiting("7", "proj", "JobHeldUser")
        + running
        + waiting("4_[2-4,9%1]", "proj", "JobArrayTaskLimit")
    )
    assert explain(bank, None, "7").reasons[0].code == "JobHeldUser"
    for job in ("4", "4_3", "4_9"):
        assert explain(bank, None, job).reasons[0].subject == "job 4_[2-4,9%1]", job
    for job in ("16", "4_1"):
        found = explain(bank, None, job)
        assert found.verdict.startswith("job 4_1 of ada in account proj: it is RUNNING"), job
    with pytest.raises(Refusal, match="knows a job 4_5"):
        explain(bank, None, "4_5")
    # Of an account all jobs are told that wait.
    assert {"JobHeldUser", "JobArrayTaskLimit"} < set(codes(explain(bank, "proj")))


def test_a_job_that_only_the_accounting_knows(bank: Bank, fake: FakeSlurm, proj: int) -> None:
    del proj
    fake.sacct = "9|9|CANCELLED by 0|ada|normal|normal|10|None||JobHeldUser|proj\n"
    found = explain(bank, None, "9")
    assert found.account == "proj"
    assert "it is CANCELLED by 0 (JobHeldUser): it has ended" in found.verdict


@pytest.mark.parametrize(
    ("account", "user", "job", "error", "said"),
    [
        (None, None, None, InputError, "say which account"),
        ("proj", None, "seven", InputError, "'seven' is not a job"),
        (None, None, "7; ls", InputError, "is not a job"),
        ("dept", None, "7", Refusal, "job 7 is of account proj, not of dept"),
        ("proj", "bob", "7", Refusal, "job 7 is of ada, not of bob"),
        (None, None, "8", Refusal, "neither Slurm nor its accounting knows a job 8"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_by_name(
    bank: Bank,
    fake: FakeSlurm,
    *,
    account: str | None,
    user: str | None,
    job: str | None,
    error: type[Exception],
    said: str,
) -> None:
    fake.add_user("proj")
    fake.waiting = waiting("7", "proj", "JobHeldUser")
    with pytest.raises(error, match=said):
        explaining.explain(bank, account, user=user, job=job)


# -- Slurm does not answer ---------------------------------------------------------------------


def test_what_the_books_say_is_said_where_slurm_does_not_answer(
    bank: Bank, fake: FakeSlurm, proj: int, refusing: Callable[..., None]
) -> None:
    fake.use(proj, 200 * SU)
    enforce(bank)
    refusing("squeue")
    found = explain(bank, "proj")
    assert isinstance(found.error, SlurmError)
    # The hold is known from the record.
    assert codes(found)[:2] == ["nothing_left", "nothing_left"]
    assert found.verdict.startswith("no job of account proj starts: nothing is left")
    assert "slurm_did_not_answer" in codes(found)
    with pytest.raises(SlurmError):
        explain(bank, None, "7")


@pytest.mark.usefixtures("proj")
def test_nothing_is_said_to_stop_only_where_everybody_answered(
    bank: Bank, refusing: Callable[..., None]
) -> None:
    refusing("scontrol", error=OutputNotUnderstood("scontrol printed something"))
    found = explain(bank, "proj")
    assert found.verdict.startswith("nothing that is known stops jobs of account proj: what Slurm")
    assert isinstance(found.error, OutputNotUnderstood)


@pytest.mark.usefixtures("proj")
def test_without_slurmdbd_only_the_costs_are_not_known(
    bank: Bank, fake: FakeSlurm, refusing: Callable[..., None]
) -> None:
    fake.waiting = waiting("7", "proj", "JobHeldUser")
    assert explain(bank, "proj").reasons[0].numbers["at_most_billing_seconds"] == 600
    refusing("sacctmgr")
    warned: list[str] = []
    found = explain(bank._replace(warn=warned.append), "proj")
    assert found.error is None
    assert found.reasons[0].numbers["at_most_billing_seconds"] is None
    assert "what jobs may cost is not said" in warned[0]


def test_a_cluster_of_several_that_is_down_is_named(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_user("test1")
    insert(bank, "test1", 10)
    several = bank._replace(settings=bank.settings._replace(clusters=("fake", "down")))
    answer = fake.run

    def run(slurm: Slurm, arguments: Sequence[str]) -> str:
        if "down" in arguments:
            raise SlurmError("scontrol ended with status 1: no such cluster")
        return answer(slurm, arguments)

    monkeypatch.setattr("bank.operations.clusters.run", run)
    found = explain(several, "test1")
    assert found.clusters == ["fake", "down"]
    assert found.verdict.startswith("nothing that is known stops jobs of account test1")
    assert "cluster down" in str(found.error)
    assert [one.code for one in found.reasons if one.clusters == ("down",)] == [
        "slurm_did_not_answer",
        "never_read",
    ]


def test_a_cluster_that_cannot_be_metered_says_so_and_explains_its_jobs(
    bank: Bank, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_user("test1")
    insert(bank, "test1", 10)
    fake.waiting = waiting("7", "test1", "JobHeldUser")
    answer = fake.run

    def run(slurm: Slurm, arguments: Sequence[str]) -> str:
        said = answer(slurm, arguments)
        return said.replace("HalfLife   = 00:00:00", "HalfLife   = 7-00:00:00").replace(
            "associations,limits,qos,safe", "associations"
        )

    monkeypatch.setattr("bank.operations.clusters.run", run)
    found = explain(bank, "test1")
    assert codes(found)[0] == "JobHeldUser"
    unusable = next(one for one in found.reasons if one.code == "unusable")
    assert "PriorityDecayHalfLife" in unusable.sentence
    assert "not_enforced" in codes(found)
    assert upkeep.verify(bank) == []
