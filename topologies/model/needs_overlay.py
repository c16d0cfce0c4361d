"""Whether the functions of a lab need an overlay, and how many bytes their chains add to frames in it.
Pure."""

from __future__ import annotations

from topologies.model.overlay import islands, membership, overlay, reach
from topologies.model.service_paths import service
from topologies.model.topology import Topology
from topologies.model.transit import senders

VLAN_BYTES = 4
"""An 802.1Q tag."""
NSH_BYTES = 22
"""An outer Ethernet header (14) and an NSH of MD type 2 without metadata: base header and service path
header of 4 bytes each (RFC 8300, 2.2 to 2.5)."""


def functions_need_overlay(topology: Topology) -> bool:
    """Whether frames must go from one island to another because of functions, so that a lab without an
    underlay needs one."""
    if not topology.functions:
        return False
    island = islands(topology)
    bare = topology.model_copy(update={"functions": (), "chains": ()})
    members, reached, before = membership(topology), reach(topology), reach(bare)
    for network, switches in reached.items():
        without = {island[name] for name in before[network]}
        if len({island[name] for name in switches}) > max(1, len(without)):
            return True
    hops = service(topology).hops
    return any(
        island[name] != island[hops[number].switch]
        for number, switches in senders(topology, members, reached).items()
        for name in switches
    )


def transit_overhead(topology: Topology) -> int:
    """The most bytes that a chain adds to a frame in a tunnel; 0 when no chain crosses."""
    hops = service(topology).hops if topology.functions else {}
    nsh = {chain.name for chain in topology.chains if chain.encapsulation == "nsh"}
    crossing = [hops[number] for transport in overlay(topology).transports for number in transport.hops]
    return max((NSH_BYTES if hop.chain in nsh else VLAN_BYTES for hop in crossing), default=0)
