"""The myBRC interface as its clients see it, over a socket, on a model of Slurm."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bank.errors import SlurmError
from bank.operations import shape_cache
from bank.operations import user_limits as limits_of_users
from bank.operations.bank import Bank
from bank.operations.commands import Command
from bank.operations.movements import hold, insert, modify
from tests.api.mybrc_client import NOBODY, UID, USER, Client, answering, client_of, make_bank
from tests.fake_slurm import FakeSlurm, take_over
from tests.operations.conftest import SU

START, END, AGAIN, LAST = (f"2027-01-31T{hour}:00:00Z" for hour in (12, 13, 14, 15))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = take_over(monkeypatch)
    fake.add_account("dept")
    fake.add_account("proj", "dept")
    fake.add_account("theirs")
    return fake


@pytest.fixture
def bank(fake: FakeSlurm, tmp_path: Path) -> Bank:
    return make_bank(fake, tmp_path)


@pytest.fixture
def client(bank: Bank) -> Iterator[Client]:
    with client_of(bank) as client:
        yield client


def begun(job: str = "17", amount: str = "20.00", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what the plugin sends when a step of a job starts."""
    return {
        "jobslurmid": job,
        "submitdate": "2027-01-31T11:58:00+00:00",
        "startdate": "2027-01-31T12:00:00+00:00",
        "userid": str(UID),
        "accountid": "proj",
        "amount": amount,
        "jobstatus": "RUNNING",
        "partition": "savio",
        "qos": "normal",
        "nodes": [{"name": "n0000.savio1"}, {"name": "n0001.savio1"}],
        "num_cpus": 40,
        "num_alloc_nodes": 2,
        **more,
    }


def ended(job: str = "17", amount: str = "7.00", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what the plugin sends when a job has ended."""
    return {
        **begun(job, amount),
        "enddate": "2027-01-31T13:00:00+00:00",
        "jobstatus": "COMPLETING",
        "num_req_nodes": 2,
        "raw_time": 1.0,
        "cpu_time": 40.0,
        **more,
    }


def asked(cost: str = "1.00", uid: object = UID, account: str = "proj") -> str:
    return f"/can_submit_job/{cost}/{uid}/{account}/"


# May a job be submitted?


def test_a_job_that_can_be_paid_for_may_be_submitted(client: Client) -> None:
    answer = client.get(asked("100.00"))
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "message": "this job may cost up to 100.00 SUs; account proj has 100.00 available",
    }


def test_one_that_cannot_is_denied_with_200_and_the_numbers(client: Client) -> None:
    client.put("/jobs/1/", ended("1", "9.00"))
    client.post("/jobs/", begun("2", "20.00"))
    answer = client.get(asked("71.01"))
    assert answer.status == 200
    assert answer.body["success"] is False
    assert answer.body["message"] == (
        "this job may cost up to 71.01 SUs; account proj has 71.0 available"
        " (100 granted, 9 used, 20 set aside for 1 job)"
    )


@pytest.mark.parametrize("cost", ["100.01", "1002159035.24", "71582788250000.00", "9" * 30])
def test_no_cost_is_too_large_to_be_denied(client: Client, cost: str) -> None:
    # 14 CPUs without a time limit: twelve digits, which were answered with 400, and so let through.
    answer = client.get(asked(cost))
    assert (answer.status, answer.body["success"]) == (200, False)


def test_a_job_that_is_said_to_cost_nothing_needs_something_left(client: Client) -> None:
    assert client.get(asked("0.00")).body["success"] is True
    client.put("/jobs/1/", ended("1", "100.00"))
    assert client.get(asked("0.00")).body["success"] is False


@pytest.mark.parametrize(
    "cost",
    ["NaN", "Infinity", "-Infinity", "-1.00", "1.001", "1e3", "x", "%20", "+", "1,00", "9" * 41],
)
def test_what_is_no_cost_is_400(client: Client, cost: str) -> None:
    answer = client.get(asked(cost))
    assert (answer.status, answer.body["success"]) == (400, False)
    assert answer.body["message"]


@pytest.mark.parametrize(
    "path",
    [
        f"/can_submit_job//{UID}/proj/",
        "/can_submit_job/1.00//proj/",
        f"/can_submit_job/1.00/{UID}//",
        "/can_submit_job/1.00/x/proj/",
        "/can_submit_job/1.00/-1/proj/",
        f"/can_submit_job/1.00/{NOBODY}/proj/",
        f"/can_submit_job/1.00/{UID}/two%20words/",
        f"/can_submit_job/1.00/{UID}/root/",
    ],
)
def test_an_empty_or_wrong_part_or_an_unknown_user_is_400(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.body["success"]) == (400, False)


def test_who_is_not_in_the_account_is_denied(client: Client, bank: Bank) -> None:
    answer = client.get(asked(account="dept"))
    assert (answer.status, answer.body["success"]) == (200, False)
    assert f"user {USER} is not in account dept" in answer.body["message"]
    assert client.post("/jobs/", begun(accountid="dept")).status == 400
    # What has run is charged all the same.
    assert client.put("/jobs/17/", ended(accountid="dept")).status == 200
    assert client.books("dept") == ("7", "0")
    del bank


def test_slurm_is_not_asked_while_the_controller_waits(client: Client, fake: FakeSlurm) -> None:
    fake.calls.clear()
    assert client.get(asked()).body["success"] is True
    assert client.get(asked(account="dept")).body["success"] is False
    assert fake.calls == []


def test_where_slurm_could_not_be_asked_nobody_is_refused_for_it(
    fake: FakeSlurm, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_cache, "run", _away)
    with client_of(bank) as client:
        assert client.get(asked(account="dept")).body["success"] is True
        assert client.post("/jobs/", begun()).status == 201
        for path in ("/users/", "/partitions/"):
            answer = client.get(path)
            assert (answer.status, tuple(answer.body)) == (502, ("detail",))
    del fake


def _away(*_: object) -> str:
    raise SlurmError("away")


def test_an_account_that_is_not_the_banks_is_not_decided_about(client: Client) -> None:
    answer = client.get(asked("999999.00", account="theirs"))
    assert (answer.status, answer.body["success"]) == (200, True)
    assert "not the bank's" in answer.body["message"]


def test_it_is_denied_where_unknown_accounts_are_held(fake: FakeSlurm, tmp_path: Path) -> None:
    with client_of(make_bank(fake, tmp_path, unknown_accounts="hold")) as client:
        answer = client.get(asked(account="theirs"))
    assert (answer.status, answer.body["success"]) == (200, False)


def test_an_account_without_a_limit_pays_for_everything(client: Client, bank: Bank) -> None:
    for name in ("dept", "proj"):
        modify(bank, Command("modify", name, None))
    answer = client.get(asked("71582788250000.00"))
    assert answer.body["success"] is True
    assert "no limit" in answer.body["message"]


def test_an_account_above_that_cannot_pay_denies(client: Client, bank: Bank) -> None:
    modify(bank, Command("modify", "dept", 5 * SU, force=True))
    answer = client.get(asked("5.01"))
    assert answer.body["success"] is False
    assert "account dept above proj has 5.0 available" in answer.body["message"]


def test_a_held_account_denies(client: Client, bank: Bank) -> None:
    hold(bank, Command("hold", "proj", reason="no report"))
    answer = client.get(asked())
    assert answer.body["success"] is False
    assert "held" in answer.body["message"]


def test_a_users_own_limit_denies(client: Client, bank: Bank) -> None:
    limits_of_users.limit_user(bank, Command("limit_user", "proj", 3 * SU, user=USER))
    assert client.get(asked("3.00")).body["success"] is True
    answer = client.get(asked("3.01"))
    assert answer.body["success"] is False
    assert f"user {USER} in account proj has 3.0 available" in answer.body["message"]


# Reports of jobs


def test_a_job_is_told_as_the_plugins_tell_it(client: Client) -> None:
    answer = client.post("/jobs/", begun())
    assert answer.status == 201
    assert answer.body == {
        "jobslurmid": "17",
        "submitdate": "2027-01-31T11:58:00Z",
        "startdate": "2027-01-31T12:00:00Z",
        "enddate": None,
        "userid": str(UID),
        "accountid": "proj",
        "amount": "20.00",
        "jobstatus": "RUNNING",
        "partition": "savio",
        "qos": "normal",
        "nodes": [{"name": "n0000.savio1"}, {"name": "n0001.savio1"}],
        "num_cpus": 40,
        "num_req_nodes": None,
        "num_alloc_nodes": 2,
        "raw_time": None,
        "cpu_time": None,
    }
    assert client.books() == ("0", "20")
    answer = client.put("/jobs/17/", ended())
    assert answer.status == 200
    assert (answer.body["amount"], answer.body["enddate"]) == ("7.00", "2027-01-31T13:00:00Z")
    assert client.books() == ("7", "0")
    assert client.get("/jobs/17/").body == answer.body


def test_the_posts_of_all_steps_of_a_job_make_one_row(client: Client) -> None:
    first, *rest = _at_once(client, *(("POST", "/jobs/", begun()) for _ in range(8)))
    assert first.status == 201
    assert {one.status for one in rest} == {400}
    assert {tuple(one.body) for one in rest} == {("jobslurmid",)}
    assert client.books() == ("0", "20")
    assert client.get("/jobs/").body["count"] == 1


def _at_once(client: Client, *requests: tuple[str, str, Any]) -> list[Any]:
    """Send requests at the same time; return the answers, those that made something first."""
    answers: list[Any] = []
    gate = threading.Barrier(len(requests))

    def send(method: str, path: str, body: object) -> None:
        gate.wait()
        answers.append(client.send(method, path, body))

    threads = [threading.Thread(target=send, args=one) for one in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers, key=lambda one: int(one.status))


def test_of_twenty_jobs_at_once_as_many_are_taken_as_can_be_paid_for(client: Client) -> None:
    requests = [("POST", f"/jobs/{job}/", begun(str(job), "14.00")) for job in range(1, 21)]
    statuses = [one.status for one in _at_once(client, *requests)]
    assert statuses == [201] * 7 + [400] * 13
    assert client.books() == ("0", "98")


def test_a_first_description_that_cannot_be_paid_is_refused_with_the_numbers(
    client: Client,
) -> None:
    answer = client.post("/jobs/17/", begun(amount="100.01"))
    assert answer.status == 400
    (message,) = answer.body["non_field_errors"]
    assert "this job may cost up to 100.01 SUs; account proj has 100.0 available" in message
    assert client.get("/jobs/17/").status == 404


def test_a_job_that_runs_is_taken_though_it_overdraws(client: Client) -> None:
    assert client.post("/jobs/", begun(amount="100.01")).status == 201
    assert client.get(asked("0.01")).body["success"] is False


def test_an_end_whose_start_was_lost_makes_the_row_with_200(client: Client) -> None:
    assert client.put("/jobs/17/", ended()).status == 200
    assert client.books() == ("7", "0")


def test_the_end_of_a_user_whom_this_machine_does_not_know_any_more_is_charged(
    client: Client,
) -> None:
    assert client.post("/jobs/", begun(userid=str(NOBODY))).status == 400
    assert client.put("/jobs/17/", ended(userid=str(NOBODY))).status == 200
    assert client.books() == ("7", "0")


def test_a_job_that_never_got_a_node_is_charged_nothing_and_has_its_row(client: Client) -> None:
    body = ended(amount="0.00", nodes=[{"name": ""}], startdate=END, enddate=END)
    answer = client.put("/jobs/17/", body)
    assert (answer.status, answer.body["nodes"]) == (200, [])


def test_both_runs_of_a_requeued_job_are_charged_and_listed(client: Client) -> None:
    client.post("/jobs/", begun())
    client.put("/jobs/17/", ended())
    assert client.post("/jobs/", begun(startdate=AGAIN)).status == 201
    client.put("/jobs/17/", ended(amount="5.00", startdate=AGAIN, enddate=LAST))
    assert client.books() == ("12", "0")
    listed = client.get("/jobs/").body
    assert (listed["count"], listed["total_amount"]) == (2, "12.00")
    assert client.get("/jobs/17/").body["amount"] == "5.00"


def test_the_address_and_the_body_name_the_same_job(client: Client) -> None:
    client.post("/jobs/", begun("17"))
    for method in ("PUT", "POST"):
        answer = client.send(method, "/jobs/17/", ended("18"))
        assert answer.status == 400
        assert tuple(answer.body) == ("jobslurmid",)
    assert client.get("/jobs/18/").status == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"jobslurmid": None}, "jobslurmid"),
        ({"userid": "ada"}, "userid"),
        ({"userid": str(NOBODY)}, "userid"),
        ({"accountid": "two words"}, "accountid"),
        ({"amount": "-1.00"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "100000000000.00"}, "amount"),
        ({"startdate": "yesterday"}, "startdate"),
        ({"startdate": "2027-01-31"}, "startdate"),
        ({"startdate": 5}, "startdate"),
        ({"jobstatus": "x" * 51}, "jobstatus"),
        ({"qos": "a\0b"}, "qos"),
        ({"partition": "\ud800"}, "partition"),
        ({"nodes": None}, "nodes"),
        ({"nodes": [{"nom": "n1"}]}, "nodes"),
        ({"num_cpus": 2**31}, "num_cpus"),
        ({"num_cpus": 1.5}, "num_cpus"),
        ({"cpu_time": "much"}, "cpu_time"),
        ({"submitdate": END}, "non_field_errors"),
    ],
)
def test_what_is_wrong_is_said_by_field(client: Client, fields: dict[str, Any], wrong: str) -> None:
    answer = client.post("/jobs/", begun(**fields))
    assert answer.status == 400
    assert wrong in answer.body
    assert all(isinstance(one, str) for one in answer.body[wrong])
    assert client.get("/jobs/").body["count"] == 0


@pytest.mark.parametrize("name", ["jobslurmid", "userid", "accountid"])
def test_three_fields_are_needed(client: Client, name: str) -> None:
    body = begun()
    del body[name]
    answer = client.post("/jobs/", body)
    assert (answer.status, tuple(answer.body)) == (400, (name,))


@pytest.mark.parametrize("amount", ["20.0", "20.5", 21, 21.5, 0, "1e1", "89478485312.50"])
def test_an_amount_may_be_a_number_too(client: Client, amount: object) -> None:
    assert client.post("/jobs/", {**begun(), "amount": amount}).status == 201


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"amount": NaN}', "[" * 100_000, "\x00"])
def test_a_body_that_is_no_object_is_400(client: Client, text: str) -> None:
    answer = client.post("/jobs/", text or " ")
    assert answer.status == 400
    assert set(answer.body) <= {"detail", "non_field_errors"}


def test_a_form_is_taken_as_the_scripts_send_it(client: Client) -> None:
    client.post("/jobs/", begun())
    nodes = "[{'name': 'n0000.savio1'}]"
    form = {**ended(), "nodes": nodes, "startdate": "2027-01-31 12:00:00", "enddate": END}
    answer = client.put(
        "/jobs/17/", urlencode(form), media_type="application/x-www-form-urlencoded"
    )
    assert answer.status == 200
    assert (answer.body["num_cpus"], answer.body["cpu_time"]) == (40, 40.0)
    assert client.books() == ("7", "0")


def test_another_kind_of_body_is_415(client: Client) -> None:
    answer = client.post("/jobs/", "<job/>", media_type="text/xml")
    assert (answer.status, tuple(answer.body)) == (415, ("detail",))


def test_patch_says_with_200_that_it_does_nothing_and_delete_is_405(client: Client) -> None:
    client.post("/jobs/", begun())
    answer = client.send("PATCH", "/jobs/17/", {"amount": "1.00"})
    assert (answer.status, tuple(answer.body)) == (200, ("failure",))
    answer = client.send("DELETE", "/jobs/17/")
    assert (answer.status, tuple(answer.body)) == (405, ("detail",))
    assert "PUT" in answer.headers["allow"]
    assert client.books() == ("0", "20")


def test_a_job_that_nobody_told_is_404(client: Client) -> None:
    answer = client.get("/jobs/17/")
    assert (answer.status, tuple(answer.body)) == (404, ("detail",))


def test_what_was_told_is_there_after_the_service_was_started_again(bank: Bank) -> None:
    with client_of(bank) as client:
        client.post("/jobs/", begun())
    with answering(bank) as address:
        client.address = address
        assert client.get("/jobs/17/").body["jobstatus"] == "RUNNING"
        client.put("/jobs/17/", ended())
    assert client.books() == ("7", "0")


# Lists


def test_jobs_are_listed_by_pages_with_totals_of_all(client: Client) -> None:
    for job in range(1, 102):
        client.put(f"/jobs/{job}/", ended(str(job), "0.10"))
    first = client.get("/jobs/?jobstatus=COMPLETING").body
    assert (first["count"], len(first["results"]), first["previous"]) == (101, 100, None)
    assert (first["total_amount"], first["total_cpu_time"]) == ("10.10", 4040.0)
    host, port = client.address
    assert first["next"] == f"http://{host}:{port}/jobs/?jobstatus=COMPLETING&page=2"
    second = client.get(first["next"].removeprefix(f"http://{host}:{port}")).body
    assert [one["jobslurmid"] for one in second["results"]] == ["101"]
    assert second["next"] is None
    assert second["previous"].endswith("page=1")
    for page in ("0", "3", "x", "-1", "9" * 30):
        answer = client.get(f"/jobs/?page={page}")
        assert (answer.status, tuple(answer.body)) == (404, ("detail",))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["1", "2", "3"]),
        (f"user={USER}", ["1", "2", "3"]),
        ("user=nobody-knows", []),
        ("account=proj", ["1", "2"]),
        ("account=nobody-knows", []),
        ("jobstatus=RUNNING", ["2"]),
        ("partition=gpu", ["3"]),
        ("min_amount=7.00", ["1", "2"]),
        ("max_amount=7.00", ["1", "3"]),
        ("start_time=1801396801", ["3"]),
        ("end_time=1801396800", ["1", "2"]),
        ("start_time=1801396800.0&end_time=1801396800", ["1", "2"]),
        ("account=proj&jobstatus=COMPLETING", ["1"]),
        ("account=", ["1", "2", "3"]),
        ("whatever=5", ["1", "2", "3"]),
    ],
)
def test_jobs_are_filtered(client: Client, query: str, found: list[str]) -> None:
    client.put("/jobs/1/", ended("1"))
    client.post("/jobs/", begun("2"))
    client.put(
        "/jobs/3/",
        ended("3", "1.00", accountid="theirs", partition="gpu", startdate=AGAIN, enddate=LAST),
    )
    answer = client.get(f"/jobs/?{query}")
    assert answer.status == 200
    assert [one["jobslurmid"] for one in answer.body["results"]] == found


def test_an_empty_list_has_totals_of_nothing(client: Client) -> None:
    assert client.get("/jobs/").body == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
        "total_amount": "0.00",
        "total_cpu_time": 0.0,
    }


@pytest.mark.parametrize(
    "query", ["start_time=x", "end_time=-1", "min_amount=NaN", "max_amount=x", "user=%00"]
)
def test_a_filter_that_is_none_is_400_with_a_bare_list(client: Client, query: str) -> None:
    answer = client.get(f"/jobs/?{query}")
    assert answer.status == 400
    assert isinstance(answer.body, list)
    assert answer.body[0].startswith(query.partition("=")[0])


def test_users_are_listed_and_may_be_asked_for_by_several_names(client: Client) -> None:
    assert [one["username"] for one in client.get("/users/").body["results"]] == [USER]
    (one,) = client.get(f"/users/?username=x&username={USER}").body["results"]
    assert one["profile"]["cluster_uid"] == str(UID)
    assert client.get("/users/?username=x").body["count"] == 0


def test_partitions_are_listed_with_their_prices(client: Client) -> None:
    half, normal = client.get("/partitions/").body["results"]
    assert (half["name"], half["su_per_core_hour"]) == ("half", "0.50")
    assert normal == {
        "name": "normal",
        "shared": True,
        "num_nodes": 2,
        "num_cores": 64,
        "su_per_core_hour": "1.00",
    }


# Who may


def test_nobody_asks_without_a_token_and_all_read_why(client: Client) -> None:
    client.authorization = None
    for path in ("/jobs/", "/jobs/17/", asked(), "/users/", "/partitions/"):
        answer = client.get(path)
        assert (answer.status, tuple(answer.body)) == (401, ("detail",))
        assert answer.headers["www-authenticate"]
    client.authorization = "Token wrong"
    assert client.post("/jobs/", begun()).status == 401


def test_the_token_stands_after_a_word_or_alone(client: Client) -> None:
    assert client.authorization is not None
    token = client.authorization.removeprefix("Token ")
    for shown in (f"Token {token}", f"Bearer {token}", token):
        client.authorization = shown
        assert client.get("/jobs/").status == 200


def test_who_only_reads_tells_nothing(client: Client) -> None:
    reader = client.token("read")
    assert reader.get(asked()).status == 200
    for method, path in (("POST", "/jobs/"), ("POST", "/jobs/17/"), ("PUT", "/jobs/17/")):
        answer = reader.send(method, path, begun())
        assert (answer.status, tuple(answer.body)) == (403, ("detail",))
    assert reader.send("PATCH", "/jobs/17/").status == 403
    assert client.get("/jobs/").body["count"] == 0


def test_a_token_for_an_account_sees_and_tells_of_no_other(client: Client, bank: Bank) -> None:
    insert(bank, Command("insert", "theirs", 100 * SU))
    client.put("/jobs/1/", ended("1"))
    client.put("/jobs/2/", ended("2", accountid="theirs"))
    theirs = client.token("jobs", ("theirs",))
    assert [one["jobslurmid"] for one in theirs.get("/jobs/").body["results"]] == ["2"]
    assert theirs.get("/jobs/1/").status == 404
    assert theirs.get(asked()).status == 403
    assert theirs.put("/jobs/1/", ended("1")).status == 403
    assert theirs.put("/jobs/1/", ended("1", accountid="theirs")).status == 400
    assert theirs.get("/users/").body["count"] == 0
    assert theirs.put("/jobs/3/", ended("3", accountid="theirs")).status == 200


def test_a_name_and_a_token_give_the_token(client: Client) -> None:
    assert client.authorization is not None
    token = client.authorization.removeprefix("Token ")
    client.authorization = None
    form = {"username": "plugins", "password": token}
    assert client.post("/api_token_auth/", form).body == {"token": token}
    for wrong in ({**form, "password": "x"}, {**form, "username": "other"}):
        answer = client.post("/api_token_auth/", wrong)
        assert (answer.status, tuple(answer.body)) == (400, ("non_field_errors",))
    answer = client.post("/api_token_auth/", {})
    assert (answer.status, sorted(answer.body)) == (400, ["password", "username"])


# Where


def test_it_is_the_same_under_api_and_without_a_slash(client: Client) -> None:
    assert client.post("/api/jobs/", begun()).status == 201
    for path in ("/jobs", "/jobs/17", "/api/jobs/17/", "/clusters/fake/jobs/17/"):
        assert client.get(path).status == 200
    assert client.get("/clusters/other/jobs/").status == 404


def test_of_several_clusters_the_address_names_one(client: Client, bank: Bank) -> None:
    del bank
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bank.store.meters.find_cluster_names", lambda _: {"fake", "other"})
        assert client.get("/jobs/").status == 404
        assert client.get("/clusters/fake/jobs/").status == 200


def test_what_the_books_cannot_do_is_said_as_503_without_paths(client: Client, bank: Bank) -> None:
    Path(bank.database.path).rename(f"{bank.database.path}.away")
    answer = client.get(asked())
    assert answer.status >= 500
    assert bank.database.path not in str(answer.body)
