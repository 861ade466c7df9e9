"""Statement, usage and forecast of jobs that really ran agree with balance and with sacct."""

from bank.operations import forecast, looking, statement, usage
from bank.operations.bank import microseconds_now
from tests.operations.branch import ADA, BOB, SU, Branch

DAY = 86_400_000_000
DAYS = 3


def billed_by_sacct(branch: Branch, name: str, jobs: int) -> dict[str, int]:
    """Return the billing-seconds of an account's jobs by user, once slurmdbd has all of them.

    The controller tells it of starts every five seconds, and until then whose a job is is unknown.
    """
    question = ("sacct", "-aXnP", "-A", name, "-o", "User,ElapsedRaw,AllocTRES")

    def rows() -> list[str]:
        shown = branch.lab.run(*question).splitlines()
        return shown if len(shown) == jobs else []

    found: dict[str, int] = {}
    for row in branch.lab.wait_for(rows, f"slurmdbd to know {jobs} jobs of {name}"):
        user, elapsed, tres = row.split("|")
        billing = dict(part.split("=") for part in tres.split(","))["billing"]
        found[user] = found.get(user, 0) + int(elapsed) * int(billing)
    return found


def test_what_is_told_is_what_ran(branch: Branch) -> None:
    branch.open("stated", 1_000_000, users=[ADA, BOB])
    branch.open("below", parent="stated")
    branch.run_all([("stated", ADA, 1), ("stated", BOB, 1), ("below", ADA, 1)])
    branch.enforce()
    first = branch.used("stated")
    # Days go by on the clock of the bank, so that there is something to forecast from.
    branch.bank = branch.bank._replace(clock=lambda: microseconds_now() + DAYS * DAY)
    jobs = [("stated", ADA, 2), ("stated", BOB, 3), ("below", ADA, 5)]
    branch.run_all(jobs)
    branch.enforce()
    own = billed_by_sacct(branch, "stated", 4)
    below = billed_by_sacct(branch, "below", 2)
    ran = sum(own.values()) + sum(below.values())

    told = statement.statement(branch.bank, "stated", is_itemized=True)
    (balance,) = looking.balance(branch.bank, "stated")
    closing = told["closing"]
    assert closing["used_billing_seconds"] == balance["used_billing_seconds"] == ran
    assert closing["available_billing_seconds"] == balance["available_billing_seconds"]
    assert closing["granted_billing_seconds"] == balance["limit_billing_seconds"]
    by_account: dict[str | None, int] = {}
    for entry in told["entries"]:
        account = entry["account"]
        amount = entry["used_billing_seconds"]
        by_account[account] = by_account.get(account, 0) + amount
    assert by_account == {None: sum(own.values()), "below": sum(below.values())}
    assert closing["used_billing_seconds"] - told["opening"]["used_billing_seconds"] == ran

    by_user = usage.usage(branch.bank, "stated", by="user")["rows"]
    charged = {row["user"]: row["used_billing_seconds"] for row in by_user}
    assert charged == {ADA: own[ADA] + below[ADA], BOB: own[BOB]}

    # What was first found may be of any time; what came after it ran within these days.
    branch.bank = branch.bank._replace(clock=lambda: microseconds_now() + DAYS * DAY + DAY // 2)
    rate = forecast.forecast(branch.bank, "stated")["rates"][0]
    assert (rate["days"], rate["expected_billing_seconds"]) == (
        DAYS,
        (2 * (ran - first) + DAYS) // (2 * DAYS),
    )
    left = 1_000_000 * SU - ran
    found = forecast.forecast(branch.bank, "stated")
    assert (found["left_billing_seconds"], found["past"][-1]["left_billing_seconds"]) == (
        left,
        left,
    )
    branch.agrees(stated=sum(own.values()), below=sum(below.values()))
