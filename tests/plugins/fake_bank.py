"""A bank for the controller's hooks to ask: it answers as a test says."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What is sent for one question; None leaves it without an answer until the one who asked has gone.
Answer = bytes | None


def said(*lines: str) -> bytes:
    """Return an answer as the service gives it."""
    body = "\n".join(lines).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


class FakeBank:
    """What was asked, and what is answered next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[tuple[str, Any]] = []
        self.answer: Callable[[str, Any], Answer] = lambda _path, _question: said("yes", "", "")
        self.connection: socket.socket
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; connections are refused then."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connection = connection
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            path = stream.readline().decode().split()[1]
            headers = dict(
                line.decode().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n")
            )
            question = json.loads(stream.read(int(headers["Content-Length"])))
            self.asked.append((path, question))
            with contextlib.suppress(ConnectionError):
                answer = self.answer(path, question)
                if answer is None:
                    stream.read(1)
                else:
                    connection.sendall(answer)


@contextlib.contextmanager
def fake_bank(path: Path) -> Iterator[FakeBank]:
    """A bank that listens on a socket and says yes to all."""
    bank = FakeBank(path)
    try:
        yield bank
    finally:
        bank.stop()
