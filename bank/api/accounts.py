"""Accounts: where they stand, and what was booked."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from bank.api.answers import looked, refusals
from bank.api.models import NAME, Accounts, AccountState, Events, Statement
from bank.errors import InputError, NotPermitted, Refusal
from bank.http.callers import Asking, Caller
from bank.ledger.names import account_name
from bank.operations.history import history
from bank.operations.looking import balance
from bank.operations.statement import statement

_MOST_ENTRIES = 1000
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

router = APIRouter(prefix="/v1/accounts", tags=["accounts"], responses=refusals(404, 409))

Name = Annotated[str, Path(description="a Slurm account", pattern=NAME, examples=["physics"])]


@router.get("", response_model=Accounts)
async def list_accounts(request: Request, caller: Asking) -> JSONResponse:
    """Return where all open accounts stand that the caller may see."""
    found = await looked(request, caller, balance, None)
    return JSONResponse({"accounts": [one for one in found if caller.sees(one["account"])]})


@router.get("/{account}", response_model=AccountState)
async def show_account(request: Request, caller: Asking, account: Name) -> JSONResponse:
    """Return where one account stands."""
    (found,) = await looked(request, caller, balance, _seen(caller, account))
    return JSONResponse(found)


@router.get("/{account}/entries", response_model=Events)
async def list_entries(
    request: Request,
    caller: Asking,
    account: Name,
    after: Annotated[int, Query(ge=0, le=2**53, description="how many to pass over")] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_ENTRIES)] = 100,
) -> JSONResponse:
    """Return what happened to an account, oldest first; also to one that is closed."""
    found = await looked(request, caller, history, _seen(caller, account))
    rest = len(found) - after - limit
    return JSONResponse(
        {"entries": found[after : after + limit], "next": after + limit if rest > 0 else None}
    )


@router.get("/{account}/statement", response_model=Statement)
async def show_statement(
    request: Request,
    caller: Asking,
    account: Name,
    start: Annotated[
        str | None, Query(alias="from", pattern=_DAY, description="its first day")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", pattern=_DAY, description="the first that is not of it")
    ] = None,
    itemized: Annotated[bool, Query(description="each entry by itself, not sums")] = False,  # noqa: FBT002
) -> JSONResponse:
    """Return what an account had, what was booked, and what it has."""
    look = partial(statement, since=start, until=end, is_itemized=itemized)
    name = _seen(caller, account)
    try:
        return JSONResponse(await looked(request, caller, look, name))
    except InputError as error:
        raise Refusal("not_a_span", str(error)) from error


def _seen(caller: Caller, text: str) -> str:
    """Return the name of an account that the caller may see.

    Raises:
        InputError: it is no name.
        NotPermitted: it is that of another account, whether there is such a one or not.
    """
    name = account_name(text)
    if not caller.sees(name):
        raise NotPermitted(f"{caller.name} is not for this account")
    return name
