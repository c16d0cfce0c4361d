"""Service function paths: what follows from a lab's chains and functions. Pure; nothing of it is stored.

Terms are RFC 7665's.  A *path* (SFP) is one direction of a chain.  A *hop* is its arrival at one function:
a frame at a hop is at, or on the way to, the switch that forwards to the function (its SFF).  An *entry* is
what a classifier matches, and the hop that it leads to.  After its last hop a frame is *out*: it goes
on from that hop's switch as if a host there had sent it into ``network``.

A hop's number is unique in the lab and fits a VLAN identifier (1..4094): it is the chain's position as frames
carry it between switches, and the value of the compiler's HOP register inside them.
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
"""Functions in one chain: with two directions, 16 hops a path number."""
MOST_PATHS = 255
OUT = 0
"""In place of a hop's number: no further hop."""
ANSWER, IMPLICIT, OWN, DIRECT = 1 << 20, -1, -2, -3
"""Priorities of what is a load balancer's without the file's saying so, around chains' own (0 or more).

What a backend sends from its port is first looked at by its balancer, which gives back to all chains what is
no answer of a balanced connection, and what is, with the virtual address.  To a backend's own port goes what
a balancer itself sends there, which no chain takes, and all others' (see
``controller.compiler.functions.direct``)."""


class Step(NamedTuple):
    """A function that frames of a chain are steered through, and where and how they meet it."""

    function: Function
    attachment: Steered


class Hop(NamedTuple):
    """A path's arrival at one function.

    ``chain``: the chain's or (of a copy for a tap) the function's name. ``forward``: in the chain's
    direction, so in by a function's inward port and out of its outward one; else the other way round.
    ``place``: which function of the path, from 0. ``network``: in which the frame is when it gets here,
    ``leaves``: when it goes on. ``next``: number of the hop after this (``OUT``: none). ``open``: skipped
    while the function has no live instance; else its frames are dropped then. ``ends``: a copy, which
    ends here. ``balanced``: what is out goes on by the load balancers' implicit chains, if they take it.
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
        """Service index (RFC 8300, 2.3): 255 at the first function, one less at each further one."""
        return 255 - self.place

    @property
    def entity(self) -> Entity:
        """The chain's entry; of a copy the tap's."""
        return Entity("function", self.function) if self.ends else Entity("chain", self.chain)


class Entry(NamedTuple):
    """What a classifier matches: packets that hosts of ``network`` send. ``hop``: where they go first.

    ``priority``: the greater takes a packet that two match: of backends' answers ``ANSWER``, of implicit
    chains -1, of what a balancer itself sends past that ``OWN``, to backends themselves ``DIRECT``.
    ``returned``: the hop gives back what is not meant, so fragments and ICMP errors go there unsorted.
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
        """The same packets' replies; network and hop are for the caller to set."""
        return self._replace(
            source=self.destination,
            destination=self.source,
            source_ports=self.destination_ports,
            destination_ports=self.source_ports,
        )


class Copy(NamedTuple):
    """Frames of which the tap ``function`` gets a copy where they enter: all that hosts of ``network`` send,
    or (with ``host``, by name) what that host sends and what is sent to it."""

    network: str
    host: str | None
    hop: int
    function: str

    @property
    def entity(self) -> Entity:
        """The tap's entry for this network or host."""
        return part("mirror", self.function, self.host or self.network)


class Service(NamedTuple):
    """All of a lab's hops by number, and what leads to them."""

    hops: Mapping[int, Hop]
    entries: tuple[Entry, ...]
    copies: tuple[Copy, ...]


def hop_number(path: int, forward: bool, index: int) -> int:
    """1..4080."""
    return (path - 1) * 2 * MOST_FUNCTIONS + (0 if forward else MOST_FUNCTIONS) + index + 1


def service(topology: Topology) -> Service:
    """Derive all hops, entries and copies; entries by falling priority, then name."""
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
    before = {chain.network for chain in topology.chains if chain.implicit}
    given = {chain.name for chain in topology.chains if not chain.implicit}
    for number, hop in hops.items():
        at_balancer = hop.forward and isinstance(functions[hop.function], LoadBalancer)
        if hop.chain in given and hop.next == OUT and hop.leaves in before and not at_balancer:
            hops[number] = hop._replace(balanced=True)
    entries.sort(key=lambda entry: (-entry.priority, entry.chain, not entry.forward))
    return Service(hops, tuple(entries), tuple(copies))


def steps(chain: Chain, functions: Mapping[str, Function]) -> tuple[Step, ...]:
    """The functions that frames of the chain are steered through: all but end systems, which is where the
    frames go anyway."""
    passed = (functions[name] for name in chain.functions)
    return tuple(
        Step(function, function.attachment) for function in passed if isinstance(function.attachment, Steered)
    )


def steered(function: Function) -> Steered:
    """The attachment of a function that has hops. Raises ValueError for another function."""
    if isinstance(function.attachment, Steered):
        return function.attachment
    raise ValueError(f"function {function.name} of mode {function.attachment.mode} has no hops")


def mirroring(functions: Iterable[Function]) -> Iterator[tuple[Function, Tap]]:
    """The functions that get copies outside of chains."""
    for function in functions:
        if isinstance(function.attachment, Tap) and function.attachment.mirrors:
            yield function, function.attachment


def translator(chain: Chain, functions: Mapping[str, Function], kind: type[Kind]) -> Kind | None:
    """The chain's one function of the class ``kind`` that is done by flows, if it has one."""
    by_flows = (step.function for step in steps(chain, functions) if isinstance(step.attachment, Flows))
    return next((function for function in by_flows if isinstance(function, kind)), None)


def chain_hops(chain: Chain, functions: Mapping[str, Function]) -> Iterator[Hop]:
    """The hops of both of the chain's directions, in order."""
    way = steps(chain, functions)
    yield from _path_hops(chain, way, True)
    if _goes_back(chain):
        # not symmetric, but both directions: each passes in the order that the file gives
        yield from _path_hops(chain, way[::-1] if chain.symmetric else way, False)


def answers_hop(topology: Topology, function: str) -> Hop | None:
    """Where a load balancer looks at what backends send: on the way back of its implicit chain."""
    functions = {existing.name: existing for existing in topology.functions}
    for chain in topology.chains:
        if chain.implicit and chain.functions == (function,):
            for hop in chain_hops(chain, functions):
                if not hop.forward:
                    return hop
    return None


def opposite(topology: Topology, hop: Hop) -> Hop | None:
    """The hop of the same chain at the same function in the other direction; None where there is none."""
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
        # behind an address translator, which knows the host that it translates to, packets are in its network
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
    """The replies' entry as replies look before the chain's address translator has seen them.

    Those of a balancer's backends come to it before any chain, and go on as from the virtual address; so
    does what its own namespace answers (pings, refusals).
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
    """What backends, and former ones, send from the ports that connections are translated to, to anybody."""
    for balancer, backend, addresses in _places(chain, functions):
        yield back._replace(
            source=addresses,
            destination=(),
            protocol=balancer.protocol,
            source_ports=_single(balancer.reached_at(backend)),
            priority=ANSWER,
            returned=True,
        )


def _places(
    chain: Chain, functions: Mapping[str, Function]
) -> Iterator[tuple[Balancer, Backend, tuple[IPv4Network | IPv6Network, ...]]]:
    """Backends and former ones of an implicit chain's balancer, with their addresses of its families."""
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
    """What goes to backends past their balancer, and is tracked there, too; none of what has its address,
    be it answers or health checks."""
    for number, (balancer, backend, addresses) in enumerate(_places(chain, functions)):
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
