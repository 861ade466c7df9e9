"""The verb that says why jobs of an account run, wait or are refused."""

from typing import Any

from bank.cli.arguments import Arguments
from bank.cli.output import print_json, print_line
from bank.operations import explaining
from bank.operations.bank import Bank
from bank.operations.explaining import Explanation


def _explain(bank: Bank, arguments: Arguments) -> int:
    user, job = arguments.text("--user"), arguments.text("--job")
    found = explaining.explain(bank, arguments.account, user=user, job=job)
    if arguments.is_json:
        print_json(_for_programs(found))
        # It stands in the answer, which is one document.
        return found.error.exit_status if found.error is not None else 0
    print_line(found.verdict)
    for reason in found.reasons:
        where = f" on {', '.join(reason.clusters)}" if len(found.clusters) > 1 else ""
        print_line(f"  {reason.subject}{where if reason.clusters else ''}: {reason.sentence}")
        if reason.remedy:
            print_line(f"      what changes it: {reason.remedy}")
    if found.error is not None:
        raise found.error
    return 0


def _for_programs(found: Explanation) -> dict[str, Any]:
    error = found.error
    return {
        "account": found.account,
        "user": found.user,
        "job": found.job,
        "verdict": found.verdict,
        "is_complete": error is None,
        "error": None if error is None else {"code": error.code, "message": str(error)},
        "reasons": [
            {**reason._asdict(), "clusters": list(reason.clusters), "numbers": dict(reason.numbers)}
            for reason in found.reasons
        ],
    }


VERBS = {"explain": _explain}
