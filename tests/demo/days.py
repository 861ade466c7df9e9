"""What the demo shows of forecasts: each chapter before is a day for a bank of its own.

Nobody waits days for a demo. So the clock of this bank is set back by as many days as are still to
come, and all else is real: jobs run, and after each chapter the bank reads the cluster's meters.
In the end its books are asked, by the true clock.
"""

from bank import settings
from bank.operations import enforcement, grants, upkeep
from bank.operations.bank import Bank, microseconds_now
from bank.operations.commands import Command
from tests.demo.story import SU, USER, Demo, check, line_of, say, settings_beside, title

ACCOUNT = "hydro"
GRANT, GRANT_DAYS = 300, 20
DAY_MICROSECONDS = 86_400_000_000
# Cores of the job of each day; it runs for a second, at an SU a second for each core.
CORES = (8, 12, 9, 14, 4)


class Days:
    """The days of an account: one goes by with each chapter.

    Attributes:
        settings: those of its bank.
        found: billing-seconds that the first pass has found, of which it cannot say when they ran.
    """

    def __init__(self, demo: Demo) -> None:
        database = demo.settings.with_name("bank") / "hydro.db"
        self.settings = settings_beside(
            demo, "hydro_settings.py", DATABASE=str(database), LOGFILE=""
        )
        self.found = 0
        self._demo = demo
        self._gone = 0
        say(f"for later: the account {ACCOUNT}, with a bank of its own, and a job in each chapter")
        demo.lab.make_account(ACCOUNT, users=[USER])
        self._submit()

    def pass_by(self) -> None:
        """End a day: let the bank read what was used in it, and begin the next."""
        lab, bank = self._demo.lab, self._bank()
        used = SU * sum(CORES[: self._gone + 1])
        self._demo.wait(lambda: lab.raw_usage(ACCOUNT) >= used, f"the jobs of {ACCOUNT} to end")
        if not self._gone:
            upkeep.migrate(bank, dry_run=False)
            start = bank.clock()
            end = start + GRANT_DAYS * DAY_MICROSECONDS
            command = Command("grant", ACCOUNT, GRANT * SU, start_at=start, end_at=end)
            grants.grant(bank, command)
        enforcement.enforce(bank)
        if not self._gone:
            self.found = lab.raw_usage(ACCOUNT)
        self._gone += 1
        if self._gone < len(CORES):
            self._submit()

    def _submit(self) -> None:
        cores = CORES[self._gone]
        self._demo.lab.submit(ACCOUNT, USER, partition="fast", cpus=cores, command="sleep 1")

    def _bank(self) -> Bank:
        """Return the bank as it is on that day."""
        back = (len(CORES) - 1 - self._gone) * DAY_MICROSECONDS
        known = settings.load(str(self.settings))
        return Bank(known, "demo", say, clock=lambda: microseconds_now() - back)


def forecast(demo: Demo, days: Days) -> None:
    """Show when the SUs of an account run out, and what of them will expire."""
    title("12. When do my SUs run out?")
    print(f"For {ACCOUNT} each chapter was a day, on the clock of a bank of its own.\n")
    demo.use_settings(days.settings)
    said = demo.type(f"./slurm_bank.py forecast {ACCOUNT}")
    raw = demo.lab.raw_usage(ACCOUNT)
    rate = (raw - days.found) / SU / (len(CORES) - 1)
    check(
        "the expected rate is what its jobs have used, by days",
        seen=said,
        is_so=f"left {GRANT - raw / SU:g} SUs\n" in said
        and line_of(said, str(len(CORES) - 1)).split()[1] == f"{rate:g}",
    )
    check("and at that rate some will expire", seen=said, is_so="will expire unused\n" in said)
    check("it is drawn", seen=said, is_so="\n█ was left" in said)
    demo.use_settings(demo.settings)
