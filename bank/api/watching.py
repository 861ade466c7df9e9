"""What those ask who watch the service: does it live, is it ready, what does it count."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from starlette.requests import Request

from bank.api.answers import refusals
from bank.errors import BankError, NotKnown
from bank.http.callers import caller_of
from bank.http.door import door_of
from bank.http.problems import problem
from bank.operations.readiness import refuse_unusable

router = APIRouter(tags=["watching"])


@router.get("/health", response_class=PlainTextResponse)
async def health() -> PlainTextResponse:
    """Say that the process lives."""
    return PlainTextResponse("alive\n")


@router.get("/ready", response_class=PlainTextResponse, responses=refusals())
async def ready(request: Request) -> Response:
    """Say whether it can do its work: the books, the committing thread, looks at Slurm."""
    door = door_of(request)
    wrong = [one for one in (is_wrong() for is_wrong in door.readiness.values()) if one]
    if not door.commits.is_alive:
        wrong.append("the committing thread has ended")
    try:
        await asyncio.to_thread(refuse_unusable, door.bank)
    except BankError as error:
        door.bank.warn(f"not ready: {error}")
        wrong.append("the books cannot be used")
    if wrong:
        # Why is for those who run it: it names files and commands.
        detail = "; ".join(wrong) if _runs_it(request) else "its log says why, to those who run it"
        return problem(503, "not_ready", detail)
    return PlainTextResponse("ready\n")


def _runs_it(request: Request) -> bool:
    try:
        return caller_of(request).scope == "all"
    except NotKnown:
        return False
