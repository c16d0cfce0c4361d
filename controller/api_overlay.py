"""The northbound API's answer to what the tunnels carried."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from controller.mesh import Counted, mesh
from controller.openflow.replies import parse_flow_desc
from controller.runtime.app import SwitchKeeper


class TunnelState(BaseModel):
    """Unicast frames of one network from one domain's VTEP to another's; ``bytes`` of inner frames."""

    source: str
    target: str
    from_address: str
    to_address: str
    network: str
    vni: int
    packets: int
    bytes: int


class FloodState(BaseModel):
    """Frames of one network that a domain's tunnel switch sent to all members."""

    domain: str
    network: str
    vni: int
    packets: int
    bytes: int


class OverlayState(BaseModel):
    """The tunnel mesh; empty for a lab without an underlay."""

    mesh: list[TunnelState]
    flooded: list[FloodState]


async def overlay_state(app: SwitchKeeper, patience: float) -> OverlayState:
    """Ask all tunnel switches for their counters; one that does not answer counts as 0."""
    topology, tables = await asyncio.wrap_future(app.ask(lambda: (app.core.topology, dict(app.core.wanted))))
    vteps = topology.underlay.vteps if topology.underlay else ()
    address = {vtep.domain: str(vtep.address) for vtep in vteps}

    async def counters(name: str) -> dict[int, Counted]:
        try:
            parts = await asyncio.wait_for(asyncio.wrap_future(app.counters(name)), patience)
        except (KeyError, ConnectionError, TimeoutError, asyncio.TimeoutError):
            return {}
        entries = [entry for part in parts for entry in parse_flow_desc(part)]
        return {entry.cookie: Counted(entry.packets, entry.bytes) for entry in entries}

    found = await asyncio.gather(*(counters(vtep.switch) for vtep in vteps))
    by_switch = {vtep.switch: each for vtep, each in zip(vteps, found, strict=True)}
    ways, flooded = mesh(topology, tables, by_switch)
    return OverlayState(
        mesh=[
            TunnelState(
                source=way.source,
                target=way.target,
                from_address=address[way.source],
                to_address=address[way.target],
                network=way.network,
                vni=way.vni,
                **way.counted._asdict(),
            )
            for way in ways
        ],
        flooded=[
            FloodState(domain=each.domain, network=each.network, vni=each.vni, **each.counted._asdict())
            for each in flooded
        ],
    )
