"""Asking the service of this machine, over its socket."""

import http.client
import socket

from bank.errors import StoreError
from bank.operations.bank import Bank

_SECONDS = 5
_OK = 200


class _Connection(http.client.HTTPConnection):
    """A connection to a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("slurm-bank", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def ask_service(bank: Bank, path: str) -> str:
    """Return what the service answers at a path.

    Raises:
        StoreError: it does not answer, or not with success.
    """
    connection = _Connection(bank.settings.service_socket)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise StoreError(
            f"the service does not answer at {bank.settings.service_socket} ({error}): start"
            " 'slurm_bank.py serve', and see SERVICE_SOCKET in the settings"
        ) from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise StoreError(f"the service answers {path} with status {answer.status}: {text[:200]}")
    return text
