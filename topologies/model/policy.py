"""Which hosts may reach each other, by the firewalls, chains and links of the file. Pure.

Probes are compared with it. It reads rules and classifiers directly and knows nothing of flow tables, so it
is an independent specification of what the data plane does.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeGuard

from topologies.model.attachment import AtPorts
from topologies.model.functions import Chain, Firewall, Function, PortRanges, Prefixes, Protocol, Rule
from topologies.model.kinds import AddressTranslator, FirewallFunction
from topologies.model.parts import part_of
from topologies.model.routing import Routing
from topologies.model.service_paths import Entry, service
from topologies.model.topology import Host, Topology

Address = IPv4Address | IPv6Address


class Connection(NamedTuple):
    """The first packet of a connection, about which a firewall decides. Ports are None if it has none."""

    source: Address
    destination: Address
    protocol: Protocol
    source_port: int | None = None
    destination_port: int | None = None


class Expectation(NamedTuple):
    """Whether a ping from one host reaches another one and its answer comes back; None when the topology
    does not tell. ``why``: what forbids it, or makes it unknown; empty when it is allowed. ``apart``:
    nothing forbids it, but no links join the hosts. ``refused``: a firewall refuses the request itself.
    ``there`` and ``back``: the functions that the request, and its answer, are to pass, in order.
    Only ``Policy.connection`` says these three."""

    allowed: bool | None
    why: str = ""
    apart: bool = False
    refused: bool = False
    there: tuple[str, ...] = ()
    back: tuple[str, ...] = ()


ALLOWED = Expectation(True)
_ECHO: dict[int, Protocol] = {4: "icmp", 6: "icmpv6"}


def deciding(firewall: Firewall, seen: Connection) -> Rule | None:
    """The first rule that matches; None when the default decides."""
    for rule in firewall.rules:
        if (
            (rule.protocol is None or rule.protocol == seen.protocol)
            and _family(rule, seen.source.version)
            and _among(rule.source, seen.source)
            and _among(rule.destination, seen.destination)
            and _within(rule.source_ports, seen.source_port)
            and _within(rule.destination_ports, seen.destination_port)
        ):
            return rule
    return None


def _family(rule: Rule, version: int) -> bool:
    stated = {prefix.version for prefix in (*rule.source, *rule.destination)}
    if rule.protocol in ("icmp", "icmpv6"):
        stated.add(4 if rule.protocol == "icmp" else 6)
    return not stated or version in stated


def _among(prefixes: Prefixes, address: Address) -> bool:
    return not prefixes or any(address in prefix for prefix in prefixes)


def _within(ranges: PortRanges, port: int | None) -> bool:
    return not ranges or (port is not None and any(low <= port <= high for low, high in ranges))


_FORWARDED = Expectation(None, "a host forwards it, and functions may decide on the way")


def _between(src: Host, dst: Host) -> Expectation:
    """What happens between two interfaces of which one is on a wire between hosts: no switch says anything
    about it."""
    if src.peer == dst.name:
        return ALLOWED
    return Expectation(False, f"no wire joins {src.name} and {dst.name}", apart=True)


class Policy:
    """Expectations for pings between the hosts of a lab, for many pairs of hosts.

    ``open``: names of firewalls that are taken to accept everything.
    """

    def __init__(self, topology: Topology, open: Container[str] = ()) -> None:
        self._open = open
        self._functions = {function.name: function for function in topology.functions}
        self._chains = {chain.name: chain for chain in topology.chains}
        self._entries = service(topology).entries
        self._part = part_of(topology)
        self._ways = Routing(topology).ways
        self._at_ports: dict[str, list[Function]] = {}
        for function in topology.functions:
            if isinstance(function.attachment, AtPorts):
                for network in function.attachment.networks:
                    self._at_ports.setdefault(network, []).append(function)

    def __bool__(self) -> bool:
        """False when all hosts may reach each other."""
        return self.rules or len(set(self._part.values())) > 1

    @property
    def rules(self) -> bool:
        """Whether a chain or a firewall says anything about packets."""
        return bool(self._entries or self._at_ports)

    def ping(self, src: Host, dst: Host, family: int) -> Expectation:
        """What happens to an echo request from ``src`` to ``dst`` and to its reply."""
        source, destination = (host.ipv4 if family == 4 else host.ipv6 for host in (src, dst))
        if source is None or destination is None:
            return ALLOWED
        if (src.name, dst.name) in self._ways:
            return _FORWARDED if self.rules else ALLOWED
        if src.port is None or dst.port is None:
            return _between(src, dst)
        a, b = src.port.switch, dst.port.switch
        if self._part[a] != self._part[b]:
            return Expectation(False, f"no link joins {a} and {b}", apart=True)
        told = self.connection(src, dst, Connection(source.ip, destination.ip, _ECHO[family]))
        return Expectation(told.allowed, told.why, told.apart)

    def connection(self, src: Host, dst: Host, seen: Connection) -> Expectation:
        """What happens to the first packet of a connection from ``src`` to ``dst``, and to the answer."""
        if (src.name, dst.name) in self._ways:
            return _FORWARDED if self.rules else ALLOWED
        if src.port is None or dst.port is None:
            return _between(src, dst)
        a, b = src.port.switch, dst.port.switch
        if self._part[a] != self._part[b]:
            return Expectation(False, f"no link joins {a} and {b}", apart=True)
        there = self._entry_for(seen, src.network)
        back = self._entry_for(_turned(seen), dst.network)
        passed = [] if there is None else self._passed_by(there)
        returned = [] if back is None else self._passed_by(back)
        ways = (
            _in_order(passed, there is None or there.forward, self._chain_of(there)),
            _in_order(returned, back is None or back.forward, self._chain_of(back)),
        )
        for function in passed:
            if isinstance(function, AddressTranslator):
                return Expectation(None, f"NAT {function.name} translates it")
        met = [*self._at_ports.get(src.network, ()), *passed]
        met += [function for function in self._at_ports.get(dst.network, ()) if function not in met]
        for function in met:
            if self._decides(function) and (why := _refusal(function, seen)):
                return Expectation(False, why, refused=True)
        for function in returned:
            if function in passed:
                continue
            if self._decides(function):
                return Expectation(False, f"firewall {function.name} sees the reply, but not the request")
            if isinstance(function, AddressTranslator):
                return Expectation(None, f"NAT {function.name} translates the reply")
        strange = [function for function in passed if not function.predictable]
        if strange:
            return Expectation(None, f"{strange[0].kind} function {strange[0].name} may do anything with it")
        return Expectation(True, there=ways[0], back=ways[1])

    def translated(
        self, src: Host, far: str, seen: Connection, by: str, after: Connection
    ) -> Expectation | None:
        """What happens to the first packet of a connection that the function ``by`` translates, and to the
        answer. ``seen``: as ``src`` sends it; ``after``: as it is past this function, in the network ``far``.
        Functions before it decide about the one, those behind it about the other. None: the packet does not
        pass ``by``. ``allowed`` None: the topology does not tell."""
        there = self._entry_for(seen, src.network)
        passed = [] if there is None else self._on_the_way(there)
        place = next((at for at, function in enumerate(passed) if function.name == by), None)
        if place is None:
            return None
        for at, function in enumerate(passed):
            if not function.predictable:
                return Expectation(None, f"{function.kind} function {function.name} may do anything with it")
            if at != place and isinstance(function, AddressTranslator):
                return Expectation(None, f"NAT {function.name} translates it, too")
        met = [(function, seen) for function in (*self._at_ports.get(src.network, ()), *passed[:place])]
        met += [(function, after) for function in (*passed[place:], *self._at_ports.get(far, ()))]
        for function, asked in met:
            if self._decides(function):
                if asked.source_port is None and any(rule.source_ports for rule in function.firewall.rules):
                    return Expectation(None, f"firewall {function.name} asks for the port that {by} chooses")
                if why := _refusal(function, asked):
                    return Expectation(False, why, refused=True)
        back = self._entry_for(_turned(after), far)
        returned = [] if back is None else self._on_the_way(back)
        if back is not None and back.returned:
            # what a backend answers goes to some balancer first; from who was asked, chains may take it
            onward = self._entry_for(_turned(seen), far)
            returned = [*returned, *([] if onward is None else self._on_the_way(onward))]
        elif all(function.name != by for function in returned):
            return Expectation(None, f"the answer does not pass {by}")
        for function in returned:
            if self._decides(function) and function not in passed:
                return Expectation(False, f"firewall {function.name} sees the reply, but not the request")
        return Expectation(
            True,
            there=tuple(function.name for function in passed),
            back=tuple(function.name for function in returned),
        )

    def _on_the_way(self, entry: Entry) -> Sequence[Function]:
        """The functions that packets pass, in order."""
        names = _in_order(self._passed_by(entry), entry.forward, self._chain_of(entry))
        return [self._functions[name] for name in names]

    def _decides(self, function: Function) -> TypeGuard[FirewallFunction]:
        return isinstance(function, FirewallFunction) and function.name not in self._open

    def _chain_of(self, entry: Entry | None) -> Chain | None:
        return None if entry is None else self._chains[entry.chain]

    def _entry_for(self, seen: Connection, network: str) -> Entry | None:
        """The classifier entry for the packet. ICMP has no ports, so entries with ports do not match it."""
        for entry in self._entries:  # by falling priority
            if (
                entry.network == network
                and entry.protocol in (None, seen.protocol)
                and _within(entry.source_ports, seen.source_port)
                and _within(entry.destination_ports, seen.destination_port)
                and _among(entry.source, seen.source)
                and _among(entry.destination, seen.destination)
                and _one_family(entry, seen.source.version)
            ):
                return entry
        return None

    def _passed_by(self, entry: Entry) -> Sequence[Function]:
        return [self._functions[name] for name in self._chains[entry.chain].functions]


def _turned(seen: Connection) -> Connection:
    """The answer to it."""
    return Connection(seen.destination, seen.source, seen.protocol, seen.destination_port, seen.source_port)


def _in_order(passed: Sequence[Function], forward: bool, chain: Chain | None) -> tuple[str, ...]:
    """Names of functions in the order in which packets pass them: on the way back of a symmetric chain the
    other way round."""
    names = tuple(function.name for function in passed)
    return names if forward or chain is None or not chain.symmetric else names[::-1]


def _one_family(entry: Entry, version: int) -> bool:
    """Whether the entry matches packets of this IP version: addresses of one family exclude the other."""
    return all(version in {prefix.version for prefix in some} for some in _stated(entry))


def _stated(entry: Entry) -> Iterator[Prefixes]:
    yield from (some for some in (entry.source, entry.destination) if some)


def _refusal(function: FirewallFunction, seen: Connection) -> str:
    """Why a firewall refuses the connection; empty when it accepts it."""
    rule = deciding(function.firewall, seen)
    action = function.firewall.default if rule is None else rule.action
    if action == "accept":
        return ""
    return f"firewall {function.name}: " + (
        f"default {action}" if rule is None else f"rule {rule.name} ({action})"
    )
