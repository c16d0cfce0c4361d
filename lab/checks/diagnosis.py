"""Why a packet did not do what a check expects: the flow, rule or missing thing, with its line. Pure.

The compiled tables are evaluated for the packet that was sent (``controller.trace``). A firewall that is a
process is no table: its rules are read (``controller.trace.rules``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.compiler.compile import compile_topology
from controller.flow.tables import Flow
from controller.simulate.network import Frame, Lookup
from controller.trace.path import Trace, explain
from controller.trace.rules import decisions, dropped
from lab.checks.frames import source_port
from lab.checks.probes import Probe
from lab.checks.ways import Ways
from lab.messages.trace import StopState, stop_words
from lab.probe.loop import address_of
from lab.views.ending import cut_off
from lab.views.trace import stop_state
from topologies.model.places import Place
from topologies.model.topology import Topology
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
    """What stopped a packet, or let it pass, in words, with its line in the file."""

    words: str
    place: Place | None = None


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
        has answered. Raises ValueError for what the evaluator does not know."""
        broken = None if arrived or refused else self._broken(probe)
        if broken is not None:
            return broken
        trace = self._trace(probe)
        passed = list(decisions(self.topology, trace))
        for one in passed:
            if one.decision.accepted == arrived:
                words = f"nothing: {one.decision.words}" if arrived else dropped(one.instance, one.decision)
                where = "" if arrived else f"{one.hop.at.switch}: "
                return Reason(f"{where}{words}", one.decision.place)
        switches = list(dict.fromkeys(hop.at.switch for hop in trace.hops()))
        if arrived:
            flows = [flow for hop in trace.hops() for _, flow in hop.lookups if flow is not None]
            rule = next((flow for flow in flows if _entity(flow).startswith("rule ")), None)
            if rule is not None:
                return Reason(f"nothing: {rule.why}", self._place(rule))
            return Reason(f"nothing on its way ({', '.join(switches)}) stops it")
        at = self.ways.arrives_at(probe.target)
        delivered = dict.fromkeys(copy.passage.name for copy in trace.delivered())
        if at & delivered.keys() or (delivered and probe.target not in self.ways.hosts):
            return Reason(f"no flow: the tables deliver it ({' -> '.join(switches)}){self._suspects(trace)}")
        if delivered:
            return Reason(f"the tables deliver it at {', '.join(delivered)}")
        for stop in trace.stops():
            return _reason(stop_state(stop, self.topology, self.ailing.links))
        return Reason(f"no switch takes it{self._suspects(trace)}")

    def _broken(self, probe: Probe) -> Reason | None:
        """A cut wire, or a switch that is off, at one of its ends."""
        ends = (probe.source, probe.target)
        for stop in cut_off(self.topology, ends, self.ailing.links, self.ailing.switches):
            return _reason(stop)
        return None

    def _trace(self, probe: Probe) -> Trace:
        ailing = self.ailing
        off = frozenset(
            link.name
            for link in self.topology.links
            if {link.a.switch, link.b.switch} & ailing.switches or link.name in ailing.links
        )
        if self._tables is None:
            tables = compile_topology(self.topology, off, failed=ailing.failed)
            self._tables = {name: Lookup(held) for name, held in tables.items()}
        port = self.ways.hosts[probe.source].at
        return explain(self.topology, self._tables, self.frame(probe), port, off, ailing.failed)

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

    def _suspects(self, trace: Trace) -> str:
        """What else may have lost a packet that the tables deliver."""
        into = dict.fromkeys(
            copy.passage.name.rpartition(".")[0]
            for hop in trace.hops()
            for copy in hop.copies
            if copy.passage.kind == "function"
        )
        said = [f"it passes {', '.join(into)}, whose processes may drop it"] if into else []
        said += [f"these links are cut: {_some(self.ailing.links)}"] if self.ailing.links else []
        said += [f"these switches are off: {_some(self.ailing.switches)}"] if self.ailing.switches else []
        return "; " + "; ".join(said) if said else "; do the switches hold them? see: sdnlab status"

    def _place(self, flow: Flow) -> Place | None:
        entity = flow.origin.entity
        return None if entity is None else self.topology.places.of(entity)


def _reason(stop: StopState) -> Reason:
    place = stop["place"]
    return Reason(stop_words(stop), None if place is None else Place(place["file"], place["line"]))


def _entity(flow: Flow) -> str:
    return str(flow.origin.entity or "")


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:6])
