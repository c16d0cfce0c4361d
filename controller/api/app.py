"""The northbound API: intent in; switches, flows with their origin, groups and events out.

FastAPI on a Unix socket, in a thread; every question about the core is answered on the
core's own thread.  OpenAPI at ``/openapi.json``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from controller.answers import Health, OverlayState, StationState
from controller.api import functions, intent, switches
from controller.api.counters import result_within
from controller.api.gate import Gate, PlainJson
from controller.api.overlay import overlay_state
from controller.messages import ApiListens
from controller.runtime.app import SwitchKeeper

MOST_BODY = 128 << 20
"""Bytes of a body: a resolved topology is far longer than its file."""
_ANSWER = 10.0
_POLL = 1.0


def make(app: SwitchKeeper) -> FastAPI:
    """The API of a running controller."""
    web = FastAPI(title="sdnlab controller", version="1", default_response_class=PlainJson)
    web.add_middleware(Gate, most=MOST_BODY)

    async def ask(question: Any) -> Any:
        return await result_within(app.ask(question), _ANSWER)

    @web.exception_handler(RequestValidationError)
    async def invalid(_: Request, problem: RequestValidationError) -> PlainJson:
        return PlainJson({"detail": intent.reasons(problem.errors())}, 422)

    @web.exception_handler(asyncio.TimeoutError)
    async def slow(_: Request, __: Exception) -> PlainJson:
        return PlainJson({"detail": "the controller did not answer in time"}, 504)

    @web.get("/health")
    async def health() -> Health:
        got: Health = await ask(present_health)
        return got

    def present_health() -> Health:
        core = app.core
        rollout = core.programming.rollout
        return Health(
            topology=core.topology.name,
            converged=core.converged,
            generation=core.generation,
            stage=rollout.stage,
            of=rollout.of,
            failed=sorted(core.health.failed),
        )

    @web.get("/overlay")
    async def overlay() -> OverlayState:
        return await overlay_state(app, _ANSWER)

    for part in (functions, intent, switches):
        part.add(web, app, _ANSWER)

    @web.get("/stations")
    async def stations() -> list[StationState]:
        """The stations that the controller has learned."""
        learned = await ask(lambda: app.core.learning.facts())
        return [StationState(*facts) for facts in learned]

    @web.get("/events", response_class=StreamingResponse)
    async def events(request: Request, since: int | None = None, follow: bool = True) -> StreamingResponse:
        """Events as JSON lines, from number ``since`` + 1 on (default: from now on)."""

        async def lines() -> AsyncIterator[bytes]:
            number = app.journal.last if since is None else since
            while True:
                entries = await asyncio.to_thread(app.journal.since, number, _POLL if follow else 0)
                for entry in entries:
                    number = entry["number"]
                    yield json.dumps(entry).encode() + b"\n"
                if not follow or await request.is_disconnected():
                    return

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return web


def serve(app: SwitchKeeper, path: str) -> None:
    """Serve the API on the Unix socket ``path`` (mode 0600) for as long as the process lives."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(128)
    config = uvicorn.Config(make(app), log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    app.journal.emit(ApiListens(path))
    # The main thread handles signals; this thread could not.
    asyncio.run(server.serve(sockets=[listener]))
