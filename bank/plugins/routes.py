"""The routes that the controller's hooks ask: plain ones, because it waits for them."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bank.errors import BankError, InputError, NotPermitted
from bank.http.callers import caller_of
from bank.http.door import Door, door_of
from bank.operations import hook_starts, hook_submits, liens
from bank.operations.hook_answers import UNKNOWN, Said, said_of

Question = Mapping[str, Any]


def _answering(
    hook: str, answer: Callable[[Door, Question], Awaitable[Said]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return a route that answers one hook: three lines, whatever went wrong."""

    async def route(request: Request) -> Response:
        door = door_of(request)
        _require_controller(request)
        question = _question(await request.body())
        _count_unasked(door, hook, question)
        try:
            said = await answer(door, question)
        except BankError as error:
            said = said_of(error)
            if said.decision == UNKNOWN:
                door.bank.warn(f"{hook}: {said.message}")
        door.counts.hook_decisions.labels(hook, said.decision).inc()
        return PlainTextResponse(said.text())

    return route


def _require_controller(request: Request) -> None:
    """Let only root, SlurmUser and who runs the bank ask, and only on this machine.

    Raises:
        NotPermitted: it is somebody else.
    """
    caller = caller_of(request)
    caller.require("hooks")
    if caller.uid is None:
        raise NotPermitted("hooks ask over the socket of this machine only")


def _question(body: bytes) -> Question:
    """Read a question.

    Raises:
        InputError: it is none.
    """
    try:
        found = json.loads(body.decode(errors="replace"))
    except ValueError as error:
        raise InputError(f"the question is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("the question is not a JSON object")
    return found


def _object(question: Question, name: str) -> Question:
    found = question.get(name)
    if not isinstance(found, dict):
        raise InputError(f"the question has no {name!r}")
    return found


def _count_unasked(door: Door, hook: str, question: Question) -> None:
    """Count what was decided without the bank since it last answered."""
    for name in ("let_through", "refused"):
        count = question.get(name)
        if type(count) is int and count > 0:
            door.counts.hook_decisions.labels(hook, f"{name}_without_the_bank").inc(count)


async def _submit(door: Door, question: Question) -> Said:
    told = _object(question, "job")
    loop, asked = asyncio.get_running_loop(), door.submissions
    if door.bank.settings.lien_at == "start":
        return await loop.run_in_executor(asked.thread, asked.submitted, told)
    wanted = await loop.run_in_executor(asked.thread, asked.price, told)
    answer = await door.commits.do(liens.place, wanted, wanted.actor)
    return hook_submits.said(door.bank, answer)


async def _modify(door: Door, question: Question) -> Said:
    change, record = _object(question, "job"), _object(question, "record")
    loop, asked = asyncio.get_running_loop(), door.submissions
    return await loop.run_in_executor(asked.thread, asked.modified, change, record)


async def _start(door: Door, question: Question) -> Said:
    starting = await asyncio.to_thread(hook_starts.look, door.bank, door.shape, question)
    said = await door.commits.do(hook_starts.admit, starting, starting.actor)
    assert isinstance(said, Said)
    return said


ROUTES = tuple(
    Route(f"/v1/hooks/{hook}", _answering(hook, answer), methods=["POST"])
    for hook, answer in (("submit", _submit), ("modify", _modify), ("start", _start))
)


async def keep_shape(door: Door) -> None:
    """Keep what the cluster has up to date, in a thread that nothing waits for at the end."""
    door.readiness["shape"] = door.shape.problem
    threading.Thread(target=door.shape.keep, name="shape", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        door.shape.stop()
