"""What is too much, and the counting of all that is answered."""

from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bank.http.door import Door
from bank.http.problems import problem

# A job description, or a job as it is reported; sbatch takes larger scripts, nobody needs to.
MOST_BODY_BYTES = 256 * 1024
_NO_ROUTE = "none"


class Limits:
    """Reads each body whole before its route is asked, and counts what was answered."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door: Door = scope["state"]["door"]
        began = perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            try:
                body = await self._body(scope, receive)
            except ClientDisconnect:
                return
            if body is None:
                await self._refuse(door, answer)
                return
            await self._app(scope, _given(body, receive), answer)
        finally:
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            door.counts.requests.labels(scope["method"], route, status).inc()
            door.counts.seconds.labels(route).observe(perf_counter() - began)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body of a request, None where it is too large."""
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > MOST_BODY_BYTES:
                return None
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                # What came of it is not what was meant.
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MOST_BODY_BYTES:
                return None
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _refuse(self, door: Door, send: Send) -> None:
        door.counts.refusals.labels("too_large").inc()
        most = f"a body may have {MOST_BODY_BYTES} bytes"
        # What is not read any more would be taken for the next request.
        response = problem(413, "too_large", most, headers={"Connection": "close"})
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": response.body})


def _given(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read, and then what else comes."""
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
