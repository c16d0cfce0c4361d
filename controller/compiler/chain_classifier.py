"""Table CHAIN: which frames of a switch's hosts a chain takes (RFC 7665's classifier).

Chains take IP only: never ARP, neighbour discovery or other multicast, and nothing that the tenant's router
answers itself.

Later fragments have no ports, and over IPv6 no protocol.  Where a chain matches ports or protocol, all
fragments between its addresses are gathered first (``controller.compiler.fragments``), and go where the ports
of the first fragment lead.

An ICMP error has no ports of its own.  It contains the start of the packet that it reports, and no flow can
match that.  The controller reads it (``controller.simulate.icmp_errors``), and sends the error where an
answer to that packet would go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from controller.compiler.entry_matches import (
    all_fragments,
    error_matches,
    exact_matches,
    fragment_matches,
    overlap,
    unreadable_matches,
    within,
)
from controller.compiler.fragments import at_classifier, gather
from controller.compiler.route import Gateway
from controller.flow.builders import HOP, NETWORK, PAST, THROUGH, flow, miss
from controller.flow.meters import TOLD_ERRORS
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
from controller.origin import ByChain, Classified, Origin
from topologies.model.places import Entity
from topologies.model.service_paths import ANSWER, IMPLICIT, OUT, Entry
from wire.ethertype import IPV4, IPV6
from wire.mac import GROUP_BIT
from wire.protocol import ICMPV6

NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of router and neighbour solicitation and advertisement, and redirect (RFC 4861, 4)."""

NEVER = 60_000
"""Priority of the flows for frames that no chain takes."""
GATHER = 50_000
"""Priority of the flows that gather fragments: above those of chains, which match the first one
afterwards."""
TAKEN = 1_000
"""Lowest priority of the flows by which chains take frames; see ``level_of``."""

Match = tuple[Field, ...]

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
    """A chain's priority -> its place among the priorities in use, from 0."""
    return {priority: place for place, priority in enumerate(sorted({entry.priority for entry in entries}))}


def level_of(level: int, forward: bool, exact: bool) -> int:
    """A flow's priority: by the chain's priority (``level``, of ``levels``), then the forward direction
    before the way back, then packets (``exact``) before ICMP errors."""
    return TAKEN + 4 * level + 2 * forward + exact


def has_one_hop(entry: Entry, others: Sequence[Entry]) -> bool:
    """Whether all packets between an entry's addresses go to its hop, whatever their ports."""
    near = [
        other for other in others if other.network == entry.network and other.hop and overlap(entry, other)
    ]
    whole = any(
        other.protocol is None
        and within(entry.source, other.source)
        and within(entry.destination, other.destination)
        for other in near
    )
    return whole and all(other.hop == entry.hop for other in near)


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
    flows = [*_NEVER]
    for number in sorted({numbers[entry.network] for entry in local_entries} & set(gateways)):
        flows += _routers_own(gateways[number], gateways)
    balanced = any(entry.priority == IMPLICIT for entry in local_entries)
    switch = _SwitchEntries(local_entries, levels(entries), numbers, translators, zones, balanced)
    seen: set[tuple[int, Match]] = set()
    for entry in local_entries:
        for priority, match, actions, goto, origin in switch.taking(entry):
            # the first matching entry wins
            if (priority, match) not in seen:
                seen.add((priority, match))
                flows.append(flow(Table.CHAIN, priority, match, actions, goto, why=origin))
    return [*flows, MISS]


class _SwitchEntries(NamedTuple):
    """What the flows of one switch's entries are made of.

    ``place``: see ``levels``. ``balanced``: some entry is of a load balancer's own chain. The others: see
    ``chain_table``.
    """

    entries: Sequence[Entry]
    place: Mapping[int, int]
    numbers: Mapping[str, int]
    translators: Mapping[int, int]
    zones: Mapping[str, int]
    balanced: bool

    def taking(self, entry: Entry) -> Iterator[tuple[int, Match, tuple[Action, ...], Table | None, Origin]]:
        """Priority, match, actions, next table and origin of each flow for one entry."""
        network: tuple[Field, ...] = (Field(NETWORK, self.numbers[entry.network]),)
        chain = Entity("chain", entry.chain)
        why = f"chain {entry.chain}" + ("" if entry.forward else ", the way back")
        level = self.place[entry.priority]
        if entry.hop == OUT:
            own = ByChain(f"{why}: of its own", entity=chain)
            for match in exact_matches(entry):
                yield level_of(level, True, True), (*network, *match), (), Table.RESOLVE, own
            return
        take, together = (SetField(HOP, entry.hop),), gather(self.zones[at_classifier(entry.network)])
        sure = has_one_hop(entry, self.entries)
        if entry.priority == ANSWER:
            network = (*network, Field(PAST, 0))
        elif entry.priority >= 0 and self.balanced:
            network = (*network, Field(PAST, 0, THROUGH))
        alone = entry.returned and not any(
            other.returned
            and (other.network, other.forward) == (entry.network, entry.forward)
            and self.translators.get(other.hop) != self.translators.get(entry.hop)
            and overlap(entry, other)
            for other in self.entries
        )
        if entry.returned:
            why = f"chain {entry.chain}, {'to' if entry.forward else 'from'} a backend itself"
        if alone:
            # a balancer looks at a backend's answers before all chains, so also before any chain gathers them
            high = GATHER + 1 if entry.priority == ANSWER else level_of(level, True, True)
            for match in all_fragments(entry):
                taken = Classified(f"{why}: a fragment, maybe", entry.hop, entity=chain)
                yield high, (*network, *match), take, Table.STEER, taken
        for match in () if sure or alone else fragment_matches(entry):
            gathered = Origin("fragments that a chain may take, gathered first", entity=chain)
            yield GATHER, (*network, *match), together, None, gathered
        for match in () if alone else unreadable_matches(entry):
            untold = Origin("no telling which chain's: dropped", entity=chain)
            yield GATHER, (*network, *match), (), None, untold
        for match in exact_matches(entry):
            exact = Classified(why, entry.hop, entity=chain)
            yield level_of(level, entry.forward, True), (*network, *match), take, Table.STEER, exact
        rivals = (
            other
            for other in self.entries
            if other.hop and other.network == entry.network and other.chain != entry.chain
        )
        known = alone or (
            entry.hop in self.translators and not any(overlap(entry, rival) for rival in rivals)
        )
        for match in error_matches(entry):
            low = level_of(level, entry.forward, False)
            if known:
                error = Classified(f"{why}: an ICMP error", entry.hop, entity=chain)
                yield low, (*network, *match), take, Table.STEER, error
            else:
                asked = Origin("an ICMP error: the controller looks what it is about", entity=chain)
                yield low, (*network, *match), TO_CONTROLLER, None, asked


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
