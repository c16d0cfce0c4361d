"""Connections to load balancers and through address translators, where flows do the work. Pure.

A choice that no packet decides (a bucket, a port) is followed each way. A connection arrives if it does with
every choice; its answer, sent to whom the packet came from, has to come back from the address that was asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.verify.fates import in_words
from controller.verify.lab import Lab, Reached, exactly, packets, packets_to
from controller.verify.outcomes import Fabric
from controller.verify.packets import Store
from controller.verify.states import State
from controller.verify.values import FREE, Known, some_value, without
from topologies.model.attachment import Flows as ByFlows
from topologies.model.functions import Balancer, Function, Nat, Protocol
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.policy import Connection, Expectation, Policy
from topologies.model.topology import Host
from wire.icmp import ECHO
from wire.protocol import NUMBERS
from wire.tcp import ACK, RST, SYN

_FIN = 1
_ANY_PORT = 40000
Blocks = Mapping[str, tuple[list[Known], list[Known]]]
"""Source and destination ports of a protocol, in blocks that the file's rules treat alike."""


class Server(NamedTuple):
    """Who may get the packets of a call, where: ``port`` None: at the port that was asked. ``source``: from
    which address they come then. ``answer_to``: the MAC address that its answer is sent to."""

    host: Host
    address: int
    port: int | None
    source: int
    answer_to: int


class Call(NamedTuple):
    """The first packets of connections of one sort, from ``source``, that the function ``by`` translates.

    ``to``: in words. ``servers``: one of them gets the packets, and each of them gets some."""

    source: Host
    by: AddressTranslator | LoadBalancer
    to: str
    family: int
    protocol: Protocol
    start: State
    servers: tuple[Server, ...]
    expected: Expectation

    @property
    def switches(self) -> tuple[str, ...]:
        """Those that have to be joined."""
        own = (self.by.attachment.switch,) if isinstance(self.by.attachment, ByFlows) else ()
        return (*own, self.source.at.switch, *(server.host.at.switch for server in self.servers))


class Calls:
    """All calls of a lab."""

    def __init__(self, lab: Lab, policy: Policy, blocks: Blocks) -> None:
        self._lab, self._policy, self._blocks = lab, policy, blocks
        self._hosts = {host.name: host for host in lab.hosts}

    def of(self, fabric: Fabric) -> Iterator[Call]:
        """One after the other."""
        for function in self._lab.topology.functions:
            if isinstance(function, LoadBalancer) and isinstance(function.attachment, ByFlows):
                for source in self._lab.hosts:
                    yield from self._to_service(fabric, source, function)
            elif isinstance(function, AddressTranslator):
                for source in self._lab.hosts:
                    yield from self._out(fabric, source, function)
                    yield from self._forwarded(fabric, source, function)
                    yield from self._unasked(fabric, source, function)

    # -- load balancers ---------------------------------------------------------------------

    def _to_service(self, fabric: Fabric, source: Host, by: LoadBalancer) -> Iterator[Call]:
        balancer = by.balancer
        way = self._lab.way_to(source, balancer.network, balancer.mac)
        if way is None:
            return
        own = [backend for backend in balancer.backends if backend.host == source.name]
        taken = frozenset(port for backend in own for port in balancer.reached_at(backend))
        for interface in balancer.addresses:
            family, address = interface.version, int(interface.ip)
            store = packets_to(source, address, way, family)
            servers = self._backends(source, balancer, address, family)
            if store is None or not servers:
                continue
            for port in balancer.ports:
                for ports in self._blocks[balancer.protocol][0]:
                    # what a backend sends from where it serves is taken for answers
                    mine = without(ports, taken, 0xFFFF, 16) if taken else ports
                    if mine is None:
                        continue
                    some = {
                        **store,
                        **_first(balancer.protocol),
                        f"{balancer.protocol}_src": mine,
                        **exactly(**{f"{balancer.protocol}_dst": port}),
                    }
                    seen = Connection(
                        _ip(store, family, "src"), interface.ip, balancer.protocol, some_value(mine, 16), port
                    )
                    to = f"{by.name}, IPv{family}, {balancer.protocol} from {in_words(mine)} to port {port}"
                    start = fabric.space.entering(source.at, packets(some))
                    expected = self._of_all(source, servers, seen, by)
                    yield Call(source, by, to, family, balancer.protocol, start, servers, expected)

    def _backends(self, source: Host, balancer: Balancer, asked: int, family: int) -> tuple[Server, ...]:
        servers = []
        for backend in balancer.backends:
            host = self._hosts[backend.host]
            interface = backend.ipv4 if family == 4 else backend.ipv6
            mine = source.ipv4 if family == 4 else source.ipv6
            if interface is None or mine is None:
                continue
            itself = host.name == source.name
            back = self._back(host, source.network, source.mac)
            if itself:
                back = self._back(host, balancer.network, balancer.mac)
            if back is None:
                return ()
            port = None if backend.same_port else backend.port
            servers.append(Server(host, int(interface.ip), port, asked if itself else int(mine.ip), back))
        return tuple(servers)

    # -- address translators ----------------------------------------------------------------

    def _out(self, fabric: Fabric, source: Host, by: AddressTranslator) -> Iterator[Call]:
        """From behind a translator to hosts in front of it."""
        nat = by.nat
        for target in self._lab.hosts:
            way = self._lab.way_to(source, target.network, target.mac)
            if way is None or target is source or target.ipv4 is None or source.network == nat.network:
                continue
            store = packets_to(source, int(target.ipv4.ip), way, 4)
            back = self._back(target, nat.network, nat.mac)
            if store is None or back is None:
                continue
            servers = (Server(target, int(target.ipv4.ip), None, int(nat.ipv4.ip), back),)
            for protocol, ports, words, more in self._sorts():
                seen = Connection(_ip(store, 4, "src"), target.ipv4.ip, protocol, *ports)
                expected = self._of_all(source, servers, seen, by)
                if expected.allowed is None and not expected.why:
                    continue
                start = fabric.space.entering(source.at, packets({**store, **more}))
                to = f"{target.name} through {by.name}, {words}"
                yield Call(source, by, to, 4, protocol, start, servers, expected)

    def _asking(self, source: Host, nat: Nat) -> Store | None:
        """What a host may send to the address of a translator; None: nothing gets there."""
        way = self._lab.way_to(source, nat.network, nat.mac)
        return None if way is None else packets_to(source, int(nat.ipv4.ip), way, 4)

    def _forwarded(self, fabric: Fabric, source: Host, by: AddressTranslator) -> Iterator[Call]:
        """From in front of a translator to its ports that lead behind it."""
        nat = by.nat
        store = self._asking(source, nat)
        if store is None or source.ipv4 is None:
            return
        for forward in nat.forwards:
            target = self._hosts[forward.host]
            back = self._back(target, source.network, source.mac)
            if target.network == source.network or back is None:
                continue
            server = Server(target, int(forward.ipv4.ip), forward.to_port, int(source.ipv4.ip), back)
            for ports in self._blocks[forward.protocol][0]:
                some = {
                    **store,
                    **_first(forward.protocol),
                    f"{forward.protocol}_src": ports,
                    **exactly(**{f"{forward.protocol}_dst": forward.port}),
                }
                seen = Connection(
                    source.ipv4.ip, nat.ipv4.ip, forward.protocol, some_value(ports, 16), forward.port
                )
                expected = self._of_all(source, (server,), seen, by)
                start = fabric.space.entering(source.at, packets(some))
                to = f"{by.name}, {forward.protocol} from {in_words(ports)} to port {forward.port}"
                yield Call(source, by, to, 4, forward.protocol, start, (server,), expected)

    def _unasked(self, fabric: Fabric, source: Host, by: AddressTranslator) -> Iterator[Call]:
        """From in front of a translator to its address, where it leads nowhere."""
        nat = by.nat
        store = self._asking(source, nat)
        if store is None or source.ipv4 is None:
            return
        protocols: tuple[Protocol, ...] = ("icmp", "tcp", "udp")
        for protocol in protocols:
            some = {**store, **_first(protocol)}
            ports: tuple[int | None, int | None] = None, None
            words = "ping"
            if protocol == "icmp":
                some |= exactly(icmp_type=ECHO, icmp_code=0)
            else:
                leading = frozenset(one.port for one in nat.forwards if one.protocol == protocol)
                others = without(FREE, leading, 0xFFFF, 16) if leading else FREE
                if others is None:
                    continue
                some[f"{protocol}_dst"] = others
                ports = _ANY_PORT, some_value(others, 16)
                words = f"{protocol} to {in_words(others)}"
            seen = Connection(source.ipv4.ip, nat.ipv4.ip, protocol, *ports)
            if self._policy.translated(source, nat.network, seen, by.name, seen) is None:
                continue
            why = Expectation(False, f"{by.name} forwards nothing from there", refused=True)
            start = fabric.space.entering(source.at, packets(some))
            yield Call(source, by, f"{by.name}, {words}", 4, protocol, start, (), why)

    def _sorts(self) -> Iterator[tuple[Protocol, tuple[int | None, int | None], str, Store]]:
        yield "icmp", (None, None), "ping", {**exactly(icmp_type=ECHO, icmp_code=0), **_first("icmp")}
        protocols: tuple[Protocol, ...] = ("tcp", "udp")
        for protocol in protocols:
            sources, destinations = self._blocks[protocol]
            for mine in sources:
                for theirs in destinations:
                    ports = some_value(mine, 16), some_value(theirs, 16)
                    words = f"{protocol} from {in_words(mine)} to {in_words(theirs)}"
                    more = {f"{protocol}_src": mine, f"{protocol}_dst": theirs}
                    yield protocol, ports, words, {**_first(protocol), **more}

    # -- both -------------------------------------------------------------------------------

    def _of_all(
        self, source: Host, servers: tuple[Server, ...], seen: Connection, by: Function
    ) -> Expectation:
        """What is to happen, whichever server gets it."""
        told: Expectation | None = None
        for server in servers:
            make = IPv4Address if seen.source.version == 4 else IPv6Address
            came = make(server.source)
            after = seen._replace(
                source=came,
                source_port=seen.source_port if came == seen.source else None,
                destination=make(server.address),
                destination_port=server.port or seen.destination_port,
            )
            one = self._policy.translated(source, server.host.network, seen, by.name, after)
            if one is None:
                return Expectation(None)
            if told is not None and told.allowed != one.allowed:
                return Expectation(None, "the file allows some of the servers only")
            told = one
        return Expectation(None) if told is None else told

    def _back(self, host: Host, network: str, mac: str) -> int | None:
        way: Reached | None = self._lab.way_to(host, network, mac)
        return None if way is None else way.to


def _first(protocol: Protocol) -> Store:
    """What is known of a connection's first packet."""
    store = exactly(ip_proto=NUMBERS[protocol], ip_frag=0)
    if protocol == "tcp":
        store["tcp_flags"] = Known(SYN, SYN | ACK | RST | _FIN)
    return store


def _ip(store: Store, family: int, end: str) -> IPv4Address | IPv6Address:
    value = store[f"ip_{end}" if family == 4 else f"ipv6_{end}"].value
    return IPv4Address(value) if family == 4 else IPv6Address(value)
