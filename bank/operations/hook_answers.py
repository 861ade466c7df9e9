"""What the controller's hooks are told: a word, a token and a sentence."""

from typing import NamedTuple

from bank.errors import BankError, Refusal

YES, NO, UNKNOWN = "yes", "no", "unknown"
# At the start of a job.
HOLD, KILL, RUN = "hold", "kill", "run"

# Slurm says no to these itself, or lets them wait; what it takes all the same is looked at when it
# starts.
_SLURMS_OWN = {
    *("job_not_taken", "job_never_runs", "no_such_partition", "no_partition", "no_such_qos"),
    *("no_account", "no_such_account"),
}
_REFUSED = {"insufficient_funds", "no_bound", "not_open"}


class Said(NamedTuple):
    """An answer.

    Attributes:
        decision: one of the words above.
        token: of the lien, "" where there is none.
        message: why, for a person.
    """

    decision: str
    token: str = ""
    message: str = ""

    def text(self) -> str:
        """Return it as it is sent: three lines."""
        return f"{self.decision}\n{self.token}\n{' '.join(self.message.split())}\n"


def said_of(error: BankError) -> Said:
    """Return what an error means for a job that is submitted or changed."""
    if isinstance(error, Refusal) and error.code in _SLURMS_OWN:
        return Said(YES)
    if isinstance(error, Refusal) and error.code in _REFUSED:
        return Said(NO, message=str(error))
    return Said(UNKNOWN, message=str(error))
