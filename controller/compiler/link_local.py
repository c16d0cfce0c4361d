"""Link-local multicast between hosts that may spoof (``allow_spoofing``): VRRP, OSPF and the like. Pure.

A network on one island floods nothing, so such a frame would reach nobody.  It goes to the controller, which
sends a copy out of the network's other ports that take any source.  The copies never pass a link between
switches, so they cannot loop.  ``Limits.port_rate`` in ``controller.runtime.learning`` says how many a second
the controller takes from each port.  Two groups of addresses: 224.0.0.0/24 (RFC 5771, section 4) and
ff02::/16 (RFC 4291, 2.7).  In a network on several islands, the overlay floods all multicast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.flow.builders import Priority, flow
from controller.flow.tables import CONTROLLER, Field, Flow, Output, Table
from topologies.model.places import Entity
from wire.ethertype import IPV4, IPV6
from wire.mac import GROUP_BIT

_V4 = (Field("eth_type", IPV4), Field("ip_dst", 0xE0000000, 0xFFFFFF00))
_V6 = (Field("eth_type", IPV6), Field("ipv6_dst", 0xFF02 << 112, 0xFFFF << 112))


def link_local_multicast(ports: Iterable[int], behind: Mapping[int, Entity]) -> list[Flow]:
    """RESOLVE's flows of one switch, for its host ports that take any source, in networks on one island.
    ``behind``: what is behind host ports by the file."""
    return [
        flow(
            Table.RESOLVE,
            Priority.FLOOD,
            (Field("in_port", port), Field("eth_dst", GROUP_BIT, GROUP_BIT), *group),
            (Output(CONTROLLER),),
            why="link-local multicast: the controller sends it to the network's others that may spoof",
            entity=behind.get(port),
        )
        for port in sorted(ports)
        for group in (_V4, _V6)
    ]


def is_link_local(frame: bytes) -> bool:
    """Whether an untagged Ethernet frame is link-local multicast."""
    if len(frame) < 34 or not frame[0] & 1:
        return False
    kind = int.from_bytes(frame[12:14], "big")
    return (kind == IPV4 and frame[30:33] == b"\xe0\0\0") or (kind == IPV6 and frame[38:40] == b"\xff\x02")
