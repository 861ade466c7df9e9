"""The verbs that tell of a span of time: statement, usage, forecast."""

from collections.abc import Sequence
from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import (
    NUMBERS,
    can_print,
    print_json,
    print_line,
    print_table,
    print_text,
    terminal_width,
)
from bank.errors import UsageError
from bank.operations.bank import Bank

_GROUPS = ("when", "kind", "account", "user", "entries", "granted_su", "used_su", "left_su")
_ENTRIES = (
    *("at", "kind", "account", "user", "amount_su", "granted_su", "used_su", "left_su"),
    *("cluster", "grant", "actor", "reason", "reference"),
)
# What is left out where no line has it.
_WHERE_KNOWN = ("account", "user", "cluster", "grant", "reason", "reference")
_CHART_LINES = 10
_CHART_WIDTH = 80
_BLOCK = "█"


def _statement(bank: Bank, arguments: Arguments) -> int:
    from bank.operations import statement

    assert arguments.account is not None
    is_csv, is_html = "--csv" in arguments.flags, "--html" in arguments.flags
    if arguments.is_json + is_csv + is_html > 1:
        raise UsageError("statement takes one of --json, --csv and --html")
    found = statement.statement(
        bank,
        arguments.account,
        since=arguments.text("--from"),
        until=arguments.text("--to"),
        is_itemized="--itemized" in arguments.flags or is_csv,
    )
    if arguments.is_json:
        print_json(found)
        return 0
    if is_csv:
        print_text(statement.as_csv(found))
        return 0
    columns, rows = _lines(found)
    if is_html:
        from bank.cli.statement_html import page

        print_text(page(found, columns, rows, NUMBERS))
        return 0
    print_line(f"Statement of {found['account']} {_when(found)}")
    print_table(columns, rows)
    closing = found["closing"]
    if "set_aside_su" in closing:
        has_credit = closing["credit_billing_seconds"]
        credit = f"credit: {_sus(closing['credit_su'])}; " if has_credit else ""
        print_line(
            f"{credit}set aside for running jobs: {_sus(closing['set_aside_su'])};"
            f" available: {_sus(closing['available_su'])}"
        )
    for note in found["notes"]:
        print_line(f"note: {note}")
    return 0


def _when(found: dict[str, Any]) -> str:
    return f"from {found['start']} until before {found['end']} ({found['zone']})"


def _lines(found: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and the rows of a statement, the two balances among them."""
    names = _ENTRIES if "entries" in found else _GROUPS
    booked = found["entries"] if "entries" in found else found["groups"]
    columns = [
        name for name in names if name not in _WHERE_KNOWN or any(row[name] for row in booked)
    ]
    first, last = _balance(found, "opening", names), _balance(found, "closing", names)
    when = names[0]
    return columns, [{**first, when: found["start_at"]}, *booked, {**last, when: found["end_at"]}]


def _balance(found: dict[str, Any], which: str, names: Sequence[str]) -> dict[str, Any]:
    balance = found[which]
    return {
        **dict.fromkeys(names),
        "kind": f"{which} balance",
        "granted_su": balance["granted_su"],
        "used_su": balance["used_su"],
        "left_su": "unlimited" if balance["left_su"] is None else balance["left_su"],
    }


def _sus(amount: str | None) -> str:
    return "unlimited" if amount is None else f"{amount} SUs"


def _usage(bank: Bank, arguments: Arguments) -> int:
    from bank.operations import usage

    found = usage.usage(
        bank,
        arguments.account,
        by=arguments.text("--by"),
        since=arguments.text("--from"),
        until=arguments.text("--to"),
    )
    if arguments.is_json:
        print_json(found)
        return 0
    whose = f"Account {found['account']}" if found["account"] else "All accounts"
    print_line(f"{whose} {_when(found)}")
    by = found["by"]
    columns = [by, "charged_su", "refunded_su", "used_su", "percent"]
    total = {by: "total", **found["total"]}
    if by == "partition":
        # A partition may have any name, so why something is of none stands in a column of its own.
        columns.append("because")
    lines = [*found["rows"], *found["rest"], total]
    print_table(columns, [{**dict.fromkeys(columns), **line} for line in lines])
    return 0


_RATES = ("days", "expected_su", "least_su", "most_su")
_FORECASTS = ("account", "left_su", "su_a_day", "runs_out", "earliest", "latest", "remark")


def _forecast(bank: Bank, arguments: Arguments) -> int:
    from bank.operations import forecast

    if arguments.account is None:
        if "--chart" in arguments.flags:
            raise UsageError("forecast takes --chart with an account")
        every = forecast.forecasts(bank)
        if arguments.is_json:
            print_json(every)
        else:
            print_table(_FORECASTS, [_in_a_line(found) for found in every])
        return 0
    found = forecast.forecast(bank, arguments.account)
    if arguments.is_json:
        print_json(found)
        return 0
    left = _sus(found["left_su"])
    print_line(f"Account {found['account']} at {found['at']}: left {left}")
    rates = _different(found["rates"])
    if rates:
        print_line("SUs a day, on the average of the last days:")
        print_table(_RATES, rates)
    for line in _sentences(found):
        print_line(line)
    width = terminal_width() or (_CHART_WIDTH if "--chart" in arguments.flags else 0)
    if width and found["ahead"]:
        for line in _chart(found, width):
            print_line(line)
    return 0


def _different(rates: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rates that are known; of those that are the average of the same days one."""
    return list({rate["days"]: rate for rate in rates if rate["days"] is not None}.values())


def _in_a_line(found: dict[str, Any]) -> dict[str, Any]:
    run_out = found["run_out"] or {}
    unused = [f"{one['unused']['expected_su']} before {one['end']}" for one in found["grants"]]
    remarks = [found["why"], *(f"expires unused: {what}" for what in unused)]
    return {
        "account": found["account"],
        "left_su": "unlimited" if found["left_su"] is None else found["left_su"],
        "su_a_day": found["rates"][-1]["expected_su"],
        "runs_out": _day(run_out, "expected"),
        "earliest": _day(run_out, "earliest"),
        "latest": _day(run_out, "latest"),
        "remark": "; ".join(remark for remark in remarks if remark),
    }


def _day(run_out: dict[str, str | None], which: str) -> str | None:
    return (run_out[which] or "never") if run_out else None


def _sentences(found: dict[str, Any]) -> list[str]:
    """Return what a forecast says, a line each."""
    said = []
    if found["why"]:
        said.append(found["why"])
    run_out = found["run_out"]
    if run_out is not None:
        days = f"between {_day(run_out, 'earliest')} and {_day(run_out, 'latest')}"
        said.append(f"runs out: {_day(run_out, 'expected')} ({days})")
    said += [
        f"grant {grant['grant']} ({grant['kind']}) is until before {grant['end']}:"
        f" {_range(grant['unused'])} will expire unused"
        for grant in found["grants"]
    ]
    if found["period"] is not None:
        said.append(
            f"the period ends with {found['period']['last_day']}:"
            f" {_range(found['period']['left'])} will be left then"
        )
    return said


def _range(amounts: dict[str, str]) -> str:
    expected, least, most = (amounts[f"{what}_su"] for what in ("expected", "least", "most"))
    return f"{_sus(expected)} ({least} to {most})"


def _chart(found: dict[str, Any], width: int) -> list[str]:
    from bank.cli.chart import Point, Text, drawn, legend
    from bank.operations.days import day_of

    amounts = ("least_billing_seconds", "expected_billing_seconds", "most_billing_seconds")
    past = [
        Point(one["at_seconds"], *(one["left_billing_seconds"] for _ in amounts))
        for one in found["past"]
    ]
    ahead = [Point(one["at_seconds"], *(one[name] for name in amounts)) for one in found["ahead"]]
    points = [*past, *ahead]
    edges = (points[0], ahead[0], points[-1])
    start, now, end = (day_of(one.at * 1_000_000).isoformat() for one in edges)
    is_ascii = not can_print(_BLOCK)
    # What can be had is highest at the lowest rate.
    highest = max((*found["past"], *found["ahead"]), key=_height)
    top = highest.get("left_su") or highest["most_su"]
    text = Text(top, start, now, end)
    lines = drawn(points, ahead[0].at, text, width=width, height=_CHART_LINES, is_ascii=is_ascii)
    return [*lines, legend(is_ascii=is_ascii)] if lines else []


def _height(point: dict[str, Any]) -> int:
    """Return the largest amount of a point."""
    amounts = [one for name, one in point.items() if name.endswith("_billing_seconds")]
    return int(max(amounts))


VERBS = {"statement": _statement, "usage": _usage, "forecast": _forecast}
