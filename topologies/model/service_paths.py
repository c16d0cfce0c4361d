"""Service function paths, derived from the chains and functions of a lab. Pure; they are not stored.

Terms are those of RFC 7665. A *path* (SFP) is one direction of a chain. A *hop* is the arrival of a path at
one function: a frame at a hop is at, or on the way to, the switch that forwards it to the function (its SFF).
An *entry* is what a classifier matches, and the hop that it leads to. After its last hop a frame is *out*: it
goes on from the switch of this hop as if a host there had sent it into the network that it ``leaves`` into.

The number of a hop is unique in the lab and fits into a VLAN identifier (1..4094). Frames carry it between
switches, and the HOP register of the compiler has it inside switches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple, TypeVar

from topologies.model.attachment import Flows, Steered, Tap
from topologies.model.functions import Backend, Balancer, Chain, Function, PortRanges, Prefixes, Protocol
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.places import Entity, part
from topologies.model.topology import Topology
from topologies.model.values import host_prefix

Kind = TypeVar("Kind", bound=Function)
MOST_FUNCTIONS = 8
"""The most functions in one chain. With two directions, a path number has 16 hops."""
MOST_PATHS = 255
OUT = 0
"""Instead of the number of a hop: there is no further hop."""
ANSWER, IMPLICIT, OWN, DIRECT = 1 << 20, -1, -2, -3
"""Priorities of the entries that load balancers add; those of chains in the file are 0 or more.

``ANSWER``: packets that a backend sends from its port go to its load balancer first. Answers of balanced
connections come back with the virtual address, all others unchanged; then the other entries apply to them.
``IMPLICIT``: entries of implicit chains. ``OWN``: packets of the load balancer itself to backends, which no
chain takes. ``DIRECT``: packets of others to the own port of a backend (see
``controller.compiler.functions.direct``)."""


class Step(NamedTuple):
    """A function that frames of a chain pass, and how it is attached."""

    function: Function
    attachment: Steered


class Hop(NamedTuple):
    """The arrival of a path at one function.

    ``chain``: the name of the chain, or, for copies to a tap, of the function. ``forward``: in the
    direction of the chain: frames go in at the inward port of the function and come out of the outward
    one; else the other way round. ``place``: the index of the function in the path, from 0. ``network``:
    the network of frames before the function; ``leaves``: after it. ``next``: the number of the next hop,
    or ``OUT``. ``open``: frames skip the function while it has no live instance; else they are dropped.
    ``ends``: frames are copies, which end here. ``balanced``: frames that are out after this hop may
    match the implicit chains of load balancers.
    """

    number: int
    chain: str
    path: int
    forward: bool
    place: int
    function: str
    switch: str
    network: str
    leaves: str
    next: int
    open: bool
    ends: bool = False
    balanced: bool = False

    @property
    def spi(self) -> int:
        """Service path identifier (RFC 8300, 2.3): each direction is a path of its own."""
        return self.path * 2 + (0 if self.forward else 1)

    @property
    def si(self) -> int:
        """Service index (RFC 8300, 2.3): 255 at the first function, one less at each next one."""
        return 255 - self.place

    @property
    def entity(self) -> Entity:
        """The chain; for copies the tap."""
        return Entity("function", self.function) if self.ends else Entity("chain", self.chain)


class Entry(NamedTuple):
    """What a classifier matches: packets that hosts of ``network`` send. ``hop``: the first hop of these
    packets.

    ``priority``: of two entries that match a packet, the one with the higher priority takes it (see
    ``ANSWER`` and those beside it). ``returned``: the hop gives back packets that are not for it, so all
    fragments and ICMP errors go there.
    """

    chain: str
    forward: bool
    network: str
    source: Prefixes
    destination: Prefixes
    protocol: Protocol | None
    source_ports: PortRanges
    destination_ports: PortRanges
    hop: int
    priority: int
    returned: bool = False

    def reversed(self) -> Entry:
        """The entry for the replies to these packets. The caller sets network and hop."""
        return self._replace(
            source=self.destination,
            destination=self.source,
            source_ports=self.destination_ports,
            destination_ports=self.source_ports,
        )


class Copy(NamedTuple):
    """Frames of which the tap ``function`` gets a copy, at the switch where they enter: those that hosts of
    ``network`` send; or, with the name of a ``host``, those that it sends and receives."""

    network: str
    host: str | None
    hop: int
    function: str

    @property
    def entity(self) -> Entity:
        """The mirror of the tap, for this network or host."""
        return part("mirror", self.function, self.host or self.network)


class Service(NamedTuple):
    """All hops of a lab by number, and the entries and copies that lead to them."""

    hops: Mapping[int, Hop]
    entries: tuple[Entry, ...]
    copies: tuple[Copy, ...]


def hop_number(path: int, forward: bool, index: int) -> int:
    """The number of the hop at function ``index`` of a path: 1..4080."""
    return (path - 1) * 2 * MOST_FUNCTIONS + (0 if forward else MOST_FUNCTIONS) + index + 1


def service(topology: Topology) -> Service:
    """All hops, entries and copies. Entries are sorted by priority, the highest first, then by name."""
    functions = {function.name: function for function in topology.functions}
    hops: dict[int, Hop] = {}
    entries: list[Entry] = []
    copies: list[Copy] = []
    for chain in topology.chains:
        for hop in chain_hops(chain, functions):
            hops[hop.number] = hop
        entries += chain_entries(chain, functions)
    for function, tap in mirroring(topology.functions):
        hop = _copy_hop(function.name, tap)
        hops[hop.number] = hop
        copies += _copies(topology, tap.mirrors, hop)
    balanced = {chain.network for chain in topology.chains if chain.implicit}
    explicit = {chain.name for chain in topology.chains if not chain.implicit}
    for number, hop in hops.items():
        at_balancer = hop.forward and isinstance(functions[hop.function], LoadBalancer)
        if hop.chain in explicit and hop.next == OUT and hop.leaves in balanced and not at_balancer:
            hops[number] = hop._replace(balanced=True)
    entries.sort(key=lambda entry: (-entry.priority, entry.chain, not entry.forward))
    return Service(hops, tuple(entries), tuple(copies))


def steps(chain: Chain, functions: Mapping[str, Function]) -> tuple[Step, ...]:
    """The functions that frames of the chain are steered to. End systems are not among them: frames go there
    by their destination address."""
    passed = (functions[name] for name in chain.functions)
    return tuple(
        Step(function, function.attachment) for function in passed if isinstance(function.attachment, Steered)
    )


def steered(function: Function) -> Steered:
    """The attachment of a function with hops. Raises ValueError for other functions."""
    if isinstance(function.attachment, Steered):
        return function.attachment
    raise ValueError(f"function {function.name} of mode {function.attachment.mode} has no hops")


def mirroring(functions: Iterable[Function]) -> Iterator[tuple[Function, Tap]]:
    """The functions that get copies outside of chains, with their attachments."""
    for function in functions:
        if isinstance(function.attachment, Tap) and function.attachment.mirrors:
            yield function, function.attachment


def translator(chain: Chain, functions: Mapping[str, Function], kind: type[Kind]) -> Kind | None:
    """The function of the chain that is of the class ``kind`` and done by flows, if there is one."""
    by_flows = (step.function for step in steps(chain, functions) if isinstance(step.attachment, Flows))
    return next((function for function in by_flows if isinstance(function, kind)), None)


def chain_hops(chain: Chain, functions: Mapping[str, Function]) -> Iterator[Hop]:
    """The hops of both directions of the chain, in order."""
    way = steps(chain, functions)
    yield from _path_hops(chain, way, True)
    if _goes_back(chain):
        # if not symmetric, both directions pass the functions in the order of the file
        yield from _path_hops(chain, way[::-1] if chain.symmetric else way, False)


def answers_hop(topology: Topology, function: str) -> Hop | None:
    """The hop at which a load balancer gets the packets of its backends: on the way back of its implicit
    chain."""
    functions = {existing.name: existing for existing in topology.functions}
    for chain in topology.chains:
        if chain.implicit and chain.functions == (function,):
            for hop in chain_hops(chain, functions):
                if not hop.forward:
                    return hop
    return None


def opposite(topology: Topology, hop: Hop) -> Hop | None:
    """The hop of the same chain and function in the other direction; None if there is none."""
    functions = {function.name: function for function in topology.functions}
    chain = next(chain for chain in topology.chains if chain.name == hop.chain)
    for other in chain_hops(chain, functions):
        if other.function == hop.function and other.forward is not hop.forward:
            return other
    return None


def _goes_back(chain: Chain) -> bool:
    return chain.symmetric or chain.direction == "both"


def _path_hops(chain: Chain, way: tuple[Step, ...], forward: bool) -> Iterator[Hop]:
    network, far = (chain.network, chain.far_network) if forward else (chain.far_network, chain.network)
    for index, (function, attachment) in enumerate(way):
        # a translator translates replies back to a host, so they are in the network of this host after it
        leaves = far if isinstance(function, AddressTranslator) and not forward else network
        policy = chain.on_failure or function.on_failure
        last = index == len(way) - 1
        yield Hop(
            number=hop_number(chain.path, forward, index),
            chain=chain.name,
            path=chain.path,
            forward=forward,
            place=index,
            function=function.name,
            switch=attachment.switch,
            network=network,
            leaves=leaves,
            next=OUT if last else hop_number(chain.path, forward, index + 1),
            open=policy == "open" or isinstance(attachment, Tap),
        )
        network = leaves


def chain_entries(chain: Chain, functions: Mapping[str, Function]) -> Iterator[Entry]:
    """The classifier entries of the chain, for both directions."""
    if not steps(chain, functions):
        return
    there = Entry(
        chain.name,
        True,
        chain.network,
        chain.source,
        chain.destination,
        chain.protocol,
        chain.source_ports,
        chain.destination_ports,
        hop_number(chain.path, True, 0),
        IMPLICIT if chain.implicit else chain.priority,
    )
    yield there
    if chain.implicit:
        yield from _direct(there, chain, functions)
    if not _goes_back(chain):
        return
    back = there.reversed()._replace(
        forward=False, network=chain.far_network, hop=hop_number(chain.path, False, 0)
    )
    if chain.symmetric:
        yield from _translated(back, chain, functions)
    if chain.direction == "both" and not chain.symmetric:
        yield back._replace(source_ports=there.source_ports, destination_ports=there.destination_ports)
    elif chain.direction == "both" and (there.source_ports or there.destination_ports):
        # connections that the destination opens, and their replies
        yield back._replace(source_ports=there.source_ports, destination_ports=there.destination_ports)
        yield there._replace(source_ports=back.source_ports, destination_ports=back.destination_ports)


def _translated(back: Entry, chain: Chain, functions: Mapping[str, Function]) -> Iterator[Entry]:
    """The entries for replies, as they are before the chain's address translator changes them.

    Packets of a load balancer's backends go to the load balancer before any chain, and go on with the virtual
    address as their source, like the answers of its namespace (to pings and refused connections).
    """
    nat = translator(chain, functions, AddressTranslator)
    if nat is not None:
        outside = (IPv4Network(nat.nat.ipv4.ip),)
        for forward in nat.nat.forwards:
            known, inside = ((forward.port, forward.port),), ((forward.to_port, forward.to_port),)
            opened = back._replace(destination=outside, protocol=forward.protocol, destination_ports=known)
            opened = opened._replace(source_ports=())
            yield opened
            answer = opened.reversed()._replace(
                source=(IPv4Network(forward.ipv4.ip),),
                source_ports=inside,
                forward=True,
                network=chain.network,
                hop=hop_number(chain.path, True, 0),
            )
            yield answer
        back = back._replace(destination=outside)
    if chain.implicit:
        yield from _answers(back, chain, functions)
    else:
        yield back


def _answers(back: Entry, chain: Chain, functions: Mapping[str, Function]) -> Iterator[Entry]:
    """The entries for what backends, also former ones, send from the ports to which connections are
    translated."""
    for balancer, backend, addresses in _backend_addresses(chain, functions):
        yield back._replace(
            source=addresses,
            destination=(),
            protocol=balancer.protocol,
            source_ports=_single(balancer.reached_at(backend)),
            priority=ANSWER,
            returned=True,
        )


def _backend_addresses(
    chain: Chain, functions: Mapping[str, Function]
) -> Iterator[tuple[Balancer, Backend, tuple[IPv4Network | IPv6Network, ...]]]:
    """The backends, also former ones, of the load balancer of an implicit chain, with their addresses of its
    families."""
    function = translator(chain, functions, LoadBalancer)
    if function is None:
        return
    families = {address.version for address in function.balancer.addresses}
    for backend in (*function.balancer.backends, *function.balancer.former):
        both = (backend.ipv4, backend.ipv6)
        addresses = tuple(
            host_prefix(address) for address in both if address is not None and address.version in families
        )
        if addresses:
            yield function.balancer, backend, addresses


def _direct(there: Entry, chain: Chain, functions: Mapping[str, Function]) -> Iterator[Entry]:
    """The entries for packets that go to backends directly; they are tracked in the zone of the load
    balancer, too. Packets with its own address (answers, health checks) are not."""
    for number, (balancer, backend, addresses) in enumerate(_backend_addresses(chain, functions)):
        if not number and chain.network == balancer.network:
            own = tuple(map(host_prefix, balancer.addresses))
            yield there._replace(source=own, destination=(), hop=OUT, priority=OWN)
        yield there._replace(
            destination=addresses,
            protocol=balancer.protocol,
            destination_ports=_single(balancer.reached_at(backend)),
            priority=DIRECT,
            returned=True,
        )


def _single(ports: tuple[int, ...]) -> PortRanges:
    return tuple((port, port) for port in sorted(ports))


def _copy_hop(function: str, tap: Tap) -> Hop:
    return Hop(
        number=hop_number(tap.path, True, 0),
        chain=function,
        path=tap.path,
        forward=True,
        place=0,
        function=function,
        switch=tap.switch,
        network="",
        leaves="",
        next=OUT,
        open=True,
        ends=True,
    )


def _copies(topology: Topology, mirrors: tuple[str, ...], hop: Hop) -> Iterator[Copy]:
    network_of = {host.name: host.network for host in topology.hosts}
    networks = {network.name for network in topology.networks}
    for name in mirrors:
        if name in networks:
            yield Copy(name, None, hop.number, hop.function)
        else:
            yield Copy(network_of[name], name, hop.number, hop.function)
