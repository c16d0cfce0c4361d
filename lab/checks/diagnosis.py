"""Why a packet did not do what a check expects: the flow, rule or missing thing, with its line. Pure.

The compiled tables are evaluated for the packet that was sent (``controller.simulate``). A firewall that is a
process is no table: its rules are read (``topologies.model.policy``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from controller.compiler.compile import compile_topology
from controller.flow.tables import Flow
from controller.simulate.network import Fabric, Frame, Lookup, Outcome, Step, symmetric
from controller.simulate.tracking import Connections
from lab.checks.frames import source_port
from lab.checks.probes import Probe
from lab.checks.ways import Ways
from lab.probe.loop import address_of
from topologies.model.functions import Function, Protocol
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity, Place, part
from topologies.model.policy import Connection, deciding
from topologies.model.topology import Port, Topology
from wire.ethertype import OF_VERSION
from wire.icmp import ECHO, ECHO6
from wire.ip import TTL
from wire.protocol import ICMP, ICMPV6, NUMBERS
from wire.tcp import SYN


@dataclass(frozen=True)
class Ailing:
    """What does not work in the lab: names of links and hosts' wires that are cut, of switches that are off,
    of functions' instances and backends that fail."""

    links: frozenset[str] = frozenset()
    switches: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()


class Reason(NamedTuple):
    """What stopped a packet, or let it pass, in words, with its line in the file. ``switches``: those on its
    way, as far as the tables send it."""

    words: str
    place: Place | None = None
    switches: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


@dataclass
class Diagnosis:
    """Explains packets of one lab in its present state."""

    ways: Ways
    ailing: Ailing
    _tables: Mapping[str, Lookup] | None = field(default=None, repr=False)

    @property
    def topology(self) -> Topology:
        return self.ways.topology

    def reason(self, probe: Probe, arrived: bool, refused: bool = False) -> Reason:
        """Why the packet of a probe ``arrived`` at its target, or did not. ``refused``: something on its way
        has answered."""
        broken = None if arrived or refused else self._broken(probe)
        if broken is not None:
            return broken
        outcome = self._outcome(probe)
        switches = tuple(dict.fromkeys(step.switch for step in outcome.steps))
        passed = self._functions(outcome)
        names = tuple(function.name for function in passed)
        for function in passed:
            decided = self._decided(function, probe, arrived)
            if decided is not None:
                return Reason(*decided, switches, names)
        if arrived:
            rule = next((flow for flow in _flows(outcome.steps) if _entity(flow).startswith("rule ")), None)
            if rule is not None:
                return Reason(f"nothing: {rule.why}", self._place(rule), switches, names)
            return Reason(f"nothing on its way ({', '.join(switches)}) stops it", None, switches, names)
        port = self.ways.hosts[probe.target].port if probe.target in self.ways.hosts else None
        if outcome.loop:
            return Reason("it goes round in a loop of flows", None, switches, names)
        if port is None or any(arrival.at == port for arrival in outcome.delivered):
            way = " -> ".join(switches)
            words = f"no flow: the tables deliver it ({way})"
            return Reason(f"{words}{self._suspects(names)}", None, switches, names)
        return self._dropped(outcome, switches, names)

    def _broken(self, probe: Probe) -> Reason | None:
        """A cut wire, or a switch that is off, at one of its ends."""
        for name in (probe.source, probe.target):
            host = self.ways.hosts.get(name)
            if host is None:
                continue
            place, wire = self.topology.places.of(Entity("host", name)), f"{name}-{host.port.switch}"
            if wire in self.ailing.links:
                return Reason(f"the wire of {name} is cut (sdnlab link up {wire})", place)
            if host.port.switch in self.ailing.switches:
                words = f"switch {host.port.switch} is off (sdnlab switch up {host.port.switch})"
                return Reason(words, self.topology.places.of(Entity("switch", host.port.switch)))
        return None

    def _outcome(self, probe: Probe) -> Outcome:
        ailing = self.ailing
        links = {link.name for link in self.topology.links}
        off = {
            link.name
            for link in self.topology.links
            if {link.a.switch, link.b.switch} & ailing.switches or link.name in ailing.links
        }
        if self._tables is None:
            tables = compile_topology(self.topology, frozenset(off), failed=ailing.failed)
            self._tables = {name: Lookup(held) for name, held in tables.items()}
        fabric = Fabric(
            self.topology,
            self._tables,
            frozenset(off & links),
            ailing.failed,
            symmetric,
            Connections(),
        )
        outcomes = fabric.outcomes(self.frame(probe), self.ways.hosts[probe.source].port)
        return min(outcomes, key=lambda outcome: (not outcome.delivered, len(outcome.steps)))

    def frame(self, probe: Probe) -> Frame:
        """The request of a probe, as the evaluator takes it."""
        source = self.ways.station(probe.source)
        target = self.ways.station(probe.target)
        hop = self.ways.hop(probe.source, probe.target).station
        head = "ip" if probe.family == 4 else "ipv6"
        frame = {
            "eth_src": int.from_bytes(source.mac, "big"),
            "eth_dst": int.from_bytes(hop.mac, "big"),
            "eth_type": OF_VERSION[probe.family],
            f"{head}_src": int.from_bytes(address_of(source, probe.family) or b"", "big"),
            f"{head}_dst": int.from_bytes(address_of(target, probe.family) or b"", "big"),
            "nw_ttl": TTL,
        }
        if probe.protocol == "icmp":
            name, kind, number = ("icmp", ECHO, ICMP) if probe.family == 4 else ("icmpv6", ECHO6, ICMPV6)
            return frame | {"ip_proto": number, f"{name}_type": kind, f"{name}_code": 0}
        name = probe.protocol
        frame |= {"ip_proto": NUMBERS[name], f"{name}_src": source_port(0), f"{name}_dst": probe.port}
        return frame | ({"tcp_flags": SYN} if name == "tcp" else {})

    def _functions(self, outcome: Outcome) -> list[Function]:
        """The functions that are processes and that the packet goes into, in order."""
        of = {
            port: function
            for function in self.topology.functions
            for instance in function.instances
            for _, port in instance.sides
        }
        return list({of[port].name: of[port] for port in outcome.visited if port in of}.values())

    def _decided(self, function: Function, probe: Probe, arrived: bool) -> tuple[str, Place | None] | None:
        """The rule of a firewall's process that is the reason."""
        if not isinstance(function, FirewallFunction):
            return None
        places, ends = (
            self.topology.places,
            (self.ways.station(probe.source), self.ways.station(probe.target)),
        )
        source, target = (ip_address(address_of(end, probe.family) or b"") for end in ends)
        protocol: Protocol = probe.protocol
        if protocol == "icmp" and probe.family == 6:
            protocol = "icmpv6"
        port = probe.port or None
        rule = deciding(
            function.firewall, Connection(source, target, protocol, port and source_port(0), port)
        )
        action = function.firewall.default if rule is None else rule.action
        if (action == "accept") != arrived:
            return None
        of = f"of firewall {function.name}"
        what = f"default {action} {of}" if rule is None else f"rule {rule.name} ({action}) {of}"
        entity = Entity("default", function.name) if rule is None else part("rule", function.name, rule.name)
        place = places.of(entity) or places.of(Entity("function", function.name))
        return f"nothing: {what}" if arrived else what, place

    def _suspects(self, functions: Collection[str]) -> str:
        """What else may have lost a packet that the tables deliver."""
        said = [f"it passes {', '.join(functions)}, whose processes may drop it"] if functions else []
        if self.ailing.links:
            said.append(f"these links are cut: {', '.join(sorted(self.ailing.links)[:6])}")
        if self.ailing.switches:
            said.append(f"these switches are off: {', '.join(sorted(self.ailing.switches)[:6])}")
        return "; " + "; ".join(said) if said else "; do the switches hold them? see: sdnlab status"

    def _dropped(self, outcome: Outcome, switches: tuple[str, ...], names: tuple[str, ...]) -> Reason:
        failing = [name for name in sorted(self.ailing.failed) if name.partition(".")[0] in names]
        if failing:
            place = self.topology.places.of(Entity("function", failing[0].partition(".")[0]))
            return Reason(f"{failing[0]} does not work", place, switches, names)
        if not outcome.steps:
            return Reason("no switch takes it", None, switches, names)
        last = outcome.steps[-1]
        copies = self._copies()
        delivered = [arrival.at for arrival in outcome.delivered if arrival.at not in copies]
        if delivered:
            at = {host.port: name for name, host in self.ways.hosts.items()}
            others = ", ".join(at.get(port, str(port)) for port in delivered)
            return Reason(f"the tables deliver it at {others}", None, switches, names)
        if outcome.punted:
            what = _last_why(last)
            return Reason(
                f"switch {last.switch} gives it to the controller{what}", self._of(last), switches, names
            )
        taps = {port.number for port in copies if port.switch == last.switch}
        dead = [port for port in last.ports if port not in taps]
        if dead:
            links = {
                (end.switch, end.number): link.name
                for link in self.topology.links
                for end in (link.a, link.b)
            }
            link = links.get((last.switch, dead[0]))
            words = f"link {link} is cut" if link in self.ailing.links else f"port {last.switch}:{dead[0]}"
            return Reason(
                words, self.topology.places.of(Entity("link", link)) if link else None, switches, names
            )
        cut = f" (cut: {', '.join(sorted(self.ailing.links)[:6])})" if self.ailing.links else ""
        words = f"switch {last.switch} drops it{_last_why(last)}{cut}"
        return Reason(words, self._of(last), switches, names)

    def _copies(self) -> set[Port]:
        """The ports of functions' devices: what goes out there is a copy, or is in the function."""
        sides = [side for f in self.topology.functions for i in f.instances for side in i.sides]
        return {port for _, port in sides}

    def _of(self, step: Step) -> Place | None:
        return self._place(step.flows[-1]) if step.flows else None

    def _place(self, flow: Flow) -> Place | None:
        entity = flow.origin.entity
        return None if entity is None else self.topology.places.of(entity)


def _flows(steps: tuple[Step, ...]) -> list[Flow]:
    return [flow for step in steps for flow in step.flows]


def _entity(flow: Flow) -> str:
    return str(flow.origin.entity or "")


def _last_why(step: Step) -> str:
    if not step.flows:
        return ": no flow matches"
    last = step.flows[-1]
    return f" in table {last.table.name}: {last.why}" if last.why else f" in table {last.table.name}"
