"""Flow counters of several switches at once, for the answers of the northbound API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from controller.counters.tunnel_counters import Counted
from controller.flow.tables import SwitchTables
from controller.openflow.replies import parse_flow_desc
from controller.runtime.app import SwitchKeeper
from topologies.model.topology import Topology

Counters = dict[str, dict[int, Counted]]


class Present(NamedTuple):
    """The intent, what switches should hold now, and the controller's clock."""

    topology: Topology
    tables: dict[str, SwitchTables]
    now: float


async def present(app: SwitchKeeper, patience: float) -> Present:
    """The intent and the tables at one moment."""

    def look() -> Present:
        return Present(app.core.topology, dict(app.core.wanted), time.monotonic())

    return await result_within(app.ask(look), patience)  # type: ignore[no-any-return]


async def counters(app: SwitchKeeper, switches: Iterable[str], patience: float) -> Counters:
    """Switch -> cookie -> its flow's counters; a switch that does not answer is missing."""

    async def one(name: str) -> dict[int, Counted] | None:
        try:
            parts = await result_within(app.counters(name), patience)
        except (KeyError, ConnectionError, TimeoutError, asyncio.TimeoutError):
            return None
        entries = [entry for part in parts for entry in parse_flow_desc(part)]
        return {entry.cookie: Counted(entry.packets, entry.bytes) for entry in entries}

    names = list(switches)
    replies = await asyncio.gather(*map(one, names))
    return {name: counted for name, counted in zip(names, replies, strict=True) if counted is not None}


async def result_within(future: Any, patience: float) -> Any:
    """The result of a question to the core's thread (TimeoutError: it did not come in time)."""
    return await asyncio.wait_for(asyncio.wrap_future(future), patience)
