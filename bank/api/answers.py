"""What the bank's own routes answer: plain data as JSON, read where the caller may read it."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from bank.http.callers import Caller
from bank.http.door import door_of
from bank.http.problems import MEDIA_TYPE
from bank.operations.bank import Bank
from bank.operations.reader import as_published

_Model = TypeVar("_Model", bound=BaseModel)


class Problem(BaseModel):
    """Why something was refused (RFC 9457)."""

    type: str = Field(description="the code of the error, for programs", examples=["busy"])
    title: str
    status: int
    detail: str = Field(description="what was wrong, what is allowed, what to do")
    problems: list[str] = Field(
        default=[], description="everything that is wrong, where that is more than one thing"
    )


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route may be refused with, for its description; all share one shape."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": "refused", "content": content}
        for status in (400, 401, 403, 408, 413, 422, 500, 503, *statuses)
    }


def read_body(model: type[_Model], body: bytes) -> _Model:
    """Read a body of JSON.

    Raises:
        RequestValidationError: it is not as the model says.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in problems]
        ) from error


async def looked(
    request: Request,
    caller: Caller,
    look: Callable[..., Any],
    *arguments: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Look at the books as the caller may see them, beside the event loop.

    Args:
        request: what is answered.
        caller: who asks; ordinary users look at what is published for them.
        look: what to do, with the bank and the arguments.
        arguments: see `look`.

    Raises:
        NotPermitted: the caller may not see it.
        BankError: whatever `look` raises.
    """
    door = door_of(request)
    if caller.scope == "own" and caller.uid is not None:
        own = partial(_look_at_own, door.bank, caller.uid, look, *arguments)
        return await to_thread.run_sync(own, limiter=door.ordinary)
    caller.require("read")
    return await to_thread.run_sync(partial(look, door.bank, *arguments))


def _look_at_own(
    bank: Bank,
    uid: int,
    look: Callable[..., Any],
    *arguments: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    seen, _ = as_published(bank, uid)
    return look(seen, *arguments)
