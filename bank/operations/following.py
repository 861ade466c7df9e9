"""Slurm follows the books: right after a command that changed them, as far as Slurm answers."""

from collections.abc import Sequence

from bank.errors import Busy, NotPermitted, SettingsError, SlurmError, StoreError
from bank.ledger.names import listed
from bank.operations.bank import Bank
from bank.operations.enforcement import enforce


def enforce_soon(bank: Bank, names: Sequence[str], *, only: str | None) -> bool:
    """Bring Slurm up to date for accounts whose books changed, as far as Slurm answers.

    What was posted stays posted; where Slurm cannot follow now, a warning says so and the next
    pass does it.

    Args:
        bank: see `Bank`.
        names: the accounts.
        only: the one that is decided about; None where all must be.

    Returns:
        Whether Slurm has followed for all of them.
    """
    try:
        passes = enforce(bank, only=only, wait_seconds=bank.settings.slurm_timeout_seconds)
    except (Busy, NotPermitted, SettingsError, SlurmError, StoreError) as error:
        whom = f" for {only}" if only else ""
        bank.warn(f"booked; Slurm is not up to date{whom}, the next pass does it: {error}")
        return False
    for note in (note for done in passes for note in done.notes):
        bank.warn(note)
    gone = sorted(set(names).intersection(*(done.gone for done in passes)))
    if gone:
        where = ", ".join(done.cluster for done in passes)
        bank.warn(
            f"Slurm has no account {listed(gone)} on {where}: there is nothing to hold or release"
        )
    return not gone
