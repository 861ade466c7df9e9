"""Every error of the bank, with its exit status.

An expected "no" is a `Refusal`; something outside that does not work is a `SlurmError` or a
`StoreError`; a broken invariant is `LedgerBroken`. The message is one line: what was wrong, what
is allowed, what to do. Exit statuses follow sysexits.h(3head); 1 is "no", as grep(1) and diff(1)
say it.
"""

from collections.abc import Sequence


class BankError(Exception):
    """Base of all errors that the bank raises on purpose."""

    code = "error"
    exit_status = 70


class UsageError(BankError):
    """The command line makes no sense."""

    code = "usage"
    exit_status = 2


class InputError(BankError):
    """A value that was given cannot be used: an amount, a name, a file."""

    code = "bad_input"
    exit_status = 65

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        """Keep everything that is wrong, for programs, where a file has more than one line."""
        super().__init__(message)
        self.problems = problems


class Refusal(BankError):
    """The request was understood and the answer is no."""

    exit_status = 1

    def __init__(self, code: str, message: str) -> None:
        """Keep the reason's code, which programs compare, beside the sentence for people."""
        super().__init__(message)
        self.code = code


class NotPermitted(BankError):
    """The caller may not do this, or a file has rights that others could use."""

    code = "not_permitted"
    exit_status = 77


class NotKnown(NotPermitted):
    """Nobody said who asks, or what was shown for it is not good, or not any more."""

    code = "not_known"


class SettingsError(BankError):
    """A setting, Slurm's configuration or the database's version does not allow the work."""

    code = "settings"
    exit_status = 78


class NotPrinted(BankError):
    """The work is done, and what it gave cannot be printed."""

    code = "not_printed"
    exit_status = 74


class SlurmError(BankError):
    """Slurm did not answer, or not with success."""

    code = "slurm_failed"
    exit_status = 69


class SlurmTimedOut(SlurmError):
    """A Slurm command was ended because it did not answer in time."""

    code = "slurm_timed_out"
    exit_status = 75


class OutputNotUnderstood(SlurmError):
    """Slurm answered in a form that is not known. Nothing is decided from it."""

    code = "output_not_understood"
    exit_status = 76


class NotConfirmed(SlurmError):
    """Slurm accepted a change that the controller does not show. The next pass tries again."""

    code = "not_confirmed"
    exit_status = 75


class NotTold(BankError):
    """The site's program could not tell people. The next pass tries again."""

    code = "not_told"
    exit_status = 69


class StoreError(BankError):
    """The database cannot be read or written: no space, no file, a broken disk."""

    code = "store_failed"
    exit_status = 69


class Busy(BankError):
    """Another process holds the lock that is needed; trying again later is enough."""

    code = "busy"
    exit_status = 75


class LedgerBroken(BankError):
    """The books do not agree with themselves. Nothing is guessed and nothing is written."""

    code = "ledger_broken"
    exit_status = 70
