"""What can go wrong in a lab, each with the words a person needs to mend it."""

from collections.abc import Sequence


class LabError(Exception):
    """Something about the lab does not work; the message says what and where."""


class Missing(LabError):
    """The machine lacks something the lab needs: a program, a user, a right."""


class AlreadyThere(LabError):
    """A lab of this name exists; it must be attached to or taken down first."""


class CommandFailed(LabError):
    """A program ended with a status other than 0, or not in time."""

    def __init__(
        self, argv: Sequence[str], status: int | None, stdout: str, stderr: str, seconds: float
    ) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds
        shown = " ".join(argv)
        if len(shown) > 300:
            shown = f"{shown[:300]}... ({len(shown)} characters)"
        how = "did not end" if status is None else f"ended with status {status}"
        super().__init__(
            f"{shown}\n  {how} after {seconds:.1f} s"
            f"\n  stdout: {stdout.strip()[-2000:]!r}\n  stderr: {stderr.strip()[-2000:]!r}"
        )


class DaemonFailed(LabError):
    """A daemon did not come up; carries the end of its log."""

    def __init__(self, name: str, why: str, log_tail: str) -> None:
        self.daemon = name
        self.log_tail = log_tail
        super().__init__(f"{name} {why}; the end of its log:\n{log_tail or '(nothing)'}")


class NotInTime(LabError):
    """Something that was waited for did not happen before the deadline."""

    def __init__(self, what: str, timeout_seconds: float, last: object) -> None:
        self.last = last
        super().__init__(f"waited {timeout_seconds:g} s for {what}; last seen: {last!r}")
