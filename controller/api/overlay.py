"""The northbound API's answer about frames through the tunnels."""

from __future__ import annotations

from controller.answers import FloodState, OverlayState, TunnelState
from controller.api.counters import counters, present
from controller.counters.tunnel_counters import mesh
from controller.runtime.app import SwitchKeeper


async def overlay_state(app: SwitchKeeper, patience: float) -> OverlayState:
    """Ask all tunnel switches for their counters; those of a switch that does not answer are 0."""
    known = await present(app, patience)
    topology, tables = known.topology, known.tables
    vteps = topology.underlay.vteps if topology.underlay else ()
    address = {vtep.domain: str(vtep.address) for vtep in vteps}
    by_switch = await counters(app, (vtep.switch for vtep in vteps), patience)
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
            FloodState(domain=flood.domain, network=flood.network, vni=flood.vni, **flood.counted._asdict())
            for flood in flooded
        ],
    )
