"""The verbs that bring Slurm and the books together."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import counted, print_json, print_line
from bank.errors import BankError
from bank.ledger.amounts import format_su
from bank.ledger.names import listed
from bank.operations import dates, enforcement, looking, notices, releases
from bank.operations.bank import Bank
from bank.operations.enforcement import Outcome, Pass

# A command that brings Slurm up to date for one account holds the lock so long; a pass longer.
_OTHERS_TAKE_SECONDS = 3


def _enforce(bank: Bank, arguments: Arguments) -> int:
    outcome = enforcement.run_pass(
        bank, wait_seconds=_OTHERS_TAKE_SECONDS, dry_run=arguments.is_dry_run
    )
    if arguments.is_json:
        print_json(_outcome_for_programs(outcome, is_dry_run=arguments.is_dry_run))
    else:
        for done in outcome.passes:
            _print_pass(done, is_dry_run=arguments.is_dry_run)
        for note in outcome.notes:
            print_line(note)
    if not arguments.is_dry_run:
        notices.tell_all(bank)
    try:
        enforcement.require_done(bank, outcome)
    except BankError as error:
        if not arguments.is_json:
            raise
        # It stands in the answer, which is one document.
        return error.exit_status
    return 0


def _outcome_for_programs(outcome: Outcome, *, is_dry_run: bool) -> list[dict[str, Any]]:
    clusters = [_for_programs(done, is_dry_run=is_dry_run) for done in outcome.passes]
    for cluster in clusters[:1]:
        cluster["notes"] = [*outcome.notes, *cluster["notes"]]
    for failed in outcome.failures:
        error = {"code": failed.error.code, "message": str(failed.error)}
        clusters.append({"cluster": failed.cluster, "is_dry_run": is_dry_run, "error": error})
    return clusters


def _for_programs(done: Pass, *, is_dry_run: bool) -> dict[str, Any]:
    fields = done._asdict()
    of_users = fields.pop("users")._asdict()
    running = of_users.pop("running_on_held")
    users = {
        what: [{"account": account, "user": user} for account, user in whom]
        for what, whom in of_users.items()
    }
    return {
        "cluster": fields.pop("cluster"),
        "is_dry_run": is_dry_run,
        "charged_billing_seconds": fields.pop("charged"),
        **fields,
        "users": {**users, "running_on_held": running},
    }


def _print_pass(done: Pass, *, is_dry_run: bool) -> None:
    would = "would be " if is_dry_run else ""
    print_line(
        f"{done.cluster}: {counted(done.accounts, 'account')},"
        f" {format_su(done.charged)} SUs {would}charged,"
        f" {len(done.held_now)} {would}held now, {len(done.released)} {would}released,"
        f" {len(done.held)} held in all"
    )
    for what, names in (
        (f"{would}held now", done.held_now),
        (f"{would}released", done.released),
        (f"{would}given another limit", done.limited),
        ("held by others, left alone", done.held_by_others),
        ("in Slurm and not in the bank", done.unknown),
        ("in the bank and not in Slurm", done.gone),
    ):
        if names:
            print_line(f"{done.cluster}: {what}: {listed(names)}")
    for what, users in (
        (f"users {would}held now", done.users.held_now),
        (f"users {would}released", done.users.released),
        (f"users {would}given another limit", done.users.limited),
        ("users held by others, left alone", done.users.held_by_others),
    ):
        if users:
            whom = listed([f"{user} in {account}" for account, user in users])
            print_line(f"{done.cluster}: {what}: {whom}")
    for name, count in {**done.running_on_held, **done.users.running_on_held}.items():
        jobs = "job goes" if count == 1 else "jobs go"
        print_line(f"{done.cluster}: {name} is held; {count} {jobs} on running")
    for note in done.notes:
        print_line(f"{done.cluster}: {note}")


def _pass_over_account(bank: Bank, arguments: Arguments, *, is_date_asked: bool = False) -> Outcome:
    outcome = enforcement.run_pass(
        bank,
        only=arguments.account,
        wait_seconds=bank.settings.slurm_timeout_seconds,
        dry_run=arguments.is_dry_run,
        is_date_asked=is_date_asked,
    )
    if not arguments.is_dry_run:
        notices.tell_all(bank)
    return outcome


def _check(bank: Bank, arguments: Arguments) -> int:
    assert arguments.account is not None
    looking.balance(bank, arguments.account)
    outcome = _pass_over_account(bank, arguments)
    if arguments.is_json or not outcome.passes:
        enforcement.require_done(bank, outcome)
    (state,) = looking.balance(bank, arguments.account)
    _print_state(state, arguments)
    enforcement.require_done(bank, outcome)
    return 0


def _check_end(bank: Bank, arguments: Arguments) -> int:
    assert arguments.account is not None
    dates.describe(bank, arguments.account)
    outcome = _pass_over_account(bank, arguments, is_date_asked=True)
    if arguments.is_json:
        enforcement.require_done(bank, outcome)
    else:
        for note in outcome.notes:
            print_line(note)
    _print_period(dates.describe(bank, arguments.account), arguments)
    enforcement.require_done(bank, outcome)
    return 0


def _three_months(bank: Bank, arguments: Arguments) -> int:
    assert arguments.account is not None
    found = dates.three_months(bank, arguments.account, dry_run=arguments.is_dry_run)
    _print_period(found, arguments)
    if not arguments.is_dry_run:
        notices.tell_all(bank)
    return 0


def _print_period(period: dict[str, Any], arguments: Arguments) -> None:
    if arguments.is_json:
        print_json(period)
        return
    left = period["days_left"]
    days = "1 day" if abs(left) == 1 else f"{abs(left)} days"
    ends = f"ends on {period['period_ends_on']}, {f'in {days}' if left else 'today'}"
    if left < 0:
        ends = f"ended on {period['period_ends_on']}, {days} ago"
    without = "" if period["has_end"] else "; it has no limit to end with it"
    print_line(
        f"Account {period['account']}: its period began on {period['period_started_on']} and {ends}"
        f"{without}"
    )


def _release_hold(bank: Bank, arguments: Arguments) -> int:
    assert arguments.account is not None
    state = releases.release_hold(
        bank, arguments.account, reason=arguments.reason, dry_run=arguments.is_dry_run
    )
    _print_state(state, arguments)
    return 0


def _print_state(state: dict[str, Any], arguments: Arguments) -> None:
    if arguments.is_json:
        print_json(state)
        return
    if not state["is_open"]:
        print_line(f"Account {state['account']} is closed in the bank and not held by it")
        return
    limit = "unlimited" if state["limit_su"] is None else state["limit_su"]
    percent = "" if state["percent"] is None else f" ({state['percent']} %)"
    rehearsed = " (dry run: nothing was done)" if arguments.is_dry_run else ""
    print_line(
        f"Account {state['account']}: {state['used_su']} of {limit} SUs used{percent},"
        f" held: {state['held']}{rehearsed}"
    )


VERBS = {
    "enforce": _enforce,
    "check_service_units_limit": _check,
    "release_hold": _release_hold,
    "check_end_of_date_limit": _check_end,
    "three_month_check": _three_months,
}
