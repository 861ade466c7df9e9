"""The site's own program that tells people: it is given one event on standard input."""

import os

from bank.errors import NotPermitted, NotTold
from bank.process import TimedOut, run_process

_SECONDS = 10
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
_WRITABLE_BY_OTHERS = 0o022


def tell(path: str, event: str) -> None:
    """Give one event to the site's program; that it ends with status 0 means that it was told.

    Args:
        path: of the program; it gets no arguments.
        event: JSON on one line.

    Raises:
        NotPermitted: others could change the program.
        NotTold: it cannot be started, did not end in time, or ended with another status.
    """
    try:
        if os.stat(path).st_mode & _WRITABLE_BY_OTHERS:
            raise NotPermitted(f"NOTIFY_COMMAND {path} can be written by others: chmod go-w {path}")
        ended = run_process(
            [path], environment=_ENVIRONMENT, timeout_seconds=_SECONDS, given=event.encode()
        )
    except OSError as error:
        raise NotTold(f"NOTIFY_COMMAND {path} cannot be run: {error.strerror}") from error
    except TimedOut as error:
        raise NotTold(f"NOTIFY_COMMAND {path} did not end within {_SECONDS} s") from error
    if ended.status != 0:
        said = ended.complaint[:300] or "no message"
        raise NotTold(f"NOTIFY_COMMAND {path} ended with status {ended.status}: {said}")
