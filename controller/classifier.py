"""Table CHAIN: which frames of a switch's hosts a chain takes (RFC 7665's classifier).

Only IP is ever taken: never ARP, neighbour discovery or any other multicast, and nothing that the
tenant's router answers itself.

A fragment has no ports to look at: the switch takes them for 0 in all of them, the first one as well
(ovs-fields(7), nw_frag), so that a datagram's fragments stay together.  A chain that matches ports
takes all fragments between its addresses, whatever their ports: rather too much in a firewall than past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from controller.flows import GROUP_BIT, HOP, NETWORK, flow, miss
from controller.port_ranges import covering
from controller.route import Gateway
from controller.tables import Field, Flow, SetField, Table
from topologies.functions import Prefixes
from topologies.service import Entry

IPV4, IPV6 = 0x0800, 0x86DD
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of router and neighbour solicitation and advertisement, and redirect (RFC 4861, 4)."""
ERRORS = {IPV4: (3, 11, 12), IPV6: (1, 2, 3, 4)}
"""ICMP types that say what became of another packet (RFC 792; RFC 4443, 2.1)."""

FRAGMENT = Field("ip_frag", 1, 1)
NEVER = 60_000
"""Priority of what no chain takes."""
TAKEN = 1_000
"""Lowest priority of what chains take; see ``level_of``."""

MISS = miss(Table.CHAIN, Table.RESOLVE, "in no chain")
_MULTICAST = flow(
    Table.CHAIN,
    NEVER,
    (Field("eth_dst", GROUP_BIT, GROUP_BIT),),
    goto=Table.RESOLVE,
    why="broadcast or multicast: in no chain",
)


def _discovery(kind: int) -> Flow:
    match = (Field("eth_type", IPV6), Field("ip_proto", PROTOCOLS["icmpv6"]), Field("icmpv6_type", kind))
    why = "neighbour discovery: in no chain"
    return flow(Table.CHAIN, NEVER, match, goto=Table.RESOLVE, why=why)


_NEVER = (_MULTICAST, *map(_discovery, NEIGHBOUR_DISCOVERY))


def levels(entries: Iterable[Entry]) -> dict[int, int]:
    """Chains' priority -> its place among those in use, from 0."""
    return {priority: place for place, priority in enumerate(sorted({each.priority for each in entries}))}


def level_of(level: int, forward: bool, exact: bool) -> int:
    """A flow's priority: first by the chain's, then there before back, then ports before fragments."""
    return TAKEN + 4 * level + 2 * forward + exact


def prefix_field(name: str, prefix: Prefixes, index: int) -> tuple[Field, ...]:
    """A match on ``prefix[index]``; none for all addresses."""
    network = prefix[index]
    if network.prefixlen == 0:
        return ()
    whole = network.prefixlen == network.max_prefixlen
    return (Field(name, int(network.network_address), None if whole else int(network.netmask)),)


EVERY: Sequence[tuple[Field, ...]] = ((),)
"""The one match of all addresses."""


def _addresses(name: str, version: int, some: Prefixes) -> Sequence[tuple[Field, ...]]:
    """Matches for those of this family; one that matches all when no prefix is asked for."""
    if not some:
        return EVERY
    return [prefix_field(name, some, index) for index, each in enumerate(some) if each.version == version]


def pairs(entry: Entry) -> Iterator[tuple[int, tuple[Field, ...]]]:
    """(Ethernet type, matches on it and on both addresses), for each family that the entry is about."""
    for version, kind, prefix in ((4, IPV4, "ip"), (6, IPV6, "ipv6")):
        if entry.protocol == ("icmpv6" if version == 4 else "icmp"):
            continue
        both = product(
            _addresses(f"{prefix}_src", version, entry.source),
            _addresses(f"{prefix}_dst", version, entry.destination),
        )
        for source, destination in both:
            yield kind, (Field("eth_type", kind), *source, *destination)


def exact_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """What the entry says, ports included."""
    protocol = () if entry.protocol is None else (Field("ip_proto", PROTOCOLS[entry.protocol]),)
    sources = [(Field(f"{entry.protocol}_src", *each),) for each in covering(entry.source_ports)]
    destinations = [(Field(f"{entry.protocol}_dst", *each),) for each in covering(entry.destination_ports)]
    for _, addresses in pairs(entry):
        for source, destination in product(sources or EVERY, destinations or EVERY):
            yield (*addresses, *protocol, *source, *destination)


def fragment_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """Fragments that may belong to the entry; none for an entry without ports, which takes them anyway."""
    if not covering(entry.source_ports) and not covering(entry.destination_ports):
        return
    assert entry.protocol is not None
    for _, addresses in pairs(entry):
        yield (*addresses[:1], FRAGMENT, *addresses[1:], Field("ip_proto", PROTOCOLS[entry.protocol]))


def error_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """ICMP errors between the entry's addresses; none for an entry of ICMP or of all protocols."""
    if entry.protocol not in ("tcp", "udp", "sctp"):
        return
    for kind, addresses in pairs(entry):
        name, number = ("icmp_type", 1) if kind == IPV4 else ("icmpv6_type", 58)
        for error in ERRORS[kind]:
            yield (*addresses, Field("ip_proto", number), Field(name, error))


def chain_table(
    here: Iterable[int],
    entries: Sequence[Entry],
    numbers: Mapping[str, int],
    gateways: Mapping[int, Gateway],
    translated: frozenset[str],
) -> list[Flow]:
    """CHAIN of a switch with hosts of the networks ``here``; none when no chain takes anything of theirs.

    ``entries``: all of the lab's. ``translated``: chains that translate addresses, which ICMP errors about
    what they translated have to pass, too.
    """
    at = frozenset(here)
    some = [each for each in entries if numbers[each.network] in at]
    if not some:
        return []
    found = [*_NEVER]
    for number in sorted({numbers[each.network] for each in some} & set(gateways)):
        found += _routers_own(gateways[number], gateways)
    place = levels(entries)
    seen: set[tuple[int, tuple[Field, ...]]] = set()
    for entry in some:
        network = (Field(NETWORK, numbers[entry.network]),)
        why = f"chain {entry.chain}" + ("" if entry.forward else ", the way back")
        level = place[entry.priority]
        errors = error_matches(entry) if entry.chain in translated else ()
        wanted = (
            (level_of(level, entry.forward, True), exact_matches(entry), ""),
            (level_of(level, entry.forward, False), fragment_matches(entry), ": a fragment"),
            (level_of(level, entry.forward, False), errors, ": an ICMP error"),
        )
        for priority, matches, note in wanted:
            for match in matches:
                key = (priority, (*network, *match))
                if key not in seen:  # who comes first, in the order of entries, has it
                    seen.add(key)
                    done = (SetField(HOP, entry.hop),)
                    found.append(flow(Table.CHAIN, *key, done, Table.STEER, why=why + note))
    return [*found, MISS]


def _routers_own(gateway: Gateway, known: Mapping[int, Gateway]) -> Iterator[Flow]:
    """What the router of a network answers itself: packets to its addresses, and those with no hop left."""
    network = Field(NETWORK, gateway.network)
    why = f"for router {gateway.router} itself: in no chain"
    for number in (gateway.network, *gateway.others):
        for kind, name, address in (
            (IPV4, "ip_dst", known[number].ipv4),
            (IPV6, "ipv6_dst", known[number].ipv6),
        ):
            if address is not None:
                own = (network, Field("eth_type", kind), Field(name, address))
                yield flow(Table.CHAIN, NEVER, own, goto=Table.RESOLVE, why=why)
    why = f"no hop left at router {gateway.router}: in no chain"
    for kind in (IPV4, IPV6):
        for ttl in (0, 1):
            match = (network, Field("eth_dst", gateway.mac), Field("eth_type", kind), Field("nw_ttl", ttl))
            yield flow(Table.CHAIN, NEVER, match, goto=Table.RESOLVE, why=why)
