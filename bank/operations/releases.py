"""Releasing: letting an account go by hand."""

from typing import Any

from bank.errors import BankError, Refusal
from bank.operations.bank import Bank
from bank.operations.enforcement import enforce
from bank.operations.files import log
from bank.operations.looking import describe
from bank.operations.named import no_such_account
from bank.policy.periods import is_held_for
from bank.store import accounts, limits
from bank.store.connect import reading, writing

_STOPS = "GrpTRES,GrpTRESMins,GrpTRESRunMins,GrpJobs,GrpSubmitJobs"


def release_hold(bank: Bank, name: str, *, reason: str, dry_run: bool) -> dict[str, Any]:
    """Release an account from the bank's hold, where it has something left.

    Returns:
        Where it stands afterwards, see `looking.describe`.

    Raises:
        Refusal: it has nothing left, its period is over, others hold it, or the bank neither has
            nor holds it.
        SlurmError: Slurm did not answer; it is released by the next pass.
    """
    with reading(bank.database) as reader:
        account = accounts.find(reader, name)
        ours = limits.find_account_limits(reader, name)
        is_held = any(limit.is_hold and not limit.user for limit in ours)
    if not is_held and (account is None or not account.is_open):
        raise no_such_account(name)
    hold_reason = account.hold_reason if account is not None else None
    if account is not None and account.is_open and is_held_for(hold_reason):
        # The pass below lets it go where its period is not over any more.
        hold_reason = None
    if hold_reason is not None and not dry_run:
        with writing(bank.database) as writer:
            changes: dict[str, str | int | bool | None] = {"hold_reason": None}
            now = bank.clock()
            accounts.change(writer, name, changes, actor=bank.actor, reason=reason, now=now)
        log(bank, "release_hold", account=name, reason=reason)
    try:
        passes = enforce(
            bank, only=name, wait_seconds=bank.settings.slurm_timeout_seconds, dry_run=dry_run
        )
    except BankError:
        if hold_reason is not None and not dry_run:
            bank.warn(f"the hold by hand of {name} is lifted in the books; the next pass does it")
        raise
    with reading(bank.database) as reader:
        state = describe(bank, reader, name)
        account = accounts.find(reader, name)
    if any(name in done.held for done in passes) and not (dry_run and hold_reason):
        if not state["is_open"]:
            raise Refusal(
                "unknown_account",
                f"Account {name} stays held because the bank does not have it: insert it, or change"
                " UNKNOWN_ACCOUNTS in the settings",
            )
        lifted = "the hold by hand is lifted, but " if hold_reason is not None else ""
        if account is not None and is_held_for(account.hold_reason):
            raise Refusal(
                "period_ended",
                f"Account {name} stays held: {lifted}{account.hold_reason}; 'modify' and"
                " 'reset_usage' start a new one",
            )
        raise Refusal(
            "nothing_left",
            f"Account {name} stays held: {lifted}of {state['limit_su']} SUs {state['used_su']} are"
            " used and nothing is left; add SUs and it is released by itself",
        )
    if any(name in done.held_by_others for done in passes):
        raise Refusal(
            "held_by_others",
            f"Account {name} is held by a limit of 0 that the bank did not set:"
            f" 'sacctmgr show assoc where account={name} user= format=cluster,{_STOPS}' shows it;"
            " whoever set it can lift it by setting it to -1",
        )
    return state
