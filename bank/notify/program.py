"""The site's own program that tells people: it is given one event on standard input."""

import os
import pwd
import stat
from collections.abc import Iterator
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
        # What was looked at is what is run, and not what a link says a moment later.
        ended = run_site_program(
            _checked(path),
            environment=_ENVIRONMENT,
            timeout_seconds=timeout_seconds,
            given=event.encode(),
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


def _checked(path: str) -> str:
    """Return where a program really is, once nobody else could put another one in its place.

    Whoever can change it, or any directory or link on the way to it, may do what the bank may do.
    """
    os.stat(path)
    trusted = _trusted()
    at = "/"
    for at in _way(path):
        found = os.lstat(at)
        if found.st_uid not in trusted:
            raise NotPermitted(
                f"NOTIFY_COMMAND {path}: {at} belongs to somebody who could change it: chown it to"
                " root or to the user who runs the bank"
            )
        is_shared = bool(found.st_mode & _WRITABLE_BY_OTHERS) and not stat.S_ISLNK(found.st_mode)
        # In a sticky directory what stands there is changed by those only to whom it belongs.
        if is_shared and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
            raise NotPermitted(
                f"NOTIFY_COMMAND {path}: {at} can be written by others: chmod go-w {at}"
            )
    return at


def _way(path: str) -> Iterator[str]:
    """Yield every directory and link on the way to a file that is there, from / on, then itself."""
    at = "/"
    yield at
    ahead = path.split("/")[::-1]
    while ahead:
        name = ahead.pop()
        if name == "..":
            at = os.path.dirname(at)
        elif name not in ("", "."):
            at = os.path.join(at, name)
            yield at
            if os.path.islink(at):
                target = os.readlink(at)
                at = "/" if target.startswith("/") else os.path.dirname(at)
                ahead += target.split("/")[::-1]


def _trusted() -> set[int]:
    """Return the users whose program may be run: root, who runs the bank, and for root SlurmUser.

    As with the settings file: on most clusters the bank belongs to SlurmUser and root runs it too.
    """
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0:
        with suppress(KeyError):
            trusted.add(pwd.getpwnam("slurm").pw_uid)
    return trusted
