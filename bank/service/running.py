"""The process: one lock, one loop, a start that refuses what cannot work, a stop without a loss."""

import gc
import os
import resource
import signal
from types import FrameType

from uvicorn import Config, Server

from bank.operations.bank import Bank
from bank.operations.files import only_one
from bank.operations.readiness import refuse_unusable
from bank.service.app import make_app
from bank.service.protocol import Connection
from bank.service.sockets import listening

# Who asked before the stop is answered within this; a commit takes far less.
_STOP_SECONDS = 30
_IDLE_SECONDS = 30


def serve(bank: Bank) -> None:
    """Answer until SIGTERM or SIGINT; then take nothing more, and answer what was taken.

    Raises:
        Busy: another service answers for this database.
        SettingsError: there is no database of this schema, or no socket can be made.
        Refusal: somebody answers at the socket.
    """
    # Where it is not answering yet, there is nothing to finish.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    refuse_unusable(bank)
    with only_one(bank, "service", wait_seconds=0), listening(bank.settings, os.environ) as sockets:
        _allow_many_files()
        config = Config(
            make_app(bank),
            http=Connection,
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        # What is loaded by now stays. Looked through for garbage again and again, as Python does,
        # it would keep all who ask waiting each time.
        gc.collect()
        gc.freeze()
        Server(config).run(sockets)


def _end(number: int, frame: FrameType | None) -> None:
    """End with success: it was asked for."""
    del number, frame
    raise SystemExit(0)


def _allow_many_files() -> None:
    """Let as many connect as the system allows: each is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
