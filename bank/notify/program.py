"""The site's own program that tells people: it is given one event on standard input."""

import os
import pwd
import stat
from contextlib import suppress

from bank.errors import NotPermitted, NotTold, SettingsError
from bank.process import TimedOut, run_site_program

# A program that takes longer is ended; it is tried again with the next pass.
LONGEST_SECONDS = 10
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
_WRITABLE_BY_OTHERS = 0o022


def tell(path: str, event: str, *, timeout_seconds: float = LONGEST_SECONDS) -> None:
    """Give one event to the site's program; that it ends with status 0 means that it was told.

    Args:
        path: of the program; it gets no arguments.
        event: JSON on one line.
        timeout_seconds: after which it is ended, with all that it started.

    Raises:
        NotPermitted: others could change the program.
        SettingsError: it cannot be started.
        NotTold: it did not end in time, or ended with another status.
    """
    try:
        _refuse_writable_by_others(path)
        ended = run_site_program(
            path, environment=_ENVIRONMENT, timeout_seconds=timeout_seconds, given=event.encode()
        )
    except OSError as error:
        raise SettingsError(
            f"NOTIFY_COMMAND {path} cannot be run ({error.strerror}): it must be a program that"
            " this user may run, a script with its #! line"
        ) from error
    except TimedOut as error:
        raise NotTold(
            f"NOTIFY_COMMAND {path} did not end within {timeout_seconds:g} s and was ended"
        ) from error
    if ended.status != 0:
        said = ended.complaint[:300] or "no message"
        raise NotTold(f"NOTIFY_COMMAND {path} ended with status {ended.status}: {said}")


def _refuse_writable_by_others(path: str) -> None:
    """Refuse a program that somebody else could change, and so do what the bank's user may do."""
    real = os.path.realpath(path)
    directory = os.path.dirname(real)
    mode = os.stat(directory).st_mode
    # Who may write to the directory may put another file in its place, but for a sticky one.
    is_open = mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX
    program = os.stat(real)
    for which, is_writable in (
        (directory, is_open),
        (real, program.st_mode & _WRITABLE_BY_OTHERS),
    ):
        if is_writable:
            raise NotPermitted(
                f"NOTIFY_COMMAND {path}: {which} can be written by others: chmod go-w {which}"
            )
    if program.st_uid not in _trusted():
        raise NotPermitted(
            f"NOTIFY_COMMAND {path}: {real} belongs to somebody who could change it: chown it to"
            " root or to the user who runs the bank"
        )


def _trusted() -> set[int]:
    """Return the users whose program may be run: root, who runs the bank, and for root SlurmUser.

    As with the settings file: on most clusters the bank belongs to SlurmUser and root runs it too.
    """
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0:
        with suppress(KeyError):
            trusted.add(pwd.getpwnam("slurm").pw_uid)
    return trusted
