"""Table CLASSIFY: which network a frame belongs to, and whether its sender is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.compiler.sff.encapsulation import VLAN_PRESENT
from controller.compiler.stations import Station
from controller.flow.builders import DETOURED, NETWORK, Priority, flow, miss
from controller.flow.tables import CONTROLLER, Field, Flow, Move, Output, SetField, Table
from controller.origin import Host
from topologies.model.places import Entity
from wire.ethertype import ARP, IPV6, QINQ, VLAN
from wire.mac import GROUP_BIT, link_local
from wire.nd import ADVERTISEMENT
from wire.protocol import ICMPV6

_MISS = miss(Table.CLASSIFY, None, "no such port in the topology: dropped")
_FORGED = flow(
    Table.CLASSIFY,
    Priority.GUARD,
    (Field("eth_src", GROUP_BIT, GROUP_BIT),),
    why="a group address can not be a source: dropped",
)
_TAGGED = flow(
    Table.CLASSIFY,
    Priority.GUARD,
    (Field("vlan_vid", VLAN_PRESENT, VLAN_PRESENT),),
    why="a VLAN tag on an access port: dropped",
)
"""Also at ports that take any source, since a chain's tag looks the same. In a frame with two tags Open
vSwitch sees no IP, and neither does a firewall, but a host's kernel removes both tags if their VID is 0."""


def second_tags(ports: Iterable[int]) -> list[Flow]:
    """What drops frames that had two tags on a trunk. ``ports``: those of its VLANs.

    The outer tag is off when they come. Open vSwitch matches one tag (vlan-limit, ovs-vswitchd.conf.db(5)),
    so such a frame has none for it: neither a VLAN id nor an IP address, but the EtherType of the other tag.
    """
    return [
        flow(
            Table.CLASSIFY,
            Priority.GUARD,
            (Field("in_port", port), Field("eth_type", kind)),
            why="a second VLAN tag on a trunk: dropped",
        )
        for port in ports
        for kind in (VLAN, QINQ)
    ]


def classify(
    trunks: Mapping[int, str],
    access: Mapping[int, tuple[str, int]],
    local: Iterable[Station],
    behind: Mapping[int, Entity],
    free: frozenset[int] = frozenset(),
    after: Table = Table.RESOLVE,
    guards: tuple[Flow, ...] = (),
) -> list[Flow]:
    """Flows of one switch. ``trunks``: link ports with the link's name. ``access``: host ports
    with their network's name and number. ``local``: stations on this switch. ``behind``: what is behind
    host ports by the file. ``free``: host ports that take frames from any source. ``after``: the table after
    SECURITY. ``guards``: flows that drop what no host may send."""
    flows = [
        flow(
            Table.CLASSIFY,
            Priority.TRUNK,
            (Field("in_port", port),),
            # the sender's switch has checked the network; only the detour mark matters here
            (Move("eth_src", DETOURED, 1, 40, 0),),
            Table.FORWARD,
            why=f"link {trunks[port]}",
            entity=Entity("link", trunks[port]),
        )
        for port in sorted(trunks)
    ]
    if access:
        flows.append(_FORGED)
    if free or guards:
        flows.append(_TAGGED)
    flows += guards
    for station in local:
        flows.append(
            flow(
                Table.CLASSIFY,
                Priority.KNOWN,
                (Field("in_port", station.port), Field("eth_src", station.mac)),
                (SetField(NETWORK, station.network),),
                after if station.port in free else Table.SECURITY,
                why=Host(
                    f"from {station.name}, network {access[station.port][0]}",
                    station.port,
                    station.mac,
                    entity=station.entity,
                ),
            )
        )
    for port, (network, number) in sorted(access.items()):
        if port not in free:
            flows.append(
                flow(
                    Table.CLASSIFY,
                    Priority.UNKNOWN,
                    (Field("in_port", port),),
                    why=f"network {network}: not the MAC address of this port's host: dropped",
                    entity=behind.get(port),
                )
            )
            continue
        flows.append(
            flow(
                Table.CLASSIFY,
                Priority.UNKNOWN,
                (Field("in_port", port),),
                (SetField(NETWORK, number), Output(CONTROLLER)),
                after,
                why=f"unknown sender in network {network}: copy to the controller, which learns it",
                entity=behind.get(port),
            )
        )
    flows.append(_MISS)
    return flows


def announcements(
    own: Iterable[Station], access: Mapping[int, tuple[str, int]], after: Table = Table.RESOLVE
) -> list[Flow]:
    """Flows of one switch for address announcements at ports that take frames from any source.

    ``own``: the file's hosts at such ports. The controller gets a copy of each ARP packet and neighbour
    advertisement for an address that the file does not give the host: an address can move to a MAC address
    that is known already (RFC 5944, 4.6; RFC 9568, 6.4.1).
    """
    flows = []
    for station in own:
        port = Field("in_port", station.port)
        arp = (port, Field("eth_type", ARP))
        advertisement = (
            port,
            Field("eth_type", IPV6),
            Field("ip_proto", ICMPV6),
            Field("icmpv6_type", ADVERTISEMENT),
        )
        network, number = access[station.port]
        known = (SetField(NETWORK, number),)
        for match in (arp, advertisement):
            why = f"an address claimed in network {network}: copy to the controller, which learns it"
            copied = (*known, Output(CONTROLLER))
            flows.append(
                flow(
                    Table.CLASSIFY,
                    Priority.KNOWN + 1,
                    match,
                    copied,
                    after,
                    why=why,
                    entity=station.entity,
                )
            )
        source = Field("eth_src", station.mac)
        mine: list[tuple[Field, ...]] = [
            (port, source, arp[1], Field("arp_spa", address))
            for address in (0, station.ipv4)
            if address is not None
        ]
        mine += [
            (port, source, *advertisement[1:], Field("nd_target", address))
            for address in (station.ipv6, link_local(station.mac))
            if address is not None
        ]
        for own_claim in mine:
            why = f"from {station.name}, of its own address"
            flows.append(
                flow(
                    Table.CLASSIFY,
                    Priority.KNOWN + 2,
                    own_claim,
                    known,
                    after,
                    why=why,
                    entity=station.entity,
                )
            )
    return flows
