"""The verbs that only look."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import print_json, print_line, print_table
from bank.ledger.names import listed
from bank.operations import looking
from bank.operations.bank import Bank


def has_sus(state: dict[str, Any]) -> str:
    """Say what an account has, as the predecessor said it."""
    if state["limit_su"] is None:
        return f"Account {state['account']} has -1 SUs (unlimited)"
    return f"Account {state['account']} has {state['limit_su']} SUs"


def _get_sus(bank: Bank, arguments: Arguments) -> int:
    (state,) = looking.balance(bank, arguments.account)
    if arguments.is_json:
        print_json(
            {
                "account": state["account"],
                "limit_su": state["limit_su"],
                "limit_billing_seconds": state["limit_billing_seconds"],
            }
        )
    else:
        print_line(has_sus(state))
    return 0


_BALANCE = (
    "account",
    "limit_su",
    "used_su",
    "set_aside_su",
    "available_su",
    "percent",
    "held",
)
_WITH_CREDIT = (*_BALANCE[:2], "credit_su", *_BALANCE[2:])
_LIST = ("account", "limit_su", "used_su", "percent", "period_started_on", "held")
_ENDS = ("last_day", "days_left")
_CLUSTERS = ("cluster", "used_su", "set_aside_su", "held")
_USERS = ("user", "limit_su", "used_su", "left_su", "held")
_YES_NO = {True: "yes", False: "no"}
_HISTORY = (
    "at",
    "kind",
    "amount_su",
    "granted_su",
    "used_su",
    "user",
    "actor",
    "reason",
    "reference",
)


def _balance(bank: Bank, arguments: Arguments) -> int:
    states = looking.balance(bank, arguments.account)
    if arguments.is_json:
        print_json(states if arguments.account is None else states[0])
    else:
        has_credit = any(state["credit_billing_seconds"] for state in states)
        columns = _WITH_CREDIT if has_credit else _BALANCE
        print_table(columns, [_readable(state) for state in states])
        if arguments.account is not None and len(states[0]["clusters"]) > 1:
            rows = [{**row, "held": _YES_NO[row["is_held"]]} for row in states[0]["clusters"]]
            print_table(_CLUSTERS, rows)
        if arguments.account is not None and states[0]["users"]:
            print_table(_USERS, states[0]["users"])
    return 0


def _list(bank: Bank, arguments: Arguments) -> int:
    from bank.operations import finding

    states = finding.find(
        bank,
        is_held="--held" in arguments.flags,
        over=arguments.text("--over"),
        ending=arguments.text("--ending"),
        match=arguments.text("--match"),
    )
    if arguments.is_json:
        print_json(states)
    else:
        columns = (*_LIST, *_ENDS) if arguments.text("--ending") else _LIST
        print_table(columns, [_with_users(_readable(state)) for state in states])
    return 0


def _readable(state: dict[str, Any]) -> dict[str, Any]:
    if state["limit_su"] is not None:
        return state
    return {**state, "limit_su": "unlimited", "available_su": "unlimited"}


def _with_users(state: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the list that says which users of the account are held."""
    users = [user["user"] for user in state["users"] if user["is_held"]]
    return {**state, "held": f"{state['held']}; users: {listed(users)}"} if users else state


def _history(bank: Bank, arguments: Arguments) -> int:
    from bank.operations.history import history

    assert arguments.account is not None
    events = history(bank, arguments.account)
    if arguments.is_json:
        print_json(events)
    else:
        clusters = {event["cluster"] for event in events} - {None}
        where = ("cluster",) if len(clusters) > 1 else ()
        print_table((*_HISTORY, *where), events)
    return 0


_GRANTS = (
    *("grant", "state", "start", "end", "given_su", "used_su", "left_su"),
    *("carry_percent", "kind"),
)


def _grants(bank: Bank, arguments: Arguments) -> int:
    from bank.operations.shown_grants import grants

    assert arguments.account is not None
    found = grants(bank, arguments.account)
    if arguments.is_json:
        print_json(found)
    else:
        print_table(_GRANTS, found)
        print_line(
            f"days begin at midnight in {found[0]['zone']}; a grant lasts until before its end"
        )
    return 0


VERBS = {
    "get_sus": _get_sus,
    "balance": _balance,
    "list": _list,
    "history": _history,
    "grants": _grants,
}
