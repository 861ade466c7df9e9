"""Liens: SUs set aside for jobs by programs that know of them before Slurm does."""

import hashlib
import re
import secrets
from functools import partial
from itertools import count
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from bank.api.answers import looked, read_body, refusals
from bank.api.models import NAME, LienRequest, Liens, LienState, Placed
from bank.errors import InputError, Refusal
from bank.http.callers import Asking, Caller, caller_of
from bank.http.door import door_of
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU, format_known_su, format_su
from bank.ledger.names import account_name, user_name
from bank.operations import liens as acts
from bank.operations.liens import Answer, Ending, Wanted
from bank.operations.shown_liens import describe_lien, show_lien, show_liens

_MICROSECONDS = 1_000_000
# No secret, but like no other ever. One from the system's source each time would take longer than
# all else here, because the other threads have their turn meanwhile.
_PROCESS = secrets.token_hex(16)
_NUMBERS = count(1)
_HOW = {"settle": "settled", "void": "voided"}

_KEY = re.compile(r"[!-~]{1,255}")
_PLACING: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": LienRequest.model_json_schema()}},
    },
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "description": "a name for this request: given again, it is answered, not done again",
            "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
        }
    ],
    "security": [{"HTTPBearer": []}],
}

router = APIRouter(prefix="/v1/liens", tags=["liens"], responses=refusals(404, 409))

Token = Annotated[
    str, Path(description="what finds the lien again", pattern=r"^[A-Za-z0-9_-]{8,64}$")
]


@router.post("", response_model=Placed, openapi_extra=_PLACING)
async def place_lien(request: Request) -> JSONResponse:
    """Set SUs aside for a job, where its account and all above it can pay for it."""
    caller = caller_of(request)
    asked = read_body(LienRequest, await request.body())
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise InputError("Idempotency-Key takes 1 to 255 printable ASCII characters, no blanks")
    wanted = _wanted(request, caller, asked, key)
    caller.require("jobs", wanted.account)
    answer = await door_of(request).commits.do(acts.place, wanted, caller.name)
    assert isinstance(answer, Answer)
    if answer.is_repeat and answer.lien and answer.lien.cost_of_one != wanted.cost_of_one:
        raise Refusal(
            "idempotency_key_reused",
            f"this key was used for {format_su(answer.lien.cost_of_one)} SUs: a new request needs a"
            " new key",
        )
    return JSONResponse(
        {
            "lien": None if answer.lien is None else describe_lien(answer.lien),
            "account": answer.account,
            "cost_su": format_su(answer.cost),
            "cost_billing_seconds": answer.cost,
            "available_su": format_known_su(answer.means.available if answer.means else None),
            "is_repeat": answer.is_repeat,
        }
    )


# What is asked thousands of times a second is answered without FastAPI, which takes half the time.
HOT_ROUTES = (Route(router.prefix, place_lien, methods=["POST"]),)


def _wanted(request: Request, caller: Caller, asked: LienRequest, key: str | None) -> Wanted:
    cost_of_one = _at_most(asked.cost_su)
    at_once = min(asked.at_once or asked.tasks, asked.tasks)
    if cost_of_one * at_once >= MAX_SU * BILLING_SECONDS_PER_SU:
        raise Refusal(
            "too_much", f"all tasks together may cost less than {MAX_SU:,} SUs: ask for fewer"
        )
    now = door_of(request).bank.clock()
    return Wanted(
        cluster=asked.cluster,
        account=account_name(asked.account),
        user=user_name(asked.user),
        token=_token(caller, key),
        cost_of_one=cost_of_one,
        tasks=asked.tasks,
        at_once=at_once,
        job_id=asked.job,
        is_array=asked.is_array and asked.job is not None,
        expires_at=now + asked.expires_in_seconds * _MICROSECONDS if asked.job is None else None,
        placed_by="api",
        actor=caller.name,
        reason=asked.reason,
    )


def _at_most(su: str) -> int:
    """Return as billing-seconds, rounded up, an amount of SUs with at most four decimals."""
    whole, _, decimals = su.partition(".")
    return -(int(whole + decimals.ljust(4, "0")) * -BILLING_SECONDS_PER_SU // 10_000)


def _token(caller: Caller, key: str | None) -> str:
    """Return the lien's token: of a key always the same, and never that of another caller's."""
    if key is None:
        return f"{_PROCESS}-{next(_NUMBERS)}"
    return hashlib.sha256(f"{caller.name}\0{key}".encode()).hexdigest()[:48]


@router.get("", response_model=Liens)
async def list_liens(
    request: Request,
    caller: Asking,
    account: Annotated[str | None, Query(pattern=NAME)] = None,
    ended: Annotated[bool, Query(description="the newest, also those that ended")] = False,  # noqa: FBT002
) -> JSONResponse:
    """Return the liens that are open, oldest first, or the newest of all, newest first."""
    name = None if account is None else account_name(account)
    caller.require("read", name)
    found = await looked(request, caller, partial(show_liens, with_ended=ended))
    return JSONResponse(
        {
            "liens": [
                one
                for one in found
                if caller.sees(one["account"]) and name in (None, one["account"])
            ]
        }
    )


@router.get("/{token}", response_model=LienState)
async def get_lien(request: Request, caller: Asking, token: Token) -> JSONResponse:
    """Return one lien, open or ended."""
    return JSONResponse(await _own(request, caller, token))


async def _own(request: Request, caller: Caller, token: str) -> dict[str, Any]:
    """Return a lien that the caller may see; another is not there."""
    caller.require("read")
    found: dict[str, Any] = await looked(request, caller, show_lien, token)
    if not caller.sees(found["account"]):
        raise Refusal("no_such_lien", f"there is no lien {token!r}")
    return found


@router.post("/{token}/{how}", response_model=LienState)
async def end_lien(
    request: Request, caller: Asking, token: Token, how: Literal["settle", "void"]
) -> JSONResponse:
    """Set nothing aside any more: the job was charged (settle), or there is nothing to charge.

    It moves no SUs: what a job costs is charged from what slurmdbd knows of it.
    """
    caller.require("jobs")
    await _own(request, caller, token)
    ending = Ending(token, _HOW[how], caller.name)
    answer = await door_of(request).commits.do(acts.end, ending, caller.name)
    assert isinstance(answer, Answer)
    assert answer.lien is not None
    return JSONResponse(describe_lien(answer.lien))
