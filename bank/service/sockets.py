"""The sockets that the service listens on: its own, or those that systemd hands it."""

import os
import socket
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from bank.errors import Refusal, SettingsError
from bank.settings import Settings

# sd_listen_fds(3): the first that is handed over.
_FIRST_HANDED = 3
_BACKLOG = 2048
# Everybody may connect, because who it is is known; others may only pass through its directory.
_SOCKET_MODE, _DIRECTORY_MODE = 0o666, 0o755


@contextmanager
def listening(
    settings: Settings, environment: MutableMapping[str, str]
) -> Iterator[list[socket.socket]]:
    """Listen where the settings say, and where systemd does.

    What systemd hands over in place of the service's own socket keeps what comes while nobody
    answers, as during a restart.

    Raises:
        SettingsError: a socket cannot be made there.
        Refusal: somebody answers there already.
    """
    found = _handed(environment)
    path = settings.service_socket
    own = None
    try:
        if not any(one.family == socket.AF_UNIX for one in found):
            own = _at(path)
            found.append(own)
        if settings.service_address and not any(one.family != socket.AF_UNIX for one in found):
            found.append(_over_network(settings.service_address))
        yield found
    finally:
        for one in found:
            one.close()
        if own is not None:
            os.unlink(path)


def _handed(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets of systemd, in the way of sd_listen_fds(3); programs below get none."""
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return []
    found = [socket.socket(fileno=_FIRST_HANDED + number) for number in range(int(count))]
    for one in found:
        one.set_inheritable(False)
    return found


def _at(path: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        directory = os.path.dirname(path)
        if not os.path.isdir(directory):
            os.mkdir(directory, _DIRECTORY_MODE)
        _remove_stale(path)
        found.bind(path)
        os.chmod(path, _SOCKET_MODE)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise SettingsError(
            f"SERVICE_SOCKET = {path!r} cannot be made ({error.strerror or error}): its directory"
            " must be one that the user who runs the bank may write to"
        ) from error
    except BaseException:
        found.close()
        raise
    return found


def _remove_stale(path: str) -> None:
    """Remove a socket that a service left that was killed; nothing else.

    Raises:
        Refusal: somebody answers there.
        OSError: something else is there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(None, "there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise Refusal("service_runs", f"somebody answers at {path} already")


def _over_network(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(where)
            found.listen(_BACKLOG)
        except BaseException:
            found.close()
            raise
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"SERVICE_ADDRESS = {address!r} cannot be listened on ({error})"
        ) from error
    return found
