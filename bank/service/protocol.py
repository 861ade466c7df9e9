"""One connection: who is at its other end, and how long it may take.

uvicorn has no time-out for a request or for a client that does not read, no bound on how much of a
head it keeps, and does not say who is at the other end of a socket.
"""

import asyncio
import socket
import struct
from collections import Counter
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bank.http.door import Door

# From the first byte of a request to its last, and until a client reads on.
SLOWEST_SECONDS = 10
MOST_HEAD_BYTES = 16 * 1024
# For one user of this machine who is not trusted, and for all who come over the network.
MOST_OF_ONE_USER = 64
MOST_OVER_NETWORK = 512
_NETWORK = -1
# struct ucred: pid, uid, gid; unix(7).
_PEER = struct.Struct("3i")

_open: Counter[int] = Counter()


def peer_uid(connection: socket.socket) -> int | None:
    """Return who is at the other end, None where that is the network.

    Source:
        unix(7), SO_PEERCRED: as of connect(2), whatever the other process does later.
    """
    if connection.family != socket.AF_UNIX:
        return None
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(found)
    return int(uid)


class Connection(HttpToolsProtocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None
    _is_in_head = True
    _head_bytes = 0
    _counted_as: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find out who it is, and whether there is room."""
        super().connection_made(transport)
        uid = peer_uid(transport.get_extra_info("socket"))
        self.app_state = {**self.app_state, "peer_uid": uid}
        if uid in self._door.trusted:
            return
        whose, most = (_NETWORK, MOST_OVER_NETWORK) if uid is None else (uid, MOST_OF_ONE_USER)
        self._counted_as = whose
        _open[whose] += 1
        if _open[whose] > most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections")
        else:
            self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._in_time()
        if self._counted_as is not None:
            _open[self._counted_as] -= 1
            if not _open[self._counted_as]:
                del _open[self._counted_as]
            self._counted_as = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as far as a head may go."""
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._deadline is None:
                self._wait_for_request()
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")

    def on_headers_complete(self) -> None:
        """Ask for the answer."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request: this one came in time."""
        self._in_time()
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._in_time()
        self._deadline = self.loop.call_later(SLOWEST_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        """Go on: it reads."""
        self._in_time()
        super().resume_writing()

    @property
    def _door(self) -> Door:
        door = self.app_state["door"]
        assert isinstance(door, Door)
        return door

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.call_later(
            SLOWEST_SECONDS, self._refuse, HTTPStatus.REQUEST_TIMEOUT, "too_slow"
        )

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        """Answer what is no request, and close."""
        self._door.counts.refusals.labels(code).inc()
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: 0\r\n\r\n".encode())
            self.transport.close()
            self._deadline = self.loop.call_later(SLOWEST_SECONDS, self.transport.abort)

    def _give_up(self) -> None:
        self._door.counts.refusals.labels("too_slow").inc()
        self.transport.abort()
