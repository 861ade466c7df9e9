"""What the bank answers the controller's hooks, on a described cluster; real ones are elsewhere."""

import pwd
from collections.abc import Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bank.errors import BankError, InputError, Refusal, SlurmError
from bank.operations import hook_starts, hook_submits, liens, upkeep
from bank.operations.bank import Bank
from bank.operations.hook_answers import Said, said_of
from bank.operations.hook_starts import Starting
from bank.operations.hook_submits import WITHOUT_BOUND, Submissions
from bank.operations.liens import Answer, Wanted
from bank.operations.shape_cache import Shape, ShapeCache
from bank.policy import quotes
from bank.policy.cluster_shape import Association, Cluster, Controller, Node, Partition, Qos
from bank.settings import Settings
from bank.slurm import starting_jobs
from bank.slurm.live_jobs import LiveJob
from bank.slurm.starting_jobs import StartingJob
from bank.store import held_jobs
from bank.store import liens as stored
from bank.store.connect import reading, writing
from bank.store.held_jobs import HeldJob
from bank.store.liens import Lien
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

CPU = {"cpu": Fraction(1)}
HOUR = 60
CLUSTER = Cluster(
    Controller("fake", "select/cons_tres", frozenset({"CR_CORE"})),
    (
        Partition("normal", True, CPU, default_minutes=60, max_minutes=6000),
        Partition("dear", False, {"cpu": Fraction(3)}),
        Partition("late", False, CPU, over_minutes=30),
    ),
    (Node("n1", frozenset({"normal", "dear", "late"}), 64, 64, 1, 1, 65_536, {}),),
    {"normal": Qos("normal", Fraction(1)), "twice": Qos("twice", Fraction(2))},
    (),
)
ADAS = Association("proj", "", "normal", ("normal", "twice"), None, is_default=True)
JOB = {"user_id": 1000, "account": "proj", "min_cpus": 1, "time_limit": 60}


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    bank = Bank(Settings(str(tmp_path / "bank.db"), usage_source="jobs"), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj", "ada")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return bank


class Known(ShapeCache):
    """A cache of the described cluster that counts how often it is asked to look again."""

    def __init__(self, bank: Bank) -> None:
        super().__init__(bank)
        self.asked = 0
        self._shape = Shape(CLUSTER, {1000: "ada"}, {"ada": (ADAS,)}, 0.0, {})

    def refresh_soon(self) -> None:
        self.asked += 1


@pytest.fixture
def cache(bank: Bank) -> Known:
    return Known(bank)


def priced(bank: Bank, cache: Known, **told: object) -> Wanted:
    with reading(bank.database) as reader:
        return hook_submits.price(bank, cache, reader, {**JOB, **told})


def check(bank: Bank, wanted: Wanted) -> Answer:
    with reading(bank.database) as reader:
        return liens.check(reader, wanted)


def set_to(bank: Bank, **settings: object) -> Bank:
    return bank._replace(settings=bank.settings._replace(**settings))  # type: ignore[arg-type]


def place(bank: Bank, wanted: Wanted) -> Answer:
    with writing(bank.database) as writer:
        (answer,) = liens.place(bank, writer, [wanted])
    assert isinstance(answer, Answer), answer
    return answer


def open_liens(bank: Bank) -> list[Lien]:
    with reading(bank.database) as reader:
        return stored.find_open(reader)


def held(bank: Bank) -> list[HeldJob]:
    with reading(bank.database) as reader:
        return held_jobs.find(reader)


# -- submission ----------------------------------------------------------------------------


def test_job_is_priced_as_the_quote_of_its_script(bank: Bank, cache: Known) -> None:
    wanted = priced(bank, cache, min_cpus=4, num_tasks=4, time_limit=90)
    assert (wanted.cluster, wanted.account, wanted.user) == ("fake", "proj", "ada")
    assert (wanted.amount, wanted.tasks) == (6 * SU, 1)
    assert priced(bank, cache, time_limit=None).amount == SU
    assert priced(bank, cache, qos="twice").amount == 2 * SU
    assert cache.asked == 0


def test_dearest_of_the_listed_partitions_counts(bank: Bank, cache: Known) -> None:
    assert priced(bank, cache, partition="normal,dear").amount == 3 * SU


def test_reservation_without_a_partition_may_be_in_the_dearest(bank: Bank, cache: Known) -> None:
    assert priced(bank, cache, reservation="course").amount == 3 * SU


def test_array_is_set_aside_for_in_full_or_as_far_as_it_runs_at_once(
    bank: Bank, cache: Known
) -> None:
    assert priced(bank, cache, array_inx="1-10%3").amount == 10 * SU
    at_once = set_to(bank, array_liens="at_once")
    assert priced(at_once, cache, array_inx="1-10%3").amount == 3 * SU
    assert priced(at_once, cache, array_inx="1-10").amount == 10 * SU


def test_each_submission_has_a_token_of_its_own(bank: Bank, cache: Known) -> None:
    tokens = {priced(bank, cache).token for _ in range(20)}
    assert len(tokens) == 20
    assert all(token.isalnum() for token in tokens)


def test_account_that_is_not_known_yet_is_priced_and_looked_for(bank: Bank, cache: Known) -> None:
    assert priced(bank, cache, account="NEW").account == "new"
    assert cache.asked == 1


def test_user_whom_the_controller_does_not_know_yet_is_looked_up(bank: Bank, cache: Known) -> None:
    assert priced(bank, cache, user_id=0).user == pwd.getpwuid(0).pw_name
    with pytest.raises(InputError, match="no user 3999999999"):
        priced(bank, cache, user_id=3_999_999_999)


@pytest.mark.parametrize(
    "told", [{"partition": "none"}, {"qos": "none"}, {"min_cpus": 999}, {"account": None}]
)
def test_what_slurm_refuses_itself_is_left_to_slurm_and_looked_for_again(
    bank: Bank, cache: Known, told: Mapping[str, Any]
) -> None:
    if "account" in told:
        cache._shape = cache.shape._replace(associations={})
    with pytest.raises(Refusal) as caught:
        priced(bank, cache, **told)
    assert said_of(caught.value) == Said("yes")
    assert cache.asked >= 1


def test_job_without_bound_is_refused_where_anybody_who_pays_has_a_limit(
    bank: Bank, cache: Known
) -> None:
    told = {"partition": "dear", "time_limit": "unlimited"}
    with pytest.raises(Refusal, match="give --time") as caught:
        priced(bank, cache, **told)
    assert said_of(caught.value).decision == "no"
    assert priced(bank, cache, account="stranger", **told).amount == 0


def test_what_is_not_known_is_neither_yes_nor_no(bank: Bank, cache: Known) -> None:
    with pytest.raises(InputError) as caught:
        priced(bank, cache, min_cpus="many")
    assert said_of(caught.value).decision == "unknown"
    with pytest.raises(SlurmError) as failed, closing(Submissions(bank, ShapeCache(bank))) as asked:
        asked.thread.submit(asked.price, JOB).result()
    assert said_of(failed.value).decision == "unknown"
    other = Refusal("not_charged_by_jobs", "meters charge it")
    assert said_of(other) == Said("unknown", "", "meters charge it")


def test_refusal_is_told_on_one_line(bank: Bank, cache: Known) -> None:
    wanted = priced(bank, cache, min_cpus=64, num_tasks=64, time_limit=99 * HOUR)
    with pytest.raises(Refusal) as caught:
        check(bank, wanted)
    said = said_of(caught.value)
    assert said.text() == (
        "no\n\nthis job may cost up to 6,336.0 SUs; account proj has 100.0 available"
        " (100 granted, 0 used)\n"
    )
    assert Said("no", "", "two\nlines").text() == "no\n\ntwo lines\n"


def test_account_that_is_not_open_is_nobodys_business_unless_the_site_holds_those(
    bank: Bank, cache: Known
) -> None:
    wanted = priced(bank, cache, account="stranger")
    answer = check(bank, wanted)
    assert hook_submits.said(bank, answer) == Said("yes")
    strict = set_to(bank, unknown_accounts="hold")
    with pytest.raises(Refusal, match="not open"):
        hook_submits.said(strict, answer)
    with pytest.raises(Refusal, match="not open"):
        hook_submits.said(strict, place(bank, wanted))
    # One above it is open, and pays.
    assert hook_submits.said(strict, check(bank, priced(bank, cache))).decision == "yes"


def test_prices_of_equal_requests_are_worked_out_once(
    bank: Bank, cache: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(*args: Any) -> Any:  # noqa: ANN401
        asked.append(args)
        raise Refusal("job_never_runs", "never")

    monkeypatch.setattr(quotes, "quote", counted)
    for _ in range(5):
        with pytest.raises(Refusal, match="never"):
            priced(bank, cache)
    assert len(asked) == 1


def test_one_thread_answers_with_the_books_kept_open(bank: Bank, cache: Known) -> None:
    with closing(Submissions(bank, cache)) as asked:
        work = asked.thread.submit
        assert work(asked.submitted, JOB).result() == Said("yes")
        assert work(asked.price, JOB).result().amount == SU
        assert work(asked.modified, {"time_limit": 5}, RECORD).result() == Said("yes")
        assert work(asked.submitted, {**JOB, "time_limit": 100 * HOUR}).result() == Said("yes")
        # What was written meanwhile counts.
        insert(bank, "test1", 1)
        with pytest.raises(Refusal, match="account test1 has 1.0 available"):
            work(asked.submitted, {**JOB, "account": "test1", "time_limit": 120}).result()


# -- change --------------------------------------------------------------------------------

RECORD = {
    "job_id": 7,
    "user_id": 1000,
    "account": "proj",
    "qos": "normal",
    "partition": "normal",
    "time_limit": 60 * HOUR,
    "tres_fmt_req_str": "cpu=1,mem=1G,node=1,billing=1",
}


def modified(
    bank: Bank, cache: Known, change: Mapping[str, Any], **record: object
) -> tuple[str, str]:
    try:
        with reading(bank.database) as reader:
            said = hook_submits.modified(bank, cache, reader, change, {**RECORD, **record})
    except BankError as error:
        said = said_of(error)
    return said.decision, said.message


def test_change_that_makes_a_job_dearer_must_be_payable(bank: Bank, cache: Known) -> None:
    assert modified(bank, cache, {"time_limit": 100 * HOUR}) == ("yes", "")
    decision, message = modified(bank, cache, {"time_limit": 101 * HOUR})
    assert (decision, message[:38]) == ("no", "this job may cost up to 101.0 SUs; acc")
    assert modified(bank, cache, {"partition": "normal,dear"})[0] == "no"
    assert modified(bank, cache, {"qos": "twice"})[0] == "no"
    assert modified(bank, cache, {"time_limit": 51 * HOUR, "qos": "twice"})[0] == "no"
    assert modified(bank, cache, {"time_limit": "unlimited"})[0] == "no"
    assert modified(bank, cache, {"time_limit": 30 * HOUR}, array_task_cnt=4)[0] == "yes"
    assert modified(bank, cache, {"time_limit": 61 * HOUR}, array_task_cnt=4)[0] == "no"


def test_change_that_makes_it_no_dearer_is_always_payable(bank: Bank, cache: Known) -> None:
    assert modified(bank, cache, {"time_limit": 400 * HOUR}, time_limit=500 * HOUR)[0] == "yes"
    assert modified(bank, cache, {"time_limit": 400 * HOUR}, time_limit="unlimited")[0] == "yes"
    assert modified(bank, cache, {"qos": "twice"}, time_limit="unlimited")[0] == "no"


def test_what_is_set_aside_for_the_job_counts_for_its_change(bank: Bank, cache: Known) -> None:
    place(bank, Wanted("fake", "proj", "ada", "tokentoken", 60 * SU))
    assert modified(bank, cache, {"time_limit": 100 * HOUR})[0] == "no"
    comment = {"admin_comment": "bank:tokentoken"}
    assert modified(bank, cache, {"time_limit": 100 * HOUR}, **comment)[0] == "yes"
    assert modified(bank, cache, {"time_limit": 101 * HOUR}, **comment)[0] == "no"


def test_other_account_must_pay_for_all_of_it(bank: Bank, cache: Known) -> None:
    insert(bank, "test1", 59)
    assert modified(bank, cache, {"account": "test1"})[0] == "no"
    assert modified(bank, cache, {"account": "test1", "time_limit": 59 * HOUR})[0] == "yes"


@pytest.mark.parametrize("missing", ["job_id", "account", "partition", "qos", "user_id"])
def test_record_that_is_not_understood_decides_nothing(
    bank: Bank, cache: Known, missing: str
) -> None:
    assert modified(bank, cache, {"time_limit": 5000}, **{missing: None})[0] == "unknown"
    assert modified(bank, cache, {"time_limit": 5000}, tres_fmt_req_str="cpu=")[0] == "unknown"
    assert modified(bank, cache, {"partition": "nowhere"})[0] == "unknown"


# -- start ---------------------------------------------------------------------------------

STARTING = Starting(
    cluster="fake",
    account="proj",
    user="ada",
    job_id=7,
    array_job_id=None,
    cost=60 * SU,
    started_at=1_800_000_000,
    token="",
    comment="",
    can_wait=True,
    is_report=False,
    actor="ada",
)


def admitted(bank: Bank, **changes: object) -> Said:
    item = STARTING._replace(**changes)  # type: ignore[arg-type]
    with writing(bank.database) as writer:
        (said,) = hook_starts.admit(bank, writer, [item])
    assert isinstance(said, Said), said
    return said


def test_job_that_can_pay_starts_and_is_set_aside_for_once(bank: Bank) -> None:
    said = admitted(bank)
    assert said == Said("yes", "fake/7/1800000000")
    # The controller was killed, and asks once more.
    assert admitted(bank) == said
    assert [(lien.job_id, lien.state, lien.amount) for lien in open_liens(bank)] == [
        (7, "bound", 60 * SU)
    ]


def test_lien_of_the_submission_becomes_what_the_job_was_given(bank: Bank) -> None:
    place(bank, Wanted("fake", "proj", "ada", "tokentoken", 90 * SU))
    assert admitted(bank, token="tokentoken").token == "tokentoken"
    (lien,) = open_liens(bank)
    assert (lien.job_id, lien.state, lien.amount) == (7, "bound", 60 * SU)


def test_task_of_an_array_takes_what_was_set_aside_for_the_array(bank: Bank) -> None:
    array = Wanted(
        *("fake", "proj", "ada", "tokentoken", 20 * SU), tasks=4, at_once=4, job_id=9, is_array=True
    )
    place(bank, array)
    assert admitted(bank, job_id=9, array_job_id=9, cost=15 * SU).decision == "yes"
    assert admitted(bank, job_id=11, array_job_id=9, cost=25 * SU).decision == "yes"
    assert [lien.amount for lien in open_liens(bank)] == [100 * SU]
    assert admitted(bank, job_id=12, array_job_id=9, cost=26 * SU).decision == "hold"


def test_job_that_cannot_pay_is_on_record_before_the_controller_holds_it(bank: Bank) -> None:
    said = admitted(bank, cost=101 * SU, comment="ticket 5 bank:abc held by the bank: long ago")
    assert said.decision == "hold"
    assert said.message == (
        "ticket 5 bank:abc held by the bank: this job may cost up to 101.0 SUs; account proj has"
        " 100.0 available (100 granted, 0 used)"
    )
    assert [(one.job_id, one.account, one.amount) for one in held(bank)] == [(7, "proj", 101 * SU)]
    assert open_liens(bank) == []


def test_held_job_needs_what_is_not_set_aside_for_it_yet(bank: Bank) -> None:
    place(bank, Wanted("fake", "proj", "ada", "tokentoken", 90 * SU))
    assert admitted(bank, token="tokentoken", cost=120 * SU).decision == "hold"
    assert [one.amount for one in held(bank)] == [30 * SU]
    assert [lien.amount for lien in open_liens(bank)] == [90 * SU]


def test_job_that_cannot_wait_runs_or_is_killed_as_the_site_says(bank: Bank) -> None:
    kills = set_to(bank, start_refusal="kill")
    assert admitted(kills, cost=101 * SU, can_wait=False).decision == "kill"
    assert open_liens(bank) == []
    said = admitted(bank, cost=101 * SU, can_wait=False)
    assert said.decision == "run"
    assert [lien.amount for lien in open_liens(bank)] == [101 * SU]
    assert held(bank) == []


def test_report_only_lets_everything_run_and_sets_it_aside(bank: Bank) -> None:
    kills = set_to(bank, start_refusal="kill", unknown_accounts="hold")
    assert admitted(kills, cost=101 * SU, is_report=True).decision == "run"
    assert admitted(kills, job_id=8, account="stranger", is_report=True).decision == "run"
    assert held(bank) == []
    assert [lien.amount for lien in open_liens(bank)] == [101 * SU]


def test_job_without_bound_is_held_and_said_so(bank: Bank) -> None:
    said = admitted(bank, cost=WITHOUT_BOUND)
    assert said.decision == "hold"
    assert said.message.endswith("has no time limit, and account proj has one: give --time")
    assert admitted(bank, cost=WITHOUT_BOUND, account="stranger").decision == "yes"
    assert admitted(bank, job_id=8, cost=WITHOUT_BOUND, can_wait=False).decision == "run"
    assert [lien.amount for lien in open_liens(bank)] == [0]


def test_account_that_is_not_open_may_start_unless_the_site_says_otherwise(bank: Bank) -> None:
    assert admitted(bank, account="stranger") == Said("yes")
    strict = set_to(bank, unknown_accounts="hold", start_refusal="kill")
    assert admitted(strict, account="stranger").decision == "kill"


def test_job_that_was_moved_to_another_account_is_paid_by_that(bank: Bank) -> None:
    insert(bank, "test1", 70)
    place(bank, Wanted("fake", "proj", "ada", "tokentoken", 60 * SU))
    assert admitted(bank, token="tokentoken", account="test1").decision == "yes"
    assert [(lien.account, lien.amount) for lien in open_liens(bank)] == [("test1", 60 * SU)]
    assert admitted(bank, job_id=8, cost=11 * SU, account="test1").decision == "hold"
    assert admitted(bank, job_id=9, cost=100 * SU).decision == "yes"


def live(**changes: object) -> StartingJob:
    job = LiveJob(
        job_id=7,
        array_job_id=None,
        tasks=1,
        state="CONFIGURING",
        user="ada",
        account="proj",
        partition="late",
        qos="twice",
        limit_minutes=60,
        started_at=5,
        allocated={"cpu": Fraction(2)},
        is_held=False,
        comment="bank:tokentoken",
    )
    return StartingJob(job._replace(**changes), is_batch=True, can_requeue=True)  # type: ignore[arg-type]


def looked(
    bank: Bank, cache: Known, monkeypatch: pytest.MonkeyPatch, found: StartingJob, **told: str
) -> Starting:
    monkeypatch.setattr(hook_starts, "run", lambda _slurm, argv: argv)
    monkeypatch.setattr(starting_jobs, "read", lambda _output, _job_id: found)
    return hook_starts.look(bank, cache, {"SLURM_JOB_ID": "7", "mode": "enforce", **told})


def test_what_a_job_was_given_is_priced_with_the_time_that_it_may_overrun(
    bank: Bank, cache: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = looked(bank, cache, monkeypatch, live())
    assert (found.cost, found.token, found.can_wait) == (6 * SU, "tokentoken", True)
    assert not found.is_report
    assert looked(bank, cache, monkeypatch, live(limit_minutes=None)).cost == WITHOUT_BOUND
    free = live(limit_minutes=None, allocated={"cpu": Fraction(0)})
    assert looked(bank, cache, monkeypatch, free).cost == 0


def test_only_a_batch_job_that_may_be_requeued_and_stands_alone_can_wait(
    bank: Bank, cache: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    def can_wait(found: StartingJob, **told: str) -> bool:
        return looked(bank, cache, monkeypatch, found, **told).can_wait

    assert can_wait(live())
    assert not can_wait(live()._replace(is_batch=False))
    assert not can_wait(live()._replace(can_requeue=False))
    assert not can_wait(live(), SLURM_HET_JOB_ID="7")


def test_start_that_is_not_understood_decides_nothing(
    bank: Bank, cache: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError):
        hook_starts.look(bank, cache, {"SLURM_JOB_ID": "7; rm", "mode": "enforce"})
    with pytest.raises(Refusal, match="not known here"):
        looked(bank, cache, monkeypatch, live(partition="new"))
    assert cache.asked == 1
    assert looked(bank, cache, monkeypatch, live(), mode="anything").is_report
