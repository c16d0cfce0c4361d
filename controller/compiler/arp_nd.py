"""Table RESOLVE: ARP (RFC 826) and neighbour discovery (RFC 4861) answered in the switch.

The switch rewrites the request into its answer, and sends it back out of the ingress port, so it floods no
request for a known address.  A request for another one goes to all members of the network.  Table EGRESS
finishes a neighbour advertisement: Open vSwitch lets only a flow that matches an advertisement write its
target link-layer address.  The flags and the type of the option are moved there from a register: Open
vSwitch's kernel datapath refuses flows that set them directly (ofproto-dpif.c, check_actions), and takes a
move, as the userspace datapath does.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.compiler.stations import Station
from controller.flow.builders import ANSWER, NETWORK, WRITTEN, Priority, flow, miss
from controller.flow.tables import IN_PORT, Field, Flow, Move, Output, SetField, Table
from topologies.model.places import Entity
from wire.ethertype import ARP, IPV6
from wire.mac import GROUP_BIT
from wire.nd import ADVERTISEMENT, SOLICITATION
from wire.protocol import ICMPV6

TARGET_LINK_LAYER_ADDRESS = 2
SOLICITED_OVERRIDE = 0x60000000

_SOLICITATION = (
    Field("eth_type", IPV6),
    Field("ip_proto", ICMPV6),
    Field("icmpv6_type", SOLICITATION),
    Field("icmpv6_code", 0),
)
_REQUEST = (Field("eth_type", ARP), Field("arp_op", 1))

_ADVERTISE = (SetField("icmpv6_type", ADVERTISEMENT), SetField(ANSWER, 1))

_PROBE6 = flow(
    Table.RESOLVE,
    Priority.GUARD,
    (Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("ipv6_src", 0), *_SOLICITATION[2:]),
    why="duplicate address detection: an address in the file is its host's own",
)

# fe80::<EUI-64 of a MAC> (RFC 4291, appendix A) has ff:fe in its middle and the MAC around it,
# with the universal/local bit inverted: two flows answer for all such addresses at once.
_EUI64 = 0xFE80 << 112 | 0xFFFE << 24
_EUI64_MASK = (1 << 64) - 1 << 64 | 0xFFFF << 24
_EUI64_LOCAL = 1 << 57
_MAC_LOCAL = 1 << 41


def _link_local(universal: bool) -> Flow:
    bit = _EUI64_LOCAL if universal else 0
    return flow(
        Table.RESOLVE,
        Priority.KNOWN - 1,  # a station with such an address and another MAC has its own answer, at KNOWN
        (*_SOLICITATION, Field("nd_target", _EUI64 | bit, _EUI64_MASK | _EUI64_LOCAL)),
        (
            Move("eth_src", "eth_dst", 48),
            Move("nd_target", "eth_src", 24, 0, 0),
            Move("nd_target", "eth_src", 24, 40, 24),
            SetField("eth_src", 0 if universal else _MAC_LOCAL, _MAC_LOCAL),
            Move("ipv6_src", "ipv6_dst", 128),
            Move("nd_target", "ipv6_src", 128),
            *_ADVERTISE,
        ),
        Table.EGRESS,
        why="solicitation for a link-local address that contains its MAC: answered here",
    )


_LINK_LOCAL = (_link_local(True), _link_local(False))
_NOISE = flow(
    Table.RESOLVE,
    Priority.NOISE,
    (Field("eth_dst", GROUP_BIT, GROUP_BIT),),
    why="broadcast or multicast, and nobody else is in the network: dropped",
)
_MISS = miss(Table.RESOLVE, Table.ROUTE, "nothing to resolve")
_TAIL = (*_LINK_LOCAL, _NOISE, _MISS)

_FINISH = flow(
    Table.EGRESS,
    Priority.KNOWN,
    (
        Field(ANSWER, 1),
        Field("eth_type", IPV6),
        Field("ip_proto", ICMPV6),
        Field("icmpv6_type", ADVERTISEMENT),
        Field("icmpv6_code", 0),
    ),
    (
        SetField(WRITTEN, SOLICITED_OVERRIDE),
        Move(WRITTEN, "nd_reserved", 32),
        SetField(WRITTEN, TARGET_LINK_LAYER_ADDRESS),
        Move(WRITTEN, "nd_options_type", 8),
        Move("eth_src", "nd_tll", 48),
        Output(IN_PORT),
    ),
    why="neighbour advertisement made here: complete and answer",
)
EGRESS = (_FINISH, miss(Table.EGRESS, None, "nothing to send"))


def answer4(network: int, address: int, mac: int, name: str, entity: Entity) -> Flow:
    """The ARP reply for ``address``, as the request rewritten (RFC 826, packet reception). ``entity``: whose
    it is."""
    return flow(
        Table.RESOLVE,
        Priority.KNOWN,
        (Field(NETWORK, network), *_REQUEST, Field("arp_tpa", address)),
        (
            Move("eth_src", "eth_dst", 48),
            SetField("eth_src", mac),
            SetField("arp_op", 2),
            Move("arp_sha", "arp_tha", 48),
            Move("arp_spa", "arp_tpa", 32),
            SetField("arp_sha", mac),
            SetField("arp_spa", address),
            Output(IN_PORT),
        ),
        why=f"ARP for {name} answered here",
        entity=entity,
    )


def announcement(network: int, address: int, name: str, entity: Entity) -> Flow:
    """Gratuitous ARP requests (RFC 5227, 1.2 and 3) announce an address: all members get them, and nobody
    answers."""
    match = (
        Field(NETWORK, network),
        _REQUEST[0],
        _REQUEST[1],
        Field("arp_spa", address),
        Field("arp_tpa", address),
    )
    why = f"announces an address of {name}: to all members"
    return flow(Table.RESOLVE, Priority.KNOWN + 1, match, goto=Table.FORWARD, why=why, entity=entity)


def answer6(network: int, address: int, mac: int, name: str, entity: Entity) -> Flow:
    """The neighbour advertisement for ``address`` (RFC 4861, 7.2.4), solicited, override. ``entity``: whose
    it is."""
    return flow(
        Table.RESOLVE,
        Priority.KNOWN,
        (Field(NETWORK, network), *_SOLICITATION, Field("nd_target", address)),
        (
            Move("eth_src", "eth_dst", 48),
            SetField("eth_src", mac),
            Move("ipv6_src", "ipv6_dst", 128),
            SetField("ipv6_src", address),
            *_ADVERTISE,
        ),
        Table.EGRESS,
        why=f"neighbour solicitation for {name} answered here",
        entity=entity,
    )


def answers(stations: Iterable[Station]) -> dict[int, tuple[Flow, ...]]:
    """Per network: the answers for all its addresses, the same on every switch."""
    by_network: dict[int, list[Flow]] = {}
    for station in stations:
        flows = by_network.setdefault(station.network, [])
        if station.ipv4 is not None:
            flows.append(answer4(station.network, station.ipv4, station.mac, station.name, station.entity))
        if station.ipv6 is not None:
            flows.append(answer6(station.network, station.ipv6, station.mac, station.name, station.entity))
    return {network: tuple(flows) for network, flows in by_network.items()}


def resolve(
    local: Iterable[Station], shared: dict[int, tuple[Flow, ...]], networks: Iterable[int]
) -> list[Flow]:
    """Flows of one switch that has host ports in ``networks``; ``local`` are its stations."""
    flows = [
        flow(
            Table.RESOLVE,
            Priority.GUARD,
            (Field("in_port", station.port), *_REQUEST, Field("arp_tpa", station.ipv4)),
            why=f"{station.name} asks for its own address: its own, so nobody answers",
            entity=station.entity,
        )
        for station in local
        if station.ipv4 is not None
    ]
    flows.append(_PROBE6)
    for network in sorted(networks):
        flows += shared.get(network, ())
    flows += _TAIL
    return flows
