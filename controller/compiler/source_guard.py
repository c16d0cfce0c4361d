"""Table SECURITY: a host's port takes frames from the host's own addresses only.

What a port's host may claim: its MAC address (checked in CLASSIFY already), its IPv4 and IPv6
address, the link-local address made of its MAC, and no address yet (0.0.0.0 in an ARP probe, RFC 5227, or
to the limited broadcast address, RFC 2131; :: to a multicast group, RFC 4862).  Tagged frames
are dropped: hosts are on access ports.  So are router advertisements and redirects of ICMPv6: the file says
who routes.  A host that is a router may send packets from the addresses that its routes lead to by its other
interfaces.  The gateway of a way out may also claim any address that is outside the lab.  Frames that are
neither IP nor ARP have no source but their MAC address.  Frames from ports of hosts with ``allow_spoofing``
never come here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from controller.compiler.sff.encapsulation import VLAN_PRESENT
from controller.compiler.stations import Station
from controller.flow.builders import Priority, flow, miss
from controller.flow.tables import Field, Flow, Table
from topologies.model.outside import NAME_SERVER
from topologies.model.places import Entity
from topologies.model.routing import Sources
from wire.ethertype import ARP, IPV4, IPV6, RARP
from wire.mac import GROUP_BIT, link_local
from wire.nd import ADVERTISEMENT, REDIRECT, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, SOLICITATION
from wire.protocol import ICMPV6

_LIMITED_BROADCAST = 0xFFFFFFFF


def _drop(priority: int, match: tuple[Field, ...], why: str) -> Flow:
    return flow(Table.SECURITY, priority, match, why=f"{why}: dropped")


def _let(priority: int, match: tuple[Field, ...], why: str, entity: Entity | None = None) -> Flow:
    return flow(Table.SECURITY, priority, match, goto=Table.RESOLVE, why=why, entity=entity)


def _with_next_table(flows: Iterable[Flow], after: Table) -> list[Flow]:
    """The flows with table ``after`` in place of RESOLVE."""
    if after is Table.RESOLVE:
        return list(flows)
    return [
        entry
        if entry.goto is None
        else flow(entry.table, entry.priority, entry.match, goto=after, why=entry.origin)
        for entry in flows
    ]


def _forwarded(station: Station, sources: Sources) -> list[Flow]:
    """What a router may send for others: no neighbour discovery, which has the sender's own address."""
    port, name, entity = Field("in_port", station.port), station.name, station.entity
    flows = [
        _let(Priority.FLOOD, (port, *_from(prefix)), f"forwarded by {name}, from {prefix}", entity)
        for prefix in sources.among
    ]
    flows += [
        flow(
            Table.SECURITY,
            Priority.FLOOD + 1,
            (port, *_from(prefix)),
            why=f"{name} has no address of {prefix} but its own: dropped",
            entity=entity,
        )
        for prefix in sources.except_
    ]
    if any(prefix.version == 6 for prefix in sources.among):
        for kind, what in ((SOLICITATION, "solicitation"), (ROUTER_SOLICITATION, "router solicitation")):
            match = (port, Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", kind))
            why = f"a {what} from an address that is not {name}'s own: dropped"
            flows.append(flow(Table.SECURITY, Priority.FLOOD + 2, match, why=why, entity=entity))
    return flows


def _from(prefix: IPv4Network | IPv6Network) -> tuple[Field, ...]:
    ethertype = Field("eth_type", IPV4 if prefix.version == 4 else IPV6)
    if not prefix.prefixlen:
        return (ethertype,)
    name = "ip_src" if prefix.version == 4 else "ipv6_src"
    return (ethertype, Field(name, int(prefix.network_address), int(prefix.netmask)))


_SHARED = (
    _drop(Priority.TRUNK, (Field("vlan_vid", VLAN_PRESENT, VLAN_PRESENT),), "a VLAN tag on an access port"),
    _drop(
        Priority.SPECIAL,
        (Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", ADVERTISEMENT)),
        "a neighbour advertisement for an address that is not its own",
    ),
    *(
        _drop(
            Priority.SPECIAL,
            (Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", kind)),
            f"{what}: no host is a router (RFC 6105)",
        )
        for kind, what in ((ROUTER_ADVERTISEMENT, "a router advertisement"), (REDIRECT, "a redirect"))
    ),
    _let(
        Priority.KNOWN,
        (Field("eth_dst", GROUP_BIT, GROUP_BIT), Field("eth_type", IPV6), Field("ipv6_src", 0)),
        "no IPv6 address yet",
    ),
    _let(
        Priority.KNOWN,
        (Field("eth_type", IPV4), Field("ip_src", 0), Field("ip_dst", _LIMITED_BROADCAST)),
        "no IPv4 address yet",
    ),
    *(
        _drop(Priority.NOISE, (Field("eth_type", kind),), f"{name} from an address that is not its own")
        for kind, name in ((ARP, "ARP"), (RARP, "reverse ARP"), (IPV4, "IPv4"), (IPV6, "IPv6"))
    ),
    miss(Table.SECURITY, Table.RESOLVE, "neither IP nor ARP"),
)


def secure(
    local: Iterable[Station],
    after: Table = Table.RESOLVE,
    exits: Mapping[int, Entity] = MappingProxyType({}),
    inside: Sequence[IPv4Network | IPv6Network] = (),
    forwarded: Mapping[int, Sources] = MappingProxyType({}),
) -> list[Flow]:
    """Flows of one switch for those of its stations whose ports are checked; none for no station.

    ``after``: the table that follows. ``exits``: the ports of gateways of ways out, and what each is.
    ``inside``: what is never behind these. ``forwarded``: port of a host that is a router -> the source
    addresses that it may send beside its own.
    """
    flows: list[Flow] = []
    for station in local:
        port, name, entity = Field("in_port", station.port), station.name, station.entity
        if station.ipv4 is not None:
            own = Field("arp_sha", station.mac)
            arp = (port, Field("eth_type", ARP))
            flows += [
                _let(Priority.KNOWN, (*arp, Field("arp_spa", station.ipv4), own), f"ARP from {name}", entity),
                _let(Priority.KNOWN, (*arp, Field("arp_spa", 0), own), f"ARP probe from {name}", entity),
                _let(
                    Priority.KNOWN,
                    (port, Field("eth_type", IPV4), Field("ip_src", station.ipv4)),
                    f"IPv4 from {name}",
                    entity,
                ),
            ]
        for address in (station.ipv6, link_local(station.mac)):
            if address is None:
                continue
            ipv6 = (port, Field("eth_type", IPV6))
            source = Field("ipv6_src", address)
            advertisement = (Field("ip_proto", ICMPV6), Field("icmpv6_type", ADVERTISEMENT))
            flows += [
                _let(Priority.KNOWN, (*ipv6, source), f"IPv6 from {name}", entity),
                _let(
                    Priority.GUARD,
                    (*ipv6, Field("ip_proto", ICMPV6), source, advertisement[1], Field("nd_target", address)),
                    f"{name} advertises its own address",
                    entity,
                ),
            ]
        if station.port in forwarded:
            flows += _forwarded(station, forwarded[station.port])
    for number, entity in exits.items():
        flows += _from_outside(number, entity, inside)
    # a station with several addresses has one link-local address, so its flows come more than once
    return _with_next_table([*dict.fromkeys(flows), *_SHARED], after) if flows else []


def _from_outside(number: int, entity: Entity, inside: Sequence[IPv4Network | IPv6Network]) -> list[Flow]:
    """What comes in by the gateway at port ``number``: from any address but those of the lab."""
    port = Field("in_port", number)
    resolver = Field("ip_src", int(NAME_SERVER))
    answers = (port, Field("eth_type", IPV4), resolver)
    flows = [_let(Priority.KNOWN, answers, f"from the name server behind {entity.name}", entity)]
    for prefix in dict.fromkeys(inside):
        kind, field = (IPV4, "ip_src") if prefix.version == 4 else (IPV6, "ipv6_src")
        source = Field(field, int(prefix.network_address), int(prefix.netmask))
        match = (port, Field("eth_type", kind), source)
        why = f"from {prefix}, which is not outside, by {entity.name}: dropped"
        flows.append(flow(Table.SECURITY, Priority.UNKNOWN + 1, match, why=why, entity=entity))
    for kind, name in ((IPV4, "IPv4"), (IPV6, "IPv6")):
        why = f"{name} from outside by {entity.name}"
        flows.append(_let(Priority.UNKNOWN, (port, Field("eth_type", kind)), why, entity))
    return flows
