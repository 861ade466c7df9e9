"""The myBRC interface: what today's banking plugins and scripts for Slurm send and read.

Plain routes, because what they take and answer was fixed by others: docs/mybrc.md says what it is,
and where this differs on purpose.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from bank.errors import BankError, InputError, NotKnown, Refusal
from bank.http.callers import caller_of
from bank.http.door import door_of
from bank.http.problems import RETRY_SECONDS, status_of, told
from bank.operations import mybrc_questions as questions
from bank.operations.mybrc_jobs import BEGIN, BEGIN_WITHIN, CHANGE, Telling, tell
from bank.operations.mybrc_questions import Known, Listed
from bank.policy import mybrc_fields
from bank.policy.mybrc_fields import NO_FIELD, Problems, Report
from bank.policy.mybrc_lists import UserFilters, read_filters, shown

Answer = Callable[[Request], Awaitable[Response]]

_FORM = "application/x-www-form-urlencoded"
_MEDIA_TYPES = ("", "application/json", _FORM)
_MOST_FORM_FIELDS = 100
# Of what is refused, the field that it is said of.
_FIELD_OF = {
    "job_exists": "jobslurmid",
    "other_user": "userid",
    "other_account": "accountid",
    "insufficient_funds": NO_FIELD,
}


def _problems(problems: Problems | list[str]) -> Response:
    return JSONResponse(problems, 400)


def _detail(status: int, text: str) -> Response:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Token"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": str(RETRY_SECONDS)}
    return JSONResponse({"detail": text}, status, headers)


def _refused(request: Request, error: BankError) -> Response:
    """Return an error in the shapes that clients of myBRC read."""
    door_of(request).counts.refusals.labels(error.code).inc()
    if isinstance(error, Refusal) and error.code in _FIELD_OF:
        return _problems({_FIELD_OF[error.code]: [str(error)]})
    return _detail(status_of(error), told(error))


def _by_method(**answers: Answer) -> Answer:
    """Return what answers each method, and the others with what there is."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in answers:
            response = _detail(405, f"{request.method} is not there; there is {', '.join(answers)}")
            response.headers["Allow"] = ", ".join(answers)
            return response
        try:
            return await answers[method](request)
        except BankError as error:
            return _refused(request, error)

    return answer


async def _cluster(request: Request) -> str:
    named = request.path_params.get("cluster")
    return await asyncio.to_thread(questions.the_cluster, door_of(request).bank, named)


async def _can_submit(request: Request) -> Response:
    caller = caller_of(request)
    parts = request.path_params["question"].removesuffix("/").split("/")
    if len(parts) != len(("cost", "uid", "account")):
        return _detail(404, "it goes /can_submit_job/COST/UID/ACCOUNT/")
    cost, uid, account = parts
    caller.require("read", account)
    cluster, door = await _cluster(request), door_of(request)
    try:
        verdict = await asyncio.to_thread(
            questions.can_submit, door.bank, door.shape, cluster, cost, uid, account
        )
    except InputError as error:
        return JSONResponse({"success": False, "message": str(error)}, 400)
    return JSONResponse(verdict._asdict())


async def _list_jobs(request: Request) -> Response:
    caller = caller_of(request)
    caller.require("read")
    cluster = await _cluster(request)
    filters = read_filters(request.query_params, cluster, sorted(caller.accounts))
    if isinstance(filters, list):
        return _problems(filters)
    page = request.query_params.get("page")
    bank = door_of(request).bank
    return _page(request, await asyncio.to_thread(questions.list_jobs, bank, filters, page))


def _page(request: Request, listed: Listed) -> Response:
    def address(number: int | None) -> str | None:
        return None if number is None else str(request.url.include_query_params(page=number))

    return JSONResponse(
        {
            "count": listed.total,
            "next": address(listed.page.after),
            "previous": address(listed.page.before),
            "results": listed.rows,
            **listed.totals,
        }
    )


def _job_key(request: Request) -> str:
    """Return the id in an address, with or without a slash at its end.

    Raises:
        Refusal: no job can have it.
    """
    text = str(request.path_params["job_key"]).removesuffix("/")
    if re.fullmatch(mybrc_fields.JOB_KEY, text) is None:
        raise Refusal("no_such_job", "there is no such job")
    return text


async def _find_job(request: Request) -> Response:
    caller = caller_of(request)
    caller.require("read")
    cluster, bank = await _cluster(request), door_of(request).bank
    job_key = _job_key(request)
    job = await asyncio.to_thread(questions.find_job, bank, cluster, job_key)
    if not caller.sees(job.account):
        # Nor is it told that there is one.
        return _detail(404, "there is no such job")
    return JSONResponse(shown(job))


async def _begin(request: Request) -> Response:
    return await _tell(request, BEGIN)


async def _begin_within(request: Request) -> Response:
    return await _tell(request, BEGIN_WITHIN)


async def _change(request: Request) -> Response:
    return await _tell(request, CHANGE)


async def _tell(request: Request, how: str) -> Response:
    caller = caller_of(request)
    caller.require("jobs")
    body = await _body(request)
    if isinstance(body, Response):
        return body
    job_key = None if how == BEGIN else _job_key(request)
    if job_key is not None and how == BEGIN_WITHIN:
        body = {"jobslurmid": job_key, **body}
    report = mybrc_fields.read(body, job_key)
    if not isinstance(report, Report):
        return _problems(report)
    caller.require("jobs", report.account)
    cluster, door = await _cluster(request), door_of(request)
    known = Known(door.shape, cluster)
    user = await asyncio.to_thread(known.user, report.uid)
    if how != CHANGE:
        problems = _why_not_begun(known, report, user)
        if problems:
            return _problems(problems)
    # What has run is charged, though nobody knows any more whose number that is.
    telling = Telling(how, cluster, user or str(report.uid), report, caller.name)
    taken = await door.commits.do(tell, telling, caller.name)
    return JSONResponse(shown(taken.job), 200 if how == CHANGE else 201)


def _why_not_begun(known: Known, report: Report, user: str | None) -> Problems:
    """Return why a user's job may not begin for an account, whatever that can pay."""
    if user is None:
        return {"userid": [f"this machine knows no user {report.uid}"]}
    if not known.is_member(report.account, user):
        return {NO_FIELD: [f"user {user} is not in account {report.account}"]}
    return {}


async def _body(request: Request) -> Mapping[str, Any] | Response:
    """Read the body of a request: JSON, or a form as older scripts send it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        return _detail(415, f"a body is application/json or {_FORM}")
    try:
        text = (await request.body()).decode()
        if media_type == _FORM:
            form = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS)
            # It cannot say a list of objects: what scripts send as nodes is none.
            return {name: value for name, value in form if name != "nodes"}
        body = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        return _detail(400, "the body cannot be read")
    if not isinstance(body, dict):
        return _problems({NO_FIELD: ["the body is an object with the fields of a job"]})
    return body


def _no_number(name: str) -> None:
    raise ValueError(name)


async def _not_changed(request: Request) -> Response:
    caller_of(request).require("jobs")
    _job_key(request)
    # Clients get this answer with 200, and read the word.
    return JSONResponse({"failure": "PATCH changes nothing: send all of the job with PUT"})


async def _list_users(request: Request) -> Response:
    caller = caller_of(request)
    caller.require("read")
    cluster, shape = await _cluster(request), door_of(request).shape
    wanted = UserFilters(cluster, sorted(caller.accounts), request.query_params.getlist("username"))
    page = request.query_params.get("page")
    return _page(request, questions.list_users(shape, wanted, page))


async def _list_partitions(request: Request) -> Response:
    caller_of(request).require("read")
    cluster, shape = await _cluster(request), door_of(request).shape
    page = request.query_params.get("page")
    return _page(request, questions.list_partitions(shape, cluster, page))


async def _log_in(request: Request) -> Response:
    """Give back the token that stands in the place of the password, where it is good."""
    body = await _body(request)
    if isinstance(body, Response):
        return body
    missing = {
        name: ["this field is needed"] for name in ("username", "password") if not body.get(name)
    }
    if missing:
        return _problems(missing)
    try:
        token = door_of(request).known.token(str(body["password"]))
    except NotKnown:
        token = None
    if token is None or token.name != body["username"]:
        text = "no such token: the user name is a token's, and the password is the token"
        return _problems({NO_FIELD: [text]})
    return JSONResponse({"token": body["password"]})


@cache
def _description() -> bytes:
    return (Path(__file__).parent / "mybrc_swagger.json").read_bytes()


async def _describe(request: Request) -> Response:
    del request
    return Response(_description(), media_type="application/json")


_ROUTES: tuple[tuple[str, Answer], ...] = (
    ("/can_submit_job/{question:path}", _by_method(GET=_can_submit)),
    ("/jobs", _by_method(GET=_list_jobs, POST=_begin)),
    (
        "/jobs/{job_key:path}",
        _by_method(GET=_find_job, POST=_begin_within, PUT=_change, PATCH=_not_changed),
    ),
    ("/users", _by_method(GET=_list_users)),
    ("/partitions", _by_method(GET=_list_partitions)),
    ("/api_token_auth", _by_method(POST=_log_in)),
    ("/swagger.json", _by_method(GET=_describe)),
)
# All that a server lets through: what is not there is said here, in the words of this interface.
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


def _routes() -> list[BaseRoute]:
    # With a slash at the end, as clients send them, and without, as some scripts do.
    return [
        Route(f"{path}{end}", answer, methods=_METHODS, include_in_schema=False)
        for path, answer in _ROUTES
        for end in (("",) if path.endswith(":path}") else ("", "/"))
    ]


ROUTES: tuple[BaseRoute, ...] = (
    *_routes(),
    Mount("/api", routes=_routes()),
    Mount("/clusters/{cluster}", routes=_routes()),
)
