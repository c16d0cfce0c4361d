"""The northbound API's answer to what the tunnels carried."""

from __future__ import annotations

from controller.answers import FloodState, OverlayState, TunnelState
from controller.api.counters import counters, present
from controller.counters.tunnel_counters import mesh
from controller.runtime.app import SwitchKeeper


async def overlay_state(app: SwitchKeeper, patience: float) -> OverlayState:
    """Ask all tunnel switches for their counters; one that does not answer counts as 0."""
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
            FloodState(domain=each.domain, network=each.network, vni=each.vni, **each.counted._asdict())
            for each in flooded
        ],
    )
