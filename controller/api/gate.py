"""Which requests reach an API's application: bodies are checked by size, by time, and for being JSON.

It is an ASGI middleware, so that no endpoint has to check this; the lab's API uses it, too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from starlette.responses import JSONResponse

from topologies.untrusted import NotJson, parse_json, size_text

MOST = 32 << 20
"""Bytes of a body: enough for a topology file of the largest size, even if JSON escapes all of it."""
SECONDS = 10.0
"""Time in which a body has to arrive."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class PlainJson(JSONResponse):
    """JSON in ASCII: every answer can be written, also names that are not valid UTF-8."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Refusal(Exception):
    """A request that is refused; ``status`` is HTTP's."""

    def __init__(self, status: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.status, self.what, self.remedy = status, what, remedy


class Gate:
    """Passes requests on whose body is whole, small enough and JSON; answers the others itself."""

    def __init__(self, app: App, most: int = MOST, seconds: float = SECONDS) -> None:
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The entry point of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except Refusal as no:
            answer = PlainJson({"what": no.what, "remedy": no.remedy}, no.status, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()  # the message that the client has gone
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            raise self._too_big()
        pieces, size, more = [], 0, True
        try:
            with anyio.fail_after(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refusal(400, "the request is incomplete", "ask again")
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > self._most:
                        raise self._too_big()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(
                408, f"the request's body did not come within {self._seconds:g} s", "ask again"
            ) from None
        body = b"".join(pieces)
        if body.strip():
            try:
                await anyio.to_thread.run_sync(parse_json, body)
            except NotJson as error:
                raise Refusal(422, f"the request is not understood: {error}", "see /openapi.json") from None
        return body

    def _too_big(self) -> Refusal:
        return Refusal(413, f"the request is too big; allowed: up to {size_text(self._most)}", "ask for less")
