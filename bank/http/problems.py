"""What a refusal looks like over HTTP: one shape, whatever went wrong.

Source:
    RFC 9457; its `type` is the code of the error, as the command line and the log have it.
"""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bank.errors import (
    BankError,
    Busy,
    InputError,
    NotKnown,
    NotPermitted,
    Refusal,
    SlurmError,
    SlurmTimedOut,
    StoreError,
    UsageError,
)
from bank.http.door import door_of

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1

# The first that fits; all others are 500.
_STATUS: tuple[tuple[type[BankError], int], ...] = (
    (UsageError, 400),
    (InputError, 422),
    (Refusal, 409),
    (NotKnown, 401),
    (NotPermitted, 403),
    (Busy, 503),
    (StoreError, 503),
    (SlurmTimedOut, 504),
    (SlurmError, 502),
)
_NOT_FOUND = "no_such_"
# What it says is for the admin: paths, commands, what a row holds.
_NOT_FOR_CALLERS = "the bank cannot do this now; whoever runs it finds in its log why"
_CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "no_such_method",
    408: "too_slow",
    413: "too_large",
}
_log = logging.getLogger("slurm_bank")


def status_of(error: BankError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, Refusal) and error.code.startswith(_NOT_FOUND):
        return 404
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def told(error: BankError) -> str:
    """Return what callers are told of an error; what is for the admin goes to the log instead."""
    if status_of(error) < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, Busy):
        return str(error)
    _log.error("%s (%s)", error, error.code)
    return _NOT_FOR_CALLERS


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    problems: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a refusal as an answer."""
    said: dict[str, Any] = {
        "type": code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if problems:
        said["problems"] = problems
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": str(RETRY_SECONDS), **(headers or {})}
    if status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": 'Bearer realm="slurm_bank"', **(headers or {})}
    return Response(json.dumps(said), status, headers, MEDIA_TYPE)


def of_error(error: BankError) -> Response:
    """Return an error of the bank as an answer."""
    problems = list(error.problems) if isinstance(error, InputError) else None
    return problem(status_of(error), error.code, told(error), problems=problems)


async def _bank_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BankError)
    door_of(request).counts.refusals.labels(error.code).inc()
    return of_error(error)


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    door_of(request).counts.refusals.labels(InputError.code).inc()
    problems = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return problem(422, InputError.code, "the request is not as it should be", problems=problems)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "refused")
    door_of(request).counts.refusals.labels(code).inc()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request, headers.get("Allow", ""))
    return problem(error.status_code, code, str(error.detail), headers=headers)


def _allowed(request: Request, by_route: str) -> str:
    """Return what may be asked of a path, by all the routes that share it."""
    path = getattr(request.scope.get("route"), "path", request.scope["path"])
    described = request.app.openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in described)) or by_route


async def _fault(request: Request, error: Exception) -> Response:
    del error
    door_of(request).counts.refusals.labels("fault").inc()
    # The server writes the traceback to standard error.
    return problem(500, "fault", _NOT_FOR_CALLERS)


def handle(app: FastAPI) -> None:
    """Let an application answer whatever goes wrong in one shape, and count it."""
    app.add_exception_handler(BankError, _bank_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
