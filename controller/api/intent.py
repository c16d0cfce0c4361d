"""The northbound API's endpoints for the intent: what it is, another one, and whether it is in effect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Query
from pydantic import ValidationError

from controller.answers import Applied, Settled
from controller.api.contradictions import contradictions
from controller.api.counters import result_within
from controller.runtime.app import SwitchKeeper
from topologies.model.topology import Topology

_SETTLING = 0.005
"""Seconds between two looks whether all switches hold their tables."""


def add(web: FastAPI, app: SwitchKeeper, patience: float) -> None:
    """Add the endpoints to ``web``. ``patience``: seconds until the core's thread has to answer."""

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
            raise HTTPException(422, reasons(problem.errors())) from None
        if contradicting := contradictions(wanted):
            raise HTTPException(422, contradicting)
        since = await result_within(app.replace(wanted, number), patience)
        return Applied(since=since)

    @web.post("/settled")
    async def settled(
        within: Annotated[float, Query(ge=0, le=60)] = patience,
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
        while heard.is_set() and not (
            done := await result_within(app.ask(lambda: app.core.settled(away)), patience)
        ):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_SETTLING)
        return Settled(settled=done)


def reasons(errors: Any) -> list[str]:
    """The errors of a validation by pydantic, each with the place where it is."""
    return [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in errors]
