"""What a job would cost, before anybody submits it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from bank.api.answers import looked, refusals
from bank.api.models import Quote, QuoteRequest
from bank.errors import InputError, NotPermitted, Refusal, UsageError
from bank.http.callers import Asking
from bank.operations.bank import Bank, user_name
from bank.operations.quote import quote

# What stands for the script among the words of sbatch.
_SCRIPT = "script"

router = APIRouter(prefix="/v1/quote", tags=["quote"], responses=refusals(404, 409, 502, 504))


@router.post("", response_model=Quote)
async def ask_quote(request: Request, caller: Asking, asked: QuoteRequest) -> JSONResponse:
    """Say what a job costs at most, as this cluster's Slurm will count it."""
    found = await looked(request, caller, _quoted, asked, caller.uid)
    if not all(caller.sees(one["account"]) for one in found["accounts"]):
        raise NotPermitted(f"{caller.name} is not for the account that would pay")
    return JSONResponse(found)


def _quoted(bank: Bank, asked: QuoteRequest, uid: int | None) -> dict[str, Any]:
    """Ask Slurm as whom the job would be of: whoever is named, or whoever asks."""
    user = asked.user or (user_name(uid) if uid is not None else bank.actor)
    words = [*asked.arguments, *([] if asked.script is None else [_SCRIPT])]

    def script(name: str, directory: str | None) -> str:
        # No file of this machine is ever opened for somebody else.
        del directory
        if name != _SCRIPT or asked.script is None:
            raise InputError("give the text of the batch script under 'script'")
        return asked.script

    try:
        return quote(bank._replace(actor=user), words, {}, script)
    except (UsageError, InputError) as error:
        raise Refusal("not_a_job", str(error)) from error
