"""What a takeover of the predecessor's database says."""

from typing import Any

from bank.cli.output import counted, print_json, print_line, print_table
from bank.ledger.amounts import format_su
from bank.ledger.names import listed
from bank.operations.takeover_plan import Report

_REFUSED = 1


def print_takeover(report: Report, *, is_json: bool) -> int:
    """Print what a takeover did, would do or needs; return the exit status."""
    status = _REFUSED if report.is_refused else 0
    if is_json:
        print_json(_for_programs(report))
        return status
    _print_rows(report)
    _print_holds(report)
    for note in report.notes:
        print_line(f"note: {note}")
    _print_comparison(report)
    _print_needed(report)
    if report.is_refused:
        print_line(f"{report.database} is not taken over: nothing was written")
    elif report.is_dry_run:
        print_line(f"{report.database} would be taken over: {counted(report.taken, 'account')}")
    else:
        print_line(f"{report.database} was taken over: {counted(report.taken, 'account')}")
        print_line(f"as it was it is {report.kept}")
    return status


def _print_rows(report: Report) -> None:
    print_line(f"{counted(report.rows, 'row')} in the predecessor's table")
    for row in report.folded:
        print_line(f"row {row.number}: {row.written!r} is {row.account}, as Slurm has it")
    for left in report.left_out:
        print_line(f"row {left.number}: {left.account!r} is left out: {left.why}")
    for what, names in (
        ("columns that stay in the copy only", report.extra_columns),
        ("made on the old table, stays in the copy only", report.lost),
        ("in the bank and not in Slurm", report.gone),
        ("in Slurm and not in the bank", report.unknown),
    ):
        if names:
            print_line(f"{what}: {listed(names)}")


def _print_holds(report: Report) -> None:
    adopted: dict[tuple[str, str], list[str]] = {}
    for held in report.adopted:
        adopted.setdefault((held.cluster, held.why), []).append(held.account)
    for (cluster, why), names in adopted.items():
        print_line(f"{cluster}: holds that become the bank's, because {why}: {listed(names)}")
    for held in report.others:
        choose = f"; if the predecessor set it: --choose {held.choose}" if held.choose else ""
        print_line(
            f"{held.cluster}: the hold on {held.account} stays ({held.limit}=0): {held.why}{choose}"
        )
    if any(held.choose for held in report.others):
        print_line(
            "such a hold is the predecessor's, where a top-up has cleared the flag that told of it"
            " (defects 4 and 35), or somebody else's (34): Slurm does not say"
        )


def _print_comparison(report: Report) -> None:
    different = [one for one in report.compared if not one.is_same]
    same = len(report.compared) - len(different)
    print_line(f"the old check and the first pass do the same for {counted(same, 'account')}")
    if not different:
        return
    print_line(
        f"and not for {counted(len(different), 'account')}, because of the old one's defects:"
    )
    rows = [
        {
            "account": one.account,
            "limit_su": _limit(one.limit_su, has_row=one.has_row),
            "used_su": format_su(one.used),
            "old_check": one.old,
            "first_pass": one.new,
            "defect": one.number,
        }
        for one in different
    ]
    print_table(list(rows[0]), rows)
    for number, why in sorted({(one.number or 0, one.why) for one in different}):
        print_line(f"defect {number}: {why}" if number else why)


def _limit(limit_su: int | None, *, has_row: bool) -> str | None:
    if limit_su is None:
        return "unlimited" if has_row else None
    return str(limit_su)


def _print_needed(report: Report) -> None:
    for wrong in report.wrong_choices:
        print_line(f"cannot be chosen: {wrong}")
    for conflict in report.conflicts:
        rows = "; ".join(
            f"row {row.number}: {row.written!r} {_limit(row.limit_su, has_row=True)} SUs"
            f" since {row.started_on}"
            for row in conflict.rows
        )
        choose = " or ".join(f"--choose {row.number}" for row in conflict.rows)
        print_line(f"several rows for {conflict.account}: {rows}: keep one with {choose}")
    for row in report.unusable:
        print_line(
            f"row {row.number} cannot be taken: {row.why}: leave it out with --choose"
            f" out:{row.number} and insert the account afterwards, or mend the row with sqlite3"
        )


def _for_programs(report: Report) -> dict[str, Any]:
    def plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            return {name: plain(part) for name, part in value._asdict().items()}
        if isinstance(value, list | tuple | frozenset):
            return [plain(part) for part in value]
        return value

    found: dict[str, Any] = plain(report)
    for one in found["compared"]:
        one["used_billing_seconds"] = one.pop("used")
    return {"from": "predecessor", **found}
