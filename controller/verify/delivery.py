"""Every pair of hosts: what the file allows arrives, its answer comes back, and both pass their functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise, product
from typing import NamedTuple

from controller.flow.port_ranges import masked
from controller.verify.arrivals import Delivered
from controller.verify.fates import answer, arrivals, fate, in_words, reason, visits
from controller.verify.lab import Lab, Reached, exactly, packets, packets_of
from controller.verify.outcomes import Fabric, Outcome
from controller.verify.packets import Packets, Store, whole
from controller.verify.report import DELIVERY, REFUSAL, Finding
from controller.verify.safety import witness
from controller.verify.states import State
from controller.verify.values import FREE, Known, some_value, without
from topologies.model.attachment import EndSystem, Inline
from topologies.model.functions import Function, PortRanges, Protocol
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity
from topologies.model.policy import Connection, Expectation, Policy
from topologies.model.service_paths import Entry, service
from topologies.model.topology import Host
from wire.icmp import ECHO, ECHO6
from wire.mac import GROUP_BIT, mac_number
from wire.protocol import ICMPV6, NUMBERS
from wire.tcp import ACK, RST, SYN

_DISCOVERY = frozenset(range(133, 138))
_FIN = 1
_REQUEST: dict[str, int] = {"icmp": ECHO, "icmpv6": ECHO6}


class Flight(NamedTuple):
    """Packets of one sort from one host to another. ``start``: their state at the source's port. ``seen``:
    one of their connections, for the file's rules; None: they are of all sorts, and nothing tells them apart.
    """

    source: Host
    target: Host
    way: Reached
    family: int
    start: State
    seen: Connection | None
    sort: str


class Sheaf(NamedTuple):
    """All flights of one sort from one host to hosts of its network, as one class: ``start``."""

    source: Host
    family: int
    sort: str
    start: State


class Flights:
    """All flights of a lab. Where no function looks at packets, those of a pair are of one sort."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # what a process decides is not in the tables: it counts as a wire, which packets have to pass
        self.policy = Policy(lab.topology, frozenset(map(_name, filter(_is_process, lab.topology.functions))))
        self.telling = bool(lab.topology.functions or lab.topology.chains)
        self.blocks = {protocol: _blocks(lab, protocol) for protocol in ("tcp", "udp")}

    def of(self, fabric: Fabric, source: Host, target: Host, way: Reached) -> Iterator[Flight]:
        """The flights of a pair."""
        for family in (4, 6):
            known = packets_of(source, target, way, family)
            if known is None:
                continue
            for sort, seen, store in self._sorts(known, family):
                start = fabric.space.entering(source.at, packets(store))
                yield Flight(source, target, way, family, start, seen, sort)

    def sheaves(self, fabric: Fabric, source: Host) -> Iterator[Sheaf]:
        """The flights of a host, sort by sort; none where functions look at packets, or not all hosts may
        reach each other."""
        if self.telling or self.policy:
            return
        for family in (4, 6):
            # from the host to itself: of an address in its own network
            known = packets_of(
                source, source, Reached(mac_number(source.mac), mac_number(source.mac), False), family
            )
            if known is None:
                continue
            head = "ip" if family == 4 else "ipv6"
            for sort, _, store in self._sorts(known, family):
                some = {name: value for name, value in store.items() if name != f"{head}_dst"}
                some["eth_dst"] = Known(0, GROUP_BIT)
                yield Sheaf(source, family, sort, fabric.space.entering(source.at, packets(some)))

    def _sorts(self, known: Store, family: int) -> Iterator[tuple[str, Connection | None, Store]]:
        if not self.telling:
            if family == 4:
                yield "all packets", None, known
                return
            # neighbour discovery is the switches' own (see controller.compiler.arp_nd)
            others = Known(0, 0, ((0xFF, frozenset((ICMPV6,))),))
            yield "all packets but ICMPv6", None, {**known, "ip_proto": others}
            control = Known(0, 0, ((0xFF, _DISCOVERY),))
            yield "ICMPv6", None, {**known, **exactly(ip_proto=ICMPV6), "icmpv6_type": control}
            return
        head = "ip" if family == 4 else "ipv6"
        make = IPv4Address if family == 4 else IPv6Address
        ends = make(known[f"{head}_src"].value), make(known[f"{head}_dst"].value)
        echo: Protocol = "icmp" if family == 4 else "icmpv6"
        whole_packets = {**known, **exactly(ip_frag=0)}
        fields = {"ip_proto": NUMBERS[echo], f"{echo}_type": _REQUEST[echo], f"{echo}_code": 0}
        yield "ping", Connection(*ends, echo), {**whole_packets, **exactly(**fields)}
        for protocol in ("tcp", "udp"):
            store = {**whole_packets, **exactly(ip_proto=NUMBERS[protocol])}
            if protocol == "tcp":
                store["tcp_flags"] = Known(SYN, SYN | ACK | RST | _FIN)
            sources, destinations = self.blocks[protocol]
            for mine, theirs in product(sources, destinations):
                ports = some_value(mine, 16), some_value(theirs, 16)
                seen = Connection(*ends, protocol, *ports)
                block = {f"{protocol}_src": mine, f"{protocol}_dst": theirs}
                sort = f"{protocol} from {in_words(mine)} to {in_words(theirs)}"
                yield sort, seen, {**store, **block}

    def check(
        self, fabric: Fabric, flight: Flight, cut: tuple[str, ...] = (), converged: bool = False
    ) -> tuple[str | None, list[Finding]]:
        """The property that a flight is a case of (None: the model doesn't have it), and what is wrong."""
        expected = self._expected(flight)
        if expected.allowed is None:
            return None, []
        findings = [
            finding._replace(witness=witness(known, flight.source.at, cut, converged))
            for finding, known in self._wrong(fabric, flight, expected)
        ]
        return (DELIVERY if expected.allowed else REFUSAL), findings

    def _expected(self, flight: Flight) -> Expectation:
        if flight.seen is None:
            return self.policy.ping(flight.source, flight.target, flight.family)
        return self.policy.connection(flight.source, flight.target, flight.seen)

    def _wrong(
        self, fabric: Fabric, flight: Flight, expected: Expectation
    ) -> Iterator[tuple[Finding, Store]]:
        source, target, sort = flight.source, flight.target, flight.sort
        what = f"{source.name} to {target.name}, {'IPv4' if flight.family == 4 else 'IPv6'}, {sort}"
        for outcome in fabric.outcomes(flight.start):
            known = {**flight.start.packets.known, **outcome.known}
            arrived, ends = arrivals(self.lab, outcome), outcome.ends
            if not expected.allowed and not arrived:
                continue
            if not expected.allowed and expected.refused:
                entity = Entity("host", target.name)
                yield Finding(REFUSAL, f"{what}: it arrives", f"not allowed: {expected.why}", entity), known
                continue
            if [one.at for one in arrived] != [target.at] or outcome.loop:
                entity = reason(ends) or Entity("host", target.name)
                yield (
                    Finding(
                        DELIVERY,
                        f"{what}: {fate(self.lab, outcome)}",
                        f"it reaches {target.name} once",
                        entity,
                    ),
                    known,
                )
                continue
            changed = self._changed(flight, arrived[0])
            if changed:
                yield (
                    Finding(
                        DELIVERY,
                        f"{what}: {changed}",
                        "it arrives as it was sent",
                        Entity("host", target.name),
                    ),
                    known,
                )
            yield from ((finding, known) for finding in visits(self.lab, outcome, expected.there, what))
            if flight.seen is not None:
                yield from self._answered(fabric, flight, expected, outcome, arrived[0], what)

    def _answered(
        self, fabric: Fabric, flight: Flight, expected: Expectation, before: Outcome, at: Delivered, what: str
    ) -> Iterator[tuple[Finding, Store]]:
        """The answer to packets that have arrived."""
        assert flight.seen is not None
        sent = {**flight.start.packets.known, **before.known}
        start = fabric.space.entering(
            flight.target.at,
            answer(
                flight.family,
                flight.seen.protocol,
                mac_number(flight.target.mac),
                flight.way.by,
                Packets(dict(at.written), sent),
            ),
        )
        refusal: list[tuple[Finding, Store]] = []
        for outcome in fabric.outcomes(start):
            known = {**sent, **outcome.known}
            arrived = arrivals(self.lab, outcome)
            back = [one.at for one in arrived] == [flight.source.at] and not outcome.loop
            if expected.allowed and not back:
                entity = reason(outcome.ends) or Entity("host", flight.source.name)
                yield (
                    Finding(
                        DELIVERY,
                        f"{what}: the answer: {fate(self.lab, outcome)}",
                        f"it comes back to {flight.source.name} once",
                        entity,
                    ),
                    known,
                )
            elif expected.allowed:
                passing = visits(self.lab, outcome, expected.back, f"{what}: the answer")
                yield from ((finding, known) for finding in passing)
            elif back:
                entity = Entity("host", flight.source.name)
                refusal.append(
                    (
                        Finding(
                            REFUSAL, f"{what}: the answer comes back", f"not allowed: {expected.why}", entity
                        ),
                        known,
                    )
                )
        yield from refusal

    def _changed(self, flight: Flight, arrived: Delivered) -> str:
        """What is different about a packet when it arrives; empty when it is as it should be."""
        head = "ip" if flight.family == 4 else "ipv6"
        fields = Packets(dict(arrived.written), flight.start.packets.known)
        for name, value in (
            ("eth_dst", mac_number(flight.target.mac)),
            ("eth_src", flight.way.by),
            (f"{head}_src", flight.start.packets.known[f"{head}_src"].value),
            (f"{head}_dst", flight.start.packets.known[f"{head}_dst"].value),
            ("vlan_vid", 0),
        ):
            if fields.decide(name, value, whole(name)) is not True:
                return f"it arrives with another {name}"
        return ""


def _name(function: Function) -> str:
    return function.name


def _is_process(function: Function) -> bool:
    return isinstance(function.attachment, Inline | EndSystem)


def _blocks(lab: Lab, protocol: str) -> tuple[list[Known], list[Known]]:
    """Source and destination ports, in blocks of which the file's rules and chains treat all ports alike."""
    sources: list[PortRanges] = []
    destinations: list[PortRanges] = []
    things: list[Entry] = list(service(lab.topology).entries)
    for thing in things:
        if thing.protocol in (None, protocol):
            sources.append(thing.source_ports)
            destinations.append(thing.destination_ports)
    for function in lab.topology.functions:
        if isinstance(function, FirewallFunction):
            for rule in function.firewall.rules:
                if rule.protocol in (None, protocol):
                    sources.append(rule.source_ports)
                    destinations.append(rule.destination_ports)
    return _cut(sources), _cut(destinations)


def _cut(ranges: Iterable[PortRanges]) -> list[Known]:
    """Blocks that no range cuts: those in some range, and all other ports as one."""
    inside = sorted({range_ for some in ranges for range_ in some})
    edges = sorted({edge for low, high in inside for edge in (low, high + 1)})
    blocks = []
    rest: Known | None = FREE
    for first, after in pairwise(edges):
        if any(low <= first and after <= high + 1 for low, high in inside):
            for value, mask in masked(first, after - 1):
                bits = 0xFFFF if mask is None else mask
                blocks.append(Known(value, bits))
                rest = None if rest is None else without(rest, frozenset((value,)), bits, 16)
    return blocks if rest is None else [*blocks, rest]
