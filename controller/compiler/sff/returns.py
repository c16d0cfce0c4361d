"""What comes back from a function: which hop it was at, and so where it goes on. Pure.

A function is unaware of its chain, so nothing but the port says where a frame comes from.  Where
one port serves several chains, the frame itself has to tell, by what the chain's classifier matched: as it
looks at this place, since before and behind an address translator it looks different.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import product

from controller.compiler.chain_order import TO_CONTROLLER, level_of, levels
from controller.compiler.entry_matches import (
    error_matches,
    exact_matches,
    fragment_matches,
    unreadable_matches,
)
from controller.compiler.fragments import at_return, gather
from controller.compiler.stations import Station
from controller.flow.builders import HOP, NETWORK, PAST, THROUGH, Priority, flow
from controller.flow.tables import CONTROLLER, Action, Field, Flow, Output, SetField, Table
from controller.origin import FromInstance, Origin, Probe, Refused, Return, ReturnByChain
from topologies.model.attachment import Inline
from topologies.model.functions import Chain, Function
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.places import Entity
from topologies.model.service_paths import OUT, Entry, Hop, Service, translator
from topologies.model.topology import Topology
from wire import ethertype
from wire.mac import GROUP_BIT, mac_number

GUARD = 60_000
PROBE = GUARD - 1

Match = tuple[Field, ...]


def returned(hop: Hop, numbers: Mapping[str, int]) -> tuple[tuple[Action, ...], Table]:
    """What is done with a frame that comes back from hop ``hop``, and where it goes on."""
    network = SetField(NETWORK, numbers[hop.leaves])
    if hop.balanced:
        return (network, SetField(PAST, THROUGH)), Table.CHAIN
    if hop.next == OUT:
        return (network,), Table.RESOLVE
    return (network, SetField(HOP, hop.next)), Table.STEER


def return_flows(
    topology: Topology,
    service: Service,
    switch: str,
    numbers: Mapping[str, int],
    stations: Sequence[Station],
    zones: Mapping[str, int],
) -> list[Flow]:
    """CLASSIFY's flows for all ports of inline functions on one switch. ``zones``: see
    ``controller.compiler.fragments.place_zones``."""
    returning: list[Flow] = []
    for function in topology.functions:
        attachment = function.attachment
        if not isinstance(attachment, Inline) or attachment.switch != switch:
            continue
        hops = [hop for hop in service.hops.values() if hop.function == function.name]
        for forward in (True, False):
            back = [hop for hop in hops if hop.forward is forward]
            others = [hop for hop in hops if hop.forward is not forward]
            of_side = list(_of_side(topology, service, function, back, others, numbers, stations, zones))
            entity = Entity("function", function.name)
            for instance in attachment.instances:
                port = instance.outward if forward else instance.inward
                returning += _guards(port.number, instance.name, entity)
                returning += [_at_port(port.number, entry, instance.name, entity) for entry in of_side]
    return returning


def _at_port(port: int, entry: Flow, instance: str, function: Entity) -> Flow:
    match = (Field("in_port", port), *entry.match)
    origin = entry.origin
    assert isinstance(origin, FromInstance)
    here = replace(
        origin, text=f"from {instance}: {origin.text}", port=port, entity=origin.entity or function
    )
    return flow(Table.CLASSIFY, entry.priority, match, entry.actions, entry.goto, why=here)


def _guards(port: int, instance: str, function: Entity) -> Iterator[Flow]:
    """What a function may not send: what would pass for a frame on a detour or on its way to a hop, and what
    is nothing to answer for a host that nobody knows."""
    came = Field("in_port", port)
    for match, why in (
        ((came, Field("eth_src", GROUP_BIT, GROUP_BIT)), "a group address can not be a source"),
        ((came, Field("eth_dst", GROUP_BIT, GROUP_BIT)), "broadcast or multicast of a function's own"),
        ((came, Field("vlan_vid", 0x1000, 0x1000)), "a VLAN tag of a function's own"),
        ((came, Field("eth_type", ethertype.NSH)), "NSH of a function's own"),
        ((came, Field("eth_type", ethertype.ARP)), "ARP of a function's own"),
    ):
        refused = Refused(f"from {instance}: {why}: dropped", port, entity=function)
        yield flow(Table.CLASSIFY, GUARD, match, why=refused)
    probe = (came, Field("eth_type", ethertype.PROBE))
    tried = Probe(f"from {instance}: a probe of its data path", port, entity=function)
    yield flow(Table.CLASSIFY, PROBE, probe, (Output(CONTROLLER),), why=tried)


def _of_side(
    topology: Topology,
    service: Service,
    function: Function,
    back: Sequence[Hop],
    others: Sequence[Hop],
    numbers: Mapping[str, int],
    stations: Sequence[Station],
    zones: Mapping[str, int],
) -> Iterator[Flow]:
    """Flows of one side of a function, without their port: each has an origin
    ``FromInstance``, whose port is 0 here.

    ``back``: hops that come back on this side. ``others``: those that go in there.
    """
    ways = {returned(hop, numbers) for hop in back}
    if len(ways) == 1:
        ((actions, goto),) = ways
        names = ", ".join(sorted({hop.chain for hop in back}))
        first = min(back, key=lambda hop: hop.chain).entity
        on = Return(f"goes on in chain {names}", entity=first)
        yield flow(Table.CLASSIFY, Priority.UNKNOWN, (), actions, goto, why=on)
        return
    if not back:
        yield from _own_answers(others, numbers)
        return
    functions = {function.name: function for function in topology.functions}
    chains = {chain.name: chain for chain in topology.chains}
    place = levels(service.entries)
    mixed = len({hop.network for hop in back}) > 1
    seen: set[tuple[int, Match]] = set()
    order = {entry.chain: (-entry.priority, entry.chain) for entry in service.entries}
    for hop in sorted(back, key=lambda hop: (order[hop.chain], hop.number)):
        actions, goto = returned(hop, numbers)
        number = numbers[hop.network]
        senders = _senders(functions, chains[hop.chain], number, stations) if mixed else [()]
        together = gather(zones[at_return(function.name, hop.network)], number)
        # no stage of a rollout may treat a datagram's fragments apart: see
        # ``controller.update.consistent_update``
        gathered = Refused("fragments are gathered first", entity=hop.entity)
        unreadable = Refused("no telling which chain's: dropped", entity=hop.entity)
        on = ReturnByChain(f"goes on in chain {hop.chain}", entity=hop.entity)
        error = Return("an ICMP error: the controller looks", entity=hop.entity)
        for entry in returning_packets(chains[hop.chain], functions, hop, service):
            level = place[entry.priority]
            exact, low = (level_of(level, entry.forward, whole) for whole in (True, False))
            wanted: tuple[tuple[int, Iterable[Match], tuple[Action, ...], Table | None, Origin], ...] = (
                (GUARD, fragment_matches(entry), together, None, gathered),
                (GUARD, unreadable_matches(entry), (), None, unreadable),
                (exact, exact_matches(entry), actions, goto, on),
                (low, error_matches(entry), TO_CONTROLLER, None, error),
            )
            for priority, matches, done, then, origin in wanted:
                for match, sender in product(matches, senders):
                    key = (priority, (*sender, *match))
                    if key not in seen:
                        seen.add(key)
                        yield flow(Table.CLASSIFY, *key, done, then, why=origin)
    none = Return("of none of the chains that this function is in: dropped")
    yield flow(Table.CLASSIFY, Priority.UNKNOWN, (), why=none)


def senders_elsewhere(
    topology: Topology, service: Service, hop: Hop, numbers: Mapping[str, int], stations: Sequence[Station]
) -> list[int]:
    """Source addresses that no frame may have that goes into ``hop``: they are of another network that the
    same function serves, and tell there whose the frames are that come back (see ``return_flows``)."""
    functions = {function.name: function for function in topology.functions}
    if not isinstance(functions[hop.function].attachment, Inline):
        return []
    chains = {chain.name: chain for chain in topology.chains}
    sharing = [
        other
        for other in service.hops.values()
        if other.function == hop.function and other.forward is hop.forward
    ]
    of_this_network, of_others = set[int](), set[int]()
    for other in sharing:
        senders = _senders(functions, chains[other.chain], numbers[other.network], stations)
        addresses = of_this_network if other.network == hop.network else of_others
        addresses |= {match.value for (match,) in senders}
    return sorted(of_others - of_this_network)


def _own_answers(others: Sequence[Hop], numbers: Mapping[str, int]) -> Iterator[Flow]:
    """What a function itself answers in a chain that has no way back: it goes on to who is answered."""
    networks = {hop.network for hop in others}
    if len(networks) == 1:
        actions = (SetField(NETWORK, numbers[networks.pop()]),)
        own = Return("its own answer, in a chain that has no way back", entity=others[0].entity)
        yield flow(Table.CLASSIFY, Priority.UNKNOWN, (), actions, Table.RESOLVE, why=own)
    else:
        yield flow(Table.CLASSIFY, Priority.UNKNOWN, (), why=Return("in no chain this way: dropped"))


def _senders(
    functions: Mapping[str, Function], chain: Chain, network: int, stations: Sequence[Station]
) -> list[Match]:
    """Source addresses of frames in ``network``: two networks may use the same IP addresses."""
    macs = {station.mac for station in stations if station.network == network}
    for name in chain.functions:
        function = functions[name]
        if isinstance(function, AddressTranslator):
            macs.add(mac_number(function.nat.mac))
    return [(Field("eth_src", mac),) for mac in sorted(macs)]


def returning_packets(
    chain: Chain, functions: Mapping[str, Function], hop: Hop, service: Service
) -> Iterator[Entry]:
    """What the chain's packets look like when they come back from ``hop``, which translates nothing."""
    mine = [entry for entry in service.entries if entry.chain == chain.name]
    there = next(entry for entry in mine if entry.forward)
    back = there.reversed()._replace(forward=False)
    nat = translator(chain, functions, AddressTranslator)
    balancer = translator(chain, functions, LoadBalancer)
    if nat is None and balancer is None:
        yield from (entry for entry in mine if entry.forward is hop.forward)
        return
    if nat is None:
        yield there if hop.forward else back  # a balancer is the last of its chain
        return
    names = list(chain.functions)
    outside = names.index(hop.function) > names.index(nat.name)
    known = (IPv4Network(nat.nat.ipv4.ip),)
    if outside:
        there = there._replace(source=known, source_ports=())
        back = back._replace(destination=known, destination_ports=())
    yield there if hop.forward else back
    for forward in nat.nat.forwards:
        address = known if outside else (IPv4Network(forward.ipv4.ip),)
        port = forward.port if outside else forward.to_port
        opened = back._replace(
            destination=address, protocol=forward.protocol, destination_ports=((port, port),), source_ports=()
        )
        yield opened.reversed()._replace(forward=True) if hop.forward else opened
