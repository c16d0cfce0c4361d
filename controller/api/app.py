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
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from controller.answers import Applied, FlowState, GroupState, OverlayState, Settled
from controller.api.contradictions import contradictions
from controller.api.functions import routes
from controller.api.gate import Gate, PlainJson
from controller.api.overlay import overlay_state
from controller.flow.tables import table_of
from controller.flow.text import actions_text, bucket_text, match_text
from controller.messages import ApiListens
from controller.openflow.replies import parse_flow_desc
from controller.origin import Origin
from controller.runtime.app import SwitchKeeper
from topologies.model.topology import Topology

MOST_BODY = 128 << 20
"""Bytes of a body: a resolved topology is far longer than its file."""
_ANSWER = 10.0
_POLL = 1.0
_SETTLING = 0.005


class Health(BaseModel):
    """``converged``: every switch that is there holds its wanted tables. ``stage``, ``of``: the present stage
    of a change, and the number of its stages. ``failed``: instances and backends that get no traffic."""

    status: str = "ok"
    topology: str
    converged: bool
    generation: int
    stage: int
    of: int
    failed: list[str]


class SwitchState(BaseModel):
    """One switch: its wanted tables, and whether it holds them. ``down_ports``: numbers."""

    name: str
    dpid: int
    connected: bool
    converged: bool
    avoided: bool
    flows: int
    groups: int
    down_ports: list[int]
    failures: int


def make(app: SwitchKeeper) -> FastAPI:
    """The API of a running controller."""
    web = FastAPI(title="sdnlab controller", version="1", default_response_class=PlainJson)
    web.add_middleware(Gate, most=MOST_BODY)

    async def ask(question: Any) -> Any:
        return await asyncio.wait_for(asyncio.wrap_future(app.ask(question)), _ANSWER)

    @web.exception_handler(RequestValidationError)
    async def invalid(_: Request, problem: RequestValidationError) -> PlainJson:
        return PlainJson({"detail": _reasons(problem.errors())}, 422)

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

    @web.get("/topology")
    async def topology() -> Topology:
        return app.core.topology

    @web.put("/topology", status_code=202)
    async def put_topology(
        body: Annotated[dict[str, Any], Body()], number: Annotated[int, Query(ge=0)] = 0
    ) -> Applied:
        """Another intent. The event ``all-programmed`` has its ``number`` when every switch holds its
        tables."""
        try:
            wanted = Topology.model_validate_json(json.dumps(body))
        except ValidationError as problem:
            raise HTTPException(422, _reasons(problem.errors())) from None
        if reasons := contradictions(wanted):
            raise HTTPException(422, reasons)
        since = await asyncio.wait_for(asyncio.wrap_future(app.replace(wanted, number)), _ANSWER)
        return Applied(since=since)

    @web.post("/settled")
    async def settled(
        within: Annotated[float, Query(ge=0, le=60)] = _ANSWER,
        without: str = "",
    ) -> Settled:
        """Wait until the messages that switches have sent are handled, and all hold their wanted tables.
        ``without``: names of switches that were taken away, with commas between; these are not waited for."""
        away = frozenset(filter(None, without.split(",")))
        deadline = time.monotonic() + within
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear() -> None:
            loop.call_soon_threadsafe(heard.set)

        app.after_replies(hear)
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(heard.wait(), within)
        done = False
        while heard.is_set() and not (done := await ask(lambda: app.core.settled(away))):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_SETTLING)
        return Settled(settled=done)

    @web.get("/switches")
    async def switches() -> list[SwitchState]:
        got: list[SwitchState] = await ask(lambda: _switches(app))
        return got

    @web.get("/flows")
    async def flows(switch: Annotated[str | None, Query()] = None) -> list[FlowState]:
        names = [switch] if switch is not None else [s.name for s in app.core.topology.switches]
        per_switch = await asyncio.gather(*(_flows(app, name, switch is not None) for name in names))
        return [state for states in per_switch for state in states]

    @web.get("/groups")
    async def groups(switch: Annotated[str | None, Query()] = None) -> list[GroupState]:
        wanted = await ask(lambda: dict(app.core.wanted))
        if switch is not None and switch not in wanted:
            raise HTTPException(404, f"no switch named {switch}")
        return [
            GroupState(
                switch=name,
                id=group.id,
                kind=group.kind,
                buckets=[bucket_text(bucket) for bucket in group.buckets],
                why=group.why,
                entity=_entity(group.origin),
            )
            for name in ([switch] if switch is not None else wanted)
            for group in wanted[name].groups
        ]

    @web.get("/overlay")
    async def overlay() -> OverlayState:
        return await overlay_state(app, _ANSWER)

    web.include_router(routes(app, _ANSWER))

    @web.get("/stations")
    async def stations() -> list[dict[str, Any]]:
        got: list[dict[str, Any]] = await ask(lambda: app.core.learning.facts())
        return got

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


def _reasons(errors: Any) -> list[str]:
    return [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in errors]


def _switches(app: SwitchKeeper) -> list[SwitchState]:
    core = app.core
    avoid = core.avoid(time.monotonic())
    states = []
    for member in core.members.values():
        wanted = core.wanted.get(member.name)
        states.append(
            SwitchState(
                name=member.name,
                dpid=member.dpid,
                connected=member.conn is not None,
                converged=member.greeted and member.flight is None and member.held is wanted,
                avoided=member.name in avoid,
                flows=len(wanted.flows) if wanted else 0,
                groups=len(wanted.groups) if wanted else 0,
                down_ports=sorted(n for n, up in (member.ports or {}).items() if not up),
                failures=member.failures,
            )
        )
    return states


async def _flows(app: SwitchKeeper, name: str, strict: bool) -> list[FlowState]:
    wanted = await asyncio.wrap_future(app.ask(lambda: app.core.wanted.get(name)))
    try:
        parts = await asyncio.wait_for(asyncio.wrap_future(app.counters(name)), _ANSWER)
    except KeyError:
        raise HTTPException(404, f"no switch named {name}") from None
    except ConnectionError as problem:
        if strict and wanted is None:
            raise HTTPException(503, str(problem)) from None
        parts = []
    live = {entry.cookie: entry for part in parts for entry in parse_flow_desc(part)}
    states: list[FlowState] = []
    for flow in wanted.flows if wanted else ():
        entry = live.pop(flow.cookie, None)
        states.append(
            FlowState(
                switch=name,
                table=flow.table.name.lower(),
                priority=flow.priority,
                match=match_text(flow.match),
                actions=actions_text(flow),
                cookie=f"{flow.cookie:#x}",
                packets=entry.packets if entry else None,
                bytes=entry.bytes if entry else None,
                why=flow.why,
                entity=_entity(flow.origin),
            )
        )
    for entry in live.values():  # installed, but not (or no longer) wanted
        known = table_of(entry.table)
        table = str(entry.table) if known is None else known.name.lower()
        states.append(
            FlowState(
                switch=name, table=table, priority=entry.priority, match="?", actions="?",
                cookie=f"{entry.cookie:#x}", packets=entry.packets, bytes=entry.bytes, why="", entity=None,
            )
        )  # fmt: skip
    return states


def _entity(origin: Origin) -> str | None:
    return None if origin.entity is None else str(origin.entity)


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
