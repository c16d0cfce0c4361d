"""Table CHAIN: which frames of a switch's hosts a chain takes (RFC 7665's classifier).

Chains take IP only: never ARP, neighbour discovery or other multicast, and nothing that the tenant's router
answers itself.  A function has one way out, so no multicast passes it; and no packet may pass beside it.  So
what a chain would take but for its destination is dropped when that is a group or all hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from controller.compiler.chain_entry import Match, SwitchEntries
from controller.compiler.chain_order import NEVER, levels
from controller.compiler.entry_matches import exact_matches, fragment_matches, unreadable_matches
from controller.compiler.route import Gateway
from controller.flow.builders import NETWORK, flow, miss
from controller.flow.tables import Field, Flow, Table
from topologies.model.places import Entity
from topologies.model.service_paths import ANSWER, IMPLICIT, OUT, Entry
from wire.ethertype import IPV4, IPV6
from wire.mac import GROUP_BIT
from wire.protocol import ICMPV6

NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of router and neighbour solicitation and advertisement, and redirect (RFC 4861, 4)."""

MISS = miss(Table.CHAIN, Table.RESOLVE, "in no chain")
_MULTICAST = flow(
    Table.CHAIN,
    NEVER - 2,
    (Field("eth_dst", GROUP_BIT, GROUP_BIT),),
    goto=Table.RESOLVE,
    why="broadcast or multicast: in no chain",
)


def _discovery(kind: int) -> Flow:
    match = (Field("eth_type", IPV6), Field("ip_proto", ICMPV6), Field("icmpv6_type", kind))
    why = "neighbour discovery: in no chain"
    return flow(Table.CHAIN, NEVER, match, goto=Table.RESOLVE, why=why)


_NEVER = (_MULTICAST, *map(_discovery, NEIGHBOUR_DISCOVERY))


def chain_table(
    here: Iterable[int],
    entries: Sequence[Entry],
    numbers: Mapping[str, int],
    gateways: Mapping[int, Gateway],
    translators: Mapping[int, int],
    zones: Mapping[str, int],
) -> list[Flow]:
    """CHAIN of a switch with hosts of the networks ``here``; no flows when no chain takes their frames.

    ``entries``: all of the lab's. ``translators``: hop at an address translator -> its connection tracking
    zone; a translator knows the ICMP errors about its own connections. ``zones``: see
    ``controller.compiler.fragments.place_zones``.  A backend may have two balancers with different zones;
    then neither can be given all fragments and errors of the backend.
    """
    at = frozenset(here)
    local_entries = [entry for entry in entries if numbers[entry.network] in at]
    if not local_entries:
        return []
    flows = [*_NEVER, *_beside(local_entries, numbers)]
    for number in sorted({numbers[entry.network] for entry in local_entries} & set(gateways)):
        flows += _routers_own(gateways[number], gateways)
    balanced = any(entry.priority == IMPLICIT for entry in local_entries)
    switch = SwitchEntries(local_entries, levels(entries), numbers, translators, zones, balanced)
    seen: set[tuple[int, Match]] = set()
    for entry in local_entries:
        for taken in switch.taking(entry):
            # the first matching entry wins
            if (taken.priority, taken.match) not in seen:
                seen.add((taken.priority, taken.match))
                flows.append(
                    flow(
                        Table.CHAIN, taken.priority, taken.match, taken.actions, taken.goto, why=taken.origin
                    )
                )
    return [*flows, MISS]


def _beside(entries: Iterable[Entry], numbers: Mapping[str, int]) -> list[Flow]:
    """Drops broadcasts and multicasts that would pass beside a chain of the file."""
    dropped: dict[Match, Flow] = {}
    for entry in entries:
        if entry.priority < 0 or entry.priority >= ANSWER or entry.hop == OUT:
            continue
        to_any = entry._replace(destination=())
        network = (Field(NETWORK, numbers[entry.network]), Field("eth_dst", GROUP_BIT, GROUP_BIT))
        for match in (*exact_matches(to_any), *fragment_matches(to_any), *unreadable_matches(to_any)):
            why = f"broadcast or multicast that would pass beside chain {entry.chain}: dropped"
            whole = (*network, *match)
            if whole not in dropped:
                entity = Entity("chain", entry.chain)
                dropped[whole] = flow(Table.CHAIN, NEVER - 1, whole, why=why, entity=entity)
    return list(dropped.values())


def _routers_own(gateway: Gateway, known: Mapping[int, Gateway]) -> Iterator[Flow]:
    """Flows for packets that a network's router answers itself: those to its addresses, and those whose TTL
    runs out."""
    network = Field(NETWORK, gateway.network)
    why = f"for router {gateway.router} itself: in no chain"
    for number in (gateway.network, *gateway.others):
        for kind, name, address in (
            (IPV4, "ip_dst", known[number].ipv4),
            (IPV6, "ipv6_dst", known[number].ipv6),
        ):
            if address is not None:
                own = (network, Field("eth_type", kind), Field(name, address))
                yield flow(Table.CHAIN, NEVER, own, goto=Table.RESOLVE, why=why, entity=gateway.entity)
    why = f"no hop left at router {gateway.router}: in no chain"
    for kind in (IPV4, IPV6):
        for ttl in (0, 1):
            match = (network, Field("eth_dst", gateway.mac), Field("eth_type", kind), Field("nw_ttl", ttl))
            yield flow(Table.CHAIN, NEVER, match, goto=Table.RESOLVE, why=why, entity=gateway.entity)
