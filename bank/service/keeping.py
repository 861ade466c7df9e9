"""What goes on beside the answering: liens are kept, what has ended is charged, held jobs go on."""

import asyncio
import threading
import time

from bank.errors import BankError, Busy
from bank.http.door import Door
from bank.operations import job_upkeep, spool
from bank.operations.bank import Bank
from bank.policy.charged_time import JOBS

# A submission that came to nothing is to be given up within a minute.
LOOK_EVERY_SECONDS = 15
_SPOOL_EVERY_SECONDS = 1


class Keeping:
    """Keeps up with jobs, in a thread of its own: Slurm may take a minute not to answer."""

    def __init__(self, bank: Bank) -> None:
        """Take the bank; nothing is begun yet."""
        self._bank = bank
        self._stopped = threading.Event()
        self._problem = "the jobs of the cluster have not been looked at yet"

    def problem(self) -> str:
        """Say why liens are not up to date, "" for nothing."""
        return self._problem

    def run(self) -> None:
        """Look every so often, and at once where the end hook has left something, until `stop`."""
        due = time.monotonic()
        while not self._stopped.is_set():
            if spool.deliver(self._bank, self._look):
                due = time.monotonic() + LOOK_EVERY_SECONDS
            elif time.monotonic() >= due:
                self._look()
                due = time.monotonic() + LOOK_EVERY_SECONDS
            self._stopped.wait(_SPOOL_EVERY_SECONDS)

    def _look(self) -> bool:
        """Look once; tell whether it was done."""
        try:
            for note in job_upkeep.keep_up(self._bank):
                self._bank.warn(note)
        except Busy:
            # A pass is running, and does the same.
            return False
        except BankError as error:
            if str(error) != self._problem:
                self._bank.warn(f"jobs are not kept up with: {error}")
            self._problem = str(error)
            return False
        self._problem = ""
        return True

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()


async def keep_jobs(door: Door) -> None:
    """Keep up with jobs where they charge, in a thread that nothing waits for at the end."""
    if door.bank.settings.usage_source != JOBS:
        return
    keeping = Keeping(door.bank)
    door.readiness["jobs"] = keeping.problem
    threading.Thread(target=keeping.run, name="keeping", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        keeping.stop()
