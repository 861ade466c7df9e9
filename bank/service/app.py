"""The application: the routes of all parts, and what they share."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from typing import Any, TypedDict

from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from bank import __version__
from bank.api import accounts, liens, metrics, mybrc, quoting, watching
from bank.api.description import describing
from bank.http.counts import make_counts
from bank.http.door import Door
from bank.http.limits import Limits
from bank.http.problems import handle
from bank.operations.bank import Bank
from bank.operations.hook_submits import Submissions
from bank.operations.shape_cache import ShapeCache
from bank.operations.tokens import Known
from bank.plugins import routes as hooks
from bank.service.committing import Committing
from bank.service.keeping import keep_jobs
from bank.service.trust import find_trusted, learn_slurm_user

Part = Callable[[Door], Coroutine[Any, Any, None]]
# Plain routes, asked thousands of times a second: looked at before all others.
HOT_ROUTES: tuple[BaseRoute, ...] = (*hooks.ROUTES, *liens.HOT_ROUTES, *mybrc.ROUTES)
ROUTERS: tuple[APIRouter, ...] = (
    liens.router,
    accounts.router,
    quoting.router,
    watching.router,
    metrics.router,
)
# What goes on beside the answering; each is cancelled when the service stops.
BACKGROUND: tuple[Part, ...] = (
    learn_slurm_user,
    hooks.keep_shape,
    keep_jobs,
)
_ORDINARY = 4
_log = logging.getLogger("slurm_bank")


class _State(TypedDict):
    door: Door


async def _beside(part: Part, door: Door) -> None:
    """Run what goes on beside; where it breaks, the rest goes on, and readiness says so."""
    try:
        await part(door)
    except Exception:  # noqa: BLE001 - one part that breaks must not stop the answering
        name = part.__name__
        _log.exception("%s has ended", name)
        door.readiness[name] = lambda: f"{name} has ended, see the log"


def make_app(bank: Bank) -> FastAPI:
    """Return the application of a bank; it begins and ends with its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[_State]:
        del app
        shape = ShapeCache(bank)
        with closing(Known(bank)) as known, closing(Submissions(bank, shape)) as asked:
            counts = make_counts()
            commits = Committing(bank, counts)
            few = CapacityLimiter(_ORDINARY)
            door = Door(bank, commits, known, counts, find_trusted(), {}, few, shape, asked)
            commits.start()
            beside = [asyncio.create_task(_beside(one, door)) for one in BACKGROUND]
            try:
                yield {"door": door}
            finally:
                for task in beside:
                    task.cancel()
                for task in beside:
                    with suppress(asyncio.CancelledError):
                        await task
                await commits.stop()

    app = FastAPI(
        title="Slurm bank",
        version=__version__,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=list(HOT_ROUTES),
    )
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = describing(app)  # type: ignore[method-assign]
    handle(app)
    app.add_middleware(Limits)
    return app
