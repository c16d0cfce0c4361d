"""Which packets an entry of a chain is about: as matches of flows, and compared with other entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from controller.compiler.fragments import ALONE, FRAGMENT, LEADING
from controller.flow.port_ranges import covering
from controller.flow.tables import Field
from topologies.model.functions import Prefixes
from topologies.model.service_paths import Entry
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6, NUMBERS

ERRORS = {IPV4: (3, 11, 12), IPV6: (1, 2, 3, 4)}
"""ICMP types that report an error about another packet (RFC 792; RFC 4443, 2.1)."""


def prefix_field(name: str, prefix: Prefixes, index: int) -> tuple[Field, ...]:
    """A match on ``prefix[index]``; none for all addresses."""
    network = prefix[index]
    if network.prefixlen == 0:
        return ()
    whole = network.prefixlen == network.max_prefixlen
    return (Field(name, int(network.network_address), None if whole else int(network.netmask)),)


EVERY: Sequence[tuple[Field, ...]] = ((),)
"""The one match of all addresses."""


def _addresses(name: str, version: int, prefixes: Prefixes) -> Sequence[tuple[Field, ...]]:
    """Matches on the prefixes of this family; the match of all addresses when there is no prefix."""
    if not prefixes:
        return EVERY
    return [
        prefix_field(name, prefixes, index)
        for index, prefix in enumerate(prefixes)
        if prefix.version == version
    ]


def pairs(entry: Entry) -> Iterator[tuple[int, tuple[Field, ...]]]:
    """(Ethernet type, matches on it and on both addresses), for each address family of the entry."""
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
    """The packets that the entry is about, by addresses, protocol and ports."""
    protocol = () if entry.protocol is None else (Field("ip_proto", NUMBERS[entry.protocol]),)
    sources = [(Field(f"{entry.protocol}_src", *block),) for block in covering(entry.source_ports)]
    destinations = [(Field(f"{entry.protocol}_dst", *block),) for block in covering(entry.destination_ports)]
    for _, addresses in pairs(entry):
        for source, destination in product(sources or EVERY, destinations or EVERY):
            yield (*addresses, *protocol, *source, *destination)


def fragment_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """Fragments that may belong to the entry, but lack the fields to show it; none for an entry of all
    protocols."""
    if entry.protocol is None:
        return
    by_ports = covering(entry.source_ports) or covering(entry.destination_ports)
    for kind, addresses in pairs(entry):
        if kind == IPV6:
            yield (*addresses[:1], FRAGMENT, *addresses[1:], ALONE)
        elif by_ports:
            protocol = Field("ip_proto", NUMBERS[entry.protocol])
            yield (*addresses[:1], FRAGMENT, *addresses[1:], protocol, ALONE)


def all_fragments(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """All fragments between the entry's addresses, of whatever protocol and port."""
    for _, addresses in pairs(entry):
        yield (*addresses[:1], FRAGMENT, *addresses[1:])


def unreadable_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """Packets of which no flow can tell whether the entry is about them: a packet that ends within its IPv6
    headers (its protocol is 0 to Open vSwitch), and a first fragment that ends before its ports, which
    RFC 7112 forbids."""
    if entry.protocol is None:
        return
    protocol = NUMBERS[entry.protocol]
    for kind, addresses in pairs(entry):
        if kind == IPV6:
            yield (*addresses, Field("ip_proto", 0))
        if covering(entry.source_ports) or covering(entry.destination_ports):
            ports = (Field(f"{entry.protocol}_src", 0), Field(f"{entry.protocol}_dst", 0))
            first = (*addresses[:1], FRAGMENT, *addresses[1:], Field("ip_proto", protocol))
            yield (*first, *ports, LEADING)


def error_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """ICMP errors between the entry's addresses; none for an entry of ICMP or of all protocols."""
    if entry.protocol not in ("tcp", "udp", "sctp"):
        return
    for kind, addresses in pairs(entry):
        name, number = ("icmp_type", ICMP) if kind == IPV4 else ("icmpv6_type", ICMPV6)
        for error in ERRORS[kind]:
            yield (*addresses, Field("ip_proto", number), Field(name, error))


def within(inner: Prefixes, outer: Prefixes) -> bool:
    """Whether all addresses of ``inner`` are in ``outer``. No prefix stands for all addresses."""
    return not outer or (
        bool(inner) and all(any(a.version == b.version and a.subnet_of(b) for b in outer) for a in inner)  # type: ignore[arg-type]
    )


def overlap(one: Entry, other: Entry) -> bool:
    """Whether some packet's addresses match both entries."""

    def common(prefixes: Prefixes, others: Prefixes) -> bool:
        pairs = product(prefixes, others)
        return not prefixes or not others or any(a.version == b.version and a.overlaps(b) for a, b in pairs)

    return common(one.source, other.source) and common(one.destination, other.destination)
