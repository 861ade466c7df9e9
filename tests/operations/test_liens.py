"""Liens: who can pay for one, what it keeps, and that what is set aside is always their sum."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.errors import BankError, Refusal
from bank.operations import liens, looking, movements, upkeep, user_limits
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.enforcement import enforce
from bank.operations.liens import Answer, Ending, Resize, RunEnd, Wanted
from bank.policy.liens import SETTLED, VOIDED
from bank.settings import Settings
from bank.store import liens as stored
from bank.store.connect import Writer, reading, writing
from tests.fake_slurm import FakeSlurm
from tests.operations.conftest import SU, insert

CLUSTER = "fake"


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    """A bank that charges by jobs, with 100 SUs for dept and for proj below it."""
    bank = Bank(Settings(str(tmp_path / "bank.db"), usage_source="jobs"), "ada", pytest.fail)
    upkeep.migrate(bank, dry_run=False)
    fake.add_user("proj", "ada")
    fake.add_user("proj", "bob")
    insert(bank, "dept", 100)
    insert(bank, "proj", 100)
    return bank


@pytest.fixture
def cluster(bank: Bank) -> str:
    with reading(bank.database) as reader:
        ((name,),) = reader.query("SELECT name FROM cluster")
    return str(name)


def wanted(su: float, token: str = "t", **more: object) -> Wanted:
    plain = Wanted(CLUSTER, "proj", "ada", token, int(su * SU))
    return plain._replace(**more)  # type: ignore[arg-type]


def place(bank: Bank, *items: Wanted) -> Sequence[Answer | BankError]:
    with writing(bank.database) as writer:
        return liens.place(bank, writer, items)


def available(bank: Bank, name: str = "proj") -> float:
    (state,) = looking.balance(bank, name)
    return float(state["available_billing_seconds"] / SU)


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code == code


def sums_agree(bank: Bank) -> bool:
    with reading(bank.database) as reader:
        names = {row[0] for row in reader.query("SELECT DISTINCT cluster FROM place")}
        shown = {
            (cluster, account_id): running
            for cluster, account_id, running in reader.query(
                "SELECT cluster, account_id, running FROM place"
            )
        }
        sums = {
            (cluster, account_id): amount
            for cluster in names
            for account_id, amount in stored.sums_by_account(reader, cluster).items()
        }
    return {key: amount for key, amount in shown.items() if amount} == {
        key: amount for key, amount in sums.items() if amount
    }


def test_the_name_of_the_cluster_is_that_of_the_model(cluster: str) -> None:
    assert cluster == CLUSTER


def test_what_is_set_aside_is_not_available_there_nor_above(bank: Bank) -> None:
    (answer,) = place(bank, wanted(30))
    assert isinstance(answer, Answer)
    assert answer.lien is not None
    assert answer.lien.state == "placed"
    assert (available(bank), available(bank, "dept")) == (70, 70)
    assert looking.balance(bank, "proj")[0]["set_aside_su"] == "30"


def test_the_refusal_has_the_numbers(bank: Bank) -> None:
    place(bank, wanted(10), wanted(20, "t2"))
    (refusal,) = place(bank, wanted(80.5, "t3"))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "insufficient_funds"
    assert str(refusal) == (
        "this job may cost up to 80.5 SUs; account proj has 70.0 available"
        " (100 granted, 0 used, 30 set aside for 2 jobs)"
    )
    assert available(bank) == 70


def test_an_account_above_has_to_pay_as_well(bank: Bank) -> None:
    movements.add(bank, Command("add", "proj", 900 * SU, force=True))
    (refusal,) = place(bank, wanted(100.5))
    assert "account dept above proj has 100.0 available" in str(refusal)
    (answer,) = place(bank, wanted(100))
    assert isinstance(answer, Answer)


def test_a_users_own_limit_has_to_pay_as_well(bank: Bank) -> None:
    user_limits.limit_user(bank, Command("limit_user", "proj", 10 * SU, user="ada"))
    first, second, other = place(bank, wanted(6), wanted(6, "t2"), wanted(6, "t3", user="bob"))
    assert isinstance(first, Answer)
    assert isinstance(other, Answer)
    assert str(second) == (
        "this job may cost up to 6.0 SUs; user ada in account proj has 4.0 available"
        " (10 set as the limit, 0 used, 6 set aside for 1 job)"
    )


def test_in_one_batch_what_the_first_takes_the_second_has_not(bank: Bank) -> None:
    answers = place(bank, *(wanted(40, f"t{number}") for number in range(4)))
    assert [isinstance(answer, Answer) for answer in answers] == [True, True, False, False]
    assert available(bank) == 20


def test_the_same_token_is_answered_and_another_content_refused(bank: Bank) -> None:
    (first,) = place(bank, wanted(40))
    (again,) = place(bank, wanted(40))
    assert isinstance(first, Answer)
    assert isinstance(again, Answer)
    assert again.is_repeat
    assert available(bank) == 60
    (other,) = place(bank, wanted(40, user="bob"))
    assert isinstance(other, Refusal)
    assert other.code == "token_reused"
    twice = place(bank, wanted(1, "new"), wanted(1, "new"))
    assert [isinstance(one, Answer) and one.is_repeat for one in twice] == [False, True]
    assert available(bank) == 59


def test_an_account_that_is_not_the_banks_business_needs_nothing(bank: Bank) -> None:
    (answer,) = place(bank, wanted(10**6, account="stranger"))
    assert answer == Answer(None, "stranger", 10**6 * SU, None, is_banked=False)
    with reading(bank.database) as reader:
        assert stored.find_open(reader) == []


def test_nothing_is_set_aside_where_meters_charge(bank: Bank) -> None:
    (answer,) = place(bank, wanted(1, cluster="elsewhere"))
    assert isinstance(answer, Refusal)
    assert answer.code == "not_charged_by_jobs"


def test_what_costs_nothing_runs_also_on_an_overdrawn_account(bank: Bank) -> None:
    place(bank, wanted(150, is_forced=True))
    assert available(bank) == -50
    free, dear = place(bank, wanted(0, "t2"), wanted(0.01, "t3"))
    assert isinstance(free, Answer)
    assert isinstance(dear, Refusal)


def test_check_says_the_same_and_writes_nothing(bank: Bank) -> None:
    with reading(bank.database) as reader:
        assert liens.check(reader, wanted(100)).lien is None
    with reading(bank.database) as reader, refused("insufficient_funds"):
        liens.check(reader, wanted(100.5))
    assert available(bank) == 100


@pytest.mark.parametrize(("at_once", "kept"), [(10, 50), (3, 15)])
def test_an_array_keeps_what_its_tasks_may_still_use(bank: Bank, at_once: int, kept: int) -> None:
    array = wanted(5, tasks=10, at_once=at_once, job_id=7, is_array=True)
    place(bank, array)
    assert available(bank) == 100 - kept
    for done in range(1, 11):
        with writing(bank.database) as writer:
            liens.settle_runs(bank, writer, CLUSTER, [RunEnd(6 + done, 7, is_final=True)])
        assert available(bank) == 100 - 5 * min(at_once, 10 - done)
    with reading(bank.database) as reader:
        assert stored.find_by_tokens(reader, ["t"])["t"].state == SETTLED


def test_a_run_that_was_requeued_leaves_the_lien(bank: Bank) -> None:
    place(bank, wanted(5, job_id=9))
    with writing(bank.database) as writer:
        liens.settle_runs(bank, writer, CLUSTER, [RunEnd(9, None, is_final=False)])
    assert available(bank) == 95
    with writing(bank.database) as writer:
        liens.settle_runs(bank, writer, CLUSTER, [RunEnd(9, None, is_final=True)])
    assert available(bank) == 100


def test_a_task_with_a_lien_of_its_own_leaves_that_of_the_array(bank: Bank) -> None:
    # The last task of array 7 has the number of the whole.
    place(
        bank,
        wanted(5, tasks=2, at_once=2, job_id=7, is_array=True),
        wanted(3, "own", job_id=7),
    )
    with writing(bank.database) as writer:
        liens.settle_runs(bank, writer, CLUSTER, [RunEnd(7, 7, is_final=True)])
    assert available(bank) == 90


def test_more_must_be_payable_and_less_always_is(bank: Bank) -> None:
    place(bank, wanted(60), wanted(30, "t2"))

    def resize(su: int, **more: object) -> Answer | BankError:
        with writing(bank.database) as writer:
            (answer,) = liens.resize(bank, writer, [Resize("t", su * SU, **more)])  # type: ignore[arg-type]
        return answer

    assert isinstance(resize(71), Refusal)
    assert available(bank) == 10
    bound = resize(70, job_id=3)
    assert isinstance(bound, Answer)
    assert bound.lien is not None
    assert (bound.lien.state, bound.lien.job_id) == ("bound", 3)
    assert available(bank) == 0
    assert isinstance(resize(20), Answer)
    assert available(bank) == 50
    assert isinstance(resize(200, is_forced=True), Answer)
    assert available(bank) == -130


def test_a_lien_ends_once(bank: Bank) -> None:
    place(bank, wanted(60))

    def end(token: str, state: str) -> Answer | BankError:
        with writing(bank.database) as writer:
            (answer,) = liens.end(bank, writer, [Ending(token, state)])
        return answer

    first, again = end("t", VOIDED), end("t", VOIDED)
    assert isinstance(first, Answer)
    assert isinstance(again, Answer)
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert available(bank) == 100
    other, unknown = end("t", SETTLED), end("no", VOIDED)
    assert isinstance(other, Refusal)
    assert isinstance(unknown, Refusal)
    assert (other.code, unknown.code) == ("lien_ended", "no_such_lien")


def test_of_twenty_racing_for_what_pays_for_seven_seven_get_it(bank: Bank) -> None:
    together = threading.Barrier(20)
    answers: list[Answer | BankError] = []

    def race(number: int) -> None:
        together.wait(30)
        answers.extend(place(bank, wanted(100 / 7 - 0.01, f"t{number}")))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(isinstance(answer, Answer) for answer in answers) == 7
    assert len(answers) == 20
    assert sums_agree(bank)


def test_liens_go_with_an_account_that_moves(bank: Bank, fake: FakeSlurm) -> None:
    place(bank, wanted(30))
    fake.parents["proj"] = "root"
    enforce(bank)
    with writing(bank.database) as writer:
        stored.recount(writer, CLUSTER)
    assert (available(bank), available(bank, "dept")) == (70, 100)
    assert sums_agree(bank)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("place", "force", "resize", "void", "run")),
        st.sampled_from(("proj", "dept", "test1")),
        st.integers(0, 5),
        st.integers(0, 60),
    ),
    max_size=25,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(_STEPS)
def test_whatever_comes_the_sums_agree_and_nobody_is_overdrawn_unforced(
    bank: Bank, steps: list[tuple[str, str, int, int]]
) -> None:
    is_forced = False
    with writing(bank.database, dry_run=True) as writer:
        for verb, account, number, su in steps:
            is_forced |= _step(bank, writer, verb, account, number, su)
            for cluster, account_id, running in writer.query(
                "SELECT cluster, account_id, running FROM place"
            ):
                sums = stored.sums_by_account(writer, cluster)
                assert running == sums.get(account_id, 0)
                assert is_forced or running <= 100 * SU


def _step(bank: Bank, writer: Writer, verb: str, account: str, number: int, su: int) -> bool:
    token = f"t{number}"
    if verb in ("place", "force"):
        tasks = number % 3 + 1
        item = wanted(su, token, account=account, tasks=tasks, job_id=number, is_array=tasks > 1)
        liens.place(bank, writer, [item._replace(is_forced=verb == "force")])
    elif verb == "resize":
        liens.resize(bank, writer, [Resize(token, su * SU)])
    elif verb == "void":
        liens.end(bank, writer, [Ending(token, VOIDED)])
    else:
        run = RunEnd(number, number if number % 3 else None, is_final=bool(su % 2))
        liens.settle_runs(bank, writer, CLUSTER, [run])
    return verb == "force"
