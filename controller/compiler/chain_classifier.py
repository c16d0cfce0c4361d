"""Table CHAIN: which frames of a switch's hosts a chain takes (RFC 7665's classifier).

Only IP is ever taken: never ARP, neighbour discovery or any other multicast, and nothing that the
tenant's router answers itself.

Later fragments have no ports, and over IPv6 no protocol: where a chain matches by these, all fragments
between its addresses are gathered first (``controller.compiler.fragments``), and go where the first one's
ports say.

An ICMP error has no ports either: those of the packet that it is about are inside it, where no flow can
look.  The controller can (``controller.simulate.icmp_errors``), and sends it where an answer to that packet
would go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from controller.compiler.fragments import ALONE, FRAGMENT, LEADING, at_classifier, gather
from controller.compiler.route import Gateway
from controller.flow.builders import HOP, NETWORK, PAST, THROUGH, flow, miss
from controller.flow.meters import TOLD_ERRORS
from controller.flow.port_ranges import covering
from controller.flow.tables import (
    CONTROLLER,
    Action,
    Field,
    Flow,
    Output,
    SetField,
    Table,
    ToMeter,
)
from controller.origin import Classified, Origin
from topologies.model.functions import Prefixes
from topologies.model.service_paths import ANSWER, IMPLICIT, OUT, Entry
from wire.ethertype import IPV4, IPV6
from wire.mac import GROUP_BIT
from wire.protocol import ICMP, ICMPV6, NUMBERS

NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of router and neighbour solicitation and advertisement, and redirect (RFC 4861, 4)."""
ERRORS = {IPV4: (3, 11, 12), IPV6: (1, 2, 3, 4)}
"""ICMP types that say what became of another packet (RFC 792; RFC 4443, 2.1)."""

NEVER = 60_000
"""Priority of what no chain takes."""
GATHER = 50_000
"""Priority of what gathers fragments, above what chains take: a first fragment's ports count after that."""
TAKEN = 1_000
"""Lowest priority of what chains take; see ``level_of``."""

TO_CONTROLLER = (ToMeter(TOLD_ERRORS.id), Output(CONTROLLER))

MISS = miss(Table.CHAIN, Table.RESOLVE, "in no chain")
_MULTICAST = flow(
    Table.CHAIN,
    NEVER,
    (Field("eth_dst", GROUP_BIT, GROUP_BIT),),
    goto=Table.RESOLVE,
    why="broadcast or multicast: in no chain",
)


def _discovery(kind: int) -> Flow:
    match = (Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", kind))
    why = "neighbour discovery: in no chain"
    return flow(Table.CHAIN, NEVER, match, goto=Table.RESOLVE, why=why)


_NEVER = (_MULTICAST, *map(_discovery, NEIGHBOUR_DISCOVERY))


def levels(entries: Iterable[Entry]) -> dict[int, int]:
    """Chains' priority -> its place among those in use, from 0."""
    return {priority: place for place, priority in enumerate(sorted({each.priority for each in entries}))}


def level_of(level: int, forward: bool, exact: bool) -> int:
    """A flow's priority: first by the chain's, then there before back, then packets before errors."""
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
    protocol = () if entry.protocol is None else (Field("ip_proto", NUMBERS[entry.protocol]),)
    sources = [(Field(f"{entry.protocol}_src", *each),) for each in covering(entry.source_ports)]
    destinations = [(Field(f"{entry.protocol}_dst", *each),) for each in covering(entry.destination_ports)]
    for _, addresses in pairs(entry):
        for source, destination in product(sources or EVERY, destinations or EVERY):
            yield (*addresses, *protocol, *source, *destination)


def fragment_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """Fragments that may belong to the entry, and don't all say so; none for an entry of all protocols."""
    if entry.protocol is None:
        return
    by_ports = covering(entry.source_ports) or covering(entry.destination_ports)
    for kind, addresses in pairs(entry):
        if kind == IPV6:
            yield (*addresses[:1], FRAGMENT, *addresses[1:], ALONE)
        elif by_ports:
            protocol = Field("ip_proto", NUMBERS[entry.protocol])
            yield (*addresses[:1], FRAGMENT, *addresses[1:], protocol, ALONE)


def whole_or_not(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """All fragments between the entry's addresses, of whatever protocol and port."""
    for _, addresses in pairs(entry):
        yield (*addresses[:1], FRAGMENT, *addresses[1:])


def unreadable_matches(entry: Entry) -> Iterator[tuple[Field, ...]]:
    """What can't be told to be the entry's or not: a packet whose IPv6 headers don't end in it (its protocol
    is 0 to Open vSwitch), and a first fragment that ends before its ports, which RFC 7112 forbids."""
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


def all_one_way(entry: Entry, others: Sequence[Entry]) -> bool:
    """Whether all packets between an entry's addresses go to its hop, whatever their ports."""

    near = [each for each in others if each.network == entry.network and each.hop and overlap(entry, each)]
    whole = any(
        each.protocol is None
        and within(entry.source, each.source)
        and within(entry.destination, each.destination)
        for each in near
    )
    return whole and all(each.hop == entry.hop for each in near)


def within(some: Prefixes, more: Prefixes) -> bool:
    """Whether all of these addresses are among the others; none at all are all addresses."""
    return not more or (
        bool(some) and all(any(a.version == b.version and a.subnet_of(b) for b in more) for a in some)  # type: ignore[arg-type]
    )


def overlap(one: Entry, other: Entry) -> bool:
    """Whether there are addresses that both entries are about."""

    def common(some: Prefixes, more: Prefixes) -> bool:
        pairs = product(some, more)
        return not some or not more or any(a.version == b.version and a.overlaps(b) for a, b in pairs)

    return common(one.source, other.source) and common(one.destination, other.destination)


def chain_table(
    here: Iterable[int],
    entries: Sequence[Entry],
    numbers: Mapping[str, int],
    gateways: Mapping[int, Gateway],
    translators: Mapping[int, int],
    zones: Mapping[str, int],
) -> list[Flow]:
    """CHAIN of a switch with hosts of the networks ``here``; none when no chain takes anything of theirs.

    ``entries``: all of the lab's. ``translators``: zones of hops at functions that
    translate addresses, which know ICMP errors about what they translated from others. ``zones``: see
    ``controller.compiler.fragments.place_zones``.  Two balancers that track connections apart can't both be
    given all fragments of a backend that they have in common, nor all errors.
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

    def put(
        priority: int,
        match: tuple[Field, ...],
        actions: tuple[Action, ...],
        goto: Table | None,
        why: str | Origin,
    ) -> None:
        # who comes first, in the order of entries, has it
        if (priority, match) not in seen:
            seen.add((priority, match))
            found.append(flow(Table.CHAIN, priority, match, actions, goto, why=why))

    balanced = any(each.priority == IMPLICIT for each in some)
    for entry in some:
        network: tuple[Field, ...] = (Field(NETWORK, numbers[entry.network]),)
        why = f"chain {entry.chain}" + ("" if entry.forward else ", the way back")
        level = place[entry.priority]
        if entry.hop == OUT:
            for match in exact_matches(entry):
                put(level_of(level, True, True), (*network, *match), (), Table.RESOLVE, f"{why}: of its own")
            continue
        take, together = (SetField(HOP, entry.hop),), gather(zones[at_classifier(entry.network)])
        sure = all_one_way(entry, some)
        if entry.priority == ANSWER:
            network = (*network, Field(PAST, 0))
        elif entry.priority >= 0 and balanced:
            network = (*network, Field(PAST, 0, THROUGH))
        alone = entry.returned and not any(
            each.returned
            and (each.network, each.forward) == (entry.network, entry.forward)
            and translators.get(each.hop) != translators.get(entry.hop)
            and overlap(entry, each)
            for each in some
        )
        if entry.returned:
            why = f"chain {entry.chain}, {'to' if entry.forward else 'from'} a backend itself"
        if alone:
            # what is looked at before all chains can't be gathered for one of them first
            high = GATHER + 1 if entry.priority == ANSWER else level_of(level, True, True)
            for match in whole_or_not(entry):
                said = f"{why}: a fragment, maybe"
                put(high, (*network, *match), take, Table.STEER, Classified(said, entry.hop))
        for match in () if sure or alone else fragment_matches(entry):
            said = "fragments that a chain may take, gathered first"
            put(GATHER, (*network, *match), together, None, said)
        for match in () if alone else unreadable_matches(entry):
            put(GATHER, (*network, *match), (), None, "no telling which chain's: dropped")
        for match in exact_matches(entry):
            put(
                level_of(level, entry.forward, True),
                (*network, *match),
                take,
                Table.STEER,
                Classified(why, entry.hop),
            )
        rivals = (
            each for each in some if each.hop and each.network == entry.network and each.chain != entry.chain
        )
        known = alone or (entry.hop in translators and not any(overlap(entry, each) for each in rivals))
        for match in error_matches(entry):
            low = level_of(level, entry.forward, False)
            if known:
                said = f"{why}: an ICMP error"
                put(low, (*network, *match), take, Table.STEER, Classified(said, entry.hop))
            else:
                said = "an ICMP error: the controller looks what it is about"
                put(low, (*network, *match), TO_CONTROLLER, None, said)
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
