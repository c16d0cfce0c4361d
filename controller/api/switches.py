"""The northbound API's endpoints for switches: their state, and their flows and groups with origins."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query

from controller.answers import SwitchState
from controller.api.counters import result_within
from controller.flow.tables import table_of
from controller.flow.text import actions_text, bucket_text, match_text
from controller.openflow.replies import parse_flow_desc
from controller.origin import Origin
from controller.runtime.app import SwitchKeeper
from controller.table_answers import FlowState, GroupState


def add(web: FastAPI, app: SwitchKeeper, patience: float) -> None:
    """Add the endpoints to ``web``. ``patience``: seconds until the core's thread or a switch must answer."""

    @web.get("/switches")
    async def switches() -> list[SwitchState]:
        got: list[SwitchState] = await result_within(app.ask(lambda: _switches(app)), patience)
        return got

    @web.get("/flows")
    async def flows(switch: Annotated[str | None, Query()] = None) -> list[FlowState]:
        names = [switch] if switch is not None else [s.name for s in app.core.topology.switches]
        per_switch = await asyncio.gather(
            *(_flows(app, name, switch is not None, patience) for name in names)
        )
        return [state for states in per_switch for state in states]

    @web.get("/groups")
    async def groups(switch: Annotated[str | None, Query()] = None) -> list[GroupState]:
        wanted = await result_within(app.ask(lambda: dict(app.core.wanted)), patience)
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


async def _flows(app: SwitchKeeper, name: str, strict: bool, patience: float) -> list[FlowState]:
    wanted = await asyncio.wrap_future(app.ask(lambda: app.core.wanted.get(name)))
    try:
        parts = await result_within(app.counters(name), patience)
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
