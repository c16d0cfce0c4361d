"""The northbound API's answers about functions, and the lab's reports about them."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

from controller.answers import BackendState, ChainState, FunctionState, InstanceState, Taken
from controller.api.chains import chain_states
from controller.api.counters import Counters, Present, counters, present, result_within
from controller.counters.chain_counters import arrived, switches_with_chains, through
from controller.runtime.app import SwitchKeeper
from controller.runtime.health import MOST_REPORTED, Health, backend_name
from controller.runtime.liveness import State
from topologies.model.attachment import Flows, Inline, Instance
from topologies.model.functions import Function
from topologies.model.kinds import LoadBalancer
from topologies.model.service_paths import Service, service

Within = Annotated[float | None, Query(gt=0, description="seconds until a silent switch is left out")]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Reason = Annotated[str, Field(max_length=1000)]


class Reported(BaseModel):
    """All instances (``fw.1``) and backends (``lb/web1``) that the lab knows to have failed, and nothing
    else; ``reasons`` by the same names, where there are any."""

    failed: Annotated[list[Name], Field(max_length=MOST_REPORTED)]
    reasons: dict[str, Reason] = {}


class BackendReport(BaseModel):
    """The result of a health check."""

    function: Name
    backend: Name
    up: bool
    reason: Reason = ""


class InstanceReport(BaseModel):
    """Whether an instance's process works."""

    instance: Name
    up: bool
    reason: Reason = ""


def add(web: FastAPI, app: SwitchKeeper, patience: float) -> None:
    """Add the API's endpoints for functions. ``patience``: seconds until a silent switch is left out."""

    @web.get("/functions")
    async def functions(
        name: Annotated[str | None, Query()] = None, within: Within = None
    ) -> list[FunctionState]:
        """All functions (or the one named), with the switches' counters."""
        known = await present(app, patience)
        chosen = [function for function in known.topology.functions if name in (None, function.name)]
        if name is not None and not chosen:
            raise HTTPException(404, f"no function named {name}")
        switches = {function.switch for function in chosen if function.switch is not None} & set(
            switches_with_chains(known.tables)
        )
        counted = await counters(app, switches, within or patience)
        paths = service(known.topology)
        return [_function(app.core.health, function, paths, known, counted) for function in chosen]

    @web.get("/chains")
    async def chains(name: Annotated[str | None, Query()] = None, within: Within = None) -> list[ChainState]:
        """All chains (or the one named), hop by hop, with the switches' counters."""
        known = await present(app, patience)
        chosen = [chain for chain in known.topology.chains if name in (None, chain.name)]
        if name is not None and not chosen:
            raise HTTPException(404, f"no chain named {name}")
        counted = await counters(
            app, switches_with_chains(known.tables) if chosen else (), within or patience
        )
        return chain_states(known, chosen, counted, app.core.health.failed)

    async def reported(body: Reported) -> Taken:
        """All that has failed by the lab's knowledge; what is not named here counts as working."""
        failed = {name: body.reasons.get(name, "") for name in body.failed}
        since = app.journal.last
        await result_within(app.reported(failed), patience)
        return Taken(since=since)

    web.put("/functions/reported")(reported)
    web.post("/functions/reported")(reported)

    @web.post("/functions/backend")
    async def backend(body: BackendReport) -> Taken:
        """One backend's health has changed."""
        return await report(backend_name(body.function, body.backend), body.up, body.reason)

    @web.post("/functions/instance")
    async def instance(body: InstanceReport) -> Taken:
        """One instance's process has failed or works again; probes check it besides."""
        return await report(body.instance, body.up, body.reason)

    async def report(name: str, up: bool, reason: str) -> Taken:
        since = app.journal.last
        try:
            await result_within(app.report(name, up, reason), patience)
        except KeyError:
            raise HTTPException(404, f"the topology has no {name}") from None
        return Taken(since=since)


def _function(
    health: Health, function: Function, paths: Service, known: Present, counters: Counters
) -> FunctionState:
    instances = [_instance(health, instance, known, counters) for instance in function.instances]
    of_balancer = function.balancer.backends if isinstance(function, LoadBalancer) else ()
    backends = [_backend(health, function.name, backend.host, known.now) for backend in of_balancer]
    works = [*(instance.state != "failed" for instance in instances), *(backend.up for backend in backends)]
    state: Literal["live", "degraded", "failed"] = "live"
    if works and not all(works):
        state = "degraded" if any(works) else "failed"
    packets = dropped = None
    switch = function.switch or ""
    counted = counters.get(switch)
    if instances and counted is not None:
        packets = sum(instance.entered or 0 for instance in instances)
        inline = isinstance(function.attachment, Inline)
        dropped = sum(instance.dropped or 0 for instance in instances) if inline else None
    elif isinstance(function.attachment, Flows) and counted is not None and switch in known.tables:
        here = [hop for hop in paths.hops.values() if hop.function == function.name]
        packets = sum(arrived(hop, known.tables[switch], counted).packets for hop in here)
    return FunctionState(
        name=function.name,
        kind=function.kind,
        engine=function.engine,
        mode=function.attachment.mode,
        switch=function.switch,
        on_failure=function.on_failure,
        state=state,
        packets=packets,
        dropped=dropped,
        instances=instances,
        backends=backends,
    )


def _instance(health: Health, instance: Instance, known: Present, counters: Counters) -> InstanceState:
    name = instance.name
    facts, reported = health.liveness.facts(name), health.report_of(name)
    since, reason = (facts.since, facts.reason) if facts is not None and facts.reason else (None, "")
    state: State = facts.state if facts is not None else "live"
    if reported is not None:
        state, (reason, since) = "failed", reported
    entered = left = dropped = octets = None
    switch = instance.inward.switch
    if switch in known.tables and switch in counters:
        passage = through(instance, known.tables[switch], counters[switch])
        entered, octets = passage.entered.packets, passage.entered.bytes
        if passage.left is not None:
            left = passage.left.packets
            dropped = max(0, entered - left)
    return InstanceState(
        name=name,
        state=state,
        since=_since_1970(since, known.now),
        reason=reason,
        rtt=facts.rtt if facts is not None else None,
        entered=entered,
        left=left,
        dropped=dropped,
        bytes=octets,
    )


def _backend(health: Health, function: str, backend: str, now: float) -> BackendState:
    reported = health.report_of(backend_name(function, backend))
    if reported is None:
        return BackendState(name=backend, up=True, since=None, reason="")
    return BackendState(name=backend, up=False, since=_since_1970(reported[1], now), reason=reported[0])


def _since_1970(at: float | None, now: float) -> float | None:
    return None if at is None else time.time() - (now - at)
